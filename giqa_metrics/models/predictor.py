"""What a model is asked about a sample, what it gives back, and who runs it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from giqa_datasets.errors import UnavailableError


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
    """What came back for a sample.

    Attributes:
        id: The sample's.
        prediction: The model's text; None where the sample got no answer.
        input_size: (width, height) of the resized image, if the model says how large that was.
        fault: Why there is no answer; empty where there is one.
    """

    id: str
    prediction: str | None
    input_size: tuple[int, int] | None = None
    fault: str = ""

    def text(self) -> str:
        """Give the model's text.

        Raises:
            OSError: If the sample got no answer.
        """
        if self.prediction is None:
            raise UnavailableError(f"sample {self.id!r} got no answer {self.fault}")
        return self.prediction


class Predictor(Protocol):
    """Runs a model, greedy."""

    model_type: str | None  # of the model's transformers config, where that is known
    batch_size: int  # samples that it looks at together

    def answer(self, batches: Iterable[Sequence[Question]]) -> Iterator[Answer]:
        """Answer each sample, in any order, an answer as soon as it is there; one that gets none costs only itself.

        Raises:
            OSError: If the model cannot be had, or answers none of the first samples.
            ValueError: If an image cannot be read; its sample is named.
        """
        ...
