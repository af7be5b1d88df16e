"""The folder of a review: its open round, the samples with which a round begins, and the lock."""

import re
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel

from giqa_datasets.errors import InputError
from giqa_datasets.files import read_lines
from giqa_datasets.review.states import State


MAX_LINE = 1 << 20  # bytes; what a vote may hold comes to less


def read_begin(review_path: Path, round: int) -> dict[str, State]:
    """Read the samples with which a round begins, by id, in their order.

    Raises:
        ValueError: If there is no such round, or a line is not valid; file and line are named.
    """
    path = round_path(review_path, round) / "begin.jsonl"
    if not path.is_file():
        raise InputError(f"expected a round {round} in {review_path}, found none")
    begin: dict[str, State] = {}
    for where, state in read_lines(path, State, longest=MAX_LINE):
        if begin.setdefault(state.id, state) is not state:
            raise InputError(f"{where}: expected unique ids, got {state.id!r} twice")
    return begin


def lock_review(review_path: Path) -> FileLock:
    """Keep other processes from changing a review; for a `with` statement."""
    return FileLock(review_path / ".lock", poll_interval=0.005)  # a vote takes about a millisecond


def last_round(review_path: Path) -> int:
    """Return the number of the open round, the highest; 0 if there is none yet."""
    named = (re.fullmatch(r"round-([1-9][0-9]{0,3})", path.name) for path in review_path.glob("round-*"))
    return max((int(name[1]) for name in named if name), default=0)


def name_images(states: Iterable[State]) -> dict[str, str]:
    """Name each image of round 1 by its sha256, in order: the id of its first sample, less "-des" or "-vqa-1"."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for state in states:
        if state.image not in ids:
            name = re.sub(r"-(des|vqa-[0-9]+)$", "", state.id) or state.id
            ids[state.image] = name if name not in taken else state.image
            taken.add(ids[state.image])
    return ids


def to_line(line: BaseModel) -> str:
    """Write a line of JSON, with its end."""
    return line.model_dump_json() + "\n"


def round_path(review_path: Path, round: int) -> Path:
    """Return the folder of one round."""
    return review_path / f"round-{round}"
