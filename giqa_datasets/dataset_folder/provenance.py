"""What a data set folder says of how its rows were made: read back as it was written, or refused in one sentence."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from giqa_datasets.drops import Drop
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of, read_lines
from giqa_datasets.pipeline.annotation_folder import FUNNEL, SETTINGS
from giqa_datasets.pipeline.annotation_lines import DropLine
from giqa_datasets.pipeline.funnel import Row


_Kind = TypeVar("_Kind")


class _Settings(BaseModel):
    """What the card tells of the models."""

    llm: str
    detector: str
    verifier: str
    box_threshold: float
    merge_area: float
    merge_coverage: float


class _DropLine(DropLine):
    id: str


def read_pipeline(folder: Path) -> tuple[list[Row], dict[str, Any] | None]:
    """Read what went into each stage and came out, and the models; none of a set that the pipeline did not make.

    Raises:
        OSError: If there are models and nothing of the stages.
        ValueError: If a file is not as it should be.
    """
    settings = folder / "provenance" / SETTINGS
    if not settings.exists():
        return [], None
    _read(settings, _Settings)
    return _read(folder / "provenance" / FUNNEL, list[Row]), _read(settings, dict[str, Any])


def read_drops(path: Path) -> list[Drop]:
    """Read what was left out.

    Raises:
        OSError: If there is no such file.
        ValueError: If a line is not as it should be; it is named.
    """
    return [
        Drop(line.id, line.stage, line.reason, line.what, tuple(line.boxes)) for _, line in read_lines(path, _DropLine)
    ]


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    """Read JSON of a kind."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: {fault_of(error)}") from error
