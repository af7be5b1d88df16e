"""What a judge's backend is asked and what it gives back."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from giqa_metrics.judges.reply import read_score


# Ours; greedy as in protocol section 7. Whatever runs the model gets the same ones, so a log serves every backend
PARAMETERS = {"temperature": 0, "max_tokens": 256, "seed": 0}


class Request(NamedTuple):
    """One prompt, and the seed it goes out with."""

    prompt: str
    seed: int


class Reply(NamedTuple):
    """A model's raw reply, and whether it was cut off at the longest length."""

    text: str
    is_cut: bool

    @property
    def score(self) -> int | None:
        """0 to 4, or None; a reply that was cut off may have gone on to say something else."""
        return None if self.is_cut else read_score(self.text)


class Fault(NamedTuple):
    """Why a request got no reply."""

    reason: str


class Backend(Protocol):
    """Runs a model."""

    batch_size: int  # requests in one call
    concurrency: int  # calls at once

    def ask(self, requests: Sequence[Request]) -> Sequence[Reply | Fault]:
        """Answer each request; an error that every other request would meet too is raised."""
        ...
