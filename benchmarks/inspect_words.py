"""How well `giqa inspect` reads defects out of words; docs/inspect.md says what is measured. Without a model."""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from giqa_datasets import GroundedText, parse
from giqa_datasets.sources import mini
from giqa_metrics.inspection.defect_words import KINDS, read_defects


SENTENCES = Path(__file__).parents[1] / "tests" / "data" / "inspect_sentences.json"
KIND_OF = {
    "gaussian_blur": "blur",
    "gaussian_noise": "noise",
    "darken": "darkness",
    "overexpose": "overexposure",
    "pixelate": "compression",
}
Pair = tuple[set[str], set[str]]  # the kinds that were found, the true ones


def main() -> None:
    """Print a table for each source of texts."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    show("mini set: the distortion's kind, in the descriptions of the photographs with one", mini_pairs())
    show("sentences that the rules were mended on: every kind", sentence_pairs("mended"))
    show("sentences that were written later, the rules left as they were: every kind", sentence_pairs("unseen"))


def mini_pairs() -> Iterator[Pair]:
    """Regions of the photographs with a known distortion: its kind is true of the region in its box alone."""
    annotations = json.loads(Path(mini.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    boxes = {entry["id"]: entry["distortion"] for entry in annotations if entry["distortion"]}
    for entry in [*mini.hand_made("train"), *mini.hand_made("test")]:
        if (distortion := boxes.get(entry.id)) is None:
            continue
        text, regions = entry.samples[0].answer, tuple(entry.samples[0].answer_regions)
        kind = KIND_OF[distortion["name"]]
        for region, said in zip(regions, read_defects(GroundedText(text, text, regions, ())).of_regions, strict=True):
            is_true = distortion["box"] in region.boxes.tolist()
            yield set(said.defects) & {kind}, {kind} if is_true else set()


def sentence_pairs(group: str) -> Iterator[Pair]:
    """Regions of a group of the written sentences."""
    for row in json.loads(SENTENCES.read_text(encoding="utf-8")):
        if row["group"] == group:
            found = read_defects(grounded(row["text"])).of_regions
            yield from ((set(said.defects), set(true)) for said, true in zip(found, row["defects"], strict=True))


def grounded(text: str) -> GroundedText:
    """A sentence whose names stand in brackets, each with some box."""
    return parse(re.sub(r"\]", "](<0, 42>)", text))


def show(title: str, pairs: Iterable[Pair]) -> None:
    """Print precision and recall by kind and of all; `-` where there is nothing to divide by."""
    listed = list(pairs)
    print(f"{title}; {len(listed)} regions\n{'kind':14}  right  wrong  missed  precision  recall")
    for kind in [*KINDS, "all"]:
        of_kind = [(found & {kind}, true & {kind}) for found, true in listed] if kind != "all" else listed
        right = sum(len(found & true) for found, true in of_kind)
        wrong = sum(len(found - true) for found, true in of_kind)
        missed = sum(len(true - found) for found, true in of_kind)
        if right + wrong + missed:
            shares = [f"{right / n:.2f}" if n else "-" for n in (right + wrong, right + missed)]
            print(f"{kind:14}  {right:5}  {wrong:5}  {missed:6}  {shares[0]:>9}  {shares[1]:>6}")
    print()


if __name__ == "__main__":
    main()
