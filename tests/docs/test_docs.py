"""Every page of docs/: its commands are ones that giqa has, its links lead to files, and the index names it."""

import re
import shlex

import pytest
import typer

from giqa_metrics import cli
from tests.paths import DOCS, ROOT

from .conftest import assert_shown, blocks


PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def commands(page: str, program: str) -> list[str]:
    """The lines of a page's shell blocks that call a program, those that go on on the next line in one."""
    text = "\n".join(text for language, text in blocks(page) if language in ("sh", "bash", "console"))
    return re.findall(rf"^(?:\$ )?({program} .*)$", text.replace("\\\n", " "), re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings of a page."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one_that_giqa_has(page):
    group = typer.main.get_group(cli.commands)
    for line in commands(page, "giqa"):
        _, verb, *arguments = shlex.split(line.replace("|", " # "), comments=True)
        assert verb in group.commands, line
        group.commands[verb].make_context(verb, arguments)  # raises for an option or a value that it does not know


@pytest.mark.parametrize("page", PAGES)
def test_every_launch_of_a_training_is_one_of_the_recipes(page):
    headers = "\n".join(path.read_text() for path in (ROOT / "recipes").rglob("*.yaml"))
    known = " ".join(re.sub(r"\\\n#", " ", headers).split())
    for line in commands(page, "accelerate launch"):
        assert " ".join(line.split()) in known


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|<)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        path = (DOCS / file) if file else DOCS / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def test_the_index_names_every_page():
    named = set(re.findall(r"\]\(([\w.-]+)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    there = {path.name for path in DOCS.iterdir() if path.suffix in (".md", ".ipynb")} - {"README.md"}
    assert there <= named


@pytest.mark.parametrize(
    ("shown", "holds"),
    [
        ("mIoU 0.50\n─────\nb", True),
        ("mIoU 0.52", True),  # as another processor may round
        ("mIoU 0.60", False),
        ("mIoU 0.5 of 3", False),
        ("b\nmIoU 0.50", False),
        ("B", False),
    ],
)
def test_what_a_page_shows_must_be_printed(shown, holds):
    printed = "  mIoU   0.50\n ──\n\na\nb\n"
    if holds:
        assert_shown(shown, printed)
    else:
        with pytest.raises(AssertionError, match="is not printed"):
            assert_shown(shown, printed)
