"""`judge.jsonl`: every reply of a judge by the key of what was asked; only ever appended to.

`score` stands there for people. Who replays a log reads it again from the raw reply, with the parser of the day.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from giqa_datasets.files import read_lines
from giqa_datasets.llm import Reply


class ReplyLine(BaseModel):
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
    expected = "an object with the strings key and reply and the boolean is_cut"
    for _, line in read_lines(path, ReplyLine, expected=expected, grows=True) if path.exists() else ():
        replies.setdefault(line.key, Reply(line.reply, line.is_cut))
    return replies
