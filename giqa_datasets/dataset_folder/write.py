"""Records to a folder that `load_dataset` reads: shards, card and drops, whole or not at all."""

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from giqa_datasets.builders.eval_yaml import BENCHMARKS, benchmark_eval_yaml
from giqa_datasets.builders.giqa_bench import Benchmark, write_benchmark
from giqa_datasets.dataset_folder.card import example_rows, write_card
from giqa_datasets.dataset_folder.columns import Rights, SetRow, SplitCounts, features, set_rows
from giqa_datasets.dataset_folder.parquet import write_annotations, write_rows
from giqa_datasets.drops import Drop
from giqa_datasets.errors import ExistingFileError, InputError
from giqa_datasets.files import write_whole
from giqa_datasets.image_stores import ImageFile, write_manifest
from giqa_datasets.pipeline.annotation_folder import DROPS, FUNNEL, SETTINGS
from giqa_datasets.pipeline.annotation_lines import drop_line
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.records import Record


def build_folder(
    out: Path,
    name: str,
    splits: Mapping[str, Iterable[Record]],
    *,
    drops: list[Drop],
    funnel: Callable[[], Sequence[Row]] = tuple,
    settings: Mapping[str, Any] | None = None,
    box_format: str = "giqa",
    benchmark: Benchmark | None = None,
    require: Callable[[Mapping[str, SplitCounts]], object] = lambda counts: None,
    overwrite: bool = False,
    progress: Callable[[Iterable[Record], str], Iterable[Record]] = lambda records, split: records,
) -> dict[str, SplitCounts]:
    """Write a data set folder. It appears whole, by a rename, or not at all.

    Args:
        out: The folder to make.
        name: The set's name, which has a card.
        splits: Annotated records by split.
        drops: What was left out; the list may still grow while `splits` is read.
        funnel: What went into each stage of the pipeline and what came out; asked when all records are read.
        settings: The models and thresholds of the pipeline.
        box_format: Format of the boxes in `prompt` and `completion`.
        benchmark: How it was made, of a benchmark out of a review.
        require: Told of what was written before it appears; raises to prevent that.
        overwrite: Replace a data set folder that is there already.
        progress: Wraps each split's records.

    Returns:
        What was written, by split; splits without rows are left out.

    Raises:
        FileExistsError: If `out` exists and `overwrite` is off, or it is no data set folder.
        ValueError: If no record has a sample, or a record does not fit the columns.
    """
    rows = {split: set_rows(progress(records, split), box_format=box_format) for split, records in splits.items()}
    return write_folder(
        out,
        name,
        rows,
        drops=drops,
        funnel=funnel,
        settings=settings,
        benchmark=benchmark,
        require=require,
        overwrite=overwrite,
    )


def write_folder(
    out: Path,
    name: str,
    splits: Mapping[str, Iterable[SetRow]],
    *,
    drops: list[Drop],
    earlier: Sequence[Drop] = (),
    funnel: Callable[[], Sequence[Row]] = tuple,
    settings: Mapping[str, Any] | None = None,
    benchmark: Benchmark | None = None,
    require: Callable[[Mapping[str, SplitCounts]], object] = lambda counts: None,
    overwrite: bool = False,
) -> dict[str, SplitCounts]:
    """Write a data set folder out of rows, as `build_folder` does out of records.

    Args:
        out: The folder to make.
        name: The set's name, which has a card.
        splits: Rows by split, those of one image side by side.
        drops: As in `build_folder`.
        earlier: What was left out before there were rows; stands before `drops`.
        funnel: As in `build_folder`.
        settings: As in `build_folder`.
        benchmark: As in `build_folder`.
        require: As in `build_folder`.
        overwrite: As in `build_folder`.

    Returns:
        What was written, by split; splits without rows are left out.

    Raises:
        FileExistsError: As `build_folder`.
        ValueError: If there is no row, or two have the same id.
    """
    refuse_existing(out, overwrite=overwrite)
    with _appearing(out.absolute()) as partial:
        data = partial / "data"
        data.mkdir()
        ids: set[str] = set()
        counts = {split: write_rows(data, split, rows, ids) for split, rows in splits.items()}
        counts = {split: count for split, count in counts.items() if count.rows}
        if not counts:
            raise InputError(f"no sample was left for {name}: {_why(drops)}")
        require(counts)
        (partial / "annotations").mkdir()
        write_annotations(data, partial / "annotations")
        steps = funnel() if settings is not None else ()
        card = write_card(
            name,
            counts,
            content=shards_digest(data.iterdir()),
            columns=features(),
            funnel=steps,
            settings=settings,
            benchmark=benchmark,
            examples=example_rows(data),
        )
        (partial / "README.md").write_text(card, encoding="utf-8")
        if name in BENCHMARKS:
            views = {"des" if kind == "des" else "vqa" for split in counts.values() for kind in split.rows}
            (partial / "eval.yaml").write_text(benchmark_eval_yaml(name, views), encoding="utf-8")
        _write_provenance(partial / "provenance", counts, [*earlier, *drops], steps, settings)
        if benchmark:
            write_benchmark(benchmark, partial)
    return counts


def _write_provenance(
    folder: Path,
    counts: Mapping[str, SplitCounts],
    drops: Sequence[Drop],
    funnel: Sequence[Row],
    settings: Mapping[str, Any] | None,
) -> None:
    """Write where everything comes from; not at the data set's top, where load_dataset would take it for data."""
    folder.mkdir()
    files = {name: digest for split in counts.values() for name, digest in split.files.items()}
    write_manifest(folder / "images.jsonl", (ImageFile(*file) for file in sorted(files.items())))
    rights = sum((split.rights for split in counts.values()), start=Counter[Rights]())
    sources = (json.dumps(right._asdict() | {"rows": rows}) + "\n" for right, rows in sorted(rights.items()))
    write_whole(folder / "sources.jsonl", sources)
    if drops:
        write_whole(folder / DROPS, map(drop_line, drops))
    if settings is not None:
        write_whole(folder / FUNNEL, [json.dumps([row._asdict() for row in funnel], indent=2) + "\n"])
        write_whole(folder / SETTINGS, [json.dumps(settings, indent=2) + "\n"])


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError where writing `out` would lose something."""
    if not out.exists():
        return
    if not overwrite:
        raise ExistingFileError(f"{out} exists; --overwrite replaces a data set folder")
    shards = list((out / "data").glob("*"))
    ours = {"README.md", "annotations", "data", "eval.yaml", "provenance"}
    if not shards or any(path.suffix != ".parquet" for path in shards) or {path.name for path in out.iterdir()} - ours:
        raise ExistingFileError(f"{out} is no data set folder, so it is not overwritten")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes `out`, and replaces it, when all went well, and is gone when not."""
    anchor = next(folder for folder in out.parents if folder.exists())
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=anchor))
    try:
        (partial / "new").mkdir()  # mkdtemp's own folder is private
        yield partial / "new"
        out.parent.mkdir(parents=True, exist_ok=True)
        old = partial / "old"
        if out.exists():
            out.replace(old)  # renamed before it is deleted, so that a failure can put it back
        try:
            (partial / "new").replace(out)
        except BaseException:
            if old.exists():
                old.replace(out)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def set_name(card: str) -> str | None:
    """The name of the set whose card this is; None if it is no such card."""
    said = re.search(r"^pretty_name: (\S+)$", card, re.MULTILINE)
    return said[1] if said else None


def shards_digest(shards: Iterable[Path]) -> str:
    """sha256 of a data set's shards, in the order of their names; the card has it."""
    digest = hashlib.sha256()
    for shard in sorted(shards, key=lambda path: path.name):
        with shard.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _why(drops: list[Drop]) -> str:
    """The commonest reason, for an empty set."""
    if not drops:
        return "there were no records"
    reasons = Counter((drop.stage, drop.reason) for drop in drops)
    stage, reason = reasons.most_common(1)[0][0]
    example = next(drop.what for drop in drops if (drop.stage, drop.reason) == (stage, reason))
    return f"most often {stage}: {reason} ({example})"
