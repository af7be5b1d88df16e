"""Runs a page of docs/: its blocks in their order, in a folder of their own; what they print is held against the page.

A block of `sh` or `python` is run; the `text` after it is what it prints, maybe with lines left out. A block of
`console` is not run.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from giqa_datasets.package_files import shipped
from tests.paths import DOCS


NUMBER = re.compile(r"[-+]?\d+\.\d+")


class Block(NamedTuple):
    """A fenced block: its language, and its text."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page of docs/, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found]


def lines_of(text: str) -> list[str]:
    """Lines that hold something; blanks side by side count as one, and so do the dashes of a table's rule."""
    return [re.sub("─+", "─", " ".join(line.split())) for line in text.splitlines() if line.strip()]


def alike(shown: str, printed: str) -> bool:
    """Whether two lines agree: in every letter, and in decimals so far as another processor may round them."""
    numbers = [list(map(float, NUMBER.findall(line))) for line in (shown, printed)]
    return NUMBER.sub("#", shown) == NUMBER.sub("#", printed) and numbers[0] == pytest.approx(numbers[1], abs=0.03)


def assert_shown(shown: str, printed: str) -> None:
    """Every line that a page shows was printed, in its order; some of those printed may be left out."""
    left: Iterator[str] = iter(lines_of(printed))
    for line in lines_of(shown):
        assert any(alike(line, other) for other in left), f"{line!r} is not printed, or not in this order:\n{printed}"


@pytest.fixture
def run_page(tmp_path, programs) -> Callable[..., Path]:
    """Run a page; `replaced` has what of its commands is written otherwise here, and then no output is compared.

    Its programs are warm, but for those of an `env` of its own: what starts others and hands them pipes, as Ray does,
    cannot be forked, and what reads its environment as it is imported must find that one.
    """

    def run(page: str, replaced: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None) -> Path:
        (tmp_path / "recipes").symlink_to(shipped("recipes"))
        env = env or os.environ | {"PATH": programs}
        unused = set(replaced or ())
        ran = 0
        for (language, text), after in pairwise([*blocks(page), Block("", "")]):
            if language not in ("sh", "python"):
                continue
            here = text
            for long, short in (replaced or {}).items():
                unused -= {long} if long in text else set()
                here = here.replace(long, short)
            shell = ["bash", "-euc", here] if language == "sh" else ["python", "-c", here]
            done = subprocess.run(shell, cwd=tmp_path, env=env, check=False, capture_output=True, text=True)
            assert done.returncode == 0, f"{here}\n{done.stdout}\n{done.stderr[-3000:]}"
            if after.language == "text" and here == text:
                assert_shown(after.text, done.stdout)
            ran += 1
        assert ran
        assert not unused, "nothing on the page is as these say"
        return tmp_path

    return run
