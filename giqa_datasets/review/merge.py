"""The merger of a round into the next; the votes stay where they are.

For each sample, of those who voted on it:

- It is left out if more than half rejected it. The others keep it.
- Its text, question and answer together, is the version that most of those who keep it share; an accept shares the
  beginning's. A tie keeps the beginning's.
- Its boxes are decided phrase by phrase of that text; in another text, a phrase is the occurrence of the same words
  with the same number. The boxes of all who keep the sample, in the order of their names and as each has drawn
  them, form groups: a box joins the group whose first box it overlaps most, if their IoU is at least 0.5 and the
  group has no box of the same annotator yet, or else begins one. A group stays if more than half of those who keep
  the sample have a box in it; it becomes the median of its boxes, a coordinate at a time. A phrase of which no group
  stays is no region.
- Of two phrases that overlap in the text, the one that more annotators boxed stays, then the first by name.
- If nobody voted on it, it stays as it is.
- If an annotator added it, it goes into the next round after those of its image, so that the others vote on it there,
  unless its annotator then rejected it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ValidationError

from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of
from giqa_datasets.review.consensus import MergedPhrase, consensus_boxes
from giqa_datasets.review.items import Review, write_round
from giqa_datasets.review.round_files import last_round, lock_review
from giqa_datasets.review.states import State, Vote
from giqa_datasets.review.votes import read_votes


Rule = Literal["no votes", "left out", "most", "tie", "new", "withdrawn"]


class Merged(BaseModel):
    """The decision on one sample, a line of `merge.jsonl`.

    Rules: `left out`, more than half rejected it; `most`, it has the text that most share; `tie`, it has the text of
    the beginning; `new` and `withdrawn`, an annotator added it, or took it back.
    """

    id: str
    rule: Rule
    n_votes: int
    n_rejects: int = 0
    n_same_text: int = 0  # those who share the text that was taken
    phrases: tuple[MergedPhrase, ...] = ()


def merge_round(review: Review) -> list[Merged]:
    """Merge the open round into the next, which it opens, and return the decision on each sample.

    Nothing of the round that it closes is changed.

    Raises:
        OSError: If the next round cannot be written.
        ValueError: If the round is closed, has no votes, or a vote is not valid.
    """
    with lock_review(review.path):
        current = last_round(review.path)
        if current != review.round:
            raise InputError(f"expected round {current} of {review.path}, which is open, got round {review.round}")
        votes = read_votes(review.path, review.round)
        if not any(votes.values()):
            raise InputError(f"expected votes in round {review.round} of {review.path}, found none")
        states, merged = merge(review.begin, votes)
        write_round(review.path, review.round + 1, {"begin.jsonl": states, "merge.jsonl": merged})
    return merged


def merge(begin: Mapping[str, State], votes: Mapping[str, Mapping[str, Vote]]) -> tuple[list[State], list[Merged]]:
    """Merge the votes of a round, by annotator and sample id: the next round's samples, and the decision on each.

    Raises:
        ValueError: If a sample gets more boxes than one may have.
    """
    states: list[State] = []
    decisions: list[Merged] = []
    added: defaultdict[str, list[Vote]] = defaultdict(list)
    by_annotator = [votes[annotator] for annotator in sorted(votes)]
    for own in by_annotator:
        for vote in sorted(own.values(), key=lambda vote: (len(vote.id), vote.id)):
            if vote.id not in begin:
                added[vote.image].append(vote)
    last_of = {state.image: state.id for state in begin.values()}
    for state in begin.values():
        try:
            merged, decision = _merge_sample(state, [own[state.id] for own in by_annotator if state.id in own])
        except ValidationError as error:
            raise InputError(f"sample {state.id!r}: {fault_of(error)}") from error
        states += [merged] if merged else []
        decisions.append(decision)
        if last_of[state.image] == state.id:
            _add(added.pop(state.image, ()), states, decisions)
    for rest in added.values():  # of images that have no other samples
        _add(rest, states, decisions)
    return states, decisions


def _add(added: Sequence[Vote], states: list[State], decisions: list[Merged]) -> None:
    for vote in added:
        is_new = vote.verdict == "new"
        states += [State.model_validate({name: getattr(vote, name) for name in State.model_fields})] if is_new else []
        decisions.append(Merged(id=vote.id, rule="new" if is_new else "withdrawn", n_votes=1, n_rejects=not is_new))


def _merge_sample(state: State, votes: Sequence[Vote]) -> tuple[State | None, Merged]:
    """Merge the votes on a sample, sorted by annotator; None if it is left out."""
    kept = [vote for vote in votes if vote.verdict != "reject"]
    n_rejects = len(votes) - len(kept)
    if 2 * n_rejects > len(votes):
        return None, Merged(id=state.id, rule="left out", n_votes=len(votes), n_rejects=n_rejects)
    if not kept:
        return state, Merged(id=state.id, rule="no votes", n_votes=0)
    shares = Counter(_texts(vote) for vote in kept)
    most = [texts for texts, count in shares.items() if count == max(shares.values())]
    rule: Rule = "most" if len(most) == 1 else "tie"
    texts = most[0] if rule == "most" else _texts(state)
    question_type, question, answer = texts
    regions, phrases = consensus_boxes({"question": question, "answer": answer}, kept)
    said = {"question_type": question_type, "question": question, "answer": answer, "regions": regions}
    merged = State.model_validate({"id": state.id, "image": state.image, "task": state.task} | said)
    counts = {"n_votes": len(votes), "n_rejects": n_rejects, "n_same_text": shares[texts]}
    return merged, Merged(id=state.id, rule=rule, phrases=tuple(phrases), **counts)


def _texts(state: State) -> tuple[str, str, str]:
    return state.question_type, state.question, state.answer
