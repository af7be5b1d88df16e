"""Stage 3, refinement: IQA-Filter keeps the boxes that look as described, Box-Merge joins the pieces of an object."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from giqa_datasets.boxes import Boxes, area, coverage, hull, touch
from giqa_datasets.defaults import MERGE_AREA, MERGE_COVERAGE
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.errors import InputError
from giqa_datasets.images import open_baked, whole_images
from giqa_datasets.pipeline.detect import failure
from giqa_datasets.pipeline.protocols import Verifier
from giqa_datasets.records import Record, Tag


def refine(
    records: Iterable[Record],
    verifier: Verifier,
    drop: DropSink,
    *,
    merge_area: float = MERGE_AREA,
    merge_coverage: float = MERGE_COVERAGE,
) -> Iterator[Record]:
    """Filter and merge the boxes of every tag; a tag whose boxes are all refused is dropped (ours).

    The filter is asked only where one phrase got several boxes (protocol section 3). A record at which the verifier
    fails is dropped whole.
    """
    for record in records:
        try:
            kept = [_verdicts(record, tag, verifier) for tag in record.tags]
        except Exception as error:  # whatever a model may raise
            drop(failure(record, "refine", error))
            continue
        refined = []
        for tag, said in zip(record.tags, kept, strict=True):
            fits = np.array([verdict is True for verdict in said])
            for reason, which in (("box_refused", False), ("unreadable_verdict", None)):
                _drop_boxes(record.id, reason, tag, tag.boxes[[verdict is which for verdict in said]], drop)
            if not fits.any():
                drop(Drop(record.id, "refine", "all_boxes_refused", tag.phrase))
                continue
            boxes, joined = merge_boxes(tag.boxes if fits.all() else tag.boxes[fits], merge_area, merge_coverage)
            _drop_boxes(record.id, "box_merged", tag, joined, drop)
            refined.append(tag if boxes is tag.boxes else replace(tag, boxes=boxes))
        yield replace(record, tags=tuple(refined))


def _verdicts(record: Record, tag: Tag, verifier: Verifier) -> Sequence[bool | None]:
    if len(tag.boxes) == 1:
        return [True]
    with whole_images():
        return verdicts(open_baked(record.photograph.image), tag, verifier)


def _drop_boxes(identifier: str, reason: str, tag: Tag, xyxy: Boxes, drop: DropSink) -> None:
    for box in xyxy.tolist():
        drop(Drop(identifier, "refine", reason, tag.phrase, (tuple(box),)))


def verdicts(image: Image.Image, tag: Tag, verifier: Verifier) -> list[bool | None]:
    """Ask of each box of a tag whether its crop has the tag's quality (IQA-Filter); None for an unreadable answer.

    Raises:
        ValueError: If the verifier gives another number of answers.
    """
    size = np.array([image.width, image.height] * 2)
    corners_px = np.concatenate([np.floor(tag.boxes[:, :2] * size[:2]), np.ceil(tag.boxes[:, 2:] * size[2:])], axis=1)
    crops = [image.crop((int(x1), int(y1), int(x2), int(y2))) for x1, y1, x2, y2 in corners_px]
    said = list(verifier.verify(crops, [tag.quality] * len(crops)))
    if len(said) != len(crops):
        raise InputError(f"expected {len(crops)} verdicts of a verifier, got {len(said)}")
    return [None if verdict is None else bool(verdict) for verdict in said]


def merge_boxes(
    xyxy: Boxes, merge_area: float = MERGE_AREA, merge_coverage: float = MERGE_COVERAGE
) -> tuple[Boxes, Boxes]:
    """Join box j into box i over pairs i < j if i is small and they touch, or if one covers the other (Box-Merge).

    Args:
        xyxy: Boxes of one phrase, shape (N, 4), normalised.
        merge_area: T_a: a box smaller than this share of the image takes in the boxes that it touches.
        merge_coverage: T_o: pairs with intersection / smaller area above it are joined.

    Returns:
        The boxes that are left, shape (M, 4) with 1 <= M <= N for N >= 1, a joined one as the hull of its parts; and
        those that went into another, shape (N - M, 4).

    Example:
        >>> merge_boxes(np.array([[0, 0, 0.2, 0.2], [0.2, 0, 0.4, 0.2], [0.5, 0.5, 1, 1]]))[0].tolist()
        [[0.0, 0.0, 0.4, 0.2], [0.5, 0.5, 1.0, 1.0]]
    """

    def join(a: Boxes, b: Boxes) -> npt.NDArray[np.bool_]:
        joins: npt.NDArray[np.bool_] = ((area(a) < merge_area)[:, None] & touch(a, b)) | (
            coverage(a, b) > merge_coverage
        )
        return joins

    if len(xyxy) < 2 or not np.triu(join(xyxy, xyxy), k=1).any():  # most phrases: nothing to join
        return xyxy, np.zeros((0, 4))
    boxes, joined = list(xyxy), []
    i = 0
    while i < len(boxes):
        j = i + 1
        while j < len(boxes):
            if join(boxes[i][None], boxes[j][None])[0, 0]:
                joined.append(boxes.pop(j))
                boxes[i] = hull(np.stack([boxes[i], joined[-1]]))
            else:
                j += 1
        i += 1
    return np.array(boxes), np.array(joined).reshape(-1, 4)
