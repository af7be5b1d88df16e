"""What the stages ask of a model: Protocols of one method each, always in batches. `backends/` implements them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.records import QuestionType, Tag


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer as a model wrote them, plain text."""

    question_type: QuestionType
    question: str
    answer: str


class Tagger(Protocol):
    """Stage 1: finds the objects of a description (Llama 3 in the paper)."""

    def tag(self, descriptions: Sequence[str]) -> list[list[Tag]]:
        """Tag each description; what has no quality or is no object is returned too, the stage drops it."""
        ...


class Detector(Protocol):
    """Stage 2: finds phrases in images (Grounding DINO in the paper)."""

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases: boxes of shape (N, 4), best first, or None for a phrase it has no word for."""
        ...


class Verifier(Protocol):
    """Stage 3, IQA-Filter: judges a crop (Q-Instruct in the paper)."""

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> list[bool]:
        """Answer "Is the image quality <quality>?" for each crop."""
        ...


class Asker(Protocol):
    """Questions from a description (Llama 3 in the paper)."""

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> list[list[Asked]]:
        """Write questions about each description's boxed objects; the same seed gives the same questions."""
        ...
