"""The command itself: its verbs, and the exit code that ends it.

Results go to stdout, progress and errors to stderr. Exit codes:

- 0: done.
- 1: the verb has findings; nothing was wrong with the command.
- 2: bad input, one sentence: a `GiqaError`, the operating system's error, such as a full disk or a loop of links, or a
  fault of the command line.
- 3: `giqa inspect` says REVIEW.
- 130, 143: ended by Ctrl-C or by SIGTERM; one line says what is kept.
- 70: a fault of giqa's own: its traceback, and the address for a report.
"""

import os
import sys
from collections.abc import Callable
from traceback import format_exception
from typing import Annotated, Any

import typer

from giqa_datasets import __version__
from giqa_datasets.errors import GiqaError
from giqa_metrics.cli.annotate import annotate
from giqa_metrics.cli.app import app
from giqa_metrics.cli.build import build
from giqa_metrics.cli.check import check
from giqa_metrics.cli.compare import compare
from giqa_metrics.cli.demo import demo
from giqa_metrics.cli.doctor import doctor
from giqa_metrics.cli.export import export
from giqa_metrics.cli.inspect import inspect
from giqa_metrics.cli.install import install
from giqa_metrics.cli.interruption import interruptible
from giqa_metrics.cli.output import log_printable, print_lines
from giqa_metrics.cli.predict import predict
from giqa_metrics.cli.publish import publish
from giqa_metrics.cli.review import review
from giqa_metrics.cli.score import score


FAULT = "this is a fault of giqa itself: report it, with this traceback, to the developers of giqa"
USAGE: Any = typer.BadParameter.__base__  # click's UsageError, of which typer has a copy
commands = typer.Typer(
    name="giqa",
    help="Grounded image quality assessment: build data sets, predict, score, report.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
verbs: list[Callable[..., None]]
verbs = [demo, annotate, build, check, export, publish, install, predict, score, compare, review, doctor, inspect, app]
for verb in verbs:
    commands.command()(interruptible(verb))


def main() -> None:
    """Run the command; see above for its output and exit code after an error."""
    log_printable()
    try:
        sys.exit(commands(sys.argv[1:] or ["--help"], standalone_mode=False))
    except USAGE as error:
        print_lines(f"giqa: {error.format_message().rstrip('.')}; see {error.ctx.command_path} --help", err=True)
        sys.exit(2)
    except Exception as error:
        is_loop = isinstance(error, RuntimeError) and str(error).startswith("Symlink loop")  # pathlib's, until 3.12
        is_said = is_loop or isinstance(error, GiqaError) or (isinstance(error, OSError) and error.errno is not None)
        if not is_said or os.environ.get("GIQA_TRACEBACK", "0") not in ("", "0"):
            print_lines(*"".join(format_exception(error)).removesuffix("\n").split("\n"), err=True)
        print_lines(f"giqa: {' '.join(str(error).split()) if is_said else FAULT}", err=True)
        sys.exit(2 if is_said else 70)
    except SystemExit as end:
        if end.code in (130, 143):  # what other threads still wait for is of no use to anyone
            sys.stdout.flush()
            os._exit(end.code)
        raise


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
