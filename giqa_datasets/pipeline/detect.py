"""Stage 2, detection: the phrase of every tag is looked for in the photograph."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from giqa_datasets.boxes import Boxes
from giqa_datasets.images import open_baked
from giqa_datasets.pipeline.batches import batches, each
from giqa_datasets.pipeline.drops import Drop, DropSink, fault
from giqa_datasets.pipeline.models import Detector
from giqa_datasets.records import Record


def detect(records: Iterable[Record], detector: Detector, drop: DropSink, *, batch_size: int = 8) -> Iterator[Record]:
    """Give every tag its boxes; a tag the detector cannot look for, or does not find, is dropped.

    A record whose photograph is broken, or at which the detector fails, is dropped whole. Photographs are decoded
    when the detector looks at their pixels, and not before.
    """

    def look(batch: list[Record]) -> list[list[Boxes | None]]:
        images = [open_baked(record.photograph.image) for record in batch]
        return detector.detect(images, [[tag.phrase for tag in record.tags] for record in batch])

    for batch in batches(records, batch_size):
        for record, found in zip(batch, each(batch, look), strict=True):
            if isinstance(found, Exception):
                drop(_broken(record) or fault(record.id, "detect", found))
                continue
            kept = []
            for tag, boxes in zip(record.tags, found, strict=True):
                if boxes is None:
                    drop(Drop(record.id, "detect", "unknown_word", tag.phrase))
                elif len(boxes) == 0:
                    drop(Drop(record.id, "detect", "not_found", tag.phrase))
                else:
                    kept.append(replace(tag, boxes=boxes, found=boxes))
            yield replace(record, tags=tuple(kept))


def _broken(record: Record) -> Drop | None:
    """The drop of a record whose photograph cannot be decoded; None if it can."""
    try:
        open_baked(record.photograph.image).load()
    except Exception as error:  # a decoder may raise anything on a hostile file
        return Drop(record.id, "detect", "broken_image", f"{record.photograph.file or record.id}: {error}")
    return None
