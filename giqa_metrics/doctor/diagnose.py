"""Which box format fits a model's answers about pictures with one known square each.

The rule is ours:

- An answer scores the mean IoU of its boxes with the square, 0 without a box: each further box costs.
- A format fits if its mean score over the pictures is at least `ENOUGH`, if chance hardly gives as much (the answers
  dealt to other pictures at random score as high with p <= `CHANCE`: a model that does not look fails), and if it
  is ahead of every other way to write boxes in at least `SURE` of the bootstrap's resamples of the pictures.
- Formats that read every answer alike are one for that; the one is taken that writes the most answers as they stand.
- Questions are asked in turn, until the answers to one fit a format: a model trained on GIQA text may well answer
  another question in another format, and GIQA's own comes first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Boxes, iou
from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.formats import FORMATS
from giqa_datasets.grid import SIDE
from giqa_metrics.doctor.reading import FOREIGN, Reading, is_spelled, read
from giqa_metrics.doctor.squares import SquarePicture
from giqa_metrics.models import Answer


ENOUGH = 0.5
CHANCE = 0.01
SURE = 0.95

Scores = npt.NDArray[np.float64]


class Fit(NamedTuple):
    """How one way to write boxes fits the answers.

    Attributes:
        name: A box format, or one of `FOREIGN`.
        readable: Answers that hold a box.
        mean_iou: Mean score over all pictures, 0 to 1.
        median_error: Cells of the grid that the farthest edge is off, in the median of the readable answers; None
            where there are none.
        sure: Share of the resamples in which no other way, but those that read alike, has as high a mean.
    """

    name: str
    readable: int
    mean_iou: float
    median_error: float | None
    sure: float


class Diagnosis(NamedTuple):
    """What the answers to one question say.

    Attributes:
        question: As asked, with `{colour}` for the square's colour.
        box_format: The format that fits; None if none does.
        why: What speaks for it or against all, a clause.
        alike: Other formats that read every answer just as the best one does.
        p_value: How often the best one's boxes do as well when they are dealt to other pictures.
        nameless: Answers in which the best one's boxes have no name.
        fits: Every way to write boxes, the best first.
        answers: The model's texts, by picture.
        boxes: What the best one reads, by picture, each of shape (N, 4), normalised xyxy.
        scores: The best one's scores, by picture.
    """

    question: str
    box_format: str | None
    why: str
    alike: list[str]
    p_value: float
    nameless: int
    fits: list[Fit]
    answers: list[str]
    boxes: list[Boxes]
    scores: list[float]


def diagnose(
    question: str,
    pictures: Sequence[SquarePicture],
    answers: Sequence[Answer],
    *,
    without: Sequence[str] = (),
    seed: int = 0,
) -> Diagnosis:
    """Say which format fits the answers to a question.

    Args:
        question: What was asked.
        pictures: P pictures.
        answers: The answer about each.
        without: Formats that are out of the question.
        seed: Of the random numbers.
    """
    told = list(zip(answers, pictures, strict=True))
    readings = {
        name: [read(name, answer.text(), picture, answer.input_size) for answer, picture in told]
        for name in (*FORMATS, *FOREIGN)
        if name not in without
    }
    squares = np.stack([picture.box for picture in pictures])
    dealt = {name: _dealt(of_name, squares) for name, of_name in readings.items()}
    scores = {name: np.diagonal(table) for name, table in dealt.items()}
    order = sorted(readings, key=lambda name: scores[name].mean(), reverse=True)
    alike = [name for name in order if name in FORMATS and _is_alike(readings[name], readings[order[0]])]
    if len(alike) > 1 and any(len(reading.boxes) for reading in readings[order[0]]):
        alike.sort(key=lambda name: -_spelled(name, readings[name], told))
        order = alike + [name for name in order if name not in alike]
    best = order[0]
    rng = np.random.default_rng(seed)
    means = _resampled(np.stack([scores[name] for name in order]), rng)
    fits = [_fit(name, readings[name], scores[name], squares, _lead(means, order, readings, name)) for name in order]
    p_value = _chance(dealt[best], rng)
    objection = _objection(fits, p_value)
    return Diagnosis(
        question,
        best if objection is None else None,
        objection or f"mean IoU {fits[0].mean_iou:.2f}, sure: {fits[0].sure:.3f}",
        alike[1:] if fits[0].readable else [],
        p_value,
        sum(len(reading.boxes) > 0 and not reading.is_named for reading in readings[best]),
        fits,
        [answer.text() for answer in answers],
        [reading.boxes for reading in readings[best]],
        scores[best].tolist(),
    )


def _spelled(name: str, readings: Sequence[Reading], told: Sequence[tuple[Answer, SquarePicture]]) -> int:
    """How many answers a format writes as they stand."""
    each = zip(readings, told, strict=True)
    return sum(is_spelled(name, reading, picture, answer.input_size) for reading, (answer, picture) in each)


def _objection(fits: Sequence[Fit], p_value: float) -> str | None:
    """Say what keeps the best way from being the model's format; None if nothing does."""
    best = fits[0]
    if not best.readable:
        return "no answer holds a box that any format reads"
    if p_value > CHANCE:
        return f"its boxes do not follow the picture (read as {best.name}, p = {p_value:.3f})"
    if best.mean_iou < ENOUGH:
        return f"the nearest, {best.name}, has a mean IoU of {best.mean_iou:.2f}, less than {ENOUGH}"
    if best.name in FOREIGN:
        return f"its boxes are {best.name} (mean IoU {best.mean_iou:.2f}), which is no format here"
    if best.sure < SURE:
        return f"{best.name} is not ahead of every other (sure: {best.sure:.3f}, less than {SURE})"
    return None


def _dealt(readings: Sequence[Reading], squares: Boxes) -> Scores:
    """Score each of P answers with each of P squares, shape (P, P); an answer's own is on the diagonal."""
    return np.stack(
        [
            iou(reading.boxes, squares).mean(axis=0) if len(reading.boxes) else np.zeros(len(squares))
            for reading in readings
        ]
    )


def _chance(dealt: Scores, rng: np.random.Generator) -> float:
    """How often answers that are dealt at random score as high as where they belong (permutation test)."""
    own = np.trace(dealt) - 1e-9
    places = np.arange(len(dealt))
    as_high = sum(dealt[rng.permutation(len(dealt)), places].sum() >= own for _ in range(RESAMPLES))
    return float(as_high + 1) / (RESAMPLES + 1)


def _resampled(scores: Scores, rng: np.random.Generator) -> Scores:
    """Means of F rows of P scores over resamples of the pictures, shape (R, F)."""
    count = scores.shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    means: Scores = weights @ scores.T / count
    return means


def _lead(means: Scores, order: Sequence[str], readings: dict[str, list[Reading]], name: str) -> float:
    """Share of the resamples in which a way beats every other that does not read alike."""
    rivals = [place for place, other in enumerate(order) if not _is_alike(readings[other], readings[name])]
    own = means[:, order.index(name)]
    # Where all others read alike, nothing having been read
    highest = means[:, rivals].max(axis=1, initial=0)
    return float((own > highest).mean())


def _is_alike(one: Sequence[Reading], other: Sequence[Reading]) -> bool:
    """Whether two ways read the same boxes in every answer."""
    return all(np.array_equal(a.boxes, b.boxes) for a, b in zip(one, other, strict=True))


def _fit(name: str, readings: Sequence[Reading], scores: Scores, squares: Boxes, sure: float) -> Fit:
    """Sum up how one way fits."""
    errors = [
        np.abs(reading.boxes[iou(reading.boxes, square[None])[:, 0].argmax()] - square).max() * SIDE
        for reading, square in zip(readings, squares, strict=True)
        if len(reading.boxes)
    ]
    return Fit(name, len(errors), float(scores.mean()), float(np.median(errors)) if errors else None, sure)
