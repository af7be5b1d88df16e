"""Nothing vanishes: whatever a stage leaves out is written down with its stage and its reason."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """One thing left out.

    Attributes:
        id: The record it belonged to.
        stage: Where it went: source, tags, detect, refine, fuse, ask or join.
        reason: A short name, the same for every drop of its kind.
        what: The phrase, question or description that was dropped.
        boxes: The boxes that were dropped, normalised xyxy; empty where it is something else.
    """

    id: str
    stage: str
    reason: str
    what: str
    boxes: tuple[tuple[float, ...], ...] = ()


DropSink = Callable[[Drop], None]

FAULT = "fault"  # the reason of what a model could not be asked, or failed at; the next run tries it again


def fault(id: str, stage: str, error: Exception) -> Drop:
    """A record that a stage could not get through, in one line."""
    return Drop(id, stage, FAULT, " ".join(f"{type(error).__name__}: {error}".split())[:300])
