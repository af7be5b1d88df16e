"""All rounds of a review, and the same without the annotators' names."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from giqa_datasets.errors import InputError
from giqa_datasets.review.merge import merge
from giqa_datasets.review.round_files import last_round, read_begin, to_line
from giqa_datasets.review.states import State, Vote
from giqa_datasets.review.votes import read_votes


SCRIPTED = "-scripted"  # ends the name of an annotator that is a program

AnyState = TypeVar("AnyState", State, Vote)


class Round(NamedTuple):
    """The samples with which a round begins, by id, and the votes on them, by annotator and sample id."""

    begin: dict[str, State]
    votes: dict[str, dict[str, Vote]]


def read_rounds(review_path: Path) -> list[Round]:
    """Read all rounds of a review.

    Raises:
        ValueError: If there is none, a line is not valid, or a round does not begin with the merger of the one before.
    """
    n_rounds = last_round(review_path)
    if not n_rounds:
        raise InputError(f"expected the rounds of a review in {review_path}, found none")
    numbers = range(1, n_rounds + 1)
    rounds = [Round(read_begin(review_path, number), read_votes(review_path, number)) for number in numbers]
    for number, (before, after) in enumerate(pairwise(rounds), start=2):
        due = {state.id: state for state in merge(*before)[0]}
        if list(due) != list(after.begin) or due != after.begin:
            differing = [name for name in (*due, *after.begin) if due.get(name) != after.begin.get(name)]
            where = f"sample {differing[0]!r} differs" if differing else "the samples stand in another order"
            raise InputError(
                f"{review_path}: expected round {number} to begin with the merger of the one before, but {where}"
            )
    return rounds


def round_files(rounds: Sequence[Round]) -> dict[str, str]:
    """Return the files of rounds by their paths in the review's folder, as `read_rounds` reads them."""
    files: dict[str, Iterable[BaseModel]] = {}
    for number, (begin, votes) in enumerate(rounds, start=1):
        folder = f"round-{number}"
        files[f"{folder}/begin.jsonl"] = begin.values()
        files |= {f"{folder}/votes/{annotator}.jsonl": of_one.values() for annotator, of_one in votes.items()}
    return {path: "".join(map(to_line, lines)) for path, lines in files.items()}


def is_scripted(annotator: str) -> bool:
    """Tell by an annotator's name whether it is a program."""
    return annotator.endswith(SCRIPTED)


def anonymous(rounds: list[Round]) -> list[Round]:
    """Replace the annotators' names by numbers, also in the ids of the samples they added, and leave out their notes.

    The numbers follow the order of the names, on which the merger depends.
    """
    names = sorted({annotator for each in rounds for annotator in each.votes})
    width = len(str(len(names)))
    numbered = {
        name: f"annotator-{number:0{width}}{SCRIPTED if is_scripted(name) else ''}"
        for number, name in enumerate(names, start=1)
    }
    ids: dict[str, str] = {}
    for begin, votes in rounds:
        for annotator, of_one in votes.items():
            for name in of_one.keys() - begin:
                image, number = name.rsplit(f"-new-{annotator}-", 1)
                ids[name] = f"{image}-new-{numbered[annotator]}-{number}"

    def renamed(states: Mapping[str, AnyState], **changes: str) -> dict[str, AnyState]:
        return {
            ids.get(name, name): state.model_copy(update={"id": ids.get(name, name)} | changes)
            for name, state in states.items()
        }

    return [
        Round(
            renamed(begin),
            {numbered[name]: renamed(votes[name], annotator=numbered[name], note="") for name in sorted(votes)},
        )
        for begin, votes in rounds
    ]
