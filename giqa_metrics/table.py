"""The score table of a summary: columns after the paper's Table 5, a row for the run and one per blind baseline."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A table of texts: a title, the column names, and rows whose first cell names them."""

    title: str
    columns: list[str]
    rows: list[list[str]]


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
TITLES = {"des": "GIQA-DES", "vqa": "GIQA-VQA"}


def tables(summary: dict[str, Any]) -> list[Table]:
    """Lay a summary out, one table per task; a score that does not exist is a dash."""
    out = []
    for task, columns in COLUMNS.items():
        if task in summary:
            scored = summary[task]
            counts = scored["giqa_grounding"]
            title = (
                f"{summary['data']}, {TITLES[task]}: {counts['n_samples']} samples, "
                f"{counts['n_counted']} with boxes in the reference"
            )
            rows = [[summary["model"], *_cells(scored, columns)]]
            rows += [[f"blind: {name}", *_cells(blind, columns)] for name, blind in scored["baselines"].items()]
            out.append(Table(title, [column for column, _, _ in columns], rows))
    return out


def _cells(scores: dict[str, Any], columns: list[tuple[str, str, str]]) -> list[str]:
    """Write one row's numbers."""
    values = [(key, scores.get(metric, {}).get(key)) for _, metric, key in columns]
    return [
        "-" if value is None else f"{value:.2f}" if key in ("bleu4", "llm_score") else f"{value:.4f}"
        for key, value in values
    ]
