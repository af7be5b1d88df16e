"""A reviewed data set folder: its photographs with the samples with which the last round of its review begins."""

from functools import partial
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError

from giqa_datasets.dataset_folder.columns import Columns
from giqa_datasets.dataset_folder.licence_gate import redistributable
from giqa_datasets.dataset_folder.parquet import annotations_of
from giqa_datasets.dataset_folder.shards import open_shards, refuse
from giqa_datasets.entries import Entry, Refused
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of
from giqa_datasets.image_stores import read_changes, read_manifest
from giqa_datasets.records import Distortion, Photograph
from giqa_datasets.review.corrections import sample_of
from giqa_datasets.review.items import Review, open_review, review_path
from giqa_datasets.review.rounds import anonymous, read_rounds
from giqa_datasets.review.states import State


def entries(folder: Path) -> list[Entry]:
    """List the photographs of a reviewed data set folder with their samples, in the folder's order.

    A sample that an annotator added has the text licence of its photograph's first row.

    Raises:
        OSError: If a file of the folder cannot be read.
        ValueError: If it has no review, more than one split, or a row or a line that is not valid.
    """
    samples = anonymous(read_rounds(review_path(folder)))[-1].begin
    review = open_review(folder)
    rows = _rows(folder)
    first = {row.image_sha256: row for row in reversed(rows.values())}
    manifest = folder / "provenance" / "images.jsonl"
    files = {sha256: file for file, sha256 in reversed(read_manifest(manifest).items())}
    changes = read_changes(manifest)
    allowed = redistributable(folder)
    names = {image.sha256: image.id for image in review.images}
    by_image: dict[str, list[State]] = {image.sha256: [] for image in review.images}
    for state in samples.values():
        by_image[state.image].append(state)

    def text_license(state: State) -> str:
        return rows.get(state.id, first[state.image]).text_license

    made = []
    for sha256, states in by_image.items():
        row = first[sha256]
        for number, (license, group) in enumerate(groupby(states, key=text_license), start=1):
            may_leave = (row.source, row.image_license, row.text_license) in allowed
            of_file = (files.get(sha256, ""), may_leave, changes.get(sha256, ()))
            photograph = partial(_photograph, review, row, of_file)
            name = names[sha256] if number == 1 else f"{names[sha256]} {number}"
            of_group = tuple(map(sample_of, group))
            made.append(Entry(name, name, name, of_group[0].answer, license, photograph, of_group))
    return made


def _rows(folder: Path) -> dict[str, Columns]:
    rows: dict[str, Columns] = {}
    splits: set[str] = set()
    for shard in open_shards(folder / "data", refuse):
        with shard.file:
            splits.add(shard.split)
            try:
                rows |= {row["id"]: Columns.model_validate(row) for row in annotations_of(shard.path).to_pylist()}
            except ValidationError as error:
                raise InputError(f"{shard.where}: {fault_of(error)}") from error
            except (OSError, ValueError) as error:  # pyarrow's, of a damaged file or of a text in another encoding
                raise InputError(f"{shard.where} cannot be read: {error}") from error
    if len(splits) > 1:
        raise InputError(
            f"expected candidates in one split, since a benchmark is not trained on, got {sorted(splits)}"
        )
    return rows


def _photograph(review: Review, row: Columns, of_file: tuple[str, bool, tuple[str, ...]]) -> Photograph:
    """Read a photograph out of the data set folder; raise Refused if the folder has changed meanwhile.

    `of_file` is the last three fields of a `Photograph`.
    """
    try:
        image = review.image_bytes(row.image_sha256)
    except (OSError, ValueError) as error:
        raise Refused("broken_image", error) from error
    distortions = tuple(Distortion(each.name, each.severity) for each in row.distortions)
    about = (row.width, row.height, row.image_sha256, row.source, row.image_license)
    return Photograph(image, *about, distortions, *of_file)
