"""The data sets that `giqa build` makes, by name: records to a folder that `load_dataset` reads."""

from collections.abc import Callable, Iterable
from pathlib import Path

from giqa_datasets.builders.folder import folder_set
from giqa_datasets.builders.giqa_bench_mini import giqa_bench_mini
from giqa_datasets.builders.giqa_mini import giqa_mini
from giqa_datasets.builders.giqa_tiny import giqa_tiny
from giqa_datasets.pipeline.drops import DropSink
from giqa_datasets.records import Record


# (folder or None, drop sink, seed, records to take of each split) -> records by split
SETS: dict[str, Callable[[Path | None, DropSink, int, int | None], dict[str, Iterable[Record]]]] = {
    "folder": folder_set,
    "giqa-bench-mini": giqa_bench_mini,
    "giqa-mini": giqa_mini,
    "giqa-tiny": giqa_tiny,
}
