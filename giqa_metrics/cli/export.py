"""The verb export: a data set folder in the form of another tool."""

from pathlib import Path
from typing import Annotated

import typer

from giqa_metrics.cli.output import print_lines
from giqa_metrics.cli.progress import progress_bars


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="a data set folder that giqa build made")],
    to: Annotated[
        str, typer.Option(metavar="FORM", help="coco, hf-objects, label-studio, llava, ms-swift or vlmevalkit")
    ],
    out: Annotated[Path | None, typer.Option(help="folder to make; default: ./FOLDER.FORM")] = None,
    own_use: Annotated[
        bool,
        typer.Option(
            "--own-use",
            help="with photographs that are not marked redistributable; the export must then stay with you",
        ),
    ] = False,
) -> None:
    """Write a data set in the form of another trainer, evaluation or annotation tool."""
    from giqa_datasets.exports import export as run
    from giqa_datasets.exports import sentences

    out = out or Path(f"{folder.resolve().name}.{to}")
    with progress_bars() as progress:
        exported = run(folder, to, out, own_use=own_use, progress=progress)
    for split, (n_photographs, n_rows) in exported.splits.items():
        print_lines(f"{out} {split}: {n_rows:,} rows of {n_photographs:,} photographs")
    for sentence in sentences(exported.left_out):
        print_lines(f"left out: {sentence}")
    if any(each.reason.startswith("not marked") for each in exported.left_out):
        print_lines("--own-use writes photographs that are not redistributable too, for you alone")
