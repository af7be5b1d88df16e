"""Stage 1, object tags: the objects that a description names, with their quality and its effect."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from giqa_datasets.batches import batches, each
from giqa_datasets.drops import Drop, DropSink, fault
from giqa_datasets.pipeline.protocols import UNSURE, Failure, Tagger
from giqa_datasets.records import Record, Tag


# T_e drops words that are no object, "image" for one (protocol section 3); the other words are ours.
# The paper's own figure boxes a background, so that is an object, if it can be found
NO_OBJECTS = frozenset((Path(__file__).parent / "no_objects.v3.txt").read_text(encoding="utf-8").split())

OBJECTS = frozenset({"traffic light", "traffic lights", "street light", "street lights"})  # lamps


def tags(records: Iterable[Record], tagger: Tagger, drop: DropSink, *, batch_size: int = 64) -> Iterator[Record]:
    """Give every record the tags of its description; a tag that cannot be used is dropped.

    A record whose description the tagger fails at is dropped whole.
    """
    for batch in batches(records, batch_size):
        found = each(batch, lambda batch: tagger.tag([record.description for record in batch]))
        for record, tags in zip(batch, found, strict=True):
            if isinstance(tags, Exception):
                drop(fault(record.id, "tags", tags))
            elif isinstance(tags, Failure):
                drop(Drop(record.id, "tags", *tags))
            else:
                yield replace(record, tags=tuple(_usable(record, tags, drop)))


def _usable(record: Record, tags: Iterable[Tag], drop: DropSink) -> Iterator[Tag]:
    """Yield the tags of objects that have a quality and a place of their own in the description."""
    taken = bytearray(len(record.description))
    for tag in tags:
        reason = _fault_of(tag, record.description, taken)
        if reason is None:
            taken[slice(*tag.span)] = b"x" * len(tag.phrase)
            yield tag
        else:
            drop(Drop(record.id, "tags", reason, tag.phrase))


def _fault_of(tag: Tag, description: str, taken: bytearray) -> str | None:
    """The reason to drop a tag; None if it can be used."""
    words = tag.phrase.lower().split()
    if not words or (words[-1] in NO_OBJECTS and " ".join(words[-2:]) not in OBJECTS):
        return "no_object"
    if not tag.quality:
        return "no_quality"
    if tag.quality == UNSURE:
        return "unsure_quality"
    if description[slice(*tag.span)] != tag.phrase:
        return "not_in_description"
    return "overlapping" if any(taken[slice(*tag.span)]) else None
