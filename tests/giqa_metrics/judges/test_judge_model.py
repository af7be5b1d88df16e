"""Real models that know nothing: whatever they babble is counted as a failure and never scored."""

import os
import shutil
import sys

import pytest

from giqa_metrics import giqa_description
from giqa_metrics.judges import open_judge
from giqa_metrics.judges.judge import Case


pytestmark = pytest.mark.slow


def test_a_real_server_with_a_random_model_gives_failures_and_no_score(served, tiny_llama, verdicts, log, lines):
    judge = open_judge(model=str(tiny_llama), base_url=served, log=log, concurrency=2, timeout=120)
    scores = giqa_description([v.answer for v in verdicts], [v.reference for v in verdicts], judge=judge)
    assert (scores["llm_score"], scores["n_judge_failures"]) == (None, len(verdicts))
    assert len(lines()) == len(verdicts)  # they are replies
    assert all(line["score"] is None for line in lines())
    assert any(line["reply"] for line in lines())
    assert all(line["is_cut"] for line in lines())  # it never stops
    replay = open_judge(model=str(tiny_llama), log=log, replay=True)
    assert replay.judge([v._replace(question="") for v in verdicts]) == [None] * len(verdicts)


def test_what_a_real_server_says_of_another_model_is_shown(served, verdicts, caplog):
    judge = open_judge(model="nobody/nothing", base_url=served, retries=0, timeout=120)
    assert judge.judge(verdicts) == [None] * len(verdicts)
    assert caplog.messages[0].startswith("6 of 6 calls to the judge failed: HTTP 400, ")
    assert "requested" in caplog.messages[0]


def test_a_local_model_that_knows_nothing_gives_failures_and_no_score(tiny_llama, log, lines, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    batch = [Case("", "r", "short"), Case("Is it sharp?", "Yes.", "long " * 50), Case("", "r", "x" * 5000)]
    judge = open_judge(model=str(tiny_llama), log=log)
    assert judge.judge(batch) == [None, None, None]
    assert [line["answer"] for line in lines()] == ["short", "long " * 50]  # the third is longer than the context
    assert judge.judge(batch[:2]) == [None, None]
    assert judge.name.startswith("tiny-llama@")


def test_under_the_schema_a_local_model_that_knows_nothing_gives_a_score_nevertheless(
    tiny_llama, log, lines, verdicts
):
    pytest.importorskip("llguidance")
    scores = open_judge(model=str(tiny_llama), log=log).judge(verdicts)
    assert None not in scores
    assert [(line["reply"], line["is_cut"]) for line in lines()] == [(f'{{"score": {k}}}', False) for k in scores]


def test_a_local_model_that_says_a_score_is_read_to_its_end(make_llama, log, lines, verdicts):
    model = make_llama("tiny-judge", says='{"score": 3}')
    assert open_judge(model=str(model), log=log).judge(verdicts) == [3] * len(verdicts)
    assert {(line["reply"], line["is_cut"]) for line in lines()} == {('{"score": 3}', False)}


def test_a_reply_does_not_depend_on_its_batch(tiny_llama):
    from giqa_datasets.llm import Local, Request
    from giqa_metrics.judges import JUDGE

    local = Local(str(tiny_llama), role=JUDGE)
    requests = [Request("Is it?", 0, 256), Request("Is the cup on the table sharp? " * 4, 0, 256)]
    assert local.ask(requests) == [*local.ask(requests[:1]), *local.ask(requests[1:])]
    assert local.ask([Request("x" * 5000, 0, 256)])[0].reason == "longer than the context"


def test_a_local_model_that_cannot_be_had_is_one_sentence(verdicts, tmp_path):
    for model in ("nobody/nothing", str(tmp_path), str(tmp_path / "nothing"), "not a name"):
        with pytest.raises(OSError, match=r"^judge .* cannot be (fetched|loaded): ") as error:
            open_judge(model=model).judge(verdicts)
        assert "\n" not in str(error.value)


def test_a_local_model_without_a_chat_template_is_one_sentence(tiny_llama, tmp_path, verdicts):
    folder = tmp_path / "mute"
    shutil.copytree(tiny_llama, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(OSError, match="has no chat template, so it cannot be asked"):
        open_judge(model=str(folder)).judge(verdicts)


def test_without_transformers_the_error_names_the_extra(verdicts, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r'pip install "giqa\[local\]"'):
        open_judge(model=os.devnull).judge(verdicts)
