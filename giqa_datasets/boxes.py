"""Geometry on boxes. Every array is normalised xyxy: shape (N, 4), x1 y1 x2 y2, in [0, 1] of the original image."""

import numpy as np
import numpy.typing as npt

from giqa_datasets.errors import InputError


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Boxes = Floats
Overlaps = npt.NDArray[np.float64]  # (N, M), a number for each pair of boxes


def to_boxes(xyxy: npt.ArrayLike) -> Boxes:
    """Turn nested numbers into an array of boxes; no boxes become shape (0, 4).

    Raises:
        ValueError: If the shape is not (N, 4), or a box is not `0 <= x1 < x2 <= 1` and `0 <= y1 < y2 <= 1`.

    Example:
        >>> to_boxes([]).shape
        (0, 4)
    """
    boxes = np.asarray(xyxy, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"expected boxes of shape (N, 4), got {boxes.shape}")
    # `not (...)` instead of a direct comparison, so that NaN is refused too
    ok = (boxes >= 0) & (boxes <= 1)
    if not (ok.all() and (boxes[:, :2] < boxes[:, 2:]).all()):
        raise InputError(f"expected boxes with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, got {boxes.tolist()}")
    return boxes


def area(xyxy: Boxes) -> npt.NDArray[np.float64]:
    """Return the area of each box, shape (N,) for (N, 4), as a share of the image."""
    return (xyxy[..., 2] - xyxy[..., 0]) * (xyxy[..., 3] - xyxy[..., 1])


def intersection(a: Boxes, b: Boxes) -> Overlaps:
    """Return the area shared by every pair, shape (N, M)."""
    return _shared(a[:, None], b[None, :])


def iou(a: Boxes, b: Boxes) -> Overlaps:
    """Return the intersection over union of every pair, shape (N, M), in [0, 1]; 0 if the union has no area.

    Example:
        >>> iou(to_boxes([[0, 0, 0.5, 1]]), to_boxes([[0, 0, 1, 1], [0.5, 0, 1, 1]])).tolist()
        [[0.5, 0.0]]
    """
    return paired_iou(a[:, None], b[None, :])


def paired_iou(a: Boxes, b: Boxes) -> Overlaps:
    """Return the intersection over union of box k of one array with box k of the other: (K, 4) and (K, 4) to (K,)."""
    shared = _shared(a, b)
    union = area(a) + area(b) - shared
    iou: Overlaps = shared / np.maximum(union, np.finfo(np.float64).tiny)  # where there is no union, 0 / tiny
    return iou


def coverage(a: Boxes, b: Boxes) -> Overlaps:
    """Return the intersection over the smaller area of every pair, shape (N, M), in [0, 1] (ours; protocol section 3).

    Example:
        >>> coverage(to_boxes([[0, 0, 0.5, 0.5]]), to_boxes([[0, 0, 1, 1]])).tolist()
        [[1.0]]
    """
    shared = intersection(a, b)
    smaller = np.minimum(area(a)[:, None], area(b)[None, :])
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def touch(a: Boxes, b: Boxes) -> npt.NDArray[np.bool_]:
    """Tell for every pair of closed boxes whether they share a point, shape (N, M).

    Example:
        >>> touch(to_boxes([[0, 0, 0.5, 1]]), to_boxes([[0.5, 0, 1, 1], [0.6, 0, 1, 1]])).tolist()
        [[True, False]]
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    meets: npt.NDArray[np.bool_] = np.all(low <= high, axis=-1)
    return meets


def hull(xyxy: Boxes) -> Boxes:
    """Return the smallest box that holds all N boxes, shape (4,).

    Raises:
        ValueError: If there is no box.
    """
    if len(xyxy) == 0:
        raise InputError("expected at least one box to enclose, got none")
    return np.concatenate([xyxy[:, :2].min(axis=0), xyxy[:, 2:].max(axis=0)])


def _shared(a: Boxes, b: Boxes) -> Overlaps:
    """The area shared by boxes that broadcast, a column at a time: numpy's inner loop stays long."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared: Overlaps = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def rounded(xyxy: Boxes, *, digits: int, wh: tuple[float, float] = (1, 1)) -> Boxes:
    """Round corners to so many decimals, and widen a box that would get no area.

    Args:
        xyxy: Boxes, shape (N, 4), inside a frame from 0 to `wh`.
        digits: Decimals to keep.
        wh: Width and height of the frame, which are on the rounded steps.

    Example:
        >>> rounded(np.array([[0.123, 0.501, 0.456, 0.502]]), digits=2).tolist()
        [[0.12, 0.5, 0.46, 0.51]]
    """
    steps = 10**digits
    scaled = np.round(np.asarray(xyxy, dtype=np.float64) * steps, 6)  # a corner within 1e-6 of a step is on it
    nearest = np.round(scaled)
    thin = np.tile(nearest[:, :2] >= nearest[:, 2:], (1, 2))
    low = np.minimum(np.floor(scaled[:, :2]), np.array(wh) * steps - 1)
    wide = np.concatenate([low, np.maximum(np.ceil(scaled[:, 2:]), low + 1)], axis=1)
    corners: Boxes = np.where(thin, wide, nearest) / steps
    return corners
