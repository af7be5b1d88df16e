"""From a folder of photographs to a set, through a reviewer's hands, and back to a corrected set."""

import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.join import join_copies
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.review.corrections import BoxTally, corrections, left_behind, reviewers
from giqa_datasets.review.items import open_review
from giqa_datasets.review.merge import merge_round
from giqa_datasets.review.rounds import Round, read_rounds
from giqa_datasets.review.states import State
from giqa_datasets.review.votes import append_vote
from giqa_datasets.sources.mini import wheel_file
from tests.command import giqa, refusal


LINES = [
    {"file_name": "coffee.png", "description": "The cup is sharp."},
    {"file_name": "chelsea.png", "description": "The castle is blurred."},  # the detector knows none
    {"file_name": "chelsea.png", "id": "cat", "description": "The cat is sharp."},
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder `photos`, and the set `my-set` of it with its annotations."""
    root = tmp_path_factory.mktemp("corrections")
    (root / "photos").mkdir()
    for name in ("coffee.png", "chelsea.png"):
        (root / "photos" / name).write_bytes(wheel_file(f"skimage/data/{name}").read_bytes())
    (root / "photos" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    request = SetRequest("folder", root / "photos")
    build_set(request, root / "my-set", root / "my-set.annotations", Choice(), keep_ungrounded=True)
    return root


@pytest.fixture
def here(built, tmp_path, monkeypatch):
    for path in built.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "my-set").unlink()
    (tmp_path / "my-set").mkdir()
    for path in (built / "my-set").iterdir():
        (tmp_path / "my-set" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def review(here):
    return open_review(here / "my-set")


WHOLE = [0.0, 0.0, 1.0, 1.0]


def with_boxes(state, **boxes):
    """A state whose words of the answer have these boxes."""
    regions = [
        {
            "phrase": word,
            "role": "answer",
            "span": (begin := state.answer.index(word), begin + len(word)),
            "boxes": own,
        }
        for word, own in boxes.items()
    ]
    return {"regions": regions}


def rebuild(*options):
    done = giqa("build", "folder", "photos", "--review", "my-set.review", "--out", "corrected", *options)
    assert done.code == 0, done.stderr
    return load_dataset("corrected", split="train"), done


def left_out(here):
    """What the review left out."""
    lines = (here / "corrected" / "provenance" / "drops.jsonl").read_text(encoding="utf-8").splitlines()
    return [drop for drop in map(json.loads, lines) if drop["stage"] == "review"]


@pytest.fixture
def voted(review, vote_on):
    """Ann moves the cup's box a little, boxes the castle, rejects a question, adds one, and accepts the cat."""
    begin = review.begin
    (region,) = begin["coffee-des"].regions
    x1, y1, x2, y2 = region.boxes[0]
    moved = [x1, y1, x2 - 0.05, y2]
    append_vote(review, vote_on(begin["coffee-des"], "ann", "rewrite", **with_boxes(begin["coffee-des"], cup=[moved])))
    castle = with_boxes(begin["chelsea-des"], castle=[WHOLE])
    append_vote(review, vote_on(begin["chelsea-des"], "ann", "rewrite", **castle))
    append_vote(review, vote_on(begin["coffee-vqa-1"], "ann", "reject"))
    append_vote(review, vote_on(begin["cat-des"], "ann"))
    said = {
        "id": "coffee-new-ann-1",
        "task": "vqa",
        "question_type": "what",
        "question": "What glares?",
        "answer": "The cup.",
    }
    new = begin["coffee-des"].model_dump() | said | {"regions": []}
    append_vote(review, vote_on(State.model_validate(new), "ann", "new"))
    return review


def test_a_set_is_built_again_as_one_reviewer_left_it(voted, here):
    before = load_dataset("my-set", split="train")
    after, done = rebuild()
    ids = [row_id for row_id in before["id"] if row_id != "coffee-vqa-1"]
    ids.insert(max(place for place, row_id in enumerate(ids) if row_id.startswith("coffee")) + 1, "coffee-new-ann-1")
    assert after["id"] == ids
    rows = {row["id"]: row for row in after}
    assert rows["coffee-des"]["regions"][0]["boxes"] == [pytest.approx(list(box)) for box in [_moved(voted)]]
    assert rows["chelsea-des"]["answer"] == "The [castle](<0, 399>) is blurred."
    untouched = {row["id"]: row["answer"] for row in before if row["id"] not in ("coffee-des", "chelsea-des")}
    assert {row_id: rows[row_id]["answer"] for row_id in untouched if row_id in rows}.items() <= untouched.items()
    assert [(drop["id"], drop["reason"]) for drop in left_out(here)] == [("coffee", "rejected")]
    assert not (here / "corrected.annotations").exists()  # those of my-set were taken
    assert "left out: " in done.stdout


def _moved(review):
    x1, y1, x2, y2 = review.begin["coffee-des"].regions[0].boxes[0]
    return x1, y1, x2 - 0.05, y2


def test_the_card_says_who_reviewed_how_much_and_what_became_of_the_boxes(voted, here):
    rebuild()
    card = (here / "corrected" / "README.md").read_text(encoding="utf-8")
    assert "| ann | 1 | 2 | 1 | 1 |" in card
    assert f"\n4 of the {len(voted.begin)} samples that were to be reviewed have a vote" in card
    assert "| des | 3 | 0 | 2 | 1 | 1 | 0 | 1 | 1.000 | 0.667 |" in card
    assert "nobody has looked at them" not in card
    assert "- expert-generated" in card
    assert examine_dataset(here / "corrected").findings == []
    told = here / "corrected" / "provenance" / "corrections.json"
    told.write_text(told.read_text().replace('"accept": 1', '"accept": 7'))
    assert any("| ann | 7 | 2 | 1 | 1 |" in finding.what for finding in examine_dataset(here / "corrected").findings)
    told.write_text('{"reviewers": -1}')
    assert any("corrections.json" in finding.what for finding in examine_dataset(here / "corrected").findings)


def test_a_corrected_set_without_pixels_is_joined_to_the_same_bytes(voted, here):
    rebuild()
    (here / "bare").mkdir()
    shards = without_pixels(here / "corrected", here / "bare").shards
    bare = Path(shutil.copytree(here / "corrected", here / "published"))
    for name, path in shards.items():
        shutil.copy(path, bare / "data" / name)
    assert load_dataset(str(bare), split="train")["image"][0] is None
    join_copies(bare, [(here / "photos").resolve()], here / "joined")
    files = [path.relative_to(here / "corrected") for path in (here / "corrected").rglob("*") if path.is_file()]
    assert Path("provenance", "corrections.json") in files
    for path in files:
        assert (here / "joined" / path).read_bytes() == (here / "corrected" / path).read_bytes(), path


def test_a_merged_round_and_an_open_one_give_the_same_set(voted, here):
    first, _ = rebuild()
    whole = [dict(row) for row in first.remove_columns("image")]
    merge_round(voted)
    again, _ = rebuild("--overwrite")
    assert [dict(row) for row in again.remove_columns("image")] == whole


def test_a_vote_on_a_photograph_that_has_changed_since_does_not_count(voted, here):
    raw = (here / "photos" / "coffee.png").read_bytes()
    names = ("chelsea.png", "metadata.jsonl")
    files = {name: (here / "photos" / name).read_bytes() for name in names}
    (here / "photos").unlink()
    (here / "photos").mkdir()
    for name, content in files.items():
        (here / "photos" / name).write_bytes(content)
    (here / "photos" / "coffee.png").write_bytes(raw + b"\0")
    (here / "my-set.annotations").unlink()
    after, _ = rebuild()
    assert "coffee-vqa-1" in after["id"]
    assert "coffee-new-ann-1" not in after["id"]
    assert {(drop["what"], drop["reason"]) for drop in left_out(here)} == {
        ("coffee-des", "changed_image"),
        ("coffee-vqa-1", "changed_image"),
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["folder", "photos", "--review", "lost.review"],
            "expected the rounds of a review in lost.review, found none",
        ),
        (["giqa-bench", "my-set", "--review", "my-set.review"], "giqa-bench takes no --review"),
        (["my-set", "--images", "photos", "--review", "my-set.review"], "a join of own copies takes no --review"),
    ],
)
def test_a_review_that_does_not_fit_ends_in_one_sentence(here, arguments, says):
    assert refusal(giqa("build", *arguments, "--out", "corrected")).startswith(says)


@pytest.mark.parametrize(
    "command", [["build", "folder", "photos", "--review", "my-set.review"], ["review", "my-set", "--corrections"]]
)
def test_a_review_without_a_vote_is_refused(review, command):
    assert refusal(giqa(*command)).endswith("my-set.review, found none")


def test_boxes_are_kept_moved_deleted_or_added(review, vote_on):
    begin = review.begin["cat-des"]
    (region,) = begin.regions
    x1, y1, x2, y2 = region.boxes[0]
    for boxes, kept, moved, deleted, added in (
        ([(x1, y1, x2, y2)], 1, 0, 0, 0),
        ([(x1, y1, x2 - 0.02, y2)], 0, 1, 0, 0),
        ([(x1, y1, x1 + 0.1, y1 + 0.1)], 0, 0, 1, 1),  # no longer the same object
        ([(x1, y1, x2, y2), (x1, y1, x1 + 0.1, y1 + 0.1)], 1, 0, 0, 1),
    ):
        verdict = "accept" if kept and not added else "rewrite"
        vote = vote_on(begin, "ann", verdict, **with_boxes(begin, cat=boxes))
        (tally, whole) = corrections([Round({begin.id: begin}, {"ann": {begin.id: vote}})]).tallies
        assert (tally.boxes, tally.kept, tally.moved, tally.deleted, tally.added) == (1, kept, moved, deleted, added)
        assert whole == tally.model_copy(update={"question_type": "all"})


def test_questions_with_boxes_that_were_corrected_in_the_description_alone_are_listed(voted, vote_on):
    begin = voted.begin
    behind = [name for name, state in begin.items() if name.startswith("coffee-vqa") and name != "coffee-vqa-1"]
    assert behind
    assert left_behind(read_rounds(voted.path)) == behind
    assert giqa("review", "my-set", "--corrections").stdout.endswith(f"description alone: {', '.join(behind)}\n")
    for name in behind:
        append_vote(voted, vote_on(begin[name], "ann"))  # who looked at it and left it so, meant it
    assert left_behind(read_rounds(voted.path)) == []


def test_shares_do_not_exist_without_boxes():
    assert (BoxTally(question_type="des").precision, BoxTally(question_type="des").recall) == (None, None)


def test_a_reviewer_counts_once_a_sample_over_all_rounds(voted, here, vote_on):
    merge_round(voted)
    again = open_review(here / "my-set")
    append_vote(again, vote_on(again.begin["cat-des"], "ann", "reject", round=2))
    (ann,) = reviewers(read_rounds(again.path))
    assert (ann.accept, ann.rewrite, ann.reject, ann.new) == (0, 2, 2, 1)
