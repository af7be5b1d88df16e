"""The funnel: the numbers in and out of each stage, and the drops by reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from giqa_datasets.drops import FAULT, Drop
from giqa_datasets.pipeline.annotation_lines import RecordLine


_RECORD_LEVEL = (FAULT, "unreadable_reply", "broken_image")  # a whole record was dropped, at whatever stage
_BOX_LEVEL = ("no_area", "box_refused", "unreadable_verdict", "box_merged")


class Row(NamedTuple):
    """One step; `n_in` is the sum of `n_out` and `left_out`."""

    stage: str  # source, tags, detect, refine, fuse or ask
    unit: str  # descriptions, objects, boxes or questions
    n_in: int
    n_out: int
    left_out: dict[str, int]  # by reason


class Funnel:
    """Counts the lines of an annotation folder."""

    def __init__(self, lost: Iterable[Drop], *, n_ready: int = 0) -> None:
        """Take the drops of the sources, and the number of entries that need no pipeline."""
        self._lost = Counter(drop.reason for drop in lost)
        self._n_ready = n_ready
        self._left_out: Counter[tuple[str, str, str]] = Counter()  # stage, unit, reason
        self._n_lines = self._n_described = self._n_questions = self._n_objects = self._n_boxes = 0

    def add(self, line: RecordLine) -> None:
        """Count a line."""
        self._left_out.update((drop.stage, _unit(drop.stage, drop.reason), drop.reason) for drop in line.drops)
        self._n_lines += 1
        self._n_described += any(sample.task == "des" for sample in line.samples)
        self._n_questions += sum(sample.task == "vqa" for sample in line.samples)
        self._n_objects += len(line.tags)
        self._n_boxes += sum(len(tag.boxes) for tag in line.tags)

    def rows(self) -> list[Row]:
        """Return the steps in their order; each row's objects came out of the row above it."""
        n_ready = self._n_lines + self._n_ready
        refine = self._row("refine", "objects", self._n_objects)
        refine_boxes = self._row("refine", "boxes", self._n_boxes)
        detect = self._row("detect", "objects", refine.n_in)
        lost = {
            f"{stage}: {reason}": count
            for stage in ("tags", "detect", "refine")
            for reason, count in self._of(stage, "descriptions").items()
        }
        rows = [
            self._row("source", "descriptions", n_ready, dict(sorted(self._lost.items()))),
            self._row("tags", "objects", detect.n_in),
            detect,
            self._row("detect", "boxes", refine_boxes.n_in),
            refine_boxes,
            refine,
            self._row("fuse", "descriptions", self._n_described, lost),
            self._row("ask", "questions", self._n_questions),
        ]
        if unasked := self._of("ask", "descriptions"):
            rows.append(self._row("ask", "descriptions", self._n_described - sum(unasked.values())))
        return rows

    def _row(self, stage: str, unit: str, n_out: int, lost: Mapping[str, int] = MappingProxyType({})) -> Row:
        left_out = {**lost, **self._of(stage, unit)}
        return Row(stage, unit, n_out + sum(left_out.values()), n_out, left_out)

    def _of(self, stage: str, unit: str) -> dict[str, int]:
        return {
            reason: count
            for (its_stage, its_unit, reason), count in sorted(self._left_out.items())
            if (its_stage, its_unit) == (stage, unit)
        }


def _unit(stage: str, reason: str) -> str:
    if reason in _RECORD_LEVEL or stage == "fuse":
        return "descriptions"
    if reason in _BOX_LEVEL:
        return "boxes"
    return "questions" if stage == "ask" else "objects"
