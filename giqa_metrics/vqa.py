"""giqa_vqa: Acc (Y) of Yes/No questions, Acc (W) of open ones by a judge, and both (protocol section 7)."""

from collections.abc import Sequence
from typing import Any

from giqa_datasets.formats import box_format as format_named
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.text import strip
from giqa_metrics.inputs import require_samples
from giqa_metrics.judge import TOP, Judge, Verdict, ask_judge
from giqa_metrics.signature import signature
from giqa_metrics.yes_no import read_yes_no


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
        question_types: `yes_no`, `what`, `why`, `how` or `which`.
        box_format: How the predictions write boxes.
        judge: Scores the open answers; without one their accuracy is None, and the total too if there are any.
        per_sample: Add the key `per_sample`: the score of each sample in input order, 0-1 or None.

    Returns:
        accuracy_yes_no, accuracy_open, accuracy (0-1 or None; accuracy weighs samples equally), n_samples, n_yes_no,
        n_open, n_unreadable, n_judge_failures and signature. An unreadable Yes/No answer is wrong; an open answer that
        the judge failed on is left out.

    Raises:
        ValueError: If there is no sample, lengths differ, a question type is unknown, or a Yes/No reference says
            neither.

    Example:
        >>> scores = giqa_vqa(["Yes, it is."], ["Yes."], ["Is the [cup](<5, 254>) sharp?"], ["yes_no"])
        >>> scores["accuracy_yes_no"], scores["accuracy_open"], scores["accuracy"]
        (1.0, None, 1.0)
    """
    require_samples(predictions=predictions, references=references, questions=questions, question_types=question_types)
    _check(question_types, references)
    read = format_named(box_format).read
    answers = [read(text or "").plain for text in predictions]
    truths = [strip(text or "") for text in references]
    closed = [index for index, kind in enumerate(question_types) if kind == "yes_no"]
    opened = [index for index, kind in enumerate(question_types) if kind != "yes_no"]

    scores: list[float | None] = [None] * len(answers)
    n_unreadable = 0
    for index in closed:
        said = read_yes_no(answers[index])
        n_unreadable += said is None
        scores[index] = float(said == read_yes_no(truths[index]))
    n_failures = 0
    if judge is not None and opened:
        judged = ask_judge(judge, [Verdict(strip(questions[k]), truths[k], answers[k]) for k in opened])
        n_failures = judged.n_failures
        for index, score in zip(opened, judged.scores, strict=True):
            scores[index] = None if score is None else score / TOP

    result = {
        "accuracy_yes_no": _mean([scores[index] for index in closed]),
        "accuracy_open": _mean([scores[index] for index in opened]),
        "accuracy": None if opened and judge is None else _mean(scores),
        "n_samples": len(answers),
        "n_yes_no": len(closed),
        "n_open": len(opened),
        "n_unreadable": n_unreadable,
        "n_judge_failures": n_failures,
        "signature": signature(
            "giqa_vqa", format=box_format, yes_no="word", judge="none" if judge is None else judge.name
        ),
    }
    return result | {"per_sample": scores} if per_sample else result


def _check(question_types: Sequence[str], references: Sequence[str | None]) -> None:
    """Refuse references that cannot be scored against."""
    for index, (kind, reference) in enumerate(zip(question_types, references, strict=True)):
        if kind not in QUESTION_TYPES or kind == "des":
            raise ValueError(f"expected a question type out of {QUESTION_TYPES[1:]}, got {kind!r}")
        if kind == "yes_no" and read_yes_no(reference or "") is None:
            raise ValueError(f"expected a Yes/No reference to say Yes or No, got {reference!r} at {index}")


def _mean(scores: Sequence[float | None]) -> float | None:
    """Mean of the scores that exist, or None."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
