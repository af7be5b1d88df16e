"""`giqa score` with a judge behind a server: what it asks, writes and says, and what a fault costs."""

import json
import socket
from html import unescape
from math import ceil
from pathlib import Path

import pytest
import yaml

from giqa_datasets import strip
from giqa_metrics.judges import DEFAULT_MODEL
from giqa_metrics.judges.logged_judge import BYTES_PER_TOKEN, REPLY_TOKENS
from giqa_metrics.runs.table import NOT_COMPARABLE


pytestmark = pytest.mark.slow


LIMIT = 24
QUICK = ("--similarity", "exact", "--resamples", 20)


@pytest.fixture
def run(bench, bench_rows, tmp_path) -> Path:
    """A run over the first samples of the mini benchmark, every description cut to its first sentence."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"model": "me", "data": str(bench), "config": None, "split": "test", "limit": LIMIT}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = [
        json.dumps({"id": row["id"], "prediction": row["answer"].split(".")[0] + "."}) + "\n"
        for row in bench_rows[:LIMIT]
    ]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def log(run) -> Path:
    return run / "judge.jsonl"


@pytest.fixture
def score(giqa, server, run):
    """Score the run with the scripted server as its judge: more arguments to what the command did."""
    return lambda *more: giqa("score", run, *QUICK, "--judge", "m", "--judge-url", server.url, *more)


@pytest.fixture
def opinionated(server, answer):
    """A judge whose score depends on what it is asked and on the seed."""

    def rule(asked):
        total = sum(asked.prompt.encode())
        return answer(json.dumps({"score": total % 4 + (total % 3 == 0) * asked.body["seed"] % 2}))

    server.rule = rule


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text(encoding="utf-8"))


def said(out: str) -> str:
    return " ".join(out.split())


def test_a_judge_gives_the_scores_that_only_it_can_give(score, run, lines, server, opinionated, bench_rows):
    ran = score()
    assert ran.code == 0, ran.err
    summary = summary_of(run)
    description, answers = summary["des"]["giqa_description"], summary["vqa"]["giqa_vqa"]
    opened = [row for row in bench_rows[:LIMIT] if row["question_type"] not in ("des", "yes_no")]
    replies = {(line["reference"], line["answer"]): line["score"] for line in lines() if line["question"] == ""}
    truths = [strip(row["answer"]) for row in bench_rows[:LIMIT] if row["question_type"] == "des"]
    own = [replies[truth, truth.split(".")[0] + "."] for truth in truths]
    assert description["llm_score"] == pytest.approx(100 * sum(own) / (4 * len(own)))
    for name in ("constant description", "answers of other photographs"):
        blind = summary["des"]["baselines"][name]["giqa_description"]
        assert 0 < blind["llm_score"] < 100
        assert blind["signature"].endswith(description["signature"].partition("|bleu:")[2])
    assert 0 < answers["accuracy_open"] < 1
    assert answers["n_open"] == len(opened)
    assert answers["accuracy"] is not None
    blind = summary["vqa"]["baselines"]["most frequent answer"]["giqa_vqa"]
    assert 0 <= blind["accuracy_open"] <= 1
    for result in (description, answers, blind):
        assert "|judge:m@" in result["signature"]
        assert result["n_judge_failures"] == 0
    assert len(description["intervals"]["llm_score"]) == len(answers["intervals"]["accuracy_open"]) == 2
    assert summary["settings"]["judge"]["model"] == "m"
    assert summary["judge_agreement"] is None
    assert "Acc (W) by question type" in ran.out
    assert (run / "report.html").read_text(encoding="utf-8").count("Acc (W) by question type") == 1


def test_no_number_of_the_printed_tables_is_cut_off(score, opinionated):
    ran = score("--resamples", 100)
    assert "\u2026" not in ran.out
    assert "Acc (Total)" in ran.out


def test_every_reply_is_in_the_log_and_no_box_and_no_yes_no_question_was_asked(score, server, lines, opinionated):
    score()
    assert len(lines()) == len(server.asked) > 0
    assert {line["score"] for line in lines()} > {0}
    assert not any("(<" in asked.prompt for asked in server.asked)
    assert not any(line["reference"] in ("Yes.", "No.") for line in lines())


def test_a_second_run_makes_no_request_and_gives_the_same_bytes(score, server, run, opinionated):
    score()
    names = ("summary.json", "scores.jsonl", "report.html", "judge.jsonl")
    before = [(run / name).read_bytes() for name in names]
    server.asked.clear()
    assert score().code == 0
    assert server.asked == []
    assert [(run / name).read_bytes() for name in names] == before


def test_another_folder_takes_the_log_too(giqa, score, run, tmp_path):
    assert score("--out", tmp_path / "out").code == 0
    assert {path.name for path in run.iterdir()} == {"config.yaml", "predictions.jsonl"}
    names = {"judge.jsonl", "report.html", "scores.jsonl", "summary.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_a_dry_run_asks_nobody_writes_nothing_and_prints_what_is_then_asked(score, server, run, lines, opinionated):
    before = {path: path.read_bytes() for path in run.iterdir()}
    ran = score("--dry-run", "--repeats", 2)
    assert (ran.code, ran.err) == (0, "")
    assert server.asked == []
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    plan = json.loads(ran.out)
    assert score("--repeats", 2).code == 0
    prompts = ["".join(turn["content"] for turn in asked.body["messages"]) for asked in server.asked]
    tokens = sum(ceil(len(prompt.encode()) / BYTES_PER_TOKEN) + REPLY_TOKENS for prompt in prompts)
    assert plan == {"n_calls": len(prompts), "n_logged": 0, "n_tokens": tokens}
    again = json.loads(score("--dry-run", "--repeats", 2).out)
    assert again == {"n_calls": 0, "n_logged": len(prompts), "n_tokens": 0}


def test_a_dry_run_counts_what_half_a_log_leaves_to_ask(score, server, log, opinionated):
    score()
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(whole[:5]))
    plan = json.loads(score("--dry-run").out)
    server.asked.clear()
    assert score().code == 0
    assert (plan["n_logged"], plan["n_calls"]) == (5, len(server.asked)) == (5, len(whole) - 5)


def test_a_dry_run_without_a_named_judge_is_for_the_default_one_and_loads_nothing(giqa, run):
    ran = giqa("score", run, "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["n_calls"] > 0
    assert {path.name for path in run.iterdir()} == {"config.yaml", "predictions.jsonl"}


@pytest.mark.slow
def test_repeats_put_the_judges_agreement_with_itself_into_the_summary(score, server, run, lines, opinionated):
    assert score("--repeats", 3).code == 0
    agreement = summary_of(run)["judge_agreement"]
    verdicts = {}
    for line in lines():
        verdicts.setdefault((line["question"], line["reference"], line["answer"]), []).append(line["score"])
    assert {len(scores) for scores in verdicts.values()} == {3}
    assert agreement["n_verdicts"] == len(verdicts)
    assert agreement["n_left_out"] == 0
    assert agreement["identical"] == sum(len({*scores}) == 1 for scores in verdicts.values()) / len(verdicts)
    assert 0 < agreement["identical"] < 1
    assert 0 < agreement["mean_difference"] < 1


def test_repeats_do_not_change_the_scores(score, run, opinionated):
    score()
    once = summary_of(run)
    score("--repeats", 3)
    often = summary_of(run)
    assert {name: often[name] for name in ("des", "vqa")} == {name: once[name] for name in ("des", "vqa")}


@pytest.mark.slow
def test_a_judge_that_cannot_be_reached_is_one_sentence_and_earlier_results_stay(giqa, run):
    giqa("score", run, *QUICK)
    before = {path: path.read_bytes() for path in run.iterdir()}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        ran = giqa("score", run, *QUICK, "--judge", "m", "--judge-url", url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(f"giqa: judge at {url} cannot be reached: ")
    assert "Traceback" not in ran.err
    assert {path: path.read_bytes() for path in before} == before


def test_a_judge_that_refuses_the_key_is_one_sentence_and_nothing_is_written(score, server, answer, run):
    server.rule = lambda asked: answer(status=401)
    ran = score()
    assert (ran.code, ran.out) == (2, "")
    assert "refuses every call for model 'm': HTTP 401" in ran.err.splitlines()[-1]
    assert {path.name for path in run.iterdir()} <= {"config.yaml", "predictions.jsonl", "judge.jsonl"}


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://me:secret@host/v1"])
def test_an_address_that_is_none_is_one_sentence(giqa, run, url):
    ran = giqa("score", run, *QUICK, "--judge", "m", "--judge-url", url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("giqa: expected a judge's address")
    assert ran.err.count("\n") == 1
    assert "secret" not in ran.err
    assert {path.name for path in run.iterdir()} == {"config.yaml", "predictions.jsonl"}


def test_a_judge_that_answers_prose_gives_no_score_and_that_is_said(score, server, answer, run):
    server.rule = lambda asked: answer("I liked it very much.")
    ran = score()
    assert ran.code == 0, ran.err
    summary = summary_of(run)
    description, answers = summary["des"]["giqa_description"], summary["vqa"]["giqa_vqa"]
    assert (description["llm_score"], description["n_judge_failures"]) == (None, description["n_samples"])
    assert (answers["accuracy_open"], answers["accuracy"]) == (None, None)
    assert answers["n_judge_failures"] == answers["n_open"] > 0
    assert answers["accuracy_yes_no"] is not None
    assert description["intervals"]["llm_score"] is None
    page = said((run / "report.html").read_text(encoding="utf-8"))
    for count in (description["n_judge_failures"], answers["n_judge_failures"]):
        note = f"The judge gave no score for {count} answers; they are left out."
        assert note in said(ran.out)
        assert note in page
    assert "Acc (W) by question type" not in ran.out


def test_a_call_that_fails_costs_its_answer_and_the_same_command_makes_it_again(score, server, answer, run, log):
    refused = []

    def rule(asked):
        refused.extend([asked.prompt] if not refused else [])
        return answer(status=400, body=b"flagged") if asked.prompt == refused[0] else answer('{"score": 4}')

    server.rule = rule
    ran = score("--format", "json")
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "1 calls to the judge failed; the same command makes them again"
    summary = summary_of(run)
    parts = (summary["des"]["giqa_description"], summary["vqa"]["giqa_vqa"])
    assert sum(part["n_judge_failures"] for part in parts) == 1
    n_calls = len(log.read_text(encoding="utf-8").splitlines()) + 1
    server.asked.clear()
    server.rule = lambda asked: answer('{"score": 4}')
    assert score().code == 0
    assert [asked.prompt for asked in server.asked] == refused
    assert len(log.read_text(encoding="utf-8").splitlines()) == n_calls


def test_half_a_judge_counts_what_it_left_out(score, server, answer, run):
    server.rule = lambda asked: answer('{"score": 4}' if sum(asked.prompt.encode()) % 2 else "No idea.")
    assert score().code == 0
    summary = summary_of(run)
    for result, name, count in (
        (summary["des"]["giqa_description"], "llm_score", "n_samples"),
        (summary["vqa"]["giqa_vqa"], "accuracy_open", "n_open"),
    ):
        assert result["n_judge_failures"] > 0
        assert result["n_judged"] + result["n_judge_failures"] == result[count]
        if result["n_judged"] >= result["n_judge_failures"]:
            assert result[name] in (1, 100)
        else:
            assert result[name] is None


@pytest.mark.parametrize(("model", "is_said"), [("Qwen/Qwen3-8B", True), (DEFAULT_MODEL, False)])
def test_a_judge_that_does_not_compare_is_said_to_be_so(giqa, server, run, model, is_said):
    ran = giqa("score", run, *QUICK, "--judge", model, "--judge-url", server.url)
    assert ran.code == 0, ran.err
    page = unescape((run / "report.html").read_text(encoding="utf-8"))
    assert (said(NOT_COMPARABLE) in said(ran.out), NOT_COMPARABLE in page) == (is_said, is_said)


def test_an_address_alone_asks_for_the_default_judge(giqa, server, run):
    assert giqa("score", run, *QUICK, "--judge-url", server.url).code == 0
    assert {asked.body["model"] for asked in server.asked} == {DEFAULT_MODEL}


def test_a_judged_run_is_checked_and_compared_without_its_server(giqa, score, server, run, log, opinionated):
    score("--repeats", 2)
    server.stop()
    assert giqa("check", run).code == 0
    assert giqa("compare", run, run, "--resamples", 10).code == 0
    assert server.asked
    log.unlink()
    ran = giqa("check", run)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "judge.jsonl" in ran.err


def test_a_log_that_is_broken_is_one_sentence_and_nobody_is_asked(score, server, log):
    log.write_text('{"key": 3}\n', encoding="utf-8")
    ran = score()
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "judge.jsonl line 1" in ran.err
    assert server.asked == []


def test_what_was_asked_again_counts_and_is_checked(giqa, score, server, answer, run):
    server.rule = lambda asked: answer('{"score": 4}' if asked.body["seed"] else "No idea.")
    assert score().code == 0
    assert summary_of(run)["des"]["giqa_description"]["llm_score"] is None
    server.asked.clear()
    plan = json.loads(score("--dry-run", "--ask-again").out)
    assert score("--ask-again").code == 0
    assert plan["n_calls"] == plan["n_logged"] == len(server.asked) > 0
    result = summary_of(run)["des"]["giqa_description"]
    assert (result["llm_score"], result["n_judged"], result["n_judge_failures"]) == (100, result["n_samples"], 0)
    assert ",ask-again" in result["signature"]
    server.stop()
    assert giqa("check", run).code == 0


def test_another_prompt_is_another_judge(giqa, score, server, run, lines):
    assert score("--judge-prompt", "coverage.v1").code == 0
    assert {line["prompt"].partition("@")[0] for line in lines()} == {"coverage.v1", "answer.v2"}
    assert giqa("check", run).code == 0
    ran = score("--judge-prompt", "coverage")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("giqa: expected a judge's prompt out of ['answer.v1', ")
