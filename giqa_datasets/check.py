"""The faults of a data set folder, and the files of a manifest that a user's own copies lack."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jinja2 import TemplateNotFound

from giqa_datasets.builders.giqa_bench import REVIEW, Benchmark, card_fields, read_review, unlike_review
from giqa_datasets.check_rows import Rows
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder import licence_gate
from giqa_datasets.dataset_folder.card import write_card
from giqa_datasets.dataset_folder.columns import Rights, Source, SplitCounts, question_types
from giqa_datasets.dataset_folder.parquet import annotations_of
from giqa_datasets.dataset_folder.provenance import Provenance, read_drops, read_pipeline
from giqa_datasets.dataset_folder.shards import Note, Shard, open_shards
from giqa_datasets.dataset_folder.write import set_name, shards_digest
from giqa_datasets.image_stores import OwnCopies, differences, read_changes, read_manifest
from giqa_datasets.pipeline.annotation_folder import DROPS


BALANCED = "giqa-160k"  # in its train split half of the Yes/No answers are Yes, as in the paper


class Finding(NamedTuple):
    """One fault."""

    where: str  # a file of the folder, a split, or a split and a row's id
    what: str  # one sentence


class Examined(NamedTuple):
    """The content and the faults of a data set folder."""

    name: str  # from the card
    findings: list[Finding]
    splits: dict[str, SplitCounts]  # the rows by split; an image's sha256 is its name
    absent: dict[licence_gate.Pixels, licence_gate.Absent]  # rows and images without their pixels, by source


def examine_dataset(folder: Path, *, progress: Progress = no_progress) -> Examined:
    """Read a data set folder to its end, a row group at a time, and decode each of its images once.

    Checked are the files' names and sums, the columns, every row's text, boxes and pixels, the relations of rows (ids,
    images apart from each other, images and look-alikes of them in two splits), and the numbers of the card's tables
    and of `provenance/sources.jsonl`. A row may be without pixels if its source is not redistributable. The folder is
    not trusted, and nothing in it makes this raise.
    """
    findings: list[Finding] = []

    def note(where: str, what: str) -> None:
        findings.append(Finding(where, " ".join(what.split())))

    card = _read_card(folder, note)
    name = set_name(card) or folder.resolve().name
    with ExitStack() as files:
        pool = files.enter_context(ThreadPoolExecutor(os.cpu_count()))
        shards = list(open_shards(folder / "data", note))
        allowed = licence_gate.redistributable(folder)
        try:
            kept = licence_gate.kept_images(shards, allowed)
        except ValueError:  # noted when its rows are read
            kept = frozenset()
        rows = Rows(note, pool, balanced=name == BALANCED, kept=kept, allowed=allowed)
        groups = [
            (shard, number) for shard in shards for number in range(files.enter_context(shard.file).num_row_groups)
        ]
        for shard, number in progress(groups, len(groups), "check row groups"):
            rows.read(shard, number)
    rows.end()
    if card:
        _check_sums(folder, note)
        _check_card(card, rows.splits, note)
    _check_sources(folder / licence_gate.SOURCES, rows.splits, note)
    _check_manifest(folder / "provenance" / "images.jsonl", rows.splits, note)
    _check_others(folder, note)
    if not findings:
        _check_annotations(folder / "annotations", shards, note)
        _check_numbers(folder, name, card, rows.splits, note)
    return Examined(name, findings, rows.splits, licence_gate.counted(rows.absent.items()))


def check_images(manifest: Path, folders: Iterable[Path]) -> list[str]:
    """Name each file of a manifest that is missing or differs among copies under any names, a sentence each.

    Raises:
        FileNotFoundError: If there is no manifest or no such folder.
        ValueError: If a line of the manifest is not valid.
    """
    sha256 = read_manifest(manifest)
    return differences(OwnCopies(sha256, folders), sha256)


def shards_sums(folder: Path) -> tuple[str, str] | None:
    """Return the sha256 of a folder's shards in its card, and that of the files; None if the card has none.

    The datasets library reads only the card, and may have cached older shards.
    """
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    said = re.search(r"description: sha256 ([0-9a-f]{64})", text)
    return (said[1], shards_digest((folder / "data").iterdir())) if said else None


def _read_card(folder: Path, note: Note) -> str:
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        note("README.md", "expected the card of a data set, got none")
    except (OSError, ValueError) as error:
        note("README.md", f"cannot be read: {error}")
    return ""


def _check_annotations(folder: Path, shards: Iterable[Shard], note: Note) -> None:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for shard in shards:
        where = f"{folder.name}/{shard.path.name}"
        try:
            holds = shard.path.name in names and _are_same(
                pq.read_table(folder / shard.path.name), annotations_of(shard.path)
            )
        except Exception as error:  # pyarrow may raise anything on a damaged file
            note(where, f"cannot be read: {error}")
            continue
        if not holds:
            note(where, f"expected the rows of {shard.where} without their images, got others or none")
    if extra := names - {shard.path.name for shard in shards}:
        note(folder.name, f"expected the names of the files in data/ alone, got {sorted(extra)}")


def _are_same(one: pa.Table, other: pa.Table) -> bool:
    if one.equals(other):
        return True
    one, other = one.flatten(), other.flatten()  # so that the NaN of `objects.mos`, which equal nothing, stand alone
    return one.schema.equals(other.schema) and all(
        a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist())
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def _check_others(folder: Path, note: Note) -> None:
    """Read the files that are published beside rows and card."""
    drops, tasks = folder / "provenance" / DROPS, folder / "eval.yaml"
    try:
        if drops.exists():
            read_drops(drops)
    except (OSError, ValueError) as error:
        note(f"provenance/{DROPS}", str(error))
    try:
        if tasks.exists() and not isinstance(yaml.safe_load(tasks.read_text(encoding="utf-8")), dict):
            note("eval.yaml", "expected the name and the tasks of a benchmark, got something else")
    except (OSError, ValueError, yaml.YAMLError) as error:
        note("eval.yaml", f"cannot be read: {error}")


def _check_sums(folder: Path, note: Note) -> None:
    try:
        sums = shards_sums(folder)
    except OSError:  # there is no data/, or a folder in it, which is noted already
        return
    if sums is None:
        note("README.md", "expected the sha256 of the shards, got none")
    elif sums[0] != sums[1]:
        note("data", f"expected shards of the sha256 {sums[0]}, as the card says, got {sums[1]}")


def _check_card(card: str, splits: Mapping[str, SplitCounts], note: Note) -> None:
    """Compare the rows with the card: the paths in its configs, and its table of the splits."""
    table = {line["split"]: line for line in _table(card, "split")}
    for split in dict.fromkeys((*table, *splits)):
        counts = splits.get(split, SplitCounts())
        found = {"images": len(counts.images), "rows": counts.rows.total()}
        found |= {kind: counts.rows[kind] for kind in question_types(splits)}
        for path in (f"data/{split}-*.parquet", f"annotations/{split}-*.parquet"):
            if f"path: {path}" not in card:
                note("README.md", f"expected the path {path} in the configs, got none")
        if split not in table:
            note("README.md", f"expected a line for {split} in a table of the splits, got {list(table)}")
            continue
        for column, number in found.items():
            if column in table[split] and table[split][column] != str(number):
                note("README.md", f"expected {table[split][column]} {column} in {split}, got {number}")


def _check_numbers(folder: Path, name: str, card: str, splits: Mapping[str, SplitCounts], note: Note) -> None:
    """Compare each line of the card's tables with a card of these rows."""
    try:
        rights = licence_gate.read_sources(folder / licence_gate.SOURCES)
        changes = read_changes(folder / "provenance" / "images.jsonl")
        funnel, settings = read_pipeline(folder)
        review = read_review(folder)
    except FileNotFoundError:
        return  # there is nothing to compare
    except (OSError, ValueError) as error:
        note("provenance", str(error))
        return
    for where in unlike_review(folder / "data", review) if isinstance(review, Benchmark) else ():
        note(where, f"expected the sample as the last round of {REVIEW} has it, got another")
    written = {split: replace(counts, rights=Counter[Rights]()) for split, counts in splits.items()}
    first = next(iter(written.values()))
    first.rights, first.changes = rights, changes
    try:
        fields = card_fields(name, written, review)
        due = write_card(name, written, Provenance((), funnel, settings, fields), content="")
    except TemplateNotFound:
        return  # a set of someone else's
    there = {line.strip() for line in card.splitlines()}
    for line in map(str.strip, due.splitlines()):
        if line.startswith("|") and line not in there:
            note("README.md", f"expected the line {line!r} in a table, got none")


def _table(card: str, first: str) -> list[dict[str, str]]:
    """The lines of the card's table whose first column is `first`."""
    found = re.search(rf"^\| {first} \|.*\n\|[-| ]+\n((?:\|.*\n?)*)", card, re.MULTILINE)
    if found is None:
        return []
    head, *lines = ([cell.strip() for cell in line.strip("| ").split("|")] for line in found[0].splitlines())
    return [dict(zip(head, cells, strict=False)) for cells in lines[1:]]


def _check_sources(path: Path, splits: Mapping[str, SplitCounts], note: Note) -> None:
    """Compare the rows with `provenance/sources.jsonl`, if it is there."""
    if not path.exists():
        return
    where, stated = f"provenance/{path.name}", Counter[Source]()
    try:
        for right, number in licence_gate.read_sources(path).items():
            stated[right[:3]] += number
    except (OSError, ValueError) as error:
        note(where, str(error))
        return
    found = Counter[Source]()
    for counts in splits.values():
        found.update({right[:3]: number for right, number in counts.rights.items()})
    for source in dict.fromkeys((*stated, *found)):
        if stated[source] != found[source]:
            note(where, f"expected {stated[source]} rows of {', '.join(source)}, got {found[source]}")


def _check_manifest(path: Path, splits: Mapping[str, SplitCounts], note: Note) -> None:
    """Compare the rows' images with the manifest of the original files, if it is there."""
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
