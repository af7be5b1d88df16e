"""How a model learned: `training.jsonl` of a run, out of what transformers' Trainer leaves in the model's folder."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of, read_lines, write_whole


MAX_BYTES = 2**26  # a trainer_state.json above it is not read
CHART = (360, 120)  # width and height of a chart's plane
MAX_DOTS = 100  # of a chart

logger = logging.getLogger(__name__)


class Point(BaseModel):
    """What the Trainer logged at a step: the loss, and the share of answer tokens guessed right, where TRL says it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    step: Annotated[int, Field(ge=0)]
    loss: float
    mean_token_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


class Log(BaseModel):
    """What is read of a `trainer_state.json`."""

    model_config = ConfigDict(extra="ignore")
    log_history: list[dict[str, Any]]


class Chart(NamedTuple):
    """A curve as the report draws it, in pixels of a plane as large as `CHART`.

    Attributes:
        title: What is drawn.
        dots: x, y, and what stands there in words, by step.
        line: The dots as an SVG polyline's `points`.
        top: The value at the plane's upper edge; the lower one is 0.
        steps: The step at its right edge; the left one is 0.
    """

    title: str
    dots: list[tuple[float, float, str]]
    line: str
    top: str
    steps: str


def copy_learning(model: str, run: Path) -> None:
    """Copy what the training of a local model logged into its run; nothing, where there is no log or it is broken.

    The log is `trainer_state.json` of the folder, else of its last checkpoint.
    """
    logs = [*Path(model).glob("checkpoint-*/trainer_state.json"), *Path(model).glob("trainer_state.json")]
    if not logs:
        return
    path = max(logs, key=lambda log: (log.parent == Path(model), _step(log.parent.name)))
    try:
        points = _points(path)
    except (OSError, ValueError) as error:
        why = fault_of(error) if isinstance(error, ValidationError) else error
        logger.warning("%s is no log of a training, so the report draws no curve: %s", path, why)
        return
    write_whole(run / "training.jsonl", [point.model_dump_json() + "\n" for point in points])


def read_learning(run: Path) -> list[Point]:
    """Read a run's `training.jsonl`; empty where there is none.

    Raises:
        ValueError: If a line is no point of a curve; it is named.
    """
    path = run / "training.jsonl"
    if not path.is_file():
        return []
    return [point for _, point in read_lines(path, Point)]


def charts(points: Sequence[Point]) -> list[Chart]:
    """Lay out the loss, and the token accuracy if every point has one; nothing for fewer than two points."""
    if len(points) < 2:
        return []
    points = [*points[: -1 : -(-len(points) // MAX_DOTS)], points[-1]]
    drawn = [_chart("loss", [(point.step, point.loss) for point in points], max(point.loss for point in points))]
    known = [(point.step, point.mean_token_accuracy) for point in points if point.mean_token_accuracy is not None]
    if len(known) == len(points):
        drawn.append(_chart("share of answer tokens guessed right", known, 1.0))
    return drawn


def _chart(title: str, values: Sequence[tuple[int, float]], top: float) -> Chart:
    """Lay out one curve from 0 to `top`."""
    width, height = CHART
    last = values[-1][0] or 1
    dots = []
    for step, value in values:
        x, y = width * step / last, height * (1 - max(value, 0) / (top or 1))
        dots.append((round(x, 1), round(y, 1), f"step {step}: {value:.3f}"))
    return Chart(title, dots, " ".join(f"{x},{y}" for x, y, _ in dots), f"{top:.2f}", f"{last:,}")


def _points(path: Path) -> list[Point]:
    """Read the losses of a `trainer_state.json`, by step."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"expected at most {MAX_BYTES} bytes, got {path.stat().st_size}")
    history = Log.model_validate_json(path.read_bytes()).log_history
    points = [Point.model_validate(logged) for logged in history if "loss" in logged]
    return sorted(points, key=lambda point: point.step)


def _step(name: str) -> int:
    """The step of a checkpoint's folder."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1
