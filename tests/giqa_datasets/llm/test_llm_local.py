"""Language models in this process: what they are asked in batches, and what is said of one that cannot be had."""

import json
import shutil
import subprocess
import sys

import pytest

from giqa_datasets.llm import ChatTurn, Fault, Reply, Request, Schema, ask_all, open_llm


pytestmark = pytest.mark.slow


def test_replies_depend_on_their_request_alone(tiny_llama):
    local = open_llm(str(tiny_llama))
    assert local.name == "tiny-llama"
    requests = [Request("Is it?", 0, 40), Request("x" * 5000, 0, 40), Request("Is the cup sharp? " * 4, 0, 9)] * 7
    replies = ask_all(local, requests)
    assert replies == [reply for request in requests for reply in ask_all(local, [request])]
    assert replies[1] == Fault("longer than the context")
    assert [reply.is_cut for reply in replies[::3]] == [True] * 7  # it never stops
    assert (
        len(replies[2].text.encode()) <= 3 * 9
    )  # its own length, not its batch's: each token is a byte or an unknown one


def test_a_reply_that_ends_by_itself_is_not_cut_off(make_llama):
    local = open_llm(str(make_llama("tiny-speaker", says='{"objects": []}')))
    long, short = ask_all(local, [Request("Is it?", 0, 40), Request("Is it?", 0, 5)])
    assert long == ('{"objects": []}', False)
    assert short == ('{"obj', True)


BEFORE = (ChatTurn("system", "Be brief."), ChatTurn("user", "Sharp?"), ChatTurn("assistant", "Yes."))
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
DROPS = "{% if messages[0].role == 'system' %}{% set messages = messages[1:] %}{% endif %}"


@pytest.fixture
def with_template(make_llama, tmp_path):
    """A model whose template begins so, and writes each turn's role before what was said."""

    def make(begin: str):
        folder = shutil.copytree(make_llama("tiny-llama"), tmp_path / "model")
        template = begin + "{% for turn in messages %}{{ turn.role + ': ' + turn.content + '\\n' }}{% endfor %}"
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        return folder

    return make


@pytest.mark.parametrize(
    ("begin", "chat"),
    [
        ("", "system: Be brief.\nuser: Sharp?\nassistant: Yes.\nuser: Noisy?\n"),
        (REFUSES, "user: Be brief.\n\nSharp?\nassistant: Yes.\nuser: Noisy?\n"),
        (DROPS, "user: Be brief.\n\nSharp?\nassistant: Yes.\nuser: Noisy?\n"),
    ],
    ids=["takes", "refuses", "drops"],
)
def test_turns_are_the_models_chat_and_a_system_turn_never_gets_lost(with_template, begin, chat):
    local = open_llm(str(with_template(begin)))
    whole, plain = ask_all(local, [Request("Noisy?", 0, 20, before=BEFORE), Request("Noisy?", 0, 20)])
    asked = Request(chat.removeprefix("user: ").removesuffix("\n"), 0, 20)
    if begin:  # the same chat, written as one turn
        assert ask_all(local, [asked]) == [whole]
    assert whole != plain


@pytest.mark.slow
def test_a_real_server_whose_template_refuses_a_system_turn_is_asked_without(make_llama, serve, tmp_path, caplog):
    caplog.set_level("INFO", "giqa_datasets")
    folder = shutil.copytree(make_llama("tiny-judge", says='{"score": 3}'), tmp_path / "model")
    path = folder / "chat_template.jinja"
    path.write_text(REFUSES + path.read_text(encoding="utf-8"), encoding="utf-8")
    with serve(str(folder), tmp_path) as url:
        llm = open_llm(str(folder), url, retries=2, concurrency=1, timeout=120)
        assert ask_all(llm, [Request("Noisy?", 0, 40, before=BEFORE)] * 2) == [Reply('{"score": 3}', False)] * 2
    assert [said for said in caplog.messages if "system turn" in said] == [f"LLM at {url} does not take a system turn"]


def test_a_warm_reply_depends_on_its_seed_and_not_on_its_batch(tiny_llama):
    local = open_llm(str(tiny_llama))
    warm = [Request("Is it?", seed, 40, temperature=0.7) for seed in (1, 2)]
    greedy = Request("Is it?", 0, 40)
    replies = ask_all(local, [warm[0], greedy, warm[1], warm[0]])
    assert replies == [reply for each in (warm[0], greedy, warm[1], warm[0]) for reply in ask_all(local, [each])]
    assert len({reply.text for reply in replies}) == 3


def test_a_schema_holds_for_its_own_request_of_a_batch_and_warm_ones(tiny_llama):
    pytest.importorskip("llguidance")
    local = open_llm(str(tiny_llama))
    words = {"type": "array", "items": {"type": "string", "enum": ["cup", "dog"]}, "minItems": 2, "maxItems": 3}
    one = Schema("one", {"type": "object", "properties": {"n": {"enum": [0, 1]}}, "required": ["n"]})
    two = Schema("two", {"type": "object", "properties": {"words": words}, "required": ["words"]})
    for schema in (one, two):
        schema.schema["additionalProperties"] = False
    asked = [Request("Is it?", k, 60, schema) for k, schema in enumerate((one, None, two))]
    replies = ask_all(local, [*asked, asked[2]._replace(temperature=1.0)])
    assert json.loads(replies[0].text)["n"] in (0, 1)
    assert replies[1] == ask_all(local, [Request("Is it?", 1, 60)])[0]
    for reply in replies[2:]:
        assert set(json.loads(reply.text)["words"]) <= {"cup", "dog"}
        assert reply.text == json.dumps(json.loads(reply.text))
    assert [reply.is_cut for reply in replies] == [False, True, False, False]
    assert replies[:3] == [ask_all(local, [each])[0] for each in asked]


def test_a_reply_under_a_schema_may_still_be_cut_off(tiny_llama):
    pytest.importorskip("llguidance")
    schema = Schema("free", {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]})
    (reply,) = ask_all(open_llm(str(tiny_llama)), [Request("Is it?", 0, 20, schema)])
    assert reply.is_cut
    assert reply.text.startswith('{"s": "')


def test_a_model_that_cannot_be_had_is_one_sentence(tmp_path):
    for model in ("nobody/nothing", str(tmp_path), str(tmp_path / "nothing"), "not a name"):
        with pytest.raises(OSError, match=r"^LLM .* cannot be (fetched|loaded): "):
            open_llm(model)


def test_a_model_without_a_chat_template_is_one_sentence(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(OSError, match=r"^LLM .* has no chat template, so it cannot be asked$"):
        open_llm(str(folder))


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r'^a local LLM needs torch and transformers: pip install "giqa\[local\]"$'):
        open_llm("nobody/nothing")


def test_nothing_heavy_is_imported_before_a_model_is_opened():
    script = "import sys, giqa_datasets.pipeline.backends.llm_tagger, giqa_datasets.pipeline.backends.llm_asker"
    heavy = "print(sorted({'openai', 'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{script}\n{heavy}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
