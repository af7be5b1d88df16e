"""`giqa review --agreement` and `--merge`, and the page as the command serves it."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from giqa_datasets.review.items import open_review
from giqa_datasets.review.votes import append_vote
from giqa_metrics.cli import commands


@pytest.fixture
def giqa(folder):
    """Run the command on the folder: its output."""

    def run(*options):
        done = CliRunner().invoke(commands, ["review", str(folder), *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture
def voted(review, vote_on):
    """Three annotators accept everything, but for one who moves a box and one who rejects a sample."""
    for name in ("ann", "ben", "eve"):
        for state in review.begin.values():
            if (name, state.id) == ("ben", "beta-des"):
                region, *others = state.model_dump()["regions"]
                moved = [region | {"boxes": [[0.25, 0.25, 0.75, 0.7]]}, *others]
                vote = vote_on(state, name, "rewrite", regions=moved)
            else:
                vote = vote_on(state, name, "reject" if (name, state.id) == ("eve", "gamma-des") else "accept")
            append_vote(review, vote)
    return review


def test_agreement_is_printed_with_what_to_discuss(voted, giqa):
    said = giqa("--agreement")
    found = json.loads(giqa("--agreement", "--format", "json"))
    assert re.search(r"annotators +3 *\n", said)
    assert f"{found['mean_iou']:.3f}" in said
    assert 0.9 < found["mean_iou"] < 1
    assert "gamma-des: verdicts differ" in said
    assert said.endswith("to discuss: 2 samples\nvotes: ann 6, ben 6, eve 6\n")


def test_what_became_of_the_boxes_is_printed_and_who_voted(voted, giqa):
    said = giqa("--corrections")
    lines = [line.split() for line in said.splitlines()]
    for row in ("ann 6 0 0 0", "ben 5 1 0 0", "eve 5 0 1 0"):  # accept, rewrite, reject, new
        assert row.split() in lines
    found = json.loads(giqa("--corrections", "--format", "json"))
    n_boxes = sum(len(region.boxes) for state in voted.begin.values() for region in state.regions)
    whole = {"question_type": "all", "samples": 6, "rejected": 0, "boxes": n_boxes, "kept": n_boxes}
    assert found["tallies"][-1] == whole | {"moved": 0, "added": 0}  # of three, one who moves a box moves nothing


def test_a_merger_closes_the_round_and_begins_the_next(voted, giqa, folder):
    votes = {path: path.read_bytes() for path in voted.path.rglob("votes/*")}
    assert "round 1 is closed, round 2 begins: 6 samples (most 6)" in giqa("--merge")
    again = open_review(folder)
    assert again.round == 2
    assert again.begin == voted.begin
    assert {path: path.read_bytes() for path in votes} == votes
    assert re.search(r"samples with two votes or more +0 *\n", giqa("--agreement"))


def test_only_one_thing_at_once(folder):
    done = CliRunner().invoke(commands, ["review", str(folder), "--agreement", "--merge"])
    assert "got more than one" in str(done.exception)


@pytest.mark.slow
def test_agreement_counts_a_vote_that_the_running_page_saved_a_moment_ago(review, vote_on, folder, giqa):
    command = [sys.executable, "-m", "giqa_metrics.cli", "review", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())[0]
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.addheaders = [("Origin", address)]
        for annotator in ("ann", "bob"):
            browser.open(f"{address}/api/claim", json.dumps({"annotator": annotator}).encode())
            vote = vote_on(review.begin["alpha-des"], annotator).model_dump_json(exclude={"at"}).encode()
            browser.open(f"{address}/api/votes", vote)
            said = giqa("--agreement")
            assert said.endswith("votes: ann 1\n" if annotator == "ann" else "votes: ann 1, bob 1\n")
        assert re.search(r"samples with two votes or more +1 *\n", said)
        server.terminate()


@pytest.mark.slow
def test_the_page_is_served_where_the_command_says(folder):
    command = [sys.executable, "-m", "giqa_metrics.cli", "review", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stderr.readline())[0]
        with urllib.request.urlopen(address) as page:
            assert b"GIQA review" in page.read()
        server.terminate()
