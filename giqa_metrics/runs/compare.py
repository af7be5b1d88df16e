"""`giqa compare A B ...`: scored runs on the same samples, and whether their differences are more than chance."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_metrics.resampling import Difference, differences, holm
from giqa_metrics.runs import defects
from giqa_metrics.runs.counts import UNREAD, is_of_boxes, is_unread
from giqa_metrics.runs.files import ScoreRow, Summary, read_scores, read_summary
from giqa_metrics.runs.score import TASKS, TOPS, measure


logger = logging.getLogger(__name__)


class ScoreDifference(NamedTuple):
    """One score of two runs on one task.

    Attributes:
        run_a: The first run's name: its folder's, or the whole path where two folders have one name.
        run_b: The other run's.
        task: `des` or `vqa`.
        score: Its name.
        n_images: How many photographs the task has.
        n_samples: How many samples.
        a: The score of the first run, None if it has none, `unread` if another box format would read its boxes.
        b: That of the other.
        difference: None where one of them has no score, or an unread one.
        p_holm: The p-value, corrected for all scores of all runs that were tested together; None as `difference`.
    """

    run_a: str
    run_b: str
    task: str
    score: str
    n_images: int
    n_samples: int
    a: float | str | None
    b: float | str | None
    difference: Difference | None
    p_holm: float | None


class _Run(NamedTuple):
    """A scored run: its folder and name, its summary, checked and as it stands, and its rows by id."""

    folder: Path
    name: str
    summary: Summary
    raw: dict[str, Any]
    rows: dict[str, ScoreRow]


def compare_runs(first: Path, *others: Path, resamples: int = RESAMPLES, seed: int = 0) -> list[ScoreDifference]:
    """Compare run folders that `giqa score` has scored, each with the first.

    Args:
        first: A run's folder.
        others: Those of others, at least one.
        resamples: Of the randomisation test and the intervals.
        seed: Of both.

    Returns:
        Every score of each pair, a pair after the other; a difference is b - a. Where two were scored in different
        ways, a warning says what differs in their signatures.

    Raises:
        FileNotFoundError: If one is no scored run.
        ValueError: If there is but one run, two were scored on other samples, or `giqa score` did not write a file.
    """
    if not others:
        raise InputError(f"expected two runs or more, got {first} alone")
    folders = (first, *others)
    names = [folder.resolve().name for folder in folders]
    one, *rest = (
        _Run(folder, name if names.count(name) == 1 else str(folder), *read_summary(folder), _by_id(folder))
        for folder, name in zip(folders, names, strict=True)
    )
    found = [each for other in rest for each in _compare(one, other, resamples, seed)]
    corrected = iter(holm([each.difference.p_value for each in found if each.difference is not None]))
    return [each if each.difference is None else each._replace(p_holm=next(corrected)) for each in found]


def _compare(one: _Run, other: _Run, resamples: int, seed: int) -> list[ScoreDifference]:
    """Every score of two runs."""
    if one.summary.references != other.summary.references or one.rows.keys() != other.rows.keys():
        raise InputError(f"{one.folder} and {other.folder} were scored against different samples")
    preset = one.summary.settings.preset
    out, differing = [], set()
    for task, metric in ((task, metric) for task, metrics in TASKS.items() for metric in (*metrics, defects.METRIC)):
        if metric == defects.METRIC and not all(metric in run.raw.get(task, ()) for run in (one, other)):
            continue  # of a set that does not say what is wrong
        ids = [name for name, row in one.rows.items() if row.task == task]
        if not ids:
            continue
        signatures = [_signature(run.raw, task, metric) for run in (one, other)]
        differing |= set(_differing(*signatures))
        if preset != other.summary.settings.preset:
            raise InputError(
                f"{one.folder} and {other.folder} were scored by different presets: "
                f"{signatures[0]} against {signatures[1]}"
            )
        rows = ([_metric(run.rows[name], metric) for name in ids] for run in (one, other))
        (table, other_table), scores = measure(metric, *rows, preset=preset)
        images = [one.rows[name].image for name in ids]
        found = differences(table, other_table, images, scores, top=TOPS[metric], resamples=resamples, seed=seed)
        unread = [is_unread(run.raw, task) for run in (one, other)]
        counts = len(set(images)), len(ids)
        for name, each in found.items():
            is_boxes = is_of_boxes(metric, name)
            a, b = (
                UNREAD if is_it and is_boxes else run.raw[task][metric].get(name)
                for run, is_it in zip((one, other), unread, strict=True)
            )
            difference = None if any(unread) and is_boxes else each
            out.append(ScoreDifference(one.name, other.name, task, name, *counts, a, b, difference, None))
    if differing:
        logger.warning(
            "%s and %s were scored in different ways: %s", one.folder, other.folder, "; ".join(sorted(differing))
        )
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
