"""The demo, from end to end: the real command in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import giqa, refusal
from tests.warm import warm


GIQA = Path(sys.executable).with_name("giqa")
# The command, with few training steps, few of giqa-tiny's crops to learn from, and short answers
FEW = """
import sys
from giqa_metrics.cli import demo, main

run, fewer = demo._giqa, {"giqa-tiny": ("--limit", "490"), "--model": ("--max-new-tokens", "4")}
demo._giqa = lambda *words: run(*words, *fewer.get(words[1], ()))
sys.argv = ["giqa", "demo", "--max-steps", "3"]
main()
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    env = os.environ | {"HF_DATASETS_CACHE": str(folder / "giqa-demo" / "cache")}  # read as libraries are imported
    with warm(folder / "bin", env) as programs:
        done = subprocess.run(
            ["python", "-c", FEW],
            cwd=folder,
            env=os.environ | {"PATH": programs},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "giqa-demo", done


@pytest.mark.slow
def test_the_demo_ends_with_the_tables_and_the_reports(demo):
    folder, done = demo
    reports = [Path(line.removeprefix("report: ")) for line in done.stdout.splitlines() if line.startswith("report: ")]
    assert reports == [
        folder / "runs" / name / "report.html" for name in ("offline-pipeline", "half-way", "tiny-llava-sft")
    ]
    assert all(report.stat().st_size > 100_000 for report in reports)
    for words in ("giqa-bench-mini, GIQA-DES", "giqa-tiny, GIQA-DES", "giqa-tiny, GIQA-VQA", "best constant box"):
        assert words in done.stdout
    assert "tiny-llava-sft against half-way" in done.stdout
    assert re.search(r"^(\d+) of \1 entries hold$", done.stdout, flags=re.MULTILINE)
    assert "[8/8]" in done.stderr
    assert "[8/8]" not in done.stdout


@pytest.mark.slow
def test_the_demo_scores_the_offline_pipeline_on_every_described_photograph(demo):
    folder, _ = demo
    summary = json.loads((folder / "runs" / "offline-pipeline" / "summary.json").read_text())
    scores = summary["des"]["giqa_grounding"]
    assert scores["n_samples"] == scores["n_counted"] == 28
    # No box is anybody's: the descriptions are the same text, so whatever is right was found by the pipeline
    assert summary["des"]["giqa_description"]["bleu4"] == 100
    assert scores["precision"] > 0.3
    assert scores["n_malformed"] == 0


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine.txt").write_text("mine")
    done = subprocess.run([GIQA, "demo", "--out", tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"giqa: {tmp_path} is no folder of an earlier demo, so nothing in it is replaced\n"
    assert (tmp_path / "runs" / "mine.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_set_that_the_demo_built_is_replaced_only_when_asked(demo):
    folder, _ = demo
    command = ["build", "giqa-mini", "--out", folder / "giqa-mini"]
    assert "exists" in refusal(giqa(*command))
    assert giqa(*command, "--overwrite").code == 0
