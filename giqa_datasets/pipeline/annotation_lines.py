"""A line of an annotation folder's `records.jsonl`: one record with its tags, samples and drops."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from giqa_datasets.drops import FAULT, Drop
from giqa_datasets.files import json_line
from giqa_datasets.records import Effect, QuestionType, Record, Sample, Task
from giqa_datasets.regions import Box, regions_of


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TagLine(_Strict):
    """A tag; `found` are its boxes before refinement."""

    phrase: str
    span: tuple[int, int]
    quality: str
    effect: Effect
    found: list[Box]
    boxes: list[Box]


class RegionLine(_Strict):
    """A grounded phrase."""

    phrase: str
    span: tuple[int, int]
    boxes: list[Box]


class SampleLine(_Strict):
    """A sample."""

    id: str
    task: Task
    question_type: QuestionType
    question: str
    answer: str
    question_regions: list[RegionLine]
    answer_regions: list[RegionLine]


class DropLine(_Strict):
    """Something left out."""

    stage: str
    reason: str
    what: str
    boxes: list[Box] = []


class RecordLine(_Strict):
    """The pipeline's result for one entry."""

    id: str
    file: str
    image_sha256: str
    description: str
    tags: list[TagLine]
    samples: list[SampleLine]
    drops: list[DropLine]

    def all_drops(self) -> list[Drop]:
        """Return the drops of the record."""
        return [Drop(self.id, drop.stage, drop.reason, drop.what, tuple(drop.boxes)) for drop in self.drops]


class Finished(NamedTuple):
    """A record that is through the pipeline."""

    id: str
    description: str
    fault: str | None  # of the model that failed at it
    text: str  # its line, with the line end


def finish(record: Record, annotated: Record | None, drops: Sequence[Drop]) -> Finished:
    """Write the line of a record with its own drops; `annotated` is None if it was dropped whole."""
    tags, samples = (annotated.tags, annotated.samples) if annotated else ((), ())
    line = {
        "id": record.id,
        "file": record.photograph.file,
        "image_sha256": record.photograph.sha256,
        "description": record.description,
        "tags": [{name: getattr(tag, name) for name in TagLine.model_fields} for tag in tags],
        "samples": [{name: said[name] for name in SampleLine.model_fields} for said in map(asdict, samples)],
        "drops": [_drop_fields(drop) for drop in drops],
    }
    fault = next((drop.what for drop in drops if drop.reason == FAULT), None)
    return Finished(record.id, record.description, fault, json_line(line))


def _drop_fields(drop: Drop) -> dict[str, Any]:
    """The fields of a drop without its record's id, and without empty `boxes`."""
    fields = {"stage": drop.stage, "reason": drop.reason, "what": drop.what}
    return fields | {"boxes": drop.boxes} if drop.boxes else fields


def drop_line(drop: Drop) -> str:
    """Write a line of `drops.jsonl`."""
    return json_line({"id": drop.id} | _drop_fields(drop))


class HeadDrop(BaseModel):
    """The part of a drop that an index reads."""

    reason: str


class Head(BaseModel):
    """The part of a line that an index reads."""

    id: str
    image_sha256: str
    description: str
    drops: list[HeadDrop]


def read_samples(line: RecordLine) -> tuple[Sample, ...]:
    """Return the samples of a line."""
    regions = ("question_regions", "answer_regions")
    return tuple(
        Sample(**dict(sample) | {name: regions_of(getattr(sample, name)) for name in regions})
        for sample in line.samples
    )
