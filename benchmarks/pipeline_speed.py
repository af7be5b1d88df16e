"""What the pipeline itself costs, with models that cost nothing; and the Parquet it writes beside plain pyarrow's."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from giqa_datasets.batches import batches
from giqa_datasets.dataset_folder.columns import features, set_rows
from giqa_datasets.dataset_folder.parquet import ROW_GROUP, write_rows
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.entries import Entry
from giqa_datasets.pipeline.annotation_run import annotate_into, annotate_window, annotated
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.pipeline.protocols import Asked
from giqa_datasets.pipeline.stages import annotate
from giqa_datasets.records import Photograph, Record, Tag, rows


IMAGE_BYTES = 40_000
DESCRIPTION = (
    "The old castle is sharp and well lit, the man in front of it is blurred, and the dog beside him is noisy; "
    "the sky behind them is clean. All in all a pleasant photograph with a soft corner."
)
PHRASES = {"castle": "sharp", "man": "blurred", "dog": "noisy"}
BOXES = np.array([[0.1, 0.2, 0.3, 0.5], [0.6, 0.5, 0.9, 0.8]])


class Instant:
    """All four models at no cost: three objects of two boxes each, and four questions."""

    def tag(self, descriptions: Sequence[str]) -> list[list[Tag]]:
        none = np.zeros((0, 4))
        return [
            [
                Tag(phrase, (text.index(phrase), text.index(phrase) + len(phrase)), quality, "none", none)
                for phrase, quality in PHRASES.items()
            ]
            for text in descriptions
        ]

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[np.ndarray]]:
        return [[BOXES[:1] for _ in wanted] for wanted in phrases]

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> list[bool]:
        return [True] * len(crops)

    def ask(self, descriptions: Sequence[str], tags: Sequence, seeds: Sequence[int]) -> list[list[Asked]]:
        closed = [Asked("yes_no", "Is the castle sharp?", "Yes."), Asked("yes_no", "Is the man sharp?", "No.")]
        opened = [Asked("how", "How does the dog look?", "Noisy.")]
        return [closed if seed % 2 else opened for seed in seeds]


def make_entries(count: int, *, per_image: int = 2) -> list[Entry]:
    """Entries in memory: a photograph of `IMAGE_BYTES` that does not compress for every `per_image` of them."""
    buffer = io.BytesIO()
    Image.new("RGB", (512, 384)).save(buffer, "JPEG")
    rng = np.random.default_rng(0)
    entries = []
    for number in range(count):
        image_number = number // per_image
        if number % per_image == 0:
            raw = buffer.getvalue() + rng.bytes(IMAGE_BYTES - len(buffer.getvalue()))
        photograph = Photograph(raw, 512, 384, f"{image_number:064x}", "made", "cc0-1.0", file=f"{image_number}.jpg")
        entries.append(Entry.of(Record(f"r{number}", photograph, DESCRIPTION, "cc0-1.0")))
    return entries


def overhead(count: int, folder: Path) -> tuple[int, float]:
    """Rows written, and CPU-seconds, from entries in memory to a data set folder; its journal included."""
    features()  # imports the datasets library, which is no part of the work
    entries = make_entries(count)
    models = SimpleNamespace(**dict.fromkeys(("tagger", "detector", "verifier", "asker"), Instant()))

    def engine(windows, choice):
        return (made for window in windows for made in annotate_window(window, models, choice))

    def run() -> int:
        settings = Choice()
        outcome = annotate_into(folder / "annotations", entries, settings, engine=engine)
        records = annotated(folder / "annotations", entries, outcome.drops.append)
        said = Provenance(outcome.drops, outcome.funnel, settings.settings())
        return build_folder(folder / "set", "folder", {"train": records}, lambda counts: said)["train"].rows.total()

    return timed(run)


def parquet(count: int, folder: Path) -> Iterator[tuple[str, int, float, float]]:
    """Writer, rows, CPU-seconds (the median of five), and stored bytes over unique image bytes."""
    entries = make_entries(count)
    models = SimpleNamespace(**dict.fromkeys(("tagger", "detector", "verifier", "asker"), Instant()))
    records = list(annotate([entry.load() for entry in entries], models, [].append))
    n_rows = sum(len(record.samples) for record in records)
    unique = sum(map(len, {record.photograph.image for record in records}))

    def ours() -> Path:
        write_rows(folder, "train", set_rows(records, box_format="giqa"), set())
        return folder / "train-00000-of-00001.parquet"

    def plain() -> Path:
        return write_plain(records, folder / "plain.parquet")

    seconds: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for _ in range(5):  # one after the other, so that both meet the same noise
        for name, write in (("giqa", ours), ("pyarrow", plain)):
            path, took = timed(write)
            seconds.setdefault(name, []).append(took)
            sizes[name] = path.stat().st_size
    for name, times in seconds.items():
        yield name, n_rows, float(np.median(times)), sizes[name] / unique


def write_plain(records: list[Record], path: Path) -> Path:
    """What one writes who has the rows: pyarrow's own defaults, in groups of the same size."""
    schema = features().arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for group in batches((row for record in records for row in rows(record)), ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return path


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU-seconds."""
    began = time.process_time()
    result = run()
    return result, time.process_time() - began
