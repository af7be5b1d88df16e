"""`giqa compare A B`: two scored runs on the same samples, and whether their difference is more than chance."""

from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_metrics.bootstrap import Difference, differences
from giqa_metrics.runs.files import ScoreRow, read_scores, read_summary
from giqa_metrics.runs.score import TASKS, measure


class ScoreDifference(NamedTuple):
    """One score of two runs on one task; `difference` is None where one of them has none."""

    task: str
    score: str
    difference: Difference | None


def compare_runs(a: Path, b: Path, *, resamples: int = RESAMPLES, seed: int = 0) -> list[ScoreDifference]:
    """Compare two run folders that `giqa score` has scored.

    Args:
        a: The first run's folder.
        b: The second run's folder.
        resamples: Of the paired bootstrap and of the randomisation test.
        seed: Of both.

    Returns:
        Every score of both runs; a difference is b - a.

    Raises:
        FileNotFoundError: If one is no scored run.
        ValueError: If the two were scored on other samples or in another way, or `giqa score` did not write a file.
    """
    (one, raw), (other, other_raw) = read_summary(a), read_summary(b)
    rows, others = _by_id(a), _by_id(b)
    if one.references != other.references or rows.keys() != others.keys():
        raise InputError(f"{a} and {b} were scored against different samples")
    out = []
    for task, metric in ((task, metric) for task, metrics in TASKS.items() for metric in metrics):
        ids = [name for name, row in rows.items() if row.task == task]
        if not ids:
            continue
        signatures = [_signature(summary, task, metric) for summary in (raw, other_raw)]
        if _but_for_format(signatures[0]) != _but_for_format(signatures[1]):
            raise InputError(f"{a} and {b} were scored differently: {signatures[0]} against {signatures[1]}")
        (table, scores), (against, _) = (
            measure(metric, [_metric(side[name], metric) for name in ids], preset=one.settings.preset)
            for side in (rows, others)
        )
        images = [rows[name].image for name in ids]
        found = differences(table, against, images, scores, resamples=resamples, seed=seed)
        out += [ScoreDifference(task, name, difference) for name, difference in found.items()]
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


def _but_for_format(signature: str) -> list[str]:
    """A signature without the box format: two models may well write boxes differently."""
    return [part for part in signature.split("|") if not part.startswith("format:")]
