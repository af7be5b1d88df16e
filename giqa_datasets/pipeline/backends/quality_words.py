"""The offline backends' lexicon: what a quality word says, how it is measured, and what its opposite is."""

import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from giqa_datasets.records import Effect


Measure = Literal["sharpness", "noise", "brightness", "clipping", "saturation"]


class QualityWord(NamedTuple):
    """One entry of `quality_words.json`.

    Attributes:
        says: The quality as it is written in questions and answers.
        measure: The classic measure that can check it, or None.
        wants: Whether the measure is high or low where the quality is present, or None.
        effect: Effect on the image's quality.
        opposite: A quality that contradicts it.
    """

    says: str
    measure: Measure | None
    wants: Literal["high", "low"] | None
    effect: Effect
    opposite: str


@cache
def quality_words() -> dict[str, QualityWord]:
    """The lexicon, by the word as it occurs in a description, lower case."""
    entries = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {word: QualityWord(**({"says": word} | entry)) for word, entry in entries.items()}


def quality_of(quality: str) -> QualityWord | None:
    """Find the entry of a quality as it is said ("well lit") or written ("lit")."""
    words = quality_words()
    return words.get(quality) or next((word for word in words.values() if word.says == quality), None)
