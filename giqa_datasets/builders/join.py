"""A data set without pixels, joined with the user's own copies of its photographs to the set as it was built."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from giqa_datasets.builders.giqa_bench import Benchmark, benchmark_files, card_fields, read_review
from giqa_datasets.builders.sets import SETS
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.columns import (
    SOURCE,
    Columns,
    SetRow,
    Source,
    SplitCounts,
    faults_of_shape,
    pixels_of,
)
from giqa_datasets.dataset_folder.licence_gate import SOURCES, read_sources, redistributable
from giqa_datasets.dataset_folder.provenance import Provenance, read_drops, read_pipeline
from giqa_datasets.dataset_folder.shards import Shard, open_shards, read_rows, refuse
from giqa_datasets.dataset_folder.write import refuse_existing, set_name, write_folder
from giqa_datasets.drops import Drop
from giqa_datasets.entries import READERS, ImageSet, Refused, read_photograph
from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.image_stores import OwnCopies, read_changes, read_manifest
from giqa_datasets.loading import loading
from giqa_datasets.pipeline.annotation_folder import DROPS
from giqa_datasets.records import Photograph
from giqa_datasets.review.corrections import Corrections


_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_FILES = ("README.md", "data/*", "provenance/*")  # of a data set's repo


class Joined(NamedTuple):
    """The outcome of a join."""

    counts: dict[str, SplitCounts]  # by split
    n_images: int  # photographs that got their pixels
    left_out: list[Drop]  # rows that did not get them


class _Set(NamedTuple):
    """The parts of a data set folder beside its rows."""

    name: str
    files: Mapping[str, Sequence[str]]  # the upstream names of each image, by sha256
    sha256: Mapping[str, str]  # the manifest: the sha256 of each upstream name
    changes: Mapping[str, tuple[str, ...]]  # of the original files, by sha256
    allowed: frozenset[Source]  # the sources that are redistributable
    provenance: Provenance  # as it was built
    review: Benchmark | Corrections | None  # None of a set without a review

    def say(self, left_out: Sequence[Drop], counts: Mapping[str, SplitCounts]) -> Provenance:
        """The joined folder's provenance."""
        drops, funnel, settings = self.provenance[:3]
        fields = card_fields(self.name, counts, self.review)
        files = benchmark_files(self.name, counts, self.review)
        return Provenance([*drops, *left_out], funnel, settings, fields, files)


def require_place(name: str) -> None:
    """Refuse a name that is neither a folder nor the id of a repo on the Hub.

    Raises:
        ValueError: If it is neither.
    """
    if not (Path(name).is_dir() or _HUB_ID.fullmatch(name)):
        raise InputError(
            f"expected a data set out of {sorted(SETS)}, a data set folder or its id on the Hub, got {name!r}"
        )


def fetch(name: str) -> Path:
    """Find a data set folder, here or by its repo's id on the Hub, whose `main` is then downloaded into the cache.

    Raises:
        OSError: If it cannot be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    with loading("data set", name, "dataset", others=SETS):
        try:
            return Path(snapshot_download(name, repo_type="dataset", allow_patterns=list(_FILES)))
        except (OSError, ValueError) as error:
            raise UnavailableError(f"the data set {name!r} cannot be had from the Hub: {error}") from error


def join_copies(
    folder: Path, images: Sequence[Path], out: Path, *, overwrite: bool = False, progress: Progress = no_progress
) -> Joined:
    """Write a data set folder again, with the user's own copies as the pixels of the rows that lack them.

    A copy is found by its sha256 under any name, and made fit as the builder does it: if all are found, the folder is
    the one that was built, byte for byte. A row without a fit copy is left out; one with pixels stays as it is. The
    folder is not trusted; `out` appears whole or not at all.

    Raises:
        FileExistsError: If `out` exists and `overwrite` is off, or it is no data set folder.
        FileNotFoundError: If a file of the folder is missing, or a folder with copies.
        ValueError: If something in the folder is not valid, it has all pixels, or no row is left.
    """
    refuse_existing(out, overwrite=overwrite)
    said = _read_set(folder)
    splits: defaultdict[str, list[Shard]] = defaultdict(list)
    left_out: list[Drop] = []
    joined: set[str] = set()
    with ExitStack() as stack:
        for shard in open_shards(folder / "data", partial(_refuse, folder)):
            stack.enter_context(shard.file)
            splits[shard.split].append(shard)
        if not any(map(_lacks_pixels, [shard for shards in splits.values() for shard in shards])):
            raise InputError(f"every row of {folder} has its pixels, so there is nothing to join")
        copies = OwnCopies(said.sha256, images, progress)
        pool = stack.enter_context(ThreadPoolExecutor(READERS))
        read = partial(pool.map, partial(_photograph, copies))
        rows = {
            split: _rows(splits[split], said, read, left_out, joined, progress)
            for split in sorted(splits, key=lambda split: split != "train")  # as the builder has them
        }
        counts = write_folder(out, said.name, rows, partial(said.say, left_out), overwrite=overwrite)
    return Joined(counts, len(joined), left_out)


def _photograph(copies: OwnCopies, row: SetRow) -> Photograph | Refused:
    """The photograph of a row, read as the builder's sources read theirs."""
    rights = ImageSet(row.columns["source"], row.columns["image_license"])
    try:
        return read_photograph(copies, row.files[0], rights)
    except Refused as refused:
        return refused


def _rows(
    shards: Iterable[Shard],
    said: _Set,
    read: Callable[[Iterable[SetRow]], Iterable[Photograph | Refused]],
    left_out: list[Drop],
    joined: set[str],
    progress: Progress,
) -> Iterator[SetRow]:
    groups = [(shard, number) for shard in shards for number in range(shard.file.num_row_groups)]
    for shard, number in progress(groups, len(groups), "join row groups"):
        rows = [_checked(columns, shard, said) for columns in read_rows(shard, number)]
        wanted = {row.columns["image_sha256"]: row for row in rows if pixels_of(row.columns) is None}
        found = dict(zip(wanted, read(wanted.values()), strict=True))
        for row in rows:
            if pixels_of(row.columns) is None:
                sha256 = row.columns["image_sha256"]
                try:
                    row.columns["image"] = _image(row, found[sha256])
                except Refused as refused:
                    left_out.append(Drop(row.columns["id"], "join", refused.reason, str(refused)))
                    continue
                joined.add(sha256)
            yield row


def _checked(columns: dict[str, Any], shard: Shard, said: _Set) -> SetRow:
    """A row from outside, checked, with its upstream names and its rights."""
    where = f"{shard.where} {columns['id']!r}"
    try:
        Columns.model_validate(columns)
    except ValidationError as error:
        refuse(where, next(faults_of_shape(error)))
    files = said.files.get(columns["image_sha256"])
    if files is None:
        refuse(where, f"expected the sha256 of its image in provenance/images.jsonl, got {columns['image_sha256']}")
    changes = said.changes.get(columns["image_sha256"], ())
    return SetRow(columns, files, tuple(columns[name] for name in SOURCE) in said.allowed, changes)


def _image(row: SetRow, photograph: Photograph | Refused) -> dict[str, Any]:
    """The image of a row, out of the user's copy; raise Refused if there is none, or it has another size."""
    if isinstance(photograph, Refused):
        raise photograph
    stated, got = (row.columns["width"], row.columns["height"]), (photograph.width, photograph.height)
    if got != stated:
        said = "{}: expected {}x{}, as the row says, got {}x{}".format(row.files[0], *stated, *got)
        raise Refused("other_size", said)
    return {"bytes": photograph.image, "path": None}


def _lacks_pixels(shard: Shard) -> bool:
    """Tell by a shard's own statistics whether rows may be without pixels."""
    metadata = shard.file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    stated = [column.statistics for column in columns if column.path_in_schema == "image.bytes"]
    return any(known is None or not known.has_null_count or known.null_count for known in stated)


def _read_set(folder: Path) -> _Set:
    """Read the parts of a data set folder beside its rows.

    Raises:
        OSError: If a file is missing.
        ValueError: If one is not valid, or copies of the set cannot be joined.
    """
    name = set_name((folder / "README.md").read_text(encoding="utf-8", errors="replace"))
    known = sorted(each for each, made in SETS.items() if made.keeps_files)
    if name not in known:
        raise InputError(f"expected the card of one of {known}, whose images are upstream files, got {name!r}")
    read_sources(folder / SOURCES)  # raises if it is not valid
    manifest = folder / "provenance" / "images.jsonl"
    sha256, changes = read_manifest(manifest), read_changes(manifest)
    files: defaultdict[str, list[str]] = defaultdict(list)
    for file, digest in sha256.items():
        files[digest].append(file)
    drops = folder / "provenance" / DROPS
    earlier = read_drops(drops) if drops.exists() else []
    allowed = redistributable(folder)
    funnel, settings = read_pipeline(folder)
    return _Set(name, files, sha256, changes, allowed, Provenance(earlier, funnel, settings), read_review(folder))


def _refuse(folder: Path, where: str, what: str) -> None:
    refuse(str(folder / where), what)
