"""The command itself: its verbs, and the exit code that ends it.

Results go to stdout, progress and errors to stderr. Exit codes:

- 0: done.
- 1: something that the verb looks for was found; nothing was wrong with the command.
- 2: bad input, one sentence: a `GiqaError`, or what the operating system itself refuses, such as a full disk.
- 3: `giqa inspect` says REVIEW.
- 70: a fault of giqa's own: its traceback, and where to report it.
"""

import os
import sys
from traceback import format_exception
from typing import Annotated

import typer

from giqa_datasets import __version__
from giqa_datasets.errors import GiqaError
from giqa_metrics.cli import (
    annotate,
    app,
    build,
    check,
    compare,
    demo,
    doctor,
    inspect,
    install,
    predict,
    publish,
    review,
    score,
)


FAULT = "this is a fault of giqa itself: report it, with this traceback, to the developers of giqa"
commands = typer.Typer(
    name="giqa",
    help="Grounded image quality assessment: build data sets, predict, score, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (
    demo.demo,
    annotate.annotate,
    build.build,
    check.check,
    publish.publish,
    install.install,
    predict.predict,
    score.score,
    compare.compare,
    review.review,
    doctor.doctor,
    inspect.inspect,
    app.app,
):
    commands.command()(verb)


def main() -> None:
    """Run the command; see above for what it prints and returns when something goes wrong."""
    try:
        commands()
    except Exception as error:
        is_said = isinstance(error, GiqaError) or (isinstance(error, OSError) and error.errno is not None)
        if not is_said or os.environ.get("GIQA_TRACEBACK", "0") not in ("", "0"):
            sys.stderr.write("".join(format_exception(error)))
        said = " ".join(str(error).split())
        sys.stderr.write(f"giqa: {said}\n" if is_said else f"giqa: {FAULT}\n")
        sys.exit(2 if is_said else 70)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _traceback(wanted: bool) -> None:
    if wanted:
        os.environ["GIQA_TRACEBACK"] = "1"


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", callback=_traceback, help="show an error's traceback, as GIQA_TRACEBACK=1 does"),
    ] = False,
) -> None: ...
