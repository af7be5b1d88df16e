"""giqa_vqa: Acc (Y) of Yes/No questions, Acc (W) of open ones by a judge, and both (protocol section 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from giqa_datasets.errors import InputError
from giqa_datasets.records import QUESTION_TYPES, QuestionType
from giqa_datasets.reply import VERSION
from giqa_datasets.text import strip
from giqa_datasets.text_scan import answers_of, scan
from giqa_metrics.inputs import samples_of
from giqa_metrics.judges.judge import TOP, Case, Judge, ask_judge, judge_name, stands
from giqa_metrics.signature import signature
from giqa_metrics.stats import Stats, Table, ratio
from giqa_metrics.yes_no import VERSION as YES_NO
from giqa_metrics.yes_no import read_yes_no


OPEN_TYPES = ("what", "which", "why", "how")


@dataclass(frozen=True, slots=True)
class VqaStats(Stats):
    """Sums over samples.

    Attributes:
        n_samples: Questions.
        n_yes_no: Yes/No questions.
        n_open: Open questions.
        n_unreadable: Answers to Yes/No questions that say neither.
        n_judged: Answers to open questions that the judge gave a score.
        n_judge_failures: Those it was asked about and gave none.
        correct: Yes/No answers that are right.
        score: Sum of the judge's scores, 0-1 each.
        n_what: Judged answers to What questions, and `score_what` the sum of their scores; so for the other types.
    """

    n_samples: int = 0
    n_yes_no: int = 0
    n_open: int = 0
    n_unreadable: int = 0
    n_judged: int = 0
    n_judge_failures: int = 0
    correct: int = 0
    score: float = 0.0
    n_what: int = 0
    n_which: int = 0
    n_why: int = 0
    n_how: int = 0
    score_what: float = 0.0
    score_which: float = 0.0
    score_why: float = 0.0
    score_how: float = 0.0


def giqa_vqa(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    questions: Sequence[str],
    question_types: Sequence[str],
    *,
    box_format: str = "giqa",
    judge: Judge | None = None,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score short answers.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text.
        questions: GIQA text; the judge reads them.
        question_types: `yes_no`, `what`, `why`, `how` or `which`; `mcq` is passed over, and counts nowhere.
        box_format: How the predictions write boxes.
        judge: Scores the open answers; without one their accuracy is None, and the total too if there are any.
        per_sample: Add the key `per_sample`: each sample's `VqaStats` as a dict, in input order, with its `accuracy`,
            0-1 or None.

    Returns:
        accuracy_yes_no, accuracy_open, accuracy (0-1 or None; the first two weighed by the number of their samples),
        accuracy_what, accuracy_which, accuracy_why, accuracy_how, n_samples, n_yes_no, n_open, n_unreadable,
        n_judged, n_judge_failures and signature. An unreadable Yes/No answer is wrong. An open answer that the judge
        failed on is left out: accuracy_open is over the n_judged others, and there is none for open answers where
        these are fewer than half. An empty one is 0, and the judge is not asked.

    Raises:
        ValueError: If there is no sample, lengths differ, a question type is unknown, or a Yes/No reference says
            neither.

    Example:
        >>> scores = giqa_vqa(["Yes, it is."], ["Yes."], ["Is the [cup](<5, 254>) sharp?"], ["yes_no"])
        >>> scores["accuracy_yes_no"], scores["accuracy_open"], scores["accuracy"]
        (1.0, None, 1.0)
    """
    predictions, references, questions, question_types = samples_of(
        required=("questions", "question_types"),
        predictions=predictions,
        references=references,
        questions=questions,
        question_types=question_types,
    )
    check_types(question_types)
    answers, truths = answers_of(predictions, box_format), scan([text or "" for text in references]).plain()
    table = table_of(answers, truths, questions, question_types, judge=judge)
    result = aggregate(VqaStats.of(table.sum(axis=0)))
    result["signature"] = signature_of(box_format=box_format, judge=judge)
    return result | {"per_sample": rows_of(table)} if per_sample else result


def table_of(
    answers: Sequence[str],
    truths: Sequence[str],
    questions: Sequence[str],
    question_types: Sequence[str],
    *,
    judge: Judge | None = None,
) -> Table:
    """Sum up each of N short answers, plain texts: shape (N, S), the columns of `VqaStats`; questions are GIQA text.

    Raises:
        ValueError: If a Yes/No reference says neither.
    """
    columns = {name: np.zeros(len(answers)) for name in VqaStats.names()}
    kinds = np.array(question_types, dtype=str)
    is_closed = kinds == "yes_no"
    is_open = ~is_closed & (kinds != "mcq")
    columns["n_yes_no"], columns["n_open"] = is_closed * 1.0, is_open * 1.0
    columns["n_samples"] = columns["n_yes_no"] + columns["n_open"]
    said = {text: read_yes_no(text) for text in {answers[k] for k in np.flatnonzero(is_closed).tolist()}}
    meant = {text: read_yes_no(text) for text in {truths[k] for k in np.flatnonzero(is_closed).tolist()}}
    for k in np.flatnonzero(is_closed).tolist():
        verdict, truth = said[answers[k]], meant[truths[k]]
        if truth is None:
            raise InputError(f"expected a Yes/No reference to say Yes or No, got {truths[k]!r} at {k}")
        columns["n_unreadable"][k] = verdict is None
        columns["correct"][k] = verdict == truth
    asked = np.flatnonzero(is_open).tolist() if judge is not None else []
    if judge is not None and asked:
        judged = ask_judge(judge, [Case(strip(questions[k]), truths[k], answers[k]) for k in asked])
        for k, score in zip(asked, judged, strict=True):
            if score is None:
                columns["n_judge_failures"][k] = 1
                continue
            columns["n_judged"][k] = columns[f"n_{question_types[k]}"][k] = 1
            columns["score"][k] = columns[f"score_{question_types[k]}"][k] = score / TOP
    return np.stack(list(columns.values()), axis=1)


def check_types(question_types: Sequence[str]) -> None:
    """Refuse what is no type of a question.

    Raises:
        ValueError: If there is one.
    """
    for index, kind in enumerate(question_types):
        if kind == "des" or kind not in get_args(QuestionType):
            raise InputError(f"expected a question type out of {QUESTION_TYPES[1:]}, got {kind!r} at {index}")


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Each sample's numbers, and its `accuracy`, 0-1 or None."""
    rows = VqaStats.dicts(table)
    for row in rows:
        is_open = row["n_open"]
        row["accuracy"] = ratio(row["score"], row["n_judged"]) if is_open else ratio(row["correct"], row["n_yes_no"])
    return rows


def signature_of(*, box_format: str, judge: Judge | None) -> str:
    """Name everything that can move the scores."""
    return signature("giqa_vqa", reply=VERSION, format=box_format, yes_no=YES_NO, judge=judge_name(judge))


def aggregate(stats: VqaStats) -> dict[str, Any]:
    """Turn sums into scores, 0-1; a score that does not exist is None.

    The total weighs Acc (Y) and Acc (W) by the number of their samples, as the paper's Table 5 does: on GIQA-Bench
    (90 Y + 60 W) / 150.
    """
    has_opened = stands(stats.n_judged, stats.n_judge_failures)
    yes_no, opened = ratio(stats.correct, stats.n_yes_no), ratio(stats.score, stats.n_judged * has_opened)
    parts = [(yes_no, stats.n_yes_no), (opened, stats.n_open)]
    known = [value * count for value, count in parts if value is not None]
    exists = stats.n_samples and not (stats.n_open and opened is None)
    return {
        "accuracy_yes_no": yes_no,
        "accuracy_open": opened,
        "accuracy": sum(known) / stats.n_samples if exists else None,
        **{
            f"accuracy_{kind}": ratio(getattr(stats, f"score_{kind}"), getattr(stats, f"n_{kind}") * has_opened)
            for kind in OPEN_TYPES
        },
        "n_samples": stats.n_samples,
        "n_yes_no": stats.n_yes_no,
        "n_open": stats.n_open,
        "n_unreadable": stats.n_unreadable,
        "n_judged": stats.n_judged,
        "n_judge_failures": stats.n_judge_failures,
    }
