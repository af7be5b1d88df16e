"""docs/reproduce.md: the small path runs as it stands, and prints what the page shows."""

import pytest


@pytest.mark.slow
def test_the_page_runs(run_page):
    work = run_page("reproduce.md")
    assert (work / "runs" / "tiny-160k" / "report.html").is_file()
