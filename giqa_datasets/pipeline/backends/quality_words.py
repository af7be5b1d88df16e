"""The offline backends' lexicon: each quality word with its quality, its measure and its opposite."""

import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from giqa_datasets.records import Effect


Measure = Literal["sharpness", "noise", "brightness", "clipping", "saturation"]


class QualityWord(NamedTuple):
    """One entry of `quality_words.json`."""

    says: str  # the quality as it is written in questions and answers
    measure: Measure | None  # the classic measure that can check it
    wants: Literal["high", "low"] | None  # the measure's side if the quality is present
    effect: Effect
    opposite: str  # a quality that contradicts it


@cache
def quality_words() -> dict[str, QualityWord]:
    """Read the lexicon, by the word as it occurs in a description, lower case."""
    entries = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {word: QualityWord(**({"says": word} | entry)) for word, entry in entries.items()}


def quality_of(quality: str) -> QualityWord | None:
    """Find the entry of a quality as it is said ("well lit") or written ("lit")."""
    words = quality_words()
    return words.get(quality) or next((word for word in words.values() if word.says == quality), None)
