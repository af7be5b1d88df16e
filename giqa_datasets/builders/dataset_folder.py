"""Records to a folder that `load_dataset` reads: shards, card and drops, whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from giqa_datasets.builders.card import write_card
from giqa_datasets.builders.parquet import SplitCounts, features, write_split
from giqa_datasets.pipeline.drops import Drop
from giqa_datasets.records import Record


def build_folder(
    out: Path,
    name: str,
    splits: Mapping[str, Iterable[Record]],
    *,
    drops: list[Drop],
    box_format: str = "giqa",
    overwrite: bool = False,
    progress: Callable[[Iterable[Record], str], Iterable[Record]] = lambda records, split: records,
) -> dict[str, SplitCounts]:
    """Write a data set folder. It appears whole, by a rename, or not at all.

    Args:
        out: The folder to make.
        name: The set's name, which has a card.
        splits: Annotated records by split.
        drops: The list that the pipeline's stages append to while `splits` is read.
        box_format: Format of the boxes in `prompt` and `completion`.
        overwrite: Replace a data set folder that is there already.
        progress: Wraps each split's records.

    Returns:
        What was written, by split; splits without rows are left out.

    Raises:
        FileExistsError: If `out` exists and `overwrite` is off, or it is no data set folder.
        ValueError: If no record has a sample, or a record does not fit the columns.
    """
    refuse_existing(out, overwrite=overwrite)
    with _appearing(out.absolute()) as partial:
        data = partial / "data"
        data.mkdir()
        ids: set[str] = set()
        counts = {
            split: write_split(data, split, progress(records, split), ids, box_format=box_format)
            for split, records in splits.items()
        }
        counts = {split: count for split, count in counts.items() if count.rows}
        if not counts:
            raise ValueError(f"no sample was left for {name}: {_why(drops)}")
        card = write_card(name, counts, content=shards_digest(data), columns=features(), drops=drops)
        (partial / "README.md").write_text(card, encoding="utf-8")
        if drops:
            provenance = partial / "provenance"
            provenance.mkdir()  # not at the top, where load_dataset would take it for data
            lines = "".join(json.dumps(asdict(drop), ensure_ascii=False) + "\n" for drop in drops)
            (provenance / "drops.jsonl").write_text(lines, encoding="utf-8")
    return counts


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError where writing `out` would lose something."""
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists; --overwrite replaces a data set folder")
    shards = list((out / "data").glob("*"))
    ours = {"README.md", "data", "provenance"}
    if not shards or any(path.suffix != ".parquet" for path in shards) or {path.name for path in out.iterdir()} - ours:
        raise FileExistsError(f"{out} is no data set folder, so it is not overwritten")


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


def shards_digest(data: Path) -> str:
    """sha256 of a data set folder's shards, in the order of their names; the card has it."""
    digest = hashlib.sha256()
    for shard in sorted(data.iterdir()):
        with shard.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _why(drops: list[Drop]) -> str:
    """The commonest reason, for an empty set."""
    reasons = [f"{drop.stage}: {drop.reason}" for drop in drops]
    return f"most often {max(set(reasons), key=reasons.count)}" if reasons else "there were no records"
