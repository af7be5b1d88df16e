import hashlib
import json
import signal
import subprocess
import sys
import textwrap
from io import BytesIO

import numpy as np
import pytest
from datasets import load_dataset
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from giqa_datasets.builders.giqa_bench import card_fields
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.files import fault_of
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.review.items import open_review
from giqa_datasets.review.round_files import MAX_LINE, to_line
from giqa_datasets.review.states import MAX_BOXES, MAX_TEXT, State, Vote, check_name, grounded_texts
from giqa_datasets.review.votes import append_vote, read_votes
from giqa_datasets.text import strip


NAN, INF = float("nan"), float("inf")
CAT = {"phrase": "cat", "role": "answer", "span": (2, 5), "boxes": [[0.1, 0.1, 0.5, 0.5]]}


def state(**changes):
    said = {
        "id": "alpha-des",
        "image": "0" * 64,
        "task": "des",
        "question_type": "des",
        "question": "What is there?",
        "answer": "A cat.",
        "regions": [CAT],
    }
    return json.dumps(said | changes)


def vote_file(review, annotator="ann"):
    return review.path / f"round-{review.round}" / "votes" / f"{annotator}.jsonl"


def run(script, *arguments, **options):
    """A process of its own that knows our package."""
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], **options)


def test_round_1_begins_with_the_rows_of_the_folder(review, folder):
    rows = list(load_dataset(str(folder), split="test"))
    assert list(review.begin) == [row["id"] for row in rows]
    for row, begun in zip(rows, review.begin.values(), strict=True):
        assert grounded_texts(begun) == (row["question"], row["answer"])
        exact = [(region["role"], region["phrase"], region["boxes"]) for region in row["regions"]]
        assert [(each.role, each.phrase, [list(box) for box in each.boxes]) for each in begun.regions] == exact
        assert begun.image == row["image_sha256"]
    assert review.round == 1


def test_every_image_of_the_folder_is_listed_with_its_samples(review):
    assert [(image.id, image.sample_ids) for image in review.images] == [
        ("alpha", ("alpha-des", "alpha-vqa-1", "alpha-vqa-2")),
        ("beta", ("beta-des", "beta-vqa-1")),
        ("gamma", ("gamma-des",)),
    ]
    for image in review.images:
        raw = review.image_bytes(image.sha256)
        assert hashlib.sha256(raw).hexdigest() == image.sha256
        assert Image.open(BytesIO(raw)).size == (image.width, image.height)


@pytest.mark.parametrize("sha256", ["", "0" * 64, "../candidates/README.md", "a" * 10_000])
def test_the_bytes_of_no_image_are_refused(review, sha256):
    with pytest.raises(ValueError, match="expected the sha256 of an image of the review"):
        review.image_bytes(sha256)


def test_a_review_that_is_there_is_opened_as_it_is(review, folder, vote_on):
    begin = review.path / "round-1" / "begin.jsonl"
    before = begin.read_bytes()
    append_vote(review, vote_on(review.begin["beta-des"], "ann"))
    again = open_review(folder)
    assert again == review
    assert begin.read_bytes() == before
    assert list(read_votes(again.path, 1)["ann"]) == ["beta-des"]


def made_of(folder, samples_of, photographs):
    """A data set folder of these pictures."""
    records = [
        Record(f"r{number}", photograph, "A cat.", "cc0-1.0", samples=tuple(samples_of(number)))
        for number, photograph in enumerate(photographs)
    ]

    def say(counts):
        return Provenance(fields=card_fields("giqa-bench", counts, None))

    build_folder(folder, "giqa-bench", {"test": records}, say, overwrite=folder.exists())


def plain_sample(number):
    return [Sample(f"s{number}", "des", "des", "What is there?", "A cat.")]


def drawn(level, sha256):
    out = BytesIO()
    Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(out, "PNG")
    return Photograph(out.getvalue(), 8, 6, sha256, "test", "cc0-1.0")


def test_two_pictures_of_one_original_are_refused(tmp_path):
    made_of(tmp_path / "set", plain_sample, [drawn(0, "a" * 64), drawn(255, "a" * 64)])
    with pytest.raises(ValueError, match="'s1': expected one picture of each image_sha256, got another one"):
        open_review(tmp_path / "set")
    assert not (tmp_path / "set.review").exists()


def test_a_folder_built_anew_without_an_image_is_refused(folder, review):
    made_of(folder, plain_sample, [drawn(0, "a" * 64)])
    with pytest.raises(ValueError, match=r"expected the image 'alpha', of which .*candidates\.review has samples"):
        open_review(folder)


def test_a_folder_that_changed_under_an_open_review_gives_no_other_image(folder, review):
    made_of(folder, plain_sample, [drawn(7, review.images[0].sha256)])
    with pytest.raises(ValueError, match="as it was when the review was opened"):
        review.image_bytes(review.images[0].sha256)


@pytest.mark.parametrize("name", ["README.md", "nothing"])
def test_what_is_no_data_set_folder_is_refused(folder, name):
    with pytest.raises(ValueError, match="expected shards of a data set, got none"):
        open_review(folder / name)


def test_images_keep_different_names_where_their_samples_ids_would_not(tmp_path):
    def samples_of(number):
        return [Sample(["a-des", "a-vqa-1"][number], "des", "des", "What is there?", "A cat.")]

    made_of(tmp_path / "set", samples_of, [drawn(0, "a" * 64), drawn(255, "b" * 64)])
    assert [image.id for image in open_review(tmp_path / "set").images] == ["a", "b" * 64]


def test_the_last_vote_on_a_sample_counts_and_all_stay(review, vote_on):
    begun = review.begin["beta-vqa-1"]
    for vote in [
        vote_on(begun, "ann", note="first"),
        vote_on(begun, "ann", "rewrite", answer="No.", regions=[]),
        vote_on(begun, "ann", "reject", note="last"),
        vote_on(begun, "bob"),
    ]:
        append_vote(review, vote)
    votes = read_votes(review.path, 1)
    assert {name: found["beta-vqa-1"].verdict for name, found in votes.items()} == {"ann": "reject", "bob": "accept"}
    notes = [json.loads(line)["note"] for line in vote_file(review).read_text().splitlines()]
    assert notes == ["first", "", "last"]


def test_a_vote_is_read_as_it_was_given(review, vote_on):
    odd = 'A "cat" \u2028 <script>alert(1)</script> \\ \0 猫 🐈'
    at = odd.index("猫")
    box = [0.1, np.nextafter(0.2, 1), 1 / 3, 1.0]
    own = {"phrase": "猫 🐈", "role": "answer", "span": (at, at + 3), "boxes": [box]}
    vote = vote_on(review.begin["alpha-des"], "ann", "rewrite", answer=odd, regions=[own], note=odd)
    append_vote(review, vote)
    assert read_votes(review.path, 1)["ann"]["alpha-des"] == vote
    assert vote.regions[0].boxes[0] == tuple(box)


@pytest.mark.parametrize(
    ("verdict", "changes", "fault"),
    [
        (
            "accept",
            {"answer": "No.", "regions": []},
            "expected 'rewrite' where texts or boxes were changed, got 'accept'",
        ),
        ("accept", {"regions": []}, "expected 'rewrite' where texts or boxes were changed, got 'accept'"),
        ("rewrite", {}, "expected 'accept' where nothing was changed, got 'rewrite'"),
        ("new", {}, "expected a verdict on a sample that was there before, got 'new'"),
        ("accept", {"image": "f" * 64}, "expected its own image and task"),
        ("reject", {"task": "vqa", "question_type": "why"}, "expected its own image and task"),
        ("accept", {"id": "alpha-vqa-9"}, "or a new one such as 'alpha-new-ann-1', got 'alpha-vqa-9'"),
        ("new", {"id": "alpha-new-bob-1"}, "or a new one such as 'alpha-new-ann-1', got 'alpha-new-bob-1'"),
        ("new", {"id": "beta-new-ann-1"}, "or a new one such as 'alpha-new-ann-1', got 'beta-new-ann-1'"),
        ("new", {"id": "alpha-new-ann-0"}, "or a new one such as 'alpha-new-ann-1', got 'alpha-new-ann-0'"),
        ("new", {"id": "alpha-new-ann-1/../x"}, "or a new one such as 'alpha-new-ann-1', got"),
        ("accept", {"id": "alpha-new-ann-1"}, "expected 'new', or 'reject' to withdraw it, got 'accept'"),
        ("new", {"id": "alpha-new-ann-1", "image": "f" * 64}, "expected an image of the review, got 'ffff"),
        ("accept", {"round": 2}, "expected a vote in round 1, which is open, got one in round 2"),
    ],
)
def test_a_vote_that_does_not_fit_its_round_is_refused_and_leaves_no_line(review, vote_on, verdict, changes, fault):
    vote = vote_on(review.begin["alpha-des"], "ann", verdict)
    vote = Vote.model_validate(vote.model_dump() | changes)
    with pytest.raises(ValueError, match=r"expected .*, got") as raised:
        append_vote(review, vote)
    assert fault in str(raised.value)
    assert read_votes(review.path, 1) == {}


def test_the_order_of_regions_and_boxes_changes_nothing(review, vote_on):
    begun = review.begin["alpha-des"]
    turned = [region.model_dump() | {"boxes": region.boxes[::-1]} for region in begun.regions[::-1]]
    assert turned != [region.model_dump() for region in begun.regions]
    append_vote(review, vote_on(begun, "ann", "accept", regions=turned))
    assert read_votes(review.path, 1)["ann"]["alpha-des"].verdict == "accept"


def test_a_sample_can_be_added_changed_and_withdrawn(review, vote_on):
    added = {"id": "gamma-new-ann-1", "answer": "Noise.", "regions": []}
    append_vote(review, vote_on(review.begin["gamma-des"], "ann", "new", **added))
    append_vote(review, vote_on(review.begin["gamma-des"], "ann", "new", **added | {"answer": "Much noise."}))
    assert read_votes(review.path, 1)["ann"]["gamma-new-ann-1"].answer == "Much noise."
    append_vote(review, vote_on(review.begin["gamma-des"], "ann", "reject", **added))
    assert read_votes(review.path, 1)["ann"]["gamma-new-ann-1"].verdict == "reject"


def boxed(*boxes):
    return {"regions": [CAT | {"boxes": list(boxes)}]}


HOSTILE = {
    "an array": "[]",
    "a number": "3",
    "null": "null",
    "half": state()[:-9],
    "deep": "[" * 100_000,
    "another key": state(path="/etc/passwd"),
    "an id that is a number": state(id=7),
    "an empty id": state(id=""),
    "an id that moves the cursor": state(id="\x1b[2J"),
    "an id of many letters": state(id="x" * 10_000),
    "an image that is a path": state(image="../" * 21 + "x"),
    "an unknown task": state(task="dance"),
    "a question type of the other task": state(question_type="why"),
    "no question": state(question="  "),
    "no answer": state(answer="", regions=[]),
    "an answer that is a list": state(answer=["A cat."]),
    "an answer that holds boxes": state(answer="A [cat](<1, 63>).", regions=[]),
    "an answer that half holds a box": state(answer="A cat (<1, 2>", regions=[]),
    "an answer that reads with its boxes alone": state(answer="[cat](35)", regions=[CAT | {"span": (1, 4)}]),
    "a long answer": state(answer="x" * (MAX_TEXT + 1), regions=[]),
    "half a surrogate pair": state(answer="\ud83d cat", regions=[]),
    "regions that are null": state(regions=None),
    "a region that is a string": state(regions=["cat"]),
    "a role that is none": state(regions=[CAT | {"role": "note"}]),
    "a phrase of another place": state(regions=[CAT | {"span": (0, 3)}]),
    "a span beyond the text": state(regions=[CAT | {"phrase": "cat.", "span": (2, 99)}]),
    "a phrase beyond the text": state(regions=[CAT | {"phrase": "cat.!", "span": (2, 7)}]),
    "a negative span": state(regions=[CAT | {"span": (-4, -1)}]),
    "a reversed span": state(regions=[CAT | {"span": (5, 2)}]),
    "a huge span": state(regions=[CAT | {"span": (10**400, 10**400 + 3)}]),
    "a span of fractions": state(regions=[CAT | {"span": (2.5, 5.5)}]),
    "a span of booleans": state(regions=[CAT | {"phrase": " ", "span": (True, 2)}]),
    "a blank phrase": state(regions=[CAT | {"phrase": " ", "span": (1, 2)}]),
    "an empty phrase": state(regions=[CAT | {"phrase": "", "span": (1, 1)}]),
    "phrases that overlap": state(regions=[CAT, CAT | {"phrase": "A cat", "span": (0, 5)}]),
    "the same phrase twice": state(regions=[CAT, CAT]),
    "a phrase with a bracket": state(answer="A c[t", regions=[CAT | {"phrase": "c[t"}]),
    "a region without boxes": state(regions=[CAT | {"boxes": []}]),
    "a box of NaN": state(**boxed([NAN, 0, 1, 1])),
    "an infinite box": state(**boxed([0, 0, 1, INF])),
    "a huge box": state(**boxed([0, 0, 1, 10**400])),
    "a box of strings": state(**boxed(["0", "0", "1", "1"])),
    "a box of booleans": state(**boxed([False, False, True, True])),
    "a box of three": state(**boxed([0, 0, 1])),
    "a box of five": state(**boxed([0, 0, 1, 1, 1])),
    "a box outside the image": state(**boxed([0, 0, 1.001, 1])),
    "a box left of the image": state(**boxed([-1e-9, 0, 1, 1])),
    "a reversed box": state(**boxed([0.5, 0, 0.1, 1])),
    "a box without width": state(**boxed([0.5, 0, 0.5, 1])),
    "a box without height": state(**boxed([0, 0.5, 1, 0.5 + 1e-12])),
    "too many boxes": state(**boxed(*[[0, 0, 1, 1]] * (MAX_BOXES + 1))),
    "too many boxes in all": state(
        answer="cat cat",
        regions=[CAT | {"span": span, "boxes": [[0, 0, 1, 1]] * 501} for span in ((0, 3), (4, 7))],
    ),
}


def test_the_sample_that_hostile_ones_are_made_of_is_fine():
    assert grounded_texts(State.model_validate_json(state())) == ("What is there?", "A [cat](<42, 189>).")


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_sample_is_refused_in_one_sentence(raw):
    with pytest.raises(ValidationError) as raised:
        State.model_validate_json(raw)
    said = fault_of(raised.value)
    assert "\n" not in said
    assert len(said) < 700
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "changes",
    [
        {"annotator": "../x"},
        {"annotator": ""},
        {"annotator": "ann\n"},
        {"annotator": "a b"},
        {"annotator": "änn"},
        {"annotator": "x" * 41},
        {"annotator": None},
        {"round": 0},
        {"round": "1"},
        {"round": True},
        {"round": 1.0},
        {"verdict": "maybe"},
        {"note": "x" * (MAX_TEXT + 1)},
        {"at": "yesterday"},
        {"at": "2026-01-31T12:00:00"},
        {"at": "2026-01-31T12:00:00+02:00"},
        {"at": "2026-02-31T12:00:00Z"},
        {"at": 1769860800},
    ],
    ids=str,
)
def test_a_hostile_vote_is_refused(review, vote_on, changes):
    said = vote_on(review.begin["alpha-des"], "ann").model_dump()
    with pytest.raises(ValidationError, match=next(iter(changes))):
        Vote.model_validate_json(json.dumps(said | changes))


@pytest.mark.parametrize("at", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"])
def test_a_time_in_utc_is_taken_in_both_forms(review, vote_on, at):
    assert vote_on(review.begin["alpha-des"], "ann", at=at).at == at


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "C:x", "", "a" * 41, "a\0b", "ann.jsonl"])
def test_a_name_that_could_be_no_file_is_refused(name):
    with pytest.raises(ValueError, match="expected a name of 1 to 40 letters, digits, - and _"):
        check_name(name)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\xff\xfe\n", "invalid JSON"),
        (b"{}\n", "id: field required"),
        (b"x" * 10_000_000 + b"\n", "expected at most 1,048,576 bytes"),
        (b'{"id": "' + b"x" * 10_000_000, "expected at most 1,048,576 bytes"),
        (("[" * 50_000 + "\n").encode(), "invalid JSON"),
    ],
    ids=["no UTF-8", "no vote", "10 MB", "10 MB without an end", "deep"],
)
def test_a_broken_line_is_named_by_file_and_number(review, vote_on, line, fault):
    append_vote(review, vote_on(review.begin["alpha-des"], "ann"))
    with vote_file(review).open("ab") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"ann\.jsonl line 2: ") as raised:
        read_votes(review.path, 1)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"annotator": "bob"}, "expected a vote by 'ann' of round 1, got one by 'bob' of round 1"),
        ({"round": 2}, "expected a vote by 'ann' of round 1, got one by 'ann' of round 2"),
        ({"id": "delta-des"}, "expected a sample of the round, or a new one such as 'alpha-new-ann-1'"),
        ({"answer": "No.", "regions": []}, "expected 'rewrite' where texts or boxes were changed"),
    ],
)
def test_a_foreign_vote_in_a_file_is_refused(review, vote_on, changes, fault):
    said = vote_on(review.begin["alpha-des"], "ann").model_dump() | changes
    vote_file(review).write_text(to_line(Vote.model_validate(said)), "utf-8")
    with pytest.raises(ValueError, match=r"ann\.jsonl line 1: ") as raised:
        read_votes(review.path, 1)
    assert fault in str(raised.value)


def test_a_sample_that_begins_a_round_twice_is_refused(review, folder):
    begin = review.path / "round-1" / "begin.jsonl"
    lines = begin.read_bytes().splitlines(keepends=True)
    begin.write_bytes(b"".join([*lines, lines[2]]))
    with pytest.raises(ValueError, match=r"begin\.jsonl line 7: expected unique ids, got 'alpha-vqa-2' twice"):
        open_review(folder)


def test_a_beginning_that_was_cut_short_is_refused(review, folder):
    begin = review.path / "round-1" / "begin.jsonl"
    begin.write_bytes(begin.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"begin\.jsonl line 6: invalid JSON"):
        open_review(folder)


@given(st.data())
def test_a_half_written_line_is_no_vote_and_is_cut_off_by_the_next(review, vote_on, data):
    first, second, third = (vote_on(begun, "ann", note="é") for begun in list(review.begin.values())[:3])
    raw = to_line(second).encode()
    cut = data.draw(st.integers(0, len(raw)))
    vote_file(review).write_bytes(to_line(first).encode() + raw[:cut])
    is_whole = cut >= len(raw) - 1  # without its end alone it is a vote, which is not to be lost
    before = [first, second] if is_whole else [first]
    assert list(read_votes(review.path, 1)["ann"].values()) == before
    append_vote(review, third)
    assert vote_file(review).read_text("utf-8") == "".join(map(to_line, [*before, third]))


def test_the_largest_vote_fits_a_line(review, vote_on):
    boxes = [[1 / 3, 1 / 7, 2 / 3, np.nextafter(0.7, 1)]]
    parts = ["\1" * 19 + "x"] * 1_000
    answer = "".join(parts)
    regions = [
        {"phrase": part, "role": "answer", "span": (20 * number, 20 * number + 20), "boxes": boxes}
        for number, part in enumerate(parts)
    ]
    filled = {"answer": answer, "question": answer, "note": answer, "regions": regions}
    vote = vote_on(review.begin["alpha-des"], "a" * 40, "rewrite", **filled)
    assert len(to_line(vote)) < MAX_LINE
    append_vote(review, vote)
    assert read_votes(review.path, 1)["a" * 40]["alpha-des"] == vote


@given(st.text(alphabet="[]()<>,0 5a", min_size=1, max_size=14), st.data())
@pytest.mark.slow
def test_text_that_reads_as_itself_takes_boxes_on_any_of_its_words(plain, data):
    assume(plain.strip() and strip(plain) == plain)
    starts = [k for k, letter in enumerate(plain) if letter not in "[] "]
    regions = [
        CAT | {"phrase": plain[k], "span": (k, k + 1)}
        for k in data.draw(st.lists(st.sampled_from(starts), unique=True) if starts else st.just([]))
    ]
    _, written = grounded_texts(State.model_validate_json(state(answer=plain, regions=regions)))
    assert strip(written) == plain


APPEND = """
    import sys
    from pathlib import Path
    from giqa_datasets.review.items import open_review
    from giqa_datasets.review.states import Vote
    from giqa_datasets.review.votes import append_vote

    folder, annotator, tab, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    review = open_review(folder)
    states = list(review.begin.values())
    for number in range(count):
        said = {"annotator": annotator, "round": 1, "verdict": "accept", "at": "2026-01-31T12:00:00Z"}
        state = states[number % len(states)].model_dump()
        append_vote(review, Vote.model_validate(state | said | {"note": f"{tab} {number}"}))
        print(number, flush=True)
"""


def noted(review, annotator):
    return [json.loads(line)["note"] for line in vote_file(review, annotator).read_text().splitlines()]


@pytest.mark.slow
def test_processes_that_append_at_once_lose_nothing(folder):
    """Two annotators, one of them in two tabs, on a folder whose review is opened by all three at once."""
    who = [("ann", "left", 60), ("ann", "right", 60), ("bob", "only", 60)]
    running = [run(APPEND, folder, *each, stdout=subprocess.DEVNULL) for each in who]
    assert [process.wait(300) for process in running] == [0, 0, 0]
    review = open_review(folder)
    assert sorted(noted(review, "ann")) == sorted(f"{tab} {k}" for tab in ("left", "right") for k in range(60))
    assert [note for note in noted(review, "ann") if note.startswith("left")] == [f"left {k}" for k in range(60)]
    assert noted(review, "bob") == [f"only {k}" for k in range(60)]
    assert {name: len(found) for name, found in read_votes(review.path, 1).items()} == {"ann": 6, "bob": 6}


def test_a_killed_process_loses_no_vote_that_was_saved(folder, vote_on):
    with run(APPEND, folder, "ann", "tab", 10**6, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    saved = [f"tab {int(line)}" for line in said if line.endswith("\n")]
    review = open_review(folder)
    read_votes(review.path, 1)
    append_vote(review, vote_on(review.begin["alpha-des"], "ann", note="later"))
    notes = noted(review, "ann")
    assert len(saved) >= 25
    assert notes[: len(saved)] == saved
    assert notes[-1] == "later"
    assert len(notes) - 1 - len(saved) in (0, 1)  # the one in hand may have been written, and not told
