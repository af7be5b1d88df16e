"""The files of a run: `config.yaml`, `predictions.jsonl` and what scoring adds."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


# What predicting, scoring and the report read
COLUMNS = frozenset({"id", "image", "task", "question_type", "question", "answer", "prompt", "distortions"})


class Prediction(BaseModel):
    """One line of `predictions.jsonl`."""

    model_config = ConfigDict(extra="ignore", strict=True)
    id: str
    prediction: str | None


def read_predictions(path: Path) -> dict[str, str | None]:
    """Read `predictions.jsonl`: the answer by sample id.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, a line is no prediction, or an id occurs twice; the line is named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a predictions file at {path}, found none")
    predictions: dict[str, str | None] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                read = Prediction.model_validate_json(line)
            except ValidationError as error:
                raise ValueError(
                    f"{path} line {number}: expected an object with the strings id and prediction, "
                    f"got {line.strip()[:80].decode(errors='replace')!r}"
                ) from error
            if read.id in predictions:
                raise ValueError(f"{path} line {number}: id {read.id!r} occurs twice")
            predictions[read.id] = read.prediction
    if not predictions:
        raise ValueError(f"expected at least one prediction in {path}, found none")
    return predictions


def resume_predictions(path: Path) -> set[str]:
    """Ids that a killed run has finished; a half-written last line is cut off, so that the file goes on whole."""
    if not path.exists():
        return set()
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return set(read_predictions(path)) if whole else set()


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write a run's `config.yaml`, or check that the one there says the same.

    Raises:
        ValueError: If the folder holds another run.
    """
    import yaml

    there = read_config(folder)
    if there and there != config:
        raise ValueError(f"{folder} holds another run ({there}); choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's `config.yaml`; empty where there is none.

    Raises:
        ValueError: If the file holds no mapping.
    """
    import yaml

    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"expected a mapping in {path}, got {config!r}")
    return config


def write_whole(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def load_split(data: str, config: str | None, split: str) -> Any:
    """Load one split of a data set: a folder that `giqa build` made, or a name that `load_dataset` knows.

    The config None is the default one. Images stay encoded: whoever decodes one can name its sample in an error.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If there is no such split, or it lacks the columns of a GIQA data set with pixels.
    """
    from datasets import Image, load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        rows = load_dataset(data, config, split=split)
    except (ConnectionError, DatasetNotFoundError) as error:
        raise FileNotFoundError(
            f"data set {data!r} is no folder here, is not installed, and cannot be fetched"
        ) from error
    except DatasetsError as error:
        raise ValueError(f"data set {data!r} cannot be read: {error.__cause__ or error}") from error
    missing = COLUMNS - set(rows.column_names)
    if missing:
        raise ValueError(f"data set {data!r} lacks the columns {sorted(missing)}; it is no GIQA data set with pixels")
    return rows.cast_column("image", Image(decode=False))
