"""Every recipe is a plain TRL config that the stock command takes, and the tiny one trains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from giqa_datasets.shipped import shipped


RECIPES = sorted(shipped("recipes").rglob("*.yaml"))
IDS = [str(path.relative_to(shipped("recipes"))) for path in RECIPES]
BIN = Path(sys.executable).parent


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_every_key_is_known_to_trl_or_accelerate(path):
    from accelerate.commands.launch import launch_command_parser
    from trl.scripts.sft import make_parser

    *_, unknown_to_trl, _ = make_parser().parse_args_and_config(
        ["--config", str(path), "--use_cpu", "true", "--bf16", "false"],
        return_remaining_strings=True,
        separate_remaining_strings=True,
    )
    launch_command_parser().parse_args([*unknown_to_trl, "script.py"])  # exits on an unknown flag


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_a_recipe_keeps_the_house_rules(path):
    text = path.read_text()
    config = yaml.safe_load(text)
    assert len(text.splitlines()) <= 45
    assert all(line.startswith("# ") for line in text.splitlines()[:4])
    assert config["max_length"] is None, "the default of 1024 cuts completions off silently"
    assert "seed" in config
    assert "bench" not in config["dataset_name"]
    assert config.get("dataset_train_split", "train") == "train"
    for section in text.split("\n\n")[1:]:
        keys = [line.split(":")[0] for line in section.splitlines() if not line.startswith("#")]
        assert keys == sorted(keys)


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_the_table_of_recipes_names_each(path):
    assert f"({path.relative_to(shipped('recipes'))})" in (shipped("recipes") / "README.md").read_text()


def test_stock_trl_sft_trains_the_tiny_recipe(workspace):
    make_model = shipped("recipes") / "tiny" / "make_model.py"
    subprocess.run([sys.executable, make_model, "tiny-llava"], cwd=workspace, check=True)
    recipe = shipped("recipes") / "tiny" / "sft_full.yaml"
    command = [BIN / "trl", "sft", "--config", recipe, "--max_steps", "2", "--per_device_train_batch_size", "4"]
    subprocess.run(command, cwd=workspace, check=True, env=os.environ)

    from safetensors.torch import load_file

    before, after = (load_file(workspace / name / "model.safetensors") for name in ("tiny-llava", "tiny-llava-sft"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert any("vision" in name for name in moved)
    assert any("language_model" in name for name in moved)


def test_the_tiny_tokenizer_gives_back_every_text_of_its_task(workspace, tmp_path):
    from datasets import load_dataset
    from transformers import AutoProcessor

    make_model = shipped("recipes") / "tiny" / "make_model.py"
    subprocess.run([sys.executable, make_model, tmp_path / "model"], check=True)
    tokenizer = AutoProcessor.from_pretrained(tmp_path / "model").tokenizer
    rows = load_dataset(str(workspace / "giqa-tiny"), "annotations", split="train")
    for text in [*rows["question"], *rows["answer"]]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_loss_is_on_the_answer_and_its_end_alone(tmp_path):
    from transformers import AutoProcessor

    make_model = shipped("recipes") / "tiny" / "make_model.py"
    subprocess.run([sys.executable, make_model, tmp_path / "model"], check=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is part of this image missing?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
    ]
    whole = processor.apply_chat_template(turns, tokenize=False)
    prompt = processor.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert whole == prompt + "Yes." + processor.tokenizer.eos_token
    assert prompt.startswith(processor.tokenizer.bos_token)
