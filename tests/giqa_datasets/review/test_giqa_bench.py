"""`giqa build giqa-bench`: what it says is missing, what its folder shows, and that a changed one is found out."""

import json
from collections import Counter

import pytest

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.giqa_bench import MINI, PAPER, Benchmark, Incomplete, read_benchmark, short_of
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder.columns import SplitCounts
from giqa_datasets.publish.dataset import hash_files
from giqa_datasets.review.items import open_review, review_path
from giqa_datasets.review.merge import merge_round
from giqa_datasets.review.rounds import Round, read_rounds
from giqa_datasets.review.votes import append_vote


OF_PAPER = {"des": 100, "yes_no": 90, "what": 30, "why": 18, "how": 12}
PEOPLE = ("ann", "ben", "cleo")


def counts(n_images, n_yes, **rows):
    files = {str(number): f"{number:064x}" for number in range(n_images)}
    return {"test": SplitCounts(Counter(rows), n_yes, files)}


@pytest.fixture
def voted(folder, vote_on):
    """Two rounds: three people accept all but a description that two of them write anew, and nobody adds a vote."""
    for number in (1, 2):
        review = open_review(folder)
        for name in PEOPLE:
            for state in review.begin.values():
                again = (name, state.id, number) in {("ann", "beta-des", 1), ("ben", "beta-des", 1)}
                changes = {"answer": "Nothing here but noise.", "regions": []} if again else {}
                append_vote(review, vote_on(state, name, "rewrite" if again else "accept", round=number, **changes))
        merge_round(review)
    return folder


@pytest.fixture
def draft(voted, tmp_path):
    out = tmp_path / "giqa-bench"
    built = build_set(SetRequest("giqa-bench", voted), out, tmp_path / "none", draft=True)
    return out, built.short


@pytest.fixture
def people(review):
    """A benchmark on which nothing but its numbers can be wrong."""
    votes = {name: dict.fromkeys(review.begin) for name in PEOPLE}
    return Benchmark([Round(review.begin, votes), Round(review.begin, {})], [])


def test_the_papers_composition_is_short_of_nothing(people):
    assert sum(OF_PAPER.values()) == PAPER["samples"]
    said = short_of("giqa-bench", counts(100, 35, **OF_PAPER), people)
    assert [sentence.split(":")[0] for sentence in said] == ["images"]  # --exclude is not given
    assert "--exclude with the folder of giqa-160k" in said[0]


@pytest.mark.parametrize("kind", OF_PAPER)
def test_a_sample_too_many_or_too_few_is_said(people, kind):
    for n in (-1, 1):
        said = short_of("giqa-bench", counts(100, 35, **OF_PAPER | {kind: OF_PAPER[kind] + n}), people)
        assert f"samples: expected 250, as in the paper, got {250 + n}" in said
        assert len(said) == 3


def test_yes_and_no_are_counted_apart(people):
    said = short_of("giqa-bench", counts(100, 36, **OF_PAPER), people)
    assert said[:2] == [
        "Yes/No, Yes: expected 35, as in the paper, got 36",
        "Yes/No, No: expected 55, as in the paper, got 54",
    ]


def test_the_mini_benchmark_needs_its_least_and_the_papers_balance(people):
    enough = {"des": MINI["descriptions"], "yes_no": 28, "what": 18}
    assert short_of("giqa-bench-mini", counts(24, 11, **enough), people) == []
    assert short_of("giqa-bench-mini", counts(24, 14, **enough), people) == [
        "Yes/No, Yes: expected 11 of 28, as in the paper, got 14"
    ]
    assert short_of("giqa-bench-mini", counts(23, 11, **enough), people) == ["images: expected 24 at least, got 23"]


def test_a_draft_says_what_its_people_have_not_done(draft):
    out, short = draft
    assert not [sentence for sentence in short if sentence.startswith(("annotators", "votes", "objects"))]
    assert "boxes: expected some in each sample, got none in 1: 'beta-des' first" in short
    card = (out / "README.md").read_text()
    assert card.count("**A draft**") == 1
    assert card.count("\n| boxes: expected some in each sample, got none in 1: 'beta-des' first |") == 1


def test_the_card_has_the_agreement_of_each_round(draft):
    card = (draft[0] / "README.md").read_text()
    rounds = dict(read_benchmark(draft[0]).agreements())
    assert list(rounds) == [1, 2]
    for number, found in rounds.items():
        assert f"\n| {number} | 3 | 6 | {found.mean_iou:.3f} | {found.matched_fraction:.3f} |" in card
    assert examine_dataset(draft[0]).findings == []


def test_without_draft_nothing_is_written(voted, tmp_path):
    with pytest.raises(Incomplete, match="giqa-bench is short of 10 things: images: expected 100"):
        build_set(SetRequest("giqa-bench", voted), tmp_path / "giqa-bench", tmp_path / "none")
    assert not (tmp_path / "giqa-bench").exists()


def test_votes_that_are_not_merged_are_said(voted, vote_on, tmp_path):
    review = open_review(voted)
    append_vote(review, vote_on(review.begin["alpha-des"], "ann", round=3))
    built = build_set(SetRequest("giqa-bench", voted), tmp_path / "set", tmp_path / "none", draft=True)
    assert "votes: expected all to be merged by giqa review --merge, got 1 new ones in round 3" in built.short


def test_a_photograph_of_an_excluded_set_is_left_out_and_the_set_is_named(voted, built, tmp_path):
    request = SetRequest("giqa-bench", voted, exclude=[built])
    with pytest.raises(ValueError, match=r"no sample was left for giqa-bench: most often source: excluded_image"):
        build_set(request, tmp_path / "set", tmp_path / "none", draft=True)


def test_a_folder_without_a_review_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"expected the rounds of a review in .*candidates.review, found none"):
        build_set(SetRequest("giqa-bench", folder), tmp_path / "set", tmp_path / "none", draft=True)
    with pytest.raises(ValueError, match="expected a data set folder that was reviewed with giqa review, got none"):
        build_set(SetRequest("giqa-bench"), tmp_path / "set", tmp_path / "none")


def test_a_round_that_does_not_follow_from_the_one_before_is_refused(voted):
    begin = review_path(voted) / "round-2" / "begin.jsonl"
    begin.write_text(begin.read_text().replace("Nothing here but noise.", "All is well."))
    for votes in (review_path(voted) / "round-2" / "votes").iterdir():
        votes.write_text(votes.read_text().replace("Nothing here but noise.", "All is well."))
    with pytest.raises(ValueError, match="round 2 to begin with the merger of the one before, but sample 'beta-des'"):
        read_rounds(review_path(voted))


def test_the_check_finds_a_vote_that_was_changed_afterwards(draft):
    votes = draft[0] / "provenance" / "review" / "round-1" / "votes" / "annotator-1.jsonl"
    lines = [json.loads(line) for line in votes.read_text().splitlines()]
    kept = [line for line in lines if line["id"] != "alpha-vqa-1"]
    votes.write_text("".join(json.dumps(line) + "\n" for line in kept))
    assert [finding.where for finding in examine_dataset(draft[0]).findings] == ["README.md"]
    votes.write_text(votes.read_text().replace('"annotator-1"', '"annotator-2"'))
    assert [finding.where for finding in examine_dataset(draft[0]).findings] == ["provenance"]


def test_the_rounds_are_published_with_it_and_nothing_else(draft):
    review = draft[0] / "provenance" / "review"
    published = set(hash_files(draft[0]))
    assert {f"provenance/review/round-2/votes/annotator-{number}.jsonl" for number in (1, 2, 3)} < published
    assert "provenance/review/round-3/begin.jsonl" in published
    (review / "round-1" / "notes.txt").write_text("Eve was late.")
    with pytest.raises(ValueError, match=r"and a review in provenance/ alone, got 'review/round-1/notes.txt'"):
        hash_files(draft[0])


def test_a_review_without_the_sets_that_it_was_compared_with_is_found(draft):
    (draft[0] / "provenance" / "compared.jsonl").unlink()
    (found,) = examine_dataset(draft[0]).findings
    assert "expected provenance/compared.jsonl beside provenance/review, found none" in found.what
