"""Questions from templates over the tags: the offline stand-in for Llama 3."""

import re
from collections.abc import Sequence

import numpy as np

from giqa_datasets.pipeline.backends.quality_words import quality_of
from giqa_datasets.pipeline.protocols import Asked
from giqa_datasets.records import Tag


_BEHIND_HEAD = re.compile(r"\s(?:of|in|on|at|with|by|from|behind|near|under|over|beside|between|that|which|who)\s")
# Plurals without an s, or with one that a singular may have; and singulars that end as a plural does
_NUMBERS = """
people men women children feet teeth geese mice police oxen sportsmen firemen policemen fishermen salesmen snowmen skis taxis kiwis
lens gas canvas atlas bias news series species christmas
"""  # noqa: E501
_PLURALS, _SINGULARS = (frozenset(line.split()) for line in _NUMBERS.strip().splitlines())


class TemplateAsker:
    """Asks, per description, one question answered Yes, one answered No, and one open question."""

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> list[list[Asked]]:
        """Write questions about each description's boxed objects."""
        return [
            _questions([tag for tag in found if quality_of(tag.quality)], np.random.default_rng(seed))
            for found, seed in zip(tags, seeds, strict=True)
        ]


def _questions(tags: list[Tag], rng: np.random.Generator) -> list[Asked]:
    if not tags:
        return []
    yes, no, about = (tags[int(index)] for index in rng.integers(len(tags), size=3))
    contrary = quality_of(no.quality)
    assert contrary is not None  # the caller kept only qualities of the lexicon
    return [
        Asked("yes_no", f"{_be(yes)} the {yes.phrase} {yes.quality}?", "Yes."),
        Asked("yes_no", f"{_be(no)} the {no.phrase} {contrary.opposite}?", "No."),
        _open_question(about, rng),
    ]


def _open_question(tag: Tag, rng: np.random.Generator) -> Asked:
    answer = f"{tag.quality.capitalize()}."
    verb = "lower" if tag.effect == "negative" else "raise"
    do = "do" if _be(tag) == "Are" else "does"
    return [
        Asked("what", f"What is {tag.quality} in this image?", f"The {tag.phrase}."),
        Asked("how", f"How {do} the {tag.phrase} look?", answer),
        Asked("why", f"Why {do} the {tag.phrase} {verb} the quality of the image?", answer),
    ][int(rng.integers(3))]


def _be(tag: Tag) -> str:
    return "Are" if is_plural(tag.phrase) else "Is"


def is_plural(phrase: str) -> bool:
    """Whether a phrase takes a plural verb, by its head: the last word before a preposition, or several with "and".

    Example:
        >>> [is_plural(phrase) for phrase in ("bowl of oranges", "wine glasses", "lens", "cup and saucer")]
        [False, True, False, True]
    """
    head = _BEHIND_HEAD.split(phrase.lower(), maxsplit=1)[0]
    last = head.rsplit(maxsplit=1)[-1] if head.strip() else ""
    is_regular = last.endswith("s") and not last.endswith(("ss", "us", "is", "'s"))
    return " and " in head or last in _PLURALS or (is_regular and last not in _SINGULARS)
