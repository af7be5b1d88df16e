"""Every recipe is a plain TRL config that the stock command takes, and each trains a tiny model of its own class."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from giqa_datasets.package_files import shipped
from giqa_datasets.private_interfaces import trl_parsers
from tests.paths import TESTS
from tests.tiny_models import make


pytestmark = pytest.mark.slow


RECIPES = sorted(shipped("recipes").rglob("*.yaml"))
IDS = [str(path.relative_to(shipped("recipes"))) for path in RECIPES]
FAMILIES = {
    "llava-v1.5-7b": "llava",
    "llava-v1.5-13b": "llava",
    "llava-v1.6-7b": "llava_next",
    "qwen3-vl-8b": "qwen3_vl",
    "smolvlm2-2.2b": "smolvlm",
}
SUPERVISED = [path for path in RECIPES if path.stem.startswith("sft")]
LARGE = [path for path in SUPERVISED if path.parent.name in FAMILIES]
LARGE_IDS = [f"{path.parent.name}/{path.stem}" for path in LARGE]
STOCK, REINFORCED = "trl.scripts.sft", "trl.scripts.grpo"  # what `trl sft` and `trl grpo` launch
FROZEN = "recipes/sft_frozen_tower.py"
ON_A_CPU = {"use_cpu": True, "bf16": False, "dataloader_num_workers": 0, "gradient_accumulation_steps": 1}
BRIEF = ON_A_CPU | {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1}
RESUMED = BRIEF | {"max_steps": 4, "save_steps": 2, "save_total_limit": 2, "save_only_model": False}
# Each run is a process of its own for those who train; here they share one, which imports torch and transformers once
RUNS = """
import json, runpy, sys
for script, *arguments in json.load(sys.stdin):
    sys.argv = [script, *arguments]
    run = runpy.run_path if script.endswith(".py") else runpy.run_module
    run(script, run_name="__main__")
"""
# Killed as it writes the second checkpoint, so that half of that one is left
KILLED = """
import os, signal, sys
def die(event, arguments):
    if event == "open" and "checkpoint-4" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
"""


def command(script, path, **changes) -> list[str]:
    """A script, and a recipe under `recipes/` with changes."""
    given = [text for name, value in changes.items() for text in (f"--{name}", str(value))]
    return [script, "--config", f"recipes/{path.parent.name}/{path.name}", *given]


def own_script(path) -> str:
    """Which of the two its header calls."""
    return FROZEN if FROZEN in path.read_text() else STOCK


@pytest.fixture(scope="module")
def train(programs):
    """Run scripts with their arguments in one process, in a folder; what has a PYTHONPATH begins anew."""

    def run(folder, runs, *, program=RUNS, ends=0, **environment) -> None:
        python = sys.executable if "PYTHONPATH" in environment else "python"
        env = os.environ | {"PATH": programs} | environment
        done = subprocess.run(
            [python, "-c", program], input=json.dumps(runs), text=True, cwd=folder, env=env, check=False
        )
        assert done.returncode == ends

    return run


@pytest.fixture(scope="module")
def here(tmp_path_factory, workspace, tiny_llava) -> Path:
    """A folder with tiny models and data under the names that the recipes use, made ready as their headers say."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.pipeline.model_choice import Choice

    folder = tmp_path_factory.mktemp("here")
    (folder / "recipes").symlink_to(shipped("recipes"))
    (folder / "giqa-160k").symlink_to(workspace / "giqa-tiny")
    (folder / "giqa-tiny").symlink_to(workspace / "giqa-tiny")
    shutil.copytree(tiny_llava, folder / "tiny-llava")
    boxes = folder / "giqa-160k-qwen3-vl"
    build_set(SetRequest("giqa-tiny", limit=8), boxes, folder / "annotations", Choice(), box_format="qwen3_vl")
    for path in LARGE:
        if path.stem == "sft_lora":
            make(FAMILIES[path.parent.name], folder / yaml.safe_load(path.read_text())["model_name_or_path"])
            for line in re.findall(r"^#\s+(cp .*)$", path.read_text(), re.MULTILINE):
                subprocess.run(["bash", "-c", line], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def trained(here, train) -> Path:
    """The same folder after two optimiser steps of every large recipe."""
    needs_torchvision = [path for path in LARGE if FAMILIES[path.parent.name] in ("qwen3_vl", "smolvlm")]
    train(here, [command(own_script(path), path, **BRIEF) for path in LARGE if path not in needs_torchvision])
    stand_ins = {} if find_spec("torchvision") else {"PYTHONPATH": str(TESTS / "stand_ins")}
    train(here, [command(own_script(path), path, **BRIEF) for path in needs_torchvision], **stand_ins)
    return here


def losses(output) -> list[float]:
    state = max(output.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name.split("-")[1]))
    return [entry["loss"] for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]


def weights(folder, name="model") -> dict:
    from safetensors.torch import load_file

    return load_file(folder / f"{name}.safetensors")


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_every_key_is_known_to_trl_or_accelerate(path):
    parser, launcher, _ = trl_parsers("sft" if path in SUPERVISED else "grpo")
    *_, unknown_to_trl, _ = parser.parse_args_and_config(
        ["--config", str(path), "--use_cpu", "true", "--bf16", "false"],
        return_remaining_strings=True,
        separate_remaining_strings=True,
    )
    launcher.parse_args([*unknown_to_trl, "script.py"])  # exits on an unknown flag


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_a_recipe_keeps_the_house_rules(path):
    text = path.read_text()
    config = yaml.safe_load(text)
    assert len(text.splitlines()) <= 45
    assert all(line.startswith("# ") for line in text.splitlines()[:4])
    if path in SUPERVISED:
        assert config["max_length"] is None, "the default of 1024 cuts completions off silently"
    else:
        assert config["remove_unused_columns"] is False, "the rewards need the column answer"
    assert "seed" in config
    assert "bench" not in config["dataset_name"]
    assert config.get("dataset_train_split", "train") == "train"
    assert "eval_strategy" not in config
    assert "not run" in text or "giqa_grounding|" in text, "a score has its signature"
    for section in text.split("\n\n")[1:]:
        keys = [line.split(":")[0] for line in section.splitlines() if not line.startswith("#")]
        assert keys == sorted(keys)


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_the_table_of_recipes_names_each(path):
    assert f"({path.relative_to(shipped('recipes'))})" in (shipped("recipes") / "README.md").read_text()


@pytest.mark.parametrize("path", LARGE, ids=LARGE_IDS)
def test_two_steps_train_a_tiny_model_of_its_class(trained, path):
    config = yaml.safe_load(path.read_text())
    output = trained / config["output_dir"]
    said = losses(output)
    assert len(said) == 2
    assert all(math.isfinite(loss) and loss > 1 for loss in said), "0 is what a cut completion gives"
    template = config.get("chat_template_path", f"{config['model_name_or_path']}/chat_template.jinja")
    assert (output / "chat_template.jinja").read_text() == (trained / template).read_text()


@pytest.mark.parametrize(
    "path", [path for path in LARGE if own_script(path) == FROZEN], ids=lambda path: path.parent.name
)
def test_the_tower_stays_and_the_rest_moves(trained, path):
    config = yaml.safe_load(path.read_text())
    before, after = weights(trained / config["model_name_or_path"]), weights(trained / config["output_dir"])
    tower = {name for name in before if re.search(r"vision_tower|vision_model|visual\.(?!.*merger)", name)}
    assert tower
    assert before.keys() == after.keys()
    assert {name for name in before if before[name].equal(after[name])} == tower


@pytest.mark.parametrize(
    "path", [path for path in LARGE if path.stem == "sft_lora"], ids=lambda path: path.parent.name
)
def test_adapters_are_in_the_language_model_alone(trained, path):
    config = yaml.safe_load(path.read_text())
    adapter = weights(trained / config["output_dir"], "adapter_model")
    adapted = {name for name in adapter if ".lora_" in name}
    assert all(re.search(r"language_model|text_model", name) for name in adapted)
    assert len(adapted) == 2 * 7 * 2, "A and B of 7 matrices in 2 layers"
    assert all(adapter[name].any() for name in adapted), "B starts at zero"
    assert all(config["lora_modules_to_save"][0] in name for name in adapter.keys() - adapted)


@pytest.mark.parametrize("name", ["llava-v1.5-7b", "llava-v1.5-13b", "llava-v1.6-7b"])
def test_the_full_recipes_have_the_papers_settings(name):
    from trl.scripts.sft import make_parser

    path = shipped("recipes") / name / "sft_full.yaml"
    arguments = ["--config", str(path), "--use_cpu", "true", "--bf16", "false"]
    script, training, model, _ = make_parser().parse_args_and_config(arguments)
    assert (training.adam_beta1, training.adam_beta2, training.weight_decay) == (0.9, 0.999, 0)
    assert training.optim.startswith("adamw")
    assert (training.learning_rate, training.lr_scheduler_type, training.warmup_steps) == (2e-5, "cosine", 0.03)
    assert (training.num_train_epochs, training.gradient_checkpointing, model.dtype) == (2, True, "float32")
    assert (script.dataset_name, script.dataset_config, model.use_peft) == ("giqa-160k", None, False)
    assert yaml.safe_load(path.read_text())["bf16"] is True
    assert 4 * training.per_device_train_batch_size * training.gradient_accumulation_steps == 64
    assert "--num_processes 4" in path.read_text()
    assert "--zero_stage 3" in path.read_text()


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(here, train):
    """The losses are equal to the last bit, and so are the weights: it is one process on one CPU thread."""
    recipes = [(STOCK, "tiny", "full"), (STOCK, "llava-v1.5-7b", "lora"), (FROZEN, "llava-v1.5-7b", "full")]
    outputs = []
    runs = []
    for script, name, kind in recipes:
        path = shipped("recipes") / name / f"sft_{kind}.yaml"
        whole, resumed = f"{name}-{kind}-whole", f"{name}-{kind}-resumed"
        changes = {"output_dir": resumed, "resume_from_checkpoint": f"{whole}/checkpoint-2"}
        if name == "tiny":  # as the README says
            changes["model_name_or_path"] = f"{whole}/checkpoint-2"
        runs.append(command(script, path, **RESUMED, output_dir=whole))
        runs.append(command(script, path, **RESUMED, **changes))
        outputs.append((here / whole, here / resumed, "adapter_model" if kind == "lora" else "model"))
    train(here, runs)
    for whole, resumed, name in outputs:
        assert not (resumed / "checkpoint-2").exists(), "it started anew"
        assert len(losses(whole)) == 4
        assert losses(resumed) == losses(whole)
        first, second = weights(whole, name), weights(resumed, name)
        assert all(first[key].equal(second[key]) for key in first)


def test_a_killed_run_goes_on_and_ends_with_the_same_files(here, train):
    path = shipped("recipes") / "tiny" / "sft_full.yaml"
    steps = RESUMED | {"max_steps": 6}
    killed = command(STOCK, path, **steps, output_dir="killed")
    train(here, [killed], program=KILLED + RUNS, ends=-signal.SIGKILL % 256)
    assert not (here / "killed" / "model.safetensors").exists()
    assert not (here / "killed" / "checkpoint-4" / "trainer_state.json").exists()
    last = {"model_name_or_path": "killed/checkpoint-2", "resume_from_checkpoint": "killed/checkpoint-2"}
    train(
        here,
        [
            command(STOCK, path, **steps, **last, output_dir="killed"),
            command(STOCK, path, **steps, output_dir="not-killed"),
        ],
    )
    assert losses(here / "killed") == losses(here / "not-killed")
    names = {file.name for file in (here / "not-killed").iterdir() if file.is_file()}
    assert names == {file.name for file in (here / "killed").iterdir() if file.is_file()}
    # The first two name the folder and the checkpoint; a tokenizer that is loaded and saved has its defaults spelt out
    for name in names - {"README.md", "training_args.bin", "tokenizer_config.json"}:
        assert (here / "killed" / name).read_bytes() == (here / "not-killed" / name).read_bytes(), name


def test_two_steps_of_reinforcement_log_the_rewards_parts_and_go_on(here, train):
    """The tiny LLaVA and a tiny Qwen3-VL; a run that is resumed ends as one without a break."""
    brief = ON_A_CPU | {"max_steps": 2, "per_device_train_batch_size": 4, "num_generations": 2, "logging_steps": 1}
    brief |= {"max_completion_length": 12, "save_steps": 1, "save_only_model": False, "save_total_limit": 2}
    tiny, qwen = (shipped("recipes") / name for name in ("tiny/grpo.yaml", "qwen3-vl-8b/grpo_lora.yaml"))
    start = {"model_name_or_path": "tiny-llava"}
    again = start | {
        "model_name_or_path": "tiny-grpo/checkpoint-1",
        "resume_from_checkpoint": "tiny-grpo/checkpoint-1",
    }
    other = {"model_name_or_path": "qwen3-vl-8b", "use_vllm": False}
    runs = [
        command(REINFORCED, tiny, **brief, **start, output_dir="tiny-grpo"),
        command(REINFORCED, tiny, **brief, **again, output_dir="tiny-grpo-resumed"),
        command(REINFORCED, qwen, **brief, **other, output_dir="qwen-grpo"),
    ]
    train(here, runs, **({} if find_spec("torchvision") else {"PYTHONPATH": str(TESTS / "stand_ins")}))
    for output in ("tiny-grpo", "qwen-grpo"):
        state = json.loads((here / output / "checkpoint-2" / "trainer_state.json").read_text())
        steps = [entry for entry in state["log_history"] if "reward" in entry]
        assert len(steps) == 2
        for step in steps:
            parts = {"grounding/overlap", "grounding/named_f1", "grounding/prose", "grounding/end"}
            assert parts <= step.keys()
            assert all(0 <= step[part] <= 1 for part in parts)
            assert 0 <= step["reward"] <= 1
    whole, resumed = (weights(here / name) for name in ("tiny-grpo", "tiny-grpo-resumed"))
    assert all(whole[key].equal(resumed[key]) for key in whole)


def commands_of_the_readme() -> list[str]:
    text = (shipped("recipes") / "README.md").read_text().replace("\\\n", " ")
    cells = re.findall(r"`(trl (?:sft|grpo) --config recipes[^`]*)`", text)
    return [*cells, *re.findall(r"^((?:trl sft|accelerate launch) --.*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("line", commands_of_the_readme())
def test_a_command_of_the_readme_parses(line, monkeypatch):
    monkeypatch.chdir(shipped("recipes").parent)
    program, verb, *arguments = shlex.split(line)
    parser, launcher, resolve = trl_parsers("grpo" if verb == "grpo" else "sft")
    if program == "accelerate":
        launched = launcher.parse_args(arguments)
        assert launched.training_script == FROZEN
        arguments = launched.training_script_args
    *_, from_config, from_line = parser.parse_args_and_config(
        [*arguments, "--use_cpu", "true", "--bf16", "false"],
        return_remaining_strings=True,
        separate_remaining_strings=True,
    )
    assert program == "trl" or not from_line, "the script refuses what trl's command gives to accelerate"
    launcher.parse_args([*resolve([*from_config, *from_line]), "script.py"])


def test_stock_trl_sft_trains_the_tiny_recipe(here, programs):
    recipe = shipped("recipes") / "tiny" / "sft_full.yaml"
    command = ["trl", "sft", "--config", recipe, "--max_steps", "2", "--per_device_train_batch_size", "4"]
    subprocess.run(command, cwd=here, check=True, env=os.environ | {"PATH": programs})

    from safetensors.torch import load_file

    before, after = (load_file(here / name / "model.safetensors") for name in ("tiny-llava", "tiny-llava-sft"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert any("vision" in name for name in moved)
    assert any("language_model" in name for name in moved)


def test_the_tiny_tokenizer_gives_back_every_text_of_its_task(workspace, tiny_llava):
    from datasets import load_dataset
    from transformers import AutoProcessor

    tokenizer = AutoProcessor.from_pretrained(tiny_llava).tokenizer
    rows = load_dataset(str(workspace / "giqa-tiny"), "annotations", split="train")
    for text in [*rows["question"], *rows["answer"]]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_loss_is_on_the_answer_and_its_end_alone(tiny_llava):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_llava)
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is part of this image missing?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
    ]
    whole = processor.apply_chat_template(turns, tokenize=False)
    prompt = processor.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert whole == prompt + "Yes." + processor.tokenizer.eos_token
    assert prompt.startswith(processor.tokenizer.bos_token)
