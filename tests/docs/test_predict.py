"""docs/predict.md, docs/judge.md and docs/train.md, on tiny models under the names of the large ones."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from giqa_datasets.package_files import shipped
from tests.tiny_models import make


pytestmark = pytest.mark.slow


URL = "http://127.0.0.1:8000/v1"
MODEL = "llava-1.5-7b"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A LLaVA of the recipes' processor, and an adapter of it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    folder = tmp_path_factory.mktemp("models")
    make("llava", folder / MODEL)
    for name in ("chat_template.jinja", "processor_config.json"):
        shutil.copy(shipped("recipes") / "llava-v1.5-7b" / name, folder / MODEL)
    network = AutoModelForImageTextToText.from_pretrained(folder / MODEL)
    adapter = get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj"]))
    adapter.peft_config["default"].base_model_name_or_path = MODEL
    adapter.save_pretrained(folder / f"{MODEL}-giqa-lora")
    return folder


@pytest.fixture
def here(tmp_path, workspace, models) -> Path:
    """The page's folder with models and data under the names that the pages use."""
    for model in models.iterdir():
        (tmp_path / model.name).symlink_to(model)
    (tmp_path / "giqa-bench").symlink_to(workspace / "giqa-bench-mini")
    (tmp_path / "giqa-160k").symlink_to(workspace / "giqa-mini")
    return tmp_path


def test_predict_runs(here, run_page, server, answer):
    server.rule = lambda asked: answer(content="The [cup](<5, 254>) is sharp.")
    run_page("predict.md", {URL: server.url, "giqa predict": "giqa predict --limit 2 --max-new-tokens 4"})
    for name in ("llava", "lora", "served", "qwen"):
        lines = (here / "runs" / name / "predictions.jsonl").read_text().splitlines()
        assert len(lines) == 2
    assert {json.loads(line)["prediction"] for line in (here / "runs/served/predictions.jsonl").open()} == {
        "The [cup](<5, 254>) is sharp."
    }


def test_judge_runs(here, run_page, programs, server, tiny_llama):
    """A scripted server that gives three points, then a random model here, which gives none that can be read."""
    predict = ["giqa", "predict", "--model", MODEL, "--data", "giqa-bench", "--out", "RUN", "--limit", "3"]
    env = os.environ | {"PATH": programs}
    subprocess.run([*predict, "--max-new-tokens", "4"], cwd=here, check=True, env=env)
    run_page("judge.md", {URL: server.url, "meta-llama/Meta-Llama-3-8B-Instruct ": f"{tiny_llama} "})
    assert server.asked


def test_the_check_of_a_recipe_prints_what_the_page_shows(here, run_page):
    run_page("train.md")
