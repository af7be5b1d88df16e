"""What several verbs print on stdout: scores, checks, comparisons."""

from collections.abc import Sequence
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING, Any

from giqa_metrics.cli.output import print_lines, print_table


if TYPE_CHECKING:
    from giqa_metrics.resampling import Difference
    from giqa_metrics.runs.check import Number
    from giqa_metrics.runs.compare import ScoreDifference


def print_tables(summary: dict[str, Any]) -> None:
    """Print a summary's score tables to stdout."""
    from giqa_metrics.runs.table import tables

    for table in tables(summary):
        print_table(table.title, table.columns, [(name, *cells) for name, cells in table.rows])
        if table.note:
            print_lines(table.note, "")


def print_checked(numbers: "Sequence[Number]") -> None:
    """Print what does not hold to stdout, and how much does."""
    for number in numbers:
        if not number.holds:
            print_lines(f"{number.name}: stated {number.stated!r}, found {number.found!r}")
    print_lines(f"{sum(number.holds for number in numbers)} of {len(numbers)} entries hold")


def print_compared(found: "Sequence[ScoreDifference]") -> None:
    """Print comparisons of runs to stdout, a table for each pair."""
    for (a, b), pair in groupby(found, key=lambda each: each[:2]):
        rows, counts = [], {}
        for each in pair:
            counts[each.task] = f"{each.task}: {each.n_images:,} photographs, {each.n_samples:,} samples"
            values = [f"{value:.4f}" if isinstance(value, float) else value or "-" for value in (each.a, each.b)]
            cells = ["-"] * 4 if each.difference is None else _compared(each.difference, each.p_holm or 0.0)
            rows.append((f"{each.task} {each.score}", *values, *cells))
        print_table(f"{b} against {a}", [a, b, "difference", "95 % interval", "p", "p (Holm)"], rows)
        print_lines("; ".join(counts.values()))
    n_tested = sum(each.difference is not None for each in found)
    print_lines(f"p (Holm) is corrected for the {n_tested} scores tested here.")


def _upwards(bound: float) -> float:
    """Round a bound to three decimals, up, so that it still holds.

    Example:
        >>> _upwards(0.01399), _upwards(1 / 1001), _upwards(0.022)
        (0.014, 0.001, 0.022)
    """
    return ceil(round(bound * 1000, 6)) / 1000


def _compared(difference: "Difference", p_holm: float) -> list[str]:
    """Write a difference, its interval and its p-values; those at the floor are lower than it."""
    bounds = difference.interval and "{:+.4f} to {:+.4f}".format(*difference.interval)
    is_lowest = difference.p_value <= difference.floor
    p_values = [f"< {_upwards(p):g}" if is_lowest and p < 1 else f"{p:.3f}" for p in (difference.p_value, p_holm)]
    return [f"{difference.b - difference.a:+.4f}", bounds or "-", *p_values]
