"""Nothing vanishes: whatever a stage leaves out is written down with its stage and its reason."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """One thing left out.

    Attributes:
        id: The record it belonged to.
        stage: Where it went: source, tags, detect, refine, fuse or ask.
        reason: A short name, the same for every drop of its kind.
        what: The phrase, question or description that was dropped.
    """

    id: str
    stage: str
    reason: str
    what: str


DropSink = Callable[[Drop], None]
