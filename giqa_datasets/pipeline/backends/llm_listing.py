"""A list of entries as a language model writes it: the schema for the request, and a strict reading of any reply.

One entry of a wrong shape makes the whole reply unreadable, so that no entry is lost or guessed.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from giqa_datasets.errors import InputError
from giqa_datasets.llm import Fault, Reply, Schema
from giqa_datasets.llm.prompt import without_surrogates
from giqa_datasets.pipeline.protocols import Failure
from giqa_datasets.reply import cut


T = TypeVar("T")
Entry = dict[str, str]

MAX_TOKENS = 1024  # ours; room for some thirty objects
SHOWN = 200  # characters of an unreadable reply that its failure shows

_JSON = re.compile(r'\{\s*["}]|\[\s*[{\]]')  # how an object begins, or a list of them; no bracket of prose does
_MARK = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_RULE = re.compile(r"[\s|:-]+")  # under the head of a Markdown table
_QUOTES = ' \t*`"“”'


class Field(NamedTuple):
    """A string of an entry."""

    values: Mapping[str, str] = {}  # the meaning of each lower-case text that may stand there; empty if any may
    may_be_empty: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The field's JSON schema."""
        return {"type": "string"} | ({"enum": sorted(set(self.values.values()))} if self.values else {})

    def read(self, written: Any) -> str | None:
        """Read a value; None if it is not allowed."""
        if not isinstance(written, str):
            return None
        text = without_surrogates(written).strip()
        if self.values:
            return self.values.get(" ".join(text.lower().rstrip(".?").split()))
        return text if text or self.may_be_empty else None


class Listing(NamedTuple):
    """A list by its name, and the fields of each of its entries."""

    name: str
    fields: Mapping[str, Field]

    @property
    def schema(self) -> Schema:
        """The JSON schema of an object that holds the list."""
        entry = _object({name: field.schema for name, field in self.fields.items()})
        return Schema(self.name, _object({self.name: {"type": "array", "items": entry}}))

    def read(self, text: str) -> list[Entry] | None:
        r"""Read the entries of a reply; None if it is no such list. Never raises.

        Thoughts and template tokens are no part of the answer, see `giqa_datasets.reply`. The list is

        - the JSON object of the schema, or only its list, anywhere in the reply, if there is no other JSON;
        - or, without any JSON, the lines of the form `phrase | quality | effect`, bare, numbered, bulleted or in a
          table. A line without a bar is prose; with a number or a bullet it is an entry of a wrong shape.

        Example:
            >>> listing = Listing("cups", {"name": Field(), "size": Field({"big": "large", "large": "large"})})
            >>> listing.read('Sure:\n```json\n{"cups": [{"name": "mug", "size": "Big"}]}\n```')
            [{'name': 'mug', 'size': 'large'}]
            >>> listing.read("1. mug | big\n2. glass | large"), listing.read("1. mug | big\n2. glass | huge")
            ([{'name': 'mug', 'size': 'large'}, {'name': 'glass', 'size': 'large'}], None)
        """
        text = cut(text).text
        start = _JSON.search(text)
        rows = self._lines(text) if start is None else self._json(text, start.start())
        if rows is None:
            return None
        entries = [entry for row in rows if (entry := self._entry(row))]
        return entries if len(entries) == len(rows) else None

    def _json(self, text: str, start: int) -> list[Any] | None:
        """The list in the one JSON value of a text."""
        try:
            value, end = json.JSONDecoder(object_pairs_hook=_unique).raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, dict) and set(value) == {self.name}:
            value = value[self.name]
        return value if isinstance(value, list) and not _JSON.search(text, end) else None

    def _lines(self, text: str) -> list[Any] | None:
        rows = [_cells(line) for line in text.splitlines() if "|" in line or _MARK.match(line)]
        head = list(self.fields)
        rows = [row for row in rows if row and [cell.lower() for cell in row] != head]
        return [dict(zip(head, row, strict=True)) if len(row) == len(head) else None for row in rows] or None

    def _entry(self, row: Any) -> Entry | None:
        if not isinstance(row, dict) or set(row) != set(self.fields):
            return None
        read = {name: text for name, field in self.fields.items() if (text := field.read(row[name])) is not None}
        return read if len(read) == len(self.fields) else None


def read_reply(reply: Reply | Fault, parse: Callable[[str], list[T] | None]) -> list[T] | Failure:
    """Read a reply with a parser; a fault, a reply that was cut off and one that the parser refuses are failures."""
    if isinstance(reply, Fault):
        return Failure("fault", reply.reason)
    found = None if reply.is_cut else parse(reply.text)
    return Failure("unreadable_reply", without_surrogates(reply.text[:SHOWN])) if found is None else found


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that has a name twice: the first value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("expected each name once, got one twice")
    return found


def _cells(line: str) -> list[str]:
    """The cells of a line; none for the rule of a table."""
    if _RULE.fullmatch(line):
        return []
    line = _MARK.sub("", line, count=1).strip()
    if len(line) > 1 and line.startswith("|") and line.endswith("|"):
        line = line[1:-1]
    return [cell.strip(_QUOTES) for cell in line.split("|")]
