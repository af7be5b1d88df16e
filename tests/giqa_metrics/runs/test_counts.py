"""No silence: what was read of the answers is said, and a wrong declaration is hinted at."""

import json

import pytest

from giqa_datasets import Sizes, box_format, parse
from giqa_metrics.runs.counts import SizedReply, other_formats
from giqa_metrics.runs.files import read_summary
from giqa_metrics.runs.score import Options, score_run


QUICK = Options(similarity="exact", resamples=0)


@pytest.fixture
def spoken(bench_rows, make_run):
    """A run whose answers are the references, in another format."""

    def make(name: str):
        answers = {}
        for row in bench_rows:
            text = parse(row["answer"])
            sizes = Sizes((row["width"], row["height"]))
            answers[row["id"]] = box_format(name).write(text.plain, text.regions, sizes)
        return make_run(answers, name=name)

    return make


def test_a_wrong_declaration_is_a_count_a_hint_and_unread(giqa, bench, spoken):
    run = spoken("qwen2_vl")
    ran = giqa("score", run, "--data", bench, "--similarity", "exact", "--resamples", "0")
    assert ran.code == 0
    read = read_summary(run)[1]["read"]
    assert (read["boxes"], read["answers"]) == (0, 76)
    assert read["malformed"] == read["foreign"] > 0
    said = f"76 answers: 0 boxes read, {read['malformed']} malformed ({read['foreign']} foreign), "
    assert said in ran.out
    other = read["other_formats"]
    assert other["formats"] == ["qwen2_vl"]
    assert f"{other['answers']} of 76 answers read as qwen2_vl: --box-format qwen2_vl?" in ran.out
    assert ran.out.count("unread") == 10  # five scores of boxes, two tasks
    page = (run / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert f"with malformed boxes ({other['answers']})" in page
    assert "&lt;|box_start|&gt;" in page  # the raw reply


def test_what_is_read_as_declared_has_no_hint(giqa, bench, spoken):
    run = spoken("qwen2_vl")
    score_run(run, str(bench), options=QUICK._replace(box_format="qwen2_vl"))
    read = read_summary(run)[1]["read"]
    assert (read["malformed"], read["other_formats"]) == (0, None)
    assert read["boxes"] > 0


def test_thoughts_and_answers_without_a_box_are_counted(giqa, bench, bench_rows, make_run):
    first, second = [row["id"] for row in bench_rows if row["task"] == "des"][:2]
    run = make_run({first: "<think>A [dog](<0, 21>)?</think>Nothing.", second: "Nothing.<|im_end|>"})
    before = score_run(make_run(name="whole"), str(bench), options=QUICK)["read"]
    after = score_run(run, str(bench), options=QUICK)["read"]
    assert (after["thoughts_cut"], after["tokens_cut"]) == (1, 1)
    assert after["without_box"] == before["without_box"] + 2
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(row["giqa_grounding"]["n_thoughts_cut"] for row in rows) == 1


def test_formats_that_read_alike_are_all_named():
    text = 'A tower. {"bbox_2d": [100, 100, 300, 400], "label": "tower"}'
    replies = [SizedReply(text, Sizes((640, 480)))] * 3 + [SizedReply("No box.", Sizes((640, 480)))]
    found = other_formats(replies, "giqa")
    assert {"qwen3_vl", "qwen2_5_vl"} <= set(found["formats"])
    assert (found["answers"], found["looked_at"]) == (3, 4)
    assert other_formats(replies, "qwen3_vl") is None
