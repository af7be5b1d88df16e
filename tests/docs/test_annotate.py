"""docs/annotate.md, docs/review.md and docs/scale.md: what they say of one machine runs."""

import os

import pytest

from tests.hub.server import Hub
from tests.warm import path_with, warm


# What experts do on the page, here by a program: each moves a box, deletes one, and accepts the other samples
VOTES = """python - <<'END'
import json
from pathlib import Path

from giqa_datasets.review.items import open_review


open_review(Path("giqa-bench-mini"))
rounds = Path("giqa-bench-mini.review/round-1")
for name in ("ann", "bob"):
    said = {"annotator": name, "round": 1, "verdict": "accept", "note": "", "at": "2026-01-31T12:00:00Z"}
    votes = [json.loads(line) | said for line in (rounds / "begin.jsonl").read_text().splitlines()]
    first, second, *_ = (vote for vote in votes if len(vote["regions"]) > 1)
    first["regions"][0]["boxes"][0][2] -= 0.05
    second["regions"].pop()
    first["verdict"] = second["verdict"] = "rewrite"
    (rounds / "votes").mkdir(exist_ok=True)
    (rounds / "votes" / f"{name}.jsonl").write_text("".join(json.dumps(vote) + "\\n" for vote in votes))
END
#"""


# The cup's box pulled down, in its questions too, and a box for the spoon
CORRECTED = """python - <<'END'
from pathlib import Path

from giqa_datasets.review.items import open_review
from giqa_datasets.review.states import Vote
from giqa_datasets.review.votes import append_vote


CUP, SPOON = [0.288, 0.043, 0.682, 0.77], [0.53, 0.60, 0.68, 0.81]
review = open_review(Path("my-set"))
for state in (state for name, state in review.begin.items() if name.startswith("coffee-")):
    said = state.model_dump()
    said["regions"] = [region | {"boxes": [CUP]} for region in said["regions"]]
    if state.task == "des":
        begin = state.answer.index("spoon")
        span = {"span": (begin, begin + len("spoon"))}
        said["regions"].append({"phrase": "spoon", "role": "answer", "boxes": [SPOON]} | span)
    vote = {"annotator": "me", "round": 1, "verdict": "rewrite", "note": "", "at": "2026-01-31T12:00:00Z"}
    append_vote(review, Vote.model_validate(said | vote))
END
#"""


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.stop()


@pytest.mark.slow
def test_annotate_runs_as_it_stands_but_for_the_hand_on_the_mouse(run_page, hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    env = hub.environ(home)
    with warm(home / "bin", env) as programs:
        work = run_page("annotate.md", {"giqa review my-set": CORRECTED}, env | {"PATH": programs})
    assert (work / "my-set.annotations" / "explain" / "coffee-37290d74.png").is_file()
    card = hub.files("datasets/me/my-set")["README.md"].decode()
    assert "| me | 0 | 4 | 0 | 0 |" in card
    assert "language_creators" not in card
    assert (work / "tiny-llava-sft" / "model.safetensors").is_file()


@pytest.mark.slow
def test_review_runs_with_votes_of_a_program(run_page):
    work = run_page("review.md", {"giqa review giqa-bench-mini   ": VOTES})
    assert (work / "giqa-bench-mini.review" / "round-2" / "merge.jsonl").is_file()


@pytest.mark.slow
def test_scale_runs_on_one_machine_and_prints_with_ray_what_it_prints_without(run_page):
    command, few = "giqa annotate giqa-mini", "--limit 4 --out made > said"
    here = {
        f"{command}  ": f"mkdir one ray; cd one; {command} {few}; ",
        f"{command} --engine ray": f"cd ../ray; {command} --engine ray {few}",
    }
    work = run_page("scale.md", here, os.environ | {"PATH": path_with()})
    for name in ("said", "made/records.jsonl", "made/drops.jsonl", "made/funnel.json"):
        assert (work / "one" / name).read_bytes() == (work / "ray" / name).read_bytes()
