"""ViDA-UGC's conversations as samples: boxes in Qwen2-VL's form, held against the metadata of their photograph.

    What distortion affects this region <|box_start|>(475,0),(885,934)<|box_end|>?

A box without a name takes the word before it, or the word "region" where none stands there, since in a grounded text
every box has a name.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from giqa_datasets.defect_classes import DEFECT_CLASSES, class_and_severity
from giqa_datasets.entries import Refused
from giqa_datasets.formats import FORMATS
from giqa_datasets.objects import Defect, Xywh
from giqa_datasets.records import QuestionType, Sample
from giqa_datasets.regions import Region
from giqa_datasets.sources.rows import Turn
from giqa_datasets.sources.vida_metadata import SOURCE
from giqa_datasets.text import is_groundable


# The question types of a file's rows; those of the others are told by their words
TYPES: dict[str, QuestionType] = {"assess": "des", "brief_assess": "des", "mcq": "mcq"}
DETECTION, PERCEPTION = "dist_detect", "reg_perception"
FILES = ("assess", "brief_assess", "dist_assess", DETECTION, "ref_grounding", PERCEPTION, "mcq", "qa", "score")

_READ = FORMATS["qwen2_vl"].read
_NAMELESS = re.compile(r"(?:(\w+)|(^|[^\w\s>,]))(\s*)<\|box_start\|>")
_NAME = "<|object_ref_start|>{}<|object_ref_end|>"


class Conversation(BaseModel):
    """A line of a file."""

    image: str | list[str] | None = None
    conversations: list[Turn]


def samples_of(row: Conversation, kind: str, name: str, objects: Sequence[Defect] | None) -> Iterator[Sample]:
    """Yield a sample for each question of a row about a photograph.

    Objects are those of `VidaMetadata`, None if there are none to hold the row against.

    Raises:
        Refused: If the row is no conversation, or cannot be grounded text, or contradicts the metadata.
    """
    speakers = [turn.speaker for turn in row.conversations]
    if not speakers or speakers != ["human", "gpt"] * (len(speakers) // 2):
        raise Refused("other_conversation", f"{name}: expected turns of human and gpt, got {speakers!a:.200}")
    said = [turn.value for turn in row.conversations]
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        digest = hashlib.sha256(f"{name}\0{asked}\0{answered}".encode()).hexdigest()[:12]
        question, answer = grounded(asked, name), grounded(answered, name)
        if objects is not None:
            _refuse_contradiction(answer.regions, objects, kind, name)
        question_type = TYPES.get(kind) or question_type_of(question.plain, answer.plain)
        yield Sample(
            sample_id(name, kind, digest),
            "des" if question_type == "des" else "vqa",
            question_type,
            question.plain,
            answer.plain,
            question.regions,
            answer.regions,
            object_regions=_places((*question.regions, *answer.regions), objects or ()),
        )


def sample_id(name: str, kind: str, of_kind: str) -> str:
    """Return the id of a sample about a photograph, which `of_kind` tells from the others of its kind."""
    return f"{SOURCE}/{name}-{kind}-{of_kind}"


class Grounded(NamedTuple):
    """A text without markup, and its regions."""

    plain: str
    regions: tuple[Region, ...]


def grounded(text: str, name: str) -> Grounded:
    """Read a text of the set; raise Refused if it is empty, or holds boxes that are none, or markup of ours.

    Example:
        >>> plain, (region,) = grounded("What affects this region <|box_start|>(475,0),(885,934)<|box_end|>?", "")
        >>> plain, region.phrase, region.boxes.tolist()
        ('What affects this region?', 'region', [[0.475, 0.0, 0.885, 0.934]])
    """
    text = text.replace("<image>", "").strip().removesuffix("<|im_end|>")
    if "<|box_start|>" not in text:
        plain, regions = text, tuple[Region, ...]()
    else:
        read = _READ(_NAMELESS.sub(_named, text))
        plain, regions = read.plain, read.regions
        for begin, end in (malformed.span for malformed in read.malformed):
            raise Refused("malformed_boxes", f"{name}: {read.text[begin:end]!a:.200}")
    if not plain.strip():
        raise Refused("empty_text", name)
    if not is_groundable(plain, regions) or "<|" in plain:
        raise Refused("markup_in_text", f"{name}: {plain!a:.200}")
    return Grounded(plain, regions)


def question_type_of(question: str, answer: str) -> QuestionType:
    """Tell the type of a question by its words.

    Example:
        >>> question_type_of("Is it sharp?", "No."), question_type_of("Rate how sharp it is.", "Fair.")
        ('yes_no', 'how')
    """
    if re.match(r"(yes|no)\b", answer, re.IGNORECASE):
        return "yes_no"
    words = re.findall(r"\w+", question.lower())
    types: tuple[QuestionType, ...] = ("what", "why", "how", "which")
    return next((kind for word in words for kind in types if word == kind), "what")


def _named(found: re.Match[str]) -> str:
    word, before, space = found.groups()
    name = _NAME.format(word) + space if word else f"{before}{space}{_NAME.format('region')}"
    return f"{name}<|box_start|>"


def _thousandths(region: Region) -> list[Xywh]:
    return list(map(tuple, np.rint(region.boxes * 1000).astype(int).tolist()))  # of four, as an object has them


def _places(regions: Sequence[Region], objects: Sequence[Defect]) -> tuple[int, ...]:
    """For each object the place of the first region with its box whose phrase names its class, or none; else -1."""
    places = [-1] * len(objects)
    for at, region in enumerate(regions):
        category, _ = class_and_severity(region.phrase)
        boxes = _thousandths(region)
        for k, each in enumerate(objects):
            if places[k] < 0 and each.bbox in boxes and (category == each.category or category not in DEFECT_CLASSES):
                places[k] = at
    return tuple(places)


def _refuse_contradiction(regions: Sequence[Region], objects: Sequence[Defect], kind: str, name: str) -> None:
    """Raise Refused if an answer's classes, boxes or severities are not those of the metadata.

    Phrases that name no class are let be, and so are the boxes of a region question, which are cut to its region.
    """
    stated = set()
    for region in regions:
        category, how = class_and_severity(region.phrase)
        if category not in DEFECT_CLASSES:
            continue
        severities = {each.bbox: each.severity for each in objects if each.category == category}
        if not severities:
            raise Refused("other_class", f"{name}: {region.phrase!a:.100}, which the metadata does not have")
        for box in _thousandths(region) if kind != PERCEPTION else ():
            stated.add((category, box))
            if box not in severities:
                raise Refused("other_box", f"{name}: {region.phrase!a:.100} at {box}, got {list(severities)} there")
            if how and severities[box] and how != severities[box]:
                raise Refused("other_severity", f"{name}: {region.phrase!a:.100} at {box} is {severities[box]} there")
    missing = [(each.category, each.bbox) for each in objects if (each.category, each.bbox) not in stated]
    if kind == DETECTION and missing:
        raise Refused("missing_box", f"{name}: the metadata has {missing[0]} too")
