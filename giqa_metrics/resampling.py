"""How sure a score is: samples of one image are not independent, so images are left out or swapped, not samples.

Everything works on sums (see `Stats`): the score without an image is that of all sums less its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import exp, log
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Floats
from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_metrics.stats import Table


Scores = Callable[[Table], Mapping[str, Any]]  # of sums, shape (S,)
Interval = tuple[float, float]

LEVEL = 0.95
METHOD = "jackknife over images, t on the logit scale"
NOTHING = 1e-9  # of a score's range: nearer to an end is at it, a smaller change is none


class Difference(NamedTuple):
    """A score of two runs on the same samples.

    Attributes:
        a: Of the first run.
        b: Of the second.
        interval: Of b - a, by leaving out images, as far as there are such differences; None if but one image has the
            score. Without a width if every image left out leaves the same: no image speaks against it, which is no
            certainty.
        p_value: How often a difference as large comes from swapping the two runs' answers image by image at random.
        floor: The lowest p-value that as many swaps can give: at it, all that is known is that p is no higher.
    """

    a: float
    b: float
    interval: Interval | None
    p_value: float
    floor: float


class _LeftOut(NamedTuple):
    """What leaving out parts says of a number: its standard error, and how many parts bear on it."""

    error: float
    n_parts: int


def intervals(
    table: Table,
    groups: Sequence[Any],
    scores: Scores,
    *,
    top: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval | None]:
    """Confidence intervals by the jackknife over groups.

    The standard error is that of leaving out a group at a time (Efron and Tibshirani 1993, equation 11.5). The
    interval is Student's on the logit of score / top, so that it stays in [0, top] and leans away from the nearer
    end; its degrees of freedom are the groups that bear on the score, less one. At an end, where the error is 0, the
    bound is the exact binomial one of as many groups (its mid-P form).

    `benchmarks/intervals.py` measures how often the interval holds the truth.

    Args:
        table: Shape (N, S), S sums per sample.
        groups: The image of each sample.
        scores: From sums to scores in [0, top] by name; what is no float, such as a count, is left out.
        top: The highest score there can be.
        resamples: At most so many; of more groups, as many random parts are left out in turn.
        seed: Of the parts.
        level: Of the interval, in (0, 1).

    Returns:
        (low, high) by the name of the score; None where the score does not exist or fewer than two groups bear on it.
        Without a width where every group left out leaves the same score, as where all have the same.

    Example:
        >>> mean = lambda sums: {"mean": sums[0] / sums[1]}
        >>> found = intervals(np.array([[0.0, 1], [1, 1], [1, 1], [0, 1]]), ["a", "b", "c", "d"], mean)
        >>> [round(bound, 3) for bound in found["mean"]]
        [0.025, 0.975]
    """
    sums = _group_sums(table, groups)
    whole = _floats(scores(sums.sum(axis=0)))
    parts = _parts(sums, resamples, seed)
    size = len(sums) / max(len(parts), 1)
    without, alone = _left_out(parts, scores), [scores(part) for part in parts]
    out: dict[str, Interval | None] = {}
    for name, value in whole.items():
        out[name] = None
        if value is not None:
            left_out = _jackknife(value, [each[name] for each in without], [each[name] for each in alone])
            out[name] = _within(value, left_out, size, top, level)
    return out


def differences(
    a: Table,
    b: Table,
    groups: Sequence[Any],
    scores: Scores,
    *,
    top: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Difference | None]:
    """Compare two runs on the same samples: paired jackknife, and approximate randomisation (Noreen 1989).

    The interval is Student's around the difference, with the error of leaving out a group of both runs at a time.

    Args:
        a: Of the first run; shape (N, S), S sums per sample.
        b: Of the second run, the same samples in the same order.
        groups: The image of each sample; a run's answers to one image are swapped together.
        scores: As in `intervals`, and `top`.
        top: No difference is greater.
        resamples: How many random swaps; and as in `intervals`.
        seed: Of the swaps and parts.
        level: Of the interval, in (0, 1).

    Returns:
        By the name of the score; None where one of the two has none.

    Example:
        >>> mean = lambda sums: {"mean": sums[0] / sums[1]}
        >>> ones, zeros = np.array([[1.0, 1]] * 20), np.array([[0.0, 1]] * 20)
        >>> differences(zeros, ones, range(20), mean)["mean"]
        Difference(a=0.0, b=1.0, interval=(1.0, 1.0), p_value=0.000999000999000999, floor=0.000999000999000999)
    """
    first, second = _group_sums(a, groups), _group_sums(b, groups)
    scores_a, scores_b = (_floats(scores(side.sum(axis=0))) for side in (first, second))
    parts = [_parts(side, resamples, seed) for side in (first, second)]
    without = list(zip(*(_left_out(side, scores) for side in parts), strict=True))
    alone = [(scores(one), scores(other)) for one, other in zip(*parts, strict=True)]
    swapped = [
        (scores(first.sum(axis=0) + moved), scores(second.sum(axis=0) - moved))
        for moved in _swaps(second - first, resamples, seed)
    ]
    out: dict[str, Difference | None] = {}
    for name, one in scores_a.items():
        other = scores_b[name]
        if one is None or other is None:
            out[name] = None
            continue
        gap = other - one
        left_out = _jackknife(gap, _gaps(without, name), _gaps(alone, name))
        gaps = [each for each in _gaps(swapped, name) if each is not None]
        extreme = sum(abs(each) >= abs(gap) - 1e-12 for each in gaps)
        floor = 1 / (len(gaps) + 1)
        out[name] = Difference(one, other, _around(gap, left_out, top, level), float(extreme + 1) * floor, floor)
    return out


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for there being many: the chance of even one false find is at most the level (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    weighed = np.array(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(weighed), 1)
    return [float(value) for value in corrected]


def _group_sums(table: Table, groups: Sequence[Any]) -> Table:
    """Sums per group, shape (G, S), in the order in which the groups first appear."""
    if len(groups) != len(table):
        raise InputError(f"expected a group for each of {len(table)} samples, got {len(groups)}")
    order = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    return _sums(table, np.array([order[group] for group in groups], dtype=np.int64), len(order))


def _parts(sums: Table, resamples: int, seed: int) -> Table:
    """Sums per part, shape (P, S): each group, or as many random parts of the groups as there are resamples."""
    rng = _generator(seed)
    if len(sums) <= resamples:
        return sums
    return _sums(sums, rng.permutation(len(sums)) % resamples, resamples)


def _sums(table: Table, place: npt.NDArray[np.int64], count: int) -> Table:
    """Sums of the rows at each of `count` places."""
    return np.stack([np.bincount(place, weights=column, minlength=count) for column in table.T], axis=1)


def _left_out(parts: Table, scores: Scores) -> list[Mapping[str, Any]]:
    """The scores without each part."""
    whole = parts.sum(axis=0)
    return [scores(whole - part) for part in parts]


def _swaps(gap: Table, resamples: int, seed: int) -> Iterator[Floats]:
    """What moves from one run to the other when each group is swapped with probability 1/2."""
    rng = _generator(seed)
    for _ in range(resamples):
        yield rng.integers(0, 2, len(gap), dtype=np.int8).astype(np.float64) @ gap


def _floats(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores among counts."""
    floats = {name: value for name, value in scores.items() if value is None or isinstance(value, float)}
    return {name: None if value is None else float(value) for name, value in floats.items()}


def _gaps(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], name: str) -> list[float | None]:
    """Second minus first; None where one does not exist."""
    return [None if a[name] is None or b[name] is None else b[name] - a[name] for a, b in pairs]


def _jackknife(value: float, without: Sequence[float | None], alone: Sequence[float | None]) -> _LeftOut:
    """Sum up what a number is without each part; a part bears on it that changes it or has it by itself."""
    known = np.array([each for each in without if each is not None])
    bears = [
        by_itself is not None or each is None or abs(each - value) > NOTHING
        for each, by_itself in zip(without, alone, strict=True)
    ]
    spread = known - known.mean() if len(known) else known
    error = float(np.sqrt((len(known) - 1) / len(known) * (spread @ spread))) if len(known) else 0.0
    return _LeftOut(error, sum(bears))


def _within(value: float, left_out: _LeftOut, size: float, top: float, level: float) -> Interval | None:
    """Student's interval on the logit scale, or the binomial one at an end; a part is of `size` groups."""
    if left_out.n_parts < 2:
        return None
    share, error = value / top, left_out.error / top
    bound = (1 - level) ** (1 / (left_out.n_parts * size))
    if share < NOTHING:
        return 0.0, top * (1 - bound)
    if share > 1 - NOTHING:
        return top * bound, top
    reach = _quantile(left_out, level) * error / (share * (1 - share))
    odds = log(share / (1 - share))
    low, high = (top / (1 + exp(-max(odds + way * reach, -700.0))) for way in (-1, 1))
    return min(low, value), max(high, value)


def _around(value: float, left_out: _LeftOut, top: float, level: float) -> Interval | None:
    """Student's interval, as far as it lies from -top to top."""
    if left_out.n_parts < 2:
        return None
    reach = _quantile(left_out, level) * left_out.error
    return max(value - reach, -top), min(value + reach, top)


def _quantile(left_out: _LeftOut, level: float) -> float:
    """Student's quantile."""
    from scipy.special import stdtrit

    return float(stdtrit(left_out.n_parts - 1, (1 + level) / 2))


def _generator(seed: int) -> np.random.Generator:
    """The random numbers of a seed.

    Raises:
        ValueError: If it is negative.
    """
    if seed < 0:
        raise InputError(f"expected a seed from 0, got {seed}")
    return np.random.default_rng(seed)
