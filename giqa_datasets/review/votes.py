"""The votes of a review, a file for each annotator and round.

Beside a data set folder, `FOLDER.review/round-1/begin.jsonl` holds a `State` per line, and `votes/<annotator>.jsonl` a
`Vote`. Vote files are only ever appended to; the last line of a sample counts. All of them are treated as hostile.
"""

from pathlib import Path

from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, mend, read_lines
from giqa_datasets.review import round_files
from giqa_datasets.review.items import Review
from giqa_datasets.review.states import Vote, check_vote


def read_votes(review_path: Path, round: int) -> dict[str, dict[str, Vote]]:
    """Read the votes of a round, by annotator and sample id; the last line of a sample counts.

    A last line that a kill left half-written is ignored.

    Raises:
        ValueError: If there is no such round, or a line is not valid or does not fit the samples with which the round
            begins; file and line are named.
    """
    begin = round_files.read_begin(review_path, round)
    image_ids = round_files.name_images(round_files.read_begin(review_path, 1).values())
    votes: dict[str, dict[str, Vote]] = {}
    for path in sorted((round_files.round_path(review_path, round) / "votes").glob("*.jsonl")):
        of_annotator = votes[path.stem] = {}
        for where, vote in read_lines(path, Vote, longest=round_files.MAX_LINE, grows=True):
            if (vote.annotator, vote.round) != (path.stem, round):
                got = f"one by {vote.annotator!r} of round {vote.round}"
                raise InputError(f"{where}: expected a vote by {path.stem!r} of round {round}, got {got}")
            try:
                check_vote(vote, begin, image_ids)
            except ValueError as error:
                raise InputError(f"{where}: {error}") from error
            of_annotator[vote.id] = vote
    return votes


def append_vote(review: Review, vote: Vote) -> None:
    """Append a vote to its annotator's file and wait until it is on the disk.

    A line that a kill left half-written is cut off first. Several processes may append at once.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the vote does not fit the samples with which the round begins, or the round is closed.
    """
    check_vote(vote, review.begin, {image.sha256: image.id for image in review.images})
    with round_files.lock_review(review.path):
        current = round_files.last_round(review.path)
        if not vote.round == review.round == current:
            got = f"one in round {vote.round} of a review that was opened in round {review.round}"
            raise InputError(f"expected a vote in round {current}, which is open, got {got}")
        path = round_files.round_path(review.path, vote.round) / "votes" / f"{vote.annotator}.jsonl"
        mend(path)
        append_line(path, round_files.to_line(vote), sync=True)
