"""No silence: what was read of the answers is said, and a wrong declaration is hinted at."""

import json

import pytest

from giqa_datasets import Sizes, box_format, parse
from giqa_metrics import giqa_grounding
from giqa_metrics.publish.results import _results
from giqa_metrics.runs.counts import SizedReply, other_formats, sentences
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
    assert {result.key for result in _results(read_summary(run)[1], "me/model")} == {"bleu4", "accuracy_yes_no"}
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


NOTHING = [None, "", " \n", "<think>A [dog](<0, 21>)?</think>", "<think>never ends", "</think><|im_end|>"]


def test_no_answer_is_one_thing_however_it_is_written(giqa, bench, bench_rows, make_run):
    silent = [row["id"] for row in bench_rows if row["question_type"] == "yes_no"][: len(NOTHING)]
    box, *_ = [row["id"] for row in bench_rows if row["task"] == "des"]
    run = make_run({**dict(zip(silent, NOTHING, strict=True)), box: "[1, 2, 30, 40]"})
    ran = giqa("score", run, "--data", bench, "--similarity", "exact", "--resamples", "0")
    assert f"{76 - len(NOTHING)} answers: " in ran.out
    assert f"{len(NOTHING)} samples got no answer, and count as answered by nothing" in ran.out
    assert read_summary(run)[1]["read"]["foreign"] == 1
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [row["giqa_vqa"] for row in rows if row["id"] in silent]
    assert [row["n_unreadable"] for row in kept] == [1] * len(NOTHING)
    assert kept == kept[:1] * len(NOTHING)


def test_broken_boxes_of_references_are_counted_and_said():
    references = ["The [cup](<3, and a [hat](<9, 3>)", "[cup](<3, 254>)"]
    scores = giqa_grounding(["[cup](<3, 254>)"] * 2, references, similarity="exact")
    assert (scores["n_malformed_reference"], scores["n_counted"], scores["miou"]) == (2, 1, 1.0)
    read = dict.fromkeys(["answers", "boxes", "malformed", "foreign", "without_box", "thoughts_cut", "no_answer"], 0)
    said = sentences(read | {"malformed_references": 2, "sizes": None, "other_formats": None})
    assert said[1:] == ["2 boxes of references cannot be read, and are left out"]


def test_compare_says_unread_where_the_table_does(giqa, bench, spoken, make_run):
    run, whole = spoken("qwen2_vl"), make_run(name="whole")
    for folder in (run, whole):
        score_run(folder, str(bench), options=QUICK)
    ran = giqa("compare", whole, run, "--resamples", 5)
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines() if line.strip().startswith(("des ", "vqa "))]
    unread = [row for row in rows if "unread" in row]
    assert len(unread) == 12
    assert all(row[3:] == ["unread", *"----"] for row in unread)
    (bleu,) = [row for row in rows if row[1] == "bleu4"]
    assert len(bleu) > 6
    first = json.loads(giqa("compare", whole, run, "--resamples", 5, "--format", "json").out)[0]
    assert (first["score"], first["b"], first["difference"], first["p_holm"]) == ("miou", "unread", None, None)


def test_formats_that_read_alike_are_all_named():
    text = 'A tower. {"bbox_2d": [100, 100, 300, 400], "label": "tower"}'
    replies = [SizedReply(text, Sizes((640, 480)))] * 3 + [SizedReply("No box.", Sizes((640, 480)))]
    found = other_formats(replies, "giqa")
    assert {"qwen3_vl", "qwen2_5_vl"} <= set(found["formats"])
    assert (found["answers"], found["looked_at"]) == (3, 4)
    assert other_formats(replies, "qwen3_vl") is None
