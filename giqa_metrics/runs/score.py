"""Predictions against a data set: `scores.jsonl`, `summary.json` and the report."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.errors import InputError
from giqa_datasets.files import naming, write_all
from giqa_datasets.folder_lock import hold
from giqa_datasets.formats import Sizes
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.text_scan import Scan, scan, scan_replies, told_apart
from giqa_metrics import description, grounding, vqa
from giqa_metrics.defects.scores import Tally as DefectTally
from giqa_metrics.defects.scores import aggregate, aligned
from giqa_metrics.description import DescriptionStats
from giqa_metrics.grounding import (
    IOU_THRESHOLD,
    SIMILARITY_THRESHOLD,
    GroundingStats,
    Preset,
    Settings,
    lines_of,
    meet,
    read_references,
)
from giqa_metrics.inputs import regions_of, sizes_of, sizes_read
from giqa_metrics.judges.judge import Case, Judge
from giqa_metrics.models.box_format_file import format_of
from giqa_metrics.resampling import LEVEL, METHOD, intervals
from giqa_metrics.runs import defects
from giqa_metrics.runs.baselines import (
    MANY,
    VERDICTS,
    blind_boxes,
    constant,
    constant_description,
    dealt,
    frequent_answers,
)
from giqa_metrics.runs.counts import LOOKED_AT, SizedReply, counts_of, other_formats
from giqa_metrics.runs.files import COLUMNS, PREDICTING, find_predictions, load_split, read_config, read_predictions
from giqa_metrics.runs.report import render_report
from giqa_metrics.runs.training_curve import read_learning
from giqa_metrics.signature import qualified
from giqa_metrics.similarity import Compare
from giqa_metrics.stats import Stats, Table
from giqa_metrics.vqa import VqaStats


Rows = list[dict[str, Any]]
Keep = Callable[[Rows, bool], None]

PART = 4000  # samples read, scored and written at once
logger = logging.getLogger(__name__)
_json = json.JSONEncoder(ensure_ascii=False).encode
TASKS = {"des": ("giqa_grounding", "giqa_description"), "vqa": ("giqa_grounding", "giqa_vqa")}
# What adds up over samples, and what it adds up to
MEASURES: dict[str, tuple[type[Stats], Callable[..., dict[str, Any]]]] = {
    "giqa_grounding": (GroundingStats, grounding.aggregate),
    "giqa_description": (DescriptionStats, description.aggregate),
    "giqa_vqa": (VqaStats, vqa.aggregate),
}
TOPS = dict.fromkeys([*MEASURES, defects.METRIC], 1.0) | {"giqa_description": 100.0}  # the highest scores


class Options(NamedTuple):
    """How a run is scored; `summary.json` keeps it under `settings`, so that `giqa check` can do it again.

    Attributes:
        box_format: How the predictions write boxes, a format's name or a file that `giqa doctor` wrote; None is what
            the run's `config.yaml` says, else `giqa`.
        similarity: See `similarity_named`; None is the preset's own.
        preset: See `giqa_grounding`.
        exact_boxes: Score against the references' boxes before the grid.
        resamples: Of the confidence intervals, see `intervals`; 0 makes none.
        seed: Of the confidence intervals and of the answers dealt to other photographs.
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
        dataset: The loaded split, its images, if it has any, encoded.
    """

    summary: dict[str, Any]
    dataset: Any


class _Tally(NamedTuple):
    """What is kept of one task's samples until all are read, a part after the other."""

    tables: dict[str, list[Table]]  # by metric
    references: list[tuple[Scan, int]]  # and the number of samples
    images: list[str]
    truths: list[str]  # plain texts
    answers: list[str]  # plain texts, of des alone
    questions: list[str]  # of vqa alone
    kinds: list[str]  # of vqa alone
    classes: set[str] | None  # of the set's objects; None where it does not say what is wrong in a photograph
    defects: list[DefectTally]


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
    run = find_predictions(predictions).parent
    out = out or run
    with hold(out) if out.is_dir() else nullcontext():
        rows: Rows = []
        # Rows are let go as they are made, and nothing stands in the folder before all is: a broken image must not
        # leave half of the files
        with TemporaryFile("w+", encoding="utf-8", newline="\n") as lines:

            def keep(some: Rows, has_pixels: bool) -> None:
                with naming(Path(gettempdir())):
                    lines.writelines(row["line"] + "\n" for row in some)
                    lines.flush()
                rows.extend(some if has_pixels else ())

            scored = compute(predictions, data, config=config, split=split, options=options, judge=judge, keep=keep)
            report = _report(scored, rows, run)
            lines.seek(0)
            out.mkdir(parents=True, exist_ok=True)
            write_all(
                {
                    out / "scores.jsonl": lines,
                    out / "report.html": None if report is None else [report],  # none of another scoring
                    out / "summary.json": [json.dumps(scored.summary, indent=2, ensure_ascii=False), "\n"],
                }
            )
            if report is None:
                logger.warning("%s holds no pictures: no report.html is written", scored.summary["data"])
    return scored.summary


def _report(scored: Scored, rows: Rows, run: Path) -> str | None:
    """The report's page; None where there are no pictures."""
    learning = read_learning(run)
    if not rows:
        return None
    box_format = scored.summary["settings"]["box_format"]
    return render_report(scored.summary, rows, scored.dataset, box_format=box_format, learning=learning)


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
    keep: Keep | None = None,
) -> Scored:
    """Score a run without writing anything; see `score_run`.

    `keep` gets the samples, a part after the other, in the data set's order: the data set's columns without the image,
    `prediction`, `input_size`, `row`, the index into the data set, and `line`, the sample's line of `scores.jsonl`.
    With them it is told whether the data set has pixels.
    """
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
    format_named(box_format)
    options = options._replace(box_format=box_format)
    dataset = load_split(data, config, split, needs_pixels=False)
    ids = dataset["id"][: run.get("limit")]
    _match_ids(path, answers.texts, ids, f"{data} ({split})")
    whose = sizes_read(box_format, answers.texts.values(), answers.input_sizes.values())
    settings = grounding.settings_of(options.similarity, IOU_THRESHOLD, SIMILARITY_THRESHOLD, options.preset)
    has_pixels = "image" in dataset.column_names
    classes = defects.classes_of(dataset)
    tallies = {
        task: _Tally({metric: [] for metric in TASKS[task]}, [], [], [], [], [], [], classes, []) for task in TASKS
    }
    digest = hashlib.sha256()
    no_answer = 0
    replies: list[SizedReply] = []
    for rows in _parts(dataset, len(ids)):
        for row in rows:
            digest.update(_digested(row))
            row["prediction"], row["input_size"] = (of.pop(row["id"]) for of in answers)
            if len(replies) < LOOKED_AT and row["prediction"]:
                sizes = Sizes((row["width"], row["height"]), row["input_size"])
                replies.append(SizedReply(row["prediction"], sizes))
        for task, tally in tallies.items():
            if of_task := [row for row in rows if row["task"] == task]:
                no_answer += _score_part(task, of_task, tally, settings, options, judge, with_lines=keep is not None)
        if keep is not None:
            keep(rows, has_pixels)
    summary: dict[str, Any] = {
        "model": run.get("model", path.resolve().parent.name),
        "data": data,
        "config": config,
        "split": split,
        "limit": run.get("limit"),
        "references": f"sha256:{digest.hexdigest()}",
        "settings": _settings(options, judge),
        "read": counts_of([table for tally in tallies.values() for table in tally.tables["giqa_grounding"]], no_answer)
        | {"sizes": whose},
    }
    is_whole = summary["read"]["malformed"] == 0
    summary["read"]["other_formats"] = None if is_whole else other_formats(replies, box_format)
    for task, tally in tallies.items():
        if tally.references:
            summary[task] = _summarise(task, tally, settings, options, judge, whose)
    if judge is not None:
        summary["judge_agreement"] = judge.agreement() if hasattr(judge, "agreement") else None
    return Scored(summary, dataset)


def _parts(dataset: Any, count: int) -> Iterator[Rows]:
    """The first `count` rows without the image and what the model was asked, so many at once."""
    columns = dataset.select_columns(sorted(COLUMNS - PREDICTING))
    for start in range(0, count, PART):
        part = columns[start : min(start + PART, count)]
        yield [
            dict(zip(part, values, strict=True)) | {"row": row}
            for row, values in enumerate(zip(*part.values(), strict=True), start=start)
        ]


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
        digest.update(_digested(row))
    return f"sha256:{digest.hexdigest()}"


def _digested(row: Mapping[str, Any]) -> bytes:
    """What of a sample predictions are scored against."""
    parts = [row[name] for name in ("id", "question_type", "question", "answer", "regions", "image_sha256")]
    return _json(parts).encode("utf-8", "surrogatepass") + b"\n"


def _settings(options: Options, judge: Judge | None) -> dict[str, Any]:
    """The options as `summary.json` keeps them."""
    similarity = qualified(options.similarity) if callable(options.similarity) else options.similarity
    return options._asdict() | {
        "similarity": similarity,
        "level": LEVEL,
        "intervals": METHOD,
        "judge": getattr(judge, "settings", None),
    }


def _score_part(
    task: str,
    rows: Rows,
    tally: _Tally,
    settings: Settings,
    options: Options,
    judge: Judge | None,
    *,
    with_lines: bool,
) -> int:
    """Score some samples of a task, each text read once; their lines go to the rows, their sums to the tally.

    Returns:
        How many of them got no answer.
    """
    sizes = sizes_of(
        str(options.box_format),
        [row["prediction"] for row in rows],
        [(row["width"], row["height"]) for row in rows],
        [row["input_size"] for row in rows],
    )
    read = scan_replies([row["prediction"] for row in rows], str(options.box_format), sizes)
    references = scan([row["answer"] for row in rows])
    answers, truths = read.plain(), references.plain()
    if options.exact_boxes:
        references = read_references([], regions_of("regions", [row["regions"] for row in rows], len(rows)))
    met = meet(read, references, settings, count=len(rows))
    of_boxes, of_words = TASKS[task]
    if task == "des":
        table = description.table_of(answers, truths, judge=judge)
        tally.answers.extend(answers)
    else:
        questions, kinds = [row["question"] for row in rows], [row["question_type"] for row in rows]
        vqa.check_types(kinds)
        table = vqa.table_of(answers, truths, questions, kinds, judge=judge)
        tally.questions.extend(questions)
        tally.kinds.extend(kinds)
    more: list[str] = [""] * len(rows)
    if tally.classes is not None:
        its, lines = defects.tally_part(rows, references, str(options.box_format), exact=options.exact_boxes)
        tally.defects.append(its)
        more = [f', "{defects.METRIC}": {_json(line)}' for line in lines]
    tally.tables[of_boxes].append(met.table)
    tally.tables[of_words].append(table)
    tally.references.append((told_apart(references), len(rows)))
    tally.images.extend(row["image_sha256"] for row in rows)
    tally.truths.extend(truths)
    if with_lines:
        words = DescriptionStats.dicts(table) if task == "des" else vqa.rows_of(table)
        for row, boxes, said, rest in zip(rows, lines_of(met), words, more, strict=True):
            head = _json({"id": row["id"], "image": row["image_sha256"], "task": task})
            row["line"] = f'{head[:-1]}, "{of_boxes}": {boxes}, "{of_words}": {_json(said)}{rest}}}'
    silent = [at for at, text in enumerate(answers) if not text.strip()]
    written = met.table[silent][:, [GroundingStats.names().index(name) for name in ("n_predicted", "n_malformed")]]
    return int((written.sum(axis=1) == 0).sum())


def _summarise(
    task: str, tally: _Tally, settings: Settings, options: Options, judge: Judge | None, sizes: str | None
) -> dict[str, Any]:
    """The scores of a task, their intervals, and the blind baselines on the same references."""
    forms = (
        {"exact"} if options.exact_boxes else set().union(*(grounding.forms_of(part) for part, _ in tally.references))
    )
    signatures = {
        "giqa_grounding": partial(grounding.signature_of, settings, forms=forms, sizes=sizes),
        "giqa_description": partial(description.signature_of, judge=judge),
        "giqa_vqa": partial(vqa.signature_of, judge=judge),
    }
    summary: dict[str, Any] = {}
    for metric, tables in tally.tables.items():
        table, scores = np.concatenate(tables), scores_of(metric, preset=options.preset)
        summary[metric] = scores(table.sum(axis=0))
        summary[metric]["signature"] = signatures[metric](box_format=str(options.box_format))
        bounds = partial(intervals, top=TOPS[metric], resamples=options.resamples, seed=options.seed)
        summary[metric]["intervals"] = bounds(table, tally.images, scores) if options.resamples else {}

    baselines: dict[str, Any] = {}
    for name, answer in blind_boxes([part for part, _ in tally.references]).items():
        read, stats = scan([answer]), GroundingStats()
        for part, count in tally.references:
            met = meet(constant(read, count), part, settings, count=count)
            stats += GroundingStats.of(met.table.sum(axis=0))
        result = grounding.aggregate(stats, preset=options.preset)
        baselines[name] = {
            "giqa_grounding": result | {"signature": signatures["giqa_grounding"](box_format="giqa", sizes=None)}
        }
    if tally.classes is not None and defects.are_named(tally.defects, tally.classes):
        summary[defects.METRIC] = defects.summarise(
            tally.defects,
            tally.images,
            box_format=str(options.box_format),
            exact=options.exact_boxes,
            resamples=options.resamples,
            seed=options.seed,
        )
        for name, result in defects.blind_scores(tally.references, exact=options.exact_boxes).items():
            baselines[name] = {defects.METRIC: result}
    if task == "des":
        for name, result in _blind_words(tally, options.seed, judge):
            baselines[name] = {"giqa_description": result}
    if task == "vqa":
        asked = partial(vqa.table_of, truths=tally.truths, questions=tally.questions, question_types=tally.kinds)

        def blind(answers: list[str], judge: Judge | None = None) -> dict[str, Any]:
            result = vqa.aggregate(VqaStats.of(asked(answers, judge=judge).sum(axis=0)))
            return {"giqa_vqa": result | {"signature": vqa.signature_of(box_format="giqa", judge=judge)}}

        for name, verdict in VERDICTS.items() if "yes_no" in tally.kinds else ():
            baselines[name] = blind([verdict] * len(tally.kinds))
        baselines["most frequent answer"] = blind(frequent_answers(tally.truths, tally.kinds), judge)
    return {**summary, "baselines": baselines}


def _blind_words(tally: _Tally, seed: int, judge: Judge | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What one text says of all other photographs, and what the run's own answers say of each other's."""
    signature = description.signature_of(box_format="giqa", judge=judge)

    def result(answers: list[str], truths: list[str]) -> dict[str, Any]:
        parts = (slice(start, start + PART) for start in range(0, len(answers), PART))
        sums = sum((description.table_of(answers[part], truths[part]).sum(axis=0) for part in parts), np.zeros(1))
        if judge is not None:  # asked about some of many
            asked = slice(None, None, -(-len(answers) // MANY))
            sums[-3:] = description.table_of(answers[asked], truths[asked], judge=judge).sum(axis=0)[-3:]
        return description.aggregate(DescriptionStats.of(sums)) | {"signature": signature}

    best = constant_description(tally.truths, tally.images)
    if best is not None:
        pairs = zip(tally.truths, tally.images, strict=True)
        others = [truth for truth, image in pairs if image != tally.images[best]]
        yield "constant description", result([tally.truths[best]] * len(others), others)
    places = dealt(tally.images, seed)
    if places is not None:
        yield "answers of other photographs", result([tally.answers[place] for place in places], tally.truths)


def scores_of(metric: str, *, preset: Preset) -> Callable[[Table], dict[str, Any]]:
    """How the sums of a metric become its scores."""
    stats, aggregate = MEASURES[metric]
    finish = partial(aggregate, preset=preset) if metric == "giqa_grounding" else aggregate
    return lambda sums: finish(stats.of(sums))


def measure(name: str, *runs: Rows, preset: Preset) -> tuple[list[Table], Callable[[Table], dict[str, Any]]]:
    """The sums per sample of a metric's rows in each of some runs, and how sums become its scores."""
    if name == defects.METRIC:
        tallies = aligned([defects.tally_of(rows) for rows in runs])
        return [tally.table() for tally in tallies], partial(aggregate, tallies[0])
    return [MEASURES[name][0].table(rows) for rows in runs], scores_of(name, preset=preset)
