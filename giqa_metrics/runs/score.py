"""Predictions against a data set: `scores.jsonl`, `summary.json` and the report."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_datasets.files import write_whole
from giqa_metrics import description, grounding, vqa
from giqa_metrics.bootstrap import LEVEL, intervals
from giqa_metrics.description import DescriptionStats, giqa_description
from giqa_metrics.grounding import GroundingStats, Preset, giqa_grounding
from giqa_metrics.judges.judge import Case, Judge
from giqa_metrics.models.box_format_file import format_of
from giqa_metrics.runs.baselines import VERDICTS, blind_boxes, frequent_answers
from giqa_metrics.runs.files import find_predictions, load_split, read_config, read_predictions
from giqa_metrics.runs.report import render_report
from giqa_metrics.runs.training_curve import read_learning
from giqa_metrics.similarity import Compare
from giqa_metrics.stats import Stats, Table
from giqa_metrics.vqa import VqaStats, giqa_vqa


Rows = list[dict[str, Any]]

TASKS = {"des": ("giqa_grounding", "giqa_description"), "vqa": ("giqa_grounding", "giqa_vqa")}
# What adds up over samples, and what it adds up to
MEASURES: dict[str, tuple[type[Stats], Callable[..., dict[str, Any]]]] = {
    "giqa_grounding": (GroundingStats, grounding.aggregate),
    "giqa_description": (DescriptionStats, description.aggregate),
    "giqa_vqa": (VqaStats, vqa.aggregate),
}


class Options(NamedTuple):
    """How a run is scored; `summary.json` keeps it under `settings`, so that `giqa check` can do it again.

    Attributes:
        box_format: How the predictions write boxes, a format's name or a file that `giqa doctor` wrote; None is what
            the run's `config.yaml` says, else `giqa`.
        similarity: See `similarity_named`; None is the preset's own.
        preset: See `giqa_grounding`.
        exact_boxes: Score against the references' boxes before the grid.
        resamples: Of the confidence intervals.
        seed: Of the confidence intervals.
    """

    box_format: str | None = None
    similarity: str | Compare | None = None
    preset: Preset = "paper"
    exact_boxes: bool = False
    resamples: int = RESAMPLES
    seed: int = 0


DEFAULTS = Options()


class Scored(NamedTuple):
    """A scored run, nothing of it written yet.

    Attributes:
        summary: What `summary.json` holds.
        rows: The samples: the data set's columns without the image, `prediction`, `scores` by metric, and `row`, the
            index into `dataset`.
        dataset: The loaded split, its images encoded.
    """

    summary: dict[str, Any]
    rows: Rows
    dataset: Any

    def lines(self) -> str:
        """What `scores.jsonl` holds."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.score_rows())

    def score_rows(self) -> Rows:
        """A row per sample: id, image, task, and by metric what it summed and parsed."""
        return [
            {"id": row["id"], "image": row["image_sha256"], "task": row["task"], **row["scores"]} for row in self.rows
        ]


def score_run(
    predictions: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    config: str | None = None,
    split: str | None = None,
    options: Options = DEFAULTS,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Score a run and write its `scores.jsonl`, `summary.json` and `report.html`.

    Args:
        predictions: A run's folder, or its `predictions.jsonl`.
        data: The data set; None takes what the run's `config.yaml` names.
        out: The folder to write to; None takes the predictions' own.
        config: The data set's config; None takes what the run's `config.yaml` names, else the default one.
        split: None takes what the run's `config.yaml` names, else `test`.
        options: How to score.
        judge: For LLM-Score and Acc (W).

    Returns:
        The summary.

    Raises:
        FileNotFoundError: If predictions or data are not there.
        ValueError: If a prediction's id is unknown, a sample has none, or an image cannot be read.
    """
    scored = compute(predictions, data, config=config, split=split, options=options, judge=judge)
    # Everything is made before anything is written: a broken image must not leave half of the files
    box_format = scored.summary["settings"]["box_format"]
    run = find_predictions(predictions).parent
    learning = read_learning(run)
    report = render_report(scored.summary, scored.rows, scored.dataset, box_format=box_format, learning=learning)
    out = out or run
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "scores.jsonl", scored.lines())
    write_whole(out / "summary.json", [json.dumps(scored.summary, indent=2, ensure_ascii=False), "\n"])
    write_whole(out / "report.html", [report])
    return scored.summary


def verdicts_of_run(predictions: Path, data: str | None = None, **which: Any) -> list[Case]:
    """List what a judge would be asked, without asking; `which` names config, split and options as in `score_run`."""
    asked: list[Case] = []

    class Collector:
        name = "dry run"

        def judge(self, batch: Sequence[Case]) -> list[int | None]:
            asked.extend(batch)
            return [None] * len(batch)

    options = which.pop("options", DEFAULTS)._replace(similarity="exact", resamples=0)
    compute(predictions, data, options=options, judge=Collector(), **which)
    return asked


def compute(
    predictions: Path,
    data: str | None = None,
    *,
    config: str | None = None,
    split: str | None = None,
    options: Options = DEFAULTS,
    judge: Judge | None = None,
) -> Scored:
    """Score a run without writing anything; see `score_run`."""
    path = find_predictions(predictions)
    answers = read_predictions(path)
    run = read_config(path.parent)
    data = data or run.get("data")
    if data is None:
        raise InputError(f"expected a data set for {path}: its run names none, so say which with --data")
    config = config or run.get("config")
    split = split or run.get("split", "test")
    box_format = str(run.get("box_format") or "giqa")
    if options.box_format:
        box_format = format_of(str(run["model"]) if "model" in run else None, options.box_format)
    options = options._replace(box_format=box_format)
    dataset = load_split(data, config, split)
    ids = dataset["id"][: run.get("limit")]
    _match_ids(path, answers.texts, ids, f"{data} ({split})")
    rows = [
        {
            **row,
            "prediction": answers.texts[row["id"]],
            "input_size": answers.input_sizes.get(row["id"]),
            "row": number,
        }
        for number, row in enumerate(dataset.select(range(len(ids))).remove_columns("image"))
    ]
    summary: dict[str, Any] = {
        "model": run.get("model", path.resolve().parent.name),
        "data": data,
        "config": config,
        "split": split,
        "limit": run.get("limit"),
        "references": references_digest(rows),
        "settings": _settings(options, judge),
    }
    for task in TASKS:
        if of_task := [row for row in rows if row["task"] == task]:
            summary[task] = _score_task(task, of_task, box_format, options, judge)
    if judge is not None:
        summary["judge_agreement"] = judge.agreement() if hasattr(judge, "agreement") else None
    return Scored(summary, rows, dataset)


def _match_ids(path: Path, answers: Mapping[str, str | None], ids: Sequence[str], name: str) -> None:
    """Hold predictions and samples to be the same set."""
    wanted = set(ids)
    unknown = [identifier for identifier in answers if identifier not in wanted]
    if unknown:
        raise InputError(f"{path}: {len(unknown)} of {len(answers)} ids are not in {name}, {unknown[0]!r} for one")
    missing = [identifier for identifier in ids if identifier not in answers]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(ids)} samples of {name} have no prediction, {missing[0]!r} for one"
        )


def references_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of all that predictions are scored against; the rows need no pixels."""
    digest = hashlib.sha256()
    for row in rows:
        parts = [row[name] for name in ("id", "question_type", "question", "answer", "regions", "image_sha256")]
        digest.update(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return f"sha256:{digest.hexdigest()}"


def _settings(options: Options, judge: Judge | None) -> dict[str, Any]:
    """The options as `summary.json` keeps them."""
    similarity = getattr(options.similarity, "__name__", None) if callable(options.similarity) else options.similarity
    return options._asdict() | {
        "similarity": similarity,
        "level": LEVEL,
        "judge": getattr(judge, "settings", None),
    }


def _score_task(task: str, rows: Rows, box_format: str, options: Options, judge: Judge | None) -> dict[str, Any]:
    """Score one task's samples and the blind baselines on the same references; each row gets its own scores."""
    answers, references = [row["prediction"] for row in rows], [row["answer"] for row in rows]
    questions, kinds = [row["question"] for row in rows], [row["question_type"] for row in rows]
    images = [row["image_sha256"] for row in rows]
    boxes = partial(
        giqa_grounding,
        references=references,
        similarity=options.similarity,
        preset=options.preset,
        exact_references=[row["regions"] for row in rows] if options.exact_boxes else None,
    )
    words: Callable[..., dict[str, Any]] = partial(giqa_description, references=references)
    if task == "vqa":
        words = partial(giqa_vqa, references=references, questions=questions, question_types=kinds)
    of_boxes, of_words = TASKS[task]
    measured = {
        of_boxes: boxes(
            answers,
            box_format=box_format,
            image_sizes=[(row["width"], row["height"]) for row in rows],
            input_sizes=[row["input_size"] for row in rows],
            per_sample=True,
        ),
        of_words: words(answers, box_format=box_format, judge=judge, per_sample=True),
    }
    for row in rows:
        row["scores"] = {}
    for name, result in measured.items():
        per_sample = result.pop("per_sample")
        for row, scores in zip(rows, per_sample, strict=True):
            row["scores"][name] = scores
        result["intervals"] = _intervals(name, per_sample, images, options)
    baselines: dict[str, Any] = {
        name: {"giqa_grounding": boxes([answer] * len(rows))} for name, answer in blind_boxes(references).items()
    }
    if task == "vqa":
        for name, answer in VERDICTS.items() if "yes_no" in kinds else ():
            baselines[name] = {"giqa_vqa": words([answer] * len(rows))}
        baselines["most frequent answer"] = {"giqa_vqa": words(frequent_answers(references, kinds), judge=judge)}
    return {**measured, "baselines": baselines}


def _intervals(name: str, rows: Rows, images: Sequence[str], options: Options) -> dict[str, Any]:
    """Confidence intervals of a metric's scores; empty where none are wanted."""
    if options.resamples == 0:
        return {}
    table, scores = measure(name, rows, preset=options.preset)
    return intervals(table, images, scores, resamples=options.resamples, seed=options.seed)


def measure(name: str, rows: Rows, *, preset: Preset) -> tuple[Table, Callable[[Table], dict[str, Any]]]:
    """The sums per sample of a metric's rows, and how sums become its scores."""
    stats, aggregate = MEASURES[name]
    finish = partial(aggregate, preset=preset) if name == "giqa_grounding" else aggregate
    return stats.table(rows), lambda sums: finish(stats.of(sums))
