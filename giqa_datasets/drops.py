"""The drops: everything that a stage leaves out is written down with its stage and its reason."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """One thing left out."""

    id: str  # of its record
    stage: str  # source, tags, detect, refine, fuse, ask or join
    reason: str  # a short name, the same for every drop of its kind
    what: str  # the phrase, question or description
    boxes: tuple[tuple[float, ...], ...] = ()  # normalised xyxy; empty if it is something else


DropSink = Callable[[Drop], None]

FAULT = "fault"  # the reason if a model could not be asked, or failed; the next run tries again


def fault(id: str, stage: str, error: Exception) -> Drop:
    """Return the drop of a record at which a stage failed, with the error in one line."""
    return Drop(id, stage, FAULT, " ".join(f"{type(error).__name__}: {error}".split())[:300])
