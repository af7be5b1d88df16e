"""giqa-mini: the mini set's plain descriptions, grounded by the offline pipeline."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from giqa_datasets.pipeline.annotate import annotate, offline_models
from giqa_datasets.pipeline.drops import DropSink
from giqa_datasets.records import Record
from giqa_datasets.sources import mini


def giqa_mini(root: Path | None, drop: DropSink, seed: int, limit: int | None = None) -> dict[str, Iterable[Record]]:
    """Yield the records of both splits; `root` is not used."""
    models = offline_models()
    return {
        "train": annotate(islice(mini.read("train"), limit), models, drop, seed=seed),
        "test": annotate(islice(mini.read("test"), limit), models, drop, seed=seed),
    }
