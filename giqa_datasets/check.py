"""What does not hold in a data set folder, and what of a manifest is missing among a user's own copies."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from giqa_datasets.builders.dataset_folder import shards_digest
from giqa_datasets.builders.parquet import features
from giqa_datasets.check_rows import Counts, Note, Rows, Shard, Source, faults_of_shape
from giqa_datasets.progress import Progress, no_progress
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.sources.stores import OwnCopies, differences, read_manifest


BALANCED = "giqa-160k"  # the set in whose train split half of the Yes/No answers are Yes, as in the paper
_SHARD = re.compile(r"(\w+)-([0-9]{5})-of-([0-9]{5})\.parquet")


class Finding(NamedTuple):
    """One thing that does not hold.

    Attributes:
        where: A file of the folder, a split, or a split and a row's id.
        what: One sentence.
    """

    where: str
    what: str


class Examined(NamedTuple):
    """What a data set folder holds.

    Attributes:
        name: Of the set, as its card has it.
        findings: What does not hold.
        splits: What the rows are, by split.
    """

    name: str
    findings: list[Finding]
    splits: dict[str, Counts]


def check_dataset(folder: Path) -> list[Finding]:
    """Say everything that does not hold in a data set folder; see `examine_dataset`."""
    return examine_dataset(folder).findings


def examine_dataset(folder: Path, *, progress: Progress = no_progress) -> Examined:
    """Read a data set folder to its end, a row group at a time, and decode each of its images once.

    Checked are the files' names and sums, the columns, every row's text, boxes and pixels, what the rows have in
    common (ids, images apart from each other, images and look-alikes of them in two splits), and the numbers that the
    card and `provenance/sources.jsonl` state.

    Args:
        folder: What `giqa build` wrote, or what came of it; nothing in it makes this raise.
        progress: Wraps the row groups.
    """
    findings: list[Finding] = []

    def note(where: str, what: str) -> None:
        findings.append(Finding(where, _line(what)))

    card = _read_card(folder, note)
    said = re.search(r"^pretty_name: (\S+)$", card, re.MULTILINE)
    name = _line(said[1] if said else folder.resolve().name)
    rows = Rows(note, balanced=name == BALANCED)
    with ExitStack() as files:
        shards = list(_shards(folder / "data", note))
        groups = [
            (shard, number) for shard in shards for number in range(files.enter_context(shard.file).num_row_groups)
        ]
        for shard, number in progress(groups, len(groups), "check row groups"):
            rows.read(shard, number)
    rows.end()
    if card:
        _check_sums(folder, note)
        _check_card(card, rows.splits, note)
    _check_sources(folder / "provenance" / "sources.jsonl", rows.splits, note)
    _check_manifest(folder / "provenance" / "images.jsonl", rows.splits, note)
    return Examined(name, findings, rows.splits)


def check_images(manifest: Path, folders: Iterable[Path]) -> list[str]:
    """Say what of a manifest is missing or differs among the user's own copies, one sentence for each file.

    Args:
        manifest: JSON Lines of `{"file", "sha256"}`.
        folders: Searched with all that lies in them, under whatever names.

    Raises:
        FileNotFoundError: If there is no manifest or no such folder.
        ValueError: If a line of the manifest is not as it should be.
    """
    sha256 = read_manifest(manifest)
    return differences(OwnCopies(sha256, folders), sha256)


def shards_sums(folder: Path) -> tuple[str, str] | None:
    """The sha256 of a data set folder's shards: the one in its card, and that of the files; None without the first.

    The datasets library looks at the card alone, and may have read older shards.
    """
    card = folder / "README.md"
    said = (
        re.search(r"description: sha256 ([0-9a-f]{64})", card.read_text(encoding="utf-8")) if card.is_file() else None
    )
    return (said[1], shards_digest(folder / "data")) if said else None


class _Source(BaseModel):
    source: str
    image_license: str
    text_license: str
    rows: int


def _shards(data: Path, note: Note) -> Iterator[Shard]:
    """Open the shards, those of `test` first; what is no shard is passed over."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.iterdir()) if data.is_dir() else ():
        named = _SHARD.fullmatch(path.name) if path.is_file() else None
        if named:
            found[named[1]].append(path)
        else:
            note("data", f"expected files such as 'train-00000-of-00001.parquet', got {path.name!r}")
    if not found:
        note("data", "expected shards of a data set, got none")
    for split in sorted(found, key=lambda split: (split != "test", split)):
        names = [path.name for path in found[split]]
        expected = [f"{split}-{number:05d}-of-{len(names):05d}.parquet" for number in range(len(names))]
        if names != expected:
            note("data", f"expected all shards of {split}, {expected}, got {names}")
        yield from filter(None, (_open(split, path, note) for path in found[split]))


def _open(split: str, path: Path, note: Note) -> Shard | None:
    """Open a shard if it has the columns of a GIQA data set."""
    where = f"data/{path.name}"
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        faults = list(_faults_of_schema(file.schema_arrow))
    except Exception as error:  # pyarrow may raise anything on a damaged file
        note(where, f"cannot be read: {error}")
        return None
    for fault in faults:
        note(where, fault)
    return Shard(split, where, file) if not faults else None


def _faults_of_schema(schema: pa.Schema) -> Iterator[str]:
    """Say which columns are not as in every GIQA data set."""
    from datasets import Features

    expected, found = features(), Features.from_arrow_schema(schema)
    for name in dict.fromkeys((*expected, *found)):
        if expected.get(name) != found.get(name):
            yield f"expected {expected.get(name, 'no column')} as {name!r}, got {found.get(name, 'no column')}"
    if sorted(expected) == sorted(found) and list(expected) != list(found):
        yield f"expected the columns in the order {list(expected)}, got {list(found)}"


def _read_card(folder: Path, note: Note) -> str:
    """The card's text; empty if there is none."""
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        note("README.md", "expected the card of a data set, got none")
    except (OSError, ValueError) as error:
        note("README.md", f"cannot be read: {error}")
    return ""


def _check_sums(folder: Path, note: Note) -> None:
    """Compare the shards with the sum in the card."""
    try:
        sums = shards_sums(folder)
    except OSError:  # there is no data/, or a folder in it, which is said already
        return
    if sums is None:
        note("README.md", "expected the sha256 of the shards, got none")
    elif sums[0] != sums[1]:
        note("data", f"expected shards of the sha256 {sums[0]}, as the card says, got {sums[1]}")


def _check_card(card: str, splits: Mapping[str, Counts], note: Note) -> None:
    """Compare the rows with the card: the paths in its configs, and its table of the splits."""
    table = {line["split"]: line for line in _table(card, "split")}
    for split in dict.fromkeys((*table, *splits)):
        counts = splits.get(split, Counts())
        found = {"images": len(counts.images), "rows": counts.rows.total()}
        found |= {kind: counts.rows[kind] for kind in QUESTION_TYPES}
        if f"path: data/{split}-*.parquet" not in card:
            note("README.md", f"expected the path data/{split}-*.parquet in the configs, got none")
        if split not in table:
            note("README.md", f"expected a line for {split} in a table of the splits, got {list(table)}")
            continue
        for column, number in found.items():
            if column in table[split] and table[split][column] != str(number):
                note("README.md", f"expected {table[split][column]} {column} in {split}, got {number}")


def _table(card: str, first: str) -> list[dict[str, str]]:
    """The lines of the card's table whose first column is headed `first`; none if there is no such table."""
    found = re.search(rf"^\| {first} \|.*\n\|[-| ]+\n((?:\|.*\n?)*)", card, re.MULTILINE)
    if found is None:
        return []
    head, *lines = ([cell.strip() for cell in line.strip("| ").split("|")] for line in found[0].splitlines())
    return [dict(zip(head, cells, strict=False)) for cells in lines[1:]]


def _check_sources(path: Path, splits: Mapping[str, Counts], note: Note) -> None:
    """Compare the rows with what is written down of their sources, if anything is."""
    if not path.exists():
        return
    where, stated = f"provenance/{path.name}", Counter[Source]()
    try:
        for line in path.read_bytes().splitlines():
            said = _Source.model_validate_json(line)
            stated[Source(said.source, said.image_license, said.text_license)] += said.rows
    except ValidationError as error:
        note(where, next(faults_of_shape(error)))
        return
    except OSError as error:
        note(where, f"cannot be read: {error}")
        return
    found = sum((counts.sources for counts in splits.values()), start=Counter[Source]())
    for source in dict.fromkeys((*stated, *found)):
        if stated[source] != found[source]:
            note(where, f"expected {stated[source]} rows of {', '.join(source)}, got {found[source]}")


def _check_manifest(path: Path, splits: Mapping[str, Counts], note: Note) -> None:
    """Compare the rows' images with the manifest of the original files, if there is one."""
    if not path.exists():
        return
    where = f"provenance/{path.name}"
    try:
        stated = set(read_manifest(path).values())
    except (OSError, ValueError) as error:
        note(where, str(error))
        return
    found = set[str]().union(*(counts.images for counts in splits.values()))
    if stated != found:
        note(
            where,
            f"expected the files of all images, got {len(found - stated)} too few and {len(stated - found)} too many",
        )


def _line(text: str) -> str:
    """A text on one line, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
