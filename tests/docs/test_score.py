"""docs/score.md: every block runs as it stands, and prints what the page shows."""

import pytest


@pytest.mark.slow
def test_the_page_runs(run_page):
    work = run_page("score.md")
    assert (work / "runs" / "mine" / "report.html").is_file()
