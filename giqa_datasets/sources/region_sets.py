"""What sets say of regions: read with the photograph, and written as the answer to where and how bad defects are.

A set that has boxes and classes but no texts becomes a question of detection for each photograph, in ViDA-UGC's form:

    Low clarity:
    [Severe low clarity](<0, 150>, <40, 61>)
    [Minor low clarity](<7, 8>)

The words are made of the classes, and the header is left out where no severity is told.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.entries import ImageSet, Refused, read_photograph
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size
from giqa_datasets.image_stores import ImageStore
from giqa_datasets.objects import Defect
from giqa_datasets.records import Photograph, Sample
from giqa_datasets.regions import Region
from giqa_datasets.text import is_groundable


QUESTION = "Which distortions affect this image, where are they, and how severe is each?"  # ours
NONE = "No distortion affects this image."


class Assessment(NamedTuple):
    """What a set says of a photograph."""

    objects: Callable[[Size], Iterable[Defect]]  # given its size; raises ValueError if they do not fit it
    mos: float | None = None
    level: str = ""


def read_assessed(images: ImageStore, file: str, rights: ImageSet, said: Assessment) -> Photograph:
    """Read a photograph and what is said of it.

    `giqa check` decodes its pixels; here a file is only cut open.

    Raises:
        Refused: If it is missing or no usable image, or what is said does not fit its size.
    """
    photograph = read_photograph(images, file, rights)
    try:
        objects = tuple(said.objects((photograph.width, photograph.height)))
    except InputError as error:
        raise Refused("unfit_objects", f"{file}: {error}") from error
    return replace(photograph, objects=objects, mos=said.mos, level=said.level)


class ObjectsText(NamedTuple):
    """Objects as a text."""

    text: str
    regions: tuple[Region, ...]
    places: tuple[int, ...]  # for each object the place of its region


def write_objects(objects: Sequence[Defect], size: Size) -> ObjectsText:
    r"""Write objects, those of one class and severity as one phrase, in the order of the source.

    Raises:
        Refused: If a class is no words, or holds markup of ours.

    Example:
        >>> at = {"bbox": (0, 0, 32, 24), "area": 768, "category": "noise", "category_raw": "Noise"}
        >>> write_objects([Defect(word, severity=word, **at) for word in ("severe", "minor")], (64, 48)).text
        'Noise:\nSevere noise\nMinor noise'
    """
    groups: dict[str, dict[str, list[int]]] = {}  # places of objects by class and severity
    for k, each in enumerate(objects):
        groups.setdefault(each.category, {}).setdefault(each.severity, []).append(k)
    text, regions, places = "", list[Region](), [-1] * len(objects)
    for category, by_severity in groups.items():
        text += f"{category.capitalize()}:\n" if any(by_severity) else ""
        for how, members in by_severity.items():
            phrase = f"{how} {category}".strip().capitalize()
            for k in members:
                places[k] = len(regions)
            span = (len(text), len(text) + len(phrase))
            regions.append(Region(phrase, span, corners_of([objects[k] for k in members], size)))
            text += f"{phrase}\n"
    text = text.rstrip("\n") or NONE
    if not is_groundable(text, regions):
        raise Refused("markup_in_text", f"{text!a:.200}")
    return ObjectsText(text, tuple(regions), tuple(places))


def detection(photograph: Photograph, *, id: str, others: tuple[Sample, ...] = ()) -> tuple[Sample, ...]:
    """Ask for the distortions of a photograph, after its other samples; the answer is made of its objects."""
    answer, regions, places = write_objects(photograph.objects or (), (photograph.width, photograph.height))
    return (*others, Sample(id, "vqa", "which", QUESTION, answer, (), regions, object_regions=places))


def corners_of(objects: Sequence[Defect], size: Size) -> Boxes:
    """Return the boxes of objects, shape (N, 4), normalised xyxy."""
    xywh = np.array([each.bbox for each in objects], np.float64).reshape(-1, 4)
    corners: Boxes = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]) / [*size, *size]
    return corners.clip(0, 1)
