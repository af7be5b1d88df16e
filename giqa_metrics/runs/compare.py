"""`giqa compare A B`: two scored runs on the same samples, and whether their difference is more than chance."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_metrics.bootstrap import Difference, differences
from giqa_metrics.runs.files import ScoreRow, read_scores, read_summary
from giqa_metrics.runs.score import TASKS, measure


logger = logging.getLogger(__name__)


class ScoreDifference(NamedTuple):
    """One score of two runs on one task; `difference` is None where one of them has none."""

    task: str
    score: str
    a: float | None
    b: float | None
    difference: Difference | None


def compare_runs(a: Path, b: Path, *, resamples: int = RESAMPLES, seed: int = 0) -> list[ScoreDifference]:
    """Compare two run folders that `giqa score` has scored.

    Args:
        a: The first run's folder.
        b: The second run's folder.
        resamples: Of the paired bootstrap and of the randomisation test.
        seed: Of both.

    Returns:
        Every score of both runs; a difference is b - a. Where the two were scored in different ways, a warning says
        what differs in their signatures.

    Raises:
        FileNotFoundError: If one is no scored run.
        ValueError: If the two were scored on other samples, or `giqa score` did not write a file.
    """
    (one, raw), (other, other_raw) = read_summary(a), read_summary(b)
    rows, others = _by_id(a), _by_id(b)
    if one.references != other.references or rows.keys() != others.keys():
        raise InputError(f"{a} and {b} were scored against different samples")
    out, differing = [], set()
    for task, metric in ((task, metric) for task, metrics in TASKS.items() for metric in metrics):
        ids = [name for name, row in rows.items() if row.task == task]
        if not ids:
            continue
        signatures = [_signature(summary, task, metric) for summary in (raw, other_raw)]
        differing |= set(_differing(*signatures))
        if one.settings.preset != other.settings.preset:
            raise InputError(f"{a} and {b} were scored by different presets: {signatures[0]} against {signatures[1]}")
        (table, scores), (other_table, _) = (
            measure(metric, [_metric(side[name], metric) for name in ids], preset=one.settings.preset)
            for side in (rows, others)
        )
        images = [rows[name].image for name in ids]
        found = differences(table, other_table, images, scores, resamples=resamples, seed=seed)
        in_a, in_b = (summary[task][metric] for summary in (raw, other_raw))
        out += [
            ScoreDifference(task, name, in_a.get(name), in_b.get(name), difference)
            for name, difference in found.items()
        ]
    if differing:
        logger.warning("%s and %s were scored in different ways: %s", a, b, "; ".join(sorted(differing)))
    return out


def _by_id(folder: Path) -> dict[str, ScoreRow]:
    """The rows of `scores.jsonl`."""
    return {row.id: row for row in read_scores(folder)}


def _metric(row: ScoreRow, metric: str) -> dict[str, object]:
    """What a metric kept of a sample."""
    if metric not in row.metrics:
        raise InputError(f"expected {metric} in the row of {row.id!r}: score the run again")
    return row.metrics[metric]


def _signature(summary: dict[str, Any], task: str, metric: str) -> str:
    """A metric's signature."""
    try:
        signature: str = "" + summary[task][metric]["signature"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"expected a signature of {metric} for {task} in summary.json: score the run again"
        ) from error
    return signature


def _differing(a: str, b: str) -> list[str]:
    """Parts of two signatures that are not the same, `key:one against other`."""
    one, other = (dict(part.partition(":")[::2] for part in signature.split("|")) for signature in (a, b))
    keys = [key for key in one | other if one.get(key) != other.get(key)]
    return [f"{key} {one.get(key, 'none')} against {other.get(key, 'none')}" for key in keys]
