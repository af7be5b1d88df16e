"""Where the checkout's files are."""

from pathlib import Path


TESTS = Path(__file__).parent
DATA = TESTS / "data"
ROOT = TESTS.parent
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"
