"""What the stages ask of a model: Protocols of one method each, always in batches. `backends/` implements them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.records import QuestionType, Tag


class Failure(NamedTuple):
    """Why a model gave nothing for one of a batch.

    Attributes:
        reason: The drop's: `fault` where the model could not be asked, which the next run tries again, or
            `unreadable_reply` where it answered in another shape.
        what: What came instead.
    """

    reason: Literal["fault", "unreadable_reply"]
    what: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer as a model wrote them, plain text."""

    question_type: QuestionType
    question: str
    answer: str


class Tagger(Protocol):
    """Stage 1: finds the objects of a description (Llama 3 in the paper)."""

    def tag(self, descriptions: Sequence[str]) -> Sequence[list[Tag] | Failure]:
        """Tag each description; what has no quality or is no object is returned too, the stage drops it.

        A tag's span is where its phrase stands in the description; (0, 0) says that it stands nowhere.
        """
        ...


class Detector(Protocol):
    """Stage 2: finds phrases in images (Grounding DINO in the paper)."""

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases: boxes of shape (N, 4), best first, or None for a phrase it has no word for."""
        ...


class Verifier(Protocol):
    """Stage 3, IQA-Filter: judges a crop (Q-Instruct in the paper)."""

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> Sequence[bool | None]:
        """Answer "Is the image quality <quality>?" for each crop; None where the answer was neither yes nor no."""
        ...


class Asker(Protocol):
    """Questions from a description (Llama 3 in the paper)."""

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> Sequence[list[Asked] | Failure]:
        """Write questions about each description's boxed objects; the same seed gives the same questions."""
        ...


class Models(Protocol):
    """The four models that the stages ask."""

    @property
    def tagger(self) -> Tagger:
        """Finds the objects of a description."""
        ...

    @property
    def detector(self) -> Detector:
        """Finds phrases in images."""
        ...

    @property
    def verifier(self) -> Verifier:
        """Judges crops."""
        ...

    @property
    def asker(self) -> Asker:
        """Writes questions."""
        ...
