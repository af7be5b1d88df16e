"""The records that travel through the pipeline, and the columns they become.

A `Record` is one human description of one photograph. The pipeline adds tags to it, then samples; a sample and its
photograph make one row of the data set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Sizes
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.objects import Defect, objects_to_row
from giqa_datasets.questions import question_in
from giqa_datasets.regions import Region, region_to_row
from giqa_datasets.text import render


Task = Literal["des", "vqa"]
QuestionType = Literal["des", "yes_no", "what", "why", "how", "which", "mcq"]
QUESTION_TYPES: tuple[QuestionType, ...] = ("des", "yes_no", "what", "why", "how", "which")  # the paper's
Effect = Literal["positive", "negative", "none"]


@dataclass(frozen=True, slots=True)
class Distortion:
    """A known artificial distortion: its name and its severity, 1 to 5."""

    name: str
    severity: int


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph's pixels, source and licence."""

    image: bytes  # the encoded file as `images.bake` makes it: upright, sRGB, without metadata
    width: int  # of the decoded image, in pixels
    height: int  # of the decoded image, in pixels
    sha256: str  # of the original file, hexadecimal
    source: str  # the upstream set
    license: str  # of the pixels
    distortions: tuple[Distortion, ...] = ()  # the known artificial ones
    file: str = ""  # its upstream name, relative to the root of its set; may be empty
    redistributable: bool = False  # the pixels' own terms let others pass them on
    changes: tuple[str, ...] = ()  # of the original file, that a reader does not see; see `images.CHANGES`
    objects: tuple[Defect, ...] | None = None  # what is wrong in it; None in a set that does not say such things
    mos: float | None = None  # its score in the set's own scale
    level: str = ""  # the score in a word


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """An object of the description (protocol section 3, stage 1) and, once detected, its boxes."""

    phrase: str  # T_r, the object's name as it stands in the description
    span: tuple[int, int]  # its place in the description
    quality: str  # T_q, what the description says of its quality
    effect: Effect  # T_e, its effect on the image's quality
    boxes: Boxes  # shape (N, 4), normalised xyxy; N = 0 before detection
    found: Boxes = field(default_factory=lambda: np.zeros((0, 4)))  # shape (M, 4), before refinement


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A question and its answer, both as plain text with their regions."""

    id: str
    task: Task
    question_type: QuestionType
    question: str
    answer: str
    question_regions: tuple[Region, ...] = ()
    answer_regions: tuple[Region, ...] = ()
    # For each object of the photograph the place of its phrase among the regions, question before answer, or -1
    object_regions: tuple[int, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One description of one photograph on its way through the pipeline."""

    id: str
    photograph: Photograph
    description: str
    text_license: str
    tags: tuple[Tag, ...] = ()
    samples: tuple[Sample, ...] = ()


def rows(record: Record, *, box_format: str = "giqa") -> Iterator[dict[str, Any]]:
    """Turn the record's samples into rows of the data set, one dict of columns each.

    The box format is that of `prompt` and `completion`; `question` and `answer` stay GIQA text.

    Raises:
        ValueError: If a sample's regions do not fit its text; the sample is named.
    """
    photograph = record.photograph
    sizes = Sizes(image=(photograph.width, photograph.height))
    write = format_named(box_format).write
    for sample in record.samples:
        try:
            question = render(sample.question, sample.question_regions)
            answer = render(sample.answer, sample.answer_regions)
            prompt, completion = question, answer
            if box_format != "giqa":
                prompt = question_in(box_format, sample.question, sample.question_regions, sizes)
                completion = write(sample.answer, sample.answer_regions, sizes)
        except ValueError as error:
            raise InputError(f"sample {sample.id!r}: {error}") from error
        yield {
            "id": sample.id,
            "image": {"bytes": photograph.image, "path": None},
            "width": photograph.width,
            "height": photograph.height,
            "task": sample.task,
            "question_type": sample.question_type,
            "question": question,
            "answer": answer,
            "regions": [
                *(region_to_row(region, "question") for region in sample.question_regions),
                *(region_to_row(region, "answer") for region in sample.answer_regions),
            ],
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": completion}],
            "source": photograph.source,
            "distortions": [{"name": known.name, "severity": known.severity} for known in photograph.distortions],
            "image_sha256": photograph.sha256,
            "image_license": photograph.license,
            "text_license": record.text_license,
            **_optional(photograph, sample),
        }


def _optional(photograph: Photograph, sample: Sample) -> dict[str, Any]:
    """The columns `objects.OPTIONAL` of a row, in a set that has them."""
    if photograph.objects is None:
        return {}
    objects = objects_to_row(photograph.objects, sample.object_regions)
    return {"objects": objects, "mos": photograph.mos, "level": photograph.level}
