"""Stage 1, object tags: which objects a description names, what it says of their quality, and to what effect."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from giqa_datasets.pipeline.batches import batches
from giqa_datasets.pipeline.drops import Drop, DropSink
from giqa_datasets.pipeline.models import Tagger
from giqa_datasets.records import Record


# T_e drops words that are no object, "image" for one (protocol section 3); the other words are ours
NO_OBJECTS = frozenset((Path(__file__).parent / "no_objects.txt").read_text(encoding="utf-8").split())


def tags(records: Iterable[Record], tagger: Tagger, drop: DropSink, *, batch_size: int = 64) -> Iterator[Record]:
    """Give every record the tags of its description; what is no object or has no quality is dropped."""
    for batch in batches(records, batch_size):
        for record, found in zip(batch, tagger.tag([record.description for record in batch]), strict=True):
            kept = []
            for tag in found:
                words = tag.phrase.lower().split()
                if not words or words[-1] in NO_OBJECTS:
                    drop(Drop(record.id, "tags", "no_object", tag.phrase))
                elif not tag.quality:
                    drop(Drop(record.id, "tags", "no_quality", tag.phrase))
                else:
                    kept.append(tag)
            yield replace(record, tags=tuple(kept))
