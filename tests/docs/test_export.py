"""docs/export.md: its six exports run, and the way back from Label Studio."""

import pytest


@pytest.mark.slow
def test_the_page_runs(run_page):
    work = run_page("export.md", {})
    assert (work / "corrected" / "data").is_dir()
