"""The open round of a review, as its server knows it."""

import threading
from typing import Any

from giqa_datasets.review.items import ImageItem, Review
from giqa_datasets.review.states import State, Vote
from giqa_datasets.review.votes import append_vote, read_votes


class OpenRound:
    """The open round of a review: its samples, and the last vote of each annotator on each."""

    def __init__(self, review: Review) -> None:
        """Read the votes that were given before."""
        self.review = review
        self.images = {image.sha256: image for image in review.images}
        self._votes = read_votes(review.path, review.round)
        self._lock = threading.Lock()

    def of(self, annotator: str) -> dict[str, Vote]:
        """Return the last votes of one annotator, by sample id."""
        return self._votes.get(annotator, {})

    def save(self, vote: Vote) -> None:
        """Write a vote to the disk and remember it."""
        with self._lock:
            append_vote(self.review, vote)
            self._votes.setdefault(vote.annotator, {})[vote.id] = vote

    def listing(self, annotator: str) -> list[dict[str, Any]]:
        """List every sample for the page, image by image; the annotator's own new ones come last."""
        votes = self.of(annotator)
        added: dict[str, list[Vote]] = {}
        for identifier, vote in votes.items():
            if identifier not in self.review.begin:
                added.setdefault(vote.image, []).append(vote)
        return [
            _entry(image, state, votes.get(state.id))
            for image in self.review.images
            for state in [
                *(self.review.begin[identifier] for identifier in image.sample_ids),
                *added.get(image.sha256, ()),
            ]
        ]

    def sample(self, annotator: str, identifier: str) -> dict[str, Any]:
        """Return a sample as the round began with it, and the annotator's last vote on it; either may be None.

        With it come the objects of its image, which are only looked at.
        """
        begin, vote = self.review.begin.get(identifier), self.of(annotator).get(identifier)
        said = begin or vote
        objects = [] if said is None else self.images[said.image].objects
        return {
            "begin": begin and begin.model_dump(),
            "vote": vote and vote.model_dump(),
            "objects": [{"name": name, "box": box} for name, box in objects],
        }


def _entry(image: ImageItem, state: State, vote: Vote | None) -> dict[str, Any]:
    said = state if vote is None else vote
    return {
        "id": state.id,
        "image": {"id": image.id, "sha256": image.sha256, "width": image.width, "height": image.height},
        "question_type": said.question_type,
        "begins": (said.answer if said.task == "des" else said.question)[:100],
        "verdict": None if vote is None else vote.verdict,
    }
