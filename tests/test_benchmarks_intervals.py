"""`benchmarks/intervals.py` prints a row for each score, and a few sets show that its intervals are no nonsense."""

import subprocess
import sys

import pytest

from giqa_metrics import description, grounding, vqa
from giqa_metrics.description import DescriptionStats
from giqa_metrics.grounding import GroundingStats
from giqa_metrics.vqa import VqaStats
from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


def test_every_score_has_a_coverage(tmp_path):
    ran = subprocess.run(
        [sys.executable, BENCHMARKS / "intervals.py", "--images", "28", "--sets", "60"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {name: list(map(float, numbers)) for name, *numbers in map(str.split, ran.stdout.splitlines()[2:])}
    empty = [
        grounding.aggregate(GroundingStats()),
        description.aggregate(DescriptionStats()),
        vqa.aggregate(VqaStats()),
    ]
    scores = {name for each in empty for name in each if not name.startswith("n_")}
    assert rows.keys() == scores
    for _, held, width in rows.values():
        assert 0.8 < held <= 1
        assert width > 0
