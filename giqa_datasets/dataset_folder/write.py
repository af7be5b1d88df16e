"""Records to a folder that `load_dataset` reads: shards, card and provenance, whole or not at all."""

import hashlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from giqa_datasets.dataset_folder.card import example_rows, write_card
from giqa_datasets.dataset_folder.columns import SetRow, SplitCounts, set_rows
from giqa_datasets.dataset_folder.parquet import write_annotations, write_rows
from giqa_datasets.dataset_folder.provenance import Provenance, write_provenance
from giqa_datasets.drops import Drop
from giqa_datasets.errors import ExistingFileError, InputError
from giqa_datasets.files import write_whole
from giqa_datasets.records import Record


# Called with the counts when all rows are written; if it raises, no folder is left
Say = Callable[[Mapping[str, SplitCounts]], Provenance]


def build_folder(
    out: Path,
    name: str,
    splits: Mapping[str, Iterable[Record]],
    say: Say = lambda counts: Provenance(),
    *,
    box_format: str = "giqa",
    overwrite: bool = False,
) -> dict[str, SplitCounts]:
    """Write a data set folder out of annotated records by split: `write_folder` of their `rows` in a box format.

    It raises as `write_folder`, and ValueError if a record does not fit the columns.
    """
    rows = {split: set_rows(records, box_format=box_format) for split, records in splits.items()}
    return write_folder(out, name, rows, say, overwrite=overwrite)


def write_folder(
    out: Path, name: str, splits: Mapping[str, Iterable[SetRow]], say: Say, *, overwrite: bool = False
) -> dict[str, SplitCounts]:
    """Write a data set folder and count its rows by split. It appears whole, by a rename, or not at all.

    Of two processes that make the same folder, the first to end stays; with `overwrite`, the last.

    Rows of one image are side by side; `say` makes the provenance; splits without rows are left out.

    Raises:
        FileExistsError: If `out` exists and `overwrite` is off, or it is no data set folder.
        ValueError: If there is no row, or two have the same id.
    """
    refuse_existing(out, overwrite=overwrite)
    with whole_folder(out.absolute(), overwrite=overwrite) as partial:
        data = partial / "data"
        data.mkdir()
        ids: set[str] = set()
        counts = {split: write_rows(data, split, rows, ids) for split, rows in splits.items()}
        counts = {split: count for split, count in counts.items() if count.rows}
        said = say(counts)
        if not counts:
            raise InputError(f"no sample was left for {name}: {_why(said.drops)}")
        (partial / "annotations").mkdir()
        write_annotations(data, partial / "annotations")
        card = write_card(name, counts, said, content=shards_digest(data.iterdir()), examples=example_rows(data))
        write_provenance(partial / "provenance", counts, said)
        for path, text in ({"README.md": card} | dict(said.files)).items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(partial / path, [text])
    return counts


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError if writing `out` would lose something."""
    if not out.exists():
        return
    if not overwrite:
        raise ExistingFileError(f"{out} exists; --overwrite replaces a data set folder")
    shards = list((out / "data").glob("*"))
    ours = {"README.md", "annotations", "data", "eval.yaml", "provenance"}
    if not shards or any(path.suffix != ".parquet" for path in shards) or {path.name for path in out.iterdir()} - ours:
        raise ExistingFileError(f"{out} is no data set folder, so it is not overwritten")


@contextmanager
def whole_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a folder to fill that becomes `out`, or replaces it, if all goes well, and is gone if not."""
    anchor = next(folder for folder in out.parents if folder.exists())
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=anchor))
    try:
        (partial / "new").mkdir()  # mkdtemp's own folder is private
        yield partial / "new"
        out.parent.mkdir(parents=True, exist_ok=True)
        refuse_existing(out, overwrite=overwrite)  # another process may have made it in the meantime
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
    """Read the name of the set in a card; None if it is no data set's card."""
    said = re.search(r"^pretty_name: (\S+)$", card, re.MULTILINE)
    return said[1] if said else None


def shards_digest(shards: Iterable[Path]) -> str:
    """Return the sha256 of a data set's shards, in the order of their names; the card has it."""
    digest = hashlib.sha256()
    for shard in sorted(shards, key=lambda path: path.name):
        with shard.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _why(drops: Sequence[Drop]) -> str:
    if not drops:
        return "there were no records"
    reasons = Counter((drop.stage, drop.reason) for drop in drops)
    stage, reason = reasons.most_common(1)[0][0]
    example = next(drop.what for drop in drops if (drop.stage, drop.reason) == (stage, reason))
    return f"most often {stage}: {reason} ({example})"
