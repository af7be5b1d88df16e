"""Questions by a language model, as in the paper. The prompt is ours, as the paper's supplement is not available."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from giqa_datasets.llm import Backend, Request, ask_all
from giqa_datasets.llm.prompt import quote, read_prompt
from giqa_datasets.pipeline.backends.llm_listing import MAX_TOKENS, Field, Listing, read_reply
from giqa_datasets.pipeline.protocols import Asked, Failure
from giqa_datasets.records import QuestionType, Tag


PROMPT = read_prompt(Path(__file__).parent / "prompts" / "ask.v1.txt")
TYPES = dict.fromkeys(("yes_no", "yes/no", "yes-no", "yes or no"), "yes_no")
TYPES |= {word: word for word in ("what", "why", "how", "which")}
QUESTIONS = Listing("questions", {"type": Field(TYPES), "question": Field(), "answer": Field()})

_VERDICT = re.compile(r"([Yy][Ee][Ss]|[Nn][Oo])\b")  # IGNORECASE would fold foreign letters in


class LlmAsker:
    """Asks with a language model, Llama 3 in the paper: two Yes/No and two open questions (ours).

    Its `name` is the model with its prompt's version and hash: `meta-llama/Meta-Llama-3-8B-Instruct|ask.v1@1a2b3c4d`.
    """

    def __init__(self, backend: Backend) -> None:
        """Ask a model that `giqa_datasets.llm.open_llm` opened."""
        self.name = f"{backend.name}|{PROMPT.name}"
        self._backend = backend

    def ask(
        self, descriptions: Sequence[str], tags: Sequence[Sequence[Tag]], seeds: Sequence[int]
    ) -> list[list[Asked] | Failure]:
        """Write questions about each description's boxed objects."""
        requests = [
            Request(_prompt(description, found), seed % 2**31, MAX_TOKENS, QUESTIONS.schema)
            for description, found, seed in zip(descriptions, tags, seeds, strict=True)
        ]
        return [read_reply(reply, read_questions) for reply in ask_all(self._backend, requests)]


def read_questions(reply: str) -> list[Asked] | None:
    """Read the pairs of a reply; None if it is no list of them, or a Yes/No answer begins with another word.

    Example:
        >>> read_questions("1. Yes/No | Is the cup sharp? | Yes.")
        [Asked(question_type='yes_no', question='Is the cup sharp?', answer='Yes.')]
    """
    entries = QUESTIONS.read(reply)
    if entries is None or any(each["type"] == "yes_no" and not _VERDICT.match(each["answer"]) for each in entries):
        return None
    return [Asked(cast(QuestionType, each["type"]), each["question"], each["answer"]) for each in entries]


def _prompt(description: str, tags: Sequence[Tag]) -> str:
    objects = [f'{{"phrase": {quote(tag.phrase)}, "quality": {quote(tag.quality)}}}' for tag in tags]
    return PROMPT.fill({"description": quote(description), "objects": "\n".join(dict.fromkeys(objects))})
