"""`judge.jsonl`: every reply of a judge by the key of what was asked; only ever appended to.

`score` stands there for people. Who replays a log reads it again from the raw reply, with the parser of the day.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from giqa_datasets.errors import InputError
from giqa_datasets.llm import Reply


class Line(BaseModel):
    """What is read of a line."""

    model_config = ConfigDict(extra="ignore", strict=True)
    key: str
    reply: str
    is_cut: bool


def read_log(path: Path) -> dict[str, Reply]:
    """Read the replies by key, the first of each; empty where there is no file. A half-written last line is no line.

    Raises:
        ValueError: If a line is no reply; it is named.
    """
    replies: dict[str, Reply] = {}
    if not path.exists():
        return replies
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                read = Line.model_validate_json(line)
            except ValidationError as error:
                raise InputError(
                    f"{path} line {number}: expected an object with the strings key and reply and the boolean is_cut, "
                    f"got {line.strip()[:80].decode(errors='replace')!r}"
                ) from error
            replies.setdefault(read.key, Reply(read.reply, read.is_cut))
    return replies


def mend_log(path: Path) -> None:
    """Make a log ready to be appended to: its folder is there, and a line that a kill left half-written is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one line; it is the operating system's when this returns."""
    with path.open("ab") as file:
        file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
