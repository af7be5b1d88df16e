"""The benchmark's made-up ViDA-UGC is one that the builder takes whole, and its rates are printed."""

import importlib
import re
import sys

import pytest

from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


def test_every_row_of_the_made_up_set_is_built_and_rates_are_printed(monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    region_sets = importlib.import_module("region_sets")
    monkeypatch.setattr(sys, "argv", ["region_sets.py", "--photographs", "2", "--folder", str(tmp_path)])
    region_sets.main()
    printed = capsys.readouterr().out
    assert printed.startswith("2 photographs, 90 rows; stored 1.0")
    rates = re.findall(r"([\d,]+) rows per CPU-second", printed)
    assert len(rates) == 3
    assert all(int(rate.replace(",", "")) > 0 for rate in rates)
    assert list(tmp_path.iterdir()) == []
