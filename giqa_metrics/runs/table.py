"""The score tables of a summary: columns after the paper's Table 5, a row for the run and one per blind baseline."""

from typing import Any, NamedTuple

from giqa_metrics.runs.counts import UNREAD, is_of_boxes, is_unread
from giqa_metrics.runs.paper import NOTE, SOURCE, is_giqa_bench, table5
from giqa_metrics.vqa import OPEN_TYPES


class Cell(NamedTuple):
    """A score, and its confidence interval where there is one."""

    value: str
    interval: str = ""


class Table(NamedTuple):
    """A table of texts: a title, the column names, rows whose first cell names them, and what must be said of it."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    note: str = ""


# Column, metric, key
_BOXES = [
    ("mIoU", "giqa_grounding", "miou"),
    ("mIoU strict", "giqa_grounding", "miou_strict"),
    ("Tag-Recall", "giqa_grounding", "tag_recall"),
    ("Precision", "giqa_grounding", "precision"),
    ("F1", "giqa_grounding", "f1"),
]
COLUMNS = {
    "des": [*_BOXES, ("BLEU@4", "giqa_description", "bleu4"), ("LLM-Score", "giqa_description", "llm_score")],
    "vqa": [
        *_BOXES,
        ("Acc (Y)", "giqa_vqa", "accuracy_yes_no"),
        ("Acc (W)", "giqa_vqa", "accuracy_open"),
        ("Acc (Total)", "giqa_vqa", "accuracy"),
    ],
}
_DEFECTS = [
    ("AP50", "giqa_defects", "ap50"),
    ("Box F1", "giqa_defects", "box_f1"),
    ("Class", "giqa_defects", "class_accuracy"),
    ("Severity", "giqa_defects", "severity_accuracy"),
    ("Key", "giqa_defects", "key_accuracy"),
    ("Key recall", "giqa_defects", "key_recall"),
    ("Level", "giqa_defects", "level_accuracy"),
    ("Choice", "giqa_defects", "choice_accuracy"),
]
_BY_TYPE = [(kind.capitalize(), "giqa_vqa", f"accuracy_{kind}") for kind in OPEN_TYPES]
TITLES = {"des": "GIQA-DES", "vqa": "GIQA-VQA"}
NOT_COMPARABLE = "The judge is not the one of this project's protocol: its scores compare with none by another judge."


def tables(summary: dict[str, Any]) -> list[Table]:
    """Lay a summary out, a table per task and one of Acc (W) by question type; a dash is a score that is not there."""
    out = []
    for task, columns in COLUMNS.items():
        if task not in summary:
            continue
        scored = summary[task]
        counts = scored["giqa_grounding"]
        title = (
            f"{summary['data']}, {TITLES[task]}: {counts['n_samples']} samples, "
            f"{counts['n_counted']} with boxes in the reference"
        )
        unread = is_unread(summary, task)
        rows = _rows(summary["model"], scored, columns, unread=unread)
        out.append(Table(title, [column for column, _, _ in columns], rows, _judge_note(scored)))
        if "giqa_defects" in scored:
            n_boxes = scored["giqa_defects"]["n_reference"]
            title = f"{TITLES[task]}, which defects, where, how bad: {n_boxes} boxes in the references"
            rows = _rows(summary["model"], scored, _DEFECTS, unread=unread)
            out.append(Table(title, [column for column, _, _ in _DEFECTS], rows))
        asked = [column for column in _BY_TYPE if scored.get("giqa_vqa", {}).get(column[2]) is not None]
        if asked:
            row = (summary["model"], _cells(scored, asked))
            out.append(Table("Acc (W) by question type", [column for column, _, _ in asked], [row]))
    return out


def _rows(
    model: str, scored: dict[str, Any], columns: list[tuple[str, str, str]], *, unread: bool = False
) -> list[tuple[str, list[Cell]]]:
    """The run's row, and those of the baselines that have a score there."""
    metrics = {metric for _, metric, _ in columns}
    blind = {name: its for name, its in scored["baselines"].items() if metrics & its.keys()}
    rows = [(f"blind: {name}", _cells(its, columns)) for name, its in blind.items()]
    return [(model, _cells(scored, columns, unread=unread)), *rows]


def paper_tables(question_types: list[str]) -> list[Table]:
    """The paper's Table 5, a table per task, for samples that are as many of each type as GIQA-Bench has."""
    if not is_giqa_bench(question_types):
        return []
    out = []
    for task, columns in COLUMNS.items():
        printed = [column for column in columns if column[2] in getattr(table5()[0], task)]
        rows = [(row.method, [Cell(_text(key, getattr(row, task)[key])) for _, _, key in printed]) for row in table5()]
        out.append(Table(f"{SOURCE}, {TITLES[task]}", [column for column, _, _ in printed], rows, NOTE))
    return out


def _judge_note(scored: dict[str, Any]) -> str:
    """What must be said of a judge."""
    notes = []
    for metric in ("giqa_description", "giqa_vqa"):
        result = scored.get(metric, {})
        if "not-comparable" in result.get("signature", ""):
            notes.append(NOT_COMPARABLE)
        if result.get("n_judge_failures"):
            count = result["n_judge_failures"]
            whose = "1 answer; it is" if count == 1 else f"{count} answers; they are"
            notes.append(f"The judge gave no score for {whose} left out.")
            if result.get("n_judged", count) < count:
                notes.append("That is more than half, so there is no score.")
    return " ".join(notes)


def _cells(scores: dict[str, Any], columns: list[tuple[str, str, str]], *, unread: bool = False) -> list[Cell]:
    """Write one row's numbers; those of boxes may be unread."""
    cells = []
    for _, metric, key in columns:
        if unread and is_of_boxes(metric, key):
            cells.append(Cell(UNREAD))
            continue
        result = scores.get(metric, {})
        interval = result.get("intervals", {}).get(key)
        bounds = "" if interval is None else "\u2013".join(_text(key, bound, fewer=1) for bound in interval)
        cells.append(Cell(_text(key, result.get(key)), bounds))
    return cells


def _text(key: str, value: float | None, *, fewer: int = 0) -> str:
    """Write one number with as many digits as the paper does, or some fewer."""
    digits = 2 if key in ("bleu4", "llm_score") else 4
    return "-" if value is None else f"{value:.{digits - fewer}f}"
