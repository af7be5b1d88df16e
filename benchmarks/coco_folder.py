"""Photographs and boxes out of any folder in COCO's format: `instances.json` and the images that it lists.

Captions, where there are any: annotations with a `caption`, as COCO writes them, or `captions`, lists by file name.
Categories go by the name that the offline detector has for them ("man" is "person"), where it has one.
"""

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, FiniteFloat, PositiveInt, ValidationError

from giqa_datasets.boxes import Boxes
from giqa_datasets.images import bake
from giqa_datasets.pipeline.backends.coco_detector import coco_class
from giqa_datasets.records import Photograph


class Scene(NamedTuple):
    """A photograph and what is known to be in it; boxes are normalised xyxy, by the name of what they hold."""

    id: str
    photograph: Photograph
    boxes: dict[str, Boxes]
    crowds: dict[str, Boxes]
    captions: list[str]


class _Image(BaseModel):
    id: int
    file_name: str
    width: PositiveInt
    height: PositiveInt


class _Annotation(BaseModel):
    image_id: int
    category_id: int = 0
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None  # pixels: left, top, width, height
    iscrowd: bool = False
    caption: str | None = None


class _Category(BaseModel):
    id: int
    name: str


class _Instances(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    captions: dict[str, list[str]] = {}


def read(instances: Path, images: Path, *, size: int | None = None) -> list[Scene]:
    """Read the first `size` images; a box without area holds nothing and is left out (COCO's own files have a few).

    Raises:
        FileNotFoundError: If the file or an image is missing.
        ValueError: If either is malformed; what is wrong is named.
    """
    if not instances.is_file():
        raise FileNotFoundError(f"expected {instances} in COCO's format, found none")
    try:
        coco = _Instances.model_validate_json(instances.read_bytes())
        return _scenes(coco, images, size)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{instances}: {where}: {first['msg'].lower()}") from error
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{instances}: {error}") from error


def _scenes(coco: _Instances, root: Path, size: int | None) -> list[Scene]:
    """Put every annotation to its image."""
    known = {image.id: image for image in coco.images}
    names = {category.id: coco_class(category.name) or category.name for category in coco.categories}
    files = {image.file_name for image in coco.images}
    if not known or min(len(known), len(files)) < len(coco.images):
        raise ValueError(
            f"expected images with an id and a file each, got {len(coco.images)} with {len(known)} ids and "
            f"{len(files)} files"
        )
    boxes, crowds = (defaultdict(lambda: defaultdict(list)) for _ in range(2))
    captions = defaultdict(list)
    for number, annotation in enumerate(coco.annotations):
        if annotation.image_id not in known:
            raise ValueError(f"annotation {number} is on image {annotation.image_id}, which is not listed")
        if annotation.caption is not None:
            captions[annotation.image_id].append(annotation.caption)
        elif annotation.bbox is None or annotation.category_id not in names:
            raise ValueError(f"annotation {number}: expected a caption, or a bbox and the category_id of a category")
        elif (box := _xyxy(annotation, known[annotation.image_id], number)) is not None:
            side = crowds if annotation.iscrowd else boxes
            side[annotation.image_id][names[annotation.category_id]].append(box)
    return [
        Scene(  # type: ignore[call-arg]
            image.file_name,
            _photograph(root, image),
            *({name: np.stack(found) for name, found in side[image.id].items()} for side in (boxes, crowds)),
            captions[image.id] + coco.captions.get(image.file_name, []),
        )
        for image in coco.images[:size]
    ]


def _xyxy(annotation: _Annotation, image: _Image, number: int) -> Boxes | None:
    """Normalise a box, shape (4,); None if it has no area."""
    left, top, width, height = annotation.bbox
    box_px = np.array([left, top, left + width, top + height])
    size = np.array([image.width, image.height] * 2)
    if min(width, height) < 0 or (box_px < -1).any() or (box_px > size + 1).any():  # a pixel for rounding
        raise ValueError(
            f"annotation {number}: expected a bbox [left, top, width, height] inside {image.width}x{image.height}, "
            f"got {list(annotation.bbox)}"
        )
    xyxy = np.clip(box_px / size, 0, 1)
    return xyxy if (xyxy[:2] < xyxy[2:]).all() else None


def _photograph(root: Path, image: _Image) -> Photograph:
    """Read the pixels, which must be of the size that the boxes are measured on."""
    path = (root / image.file_name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"image {image.file_name!r} lies outside the folder")
    if not path.is_file():
        raise FileNotFoundError(f"image {path} is missing")
    raw = path.read_bytes()
    encoded = bake(raw, name=image.file_name)
    if (encoded.width, encoded.height) != (image.width, image.height):
        raise ValueError(
            f"image {image.file_name!r}: expected {image.width}x{image.height}, got {encoded.width}x{encoded.height}"
        )
    return Photograph(*encoded[:3], sha256=hashlib.sha256(raw).hexdigest(), source="coco", license="unknown")
