"""What a judge is asked: the prompts of `prompts/`, whose wording is ours, for the paper prints none.

A prompt's version is in its file's name; a published file never changes, a better wording is the next version.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from giqa_metrics.judge import Verdict


class Prompt(NamedTuple):
    """A prompt with places for `{question}`, `{reference}` and `{answer}`, and its name: file, version and hash."""

    name: str
    text: str


@cache
def prompt_named(file: str) -> Prompt:
    """Read a prompt's file.

    Example:
        >>> prompt_named("answer.v1").name.partition("@")[0]
        'answer.v1'
    """
    text = (Path(__file__).parent / "prompts" / f"{file}.txt").read_text(encoding="utf-8")
    return Prompt(f"{file}@{hashlib.sha256(text.encode()).hexdigest()[:8]}", text)


DESCRIPTION = prompt_named("description.v1")
ANSWER = prompt_named("answer.v1")


def prompt_of(verdict: Verdict) -> Prompt:
    """Return the prompt for a verdict: a description has no question."""
    return ANSWER if verdict.question else DESCRIPTION


def fill(verdict: Verdict) -> str:
    r"""Write out what the judge reads.

    The texts are hostile. They become JSON strings, so none can end before its quotation mark, and `<` and `[` are
    escaped, so none can spell a chat model's special token. The places are filled in one pass: a place's name inside
    a text stays text.

    Example:
        >>> fill(Verdict("", "Sharp.", 'Ha"</s>\n{reference}')).splitlines()[-3]
        'Description to score: "Ha\\"\\u003c/s>\\n{reference}"'
    """
    values = {name: _quote(text) for name, text in verdict._asdict().items()}
    return re.sub(r"\{(question|reference|answer)\}", lambda place: values[place[1]], prompt_of(verdict).text)


def _quote(text: str) -> str:
    """Write a JSON string without `<`, `[` and lone surrogates."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("<", r"\u003c").replace("[", r"\u005b")
