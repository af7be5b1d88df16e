"""Agreement of a round's annotators, and the samples that they should discuss.

Nothing here depends on the order of annotators, samples or boxes. A value that does not exist is None.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import fsum
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import iou
from giqa_datasets.regions import Box
from giqa_datasets.review.states import SAME, State, Vote


class Agreement(NamedTuple):
    """Agreement of the annotators, over the samples that at least two of them voted on.

    A vote that rejects a sample counts as a verdict, and as no text and no boxes.
    """

    n_annotators: int  # with a vote on any of the samples
    n_samples: int  # voted on by two or more
    n_matched: int  # boxes of two annotators that were matched, over all pairs of annotators
    n_unmatched: int  # boxes of either annotator of a pair that were not
    mean_iou: float | None  # of the matched boxes, in (0, 1]
    matched_fraction: float | None  # `n_matched / (n_matched + n_unmatched)`, in [0, 1]
    verdicts: float | None  # Krippendorff's alpha of accept, rewrite and reject
    yes_no: float | None  # Krippendorff's alpha of Yes and No, the labels of the Yes/No questions
    answers: float | None  # Krippendorff's alpha of the other answers, as texts without case and punctuation
    to_discuss: dict[str, tuple[str, ...]]  # the samples that annotators do not agree on, with the reasons


def agreement(begin: Mapping[str, State], votes: Mapping[str, Mapping[str, Vote]]) -> Agreement:
    """Measure how far the annotators of a round agree.

    Boxes of the same phrase and role are matched one to one between each two annotators, greedily by falling IoU; an
    IoU of 0 is no match. Samples that were added in the round have one vote each. Votes are by annotator and sample
    id.
    """
    by_annotator = [votes[annotator] for annotator in sorted(votes)]
    on_sample = {name: [own[name] for own in by_annotator if name in own] for name in begin}
    shared = {name: found for name, found in on_sample.items() if len(found) > 1}
    kept = {name: [vote for vote in found if vote.verdict != "reject"] for name, found in shared.items()}
    pairs = {name: [match(a, b) for a, b in combinations(found, 2)] for name, found in kept.items()}
    ious = [iou for of_sample in pairs.values() for matched, _ in of_sample for iou in matched]
    n_unmatched = sum(unmatched for of_sample in pairs.values() for _, unmatched in of_sample)
    said = {name: [_said(begin[name], vote.answer) for vote in found] for name, found in kept.items()}
    reasons = {name: _reasons(shared[name], kept[name], said[name], pairs[name]) for name in shared}
    return Agreement(
        n_annotators=len({vote.annotator for found in shared.values() for vote in found}),
        n_samples=len(shared),
        n_matched=len(ious),
        n_unmatched=n_unmatched,
        mean_iou=fsum(ious) / len(ious) if ious else None,
        matched_fraction=len(ious) / (len(ious) + n_unmatched) if ious or n_unmatched else None,
        verdicts=alpha([vote.verdict for vote in found] for found in shared.values()),
        yes_no=alpha(said[name] for name in shared if begin[name].question_type == "yes_no"),
        answers=alpha(said[name] for name in shared if begin[name].question_type not in ("des", "yes_no")),
        to_discuss={name: why for name, why in reasons.items() if why},
    )


def alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha of the nominal values of each unit: 1 for perfect agreement, 0 for chance.

    It does not exist, and is None, if no unit has two values or all values are equal.

    Example:
        >>> alpha([["a", "a"], ["b", "b"], ["a", "b"], ["b"]])
        0.4444444444444444

    References:
        Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C.
    """
    totals: Counter[Hashable] = Counter()
    observed = Fraction(0)  # disagreeing pairs of values within units, a unit of m values weighing m
    for values in units:
        if len(values) > 1:
            counts = Counter(values)
            totals += counts
            observed += Fraction(_disagreeing(counts), len(values) - 1)
    expected = Fraction(_disagreeing(totals), max(totals.total() - 1, 1))
    return float(1 - observed / expected) if expected else None


def match(a: State, b: State) -> tuple[list[float], int]:
    """Return the IoU of each pair of boxes that match in two versions of a sample, and the number of other boxes."""
    of_a, of_b = _boxes(a), _boxes(b)
    ious: list[float] = []
    for key in of_a.keys() & of_b.keys():
        overlap = iou(np.array(of_a[key]), np.array(of_b[key]))
        pairs = [(-overlap[row, column], row, column) for row, column in np.argwhere(overlap > 0).tolist()]
        # Of equal ones first that of the smaller boxes, whichever annotator drew them
        pairs.sort(key=lambda pair: (pair[0], sorted((of_a[key][pair[1]], of_b[key][pair[2]]))))
        rows, columns = set(), set()
        for negative, row, column in pairs:
            if row not in rows and column not in columns:
                rows.add(row)
                columns.add(column)
                ious.append(-float(negative))
    n_boxes = sum(len(boxes) for of_one in (of_a, of_b) for boxes in of_one.values())
    return ious, n_boxes - 2 * len(ious)


def _disagreeing(counts: Counter[Hashable]) -> int:
    return counts.total() ** 2 - sum(count**2 for count in counts.values())


def _boxes(state: State) -> dict[tuple[str, str], list[Box]]:
    boxes: defaultdict[tuple[str, str], list[Box]] = defaultdict(list)
    for region in state.regions:
        boxes[region.role, region.phrase] += region.boxes
    return boxes


def _said(beginning: State, answer: str) -> str:
    """The label of an answer to a Yes/No question, or the normalised words of another answer."""
    words = _words(answer)
    label = words.split(" ", 1)[0]
    return label if beginning.question_type == "yes_no" and label in ("yes", "no") else words


def _words(plain: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", plain).casefold()))


def _reasons(
    votes: Sequence[Vote], kept: Sequence[Vote], said: Sequence[str], pairs: Sequence[tuple[list[float], int]]
) -> tuple[str, ...]:
    holds = {
        "verdicts differ": len({vote.verdict for vote in votes}) > 1,
        "questions differ": len({_words(vote.question) for vote in kept}) > 1,
        "answers differ": len(set(said)) > 1,
        f"box IoU under {SAME}": any(iou < SAME for ious, _ in pairs for iou in ious),
        "boxes unmatched": any(n_unmatched for _, n_unmatched in pairs),
    }
    return tuple(reason for reason, does in holds.items() if does)
