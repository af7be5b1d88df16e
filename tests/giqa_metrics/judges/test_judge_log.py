"""The log: a killed run goes on, a second one asks nothing, a third needs no server; and how steady a judge is."""

import json

import pytest

from giqa_metrics.judges import open_judge
from giqa_metrics.judges.judge import Case


def test_a_second_run_asks_nothing_and_leaves_the_log_as_it_is(judge, server, verdicts, log, score_by_prompt):
    scores = judge().judge(verdicts)
    assert scores == [0, 1, 2, 3, 4, 0]
    before = log.read_bytes()
    server.asked.clear()
    assert judge().judge(verdicts) == scores
    assert server.asked == []
    assert log.read_bytes() == before


def test_the_log_replays_without_a_server(judge, server, answer, verdicts, log, caplog):
    server.script = [answer(), answer("no idea"), answer(status=500)]
    scores = judge().judge(verdicts[:3])
    server.stop()
    before = log.read_bytes()
    replay = open_judge(model="m", log=log, replay=True)
    caplog.clear()
    assert replay.judge(verdicts[:4]) == [*scores, None] == [3, None, None, None]
    assert caplog.messages == ["2 of 2 calls to the judge failed: not in the log (2)"]
    assert replay.name == judge().name
    assert replay.settings == judge().settings
    assert log.read_bytes() == before


def test_the_score_of_a_replay_is_read_from_the_raw_reply(judge, verdicts, log, lines):
    judge().judge(verdicts[:1])
    line = lines()[0] | {"reply": "Score: 1", "score": 4}
    log.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert open_judge(model="m", log=log, replay=True).judge(verdicts[:1]) == [1]


def test_another_model_reads_nothing_of_the_log_and_the_same_file_holds_both(judge, server, verdicts, lines):
    for model in ("m", "n", "m"):
        judge(model=model).judge(verdicts)
    assert [line["model"] for line in lines()] == ["m"] * 6 + ["n"] * 6
    assert len(server.asked) == 12


def test_another_prompt_reads_nothing_of_the_log(judge, server, verdicts, lines):
    for names in ([], ["coverage.v1"], ["description.v1"], ["description.v2"]):
        judge(prompts=names).judge(verdicts[:1])
    assert [line["prompt"].partition("@")[0] for line in lines()] == [
        "description.v2",
        "coverage.v1",
        "description.v1",
    ]
    assert [len(asked.body["messages"]) for asked in server.asked] == [4, 4, 1]


JUDGE = """
import sys
from pathlib import Path
from giqa_metrics.judges.judge import Case
from giqa_metrics.judges import open_judge
batch = [Case("", "Reference.", f"Answer {k}.") for k in range(40)]
open_judge(model="m", base_url=sys.argv[1], log=Path(sys.argv[2]), concurrency=4).judge(batch)
"""


@pytest.mark.slow
@pytest.mark.parametrize("tail", [b"", b'{"key": "abc", "rep'], ids=["between lines", "in a line"])
def test_a_run_killed_midway_ends_with_the_same_scores_and_asks_only_what_is_missing(
    judge, kill, server, log, score_by_prompt, tail
):
    batch = [Case("", "Reference.", f"Answer {k}.") for k in range(40)]
    kill(log, 10, server.url, log, program=JUDGE)
    logged = {json.loads(line)["answer"] for line in log.open()}
    assert len(logged) == 10
    with log.open("ab") as file:
        file.write(tail)
    server.asked.clear()
    assert judge().judge(batch) == [k % 5 for k in range(40)]
    # A call of the killed process may come late, but for none of those
    assert not {verdict for verdict in logged for asked in server.asked if f'"{verdict}"' in asked.prompt}
    assert sorted(json.loads(line)["answer"] for line in log.open()) == sorted(verdict.answer for verdict in batch)


def test_a_run_that_the_server_ended_goes_on(judge, server, answer, verdicts, score_by_prompt, lines):
    server.script = [answer('{"score": 0}'), answer('{"score": 1}'), answer(status=401)]
    with pytest.raises(ConnectionError, match="HTTP 401"):
        judge().judge(verdicts)
    n_logged = len(lines())
    assert {"Answer 0.", "Answer 1."} <= {line["answer"] for line in lines()}
    server.asked.clear()
    assert judge().judge(verdicts) == [0, 1, 2, 3, 4, 0]
    assert len(server.asked) == 6 - n_logged


def test_an_interrupted_run_keeps_what_came_back_and_asks_no_more(judge, server, answer, verdicts, lines):
    server.rule = lambda asked: answer(sleep=1 if server.asked[1:] else 0)  # those after the first leave time to stop

    def interrupt(calls, total, what):
        assert total == 6
        yield next(iter(calls))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(progress=interrupt).judge(verdicts)
    assert 1 <= len(lines()) == len(server.asked) < 6


GOOD = {"key": "k", "reply": "3", "is_cut": False}
HOSTILE = {
    "no JSON": b"nonsense",
    "a number": b"3",
    "a list": b"[]",
    "no reply": json.dumps({"key": "k", "is_cut": False}).encode(),
    "a number for a reply": json.dumps(GOOD | {"reply": 3}).encode(),
    "a text for a truth": json.dumps(GOOD | {"is_cut": "false"}).encode(),
    "no text": b'{"key": "k", "is_cut": false, "reply": "\xff"}',
    "half a character": rb'{"key": "k", "is_cut": false, "reply": "\ud800"}',
    "deep": b"[" * 100_000,
    "zeros": b"\x00" * 20,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_line_that_is_no_reply_is_named_in_one_sentence(tmp_path, line):
    log = tmp_path / "judge.jsonl"
    log.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    with pytest.raises(
        ValueError, match=r"judge\.jsonl line 2: expected an object with the strings key and reply"
    ) as e:
        open_judge(log=log)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 400


def test_a_log_cut_off_anywhere_keeps_its_whole_lines(judge, verdicts, log):
    judge().judge(verdicts[:3])
    raw = log.read_bytes()
    for length in range(len(raw) + 1):
        log.write_bytes(raw[:length])
        assert judge().plan(verdicts[:3]).n_logged == raw[: length + 1].count(b"\n")  # a line may lack its end


def test_a_log_that_is_not_there_cannot_be_replayed(tmp_path):
    for log in (None, tmp_path / "judge.jsonl", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"^expected a judge's log to replay, found none at "):
            open_judge(log=log, replay=True)


def test_without_a_log_replies_stay_in_memory(judge, server, verdicts, tmp_path):
    asking = judge(log=None)
    assert asking.judge(verdicts) == asking.judge(verdicts) == [3] * 6
    assert len(server.asked) == 6
    assert list(tmp_path.iterdir()) == []


def test_the_plan_counts_calls_and_asks_nobody(judge, server, verdicts, log):
    asking = judge(repeats=2)
    plan = asking.plan(verdicts + verdicts[:2])
    assert (plan.n_calls, plan.n_logged) == (12, 0)
    assert (server.asked, log.exists()) == ([], False)
    judge().judge(verdicts[:4])
    n_bytes = sum(len(turn["content"].encode()) for asked in server.asked for turn in asked.body["messages"])
    assert judge().plan(verdicts[:4]) == (0, 4, 0)
    judge(model="n").judge(verdicts)
    again = judge(repeats=2).plan(verdicts)
    assert (again.n_calls, again.n_logged) == (8, 4)
    assert n_bytes / 4 <= judge(model="o").plan(verdicts[:4]).n_tokens - 4 * 8 <= n_bytes / 4 + 4


def test_a_plan_or_a_replay_leaves_half_a_line_where_it_is(judge, verdicts, log):
    judge().judge(verdicts[:2])
    half = log.read_bytes()[:-5]
    log.write_bytes(half)
    assert judge().plan(verdicts[:2])[:2] == (1, 1)
    assert open_judge(model="m", log=log, replay=True).judge(verdicts[:2]) == [3, None]
    assert log.read_bytes() == half


def test_a_plan_for_a_model_that_cannot_be_had_is_still_a_plan(verdicts):
    assert open_judge(model="nobody/nothing").plan(verdicts).n_calls == 6


def test_repeats_have_seeds_of_their_own_and_the_first_is_the_score(judge, server, answer, verdicts, log, lines):
    server.script = [answer(f'{{"score": {score}}}') for score in (4, 4, 1, 3, 3, 3)]
    asking = judge(repeats=3)
    assert asking.judge(verdicts[:2]) == [4, 3]
    assert [asked.body["seed"] for asked in server.asked] == [0, 1, 2, 0, 1, 2]
    assert [line["repeat"] for line in lines()] == [0, 1, 2, 0, 1, 2]
    assert len({line["key"] for line in lines()}) == 6
    assert asking.agreement() == {"identical": 0.5, "mean_difference": 1.0, "n_verdicts": 2, "n_left_out": 0}
    assert open_judge(model="m", log=log, repeats=3, replay=True).judge(verdicts[:2]) == [4, 3]
    assert judge(repeats=1).judge(verdicts[:2]) == [4, 3]
    assert judge(repeats=1).agreement() is None


def test_a_verdict_with_a_failed_repeat_says_nothing_about_agreement(judge, server, answer, verdicts):
    server.script = [answer(), answer("no idea"), answer(status=500), answer()]
    asking = judge(repeats=2)
    assert asking.agreement() == {"identical": None, "mean_difference": None, "n_verdicts": 0, "n_left_out": 0}
    assert asking.judge(verdicts[:2]) == [3, None]
    assert asking.judge(verdicts[2:3]) == [3]
    assert asking.agreement() == {"identical": 1.0, "mean_difference": 0.0, "n_verdicts": 1, "n_left_out": 2}


def test_what_held_no_score_is_asked_once_more_with_another_seed_and_the_log_keeps_both(
    judge, server, answer, verdicts, lines, log
):
    server.script = [answer("no idea"), answer('{"score": 1}'), answer("none")]
    assert judge().judge(verdicts[:3]) == [None, 1, None]
    server.asked.clear()
    server.script = [answer('{"score": 2}'), answer("again none")]
    asking = judge(ask_again=True)
    assert asking.plan(verdicts[:3])[:2] == (2, 3)
    assert asking.judge(verdicts[:3]) == [2, 1, None]
    assert [(asked.body["seed"], asked.body["temperature"] > 0) for asked in server.asked] == [(1000, True)] * 2
    assert [(line["answer"], line["attempt"], line["score"]) for line in lines()] == [
        ("Answer 0.", 0, None),
        ("Answer 1.", 0, 1),
        ("Answer 2.", 0, None),
        ("Answer 0.", 1, 2),
        ("Answer 2.", 1, None),
    ]
    assert judge(ask_again=True).judge(verdicts[:3]) == [2, 1, None]
    assert len(server.asked) == 2  # once
    assert judge().judge(verdicts[:3]) == [None, 1, None]
    assert judge().name != asking.name
    assert ",ask-again" in asking.name
    replay = open_judge(model="m", log=log, ask_again=True, replay=True)
    assert (replay.judge(verdicts[:3]), replay.name, replay.settings) == ([2, 1, None], asking.name, asking.settings)


def test_a_first_run_may_ask_again_at_once_and_a_fault_is_no_reply(judge, server, answer, verdicts, caplog):
    server.script = [answer("no idea"), answer(status=500), answer('{"score": 4}')]
    assert judge(ask_again=True).judge(verdicts[:2]) == [4, None]
    assert len(server.asked) == 3
    assert caplog.messages[0].startswith("1 of 3 calls to the judge failed: HTTP 500, ")


def test_progress_is_told_the_number_of_calls(judge, verdicts):
    seen = []

    def progress(calls, total, what):
        seen.append(total)
        return calls

    asking = judge(progress=progress)
    asking.judge(verdicts)
    asking.judge(verdicts)
    assert seen == [6]


def test_the_settings_are_json_and_open_the_same_judge(judge, verdicts, log):
    asking = judge(repeats=2)
    scores = asking.judge(verdicts)
    settings = json.loads(json.dumps(asking.settings))
    replay = open_judge(model=settings["model"], repeats=settings["repeats"], log=log, replay=True)
    assert (replay.judge(verdicts), replay.settings, replay.name) == (scores, settings, asking.name)
    assert replay.agreement() == asking.agreement()


def test_the_judge_costs_no_heavy_import(python, tmp_path):
    script = "import sys, giqa_metrics.judges; print(sorted({'openai', 'torch', 'transformers'} & set(sys.modules)))"
    assert python("-c", script, cwd=tmp_path).out == "[]\n"
