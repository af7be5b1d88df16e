"""The paper's Table 5, the scores a report is read beside (protocol section 9), and how to tell GIQA-Bench."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


_PAPER = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))

SOURCE: str = _PAPER["source"]
NOTE: str = _PAPER["note"]  # what the scores may be compared with, for those who read them
COMPOSITION: dict[str, int] = _PAPER["composition"]  # samples of GIQA-Bench by question type


class PaperRow(NamedTuple):
    """A method's scores as printed, None for the paper's N/A, under the keys that our metrics give them.

    Attributes:
        group: General, Ground, IQA or Ours, the last being the authors'.
        method: The model's name.
        des: miou, tag_recall (0-1), bleu4, llm_score (0-100).
        vqa: miou, tag_recall, accuracy_yes_no, accuracy_open, accuracy (0-1).
    """

    group: str
    method: str
    des: dict[str, float | None]
    vqa: dict[str, float | None]


def table5() -> list[PaperRow]:
    """List the 16 rows in the paper's order.

    Example:
        >>> best = table5()[-1]
        >>> best.method, best.des["tag_recall"], best.vqa["accuracy"]
        ('Grounding-IQA (mPLUG-Owl2-7B)', 0.5474, 0.7417)
    """
    return [PaperRow(**row) for row in _PAPER["rows"]]


def is_giqa_bench(question_types: Iterable[str]) -> bool:
    """Whether samples are as many of each type as GIQA-Bench has; that they are its images, no count can tell.

    Example:
        >>> is_giqa_bench(["des"] * 100 + ["yes_no"] * 90 + ["what"] * 30 + ["why"] * 18 + ["how"] * 12)
        True
        >>> is_giqa_bench(["des"] * 250)
        False
    """
    return Counter(question_types) == COMPOSITION
