"""Stage 3, refinement: IQA-Filter keeps the boxes that look as described, Box-Merge joins the pieces of an object."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from giqa_datasets.boxes import Boxes, area, coverage, hull, touch
from giqa_datasets.images import decode
from giqa_datasets.pipeline.drops import Drop, DropSink
from giqa_datasets.pipeline.models import Verifier
from giqa_datasets.records import Record, Tag


MERGE_AREA = 0.256  # T_a, share of the image, paper section 3.2
MERGE_COVERAGE = 0.95  # T_o, paper section 3.2


def refine(
    records: Iterable[Record],
    verifier: Verifier,
    drop: DropSink,
    *,
    merge_area: float = MERGE_AREA,
    merge_coverage: float = MERGE_COVERAGE,
) -> Iterator[Record]:
    """Filter and merge the boxes of every tag; a tag whose boxes are all refused is dropped (ours)."""
    for record in records:
        kept = []
        image = (
            decode(record.photograph.image, name=record.id) if any(len(tag.boxes) > 1 for tag in record.tags) else None
        )
        for tag in record.tags:
            # The filter is asked only where one phrase got several boxes (protocol section 3)
            boxes = tag.boxes if image is None or len(tag.boxes) == 1 else filter_boxes(image, tag, verifier)
            for _ in range(len(tag.boxes) - len(boxes)):
                drop(Drop(record.id, "refine", "box_refused", tag.phrase))
            if len(boxes) == 0:
                drop(Drop(record.id, "refine", "all_boxes_refused", tag.phrase))
            else:
                merged = merge_boxes(boxes, merge_area=merge_area, merge_coverage=merge_coverage)
                kept.append(replace(tag, boxes=merged))
        yield replace(record, tags=tuple(kept))


def filter_boxes(image: Image.Image, tag: Tag, verifier: Verifier) -> Boxes:
    """IQA-Filter: keep the boxes whose crop has the tag's quality."""
    size = np.array([image.width, image.height] * 2)
    corners_px = np.concatenate([np.floor(tag.boxes[:, :2] * size[:2]), np.ceil(tag.boxes[:, 2:] * size[2:])], axis=1)
    crops = [image.crop((int(x1), int(y1), int(x2), int(y2))) for x1, y1, x2, y2 in corners_px]
    kept: Boxes = tag.boxes[np.array(verifier.verify(crops, [tag.quality] * len(crops)), dtype=bool)]
    return kept


def merge_boxes(xyxy: Boxes, *, merge_area: float = MERGE_AREA, merge_coverage: float = MERGE_COVERAGE) -> Boxes:
    """Box-Merge: over pairs i < j, join j into i where i is small and they touch, or where one covers the other.

    Args:
        xyxy: Boxes of one phrase, shape (N, 4), normalised.
        merge_area: T_a: a box smaller than this share of the image takes in what it touches.
        merge_coverage: T_o: pairs with intersection / smaller area above it are joined.

    Returns:
        Shape (M, 4) with 1 <= M <= N for N >= 1; a joined box is the hull of its parts.

    Example:
        >>> merge_boxes(np.array([[0, 0, 0.2, 0.2], [0.2, 0, 0.4, 0.2], [0.5, 0.5, 1, 1]])).tolist()
        [[0.0, 0.0, 0.4, 0.2], [0.5, 0.5, 1.0, 1.0]]
    """
    boxes = list(np.asarray(xyxy, dtype=np.float64))
    i = 0
    while i < len(boxes):
        j = i + 1
        while j < len(boxes):
            a, b = boxes[i][None], boxes[j][None]
            if (area(a)[0] < merge_area and touch(a, b)[0, 0]) or coverage(a, b)[0, 0] > merge_coverage:
                boxes[i] = hull(np.stack([boxes[i], boxes.pop(j)]))
            else:
                j += 1
        i += 1
    return np.array(boxes).reshape(-1, 4)
