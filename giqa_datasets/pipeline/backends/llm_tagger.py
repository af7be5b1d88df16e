"""Stage 1 by a language model, as in the paper: an object's phrase, its quality, its effect on the image's quality.

The prompt is ours, as the paper's supplement is not available.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from giqa_datasets.llm import Backend, Request, ask_all
from giqa_datasets.llm.prompt import quote, read_prompt
from giqa_datasets.pipeline.backends.llm_listing import MAX_TOKENS, Entry, Field, Listing, read_reply
from giqa_datasets.pipeline.protocols import Failure
from giqa_datasets.records import Effect, Tag
from giqa_datasets.regions import take


PROMPT = read_prompt(Path(__file__).parent / "prompts" / "tag.v2.txt")
NOUNS = ("", " impact", " effect", " influence")
EFFECTS = {f"{effect}{noun}": effect for effect in ("positive", "negative", "none") for noun in NOUNS}
EFFECTS |= {f"{word}{noun}": "none" for word in ("no", "neutral") for noun in NOUNS}
OBJECTS = Listing("objects", {"phrase": Field(), "quality": Field(may_be_empty=True), "effect": Field(EFFECTS)})


class LlmTagger:
    """Tags with a language model, Llama 3 in the paper.

    Its `name` is the model with its prompt's version and hash: `meta-llama/Meta-Llama-3-8B-Instruct|tag.v2@1a2b3c4d`.
    """

    def __init__(self, backend: Backend) -> None:
        """Ask a model that `giqa_datasets.llm.open_llm` opened."""
        self.name = f"{backend.name}|{PROMPT.name}"
        self._backend = backend

    def tag(self, descriptions: Sequence[str]) -> list[list[Tag] | Failure]:
        """Tag each description; a phrase that is not in it has the span (0, 0) and stays as the model wrote it."""
        prompts = [PROMPT.fill({"description": quote(description)}) for description in descriptions]
        replies = ask_all(
            self._backend, [Request(prompt, 0, MAX_TOKENS, OBJECTS.schema, before=PROMPT.before) for prompt in prompts]
        )
        return [
            read_reply(reply, partial(read_tags, description))
            for description, reply in zip(descriptions, replies, strict=True)
        ]


def read_tags(description: str, reply: str) -> list[Tag] | None:
    """Read the tags of a reply, in the order of the description; None if it is no list of objects.

    The longest phrase takes its place first, and equal ones take one occurrence after the other. A phrase that stands
    only inside another one's place gets that place, so that the stage drops it as overlapping.

    Example:
        >>> names = ["Cup", "red cup", "cup", "saucer"]
        >>> reply = str([{"phrase": name, "quality": "sharp", "effect": "no impact"} for name in names])
        >>> [(tag.phrase, tag.span) for tag in read_tags("A red  cup, a cup.", reply.replace("'", '"'))]
        [('saucer', (0, 0)), ('red  cup', (2, 10)), ('cup', (7, 10)), ('cup', (14, 17))]
    """
    entries = OBJECTS.read(reply)
    if entries is None:
        return None
    taken = bytearray(len(description))
    longest_first = sorted(entries, key=lambda entry: len(entry["phrase"]), reverse=True)
    tags = [_tag(entry, _locate(entry["phrase"], description, taken), description) for entry in longest_first]
    return sorted(tags, key=lambda tag: (tag.span[0], -tag.span[1]))


def _tag(entry: Entry, span: tuple[int, int], description: str) -> Tag:
    phrase = description[slice(*span)] or entry["phrase"]
    return Tag(phrase, span, entry["quality"], cast(Effect, entry["effect"]), np.zeros((0, 4)))


def _locate(phrase: str, description: str, taken: bytearray) -> tuple[int, int]:
    """The span of a phrase, letter by letter, else in another case or with other white space; (0, 0) if absent."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    alike = re.finditer(rf"(?=({words}))", description, re.IGNORECASE)
    spellings = dict.fromkeys([phrase, *(found[1] for found in alike)])
    free, anywhere = taken, bytearray(len(description))
    spans = (take(description, spelling, marks) for marks in (free, anywhere) for spelling in spellings)
    return next(filter(None, spans), (0, 0))
