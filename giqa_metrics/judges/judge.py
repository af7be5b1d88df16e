"""What the text metrics ask of an LLM judge: an integer from 0 to 4, or None where it gave none."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from giqa_datasets.errors import InputError


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

    Raises:
        ValueError: If the judge does not answer once for each question.
    """
    replies = judge.judge(batch)
    if len(replies) != len(batch):
        raise InputError(f"expected {len(batch)} scores from judge {judge_name(judge)!r}, got {len(replies)}")
    # True is an int in Python, and no score
    return [reply if type(reply) is int and 0 <= reply <= TOP else None for reply in replies]


def judge_name(judge: Judge | None) -> str:
    """What stands for a judge in a signature."""
    return "none" if judge is None else getattr(judge, "name", type(judge).__name__)
