"""What the `giqa` command prints for people: scores, checks and comparisons, as tables on stdout."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from giqa_datasets.console import new_table, print_table, printable


if TYPE_CHECKING:
    from collections.abc import Sequence

    from giqa_datasets.check import Examined
    from giqa_metrics.recipe_check.recipe import Checked
    from giqa_metrics.runs.check import Number
    from giqa_metrics.runs.compare import Compared


def print_tables(summary: dict[str, Any]) -> None:
    """Print a summary's score tables to stdout."""
    from giqa_metrics.runs.table import tables

    for table in tables(summary):
        printed = new_table(table.title, table.columns)
        for name, cells in table.rows:
            printed.add_row(name, *("\n".join(filter(None, cell)) for cell in cells))
        print_table(printed)
        if table.note:
            typer.echo(f"{table.note}\n")


def print_checked(numbers: "Sequence[Number]") -> None:
    """Print what does not hold to stdout, and how much does."""
    for number in numbers:
        if not number.holds:
            typer.echo(f"{number.name}: stated {number.stated!r}, found {number.found!r}")
    typer.echo(f"{sum(number.holds for number in numbers)} of {len(numbers)} entries hold")


def print_examined(examined: "Examined") -> None:
    """Print what does not hold in a data set to stdout, and what it holds by split."""
    from giqa_datasets.records import QUESTION_TYPES

    for finding in examined.findings:
        typer.echo(f"{finding.where}: {finding.what}")
    table = new_table(examined.name, ["images", "rows", *QUESTION_TYPES])
    for split, counts in examined.splits.items():
        numbers = len(counts.images), counts.rows.total(), *(counts.rows[kind] for kind in QUESTION_TYPES)
        table.add_row(split, *map(str, numbers))
    print_table(table)
    for source, pixels, text in sorted(set().union(*(counts.sources for counts in examined.splits.values()))):
        typer.echo(f"{source}: pixels {pixels}, text {text}")
    for (source, _), absent in examined.absent.items():
        typer.echo(f"{absent.rows:,} rows of {source} without pixels")
    typer.echo(f"findings: {len(examined.findings)}")


def print_recipe(checked: "Checked") -> None:
    """Print what a recipe does to samples to stdout: their tokens, where their boxes land, and what is wrong."""
    tokens = new_table(
        f"{checked.recipe}: {checked.model} ({checked.model_type}, {checked.processor})",
        ["picture", "seen", "views", "main view", "image tokens", "text tokens", "answer", "max_length", "learned"],
    )
    boxes = new_table("where boxes land", ["box", "view", "lands at", "seen", "cells off"])
    for sample in checked.samples:
        count = sample.tokens
        tokens.add_row(
            printable(sample.id),
            "{} x {}".format(*sample.size),
            f"{sample.seen:.0%}",
            str(sample.views),
            "{} x {}".format(*sample.view),
            *map(str, (count.image, count.text, count.answer)),
            "-" if checked.max_length is None else f"{count.kept} of {checked.max_length}",
            str(count.learned),
        )
        for placed in sample.boxes:
            lands = placed.landed
            boxes.add_row(
                f"{printable(sample.id)} {printable(placed.phrase)}",
                " ".join(f"{side:.3f}" for side in placed.box),
                str(lands.view + 1),
                "-" if lands.box is None else " ".join(f"{side:.0f}" for side in lands.box),
                f"{lands.share:.0%}",
                f"{lands.error:.2f}",
            )
    print_table(tokens)
    print_table(boxes)
    ending = printable(checked.samples[0].answer[-40:])
    typer.echo(f"answers end like '{ending}'; boxes are written as {' or '.join(checked.formats) or 'nothing known'}")
    for sentence in [*(f"warning: {warning}" for warning in checked.warnings), *checked.findings]:
        typer.echo(sentence)
    if checked.pictures:
        typer.echo(f"pictures: {Path(checked.pictures[0]).resolve().parent}")
    typer.echo(f"findings: {len(checked.findings)}")


def print_compared(found: "Sequence[Compared]", a: str, b: str) -> None:
    """Print a comparison of two runs to stdout."""
    table = new_table(f"{b} against {a}", [a, b, "difference", "95 % interval", "p"])
    for task, name, difference in found:
        if difference is not None:
            bounds = difference.interval and "{:+.4f} to {:+.4f}".format(*difference.interval)
            table.add_row(
                f"{task} {name}",
                f"{difference.a:.4f}",
                f"{difference.b:.4f}",
                f"{difference.b - difference.a:+.4f}",
                bounds or "-",
                f"{difference.p_value:.3f}",
            )
    print_table(table)
