"""giqa_vqa: Acc (Y) of Yes/No questions, Acc (W) of open ones by a judge, and both (protocol section 7)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from giqa_datasets.errors import InputError
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.text import strip
from giqa_metrics.inputs import require_samples
from giqa_metrics.judges.judge import TOP, Case, Judge, ask_judge, judge_name
from giqa_metrics.signature import signature
from giqa_metrics.stats import Stats
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
        question_types: `yes_no`, `what`, `why`, `how` or `which`.
        box_format: How the predictions write boxes.
        judge: Scores the open answers; without one their accuracy is None, and the total too if there are any.
        per_sample: Add the key `per_sample`: each sample's `VqaStats` as a dict, in input order, with its `accuracy`,
            0-1 or None.

    Returns:
        accuracy_yes_no, accuracy_open, accuracy (0-1 or None; the first two weighed by the number of their samples),
        accuracy_what, accuracy_which, accuracy_why, accuracy_how, n_samples, n_yes_no, n_open, n_unreadable,
        n_judge_failures and signature. An unreadable Yes/No answer is wrong; an open answer that the judge failed on
        is left out.

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
    plain = format_named(box_format).strip
    answers = [plain(text or "") for text in predictions]
    truths = [strip(text or "") for text in references]
    opened = [index for index, kind in enumerate(question_types) if kind != "yes_no"]
    scores: dict[int, int | None] = {}
    if judge is not None and opened:
        judged = ask_judge(judge, [Case(strip(questions[k]), truths[k], answers[k]) for k in opened])
        scores = dict(zip(opened, judged, strict=True))
    rows = [
        _closed(answers[index], truths[index])
        if kind == "yes_no"
        else _opened(kind, scores.get(index), asked=index in scores)
        for index, kind in enumerate(question_types)
    ]
    result = aggregate(sum(rows, VqaStats())) | {
        "signature": signature("giqa_vqa", format=box_format, yes_no="word", judge=judge_name(judge))
    }
    if per_sample:
        result["per_sample"] = [asdict(row) | {"accuracy": aggregate(row)["accuracy"]} for row in rows]
    return result


def aggregate(stats: VqaStats) -> dict[str, Any]:
    """Turn sums into scores, 0-1; a score that does not exist is None.

    The total weighs Acc (Y) and Acc (W) by the number of their samples, as the paper's Table 5 does: on GIQA-Bench
    (90 Y + 60 W) / 150.
    """
    yes_no, opened = _ratio(stats.correct, stats.n_yes_no), _ratio(stats.score, stats.n_judged)
    parts = [(yes_no, stats.n_yes_no), (opened, stats.n_open)]
    known = [value * count for value, count in parts if value is not None]
    exists = stats.n_samples and not (stats.n_open and opened is None)
    return {
        "accuracy_yes_no": yes_no,
        "accuracy_open": opened,
        "accuracy": sum(known) / stats.n_samples if exists else None,
        **{
            f"accuracy_{kind}": _ratio(getattr(stats, f"score_{kind}"), getattr(stats, f"n_{kind}"))
            for kind in OPEN_TYPES
        },
        "n_samples": stats.n_samples,
        "n_yes_no": stats.n_yes_no,
        "n_open": stats.n_open,
        "n_unreadable": stats.n_unreadable,
        "n_judge_failures": stats.n_judge_failures,
    }


def _check(question_types: Sequence[str], references: Sequence[str | None]) -> None:
    """Refuse references that cannot be scored against."""
    for index, (kind, reference) in enumerate(zip(question_types, references, strict=True)):
        if kind not in QUESTION_TYPES or kind == "des":
            raise InputError(f"expected a question type out of {QUESTION_TYPES[1:]}, got {kind!r}")
        if kind == "yes_no" and read_yes_no(reference or "") is None:
            raise InputError(f"expected a Yes/No reference to say Yes or No, got {reference!r} at {index}")


def _closed(answer: str, truth: str) -> VqaStats:
    """Score a Yes/No answer."""
    said = read_yes_no(answer)
    return VqaStats(n_samples=1, n_yes_no=1, n_unreadable=int(said is None), correct=int(said == read_yes_no(truth)))


def _opened(kind: str, score: int | None, *, asked: bool) -> VqaStats:
    """Score an open answer by the judge's verdict."""
    if score is None:
        return VqaStats(n_samples=1, n_open=1, n_judge_failures=int(asked))
    share = score / TOP
    return VqaStats(n_samples=1, n_open=1, n_judged=1, score=share, **{f"n_{kind}": 1, f"score_{kind}": share})  # type: ignore[arg-type]


def _ratio(part: float, whole: int) -> float | None:
    """A mean, or None where there is nothing to average."""
    return part / whole if whole else None
