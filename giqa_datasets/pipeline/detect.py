"""Stage 2, detection: the phrase of every tag is looked for in the photograph."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from giqa_datasets.batches import batches, each
from giqa_datasets.boxes import Boxes
from giqa_datasets.drops import Drop, DropSink, fault
from giqa_datasets.images import open_baked, whole_images
from giqa_datasets.pipeline.protocols import Detector
from giqa_datasets.records import Record, Tag


def detect(records: Iterable[Record], detector: Detector, drop: DropSink, *, batch_size: int = 8) -> Iterator[Record]:
    """Give every tag its boxes; drop a tag whose phrase the detector does not know or does not find.

    Boxes are cut at the image's edges; one without an area, or with a NaN, is dropped. A record whose photograph is
    broken, or at which the detector fails, is dropped whole. A photograph is decoded only when the detector reads its
    pixels.
    """

    def look(batch: list[Record]) -> list[list[Boxes | None]]:
        with whole_images():
            images = [open_baked(record.photograph.image) for record in batch]
            return detector.detect(images, [[tag.phrase for tag in record.tags] for record in batch])

    for batch in batches(records, batch_size):
        for record, found in zip(batch, each(batch, look), strict=True):
            try:
                if isinstance(found, Exception):
                    raise found
                drops: list[Drop] = []
                kept = [_found(record.id, tag, xyxy, drops) for tag, xyxy in zip(record.tags, found, strict=True)]
            except Exception as error:  # whatever a model may raise, or give
                drop(failure(record, "detect", error))
                continue
            for left_out in drops:
                drop(left_out)
            yield replace(record, tags=tuple(tag for tag in kept if tag is not None))


def _found(identifier: str, tag: Tag, xyxy: Boxes | None, drops: list[Drop]) -> Tag | None:
    if xyxy is None:
        drops.append(Drop(identifier, "detect", "unknown_word", tag.phrase))
        return None
    boxes = np.clip(np.asarray(xyxy, dtype=np.float64).reshape(-1, 4), 0, 1)
    sound = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)  # false where a number is none
    drops += [Drop(identifier, "detect", "no_area", tag.phrase)] * int((~sound).sum())
    boxes = boxes[sound]
    if len(boxes):
        return Tag(tag.phrase, tag.span, tag.quality, tag.effect, boxes, boxes)
    drops.append(Drop(identifier, "detect", "not_found", tag.phrase))
    return None


def failure(record: Record, stage: str, error: Exception) -> Drop:
    """Return the drop of a record at which a model failed, or whose photograph cannot be decoded."""
    try:
        with whole_images():
            open_baked(record.photograph.image).load()
    except Exception as broken:  # a decoder may raise anything on a hostile file
        return Drop(record.id, stage, "broken_image", f"{record.photograph.file or record.id}: {broken}")
    return fault(record.id, stage, error)
