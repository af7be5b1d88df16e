"""docs/benchmarks.md: every block runs on the sets in miniature, and prints what the page shows."""

import pytest

from tests.region_sets import write_synthscars, write_vida, write_vida_2k, write_x_aigd


@pytest.mark.slow
def test_the_page_runs(run_page, tmp_path):
    write_vida(tmp_path / "ViDA-MIPI-dataset")
    write_vida_2k(tmp_path / "benchmark-2k")
    write_x_aigd(tmp_path / "X-AIGD")
    write_synthscars(tmp_path / "SynthScars")
    work = run_page("benchmarks.md")
    assert (work / "vida-ugc-apart" / "README.md").is_file()
