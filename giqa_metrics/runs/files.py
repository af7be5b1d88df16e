"""The files of a run: `config.yaml`, `predictions.jsonl` and what scoring adds."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from giqa_datasets.errors import GiqaError, InputError, MissingFileError, UnavailableError
from giqa_datasets.files import mend, numbered_lines, read_line, write_whole
from giqa_datasets.loading import loading
from giqa_datasets.private_interfaces import dataset_cache


# What predicting, scoring and the report read
COLUMNS = frozenset(
    {"id", "image", "width", "height", "task", "question_type", "question", "answer", "regions", "prompt"}
    | {"distortions", "image_sha256"}
)
PREDICTING = frozenset({"image", "prompt"})  # what scoring can do without


MOST = 10**6  # resamples or repeats that a run's files may ask for: a stranger's must not run for ever
EXPECTED = "an object with the strings id and prediction, and maybe input_size as [width, height]"
Fields = tuple[str, str | None, tuple[int, int] | None]


class Prediction(BaseModel):
    """One line of `predictions.jsonl`; `input_size` is the resized image's, where the box format counts in it."""

    model_config = ConfigDict(extra="ignore", strict=True)
    id: str
    prediction: str | None
    input_size: tuple[PositiveInt, PositiveInt] | None = None

    def fields(self) -> Fields:
        """The three."""
        return self.id, self.prediction, self.input_size


class Predictions(NamedTuple):
    """What `predictions.jsonl` holds: answers, and (width, height) of resized images, by sample id."""

    texts: dict[str, str | None]
    input_sizes: dict[str, tuple[int, int] | None]


def find_predictions(path: Path) -> Path:
    """The `predictions.jsonl` of a run's folder, or the file itself."""
    return path / "predictions.jsonl" if path.is_dir() else path


def read_predictions(path: Path) -> Predictions:
    """Read `predictions.jsonl`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, a line is no prediction, or an id has two answers; the line is named. A sample that
            was asked again has a line without an answer before the one with it.
    """
    if not path.is_file():
        raise MissingFileError(f"expected a predictions file at {path}, found none")
    predictions = Predictions({}, {})
    for where, raw in numbered_lines(path):
        identifier, text, input_size = _quickly(raw) or read_line(raw, where, Prediction, expected=EXPECTED).fields()
        if predictions.texts.get(identifier, text) not in (None, text):
            raise InputError(f"{where}: id {identifier!r} occurs twice")
        predictions.texts[identifier] = text
        predictions.input_sizes[identifier] = input_size
    if not predictions.texts:
        raise InputError(f"expected at least one prediction in {path}, found none")
    return predictions


def _quickly(raw: bytes) -> Fields | None:
    """A line's fields where it takes no validator to see that they are right, and it may not be a wrong one's."""
    if b"\\ud" in raw or b"\\uD" in raw:  # maybe half a surrogate pair, which is no text
        return None
    try:
        line = json.loads(raw.decode())
        identifier, text = line["id"], line["prediction"]
        is_quick = type(identifier) is str and (text is None or type(text) is str) and line.get("input_size") is None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return (identifier, text, None) if is_quick else None


def resume_predictions(path: Path) -> dict[str, str | None]:
    """Answers that a killed run has, None for a sample that got none; the file is there then, and whole."""
    mend(path)
    return read_predictions(path).texts if path.stat().st_size else {}


def sort_predictions(path: Path, ids: Sequence[str]) -> None:
    """Bring a finished file into the data set's order, the last line of a sample alone, unless it is so already."""
    lines = [raw.decode().rstrip("\r\n") for _, raw in numbered_lines(path)]
    by_id = {json.loads(line)["id"]: line for line in lines}
    ordered = [by_id[identifier] for identifier in ids if identifier in by_id]
    if ordered != lines:
        write_whole(path, [line + "\n" for line in ordered])


class _Strict(BaseModel):
    """A part of a file that `giqa score` wrote: what is read of it is of these types, the rest is let be."""

    model_config = ConfigDict(extra="ignore", strict=True)


class RunConfig(_Strict):
    """What is read of a run's `config.yaml`, which `giqa predict` or a stranger wrote."""

    model_config = ConfigDict(extra="allow", strict=True)
    model: str | None = None
    data: str | None = None
    config: str | None = None
    split: str = "test"
    limit: PositiveInt | None = None
    box_format: str | None = None


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write a run's `config.yaml`, or check that the one there says the same.

    Raises:
        ValueError: If the folder holds another run.
    """
    import yaml

    there = read_config(folder)
    if there and there != config:
        raise InputError(f"{folder} holds another run ({there}); choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "config.yaml", [yaml.safe_dump(config, sort_keys=False)])


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's `config.yaml`; empty where there is none.

    Raises:
        ValueError: If the file holds no mapping, or a value of another type than `giqa predict` writes.
    """
    import yaml

    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise InputError(f"expected a mapping in {path}, got {config!r:.80}")
    try:
        RunConfig.model_validate(config)
    except (ValidationError, RecursionError) as error:
        said = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "it is nested too deep"}
        raise InputError(f"{path}: {'.'.join(map(str, said['loc']))}: {said['msg']}") from error
    return config


class JudgeSettings(_Strict):
    """What a replay of a judge's log needs."""

    model: str
    prompts: list[str] = []
    repeats: Annotated[int, Field(ge=1, le=MOST)]
    ask_again: bool = False


class ScoredWith(_Strict):
    """How a run was scored; see `Options`."""

    box_format: str
    similarity: str | None
    preset: Literal["paper", "glamm"]
    exact_boxes: bool
    resamples: Annotated[int, Field(ge=0, le=MOST)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    judge: JudgeSettings | None


class Summary(_Strict):
    """What `summary.json` says of a run, but for its scores."""

    model: str
    data: str
    config: str | None
    split: str
    references: str
    settings: ScoredWith


class ScoreRow(NamedTuple):
    """A line of `scores.jsonl`: a sample, and by metric what it summed and parsed.

    Attributes:
        id: Of the sample.
        image: Its photograph's sha256.
        task: `des` or `vqa`.
        raw: The whole line.
    """

    id: str
    image: str
    task: str
    raw: dict[str, Any]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """What each metric keeps of the sample."""
        return {name: value for name, value in self.raw.items() if name not in ("id", "image", "task")}


def read_summary(folder: Path) -> tuple[Summary, dict[str, Any]]:
    """Read `summary.json`, checked and as it stands.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If `giqa score` did not write it so.
    """
    path = folder / "summary.json"
    raw = _json_object(_require(path).read_bytes(), str(path))
    return _validated(Summary, raw, str(path)), raw


def read_scores(folder: Path) -> Iterator[ScoreRow]:
    """Read `scores.jsonl` line by line.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a line is no row, or its id has occurred; the line is named.
    """
    known: set[str] = set()
    for where, raw in score_lines(folder):
        row = score_row(raw, where)
        require_new(row.id, known, where)
        yield row


def score_lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of `scores.jsonl`, each after its name for an error.

    Raises:
        FileNotFoundError: If there is none.
    """
    return numbered_lines(_require(folder / "scores.jsonl"))


def score_row(raw: bytes, where: str) -> ScoreRow:
    """Read a line of `scores.jsonl`.

    Raises:
        ValueError: If it is no row; it is named.
    """
    value = _json_object(raw, where)
    row = ScoreRow(value.get("id"), value.get("image"), value.get("task"), value)  # type: ignore[arg-type]
    if not (
        all(isinstance(part, str) for part in row[:3])
        and row.task in ("des", "vqa")
        and all(isinstance(part, dict) for part in row.metrics.values())
    ):
        raise InputError(f"{where} was not written by this giqa score: {raw[:80]!r}")
    return row


def require_new(identifier: str, known: set[str], where: str) -> None:
    """Refuse an id that has occurred."""
    if identifier in known:
        raise InputError(f"{where}: id {identifier!r} occurs twice")
    known.add(identifier)


def _require(path: Path) -> Path:
    """Refuse a file that is not there."""
    if not path.is_file():
        raise MissingFileError(f"expected {path.name} in {path.parent}, found none: giqa score writes it")
    return path


def _json_object(raw: bytes, where: str) -> dict[str, Any]:
    """Read one JSON object."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {raw[:80]!r}")
    return value


Model = TypeVar("Model", bound=BaseModel)


def _validated(model: type[Model], value: dict[str, Any], where: str) -> Model:
    """Read a value as a model."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"{where} was not written by this giqa score: {name}: {first['msg']}") from error


def load_split(data: str, config: str | None, split: str, *, needs_pixels: bool = True) -> Any:
    """Load one split of a data set: a folder that `giqa build` made, or a name that `load_dataset` knows.

    The config None is the default one. Images stay encoded: whoever decodes one can name its sample in an error. Who
    needs no pixels may get rows without the column `image` and without what a model is asked.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If there is no such split, or it lacks the columns of a GIQA data set with pixels.
    """
    try:
        return _load_split(data, config, split, needs_pixels=needs_pixels)
    except GiqaError as error:
        is_hidden = Path(data).is_dir() and Path(data).name == data and dataset_cache(data).is_dir()
        if not is_hidden:
            raise
        hides = f"the folder {str(Path(data).absolute())!r} hides the installed data set {data!r}"
        raise InputError(f"{error}; {hides}: rename it, or go elsewhere") from error


def plain_path(folder: Path) -> Path:
    """Return a path of a data set folder in which datasets finds no wildcard: its own, or one of links in the cache.

    The datasets library expands the brackets, stars and question marks of a path, also where a link leads to.
    """
    folder = folder.resolve()
    if not has_magic(str(folder)):
        return folder
    from huggingface_hub.constants import HF_HOME

    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    plain = Path(HF_HOME, "giqa", "folders", digest, re.sub(r"[][*?]", "_", folder.name))
    shutil.rmtree(plain, ignore_errors=True)
    for file in (folder / "README.md", *folder.glob("data/*"), *folder.glob("annotations/*")):
        link = plain / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    return plain


def _load_split(data: str, config: str | None, split: str, *, needs_pixels: bool) -> Any:
    from datasets import Image, load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        with loading("data set", data, "dataset"):
            place = str(plain_path(Path(data))) if Path(data).is_dir() else data
            rows = load_dataset(place, config, split=split)
    except GiqaError:
        raise
    except DatasetNotFoundError as error:
        raise UnavailableError(f"data set {data!r} cannot be had: {error}") from error
    except DatasetsError as error:
        raise InputError(f"data set {data!r} cannot be read: {error.__cause__ or error}") from error
    except ValueError as error:  # there is no such config or split, or the name is none
        raise InputError(str(error)) from error
    except OSError as error:
        raise UnavailableError(f"data set {data!r} cannot be had: {error}") from error
    missing = (COLUMNS if needs_pixels else COLUMNS - PREDICTING) - set(rows.column_names)
    if missing:
        kind = "GIQA data set with pixels" if needs_pixels else "GIQA data set"
        raise InputError(f"data set {data!r} lacks the columns {sorted(missing)}; it is no {kind}")
    return rows.cast_column("image", Image(decode=False)) if "image" in rows.column_names else rows
