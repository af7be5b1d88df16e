"""Models in this process: too large a batch, adapters, and what of an answer's tokens is its text."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from giqa_metrics.runs.predict import predict


pytestmark = pytest.mark.slow


OPTIONS = {"limit": 7, "batch_size": 4, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def model(tiny_llava) -> Path:
    return tiny_llava


@pytest.fixture(scope="module")
def tiny(workspace) -> str:
    return str(workspace / "giqa-tiny")


def predicted(model: Path, tiny: str, out: Path) -> bytes:
    predict(str(model), tiny, out, **OPTIONS)
    return (out / "predictions.jsonl").read_bytes()


@pytest.fixture
def memory(monkeypatch):
    """Let generation run out of memory above a size of the batch; the sizes that were tried."""
    import torch
    from transformers import LlavaForConditionalGeneration

    generate, tried = LlavaForConditionalGeneration.generate, []

    def limit(largest: int, error: type[Exception] = torch.OutOfMemoryError) -> list[int]:
        def limited(self, **inputs):
            tried.append(len(inputs["input_ids"]))
            if tried[-1] > largest:
                raise error("CUDA out of memory")
            return generate(self, **inputs)

        monkeypatch.setattr(LlavaForConditionalGeneration, "generate", limited)
        return tried

    return limit


def test_a_batch_that_does_not_fit_is_halved_and_its_answers_are_the_same(model, tiny, tmp_path, memory, caplog):
    whole = predicted(model, tiny, tmp_path / "whole")
    tried = memory(1)
    assert predicted(model, tiny, tmp_path / "halved") == whole
    assert tried == [4, 2, 1, 1, 2, 1, 1, 3, 2, 1, 1, 1]
    assert caplog.messages[0] == "out of memory with 4 samples at once, so they are answered 2 at once"


def test_a_sample_that_does_not_fit_alone_costs_itself(giqa, model, tiny, tmp_path, memory, monkeypatch):
    out = tmp_path / "run"
    asked = ("predict", "--model", model, "--data", tiny, "--out", out, "--limit", 7, "--max-new-tokens", 3)
    memory(0)
    ran = giqa(*asked, "--batch-size", 4)
    why = "as it alone is too large for the memory: CUDA out of memory"
    assert ran.code == 1
    assert ran.out.splitlines()[0] == f"0 answers in {out / 'predictions.jsonl'}"
    assert ran.out.splitlines()[1].startswith("7 got none, test-")
    assert ran.out.endswith(f" for one {why}; the same command asks again\n")
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["prediction"], row["fault"]) for row in rows] == [(None, why)] * 7
    monkeypatch.undo()
    assert giqa(*asked, "--batch-size", 4).code == 0
    assert len(answered := (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()) == 7
    assert all(json.loads(line)["prediction"] is not None for line in answered)


def test_another_error_halves_nothing(model, tiny, tmp_path, memory):
    tried = memory(1, RuntimeError)
    with pytest.raises(RuntimeError, match="out of memory"):
        predicted(model, tiny, tmp_path)
    assert tried == [4]


@pytest.fixture(scope="module")
def adapted(model, tmp_path_factory):
    """A LoRA of the tiny model with a projector of its own, and the same weights as one model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    root = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    lora = LoraConfig(
        r=2,
        target_modules=r".*language_model.*\.(q|v)_proj",
        modules_to_save=["multi_modal_projector"],
        init_lora_weights=False,
    )
    network = get_peft_model(AutoModelForImageTextToText.from_pretrained(model), lora)
    for name, weights in network.named_parameters():
        if "modules_to_save" in name:
            weights.data.mul_(3)
    network.save_pretrained(root / "adapter")
    shutil.copytree(model, root / "merged")
    network.merge_and_unload().save_pretrained(root / "merged")
    return root / "adapter", root / "merged"


def test_an_adapter_answers_as_the_model_that_it_makes_of_its_base(model, adapted, tiny, tmp_path):
    adapter, merged = adapted
    assert not (adapter / "processor_config.json").exists()
    found = predicted(adapter, tiny, tmp_path / "adapter")
    assert found == predicted(merged, tiny, tmp_path / "merged") != predicted(model, tiny, tmp_path / "base")


def test_an_adapters_own_processor_comes_before_its_bases(model, adapted, tiny, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(adapted[0], own)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(model / name, own)
    as_base = predicted(own, tiny, tmp_path / "same")
    template = own / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("{{ bos_token }}", ""), encoding="utf-8")
    assert as_base == predicted(adapted[0], tiny, tmp_path / "adapter") != predicted(own, tiny, tmp_path / "other")


def test_an_adapter_without_its_base_or_without_peft_is_one_sentence(adapted, tiny, tmp_path, giqa, monkeypatch):
    lost = tmp_path / "lost"
    shutil.copytree(adapted[0], lost)
    config = json.loads((lost / "adapter_config.json").read_text(encoding="utf-8"))
    told = json.dumps(config | {"base_model_name_or_path": "no-such-base"})
    (lost / "adapter_config.json").write_text(told, encoding="utf-8")
    command = ("predict", "--model", lost, "--data", tiny, "--out", tmp_path / "run")
    said = f"giqa: base of adapter {str(lost)!r}, 'no-such-base' is no folder here, is not installed, and cannot be "
    assert giqa(*command) == (2, "", f"{said}fetched: HF_HUB_OFFLINE is set\n")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert giqa(*command) == (2, "", 'giqa: an adapter needs peft: pip install "giqa[train]"\n')
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("token", "text"), [("<box>", "<box>" * 3), ("<image>", "")])
def test_the_special_tokens_of_boxes_are_text_and_the_others_are_none(model, tiny, tmp_path, token, text):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    network, processor = AutoModelForImageTextToText.from_pretrained(model), AutoProcessor.from_pretrained(model)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<box>"]}, False)
    network.resize_token_embeddings(len(processor.tokenizer))
    said = processor.tokenizer.convert_tokens_to_ids(token)
    network.generation_config.suppress_tokens = [n for n in range(len(processor.tokenizer)) if n != said]
    network.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    predict(str(tmp_path / "model"), tiny, tmp_path / "run", limit=1, max_new_tokens=3)
    assert json.loads((tmp_path / "run" / "predictions.jsonl").read_bytes())["prediction"] == text


def test_a_model_in_half_precision_answers(model, tiny, tmp_path):
    import torch
    from transformers import AutoModelForImageTextToText

    shutil.copytree(model, tmp_path / "half")
    AutoModelForImageTextToText.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    assert predicted(tmp_path / "half", tiny, tmp_path / "run").count(b"\n") == OPTIONS["limit"]


def test_a_model_without_a_chat_template_is_one_sentence(giqa, model, tiny, tmp_path):
    silent = tmp_path / "silent"
    shutil.copytree(model, silent)
    (silent / "chat_template.jinja").unlink()
    ran = giqa("predict", "--model", silent, "--data", tiny, "--out", tmp_path / "run")
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == f"giqa: model {str(silent)!r} has no chat template, so it cannot be asked"
