"""Questions by a language model, as in the paper. The prompt is ours, as the paper's supplement is not available."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from giqa_datasets.llm import Backend, Request, ask_all
from giqa_datasets.llm.prompt import quote, read_prompt
from giqa_datasets.pipeline.backends.llm_listing import MAX_TOKENS, Field, Listing, read_reply
from giqa_datasets.pipeline.protocols import Asked, Failure
from giqa_datasets.records import QuestionType, Tag


PROMPT = read_prompt(Path(__file__).parent / "prompts" / "ask.v2.txt")
TYPES = dict.fromkeys(("yes_no", "yes/no", "yes-no", "yes or no"), "yes_no")
TYPES |= {word: word for word in ("what", "why", "how", "which")}
OPEN = ("what", "why", "how", "which")
N_KINDS = 3  # calls for a description
QUESTIONS = Listing("questions", {"type": Field(TYPES), "question": Field(), "answer": Field()})

_VERDICT = re.compile(r"([Yy][Ee][Ss]|[Nn][Oo])\b")  # IGNORECASE would fold foreign letters in


class LlmAsker:
    """Asks with a language model, Llama 3 in the paper.

    Ours: a call for each type, two Yes/No questions and two open ones, of types that the seed draws.

    Its `name` is the model with its prompt's version and hash: `meta-llama/Meta-Llama-3-8B-Instruct|ask.v2@1a2b3c4d`.
    """

    def __init__(self, backend: Backend) -> None:
        """Ask a model that `giqa_datasets.llm.open_llm` opened."""
        self.name = f"{backend.name}|{PROMPT.name}"
        self._backend = backend

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> list[list[Asked | Failure] | Failure]:
        """Write questions about each description's boxed objects; a type whose reply is unreadable is a failure."""
        wanted = [
            (kind, _request(kind, description, found, seed))
            for description, found, seed in zip(descriptions, tags, seeds, strict=True)
            for kind in kinds(seed)
        ]
        replies = ask_all(self._backend, [request for _, request in wanted])
        read = [
            read_reply(reply, partial(read_questions, kind=kind))
            for (kind, _), reply in zip(wanted, replies, strict=True)
        ]
        return [_together(read[at : at + N_KINDS]) for at in range(0, len(read), N_KINDS)]


def kinds(seed: int) -> list[str]:
    """The types of questions that are asked for: Yes/No, and two open ones that the seed draws.

    Example:
        >>> kinds(0)
        ['yes_no', 'how', 'which']
    """
    drawn = np.random.default_rng(seed).choice(OPEN, N_KINDS - 1, replace=False)
    return ["yes_no", *drawn.tolist()]


def read_questions(reply: str, *, kind: str | None = None) -> list[Asked] | None:
    """Read the pairs of a reply.

    None if it is no list of them, one is not of the type that was asked for, or a Yes/No answer begins with another
    word.

    Example:
        >>> read_questions("1. Yes/No | Is the cup sharp? | Yes.")
        [Asked(question_type='yes_no', question='Is the cup sharp?', answer='Yes.')]
    """
    entries = QUESTIONS.read(reply)
    if entries is None or any(each["type"] == "yes_no" and not _VERDICT.match(each["answer"]) for each in entries):
        return None
    if kind is not None and any(each["type"] != kind for each in entries):
        return None
    return [Asked(cast(QuestionType, each["type"]), each["question"], each["answer"]) for each in entries]


def _request(kind: str, description: str, tags: Sequence[Tag], seed: int) -> Request:
    objects = [f'{{"phrase": {quote(tag.phrase)}, "quality": {quote(tag.quality)}}}' for tag in tags]
    places = {"type": quote(kind), "description": quote(description), "objects": "\n".join(dict.fromkeys(objects))}
    schema = QUESTIONS._replace(fields=dict(QUESTIONS.fields) | {"type": Field({kind: kind})}).schema
    return Request(PROMPT.fill(places), seed % 2**31, MAX_TOKENS, schema, before=PROMPT.before)


def _together(read: Sequence[list[Asked] | Failure]) -> list[Asked | Failure] | Failure:
    """A description's pairs of all types, and the types that failed; one failure if all did or one may yet be had."""
    failures = [each for each in read if isinstance(each, Failure)]
    faults = [each for each in failures if each.reason == "fault"]
    if faults or len(failures) == len(read):
        return (faults or failures)[0]
    return [pair for each in read for pair in ([each] if isinstance(each, Failure) else each)]
