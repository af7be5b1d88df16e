"""Predictions against a data set: `scores.jsonl`, `summary.json` and the report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from giqa_metrics.baselines import VERDICTS, blind_boxes
from giqa_metrics.description import giqa_description
from giqa_metrics.grounding import giqa_grounding
from giqa_metrics.judge import Judge
from giqa_metrics.report import render_report
from giqa_metrics.run import load_split, read_config, read_predictions, write_whole
from giqa_metrics.similarity import Compare
from giqa_metrics.vqa import giqa_vqa


Rows = list[dict[str, Any]]


def score_run(
    predictions: Path,
    data: str | None,
    *,
    out: Path | None = None,
    config: str | None = None,
    split: str | None = None,
    box_format: str = "giqa",
    similarity: str | Compare = "minilm",
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Score a run and write its `scores.jsonl`, `summary.json` and `report.html`.

    Args:
        predictions: A run's folder, or its `predictions.jsonl`.
        data: The data set; None takes what the run's `config.yaml` names.
        out: The folder to write to; None takes the predictions' own.
        config: The data set's config; None takes what the run's `config.yaml` names, else the default one.
        split: None takes what the run's `config.yaml` names, else `test`.
        box_format: How the predictions write boxes.
        similarity: See `similarity_named`.
        judge: For LLM-Score and Acc (W).

    Returns:
        The summary.

    Raises:
        FileNotFoundError: If predictions or data are not there.
        ValueError: If a prediction's id is unknown, a sample has none, or an image cannot be read.
    """
    path = predictions / "predictions.jsonl" if predictions.is_dir() else predictions
    answers = read_predictions(path)
    run = read_config(path.parent)
    data = data or run.get("data")
    if data is None:
        raise ValueError(f"expected a data set for {path}: its run names none, so say which with --data")
    config = config or run.get("config")
    split = split or run.get("split", "test")
    loaded = load_split(data, config, split)
    ids = loaded["id"][: run.get("limit")]
    _match_ids(path, answers, ids, f"{data} ({split})")
    rows = [
        {**row, "prediction": answers[row["id"]], "row": number}
        for number, row in enumerate(loaded.select(range(len(ids))).remove_columns("image"))
    ]
    summary: dict[str, Any] = {"data": data, "split": split, "model": run.get("model", path.parent.name)}
    for task in ("des", "vqa"):
        if of_task := [row for row in rows if row["task"] == task]:
            summary[task] = _score_task(task, of_task, box_format=box_format, similarity=similarity, judge=judge)
    # Everything is made before anything is written: a broken image must not leave half of the files
    scores = "".join(json.dumps({"id": row["id"], **row["scores"]}, ensure_ascii=False) + "\n" for row in rows)
    report = render_report(summary, rows, loaded, box_format=box_format)
    out = out or path.parent
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "scores.jsonl", scores)
    write_whole(out / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    write_whole(out / "report.html", report)
    return summary


def _match_ids(path: Path, answers: dict[str, str | None], ids: Sequence[str], name: str) -> None:
    """Hold predictions and samples to be the same set."""
    wanted = set(ids)
    unknown = [identifier for identifier in answers if identifier not in wanted]
    if unknown:
        raise ValueError(f"{path}: {len(unknown)} of {len(answers)} ids are not in {name}, {unknown[0]!r} for one")
    missing = [identifier for identifier in ids if identifier not in answers]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(ids)} samples of {name} have no prediction, {missing[0]!r} for one"
        )


def _score_task(
    task: str, rows: Rows, *, box_format: str, similarity: str | Compare, judge: Judge | None
) -> dict[str, Any]:
    """Score one task's samples and the blind baselines on the same references; each row gets its own scores."""
    answers = [row["prediction"] for row in rows]
    references = [row["answer"] for row in rows]
    boxes = giqa_grounding(answers, references, box_format=box_format, similarity=similarity, per_sample=True)
    for row, scores in zip(rows, boxes.pop("per_sample"), strict=True):
        row["scores"] = scores
    result = {"giqa_grounding": boxes}
    questions, kinds = [row["question"] for row in rows], [row["question_type"] for row in rows]
    if task == "des":
        result["giqa_description"] = giqa_description(answers, references, box_format=box_format, judge=judge)
    else:
        words = giqa_vqa(answers, references, questions, kinds, box_format=box_format, judge=judge, per_sample=True)
        for row, accuracy in zip(rows, words.pop("per_sample"), strict=True):
            row["scores"] = row["scores"] | {"accuracy": accuracy}
        result["giqa_vqa"] = words
    baselines: dict[str, Any] = {}
    for name, answer in blind_boxes(references).items():
        blind = [answer] * len(rows)
        baselines[name] = {"giqa_grounding": giqa_grounding(blind, references, similarity=similarity)}
    if any(row["question_type"] == "yes_no" for row in rows):
        for name, answer in VERDICTS.items():
            baselines[name] = {"giqa_vqa": giqa_vqa([answer] * len(rows), references, questions, kinds)}
    return {**result, "baselines": baselines}
