"""Language models in this process: what they are asked in batches, and what is said of one that cannot be had."""

import shutil
import subprocess
import sys

import pytest

from giqa_datasets.llm import Fault, Request, ask_all, open_llm


pytestmark = pytest.mark.slow


def test_replies_depend_on_their_request_alone(tiny_llama):
    local = open_llm(str(tiny_llama))
    assert local.name == "tiny-llama"
    requests = [Request("Is it?", 0, 40), Request("x" * 4000, 0, 40), Request("Is the cup sharp? " * 4, 0, 9)] * 7
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


def test_a_model_that_cannot_be_had_is_one_sentence(tmp_path):
    for model in ("nobody/nothing", str(tmp_path), str(tmp_path / "nothing"), "not a name"):
        with pytest.raises(OSError, match=r"^LLM .* is no language model on this machine and cannot be fetched$"):
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
