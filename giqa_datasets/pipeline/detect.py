"""Stage 2, detection: the phrase of every tag is looked for in the photograph."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from giqa_datasets.images import decode
from giqa_datasets.pipeline.batches import batches
from giqa_datasets.pipeline.drops import Drop, DropSink
from giqa_datasets.pipeline.models import Detector
from giqa_datasets.records import Record


def detect(records: Iterable[Record], detector: Detector, drop: DropSink, *, batch_size: int = 8) -> Iterator[Record]:
    """Give every tag its boxes; a tag the detector cannot look for, or does not find, is dropped."""
    for batch in batches(records, batch_size):
        images = [decode(record.photograph.image, name=record.id) for record in batch]
        found = detector.detect(images, [[tag.phrase for tag in record.tags] for record in batch])
        for record, boxes_per_tag in zip(batch, found, strict=True):
            kept = []
            for tag, boxes in zip(record.tags, boxes_per_tag, strict=True):
                if boxes is None:
                    drop(Drop(record.id, "detect", "unknown_word", tag.phrase))
                elif len(boxes) == 0:
                    drop(Drop(record.id, "detect", "not_found", tag.phrase))
                else:
                    kept.append(replace(tag, boxes=boxes))
            yield replace(record, tags=tuple(kept))
