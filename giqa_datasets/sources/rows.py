"""What upstream JSON sets have in common: a list of rows, each an image and a text, each kept or dropped by itself.

A row that fails costs its own record and says why; a file in which no row fits is not the upstream's, and ends the
run. Upstream ids are not trusted: ours come from the image's name and the text, so that they are unique and do not
depend on the order of the rows.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import BaseModel, Field, ValidationError

from giqa_datasets.images import bake
from giqa_datasets.pipeline.drops import Drop, DropSink
from giqa_datasets.records import Distortion, Photograph, Record
from giqa_datasets.sources.stores import ImageStore, safe_name
from giqa_datasets.text import parse


class Rights(NamedTuple):
    """An upstream image set: its name, its licence as it states it, and whether its own terms let others pass it on.

    Attributes:
        source: The set's name, as the column `source` has it.
        license: Of the pixels.
        redistributable: False unless the set's own terms say so.
    """

    source: str
    license: str
    redistributable: bool = False


class Refused(ValueError):
    """A row that makes no record: `reason` is the short name that the drop gets."""

    def __init__(self, reason: str, what: object = "") -> None:
        """Take the reason and what was wrong."""
        super().__init__(str(what))
        self.reason = reason


class Turn(BaseModel):
    """One turn of a conversation."""

    speaker: str = Field(alias="from")
    value: str


def load_rows(path: Path) -> list[object]:
    """Read a JSON list as a whole; the largest one upstream, Q-Instruct's, has 77 MB.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no JSON list, or an empty one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected the upstream file {path}, found none")
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON in {path}: {error}") from error
    if not isinstance(rows, list) or not rows:
        came = f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__
        raise ValueError(f"expected a list of rows in {path}, got {came}")
    return rows


def records(path: Path, make: Callable[[object], Record | None], drop: DropSink) -> Iterator[Record]:
    """Make a record of each row of a file; rows are counted from 1.

    Args:
        path: A JSON list of rows.
        make: One row's record, or None where the row is of no concern; raises `Refused`, or pydantic's error.
        drop: Told of each row that was refused, and of each that repeats an earlier one.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no list of rows, or no row has the upstream's shape.
    """
    seen: set[str] = set()
    strange: list[str] = []
    rows = load_rows(path)
    for number, row in enumerate(rows, start=1):
        try:
            made = _shaped(make, row)
            if made is None:
                continue
            if made.id in seen:
                raise Refused("duplicate", made.id)
        except Refused as refused:
            drop(Drop(f"{path.name} row {number}", "source", refused.reason, str(refused)))
            if refused.reason == "malformed_row":
                strange.append(f"row {number}: {refused}")
            continue
        seen.add(made.id)
        yield made
    if len(strange) == len(rows):
        raise ValueError(f"expected upstream rows in {path}, got none: {strange[0]}")


def _shaped(make: Callable[[object], Record | None], row: object) -> Record | None:
    """Make a row's record; a row of another shape is refused."""
    try:
        return make(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the row"
        raise Refused("malformed_row", f"{where}: {first['msg'].lower()}") from error


def answer(turns: Sequence[Turn]) -> str:
    """The text of a conversation of one question and one answer, as its author wrote it.

    Raises:
        Refused: If the conversation is another one.
    """
    speakers = [turn.speaker for turn in turns]
    if speakers != ["human", "gpt"]:
        raise Refused("other_conversation", f"expected the turns human and gpt, got {speakers!a}")
    return turns[1].value


def make_record(
    name: str,
    description: str,
    images: ImageStore,
    *,
    prefix: str,
    rights: Rights,
    text_license: str,
    distortions: tuple[Distortion, ...] = (),
) -> Record:
    """Join an image and its description; the description stays as it is, byte for byte.

    Args:
        name: The image's upstream name.
        description: In any script.
        images: Where the image lies.
        prefix: Of the record's id.
        rights: Of the pixels.
        text_license: Of the description.
        distortions: Known artificial distortions.

    Raises:
        Refused: If the description is empty, broken or holds markup, or the image is missing or cannot be read.
    """
    name = checked_name(name)
    _check_text(description, name)
    try:
        raw = images.read(name)
        encoded = bake(raw, name=name)
    except FileNotFoundError as error:
        raise Refused("missing_image", error) from error
    except ValueError as error:
        raise Refused("broken_image", error) from error
    digest = hashlib.sha256(f"{name}\0{description}".encode()).hexdigest()[:12]
    photograph = Photograph(
        *encoded,
        sha256=hashlib.sha256(raw).hexdigest(),
        source=rights.source,
        license=rights.license,
        distortions=distortions,
    )
    return Record(f"{prefix}/{PurePosixPath(name).with_suffix('')}-{digest}", photograph, description, text_license)


def checked_name(name: str) -> str:
    """The name in its one form.

    Raises:
        Refused: If it is unsafe.
    """
    try:
        return safe_name(name)
    except ValueError as error:
        raise Refused("unsafe_path", error) from error


def _check_text(description: str, name: str) -> None:
    """Refuse a description that says nothing, or that later stages could not write or read back."""
    if not description.strip():
        raise Refused("empty_description", name)
    try:
        description.encode()
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair
        raise Refused("broken_description", f"{name}: {description!a}") from error
    if "<image>" in description or parse(description).plain != description:
        raise Refused("markup_in_description", description)
