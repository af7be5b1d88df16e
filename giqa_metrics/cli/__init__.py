"""The `giqa` command. Results go to stdout, progress and errors to stderr; 0 is done, 2 is bad input.

A file for each verb, whose heavy imports stay inside its functions: `giqa --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from giqa_datasets import __version__
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
    """Run the command; bad input ends in one sentence, not in a traceback."""
    try:
        commands()
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"giqa: {' '.join(str(error).split())}\n")
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None: ...
