"""docs/defects.md: every block runs as it stands, and prints what the page shows."""


def test_the_page_runs(run_page):
    run_page("defects.md")
