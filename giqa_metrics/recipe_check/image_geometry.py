"""The part of a picture that a model sees, measured at its own processor: no resize, crop, pad or tile is assumed.

The processor is given a black picture, a white one and one whose red is x and whose green is y. A pixel that is the
same in black and white is padding; the ramps give the point of the original that every other pixel shows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from giqa_datasets.boxes import Boxes, area, intersection
from giqa_datasets.errors import InputError
from giqa_datasets.grid import SIDE
from giqa_datasets.images import write_image


Array = npt.NDArray[np.float64]

CUT = 0.99  # a box of which the model sees less is cut; the rest is rounding
WHOLE = 0.99  # least share of the picture in a pixel whose position is read
EDGE = 0.05  # least share of the picture in a pixel that shows some of it
STRAY = 0.02  # largest distance of a position from a line, as a share of the picture; resampling stays under 0.01
GOLDEN = 0.618034  # any number of multiples of the golden ratio fills 0 to 1 evenly
HEIGHT = 400  # of a drawn picture, in pixels
GREEN, RED = (0, 220, 80), (255, 40, 40)


class View(NamedTuple):
    """One picture that the model is given, and the original's place in it."""

    pixels: npt.NDArray[np.uint8]  # shape (H, W, 3), uint8
    scale: Array  # pixels of the view to the whole width and height of the original, shape (2,)
    shift: Array  # the original's left and top edge in pixels of the view, shape (2,); may lie outside
    shown: Boxes  # the part of the original in the view, normalised xyxy, shape (4,)


class Landed(NamedTuple):
    """The place of a box in the model's views."""

    view: int  # number of the view that shows most of it, of several the finest
    box: tuple[float, float, float, float] | None  # xyxy in that view's pixels, cut at its edges; None if unseen
    share: float  # of its area that the model sees in one view or another, 0 to 1
    error: float  # of the farthest edge, read back from whole pixels, in cells of the grid


def find_views(
    image: Image.Image, batch: Any, process: Callable[[Image.Image], Any], image_processor: Any
) -> list[View]:
    """Find the views that the model is given of a picture, in the processor's order, without those of padding only.

    `batch` is the processor's output for it, and `process` gives that of another picture of its size.

    Raises:
        ValueError: If the layout of the pixels is unknown, or they do not follow the picture.
    """
    probes = Image.new("RGB", image.size), Image.new("RGB", image.size, "white"), _ramps(*image.size)
    batches = [*map(process, probes), batch]
    black, white, ramps, seen = (_unfold(each, image_processor) for each in batches)
    if not black.shape == white.shape == ramps.shape == seen.shape:
        raise InputError("expected pictures of one size to be processed alike, got views of several sizes")
    gain = (white - black).max(axis=(0, 1, 2))
    if gain.min() <= 0:
        raise InputError("the processor's output does not follow the picture: white is not brighter than black")
    weights = ((white - black) / gain).min(axis=-1)
    floor = black[weights > WHOLE].reshape(-1, 3)[:1]
    pixels = np.rint(255 * ((seen - floor) / gain).clip(0, 1)).astype(np.uint8)
    each = zip(pixels, (ramps - floor) / gain, weights, strict=True)
    return [_view(*one) for one in each if (one[2] > WHOLE).any()]


def land(box: Boxes, views: Sequence[View]) -> Landed:
    """Find the place of one box, shape (4,), in the views."""
    shares = [intersection(box[None], view.shown[None])[0, 0] / area(box) for view in views]
    best = max(range(len(views)), key=lambda index: (round(float(shares[index]), 3), views[index].scale.prod()))
    view = views[best]
    landed = _inside(box, view)
    back = (np.rint(landed) - np.tile(view.shift, 2)) / np.tile(view.scale, 2)
    error = float(np.abs(back - box).max() * SIDE)
    x1, y1, x2, y2 = landed.tolist()
    return Landed(best, (x1, y1, x2, y2) if shares[best] > 0 else None, share(box, views), error)


def share(box: Boxes, views: Sequence[View]) -> float:
    """Return the share of one box's area that some view shows; overlaps count once.

    Example:
        >>> pixels, halves = np.zeros((8, 8, 3), np.uint8), np.array([[0, 0, 0.5, 1], [0.25, 0, 0.75, 1]])
        >>> views = [View(pixels, np.ones(2), np.zeros(2), half) for half in halves]
        >>> share(np.array([0.0, 0.0, 1.0, 1.0]), views)
        0.75
    """
    corners = np.array([box, *(np.clip(view.shown, np.tile(box[:2], 2), np.tile(box[2:], 2)) for view in views)])
    xs, ys = (np.unique(corners[:, axis::2]) for axis in (0, 1))
    is_seen = np.zeros((len(ys) - 1, len(xs) - 1), dtype=bool)
    for x1, y1, x2, y2 in corners[1:]:
        is_seen[(ys[:-1] >= y1) & (ys[1:] <= y2)] |= (xs[:-1] >= x1) & (xs[1:] <= x2)
    return float((np.outer(np.diff(ys), np.diff(xs)) * is_seen).sum() / area(box))


def main_view(views: Sequence[View]) -> View:
    """Return the view that shows most of the picture, of several the finest."""
    return max(views, key=lambda view: (round(float(area(view.shown)), 2), view.scale.prod()))


def draw_sheet(image: Image.Image, boxes: Boxes, views: Sequence[View], path: Path) -> None:
    """Draw the photograph, its unseen parts dark, with the main view beside it; cut boxes are red."""
    view = main_view(views)
    colours = [GREEN if share(box, views) >= CUT else RED for box in boxes]
    bright = np.asarray(image) // 3
    for each in views:
        x1, y1, x2, y2 = np.rint(each.shown * np.tile(image.size, 2)).astype(int)
        bright[y1:y2, x1:x2] = np.asarray(image)[y1:y2, x1:x2]
    left = _outlined(bright, boxes * np.tile(image.size, 2), colours)
    right = _outlined(view.pixels, _inside(boxes, view), colours)
    sheet = Image.new("RGB", (left.width + right.width + 30, HEIGHT + 40), "white")
    sheet.paste(left, (10, 30))
    sheet.paste(right, (left.width + 20, 30))
    captions = ImageDraw.Draw(sheet)
    captions.text((10, 8), f"photograph, {image.width} x {image.height}", "black", font_size=14)
    size = f"{view.pixels.shape[1]} x {view.pixels.shape[0]}"
    captions.text((left.width + 20, 8), f"what the model sees, {size}", "black", font_size=14)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, sheet, quality=90)


def _ramps(width: int, height: int) -> Image.Image:
    """A picture whose red is x and whose green is y; between two of 256 steps, lines across take turns."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    across, down = (np.arange(side) for side in (width, height))
    turns = [side * GOLDEN % 1 for side in (down[:, None], across)]
    pixels[..., 0] = 255 * (across + 0.5) / width + turns[0]
    pixels[..., 1] = 255 * (down[:, None] + 0.5) / height + turns[1]
    return Image.fromarray(pixels)


def _unfold(batch: Any, image_processor: Any) -> Array:
    """The pixels of one picture as views, shape (n, H, W, 3)."""
    values = np.asarray(batch.get("pixel_values", ()), dtype=np.float64)
    if "image_grid_thw" in batch and values.ndim == 2:  # Qwen's patches; four of them, 2 x 2, stand together
        side, block, frames = (
            getattr(image_processor, name) for name in ("patch_size", "merge_size", "temporal_patch_size")
        )
        _, rows, columns = np.asarray(batch["image_grid_thw"])[0].tolist()
        patches = values.reshape(rows // block, columns // block, block, block, 3, frames, side, side)[..., 0, :, :]
        return patches.transpose(0, 2, 5, 1, 3, 6, 4).reshape(1, rows * side, columns * side, 3)
    if values.ndim in (4, 5) and values.shape[-3] == 3:
        return np.moveaxis(values.reshape(-1, *values.shape[-3:]), 1, -1)
    raise InputError(
        f"expected pixel_values of whole pictures, of tiles or of Qwen's patches, got the shape {values.shape}: "
        "where boxes land cannot be said of this processor"
    )


def _view(pixels: npt.NDArray[np.uint8], ramps: Array, weights: Array) -> View:
    """The place of the original in one view, read from the ramps."""
    reach = [np.flatnonzero((weights > EDGE).any(axis=axis)) for axis in (0, 1)]
    # Resampling bends the ramps at their ends, and mixes padding in
    columns, rows = (along[len(along) // 8 : len(along) - len(along) // 8] for along in reach)
    if min(len(columns), len(rows)) < 2 or weights[np.ix_(rows, columns)].min() <= WHOLE:
        raise InputError("expected the picture in a rectangle of what the model sees, and more of it than a line")
    inner = ramps[np.ix_(rows, columns)]
    fits = _line(columns, inner[..., 0]), _line(rows, inner[..., 1].T)
    scale, shift = (np.array(numbers) for numbers in zip(*fits, strict=True))
    low, high = (np.array([along[end] for along in reach]) for end in (0, -1))
    shown = np.concatenate([(low - 0.5 - shift) / scale, (high + 1.5 - shift) / scale]).clip(0, 1)
    return View(pixels, scale, shift, shown)


def _line(pixels: npt.NDArray[np.int64], positions: Array) -> tuple[float, float]:
    """Fit positions, shape (M, N), to N pixels: the number of pixels of the whole side, and its beginning."""
    slope, start = np.polyfit(pixels + 0.5, positions.mean(axis=0), 1)
    if slope <= 0 or np.abs(positions - start - slope * (pixels + 0.5)).max() > STRAY:
        raise InputError("the processor bends, turns or mixes the picture: where boxes land cannot be said of it")
    return 1 / slope, -start / slope


def _inside(boxes: Boxes, view: View) -> Boxes:
    """Boxes, shape (4,) or (N, 4), in the pixels of a view, cut at its edges and at the picture's."""
    shown = np.clip(boxes, np.tile(view.shown[:2], 2), np.tile(view.shown[2:], 2))
    height, width, _ = view.pixels.shape
    return np.clip(shown * np.tile(view.scale, 2) + np.tile(view.shift, 2), 0, (width, height, width, height))


def _outlined(pixels: npt.NDArray[np.uint8], boxes: Boxes, colours: Sequence[tuple[int, int, int]]) -> Image.Image:
    """A picture of `HEIGHT` with boxes, shape (N, 4), in its own pixels, drawn on it."""
    zoom = HEIGHT / pixels.shape[0]
    out = Image.fromarray(pixels).resize((max(round(pixels.shape[1] * zoom), 1), HEIGHT))
    brush = ImageDraw.Draw(out)
    for box, colour in zip((boxes * zoom).tolist(), colours, strict=True):
        brush.rectangle(box, outline=colour, width=3)
    return out
