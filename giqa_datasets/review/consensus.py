"""The boxes that several annotators drew for a sample as one; `merge.py` states the rule."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from giqa_datasets.boxes import iou
from giqa_datasets.regions import Box, Role
from giqa_datasets.review.states import SAME, Vote


class MergedPhrase(BaseModel):
    """The decision on the boxes of one phrase."""

    role: Role
    phrase: str
    span: tuple[int, int] | None  # where it stands in the text; None if it is gone or overlaps another phrase
    groups: tuple[int, ...]  # the number of annotators in each group of boxes
    n_boxes: int  # the boxes that the next round begins with


class _Phrase(NamedTuple):
    """Words in the question or the answer, and the number of their occurrence there."""

    role: Role
    words: str
    number: int


def consensus_boxes(
    texts: Mapping[Role, str], kept: Sequence[Vote]
) -> tuple[list[dict[str, Any]], list[MergedPhrase]]:
    """Decide the boxes of each phrase of the merged texts, by the votes that keep the sample, sorted by annotator.

    The result is the fields of the merged sample's `DrawnRegion`s, and the decision on each phrase.
    """
    drawn: defaultdict[_Phrase, list[tuple[str, Box]]] = defaultdict(list)
    for vote in kept:
        for region in vote.regions:
            number = _places(getattr(vote, region.role), region.phrase).index(region.span[0])
            drawn[_Phrase(region.role, region.phrase, number)] += [(vote.annotator, box) for box in region.boxes]
    groups = {phrase: _group(boxes) for phrase, boxes in drawn.items()}
    stay = {phrase: [group for group in found if 2 * len(group) > len(kept)] for phrase, found in groups.items()}
    n_annotators = {phrase: len({annotator for annotator, _ in boxes}) for phrase, boxes in drawn.items()}
    first = sorted((phrase for phrase in drawn if stay[phrase]), key=lambda phrase: (-n_annotators[phrase], phrase))
    spans = _lay_out(texts, first)
    regions: list[dict[str, Any]] = []
    phrases = []
    for phrase in sorted(drawn):
        span = spans.get(phrase)
        boxes = [np.median(list(group.values()), axis=0).tolist() for group in stay[phrase]] if span else []
        if span:
            regions.append({"phrase": phrase.words, "role": phrase.role, "span": span, "boxes": boxes})
        sizes = tuple(map(len, groups[phrase]))
        phrases.append(
            MergedPhrase(role=phrase.role, phrase=phrase.words, span=span, groups=sizes, n_boxes=len(boxes))
        )
    return regions, phrases


def _lay_out(texts: Mapping[Role, str], phrases: Iterable[_Phrase]) -> dict[_Phrase, tuple[int, int]]:
    """The spans of the phrases in the text; of two that overlap, only the first one's."""
    spans: dict[_Phrase, tuple[int, int]] = {}
    for phrase in phrases:
        places = _places(texts[phrase.role], phrase.words)
        if phrase.number < len(places):
            start = places[phrase.number]
            end = start + len(phrase.words)
            taken = (span for other, span in spans.items() if other.role == phrase.role)
            if all(end <= begin or until <= start for begin, until in taken):
                spans[phrase] = (start, end)
    return spans


def _places(plain: str, words: str) -> list[int]:
    return [found.start() for found in re.finditer(f"(?={re.escape(words)})", plain)]  # they may overlap themselves


def _group(drawn: Sequence[tuple[str, Box]]) -> list[dict[str, Box]]:
    """Group the boxes of a phrase by overlap; a group has at most one box of each annotator."""
    groups: list[dict[str, Box]] = []
    first: list[Box] = []
    for annotator, box in drawn:
        overlap = iou(np.array([box]), np.array(first).reshape(-1, 4))[0]
        fits = [k for k, group in enumerate(groups) if annotator not in group and overlap[k] >= SAME]
        if fits:
            groups[max(fits, key=lambda k: overlap[k])][annotator] = box
        else:
            groups.append({annotator: box})
            first.append(box)
    return groups
