"""Tables on stdout, and text that may be shown there."""

from collections.abc import Sequence
from typing import Any


def new_table(title: str, columns: Sequence[str], *, left: Sequence[str] = ()) -> Any:
    """A table to be filled: a column of names, then numbers; `left` are columns of text."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return table


def printable(text: str) -> str:
    """A text on one line, in which what a terminal would obey and what cannot be seen stand as escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def print_table(table: Any) -> None:
    """Print a table, however narrow the window is: a wrapped one cannot be read."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    wanted = Console(width=1000, height=25, markup=False).measure(table).maximum
    console.size = (max(console.width, 120, wanted), console.height)  # both, or a dumb terminal is 80 wide
    console.print(table.title, style="bold")  # the table itself would wrap it to its own width
    table.title = None
    console.print(table)
