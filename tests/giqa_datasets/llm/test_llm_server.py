"""A language model behind a server: what it is sent, and every fault as a fault of its own request."""

import gzip
import itertools
import json
import re
import sys
import threading

import pytest

from giqa_datasets.llm import DEFAULT_MODEL, ChatTurn, Fault, Reply, Request, Schema, ask_all, open_llm


pytestmark = pytest.mark.slow


SCHEMA = Schema("cups", {"type": "object"})
ASK = [Request(f"Question {k}.", k, 64, SCHEMA) for k in range(6)]
QUICK = {"retry-after-ms": "1"}


@pytest.fixture
def echo(server, answer):
    """Let the server say what it was asked."""
    server.rule = lambda asked: answer(asked.prompt)


def test_a_request_is_greedy_and_carries_what_it_was_given(llm, server, echo):
    assert ask_all(llm(), ASK[3:4]) == [Reply("Question 3.", False)]
    body = server.asked[0].body
    assert body.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "cups", "schema": {"type": "object"}, "strict": True},
    }
    turns = [{"role": "user", "content": "Question 3."}]
    assert body == {"model": "org/llm", "messages": turns, "temperature": 0, "max_tokens": 64, "seed": 3}


def test_turns_before_the_prompt_and_a_temperature_go_along(llm, server, echo):
    before = (ChatTurn("system", "Be brief."), ChatTurn("user", "One?"), ChatTurn("assistant", "1"))
    image = "data:image/png;base64,AAAA"
    ask_all(llm(), [Request("Two?", 0, 8, before=before, temperature=0.5), Request("Three?", 0, 8, image=image)])
    first, second = (asked.body for asked in server.asked)
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]
    assert (first["temperature"], second["temperature"]) == (0.5, 0)
    shown = {"type": "image_url", "image_url": {"url": image}}
    assert second["messages"] == [{"role": "user", "content": [shown, {"type": "text", "text": "Three?"}]}]


def test_a_request_without_a_schema_asks_for_none(llm, server, echo):
    assert ask_all(llm(), [Request("Hello?", 0, 8)]) == [Reply("Hello?", False)]
    assert "response_format" not in server.asked[0].body


@pytest.mark.parametrize("concurrency", [1, 3])
def test_replies_keep_the_order_of_their_requests(llm, server, answer, concurrency):
    server.rule = lambda asked: answer(asked.prompt, sleep=0.05 * (asked.body["seed"] % 2 == 0))
    assert [reply.text for reply in ask_all(llm(concurrency=concurrency), ASK)] == [each.prompt for each in ASK]


def test_calls_run_at_once(llm, server, answer):
    gate = threading.Barrier(3, timeout=60)
    server.answer = lambda asked: (gate.wait(), answer(asked.prompt))[1]
    assert len(ask_all(llm(concurrency=3), ASK)) == 6


def test_nobody_is_asked_nothing(llm, server):
    assert ask_all(llm(), []) == []
    assert server.asked == []


def test_a_reply_that_was_cut_off_says_so(llm, server, answer):
    server.script = [answer("half", finish_reason="length")]
    assert ask_all(llm(), ASK[:1]) == [Reply("half", True)]


def test_a_server_that_is_busy_is_asked_again(llm, server, answer):
    server.script = [answer(status=429, headers=QUICK), answer("at last")]
    assert ask_all(llm(retries=1), ASK[:1]) == [Reply("at last", False)]


FAULTS = {
    "HTTP 429, 'too many'": {"status": 429, "body": b"too many", "headers": QUICK},
    "HTTP 500, '{}'": {"status": 500, "body": b"{}", "headers": QUICK},
    "HTTP 400, 'too long'": {"status": 400, "body": b"too long"},
    "RemoteProtocolError": {"keep_back": 20},
    "DecodingError": {"body": gzip.compress(b"{}")[:-12] + b"x" * 12, "headers": {"content-encoding": "gzip"}},
    "no chat completion": {"body": b"<html>bad gateway</html>"},
}


@pytest.mark.parametrize("reason", FAULTS)
@pytest.mark.slow
def test_a_fault_that_outlives_the_retries_is_its_requests_alone(llm, server, answer, reason):
    bad = answer(**FAULTS[reason])
    server.rule = lambda asked: bad if asked.body["seed"] == 1 else answer("fine")
    fine = Reply("fine", False)
    assert ask_all(llm(retries=1), ASK[:3]) == [fine, Fault(reason), fine]


def test_a_server_that_hangs_is_a_fault(llm, server, answer):
    server.rule = lambda asked: answer(hangs=True)
    assert ask_all(llm(retries=1, timeout=0.5), ASK[:1]) == [Fault("ReadTimeout")]
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [401, 404, 307])
def test_a_server_that_refuses_is_a_fault_of_each_and_not_the_end(llm, server, answer, status):
    refuse = answer(status=status, body=b"no", headers={"location": "http://localhost:1/v1"})
    server.script = [answer("first"), *[refuse] * 2, answer("last")]
    replies = ask_all(llm(retries=2), ASK[:4])
    said = Fault(f"LLM at {server.url} refuses every call for model 'org/llm': HTTP {status}, 'no'")
    assert replies == [Reply("first", False), said, said, Reply("last", False)]


def test_a_request_is_moderated_alone_by_a_server_that_answered_others(llm, server, answer):
    refuse = answer(status=403, body=b"flagged")
    server.script = [refuse, answer("first"), refuse, answer("last")]
    said = Fault(f"LLM at {server.url} refuses every call for model 'org/llm': HTTP 403, 'flagged'")
    replies = ask_all(llm(), ASK[:4])
    assert replies == [said, Reply("first", False), Fault("HTTP 403, 'flagged'"), Reply("last", False)]


@pytest.mark.parametrize("asks", ["86400", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_server_that_asks_to_wait_for_long_is_waited_for_a_minute_and_that_is_said_once(
    llm, server, answer, monkeypatch, caplog, asks
):
    waited = []
    monkeypatch.setattr("openai._base_client.time.sleep", waited.append)
    server.script = [answer(status=429, headers={"retry-after": asks})] * 2 + [answer("at last")]
    assert ask_all(llm(retries=2), ASK[:1]) == [Reply("at last", False)]
    assert [seconds for seconds in waited if seconds] == [60, 60]  # the server itself sleeps for none
    (said,) = caplog.messages
    assert re.fullmatch(rf"LLM at {server.url} asks to wait \d{{5,}} s: it is asked again after 60 s", said)


def test_an_answer_that_drips_is_cut(llm, server, answer, monkeypatch):
    clock = itertools.count(0, 1000)
    monkeypatch.setattr("giqa_datasets.http_answers.monotonic", lambda: next(clock))
    server.script = [answer("half", keep_back=1)]
    assert ask_all(llm(), ASK[:1]) == [Fault("no chat completion")]
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_a_fault_of_each(unreachable):
    replies = ask_all(open_llm("m", unreachable, retries=0), ASK)
    assert len(replies) == 6
    assert all(reply.reason.startswith(f"LLM at {unreachable} cannot be reached: ") for reply in replies)


def test_a_server_that_goes_away_and_comes_back_is_asked_on(llm, server, answer):
    server.script = [answer("one"), answer(status=503, headers=QUICK), answer("three")]
    assert [type(reply) for reply in ask_all(llm(), ASK[:3])] == [Reply, Fault, Reply]


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_the_schema_is_asked_without_it_from_then_on(llm, server, answer, status):
    server.rule = lambda asked: answer(status=status) if "response_format" in asked.body else answer("fine")
    backend = llm()
    assert ask_all(backend, ASK[:2]) == ask_all(backend, ASK[:2]) == [Reply("fine", False)] * 2
    assert ["response_format" in asked.body for asked in server.asked] == [True, *[False] * 4]


def test_the_key_comes_from_its_own_variable_and_no_other_secret_is_sent(llm, server, echo, monkeypatch):
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "OPENAI_ORG_ID", "GIQA_JUDGE_API_KEY"):
        monkeypatch.setenv(name, "secret")
    ask_all(llm(), ASK[:1])
    monkeypatch.setenv("GIQA_LLM_API_KEY", " our-key\n")
    ask_all(llm(), ASK[:1])
    monkeypatch.setenv("TEAM_KEY", "team-key")
    ask_all(llm(key_variable="TEAM_KEY"), ASK[:1])
    keys = [asked.headers["authorization"] for asked in server.asked]
    assert keys == ["Bearer none", "Bearer our-key", "Bearer team-key"]
    assert "secret" not in json.dumps([asked.headers for asked in server.asked])


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(llm, monkeypatch):
    monkeypatch.setenv("TEAM_KEY", "cl\u00e9")
    with pytest.raises(ValueError, match=r"^expected printable ASCII in TEAM_KEY, got something else$"):
        llm(key_variable="TEAM_KEY")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "http://me:secret@host/v1", "http://host/v1?key=secret"])
def test_an_address_that_is_none_or_may_hold_a_secret_is_refused(url):
    with pytest.raises(
        ValueError, match=r"^expected an LLM's address such as .* goes into GIQA_LLM_API_KEY$"
    ) as error:
        open_llm("m", url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"^expected concurrency from 1, retries from 0 and a positive timeout, got "):
        open_llm("m", "http://127.0.0.1:1/v1", **options)


def test_without_the_client_the_error_names_the_extra(llm, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r'^an LLM behind a server needs openai: pip install "giqa\[server\]"$'):
        llm()


def test_a_model_is_named_without_its_place(server):
    assert open_llm(base_url=server.url).name == DEFAULT_MODEL
    assert open_llm("/home/me/llm-8b", server.url).name == "llm-8b"
