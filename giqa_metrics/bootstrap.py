"""How sure a score is: samples of one image are not independent, so images are resampled, not samples.

Everything works on sums (see `Stats`): a resample's score is that of the sum of its images' sums.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_metrics.stats import Table


Scores = Callable[[Table], Mapping[str, Any]]  # of sums, shape (S,)
Interval = tuple[float, float]
Floats = npt.NDArray[np.float64]

LEVEL = 0.95


class Difference(NamedTuple):
    """A score of two runs on the same samples.

    Attributes:
        a: Of the first run.
        b: Of the second.
        interval: Of b - a, by resampling images; None if there is but one.
        p_value: How often a difference as large comes from swapping the two runs' answers image by image at random.
    """

    a: float
    b: float
    interval: Interval | None
    p_value: float


def intervals(
    table: Table,
    groups: Sequence[Any],
    scores: Scores,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval | None]:
    """Confidence intervals by the percentile bootstrap over groups (Efron and Tibshirani 1993, section 13.3).

    Args:
        table: Shape (N, S), S sums per sample.
        groups: The image of each sample.
        scores: From sums to scores by name; what is no float, such as a count, is left out.
        resamples: How many.
        seed: Of the random numbers; the same seed draws the same images.
        level: Of the interval, in (0, 1).

    Returns:
        (low, high) by the name of the score; None where the score does not exist or there is but one image.

    Example:
        >>> mean = lambda sums: {"mean": sums[0] / sums[1]}
        >>> intervals(np.array([[0.0, 1], [1, 1], [1, 1], [0, 1]]), ["a", "b", "c", "d"], mean)
        {'mean': (0.0, 1.0)}
    """
    sums = _group_sums(table, groups)
    point = _floats(scores(sums.sum(axis=0)))
    if len(sums) < 2:
        return dict.fromkeys(point)
    drawn = [scores(counts @ sums) for counts in _resamples(len(sums), resamples, seed)]
    return {
        name: None if value is None else _interval([each[name] for each in drawn], level)
        for name, value in point.items()
    }


def differences(
    a: Table,
    b: Table,
    groups: Sequence[Any],
    scores: Scores,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Difference | None]:
    """Compare two runs on the same samples: paired bootstrap, and approximate randomisation (Noreen 1989).

    Args:
        a: Of the first run; shape (N, S), S sums per sample.
        b: Of the second run, the same samples in the same order.
        groups: The image of each sample; a run's answers to one image are swapped together.
        scores: As in `intervals`.
        resamples: How many, and how many random swaps.
        seed: Of the random numbers.
        level: Of the interval, in (0, 1).

    Returns:
        By the name of the score; None where one of the two has none.

    Example:
        >>> mean = lambda sums: {"mean": sums[0] / sums[1]}
        >>> ones, zeros = np.array([[1.0, 1]] * 20), np.array([[0.0, 1]] * 20)
        >>> differences(zeros, ones, range(20), mean)["mean"]
        Difference(a=0.0, b=1.0, interval=(1.0, 1.0), p_value=0.000999000999000999)
    """
    first, second = _group_sums(a, groups), _group_sums(b, groups)
    scores_a, scores_b = (_floats(scores(side.sum(axis=0))) for side in (first, second))
    drawn = [(scores(n @ first), scores(n @ second)) for n in _resamples(len(first), resamples, seed)]
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
        interval = _interval(_gaps(drawn, name), level) if len(first) > 1 else None
        gaps = _gaps(swapped, name)
        extreme = sum(abs(gap) >= abs(other - one) - 1e-12 for gap in gaps)
        out[name] = Difference(one, other, interval, float(extreme + 1) / (len(gaps) + 1))
    return out


def _group_sums(table: Table, groups: Sequence[Any]) -> Table:
    """Sums per group, shape (G, S), in the order in which the groups first appear."""
    if len(groups) != len(table):
        raise InputError(f"expected a group for each of {len(table)} samples, got {len(groups)}")
    order = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    place = np.array([order[group] for group in groups], dtype=np.int64)
    return np.stack([np.bincount(place, weights=column, minlength=len(order)) for column in table.T], axis=1)


def _resamples(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of `count` groups is drawn, with replacement, resample after resample."""
    rng = _generator(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, count, count, dtype=np.int32), minlength=count).astype(np.float64)


def _swaps(gap: Table, resamples: int, seed: int) -> Iterator[Floats]:
    """What moves from one run to the other when each group is swapped with probability 1/2."""
    rng = _generator(seed)
    for _ in range(resamples):
        yield rng.integers(0, 2, len(gap), dtype=np.int8).astype(np.float64) @ gap


def _floats(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores among counts."""
    floats = {name: value for name, value in scores.items() if value is None or isinstance(value, float)}
    return {name: None if value is None else float(value) for name, value in floats.items()}


def _gaps(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], name: str) -> list[float]:
    """Second minus first, where both exist."""
    return [b[name] - a[name] for a, b in pairs if a[name] is not None and b[name] is not None]


def _interval(values: Sequence[float | None], level: float) -> Interval | None:
    """The middle `level` of the values that exist."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def _generator(seed: int) -> np.random.Generator:
    """The random numbers of a seed.

    Raises:
        ValueError: If it is negative.
    """
    if seed < 0:
        raise InputError(f"expected a seed from 0, got {seed}")
    return np.random.default_rng(seed)
