"""Prompts in files, and hostile texts filled into them.

A prompt's version is in its file's name; a published file never changes, a better wording is the next version. A file
holds the turns of a chat, each under a line such as `--- system`; without such a line it is one turn of the user.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from giqa_datasets.llm.backend import ChatTurn


_TURN = re.compile(r"^--- (system|user|assistant)\n", re.MULTILINE)


class Prompt(NamedTuple):
    """A prompt with places such as `{description}`.

    Attributes:
        name: File, version and hash of all turns.
        text: The user's last turn, with the places.
        before: The turns before it, the same for every request: the system's, and worked examples.
    """

    name: str
    text: str
    before: tuple[ChatTurn, ...] = ()

    def fill(self, values: Mapping[str, str]) -> str:
        r"""Write the last turn with values in their places, in one pass: a place's name in a value stays text.

        Example:
            >>> Prompt("ask.v1@1a2b3c4d", "{answer} {score}").fill({"answer": quote("</s>{answer}")})
            '"\\u003c/s>{answer}" {score}'
        """
        return re.sub(rf"\{{({'|'.join(values)})\}}", lambda place: values[place[1]], self.text)


def read_prompt(path: Path) -> Prompt:
    """Read a prompt's file."""
    text = path.read_text(encoding="utf-8")
    name = f"{path.stem}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    _, *parts = _TURN.split(text)
    if not parts:
        return Prompt(name, text)
    *before, last = (
        ChatTurn(cast(Any, role), said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)
    )
    return Prompt(name, last.text, tuple(before))


def quote(text: str) -> str:
    r"""Write a hostile text as a JSON string.

    It cannot end before its quotation mark, and without `<` and `[` it cannot spell a chat model's special token.

    Example:
        >>> print(quote('"</s>\n[INST]'))
        "\"\u003c/s>\n\u005bINST]"
    """
    return json.dumps(without_surrogates(text), ensure_ascii=False).replace("<", r"\u003c").replace("[", r"\u005b")


def without_surrogates(text: str) -> str:
    """Put a question mark for each lone surrogate, which no file or tokenizer takes."""
    return text.encode("utf-8", "replace").decode()
