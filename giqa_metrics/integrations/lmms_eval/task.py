"""What the YAML files beside it name: questions out of the data set, and answers to numbers.

lmms-eval takes a function of all samples' values per metric, and means and standard errors of values per sample. So a
sample's value holds both: its sums, which `pooled` adds up as `giqa score` does, and its `score` where the metric is a
mean of such; `image_sha256` is the cluster of the standard error.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from threading import Lock
from typing import Any

import numpy as np

from giqa_datasets.errors import InputError
from giqa_datasets.formats import FORMATS
from giqa_datasets.formats import box_format as format_named
from giqa_metrics.description import giqa_description
from giqa_metrics.grounding import SIMILARITY, giqa_grounding
from giqa_metrics.runs.predict import prompt_of
from giqa_metrics.runs.score import MEASURES
from giqa_metrics.similarity import similarity_named
from giqa_metrics.stats import Stats
from giqa_metrics.vqa import giqa_vqa


Row = Mapping[str, Any]

# By metric what is reported, and what a row per sample calls it where it is a mean of these
REPORTED: dict[str, dict[str, str | None]] = {
    "giqa_grounding": {
        "miou": "miou",
        "miou_strict": "miou_strict",
        "tag_recall": "tag_recall",
        "precision": None,
        "f1": None,
        "n_malformed": None,
    },
    "giqa_description": {"bleu4": None},
    "giqa_vqa": {"accuracy_yes_no": "accuracy", "n_unreadable": None},
}
# What an answer that lmms-eval passes on does not hold
_NO_TOKENS = "is written in special tokens, which lmms-eval's models leave out"
UNFIT = {name: _NO_TOKENS for name, box_format in FORMATS.items() if box_format.markers}
UNFIT["qwen2_5_vl"] = "counts in pixels of the resized image, and lmms-eval does not say how large that is"

# lmms-eval tells a task's box format to `doc_to_text` alone, and each task has a number of its own
_numbers = count()
_box_formats: dict[int, str] = {}
_scoring = Lock()  # lmms-eval asks from several threads, and the similarity's encoder serves one


def descriptions(rows: Any) -> Any:
    """Take the data set's rows of the task `des`."""
    return _of_task(rows, "des")


def questions(rows: Any) -> Any:
    """Take the data set's rows of the task `vqa`."""
    return _of_task(rows, "vqa")


def doc_to_visual(row: Row) -> list[Any]:
    """Give a sample's photograph.

    Raises:
        ValueError: If the row has no pixels.
    """
    if row["image"] is None:
        raise InputError(f"image {row['id']!r} came without its pixels")
    image = row["image"].convert("RGB")
    image.info.clear()  # a model's client would send it along
    return [image]


def doc_to_text(row: Row, declared: Row) -> str:
    """Give a sample's prompt, in the model's box format.

    Args:
        row: Of the data set.
        declared: What `lmms_eval_specific_kwargs` says for the model, its `box_format`.

    Raises:
        OSError: If the similarity's encoder cannot be had.
        ValueError: If there is no such box format, lmms-eval leaves out what it needs, or the prompt is another than
            one turn of the user's.
    """
    if row["lmms_task"] not in _box_formats:  # before the model answers anything
        similarity_named(SIMILARITY["paper"])
        _box_formats[row["lmms_task"]] = _readable(declared["box_format"])
    return prompt_of(row, _box_formats[row["lmms_task"]])


def process_results(row: Row, answers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Score a sample's first answer: by the name of what is reported, the value that `pooled` takes."""
    with _scoring:
        scored = _score(row, answers[0], _box_formats[row["lmms_task"]])
    return {
        name: _value(row, name, result, of_sample)
        for metric, result in scored.items()
        for name, of_sample in REPORTED[metric].items()
    }


def pooled(values: Sequence[Row]) -> float | int | None:
    """Give the score of all samples, None where it does not exist."""
    name, (stats, aggregate) = values[0]["name"], _measure(values[0]["signature"])
    score: float | int | None = aggregate(stats.of(np.array([value["sums"] for value in values]).sum(axis=0)))[name]
    return score


def _of_task(rows: Any, task: str) -> Any:
    """Select rows by their column `task`, and number this set of them."""
    numbered = rows.add_column("lmms_task", [next(_numbers)] * len(rows))
    return numbered.select([place for place, each in enumerate(rows["task"]) if each == task])


def _readable(box_format: str) -> str:
    """Refuse a box format that cannot be read in what lmms-eval passes on."""
    format_named(box_format)
    if box_format in UNFIT:
        raise InputError(
            f"box format {box_format!r} cannot be scored within lmms-eval: it {UNFIT[box_format]}; "
            "run giqa predict, or, for a model that writes another, a task of your own that declares it"
        )
    return box_format


def _score(row: Row, answer: str, box_format: str) -> dict[str, Row]:
    """Score an answer as `giqa score` does without a judge, by metric."""
    texts: dict[str, Any] = {"predictions": [answer], "references": [row["answer"]]}
    texts |= {"box_format": box_format, "per_sample": True}
    boxes = giqa_grounding(**texts, image_sizes=[(row["width"], row["height"])])
    if row["task"] == "des":
        return {"giqa_grounding": boxes, "giqa_description": giqa_description(**texts)}
    texts |= {"questions": [row["question"]], "question_types": [row["question_type"]]}
    return {"giqa_grounding": boxes, "giqa_vqa": giqa_vqa(**texts)}


def _value(row: Row, name: str, result: Row, of_sample: str | None) -> dict[str, Any]:
    """Make a sample's value of what is reported; without a `score` it adds nothing to the standard error."""
    (scored,) = result["per_sample"]
    stats, _ = _measure(result["signature"])
    value = {"name": name, "id": row["id"], "image_sha256": row["image_sha256"]}
    value |= {"sums": stats.table([scored])[0].tolist(), "signature": result["signature"]}
    if of_sample is not None and scored[of_sample] is not None:
        value["score"] = scored[of_sample]
    return value


def _measure(signature: str) -> tuple[type[Stats], Callable[..., dict[str, Any]]]:
    """What the metric of a signature sums, and what it makes of the sums."""
    return MEASURES[signature.partition("|")[0]]
