"""Boxes as people have them: in the frame that they declare, or in a file of COCO's or Label Studio's.

All become normalised xyxy of the upright photograph. A box may stick out of it by a pixel, as real exports have it,
and is cut at the edge.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
from PIL import Image
from pydantic import BaseModel, RootModel, ValidationError

from giqa_datasets.boxes import Boxes, to_boxes
from giqa_datasets.entries import Refused
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import fault_of
from giqa_datasets.images import FORMATS
from giqa_datasets.regions import Region
from giqa_datasets.word_borders import is_border


Numbers = Sequence[tuple[float, float, float, float]]
Size = tuple[int, int]  # (width, height) in pixels

CORNERS = "corners"
# The frames that four numbers may be in: what they are, and their way to normalised xyxy, given the photograph's size
FRAMES: dict[str, tuple[str, Callable[[Boxes, Size], Boxes]]] = {
    CORNERS: ("x1 < x2 and y1 < y2 from 0 to 1", lambda boxes, size: boxes),
    "pixels": ("x1 < x2 and y1 < y2 in pixels", lambda boxes, size: _in_pixels(boxes, size)),
    "xywh": (
        "x y width height in pixels",
        lambda boxes, size: _in_pixels(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), size),
    ),
}


def to_corners(numbers: Numbers, frame: str, size: Callable[[], Size]) -> Boxes:
    """Bring boxes from a frame to normalised xyxy, shape (N, 4); `size` tells that of the photograph if it is needed.

    Raises:
        ValueError: If they do not fit the frame; the sentence names what they look like.

    Example:
        >>> to_corners([(10, 20, 50, 60)], "pixels", lambda: (100, 200)).tolist()
        [[0.1, 0.1, 0.5, 0.3]]
    """
    boxes = np.array(numbers, np.float64).reshape(-1, 4)
    found = _read(boxes, frame, size)
    if found is not None:
        return found
    width, height = size()
    looks = [f"they look like {other}: --boxes {other}" for other in FRAMES if _read(boxes, other, size) is not None]
    if frame != CORNERS and _read(boxes, frame, lambda: (height, width)) is not None:
        looks.append(f"they fit {height} x {width}: boxes count on the photograph as it is seen, turned upright")
    frame_words = FRAMES[frame][0] + (f" of {width} x {height}" if frame != CORNERS else "")
    raise InputError("; ".join([f"expected boxes {frame_words}, got {boxes.tolist()}", *looks[:1]]))


def _read(boxes: Boxes, frame: str, size: Callable[[], Size]) -> Boxes | None:
    if frame != CORNERS and boxes.size and boxes.max() <= 1:
        return None
    try:
        return to_boxes(FRAMES[frame][1](boxes, (1, 1) if frame == CORNERS else size()))
    except InputError:
        return None


def upright_size(path: Path) -> Size:
    """Return (width, height) of a photograph as it is seen, by its header.

    Raises:
        Refused: If it is no image.
    """
    try:
        with Image.open(path) as image:
            if image.format not in FORMATS:
                raise InputError(f"expected a format out of {', '.join(FORMATS)}, got {image.format}")
            width, height = image.size
            return (height, width) if image.getexif().get(0x0112, 1) >= 5 else (width, height)
    except Exception as error:  # a hostile file may raise anything
        raise Refused("broken_image", f"image {path.name!r} cannot be read: {error}") from error


class _Named(NamedTuple):
    """A box of an export: the name of its object, its place, and the size that it is counted in, if it is told."""

    name: str
    xywh: tuple[float, float, float, float]
    size: Size | None


class BoxFile:
    """The boxes of an export by photograph; a name that stands in the description becomes a phrase."""

    def __init__(self, path: Path) -> None:
        """Read COCO's annotations, or the tasks that Label Studio exports as JSON.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is neither.
        """
        if not path.is_file():
            raise MissingFileError(f"expected --boxes {', '.join(FRAMES)} or a file of boxes, got {str(path)!r}")
        try:
            raw = json.loads(path.read_bytes())
            self._boxes = _coco(_Coco.model_validate(raw)) if isinstance(raw, dict) else _label_studio(_Tasks(raw))
        except ValidationError as error:
            raise InputError(f"{path}: expected COCO's or Label Studio's JSON: {fault_of(error)}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: expected COCO's or Label Studio's JSON: {error}") from error
        self.path = path
        self._files: dict[str, list[str]] = {}  # by the names that they may have here
        for file in self._boxes:
            for name in _names(file):
                self._files.setdefault(name, []).append(file)
        self.unnamed: Counter[str] = Counter()  # boxes whose name no description holds
        self._taken: dict[str, str] = {}

    def regions(self, file_name: str, description: str, size: Callable[[], Size]) -> tuple[Region, ...]:
        """Return the boxes of a photograph as regions of its description.

        A name is found in any case and in the plural; all boxes of a name belong to its first occurrence.

        Raises:
            ValueError: If a box does not lie in the photograph, or the photograph cannot be told from another one.
        """
        found: dict[tuple[int, int], list[Boxes]] = {}
        for name, xywh, counted in sorted(self._of(file_name), key=lambda box: -len(box.name)):
            span = _span(description, name, found)
            if span is None:
                self.unnamed[name] += 1
                continue
            actual = size()
            if counted == actual[::-1] != actual:
                raise InputError(f"expected boxes on the upright photograph, {actual}, got them on {counted}")
            found.setdefault(span, []).append(to_corners([xywh], "xywh", _known(counted or actual)))
        return tuple(
            Region(description[slice(*span)], span, np.vstack(boxes)) for span, boxes in sorted(found.items())
        )

    def require_used(self) -> None:
        """Raise ValueError if no photograph of the folder is in the file."""
        if self._boxes and not self._taken:
            first = next(iter(self._boxes))
            raise InputError(f"expected boxes of the folder's photographs in {self.path}, got {first!r} and the like")

    def _of(self, file_name: str) -> list[_Named]:
        """The boxes of the one photograph of the export whose path ends in this one, or whose name is this one's."""
        named = self._files.get(PurePosixPath(file_name).name, [])
        fit = [file for file in named if f"/{file}".endswith(f"/{file_name}")] or named
        if len(fit) > 1:
            raise InputError(f"expected one photograph {file_name!r} in {self.path}, got {' and '.join(fit[:2])}")
        if not fit:
            return []
        if self._taken.setdefault(fit[0], file_name) != file_name:
            raise InputError(f"{fit[0]!r} in {self.path} may be {self._taken[fit[0]]!r} or {file_name!r}")
        return self._boxes[fit[0]]


def _known(size: Size) -> Callable[[], Size]:
    return lambda: size


def _in_pixels(boxes: Boxes, size: Size) -> Boxes:
    edge = np.array([*size, *size], np.float64)
    inside = np.clip(boxes, 0, edge)
    return (inside if (abs(boxes - inside) <= 1).all() else boxes) / edge


def _span(text: str, name: str, taken: Mapping[tuple[int, int], object]) -> tuple[int, int] | None:
    words = r"[ _-]".join(map(re.escape, re.split(r"[\s_-]+", name.strip())))
    for found in re.finditer(f"{words}(?:s|es)?", text, re.IGNORECASE) if words else ():
        begin, end = found.span()
        is_free = all(end <= start or stop <= begin or (start, stop) == (begin, end) for start, stop in taken)
        if is_free and is_border(text, begin) and is_border(text, end):
            return begin, end
    return None


def _names(file: str) -> set[str]:
    """The names that a photograph of an export may have here: Label Studio puts eight digits before an upload's."""
    name = PurePosixPath(file).name
    return {name, re.sub(r"^[0-9a-f]{8}-", "", name)}


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]


class _Category(BaseModel):
    id: int | str
    name: str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _coco(file: _Coco) -> dict[str, list[_Named]]:
    images = {image.id: image for image in file.images}
    names = {category.id: category.name for category in file.categories}
    boxes: dict[str, list[_Named]] = {}
    for number, found in enumerate(file.annotations):
        if found.image_id not in images or found.category_id not in names:
            raise InputError(f"annotations.{number}: expected an image and a category of the file, got another")
        image = images[found.image_id]
        size = (image.width, image.height) if image.width and image.height else None
        boxes.setdefault(image.file_name, []).append(_Named(names[found.category_id], found.bbox, size))
    return boxes


class _Rectangle(BaseModel):
    """In percent of the photograph."""

    x: float
    y: float
    width: float
    height: float
    rotation: float = 0
    rectanglelabels: list[str]


class _Result(BaseModel):
    type: str = ""
    value: dict[str, Any]
    original_width: int = 0
    original_height: int = 0


class _Done(BaseModel):
    was_cancelled: bool = False
    result: list[_Result]


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: list[_Done]


class _Tasks(RootModel[list[_Task]]):
    pass


def _label_studio(file: _Tasks) -> dict[str, list[_Named]]:
    """The rectangles of the first annotator of each task who did not skip it."""
    boxes: dict[str, list[_Named]] = {}
    for number, task in enumerate(file.root):
        done = next((each for each in task.annotations if not each.was_cancelled), _Done(result=[]))
        found = list(_rectangles(done))
        place = next((str(value) for key, value in task.data.items() if key in ("image", "img", "photo")), "")
        if found and not place:
            raise InputError(f"{number}.data: expected a photograph under the key image, got {list(task.data)}")
        boxes.setdefault(unquote(place.split("?d=")[-1]), []).extend(found)
    return boxes


def _rectangles(done: _Done) -> Iterator[_Named]:
    for found in done.result:
        if found.type == "rectanglelabels":
            box = _Rectangle.model_validate(found.value)
            if box.rotation:
                raise InputError(f"expected boxes that are not turned, got one by {box.rotation} degrees")
            size = (found.original_width or 100, found.original_height or 100)
            share = np.array([box.x, box.y, box.width, box.height]) / 100 * [*size, *size]
            for name in box.rectanglelabels:
                yield _Named(name, tuple(share.tolist()), size)
