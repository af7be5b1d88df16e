"""What the offline tagger says of sentences that deny, compare or imagine a quality; README.md says more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prompts import NOBODY

from giqa_datasets.drops import Drop
from giqa_datasets.pipeline.backends.quality_words import quality_of
from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.records import Record


SENTENCES = Path(__file__).parents[1] / "tests" / "data" / "tagged_sentences.jsonl"
PARTS = {
    "build": "to write the rules by",
    "measure": "written before the rules",
    "fresh": "written after them, harder",
    "second": "by another author",
}
# A quality by the measure that could check it and its side
QUALITIES = {
    ("sharpness", "high"): "sharp",
    ("sharpness", "low"): "blurred",
    ("noise", "high"): "noisy",
    ("noise", "low"): "clean",
    ("brightness", "high"): "bright",
    ("brightness", "low"): "dark",
    ("clipping", "high"): "overexposed",
    ("clipping", "low"): "well exposed",
    ("saturation", "high"): "vivid",
    ("saturation", "low"): "dull",
    (None, None): "blocky",
}


class Tagged(NamedTuple):
    """A sentence and what came of it.

    Attributes:
        part: One of `PARTS`.
        text: The sentence.
        n_right: Tags that are right, as a person would say.
        n_found: Those of them that were found.
        false: Objects with a quality that the sentence does not say of them.
        unsure: Objects whose quality was in doubt.
    """

    part: str
    text: str
    n_right: int
    n_found: int
    false: dict[str, str]
    unsure: list[str]


def main() -> None:
    """Print the table."""
    rows = list(tagged())
    print(f"{'':34}{'sentences':>10}{'right tags':>12}{'found':>8}{'false':>8}{'unsure':>8}")
    for part, what in PARTS.items():
        of_part = [row for row in rows if row.part == part]
        right, found = sum(row.n_right for row in of_part), sum(row.n_found for row in of_part)
        false, unsure = sum(len(row.false) for row in of_part), sum(len(row.unsure) for row in of_part)
        print(f"{what:34}{len(of_part):10}{right:12}{found / right:8.2f}{false:8}{unsure:8}")
    for row in rows:
        if row.false:
            print(f"false: {row.false} in {row.text!r}")


def tagged() -> Iterator[Tagged]:
    """Tag every sentence, as the pipeline's first stage does."""
    lines = [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    drops: list[Drop] = []
    records = [Record(str(number), NOBODY, line["text"], "unknown") for number, line in enumerate(lines)]
    for line, record in zip(lines, tags(records, SpacyTagger(), drops.append), strict=True):
        said = {tag.phrase: _quality(tag.quality) for tag in record.tags}
        allowed = line["right"] | line["open"]
        yield Tagged(
            line["part"],
            line["text"],
            len(line["right"]),
            sum(any(_fits(tag, {name: right}) for tag in said.items()) for name, right in line["right"].items()),
            {phrase: quality for phrase, quality in said.items() if not _fits((phrase, quality), allowed)},
            [drop.what for drop in drops if drop.id == record.id and drop.reason == "unsure_quality"],
        )


def _quality(said: str) -> str:
    entry = quality_of(said)
    assert entry is not None  # the offline tagger says nothing else
    return QUALITIES[entry.measure, entry.wants]


def _fits(tag: tuple[str, str], allowed: dict[str, Any]) -> bool:
    """Whether a tag is one of those allowed: it names the object at least, and one of its qualities."""
    phrase, quality = tag
    return any(set(name.split()) <= set(phrase.split()) and quality in of.split("/") for name, of in allowed.items())


if __name__ == "__main__":
    main()
