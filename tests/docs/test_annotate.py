"""docs/annotate.md, docs/review.md and docs/scale.md: what they say of one machine runs."""

import pytest


# What experts do on the page, here by a program: each accepts what is there
VOTES = """python - <<'END'
import json
from pathlib import Path

from giqa_datasets.review.items import open_review


open_review(Path("giqa-bench-mini"))
rounds = Path("giqa-bench-mini.review/round-1")
for name in ("ann", "bob"):
    said = {"annotator": name, "round": 1, "verdict": "accept", "note": "", "at": "2026-01-31T12:00:00Z"}
    votes = [json.dumps(json.loads(line) | said) for line in (rounds / "begin.jsonl").read_text().splitlines()]
    (rounds / "votes").mkdir(exist_ok=True)
    (rounds / "votes" / f"{name}.jsonl").write_text("\\n".join(votes) + "\\n")
END
#"""


@pytest.mark.slow
def test_annotate_runs_as_it_stands(run_page):
    work = run_page("annotate.md")
    assert (work / "my-set.annotations" / "explain" / "cat-77af778b.png").is_file()


@pytest.mark.slow
def test_review_runs_with_votes_of_a_program(run_page):
    work = run_page("review.md", {"giqa review giqa-bench-mini   ": VOTES})
    assert (work / "giqa-bench-mini.review" / "round-2" / "merge.jsonl").is_file()


@pytest.mark.slow
def test_scale_runs_on_one_machine_with_two_photographs(run_page):
    work = run_page(
        "scale.md",
        {
            "giqa annotate giqa-mini  ": "giqa annotate giqa-mini --limit 2 --out one ",
            "--engine ray": "--engine ray --limit 2 --out ray ",
        },
        cold=True,
    )
    for name in ("records.jsonl", "drops.jsonl", "funnel.json"):
        assert (work / "one" / name).read_bytes() == (work / "ray" / name).read_bytes()
