"""What people write instead of `giqa_grounding`, sample by sample: the same regular expression, then three matchers.

`plain` is a second implementation of protocol section 7, in plain Python, and must give the same values. The other two
match optimally instead of greedily, which gives other values by definition.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


SIDE = 20
PHRASE = re.compile(r"\[([^\[\]]+)\]\(([^()]*)(\)?)")
BOX = re.compile(r"<(\d+), *(\d+)>")

Object = tuple[int, int, str, float, float, float, float]  # first cell, last cell, name, x1 y1 x2 y2 in cells
Pair = tuple[float, bool, int, int]  # falling order: -IoU, whether the names differ, reference, prediction


class Scores(NamedTuple):
    """Of one sample, or their means; `n_malformed` is a count."""

    miou: float
    miou_strict: float
    tag_recall: float
    n_malformed: int


def read(text: str) -> tuple[list[Object], int]:
    """Distinct objects in order, and the number of malformed boxes."""
    objects = set()
    malformed = 0
    for name, inside, closed in PHRASE.findall(text):
        if not closed:
            malformed += 1
            continue
        boxes = BOX.findall(inside)
        malformed += inside.count("<") - len(boxes)
        for cells in boxes:
            first, last = map(int, cells)
            y1, x1 = divmod(first, SIDE)
            y2, x2 = divmod(last, SIDE)
            if last >= SIDE * SIDE or x1 > x2 or y1 > y2:
                malformed += 1
            elif x1 == x2 or y1 == y2:  # no area between centres: outer edges
                objects.add((first, last, name, x1, y1, x2 + 1, y2 + 1))
            else:
                objects.add((first, last, name, x1 + 0.5, y1 + 0.5, x2 + 0.5, y2 + 0.5))
    return sorted(objects), malformed


def plain(samples: Iterable[tuple[str, str]]) -> Scores:
    """Plain Python: loops for the IoU, a sort and two sets for the greedy matching."""
    return _mean(plain_sample(prediction, reference) for prediction, reference in samples)


def plain_sample(prediction: str, reference: str) -> Scores | None:
    """One sample, None where the reference holds no object."""
    predicted, malformed = read(prediction)
    truth, _ = read(reference)
    if not truth:
        return None
    pairs: list[Pair] = []
    for r, (_, _, name, a1, b1, a2, b2) in enumerate(truth):
        area = (a2 - a1) * (b2 - b1)
        for p, (_, _, other, x1, y1, x2, y2) in enumerate(predicted):
            if x1 < a2 and a1 < x2 and y1 < b2 and b1 < y2:
                shared = (min(x2, a2) - max(x1, a1)) * (min(y2, b2) - max(y1, b1))
                pairs.append((-shared / (area + (x2 - x1) * (y2 - y1) - shared), name != other, r, p))
    pairs.sort()
    matched = _greedy(pairs)
    recalled = _greedy([pair for pair in pairs if pair[0] < -0.5 and not pair[1]])
    return _scores(matched, len(recalled), len(truth), malformed)


def pycocotools_scipy(samples: Iterable[tuple[str, str]]) -> Scores:
    """IoU by pycocotools, assignment by scipy."""
    from pycocotools import mask
    from scipy.optimize import linear_sum_assignment

    return _optimal(samples, mask.iou, linear_sum_assignment)


def hotcoco(samples: Iterable[tuple[str, str]]) -> Scores:
    """IoU and assignment by hotcoco."""
    from hotcoco import primitives

    return _optimal(samples, primitives.bbox_iou, primitives.lsap)


def _optimal(samples: Iterable[tuple[str, str]], iou: Callable[..., Any], assign: Callable[..., Any]) -> Scores:
    """Match optimally: once by IoU, once among the pairs that Tag-Recall allows."""
    import numpy as np

    def xywh(objects: list[Object]) -> Any:
        return np.array([(x1, y1, x2 - x1, y2 - y1) for *_, x1, y1, x2, y2 in objects])

    def score(prediction: str, reference: str) -> Scores | None:
        predicted, malformed = read(prediction)
        truth, _ = read(reference)
        if not truth or not predicted:
            return _scores([], 0, len(truth), malformed) if truth else None
        overlap = iou(xywh(predicted), xywh(truth), [0] * len(truth))
        values = overlap[assign(overlap, maximize=True)]
        same = np.array([[one[2] == other[2] for other in truth] for one in predicted])
        allowed = overlap * (same & (overlap > 0.5))
        recalled = int(np.count_nonzero(allowed[assign(allowed, maximize=True)]))
        return _scores(values[values > 0].tolist(), recalled, len(truth), malformed)

    return _mean(score(prediction, reference) for prediction, reference in samples)


def _greedy(pairs: list[Pair]) -> list[float]:
    """IoU of the pairs that are taken, in the order given."""
    taken_reference, taken_predicted, matched = set(), set(), []
    for overlap, _, r, p in pairs:
        if r not in taken_reference and p not in taken_predicted:
            taken_reference.add(r)
            taken_predicted.add(p)
            matched.append(-overlap)
    return matched


def _scores(matched: list[float], recalled: int, n_reference: int, malformed: int) -> Scores:
    total = sum(matched)
    return Scores(total / len(matched) if matched else 0.0, total / n_reference, recalled / n_reference, malformed)


def _mean(scores: Iterable[Scores | None]) -> Scores:
    counted = [each for each in scores if each is not None]
    miou, strict, recall, malformed = map(sum, zip(*counted, strict=True))
    return Scores(miou / len(counted), strict / len(counted), recall / len(counted), malformed)
