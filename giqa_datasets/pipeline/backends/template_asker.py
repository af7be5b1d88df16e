"""Questions from templates over the tags: the offline stand-in for Llama 3."""

from collections.abc import Sequence

import numpy as np

from giqa_datasets.pipeline.backends.plurals import is_plural
from giqa_datasets.pipeline.backends.quality_words import quality_of
from giqa_datasets.pipeline.protocols import Asked
from giqa_datasets.records import Tag


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
