"""Boxes for stuff and for things of a colour, by rules without weights: what the COCO detector has no word for.

A rule answers only where it is sure: one region has the colour, it lies where the phrase says, and OpenCV's GrabCut
leaves its box nearly as it is. `region_words.json` has the words; the limits are ours. For demonstrations: the
paper's detector is for data.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from giqa_datasets.boxes import Boxes, area, iou, to_boxes
from giqa_datasets.defaults import BOX_THRESHOLD
from giqa_datasets.pipeline.backends.coco_detector import CocoDetector
from giqa_datasets.pipeline.backends.plurals import is_plural


SIDE_PX = 192  # the longer side of what the rules look at

# OpenCV's hues in [0, 180): one belongs to the first colour whose limit is above it, past the last to red
HUES = {"red": 8, "orange": 21, "yellow": 34, "green": 85, "blue": 130, "purple": 150, "pink": 168}
COLOURS = (*HUES, "white", "grey", "black")
GREY_CHROMA = 30  # saturation times value, in [0, 255], below which a pixel has no hue
BLACK, WHITE = 50, 170  # values, in [0, 255], below and from which a pixel is black, and white if it has no hue
VIVID = 0.6  # the chroma from which a pixel stands out, beside the 95th percentile of its colour
STEP = 40  # the change of brightness at a pixel, in [0, 255], at which a sky ends

AREAS = {"thing": (0.0008, 0.5), "wall": (0.1, 0.95), "bottom": (0.04, 0.95), "top": (0.04, 0.95)}  # of the picture
FILLS = {"thing": 0.4, "wall": 0.4, "bottom": 0.45, "top": 0.3}  # the least share of a box that its region fills
LEAST_EDGE = 0.3  # of the edge of the picture that stuff lies along
MAIN, PART = 0.7, 0.25  # the shares of a colour's area in the regions together, and in each of several
MOST_REGIONS = 6
MOST_CUT_OFF = 2  # edges of the picture that a thing meets
LEAST_IOU = 0.6  # of the boxes before and after GrabCut
SPARSE = 0.04  # of its longest row or column: the ends of stuff with less are left out
CLEARLY = 1.5  # times the area, or the colour, of the next box of a class
CORNER = 1 / 3  # of a side

NO_BOXES: Boxes = np.zeros((0, 4))


class RegionDetector:
    """The COCO detector, and the rules for a phrase that it does not know or does not find.

    Raises:
        ImportError: If OpenCV or the COCO detector's weights are not installed.
    """

    def __init__(self, *, box_threshold: float = BOX_THRESHOLD) -> None:
        """Open the COCO detector; the threshold is its own."""
        self._coco = CocoDetector(box_threshold=box_threshold)

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases; None for a phrase that neither has a word for."""
        return [
            [_either(image, phrase, xyxy) for phrase, xyxy in zip(wanted, found, strict=True)]
            for image, wanted, found in zip(images, phrases, self._coco.detect(images, phrases), strict=True)
        ]


def regions(image: Image.Image, phrase: str) -> Boxes | None:
    """Find what a phrase names by its kind, colour and position.

    Returns:
        Boxes, shape (N, 4), largest first, none where the rules are not sure; None for a phrase without a rule.
    """
    *modifiers, noun = _words(phrase) or [""]
    if noun in ("corner", "corners"):
        return _corners(modifiers)
    stuff, colours = region_words()["stuff"].get(noun), _colours(modifiers, "colours")
    if stuff:  # a wall has the colour that the phrase names
        colours = stuff["colours"] or colours + _colours(modifiers, "shades")
    if noun in region_words()["missed"] or not colours:
        return None
    rgb = _small(image)
    mask = _has_colour(rgb, colours)
    boxes = (
        _stuff(rgb, mask, stuff["kind"]) if stuff else _things(rgb, mask & _there(mask, modifiers), is_plural(noun))
    )
    return to_boxes(boxes / np.tile(rgb.shape[1::-1], 2))


def _either(image: Image.Image, phrase: str, xyxy: Boxes | None) -> Boxes | None:
    """What a phrase means of a class's boxes, else what the rules find."""
    if xyxy is None or not len(xyxy):
        found = regions(image, phrase)
        return xyxy if found is None else found
    *modifiers, noun = _words(phrase) or [""]
    if noun in region_words()["missed"]:
        return None
    return xyxy if is_plural(noun) else _meant(image, modifiers, xyxy)


def _meant(image: Image.Image, modifiers: Sequence[str], xyxy: Boxes) -> Boxes:
    """The one box of a class that has a phrase's position and colour, else its clearly largest; none if unsure."""
    x1, y1, x2, y2 = _place(modifiers)
    centres = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    there = xyxy[((centres >= (x1, y1)) & (centres <= (x2, y2))).all(axis=1)]
    colours = _colours(modifiers, "colours") + _colours(modifiers, "shades")
    weights = area(there)
    if colours and len(there) > 1:
        mask = _has_colour(_small(image), colours)
        size = np.tile(mask.shape[::-1], 2)
        inside = [mask[y1:y2, x1:x2] for x1, y1, x2, y2 in (there * size).round().astype(int)]
        weights = np.array([part.mean() if part.size else 0 for part in inside])
    order = np.argsort(-weights, kind="stable")
    is_sure = len(there) < 2 or weights[order[0]] > CLEARLY * weights[order[1]]
    return there[order[:1]] if is_sure else NO_BOXES


def _things(rgb: np.ndarray, mask: np.ndarray, several: bool) -> Boxes:
    """The pixel boxes of what stands out by its colour, or by its most vivid part; none unless all are sure."""
    chroma = np.ptp(rgb.astype(np.int64), axis=2)
    vivid = mask & (chroma >= VIVID * np.percentile(chroma[mask], 95)) if mask.any() else mask
    for candidate in (mask, vivid):
        parts = _parts(candidate)
        total = sum(part.sum() for part in parts)
        large = [part for part in parts if part.sum() >= (PART if several else MAIN) * total]
        fits = 2 <= len(large) <= MOST_REGIONS if several else len(large) == 1
        if fits and sum(part.sum() for part in large) >= MAIN * total:
            boxes = [_sure_box(rgb, part, "thing") for part in large]
            if all(len(box) and _cut_off(box, rgb) <= MOST_CUT_OFF for box in boxes):
                return np.concatenate(boxes)
    return NO_BOXES


def _cut_off(box: Boxes, rgb: np.ndarray) -> int:
    """How many edges of the picture a pixel box meets."""
    return int((box[:, :2] <= 0).sum() + (box[:, 2:] >= rgb.shape[1::-1]).sum())


def _stuff(rgb: np.ndarray, mask: np.ndarray, kind: str) -> Boxes:
    """The pixel box of a sky from the top edge down, of ground along the bottom edge, or of a wall of one colour."""
    import cv2

    if kind == "top":  # down to the first edge of something
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        mask = np.logical_and.accumulate(mask & (steps < STEP), axis=0)
    edge = {"top": np.s_[:4], "bottom": np.s_[-4:], "wall": np.s_[:]}[kind]
    whole = _union(mask, [part for part in _parts(mask) if part[edge].any()])
    return _sure_box(rgb, whole, kind) if whole[edge].any(axis=0).mean() >= LEAST_EDGE else NO_BOXES


def _sure_box(rgb: np.ndarray, mask: np.ndarray, kind: str) -> Boxes:
    """The pixel box of a region after GrabCut; none where it is too small, too large or thin, or where it moves."""
    least, most = AREAS[kind]
    cut = _cut(rgb, mask) if least <= mask.mean() <= most else mask & False
    if not cut.any():
        return NO_BOXES
    before, after = (_box(each, 0 if kind == "thing" else SPARSE) for each in (mask, cut))
    is_sure = iou(before, after).item() >= LEAST_IOU and cut.sum() >= FILLS[kind] * area(after).item()
    return after if is_sure else NO_BOXES


def _cut(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Refine a region by GrabCut, which may move its border by a twentieth of the picture."""
    import cv2

    whole = mask.astype(np.uint8)
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(whole, np.ones((1 + max(mask.shape) // 10,) * 2, np.uint8)) > 0] = cv2.GC_PR_BGD
    labels[mask] = cv2.GC_PR_FGD
    labels[cv2.erode(whole, np.ones((3, 3), np.uint8)) > 0] = cv2.GC_FGD
    if not {cv2.GC_BGD, cv2.GC_FGD} <= set(np.unique(labels).tolist()):  # nothing to learn a side from
        return mask
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65))
    cv2.grabCut(rgb, labels, (0, 0, 0, 0), models[0], models[1], 2, cv2.GC_INIT_WITH_MASK)
    parts = _parts(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))
    return _union(mask, [part for part in parts if (part & mask).any()])


def _has_colour(rgb: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Which pixels of 8 bits have one of the colours, shape (H, W)."""
    import cv2

    hue, saturation, value = np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.int64), -1, 0)
    named = np.searchsorted([*HUES.values()], hue, side="right") % len(HUES)
    grey = saturation * value < GREY_CHROMA * 255
    named[grey] = np.where(value[grey] >= WHITE, COLOURS.index("white"), COLOURS.index("grey"))
    named[value < BLACK] = COLOURS.index("black")
    return np.isin(named, [COLOURS.index(colour) for colour in colours])


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    """The connected regions of a mask without specks, largest first."""
    import cv2

    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    return [labels == number for number in order[: 2 * MOST_REGIONS]]


def _union(mask: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """All parts of a mask as one."""
    whole: np.ndarray = np.logical_or.reduce([np.zeros_like(mask), *parts])
    return whole


def _box(mask: np.ndarray, sparse: float) -> Boxes:
    """The pixel box of a mask, shape (1, 4), without the rows and columns at its ends that hold little of it."""
    counts = mask.sum(axis=0), mask.sum(axis=1)
    (x, y) = (np.flatnonzero(count > sparse * count.max()) for count in counts)
    return np.array([[x[0], y[0], x[-1] + 1, y[-1] + 1]], dtype=np.float64)


def _small(image: Image.Image) -> np.ndarray:
    """The picture as the rules look at it, 8-bit RGB, shape (H, W, 3)."""
    scale = min(1, SIDE_PX / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    return np.array(image.convert("RGB").resize((width, height), Image.Resampling.BOX))


def _there(mask: np.ndarray, modifiers: Sequence[str]) -> np.ndarray:
    """The part of a mask that position words leave."""
    height, width = mask.shape
    x1, y1, x2, y2 = _place(modifiers)
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    there: np.ndarray = np.logical_and.outer((y >= y1) & (y <= y2), (x >= x1) & (x <= x2))
    return there


def _place(modifiers: Sequence[str]) -> tuple[float, ...]:
    """The part of the picture that position words leave, normalised xyxy."""
    positions = region_words()["positions"]
    boxes = np.array([[0, 0, 1, 1], *(positions[word] for word in modifiers if word in positions)])
    return (*boxes[:, :2].max(axis=0).tolist(), *boxes[:, 2:].min(axis=0).tolist())


def _corners(modifiers: Sequence[str]) -> Boxes | None:
    """The corners of the picture that position words leave, if they leave not all four."""
    x1, y1, x2, y2 = _place(modifiers)
    there = [(x, y) for x, y in product((0, 1), (0, 1)) if x1 <= x <= x2 and y1 <= y <= y2]
    if len(there) not in (1, 2):
        return None
    low = np.array(there) * (1 - CORNER)
    return np.concatenate([low, low + CORNER], axis=1)


def _words(phrase: str) -> list[str]:
    return re.findall(r"[a-z]+", phrase.lower())


def _colours(modifiers: Sequence[str], kind: str) -> list[str]:
    return [colour for word in modifiers for colour in region_words()[kind].get(word, ())]


@cache
def region_words() -> dict[str, Any]:
    """Colours and kinds of stuff, positions, and the nouns that the rules are known to miss."""
    words: dict[str, Any] = json.loads(Path(__file__).with_name("region_words.json").read_text(encoding="utf-8"))
    return words
