"""The verb install: the literal load calls on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from giqa_metrics.cli.output import print_lines


def install(
    folder: Annotated[Path, typer.Argument(help="a data set folder that giqa build made")],
    remove: Annotated[bool, typer.Option("--remove", help="take it back")] = False,
) -> None:
    """Make load_dataset and evaluate.load work by bare name on this machine, from any folder, offline."""
    from giqa_metrics import install as installer

    if remove:
        for path in installer.remove(folder.resolve().name):
            print_lines(f"removed {path}")
        return
    for path in installer.install(folder):
        print_lines(f"wrote {path}")
