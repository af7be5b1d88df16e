"""giqa-bench-mini: the mini set's hand-made descriptions, questions and boxes; test split only."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from giqa_datasets.pipeline.drops import DropSink
from giqa_datasets.records import Record
from giqa_datasets.sources import mini


def giqa_bench_mini(
    root: Path | None, drop: DropSink, seed: int, limit: int | None = None
) -> dict[str, Iterable[Record]]:
    """Yield the test records; nothing is drawn or dropped, and `root` is not used."""
    return {"test": islice(mini.read_hand_made("test"), limit)}
