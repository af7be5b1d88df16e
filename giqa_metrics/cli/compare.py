"""The verb compare: runs on the same samples."""

from pathlib import Path
from typing import Annotated

import typer

from giqa_datasets.defaults import RESAMPLES
from giqa_metrics.cli.options import OutputFormat, Printed
from giqa_metrics.cli.output import print_json
from giqa_metrics.cli.tables import print_compared


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="a scored run's folder")],
    others: Annotated[list[Path], typer.Argument(metavar="B...", help="others, on the same samples")],
    resamples: Annotated[int, typer.Option(min=1, help="random swaps of the images")] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="of the random numbers")] = 0,
    format: Printed = OutputFormat.human,
) -> None:
    """Compare runs with the first, on the same samples: differences, their confidence intervals, and a paired test."""
    from giqa_metrics.runs.compare import compare_runs

    found = compare_runs(a, *others, resamples=resamples, seed=seed)
    if format is OutputFormat.json:
        print_json([each._asdict() | {"difference": each.difference and each.difference._asdict()} for each in found])
        return
    print_compared(found)
