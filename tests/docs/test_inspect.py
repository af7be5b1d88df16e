"""docs/inspect.md: its blocks run, with an untrained model in place of the demo's, and it says what the code says."""

import shutil
import subprocess
import sys

import pytest

from giqa_metrics.inspection.defect_words import KINDS
from giqa_metrics.inspection.policy import DEFAULT
from tests.paths import BENCHMARKS, DOCS

from .conftest import blocks


PAGE = "inspect.md"


@pytest.mark.slow
def test_the_page_runs(run_page, workspace, tiny_llava, tmp_path):
    demo = tmp_path / "giqa-demo"
    demo.mkdir()
    (demo / "giqa-tiny").symlink_to(workspace / "giqa-tiny")
    shutil.copytree(tiny_llava, demo / "tiny-llava-sft")
    name = "giqa-demo/tiny-llava-sft"
    replaced = {  # an untrained model never stops
        f"--model {name}": f"--model {name} --max-new-tokens 4",
        f'"{name}"': f'"{name}", max_new_tokens=4',
        "select(range(480))": "select(range(12))",
    }
    work = run_page(PAGE, replaced)
    for folder, photos in (("inspected", "crops"), ("calibrated", "good")):
        lines = (work / folder / "verdicts.jsonl").read_bytes().count(b"\n")
        assert lines == len(list((work / photos).iterdir())) > 0


def test_it_shows_the_default_policy_and_names_every_kind_and_key():
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    (policy,) = [block.text for block in blocks(PAGE) if block.language == "yaml"]
    assert policy == DEFAULT.read_text(encoding="utf-8")
    assert f"`{', '.join(KINDS)}`" in text
    for key in ("no_box", "malformed", "unplaced", "unknown_language", "unreadable", "intact"):
        assert f"`{key}`" in text


def test_the_figures_are_the_benchmarks():
    script = BENCHMARKS / "inspect_words.py"
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    mini, _, unseen = [line.split() for line in done.stdout.splitlines() if line.startswith("all")]
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    for _, _, _, _, precision, recall in (mini, unseen):
        assert f"| {precision} | {recall} |" in text
