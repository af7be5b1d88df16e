"""benchmarks/defects.py on a few photographs: pycocotools is an independent count of what is found."""

import subprocess
import sys

from tests.paths import BENCHMARKS


def test_the_recalls_are_those_of_pycocotools(tmp_path):
    small = ["--samples", "60", "--peer-samples", "60", "--rounds", "1"]
    command = [sys.executable, BENCHMARKS / "defects.py", *small]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "identical to pycocotools in each class" in done.stdout
    assert "ours/it" in done.stdout
