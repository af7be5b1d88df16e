"""What the `giqa` command prints: lines, tables, JSON, log messages. Text of others steers a terminal in none of them.

Each escapes what is invisible or what a terminal would obey, so that its callers hand texts on as they are.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import typer

from giqa_datasets.console import printable


def print_lines(*lines: str, err: bool = False) -> None:
    """Print lines to stdout, or to stderr; a line break within one is escaped."""
    typer.echo("".join(f"{printable(line)}\n" for line in lines), nl=False, err=err)


def print_json(value: Any) -> None:
    """Print a value for a program to stdout."""
    lines = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
    typer.echo("\n".join(line if line.isprintable() else _escaped(line) for line in lines))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | tuple[str, ...]]], *, left: Sequence[str] = ()
) -> None:
    """Print a table to stdout, however narrow the window is: a wrapped one cannot be read.

    Args:
        title: Above it.
        columns: All but the first, which has the rows' names.
        rows: Their cells; a tuple is one of several lines, of which empty ones are left out.
        left: Columns of text; the others are numbers.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(printable(column), justify="left" if column in left else "right", no_wrap=True)
    for row in rows:
        cells = ((cell,) if isinstance(cell, str) else cell for cell in row)
        table.add_row(*("\n".join(map(printable, filter(None, cell))) for cell in cells))
    console = Console(highlight=False, markup=False)
    wanted = Console(width=1000, height=25, markup=False).measure(table).maximum
    console.size = (max(console.width, 120, wanted), console.height)  # both, or a dumb terminal is 80 wide
    console.print(printable(title), style="bold")  # the table itself would wrap it to its own width
    console.print(table)


def log_printable() -> None:
    """Escape log messages as they come, ours and those of libraries, whose line breaks stay."""

    def record(*args: Any, **named: Any) -> logging.LogRecord:
        made = logging.LogRecord(*args, **named)
        with suppress(Exception):  # a message that does not fit its values: logging says so where it is printed
            said = made.getMessage()
            lines = [said] if made.name.startswith("giqa_") else said.split("\n")
            made.msg, made.args = "\n".join(map(printable, lines)), None
        return made

    logging.setLogRecordFactory(record)


def _escaped(line: str) -> str:
    """A line of JSON with escapes for what is not printable, which stands in strings alone."""
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)
