"""What reviewers made of a data set: its records corrected, who reviewed how much, and what became of its boxes.

One reviewer is enough, and a round need not be merged: votes of the open round count as if it were, see `merge.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, get_args

from pydantic import BaseModel, Field

from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.records import QuestionType, Record, Sample
from giqa_datasets.regions import ROLES, Box
from giqa_datasets.review.agreement import match
from giqa_datasets.review.merge import merge
from giqa_datasets.review.rounds import Round
from giqa_datasets.review.states import SAME, State, grounding


Count = Annotated[int, Field(ge=0)]
REJECTED = "rejected"  # the reason of a sample that reviewers left out
_SAME_BOX = 1 - 1e-9  # IoU of a box with itself, as floats have it


class Reviewer(BaseModel):
    """The number of samples on which someone voted, by their last vote on each."""

    annotator: str
    accept: Count = 0
    rewrite: Count = 0
    reject: Count = 0
    new: Count = 0  # samples that they added


class BoxTally(BaseModel):
    """What became of the boxes with which the samples of one type began, of those that someone voted on."""

    question_type: str
    samples: Count = 0  # that stayed
    rejected: Count = 0  # samples; their boxes are not counted
    boxes: Count = 0  # at the beginning
    kept: Count = 0
    moved: Count = 0  # to an IoU of at least `SAME` with what they were
    added: Count = 0

    @property
    def deleted(self) -> int:
        """The boxes that are gone, or were moved further than that."""
        return self.boxes - self.kept - self.moved

    @property
    def precision(self) -> float | None:
        """The share of the boxes at the beginning that reviewers kept or moved; None without any."""
        return (self.kept + self.moved) / self.boxes if self.boxes else None

    @property
    def recall(self) -> float | None:
        """The share of the reviewers' boxes that were there at the beginning; None without any."""
        there = self.kept + self.moved
        return there / (there + self.added) if there + self.added else None


class Corrections(BaseModel):
    """A review in numbers."""

    samples: Count  # with which it began
    reviewers: list[Reviewer]
    tallies: list[BoxTally]  # the last one is of all types together

    @property
    def voted(self) -> int:
        """The number of those samples that have a vote."""
        return self.tallies[-1].samples + self.tallies[-1].rejected if self.tallies else 0


def corrections(rounds: Sequence[Round]) -> Corrections:
    """Count the votes of a review, and what became of the boxes of the samples with which it began.

    Boxes are matched one to one within their phrase, as `agreement.match` does.
    """
    tallies = {kind: BoxTally(question_type=kind) for kind in (*get_args(QuestionType), "all")}
    last, voted = last_states(rounds), voted_on(rounds)
    for begin in rounds[0].begin.values():
        for tally in (tallies[begin.question_type], tallies["all"]) if begin.id in voted else ():
            _count(tally, begin, last.get(begin.id))
    return Corrections(
        samples=len(rounds[0].begin),
        reviewers=reviewers(rounds),
        tallies=[tally for tally in tallies.values() if tally.samples or tally.rejected],
    )


def reviewers(rounds: Sequence[Round]) -> list[Reviewer]:
    """Count the samples on which each annotator voted, by their last vote on each, by name."""
    verdicts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for _, votes in rounds:
        for annotator, of_one in votes.items():
            verdicts[annotator] |= {name: vote.verdict for name, vote in of_one.items()}
    return [
        Reviewer(annotator=name, **Counter(verdicts[name].values())) for name in sorted(verdicts) if verdicts[name]
    ]


def voted_on(rounds: Sequence[Round]) -> dict[str, str]:
    """Return the sha256 of the image of each sample that someone voted on, by its id."""
    return {vote.id: vote.image for _, votes in rounds for own in votes.values() for vote in own.values()}


def left_behind(rounds: Sequence[Round]) -> list[str]:
    """List the questions without a vote whose boxes someone corrected for the same words in a description alone."""
    begin, last, voted = rounds[0].begin, last_states(rounds), voted_on(rounds)
    changed: dict[tuple[str, str, tuple[Box, ...]], tuple[Box, ...]] = {}
    for name in (name for name in voted if name in last and name in begin and begin[name].task == "des"):
        after = {region.phrase.lower(): region.boxes for region in last[name].regions}
        for region in begin[name].regions:
            words = region.phrase.lower()
            changed[begin[name].image, words, region.boxes] = after.get(words, region.boxes)
    return [
        state.id
        for state in last.values()
        if state.id not in voted
        if any(
            changed.get((state.image, region.phrase.lower(), region.boxes), region.boxes) != region.boxes
            for region in state.regions
        )
    ]


def last_states(rounds: Sequence[Round]) -> dict[str, State]:
    """Return the samples of a review as its last votes leave them, by id."""
    return {state.id: state for state in merge(*rounds[-1])[0]}


def corrected(records: Iterable[Record], rounds: Sequence[Round], drop: DropSink) -> Iterator[Record]:
    """Yield records with their samples as the reviewers left them, under the same ids.

    A sample without a vote stays as it comes. One that was rejected goes to `drop`, as does the vote on a photograph
    that has changed since. Samples that reviewers added follow those of their photograph's first record.
    """
    last, voted = last_states(rounds), voted_on(rounds)
    added: defaultdict[str, list[State]] = defaultdict(list)
    for state in last.values():
        if state.id not in rounds[0].begin:
            added[state.image].append(state)
    for record in records:
        sha256, samples = record.photograph.sha256, []
        for sample in record.samples:
            image = voted.get(sample.id)
            if image == sha256 and sample.id not in last:
                drop(Drop(record.id, "review", REJECTED, f"{sample.question} {sample.answer}"))
                continue
            if image not in (None, sha256):
                drop(Drop(record.id, "review", "changed_image", sample.id))
            samples.append(sample_of(last[sample.id]) if image == sha256 else sample)
        samples += map(sample_of, added.pop(sha256, ()))
        if samples:
            yield replace(record, samples=tuple(samples))


def sample_of(state: State) -> Sample:
    """Return a state as a sample of a record."""
    regions = (grounding(state, role) for role in ROLES)
    return Sample(state.id, state.task, state.question_type, state.question, state.answer, *regions)


def _count(tally: BoxTally, begin: State, end: State | None) -> None:
    if end is None:
        tally.rejected += 1
        return
    ious, _ = match(begin, end)
    kept = sum(iou >= _SAME_BOX for iou in ious)
    moved = sum(SAME <= iou < _SAME_BOX for iou in ious)
    n_begin, n_end = (sum(len(region.boxes) for region in state.regions) for state in (begin, end))
    tally.samples += 1
    tally.boxes += n_begin
    tally.kept += kept
    tally.moved += moved
    tally.added += n_end - kept - moved
