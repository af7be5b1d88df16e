"""The README's commands and programs run, in their order, and print what it says they print."""

import os
import re
import subprocess

import pytest

from tests.paths import ROOT
from tests.warm import warm


README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
# Shortened where a test must be short: an untrained model never stops
SHORTER = {
    "giqa build giqa-tiny": "giqa build giqa-tiny --limit 64",
    "sft_full.yaml": "sft_full.yaml --max_steps 2",
    "--out runs/tiny-llava-sft": "--out runs/tiny-llava-sft --limit 8",
    "checkpoint-1000": "checkpoint-1",
    "--out runs/half-way": "--out runs/half-way --limit 8",
}


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_load_score_and_train_take_at_most_five_lines():
    for heading in ("Load", "Score", "Train"):
        section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        for language, text in re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL):
            assert language == "text" or len([line for line in text.splitlines() if line.strip()]) <= 5


def test_every_link_leads_to_a_file():
    for target in re.findall(r"\]\((?!http|<)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_every_block_runs_and_prints_what_the_readme_shows(tmp_path):
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    (work / "recipes").symlink_to(ROOT / "recipes")
    env = os.environ | {"HF_HOME": str(tmp_path / "home")}
    with warm(tmp_path / "bin", env) as programs:
        run_blocks(work, elsewhere, env | {"PATH": programs})
    assert (work / "runs" / "tiny-llava-sft" / "report.html").is_file()


def run_blocks(work, elsewhere, env):
    ran = []
    for position, (language, text) in enumerate(BLOCKS):
        if language == "sh" and "make demo" not in text:
            for long, short in SHORTER.items():
                text = text.replace(long, short)
            done = subprocess.run(
                ["bash", "-euc", text], cwd=work, env=env, check=True, stdout=subprocess.PIPE, text=True
            )
            assert {line[2:] for line in text.splitlines() if line.startswith("# ")} <= set(done.stdout.splitlines())
            ran.append(language)
        if language == "python":
            # from a folder that holds nothing: the bare names must resolve anywhere
            done = subprocess.run(
                ["python", "-c", text], cwd=elsewhere, env=env, check=True, capture_output=True, text=True
            )
            assert BLOCKS[position + 1] == ("text", done.stdout)
            ran.append(language)
    assert ran == ["sh", "python", "sh", "python", "sh", "sh"]
