"""Prompts in files, and hostile texts filled into them.

A prompt's version is in its file's name; a published file never changes, a better wording is the next version.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Prompt(NamedTuple):
    """A prompt with places such as `{description}`, and its name: file, version and hash."""

    name: str
    text: str

    def fill(self, values: Mapping[str, str]) -> str:
        r"""Put values in their places, in one pass: a place's name inside a value stays text.

        Example:
            >>> Prompt("ask.v1@1a2b3c4d", "{answer} {score}").fill({"answer": quote("</s>{answer}")})
            '"\\u003c/s>{answer}" {score}'
        """
        return re.sub(rf"\{{({'|'.join(values)})\}}", lambda place: values[place[1]], self.text)


def read_prompt(path: Path) -> Prompt:
    """Read a prompt's file."""
    text = path.read_text(encoding="utf-8")
    return Prompt(f"{path.stem}@{hashlib.sha256(text.encode()).hexdigest()[:8]}", text)


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
