"""Lines of someone's JSON, and what pydantic found wrong with one, as a person would say it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from giqa_datasets.errors import InputError


Line = TypeVar("Line", bound=BaseModel)


def read_lines(path: Path, kind: type[Line]) -> Iterator[tuple[str, Line]]:
    """Yield the lines of a JSON Lines file, each after what to call it in an error.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not of the kind; it is named.
    """
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            where = f"{path} line {number}"
            try:
                line = kind.model_validate_json(raw)
            except ValidationError as error:
                raise InputError(f"{where}: {fault_of(error)}") from error
            yield where, line


def fault_of(error: ValidationError) -> str:
    """The first fault, after the place where it stands: "regions.0.phrase: field required"."""
    return said(error.errors()[0])


def said(fault: Any) -> str:
    """One of an error's faults, as pydantic details it, after the place where it stands."""
    where = ".".join(map(str, fault["loc"]))
    where = f"{where}: " if where else ""
    if fault["type"] in ("model_type", "model_attributes_type"):  # pydantic would name a class of ours
        return f"{where}expected an object, got {type(fault['input']).__name__}"
    return f"{where}{fault['msg'][:1].lower()}{fault['msg'][1:]}"
