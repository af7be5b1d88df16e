"""folder: anyone's photographs and descriptions (`sources/folder.py`), as one train split."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

from giqa_datasets.pipeline.annotate import annotate, offline_models
from giqa_datasets.pipeline.drops import DropSink
from giqa_datasets.records import Record
from giqa_datasets.sources import folder


def folder_set(root: Path | None, drop: DropSink, seed: int, limit: int | None = None) -> dict[str, Iterable[Record]]:
    """Yield the folder's records; those without regions go through the offline pipeline.

    Raises:
        ValueError: If no folder is given.
    """
    if root is None:
        raise ValueError("expected a folder of photographs with a metadata.jsonl, got none")
    return {"train": _grounded(islice(folder.read(root), limit), drop, seed)}


def _grounded(records: Iterable[Record], drop: DropSink, seed: int) -> Iterator[Record]:
    """Send runs of records without samples through the pipeline, in their order."""
    models = None
    for is_grounded, run in groupby(records, key=lambda record: bool(record.samples)):
        if is_grounded:
            yield from run
        else:
            models = models or offline_models()
            yield from annotate(run, models, drop, seed=seed)
