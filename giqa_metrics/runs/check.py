"""`giqa check RUN`: score a run again from its own files, and say of every number whether it still holds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.check import shards_sums
from giqa_datasets.errors import InputError
from giqa_metrics.judges.judge import Judge
from giqa_metrics.runs.files import (
    JudgeSettings,
    ScoreRow,
    read_config,
    read_summary,
    require_new,
    score_lines,
    score_row,
)
from giqa_metrics.runs.score import Options, compute
from giqa_metrics.similarity import ENCODERS


TOLERANCE = 1e-6  # of a score; another processor or library may round an encoder's last digits differently


class Number(NamedTuple):
    """One thing that a summary states.

    Attributes:
        name: Where it stands, such as `des.giqa_grounding.miou`.
        stated: What the file says.
        found: What comes out now.
        holds: Whether they agree.
    """

    name: str
    stated: Any
    found: Any
    holds: bool


def check_run(folder: Path, *, similarity: str | None = None) -> list[Number]:
    """Compute everything in `summary.json` and `scores.jsonl` again, the judge's replies taken from `judge.jsonl`.

    Args:
        folder: A run that `giqa score` has scored; it may be a stranger's.
        similarity: The encoder that the run was scored with, a folder or a model id, where it is none of `ENCODERS`:
            what a stranger's file names is not loaded.

    Returns:
        Every leaf of the summary in its order, then the rows of `scores.jsonl`, and the shards of a data set folder
        against the sum in its card.

    Raises:
        FileNotFoundError: If the folder is no scored run, or its data set or judge's log is gone.
        ValueError: If a file of it was not written by `giqa score`, or it names an encoder of its own.
    """
    summary, stated = read_summary(folder)
    settings = summary.settings
    if settings.similarity not in (None, similarity, *ENCODERS):
        raise InputError(
            f"{folder} was scored with the similarity {settings.similarity!r}, which is loaded if you name it "
            f"yourself: --similarity {settings.similarity}"
        )
    options = Options(**settings.model_dump(exclude={"judge"}))
    judge = _replay(folder, settings.judge)
    rows = _Rows(score_lines(folder))
    config, split = summary.config, summary.split
    scored = compute(folder, summary.data, config=config, split=split, options=options, judge=judge, keep=rows.compare)
    if "model" not in read_config(folder):  # then it is a folder's name, and folders move
        scored.summary["model"] = summary.model
    numbers = [Number(*leaf, _same(*leaf[1:])) for leaf in _leaves("", stated, scored.summary)]
    n_stated, n_differ = rows.end()
    numbers.append(Number("scores.jsonl", f"{n_stated} rows", f"{n_differ} differ", not n_differ))
    return [*numbers, *_shards(Path(summary.data))]


class _Rows:
    """Compares the rows of `scores.jsonl` with those that come out now, as both come in; most are equal as bytes."""

    def __init__(self, lines: Iterator[tuple[str, bytes]]) -> None:
        self._lines = lines
        self._known: set[str] = set()
        self._waiting: dict[str, ScoreRow] = {}  # rows of the file that stand before their turn
        self._n_differ = 0

    def compare(self, found: Sequence[Mapping[str, Any]], has_pixels: bool) -> None:
        """Take the next rows."""
        for row in found:
            there = self._waiting.pop(row["id"], None)
            while there is None and (line := next(self._lines, None)) is not None:
                where, raw = line
                if raw.rstrip(b"\r\n") == row["line"].encode():
                    require_new(row["id"], self._known, where)
                    break
                one = self._read(raw, where)
                if one.id == row["id"]:
                    there = one
                else:
                    self._waiting[one.id] = one
            else:
                self._n_differ += there is None or not _same(json.loads(row["line"]), there.raw)

    def end(self) -> tuple[int, int]:
        """Return how many rows the file has, and how many differ or are on one side alone."""
        rest = [self._read(raw, where) for where, raw in self._lines]
        return len(self._known), self._n_differ + len(self._waiting) + len(rest)

    def _read(self, raw: bytes, where: str) -> ScoreRow:
        row = score_row(raw, where)
        require_new(row.id, self._known, where)
        return row


def _replay(folder: Path, settings: JudgeSettings | None) -> Judge | None:
    """The judge that answers from the run's log."""
    if settings is None:
        return None
    from giqa_metrics.judges import open_judge

    return open_judge(
        model=settings.model,
        prompts=[name.partition("@")[0] for name in settings.prompts],
        repeats=settings.repeats,
        ask_again=settings.ask_again,
        log=folder / "judge.jsonl",
        replay=True,
    )


def _shards(data: Path) -> Iterator[Number]:
    """A data set folder's shards against the sum in its card."""
    sums = shards_sums(data)
    if sums:
        yield Number("data shards", *sums, sums[0] == sums[1])


def _leaves(name: str, stated: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """Walk both sides at once; what only one of them has is None on the other."""
    sides = [side for side in (stated, found) if side is not None]
    if any(sides) and all(isinstance(side, dict) for side in sides):
        for key in dict.fromkeys(key for side in sides for key in side):
            leaf = f"{name}.{key}" if name else str(key)
            yield from _leaves(leaf, *((side or {}).get(key) for side in (stated, found)))
    else:
        yield name, stated, found


def _same(one: Any, other: Any) -> bool:
    """Whether two values agree, numbers within the tolerance."""
    if type(one) is type(other) and one == other:
        return True
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
    return bool(one == other)
