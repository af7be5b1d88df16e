"""Progress bars, which are turned off in all other tests."""

import os
import subprocess
import sys


SCRIPT = """
import time
from giqa_metrics.cli.progress import progress_bars
with progress_bars() as bar:
    for _ in bar(range(7), 7, "asked"):
        time.sleep(0.1)
"""


def test_what_lasts_gets_a_bar_that_counts():
    env = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, check=True, capture_output=True, text=True)
    assert "asked" in done.stderr
    assert "7/7" in done.stderr
    assert done.stdout == ""
