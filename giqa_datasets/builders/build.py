"""A set from its sources to a folder that `load_dataset` reads: annotate what is not annotated yet, then write."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from giqa_datasets.builders.dataset_folder import build_folder, refuse_existing
from giqa_datasets.builders.parquet import SplitCounts
from giqa_datasets.builders.sets import Entries, Request, entries_of
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.pipeline.annotations import SETTINGS, read_settings
from giqa_datasets.pipeline.choice import Choice
from giqa_datasets.pipeline.run import Engine, Outcome, annotate_into, annotated


Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]  # wraps what comes; is told how many, and of what


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show nothing."""
    return items


def annotate_set(
    entries: Entries, folder: Path, choice: Choice, *, engine: Engine | None = None, progress: Progress = no_progress
) -> Outcome:
    """Annotate a set's entries into a folder; see `pipeline.run.annotate_into`."""
    return annotate_into(
        folder,
        entries.all,
        choice,
        left_out=entries.left_out,
        engine=engine,
        progress=lambda made, total: progress(made, total, "annotate"),
    )


def build_set(
    request: Request,
    out: Path,
    annotations: Path,
    choice: Choice,
    *,
    box_format: str = "giqa",
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> tuple[dict[str, SplitCounts], int]:
    """Write a data set folder.

    Args:
        request: The set and what it is made from.
        out: The folder to make.
        annotations: What the pipeline made of the entries; what it lacks is annotated into it first.
        choice: The models, for a folder of annotations that is yet to be begun.
        box_format: Format of the boxes in `prompt` and `completion`.
        overwrite: Replace a data set folder that is there already.
        progress: Wraps what comes.

    Returns:
        What was written, by split, and how many things were left out.

    Raises:
        FileExistsError: As `build_folder`.
        FileNotFoundError: If a file of a source is missing.
        ImportError: If a package is not installed.
        OSError: If a model cannot be had.
        ValueError: If the request is wrong, or no sample was left.
    """
    format_named(box_format)
    refuse_existing(out, overwrite=overwrite)
    entries = entries_of(request)
    outcome, settings = Outcome([], entries.left_out), None
    if not all(entry.samples for entry in entries.all):
        choice = _begun(annotations, request.seed) or replace(
            choice, rules=replace(choice.rules, seed=request.seed or 0)
        )
        outcome = annotate_set(entries, annotations, choice, progress=progress)
        settings = choice.settings()
    splits = {
        split: annotated(annotations, progress(listed, len(listed), f"{request.name} {split}"), outcome.drops.append)
        for split, listed in entries.splits.items()
    }
    counts = build_folder(
        out,
        request.name,
        splits,
        drops=outcome.drops,
        funnel=outcome.funnel,
        settings=settings,
        box_format=box_format,
        overwrite=overwrite,
    )
    return counts, len(outcome.drops)


def _begun(annotations: Path, seed: int | None) -> Choice | None:
    """The choice with which a folder of annotations was begun; None if there is no such folder."""
    path = annotations / SETTINGS
    if not path.exists():
        return None
    choice = Choice.of_settings(read_settings(path))
    if seed not in (None, choice.rules.seed):
        raise ValueError(f"{annotations} was begun with the seed {choice.rules.seed}, got {seed}")
    return choice
