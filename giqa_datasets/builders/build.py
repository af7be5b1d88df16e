"""A set from its sources to a folder that `load_dataset` reads: annotate what is not annotated yet, then write."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from giqa_datasets.builders.dataset_folder import build_folder, refuse_existing
from giqa_datasets.builders.parquet import SplitCounts
from giqa_datasets.builders.sets import Entries, Request, entries_of
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.pipeline.annotations import SETTINGS, read_settings
from giqa_datasets.pipeline.choice import OFFLINE, PRESETS, Choice
from giqa_datasets.pipeline.drops import FAULT, Drop
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.pipeline.run import Engine, Outcome, annotate_into, annotated, begun, in_order
from giqa_datasets.progress import Progress, no_progress


_MODELS = ("llm", "detector", "verifier")  # the settings that name one


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
        progress=progress,
    )


def build_set(
    request: Request,
    out: Path,
    annotations: Path,
    choice: Choice | None = None,
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
        choice: The models; by default those with which the annotations were begun, else the set's own.
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
        ValueError: If the request is wrong, the annotations were made by another choice, or no sample was left.
    """
    format_named(box_format)
    refuse_existing(out, overwrite=overwrite)
    entries = entries_of(request, progress)
    outcome, settings, listed = Outcome([], entries.left_out), None, entries.splits
    if not all(entry.samples for entry in entries.all):
        choice = choice or begun(annotations) or default_choice(request.name)
        if request.seed is not None:
            choice = replace(choice, rules=replace(choice.rules, seed=request.seed))
        outcome = annotate_set(entries, annotations, choice, progress=progress)
        outcome = outcome._replace(drops=list(map(_stated_drop, outcome.drops)))
        settings = _stated(read_settings(annotations / SETTINGS))
        listed = {split: in_order(annotations, of_split) for split, of_split in listed.items()}
    late: Counter[str] = Counter()

    def drop(left_out: Drop) -> None:
        outcome.drops.append(left_out)
        late[left_out.reason] += 1

    def funnel() -> list[Row]:
        n_described = sum(row.n_out for row in outcome.funnel if row.stage == "fuse")
        n_in = n_described + sum(bool(entry.samples) for entry in entries.all)
        return [*outcome.funnel, Row("build", "descriptions", n_in, n_in - late.total(), dict(sorted(late.items())))]

    counts = build_folder(
        out,
        request.name,
        {
            split: annotated(annotations, progress(of_split, len(of_split), f"{request.name} {split}"), drop)
            for split, of_split in listed.items()
        },
        drops=outcome.drops,
        funnel=funnel,
        settings=settings,
        box_format=box_format,
        overwrite=overwrite,
    )
    return counts, len(outcome.drops)


def _stated(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as a data set states them: of a model that is a folder of this machine, its name alone."""
    return {name: _without_place(said) if name in _MODELS else said for name, said in settings.items()}


def _without_place(model: str) -> str:
    return Path(model).absolute().name if Path(model).is_absolute() or model.startswith((".", "~")) else model


def _stated_drop(drop: Drop) -> Drop:
    """A drop as a data set states it: what a model failed with may tell of this machine, and of its server."""
    return replace(drop, what="drops.jsonl of the annotations says with what") if drop.reason == FAULT else drop


def default_choice(name: str) -> Choice:
    """The models that annotate a set unasked: the paper's for its own set."""
    return PRESETS["paper" if name == "giqa-160k" else OFFLINE]
