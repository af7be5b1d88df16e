"""The provenance of a data set folder: written, and read back or refused in one sentence."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from giqa_datasets.dataset_folder.columns import Rights, SplitCounts
from giqa_datasets.drops import Drop
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of, read_lines, write_whole
from giqa_datasets.image_stores import ImageFile, write_manifest
from giqa_datasets.pipeline.annotation_folder import DROPS, FUNNEL, SETTINGS
from giqa_datasets.pipeline.annotation_lines import DropLine, drop_line
from giqa_datasets.pipeline.funnel import Row


_Kind = TypeVar("_Kind")


class Provenance(NamedTuple):
    """The content of a data set folder beside its rows."""

    drops: Sequence[Drop] = ()
    funnel: Sequence[Row] = ()  # in and out of each stage of the pipeline; empty for a set that it did not make
    settings: Mapping[str, Any] | None = None  # the models and thresholds of the pipeline
    fields: Mapping[str, Any] = {}  # for the text of the set's card
    files: Mapping[str, str] = {}  # other texts of the folder by their paths


class _Settings(BaseModel):
    llm: str
    detector: str
    verifier: str
    box_threshold: float
    merge_area: float
    merge_coverage: float


class _DropLine(DropLine):
    id: str


def write_provenance(folder: Path, counts: Mapping[str, SplitCounts], said: Provenance) -> None:
    """Write the provenance files, in a folder of their own: load_dataset would take those at the top for data."""
    folder.mkdir()
    files = {name: digest for split in counts.values() for name, digest in split.files.items()}
    changes = {sha256: made for split in counts.values() for sha256, made in split.changes.items()}
    listed = (ImageFile(file, sha256, changes.get(sha256, ())) for file, sha256 in sorted(files.items()))
    write_manifest(folder / "images.jsonl", listed)
    rights = sum((split.rights for split in counts.values()), start=Counter[Rights]())
    sources = (json.dumps(right._asdict() | {"rows": rows}) + "\n" for right, rows in sorted(rights.items()))
    write_whole(folder / "sources.jsonl", sources)
    if said.drops:
        write_whole(folder / DROPS, map(drop_line, said.drops))
    if said.settings is not None:
        write_whole(folder / FUNNEL, [json.dumps([row._asdict() for row in said.funnel], indent=2) + "\n"])
        write_whole(folder / SETTINGS, [json.dumps(said.settings, indent=2) + "\n"])


def read_pipeline(folder: Path) -> tuple[list[Row], dict[str, Any] | None]:
    """Read the funnel and the settings; neither exists of a set that the pipeline did not make.

    Raises:
        OSError: If there are settings and no funnel.
        ValueError: If a file is not valid.
    """
    settings = folder / "provenance" / SETTINGS
    if not settings.exists():
        return [], None
    _read(settings, _Settings)
    return _read(folder / "provenance" / FUNNEL, list[Row]), _read(settings, dict[str, Any])


def read_drops(path: Path) -> list[Drop]:
    """Read a file of drops.

    Raises:
        OSError: If there is no such file.
        ValueError: If a line is not valid; it is named.
    """
    return [
        Drop(line.id, line.stage, line.reason, line.what, tuple(line.boxes)) for _, line in read_lines(path, _DropLine)
    ]


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: {fault_of(error)}") from error
