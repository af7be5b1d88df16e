"""Models behind a server: what is sent, whatever comes back, and a real `transformers serve` with a tiny LLaVA."""

import base64
import json
import re
import shlex
import shutil
import threading
from pathlib import Path

import pytest

from giqa_datasets.formats import FORMATS
from giqa_metrics.models.server import HOPELESS, UNFIT
from giqa_metrics.runs.files import read_config
from giqa_metrics.runs.predict import predict
from tests.paths import ROOT


pytestmark = pytest.mark.slow


QUICK = {"retry-after-ms": "1"}
LIMIT = 6
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "predict.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def rows(workspace) -> list[dict]:
    from datasets import Image, load_dataset

    split = load_dataset(str(workspace / "giqa-tiny"), split="test").cast_column("image", Image(decode=False))
    return list(split.select(range(LIMIT)))


@pytest.fixture
def ask(server, workspace, tmp_path):
    """A run against the scripted server: its folder and options to the file's bytes."""

    def run(name: str = "run", **options) -> bytes:
        told = {"server": server.url, "limit": LIMIT, "batch_size": 2, "max_new_tokens": 9} | options
        predict("org/vlm", str(workspace / "giqa-tiny"), tmp_path / name, **told)
        return (tmp_path / name / "predictions.jsonl").read_bytes()

    return run


def image_of(asked) -> bytes:
    kind, _, text = asked.body["messages"][0]["content"][0]["image_url"]["url"].partition(";base64,")
    assert kind == "data:image/png"
    return base64.b64decode(text)


@pytest.fixture
def by_image(server, answer, rows):
    """Let the server answer each image with its sample's id, some of them late."""
    names = {row["image"]["bytes"]: row["id"] for row in rows}
    late = {row["image"]["bytes"] for row in rows[::2]}
    server.rule = lambda asked: answer(names[image_of(asked)], sleep=0.05 * (image_of(asked) in late))
    return names


def lines(rows: list[dict], text=lambda row: row["id"]) -> bytes:
    return "".join(json.dumps({"id": row["id"], "prediction": text(row)}) + "\n" for row in rows).encode()


def test_a_request_holds_the_data_sets_own_image_its_prompt_and_our_key_alone(
    ask, server, by_image, rows, monkeypatch, tmp_path
):
    monkeypatch.setenv("GIQA_PREDICT_API_KEY", "our-key")
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "OPENAI_ORG_ID", "GIQA_JUDGE_API_KEY", "GIQA_LLM_API_KEY"):
        monkeypatch.setenv(name, "secret")
    assert ask() == lines(rows)
    assert {image_of(asked) for asked in server.asked} == set(by_image)
    for asked in server.asked:
        assert asked.headers["authorization"] == "Bearer our-key"
        assert "secret" not in json.dumps(asked.headers)
        (turn,) = asked.body.pop("messages")
        assert (turn["role"], turn["content"][1]) == ("user", {"type": "text", "text": rows[0]["question"]})
        assert asked.body == {
            "model": "org/vlm",
            "temperature": 0,
            "max_tokens": 9,
            "seed": 0,
            "skip_special_tokens": False,
        }
    config = read_config(tmp_path / "run")
    assert (config["model"], config["server"]) == ("org/vlm", True)
    assert "our-key" not in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")


def test_requests_run_at_once(ask, server, answer):
    gate = threading.Barrier(3, timeout=60)
    server.answer = lambda asked: (gate.wait(), answer("x"))[1]
    assert ask(batch_size=3).count(b"\n") == LIMIT


@pytest.mark.parametrize(
    "fault", [{"status": 429, "headers": QUICK}, {"status": 503, "headers": QUICK}, {"keep_back": 30}], ids=str
)
def test_a_server_that_stumbles_is_asked_again(ask, server, answer, by_image, rows, fault):
    server.script = [answer("lost", **fault)] * 2
    assert ask() == lines(rows)
    assert len(server.asked) == LIMIT + 2


def test_a_refused_sample_costs_itself_is_scored_as_no_answer_and_is_asked_again(
    giqa, server, answer, by_image, rows, tmp_path, workspace
):
    rule, refused = server.rule, rows[2]["image"]["bytes"]
    server.rule = lambda asked: answer(status=400, body=b"too long") if image_of(asked) == refused else rule(asked)
    run, data = tmp_path / "run", workspace / "giqa-tiny"
    asked = ("predict", "--model", "org/vlm", "--server", server.url, "--data", data, "--out", run, "--limit", LIMIT)
    ran = giqa(*asked, "--batch-size", 3)
    fault = f"from 'org/vlm' at {server.url}: HTTP 400, 'too long'"
    assert ran.code == 1
    assert ran.out == (
        f"{LIMIT - 1} answers in {run / 'predictions.jsonl'}\n"
        f"1 got none, {rows[2]['id']} for one {fault}; the same command asks again\n"
    )
    there = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in there] == [row["id"] for row in rows]
    assert there[2] == {"id": rows[2]["id"], "prediction": None, "fault": fault}
    scored = giqa("score", run, "--similarity", "exact", "--resamples", 0)
    assert f"{LIMIT - 1} answers: " in scored.out
    assert "1 samples got no answer, and count as answered by nothing" in scored.out
    assert giqa("check", run).code == 0
    server.rule, server.asked = rule, []
    assert giqa(*asked).code == 0
    assert (run / "predictions.jsonl").read_bytes() == lines(rows)
    assert len(server.asked) == 1


def test_a_server_that_answers_none_of_the_first_samples_ends_the_run(ask, server, answer, tmp_path):
    server.rule = lambda asked: answer(status=400, body=b"no images")
    said = rf"^none of the first {HOPELESS} samples got an answer, the last one from 'org/vlm' at .*'no images'$"
    with pytest.raises(OSError, match=said):
        ask(limit=40)
    assert HOPELESS <= len(server.asked) < 2 * (HOPELESS + 8)
    server.rule = lambda asked: answer("x")
    assert ask(limit=40).count(b'"prediction": "x"') == 40


@pytest.mark.parametrize("message", [{"content": None}, {"content": ""}, {"content": " \n"}], ids=str)
def test_a_reply_without_text_is_an_empty_prediction(ask, server, answer, rows, message):
    body = json.dumps({"choices": [{"message": {"role": "assistant"} | message}]}).encode()
    server.rule = lambda asked: answer(body=body)
    assert ask() == lines(rows, lambda row: "")


def test_a_huge_hostile_reply_is_a_prediction_like_any_other(ask, server, answer, giqa, rows, tmp_path):
    text = "<script>alert(1)</script>\u2028\n[x](<1, 2" * 10_000
    server.rule = lambda asked: answer(text)
    raw = ask(limit=2)
    assert [json.loads(line)["prediction"] for line in raw.split(b"\n")[:-1]] == [text.strip()] * 2
    ran = giqa("score", tmp_path / "run", "--similarity", "exact", "--resamples", 0)
    assert ran.code == 0, ran.err
    assert "<script>alert(1)" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "body",
    [b"<html>bad gateway</html>", b"[" * 99_999, b'{"choices": []}', b'{"choices": [{"message": {}}]}', b"\xff"],
    ids=len,
)
def test_a_reply_that_is_none_is_no_answer(ask, server, answer, body):
    server.rule = lambda asked: answer(body=body)
    rows = [json.loads(line) for line in ask().splitlines()]
    assert [row["prediction"] for row in rows] == [None] * LIMIT
    assert all(row["fault"].endswith(": no chat completion") for row in rows)


def test_a_redirect_to_another_host_is_not_followed(ask, server, answer, monkeypatch):
    monkeypatch.setenv("GIQA_PREDICT_API_KEY", "our-key")
    elsewhere = type(server)()
    try:
        server.rule = lambda asked: answer(status=307, headers={"location": f"{elsewhere.url}/chat/completions"})
        with pytest.raises(ConnectionError, match="refuses every call for model 'org/vlm': HTTP 307"):
            ask()
    finally:
        elsewhere.stop()
    assert elsewhere.asked == []


def test_an_address_that_is_none_or_holds_a_password_is_one_sentence(giqa, workspace, tmp_path):
    for url in ("127.0.0.1:8000", "http://me:secret@host/v1"):
        options = ("--data", workspace / "giqa-tiny", "--out", tmp_path / "run", "--server", url)
        ran = giqa("predict", "--model", "m", *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert ran.err.endswith("got another; a key goes into GIQA_PREDICT_API_KEY\n")
        assert "secret" not in ran.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", UNFIT)
def test_a_format_that_a_servers_text_cannot_hold_is_refused_before_anything_is_asked(ask, server, tmp_path, name):
    with pytest.raises(
        ValueError, match=rf"^box format '{name}' .* with --processor, or run the model without a server$"
    ):
        ask(box_format=name)
    assert server.asked == []
    assert not (tmp_path / "run").exists()


def test_a_server_that_does_not_know_special_tokens_is_asked_without(ask, server, by_image, rows, answer):
    rule = server.rule
    server.rule = lambda asked: (
        answer(status=400, body=b"extra inputs") if "skip_special_tokens" in asked.body else rule(asked)
    )
    assert ask(batch_size=1) == lines(rows)
    assert ["skip_special_tokens" in asked.body for asked in server.asked] == [True] + [False] * LIMIT


def test_a_processor_belongs_to_a_server(ask, server):
    with pytest.raises(ValueError, match=r"^expected --server beside --processor"):
        ask(server=None, processor="a/model")
    assert server.asked == []


def test_every_format_that_counts_in_pixels_of_the_input_is_refused():
    assert {name for name, format in FORMATS.items() if format.needs == "input"} <= set(UNFIT)


def test_a_process_that_was_killed_while_it_asked_goes_on_with_the_same_bytes(
    ask, kill, server, by_image, rows, workspace, tmp_path
):
    path = tmp_path / "run" / "predictions.jsonl"
    command = ["--model", "org/vlm", "--data", workspace / "giqa-tiny", "--out", path.parent, "--server", server.url]
    command += ["--limit", LIMIT, "--batch-size", 2, "--max-new-tokens", 9]
    kill(path, 3, "predict", *command)
    assert path.read_bytes().count(b"\n") == 3 < len(rows)
    assert ask() == lines(rows)


@pytest.fixture(scope="module")
def work(workspace, tiny_llava, tmp_path_factory) -> Path:
    """A folder with what the page's commands name: a tiny model, an adapter of it, a data set."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    root = tmp_path_factory.mktemp("work")
    shutil.copytree(tiny_llava, root / "llava-1.5-7b")
    network = AutoModelForImageTextToText.from_pretrained(root / "llava-1.5-7b")
    get_peft_model(network, LoraConfig(target_modules=["q_proj"])).save_pretrained(root / "llava-1.5-7b-giqa-lora")
    (root / "giqa-bench").symlink_to(workspace / "giqa-tiny")
    return root


@pytest.fixture(scope="module")
def served_llava(work, serve):
    """The address of `transformers serve` with the tiny LLaVA."""
    with serve("llava-1.5-7b", work) as address:
        yield address


def test_the_pages_commands_run_and_a_real_server_answers_as_the_model_does_here(
    work, served_llava, giqa, monkeypatch
):
    monkeypatch.chdir(work)
    commands = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
    ours = [command[1:] for command in commands if command and command[0] == "giqa"]
    assert [command[0] for command in ours].count("predict") >= 4
    for verb, *options in ours:
        options = [served_llava if option.startswith("http") else option for option in options]
        more = ("--limit", 4, "--max-new-tokens", 6) if verb == "predict" else ("--similarity", "exact")
        ran = giqa(verb, *options, *more)
        assert ran.code == 0, ran.err
    here, there = ((work / "runs" / name / "predictions.jsonl").read_bytes() for name in ("llava", "served"))
    assert here == there
    assert any(json.loads(line)["prediction"] for line in here.splitlines())
    assert json.loads((work / "runs" / "qwen" / "summary.json").read_bytes())["settings"]["box_format"] == "qwen3_vl"
