"""GIQA-VQA: questions about the boxed objects of a description, boxes in question or answer (protocol section 4)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from giqa_datasets.batches import batches, each, seed_of
from giqa_datasets.boxes import Boxes
from giqa_datasets.drops import Drop, DropSink, fault
from giqa_datasets.pipeline.protocols import Asked, Asker, Failure
from giqa_datasets.records import Record, Sample, Tag
from giqa_datasets.regions import Region, locate
from giqa_datasets.text import is_groundable


def ask(
    records: Iterable[Record], asker: Asker, drop: DropSink, *, seed: int = 0, batch_size: int = 64
) -> Iterator[Record]:
    """Give every described record its GIQA-VQA samples.

    Pairs that name no boxed object are dropped (the paper's keyword filter). Yes and No are balanced within each
    record, so that half of all Yes/No answers are Yes in every part of the set. A record that the asker fails at
    keeps its description.
    """

    def put(batch: list[Record]) -> Sequence[Sequence[Asked | Failure] | Failure]:
        return asker.ask(
            [record.description for record in batch],
            [record.tags for record in batch],
            [seed_of(record.id, seed) for record in batch],
        )

    for batch in batches(records, batch_size):
        described = [record for record in batch if record.samples]
        asked = iter(each(described, put) if described else [])
        for record in batch:
            yield _asked(record, next(asked), drop) if record.samples else record


def _asked(record: Record, pairs: Sequence[Asked | Failure] | Failure | Exception, drop: DropSink) -> Record:
    if isinstance(pairs, Exception):
        drop(fault(record.id, "ask", pairs))
        return record
    if isinstance(pairs, Failure):
        drop(Drop(record.id, "ask", *pairs))
        return record
    grounded = []
    for pair in pairs:
        if isinstance(pair, Failure):
            drop(Drop(record.id, "ask", *pair))
            continue
        sample = _ground(pair, record.tags)
        if isinstance(sample, str):
            drop(Drop(record.id, "ask", sample, f"{pair.question} {pair.answer}"))
        else:
            grounded.append(sample)
    balanced = _balanced(record.id, grounded, drop)
    numbered = (replace(sample, id=f"{record.id}-vqa-{k}") for k, sample in enumerate(balanced, start=1))
    return replace(record, samples=(*record.samples, *numbered))


def _ground(pair: Asked, tags: Sequence[Tag]) -> Sample | str:
    """A pair with the boxes of the objects that its question names, else its answer; or the reason to drop it."""
    in_question = _named(pair.question, tags)
    in_answer = () if in_question else _named(pair.answer, tags)
    if not in_question and not in_answer:
        return "names_no_object"
    if not (is_groundable(pair.question, in_question) and is_groundable(pair.answer, in_answer)):
        return "not_groundable"  # a model wrote markup of its own
    return Sample("", "vqa", pair.question_type, pair.question, pair.answer, in_question, in_answer)


def _balanced(record_id: str, samples: Sequence[Sample], drop: DropSink) -> list[Sample]:
    """The samples with as many Yes as No answers, the first of each, and every other question."""
    verdicts = [_says_yes(sample) for sample in samples if sample.question_type == "yes_no"]
    quota = min(sum(verdicts), len(verdicts) - sum(verdicts))
    left = {True: quota, False: quota}
    kept = []
    for sample in samples:
        if sample.question_type == "yes_no":
            verdict = _says_yes(sample)
            left[verdict] -= 1
            if left[verdict] < 0:
                drop(Drop(record_id, "ask", "unbalanced", f"{sample.question} {sample.answer}"))
                continue
        kept.append(sample)
    return kept


def _says_yes(sample: Sample) -> bool:
    return sample.answer.lower().startswith("yes")


def _named(text: str, tags: Sequence[Tag]) -> tuple[Region, ...]:
    """The regions of the tags that a text names; the longer phrase wins if two overlap.

    A phrase may begin a sentence in the one text and stand inside one in the other.
    """
    own = {tag.phrase for tag in tags}
    found: dict[str, Boxes] = {}
    for tag in sorted(tags, key=lambda tag: len(tag.phrase), reverse=True):
        other_case = tag.phrase[:1].swapcase() + tag.phrase[1:]
        for phrase in [tag.phrase, *({other_case} - own)]:
            if tag.phrase not in found and phrase not in found:
                with suppress(ValueError):  # the tag is not named so
                    locate(text, [*found.items(), (phrase, tag.boxes)])
                    found[phrase] = tag.boxes
                    break
    return locate(text, found.items())
