"""Protocols of the models that the stages ask, of one method each, always in batches. `backends/` implements them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.records import QuestionType, Tag


UNSURE = "unsure"  # the quality of a tag of which the description may say something else


class Failure(NamedTuple):
    """A model's failure at one item of a batch.

    `fault`: the model could not be asked, and the next run tries again; `unreadable_reply`: its answer has another
    shape.
    """

    reason: Literal["fault", "unreadable_reply"]  # of the drop
    what: str  # the error or the reply


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer as a model wrote them, plain text."""

    question_type: QuestionType
    question: str
    answer: str


class Tagger(Protocol):
    """Stage 1: finds the objects of a description (Llama 3 in the paper)."""

    def tag(self, descriptions: Sequence[str]) -> Sequence[list[Tag] | Failure]:
        """Tag each description, also with tags without a quality, or that are no object: the stage drops these.

        A tag's span is the place of its phrase in the description; (0, 0) if it is not there.
        """


class Detector(Protocol):
    """Stage 2: finds phrases in images (Grounding DINO in the paper)."""

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases: boxes of shape (N, 4), best first, or None for a phrase it has no word for."""


class Verifier(Protocol):
    """Stage 3, IQA-Filter: judges a crop (Q-Instruct in the paper)."""

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> Sequence[bool | None]:
        """Answer "Is the image quality <quality>?" for each crop; None if the answer was neither yes nor no."""


class Asker(Protocol):
    """Questions from a description (Llama 3 in the paper)."""

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> Sequence[Sequence[Asked | Failure] | Failure]:
        """Write questions about each description's boxed objects; the same seed gives the same questions.

        A failure among the questions is that of one type of them.
        """


class Models(Protocol):
    """The four models that the stages ask."""

    @property
    def tagger(self) -> Tagger:
        """Finds the objects of a description."""

    @property
    def detector(self) -> Detector:
        """Finds phrases in images."""

    @property
    def verifier(self) -> Verifier:
        """Judges crops."""

    @property
    def asker(self) -> Asker:
        """Writes questions."""
