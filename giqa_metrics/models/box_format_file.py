"""`box_format.json`: which box format a model speaks, as `giqa doctor` found it; `predict` and `score` read it."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from giqa_datasets.errors import InputError
from giqa_datasets.files import write_whole
from giqa_datasets.formats import FORMATS


NAME = "box_format.json"
MAX_BYTES = 2**20  # a larger file was not written by us, and is not read
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class FormatFile(BaseModel):
    """What is read of the file; the rest tells people how the format was found.

    Attributes:
        model: The name of the model's folder, or its id on the Hub or behind a server.
        box_format: None where no format fits.
    """

    model_config = ConfigDict(extra="ignore", strict=True)
    model: str = Field(min_length=1, max_length=1000)
    box_format: str | None


def format_of(model: str | None, given: str | None) -> str:
    """Name the box format that a model speaks.

    Args:
        model: A folder, a Hub id, or a server's name for its model; None where nobody knows it.
        given: A format's name, or a file that `giqa doctor` wrote. None takes the file in the model's own folder;
            without one it is `giqa`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If what is given is neither, the file is broken or of another model, or it says that no format
            fits.

    Example:
        >>> format_of("org/model", None), format_of("org/model", "ferret")
        ('giqa', 'ferret')
    """
    if given in FORMATS:
        return given
    if given is None:
        if model is None or not (Path(model) / NAME).is_file():
            return "giqa"
        path = Path(model) / NAME
        found = read_format_file(path)  # of this model whatever its name: folders are renamed
    else:
        path = Path(given)
        if not path.is_file():
            raise InputError(
                f"expected a box format out of {sorted(FORMATS)}, or a file that giqa doctor wrote, got {given!r}"
            )
        found = read_format_file(path)
        if model is not None and not _is_same(found.model, model_name(model)):
            raise InputError(f"{path} is of the model {found.model!r}, not of {model_name(model)!r}")
    if found.box_format is None:
        raise InputError(
            f"{path} says that no box format fits what {found.model!r} writes: name one with --box-format"
        )
    return found.box_format


def read_format_file(path: Path) -> FormatFile:
    """Read the file, which may come from anyone.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than `MAX_BYTES`, is no such file, or names a format that there is not.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes: giqa doctor did not write it")
    try:
        found = FormatFile.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path} was not written by giqa doctor: {where}: {first['msg']}") from error
    if found.box_format is not None and found.box_format not in FORMATS:
        raise InputError(f"{path}: expected a box format out of {sorted(FORMATS)}, got {found.box_format!r:.80}")
    return found


def write_format_file(path: Path, found: dict[str, Any]) -> None:
    """Write the file whole; `found` holds what `FormatFile` names, and how it was found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [json.dumps(found, indent=2, ensure_ascii=False), "\n"])


def default_path(model: str, *, server: bool) -> Path:
    """Say where a model's file lies: in its own folder, or in the working directory under the model's name.

    Example:
        >>> default_path("org/a model", server=True).as_posix()
        'a_model.box_format.json'
    """
    if not server and Path(model).is_dir():
        return Path(model) / NAME
    safe = _UNSAFE.sub("_", _last_part(model)).lstrip(".")[:100] or "model"
    return Path(f"{safe}.{NAME}")


def model_name(model: str) -> str:
    """Name a model as the file does: by its folder's own name where it is one here, so that folders may move."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _is_same(one: str, other: str) -> bool:
    """Whether two names may be of one model: equal, or one is the other's last part."""
    return one == other or (_last_part(one) == _last_part(other) and ("/" not in one or "/" not in other))


def _last_part(model: str) -> str:
    """The last part of a name with slashes."""
    return model.rstrip("/").rpartition("/")[2]
