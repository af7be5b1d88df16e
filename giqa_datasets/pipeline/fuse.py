"""Stage 4, fusion: boxes are attached to the names in the description; every other byte stays as it was written."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from giqa_datasets.batches import seed_of
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.questions import question_pool
from giqa_datasets.records import Record, Sample
from giqa_datasets.regions import Region
from giqa_datasets.text import is_groundable


def fuse(records: Iterable[Record], drop: DropSink, *, seed: int = 0) -> Iterator[Record]:
    """Give every record with a boxed object its GIQA-DES sample, with a question from the pool."""
    questions = question_pool()
    for record in records:
        regions = tuple(Region(tag.phrase, tag.span, tag.boxes) for tag in record.tags)
        if not regions or not is_groundable(record.description, regions):  # it holds markup of its own
            reason = "not_groundable" if regions else "no_boxed_object"
            drop(Drop(record.id, "fuse", reason, record.description))
            yield record
            continue
        question = questions[seed_of(record.id, seed) % len(questions)]
        sample = Sample(f"{record.id}-des", "des", "des", question, record.description, answer_regions=regions)
        yield replace(record, samples=(*record.samples, sample))


def ungrounded(record: Record) -> Sample:
    """Return a record's description as a sample without a box."""
    return Sample(f"{record.id}-des", "des", "des", question_pool()[0], record.description)
