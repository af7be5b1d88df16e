"""What a model is asked about a sample, what it gives back, and who runs it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol


class Question(NamedTuple):
    """A question about an image.

    Attributes:
        id: The sample's.
        image: The encoded file.
        prompt: What the user says beside the image.
    """

    id: str
    image: bytes
    prompt: str


class Answer(NamedTuple):
    """A model's text, and (width, height) of the resized image if the model says how large that was."""

    id: str
    prediction: str
    input_size: tuple[int, int] | None = None


class Predictor(Protocol):
    """Runs a model, greedy."""

    model_type: str | None  # of the model's transformers config, where that is known
    batch_size: int  # samples that it looks at together

    def answer(self, batches: Iterable[Sequence[Question]]) -> Iterator[Answer]:
        """Answer each sample, in any order, an answer as soon as it is there.

        Raises:
            OSError: If a sample gets no answer; it is named.
            ValueError: If an image cannot be read; its sample is named.
        """
        ...
