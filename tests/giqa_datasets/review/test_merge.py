import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import median
from threading import Event

import pytest

from giqa_datasets.review import round_files
from giqa_datasets.review.items import open_review, write_round
from giqa_datasets.review.merge import merge, merge_round
from giqa_datasets.review.round_files import lock_review, to_line
from giqa_datasets.review.states import MAX_BOXES, State, Vote, grounded_texts
from giqa_datasets.review.votes import append_vote, read_votes


LEFT, RIGHT, WIDE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 0.8, 1.0)
NAMES = ["ann", "bob", "cid", "dan", "eve"]


def state(answer="A cat and a dog.", *, name="s", image="0", **boxes):
    """A sample whose words have these boxes; `cat_2` is the second cat."""
    regions = []
    for word, own in boxes.items():
        word, _, number = word.partition("_")
        start = -1
        for _ in range(int(number or 1)):
            start = answer.index(word, start + 1)
        regions.append({"phrase": word, "role": "answer", "span": (start, start + len(word)), "boxes": own})
    texts = {"question": "What is there?", "answer": answer, "regions": regions}
    said = {"id": name, "image": image * 64, "task": "vqa", "question_type": "what"}
    return State.model_validate(said | texts)


def vote(of, annotator, verdict="rewrite"):
    said = {"annotator": annotator, "round": 1, "verdict": verdict, "note": "", "at": "2026-01-31T12:00:00Z"}
    return Vote.model_validate(of.model_dump() | said)


def voted(*versions):
    """A vote of each annotator on one sample; None rejects it."""
    return {
        name: {"s": vote(of or state(), name, "rewrite" if of else "reject")}
        for name, of in zip(NAMES, versions, strict=False)
    }


def merged(begin, *versions):
    """What becomes of one sample, and how it was decided."""
    states, (decision,) = merge({"s": begin}, voted(*versions))
    assert len(states) < 2
    return (states[0] if states else None), decision


def boxes_of(of):
    return {(region.phrase, region.span[0]): list(region.boxes) for region in of.regions}


@pytest.mark.parametrize(
    ("versions", "is_kept"),
    [
        ((), True),
        ((state(),), True),
        ((None,), False),
        ((state(), None), True),
        ((state(), None, None), False),
        ((state(), state(), None, None), True),
        ((state(), state(), None, None, None), False),
        ((None, None, None), False),
    ],
)
def test_a_sample_is_left_out_if_more_than_half_reject_it(versions, is_kept):
    becomes, decision = merged(state(), *versions)
    assert (becomes is not None) == is_kept
    assert (decision.rule == "left out") != is_kept
    assert (decision.n_votes, decision.n_rejects) == (len(versions), versions.count(None))


ONE, TWO, THREE = state("One."), state("Two."), state("Three.")


@pytest.mark.parametrize(
    ("versions", "answer", "rule", "n_same"),
    [
        ((ONE,), "One.", "most", 1),
        ((ONE, ONE, TWO), "One.", "most", 2),
        ((ONE, TWO, TWO, None), "Two.", "most", 2),
        ((ONE, TWO), "The first.", "tie", 0),
        ((ONE, TWO, THREE), "The first.", "tie", 0),
        ((ONE, state("The first.")), "The first.", "tie", 1),
        ((ONE, ONE, state("The first.")), "One.", "most", 2),
        ((ONE, ONE, TWO, TWO, state("The first.")), "The first.", "tie", 1),
    ],
)
def test_the_text_is_that_which_most_share_and_a_tie_keeps_the_beginnings(versions, answer, rule, n_same):
    becomes, decision = merged(state("The first."), *versions)
    assert becomes.answer == answer
    assert (decision.rule, decision.n_same_text) == (rule, n_same)


def test_question_and_answer_are_one_version():
    asked = State.model_validate(state("One.").model_dump() | {"question": "What else?"})
    becomes, decision = merged(state("The first."), asked, ONE, TWO)
    assert (becomes.question, becomes.answer, decision.rule) == ("What is there?", "The first.", "tie")


def test_a_box_is_the_median_of_those_that_more_than_half_drew():
    drawn = [(0.0, 0.1, 0.5, 0.9), (0.05, 0.0, 0.6, 1.0), (0.1, 0.0, 0.5, 0.8)]
    becomes, decision = merged(
        state(cat=[LEFT]), state(cat=[drawn[0]]), state(cat=[drawn[1], RIGHT]), state(cat=[drawn[2]], dog=[RIGHT])
    )
    assert boxes_of(becomes) == {("cat", 2): [tuple(median(side) for side in zip(*drawn, strict=True))]}
    assert [(each.phrase, each.groups, each.n_boxes) for each in decision.phrases] == [
        ("cat", (3, 1), 1),
        ("dog", (1,), 0),
    ]


def test_of_two_annotators_both_must_have_drawn_a_box():
    becomes, _ = merged(state(cat=[LEFT]), state(cat=[LEFT, RIGHT]), state(cat=[WIDE]))
    assert boxes_of(becomes) == {("cat", 2): [(0.0, 0.0, 0.65, 1.0)]}
    becomes, _ = merged(state(cat=[LEFT]), state(cat=[LEFT]), state())
    assert becomes.regions == ()


def test_who_rejects_a_sample_has_no_say_in_its_boxes():
    becomes, _ = merged(state(cat=[LEFT]), state(cat=[WIDE]), state(cat=[WIDE]), None)
    assert boxes_of(becomes) == {("cat", 2): [WIDE]}


def test_overlapping_boxes_of_one_annotator_stay_two():
    pair = [LEFT, (0.0, 0.0, 0.6, 1.0)]
    becomes, decision = merged(state(cat=pair), state(cat=pair), state(cat=pair[::-1]), state(cat=pair))
    assert boxes_of(becomes) == {("cat", 2): pair}
    assert decision.phrases[0].groups == (3, 3)


def test_a_box_joins_the_group_that_it_overlaps_most():
    wider = (0.0, 0.0, 0.6, 1.0)
    becomes, decision = merged(state(), state(cat=[LEFT, wider]), state(cat=[wider]))
    assert decision.phrases[0].groups == (1, 2)
    assert boxes_of(becomes) == {("cat", 2): [wider]}


def test_boxes_join_at_an_iou_of_a_half_and_not_below():
    half, less = (0.0, 0.0, 0.25, 1.0), (0.0, 0.0, 0.24, 1.0)
    assert merged(state(), state(cat=[LEFT]), state(cat=[half]))[1].phrases[0].groups == (2,)
    assert merged(state(), state(cat=[LEFT]), state(cat=[less]))[1].phrases[0].groups == (1, 1)


def test_boxes_follow_their_words_into_the_text_that_is_taken():
    mine = state("Here is a dog, a cat and a cat.", cat_2=[RIGHT], dog=[LEFT])
    others = state("A cat, a cat, a dog.", cat_2=[RIGHT], dog=[LEFT])
    becomes, decision = merged(mine, mine, others, others)
    assert becomes.answer == others.answer
    assert boxes_of(becomes) == {("cat", 9): [RIGHT], ("dog", 16): [LEFT]}
    assert {each.groups for each in decision.phrases} == {(3,)}


def test_a_phrase_that_does_not_stand_in_the_text_has_no_boxes():
    old = state("A cat and a cat.", cat_2=[LEFT])
    becomes, decision = merged(old, state("A cat."), state("A cat."), old, old, state("A cat."))
    assert becomes.answer == "A cat."
    assert becomes.regions == ()
    assert [(each.phrase, each.span, each.n_boxes) for each in decision.phrases] == [("cat", None, 0)]


def test_of_phrases_that_overlap_in_the_text_the_one_that_more_boxed_stays():
    small, big = state("A big cat.", cat=[LEFT]), state("A big cat.", **{"big cat": [LEFT]})
    apart = state("A cat, big cat", **{"big cat": [LEFT]}, cat=[LEFT])
    becomes, decision = merged(small, small, small, big, apart, apart)
    assert boxes_of(becomes) == {("cat", 6): [LEFT]}
    assert [(each.phrase, each.span, each.groups) for each in decision.phrases] == [
        ("big cat", None, (3,)),
        ("cat", (6, 9), (4,)),
    ]
    becomes, _ = merged(small, small, big, big, apart, apart)
    assert boxes_of(becomes) == {("big cat", 2): [LEFT]}


def test_what_is_added_comes_after_the_samples_of_its_image():
    begin = {name: state(name=name, image=image) for name, image in (("a-1", "a"), ("a-2", "a"), ("b-1", "b"))}
    added = [
        vote(state("New.", name=name, image=name[0]), by, verdict)
        for name, by, verdict in (
            ("a-new-bob-1", "bob", "new"),
            ("a-new-ann-10", "ann", "new"),
            ("a-new-ann-9", "ann", "new"),
            ("b-new-ann-1", "ann", "reject"),
            ("c-new-bob-1", "bob", "new"),
        )
    ]
    votes = {name: {each.id: each for each in added if each.annotator == name} for name in ("bob", "ann")}
    votes["cid"] = {"a-2": vote(begin["a-2"], "cid", "reject")}
    states, decisions = merge(begin, votes)
    assert [each.id for each in states] == ["a-1", "a-new-ann-9", "a-new-ann-10", "a-new-bob-1", "b-1", "c-new-bob-1"]
    assert type(states[1]) is State
    assert {each.id: each.rule for each in decisions} == {
        "a-1": "no votes",
        "a-2": "left out",
        "a-new-ann-9": "new",
        "a-new-ann-10": "new",
        "a-new-bob-1": "new",
        "b-1": "no votes",
        "b-new-ann-1": "withdrawn",
        "c-new-bob-1": "new",
    }


def random_state(rng, name):
    answer = rng.choice(["A cat.", "A cat and a dog.", "The dog, a cat, and another cat."])
    words = [word for word, count in (("cat", 1), ("dog", 1), ("cat_2", 2)) if answer.count(word[:3]) >= count]
    grid = [k / 5 for k in range(6)]
    boxes = [box for box in product(grid, repeat=4) if box[0] < box[2] and box[1] < box[3]]
    chosen = {word: rng.sample(boxes, rng.randint(1, 3)) for word in words if rng.random() < 0.8}
    return state(answer, name=name, **chosen)


@pytest.mark.parametrize("seed", range(30))
def test_votes_that_are_the_same_merge_to_what_they_are(seed):
    rng = random.Random(seed)
    begin = {name: random_state(rng, name) for name in ("s", "t")}
    versions = {name: random_state(rng, name) for name in begin}
    votes = {
        annotator: {name: vote(of, annotator) for name, of in versions.items()}
        for annotator in NAMES[: rng.randint(1, 5)]
    }
    states, decisions = merge(begin, votes)
    assert states == list(versions.values())
    assert [to_line(each) for each in states] == [to_line(each) for each in versions.values()]
    assert {each.rule for each in decisions} == {"most"}


@pytest.mark.parametrize("seed", range(60))
def test_a_merge_can_be_read_again_and_knows_no_order(seed):
    rng = random.Random(seed)
    begin = {name: random_state(rng, name) for name in ("s", "t")}
    votes = {
        annotator: {
            name: vote(random_state(rng, name), annotator, rng.choice(["rewrite"] * 4 + ["reject"]))
            for name in begin
            if rng.random() < 0.9
        }
        for annotator in NAMES
    }
    states, decisions = merge(begin, votes)
    for each in states:
        assert State.model_validate_json(to_line(each)) == each
        grounded_texts(each)
    turned = {
        annotator: dict(rng.sample(list(votes[annotator].items()), len(votes[annotator])))
        for annotator in rng.sample(NAMES, len(NAMES))
    }
    assert merge(begin, turned) == (states, decisions)
    assert [each.id for each in decisions] == list(begin)


@pytest.mark.slow
def test_a_sample_that_gets_too_many_boxes_is_named():
    side = 40
    grid = [(x / side, y / side, (x + 1) / side, (y + 1) / side) for x in range(side) for y in range(side)]
    cut = MAX_BOXES // 2
    parts = [grid[:cut], grid[cut : 2 * cut], grid[2 * cut : 3 * cut]]
    versions = [state(cat=parts[k] + parts[(k + 1) % 3]) for k in range(3)]
    with pytest.raises(
        ValueError, match=r"^sample 's': expected at most 1,000 boxes|^sample 's': .*at most 1000 items"
    ):
        merged(state(), *versions)


def vote_in(review, vote_on):
    """A round in which two annotators agree on all but a few samples."""
    begin = review.begin
    for begun in begin.values():
        append_vote(review, vote_on(begun, "ann"))
    append_vote(review, vote_on(begin["alpha-des"], "bob", "rewrite", answer="A cat.", regions=[]))
    append_vote(review, vote_on(begin["alpha-vqa-1"], "bob", "reject"))
    append_vote(review, vote_on(begin["alpha-vqa-1"], "cid", "reject"))
    added = {"id": "beta-new-bob-1", "answer": "Noise.", "regions": []}
    append_vote(review, vote_on(begin["beta-des"], "bob", "new", **added))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_round_is_merged_into_the_next_and_keeps_every_vote(review, folder, vote_on):
    vote_in(review, vote_on)
    before = files(review.path / "round-1")
    decisions = merge_round(review)
    assert files(review.path / "round-1") == before
    again = open_review(folder)
    assert again.round == 2
    assert list(again.begin) == [
        "alpha-des",
        "alpha-vqa-2",
        "beta-des",
        "beta-vqa-1",
        "beta-new-bob-1",
        "gamma-des",
    ]
    assert again.begin["alpha-des"].answer == review.begin["alpha-des"].answer
    assert again.begin["beta-vqa-1"] == review.begin["beta-vqa-1"]
    assert again.images[1].sample_ids == ("beta-des", "beta-vqa-1", "beta-new-bob-1")
    assert again.image_bytes(again.images[1].sha256) == review.image_bytes(review.images[1].sha256)
    lines = (again.path / "round-2" / "merge.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(each.model_dump_json()) for each in decisions]
    assert {json.loads(line)["id"]: json.loads(line)["rule"] for line in lines} == {
        "alpha-des": "tie",
        "alpha-vqa-1": "left out",
        "alpha-vqa-2": "most",
        "beta-des": "most",
        "beta-vqa-1": "most",
        "beta-new-bob-1": "new",
        "gamma-des": "most",
    }
    append_vote(again, vote_on(again.begin["beta-new-bob-1"], "ann", round=2))
    assert read_votes(again.path, 2)["ann"]["beta-new-bob-1"].round == 2


def test_a_merged_round_is_closed(review, folder, vote_on):
    vote_in(review, vote_on)
    merge_round(review)
    before = files(review.path)
    with pytest.raises(ValueError, match="expected a vote in round 2, which is open, got one in round 1"):
        append_vote(review, vote_on(review.begin["gamma-des"], "cid"))
    with pytest.raises(ValueError, match="expected a vote in round 2, which is open, got one in round 2 of a review"):
        append_vote(review, vote_on(review.begin["gamma-des"], "cid", round=2))
    with pytest.raises(ValueError, match=r"expected round 2 of .*, which is open, got round 1"):
        merge_round(review)
    with pytest.raises(ValueError, match=r"expected votes in round 2 of .*, found none"):
        merge_round(open_review(folder))
    assert files(review.path) == before


def test_a_vote_that_comes_while_its_round_is_merged_is_refused_not_lost(review, vote_on, monkeypatch):
    late, comes = vote_on(review.begin["gamma-des"], "cid"), Event()
    with ThreadPoolExecutor() as pool:
        with lock_review(review.path):
            monkeypatch.setattr(round_files, "lock_review", lambda path: (comes.set(), lock_review(path))[1])
            saving = pool.submit(append_vote, review, late)
            assert comes.wait(60)
            write_round(review.path, 2, {"begin.jsonl": review.begin.values()})
        with pytest.raises(ValueError, match="expected a vote in round 2, which is open"):
            saving.result()
    assert read_votes(review.path, 1) == {}


def test_the_same_votes_give_the_same_bytes(built, tmp_path, vote_on):
    written = []
    for annotators in (["ann", "bob", "cid"], ["cid", "bob", "ann"]):
        review = open_review(Path(shutil.copytree(built, tmp_path / annotators[0] / "candidates")))
        for annotator in annotators:
            for begun in review.begin.values():
                append_vote(review, vote_on(begun, annotator, "rewrite", regions=begun.model_dump()["regions"][:1]))
        merge_round(review)
        written.append(files(review.path))
    assert written[0] == written[1]


def test_a_broken_vote_stops_the_merge_and_changes_nothing(review, vote_on):
    vote_in(review, vote_on)
    with (review.path / "round-1" / "votes" / "bob.jsonl").open("ab") as file:
        file.write(b'{"id": 7}\n')
    before = files(review.path)
    with pytest.raises(ValueError, match=r"bob\.jsonl line 4: "):
        merge_round(review)
    assert files(review.path) == before


def test_what_a_killed_merge_left_is_in_nobodys_way(review, folder, vote_on):
    vote_in(review, vote_on)
    left = review.path / ".round-2.partial"
    (left / "votes").mkdir(parents=True)
    (left / "votes" / "ann.jsonl").write_text("half")
    assert open_review(folder).round == 1
    merge_round(review)
    assert not left.exists()
    assert len(open_review(folder).begin) == 6
    assert read_votes(review.path, 2) == {}


MERGE = """
import sys
from pathlib import Path
from giqa_datasets.review.items import open_review
from giqa_datasets.review.merge import merge_round

review = open_review(Path(sys.argv[1]))
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
try:
    merge_round(review)
except ValueError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_of_two_merges_at_once_one_is_told_that_the_round_is_closed(review, folder, vote_on):
    vote_in(review, vote_on)
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    running = [subprocess.Popen([sys.executable, "-c", MERGE, str(folder)], text=True, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in running] == ["ready\n", "ready\n"]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=300)[1] for process in running)
    assert sorted(process.returncode for process in running) == [0, 1]
    assert said[0] == ""
    assert "which is open, got round 1" in said[1]
    assert open_review(folder).round == 2
