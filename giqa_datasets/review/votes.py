"""The files of a review: the samples with which each round begins, and the votes of each annotator.

Beside a data set folder, `FOLDER.review/round-1/begin.jsonl` holds a `State` per line, and `votes/<annotator>.jsonl` a
`Vote`. Vote files are only ever appended to; the last line of a sample counts. All of them are treated as hostile.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from pydantic import BaseModel

from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, mend, read_lines
from giqa_datasets.review.states import State, Vote, check_name, check_vote, grounded_texts


if TYPE_CHECKING:
    from giqa_datasets.review.items import Review

__all__ = [
    "State",
    "Vote",
    "append_vote",
    "check_name",
    "grounded_texts",
    "last_round",
    "lock_review",
    "name_images",
    "read_begin",
    "read_votes",
    "to_line",
]

MAX_LINE = 1 << 20  # bytes; what a vote may hold comes to less


def read_begin(review_path: Path, round: int) -> dict[str, State]:
    """Read the samples with which a round begins, by id, in their order.

    Raises:
        ValueError: If there is no such round, or a line is none of ours; file and line are named.
    """
    path = _round_path(review_path, round) / "begin.jsonl"
    if not path.is_file():
        raise InputError(f"expected a round {round} in {review_path}, found none")
    begin: dict[str, State] = {}
    for where, state in read_lines(path, State, longest=MAX_LINE):
        if begin.setdefault(state.id, state) is not state:
            raise InputError(f"{where}: expected unique ids, got {state.id!r} twice")
    return begin


def read_votes(review_path: Path, round: int) -> dict[str, dict[str, Vote]]:
    """Read the votes of a round, by annotator and sample id; the last line of a sample counts.

    A last line that a kill left half-written is no vote.

    Raises:
        ValueError: If there is no such round, or a line is none of ours or does not fit the samples with which the
            round begins; file and line are named.
    """
    begin = read_begin(review_path, round)
    image_ids = name_images(read_begin(review_path, 1).values())
    votes: dict[str, dict[str, Vote]] = {}
    for path in sorted((_round_path(review_path, round) / "votes").glob("*.jsonl")):
        of_annotator = votes[path.stem] = {}
        for where, vote in read_lines(path, Vote, longest=MAX_LINE, grows=True):
            if (vote.annotator, vote.round) != (path.stem, round):
                got = f"one by {vote.annotator!r} of round {vote.round}"
                raise InputError(f"{where}: expected a vote by {path.stem!r} of round {round}, got {got}")
            try:
                check_vote(vote, begin, image_ids)
            except ValueError as error:
                raise InputError(f"{where}: {error}") from error
            of_annotator[vote.id] = vote
    return votes


def append_vote(review: "Review", vote: Vote) -> None:
    """Append a vote to its annotator's file; when this returns, it is on the disk.

    A line that a kill left half-written is cut off first. Several processes may append at once.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the vote does not fit the samples with which the round begins, or the round is closed.
    """
    check_vote(vote, review.begin, {image.sha256: image.id for image in review.images})
    line = to_line(vote)
    with lock_review(review.path):
        current = last_round(review.path)
        if not vote.round == review.round == current:
            got = f"one in round {vote.round} of a review that was opened in round {review.round}"
            raise InputError(f"expected a vote in round {current}, which is open, got {got}")
        folder = _round_path(review.path, vote.round) / "votes"
        path = folder / f"{vote.annotator}.jsonl"
        mend(path)
        append_line(path, line, sync=True)


def lock_review(review_path: Path) -> FileLock:
    """Keep other processes from changing a review; for a `with` statement."""
    return FileLock(review_path / ".lock", poll_interval=0.005)  # a vote takes about a millisecond


def last_round(review_path: Path) -> int:
    """The round that is open, the one with the highest number; 0 if there is none yet."""
    named = (re.fullmatch(r"round-([1-9][0-9]{0,3})", path.name) for path in review_path.glob("round-*"))
    return max((int(name[1]) for name in named if name), default=0)


def name_images(states: Iterable[State]) -> dict[str, str]:
    """The id of each image by its sha256, in their order: that of its first sample, less "-des" or "-vqa-1".

    Args:
        states: Those with which round 1 begins; every image of the data set has some.
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for state in states:
        if state.image not in ids:
            name = re.sub(r"-(des|vqa-[0-9]+)$", "", state.id) or state.id
            ids[state.image] = name if name not in taken else state.image
            taken.add(ids[state.image])
    return ids


def to_line(line: BaseModel) -> str:
    """Write a line, with its end."""
    return line.model_dump_json() + "\n"


def _round_path(review_path: Path, round: int) -> Path:
    return review_path / f"round-{round}"
