"""What the text metrics ask of an LLM judge: an integer from 0 to 4, or None where it gave none."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple, Protocol

from giqa_datasets.errors import InputError
from giqa_metrics.signature import qualified


TOP = 4  # the judge's best score, paper section 4.1


class Case(NamedTuple):
    """What a judge is asked about, boxes stripped; the question is empty for a description."""

    question: str
    reference: str
    answer: str


class Judge(Protocol):
    """Scores answers against references."""

    name: str

    def judge(self, batch: Sequence[Case]) -> list[int | None]:
        """Score each answer 0 to 4; None where the reply held no score."""
        ...


def ask_judge(judge: Judge, batch: Sequence[Case]) -> list[int | None]:
    """Ask a judge; a score that is no integer from 0 to 4 is a failure, None, and never used.

    An empty answer is 0, and the judge is not asked about it.

    Raises:
        ValueError: If the judge does not answer once for each question.
    """
    asked = [verdict for verdict in batch if verdict.answer.strip()]
    replies = judge.judge(asked) if asked else []
    if len(replies) != len(asked):
        raise InputError(f"expected {len(asked)} scores from judge {judge_name(judge)!r}, got {len(replies)}")
    scores = map(_score, replies)
    return [next(scores) if verdict.answer.strip() else 0 for verdict in batch]


def stands(n_judged: int, n_failures: int) -> bool:
    """Tell whether a mean over judged answers stands: on at least half of those that were to be judged, and on one."""
    return bool(n_judged and n_judged >= n_failures)


def judge_name(judge: Judge | None) -> str:
    """What stands for a judge in a signature."""
    return "none" if judge is None else getattr(judge, "name", None) or qualified(judge)


def _score(reply: object) -> int | None:
    """A judge's reply as a score; True is an integer in Python, and no score."""
    if not isinstance(reply, Integral) or isinstance(reply, bool):
        return None
    score = int(reply)
    return score if 0 <= score <= TOP else None
