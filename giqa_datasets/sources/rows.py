"""The common part of upstream JSON sets: a list of rows, each an image and a text, each kept or dropped by itself.

A row that fails costs its own record and says why; a file in which no row fits is another file, and ends the
run. Upstream ids are not trusted: ours come from the image's name and the text, so that they are unique and do not
depend on the order of the rows.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field, ValidationError

from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, by_photograph, check_text, checked_name, read_photograph
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import fault_of
from giqa_datasets.image_stores import ImageStore
from giqa_datasets.records import Distortion


class Turn(BaseModel):
    """One turn of a conversation."""

    speaker: str = Field(alias="from")
    value: str


def load_rows(path: Path) -> list[object]:
    """Read a JSON list as a whole; the largest one upstream, Q-Instruct's, has 77 MB.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no list of rows.
    """
    if not path.is_file():
        raise MissingFileError(f"expected the upstream file {path}, found none")
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {path}: {error}") from error
    if not isinstance(rows, list) or not rows:
        came = f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__
        raise InputError(f"expected a list of rows in {path}, got {came}")
    return rows


def entries(path: Path, make: Callable[[object], Entry | None], drop: DropSink) -> list[Entry]:
    """Make an entry of each row of a file, those of an image side by side; rows are counted from 1.

    `make` returns None to pass over a row, and raises `Refused` or pydantic's error. A repeated row is dropped too.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no list of rows, or no row has the upstream's shape.
    """
    made: dict[str, Entry] = {}
    strange: list[str] = []
    rows = load_rows(path)
    for number, row in enumerate(rows, start=1):
        where = f"{path.name} row {number}"
        try:
            entry = make(row)
            if entry is None:
                continue
            if entry.id in made:
                raise Refused("duplicate", entry.id)
            made[entry.id] = replace(entry, where=where)
        except (Refused, ValidationError) as error:
            reason = error.reason if isinstance(error, Refused) else "malformed_row"
            what = str(error) if isinstance(error, Refused) else fault_of(error)
            drop(Drop(where, "source", reason, what))
            strange += [f"row {number}: {what}"] if reason == "malformed_row" else []
    if len(strange) == len(rows):
        raise InputError(f"expected upstream rows in {path}, got none: {strange[0]}")
    return by_photograph(made.values())


def answer(turns: Sequence[Turn]) -> str:
    """Return the answer of a conversation of one question and one answer, as its author wrote it.

    Raises:
        Refused: If the conversation is another one.
    """
    speakers = [turn.speaker for turn in turns]
    if speakers != ["human", "gpt"]:
        raise Refused("other_conversation", f"expected the turns human and gpt, got {speakers!a}")
    return turns[1].value


def make_entry(
    name: str,
    description: str,
    images: ImageStore,
    *,
    prefix: str,
    rights: ImageSet,
    text_license: str,
    distortions: tuple[Distortion, ...] = (),
) -> Entry:
    """Join an image's name and its description; the description, in any script, stays as it is, byte for byte.

    Raises:
        Refused: If the name is unsafe, or the description is empty, broken or holds markup.
    """
    name = checked_name(name)
    check_text(description, name)
    digest = hashlib.sha256(f"{name}\0{description}".encode()).hexdigest()[:12]
    identifier = f"{prefix}/{PurePosixPath(name).with_suffix('')}-{digest}"
    photograph = partial(read_photograph, images, name, rights, distortions)
    return Entry(identifier, "", name, description, text_license, photograph)
