"""The `giqa` command in this process, and what it says of bad input."""

import contextlib
import io
import sys
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def giqa(*arguments: object) -> Done:
    """Run the command."""
    from giqa_metrics.cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["giqa", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(ended.value.code or 0, out.getvalue(), err.getvalue())


def the_one_sentence(stderr: str) -> str:
    """The line that says what is wrong; others may stand before it."""
    assert "Traceback" not in stderr
    (sentence,) = (line for line in stderr.replace("\r", "\n").splitlines() if "giqa: " in line)
    assert sentence.startswith("giqa: ")
    return sentence


def refusal(done: Done) -> str:
    """What is wrong, of a command that refused its input and printed no result."""
    assert (done.code, done.stdout) == (2, "")
    sentence = the_one_sentence(done.stderr)
    assert sentence.isprintable()
    return sentence.removeprefix("giqa: ")
