"""The verb doctor: shows a model squares, says which box format its answers are in, and writes that down."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.defaults import BATCH_SIZE
from giqa_datasets.errors import UnavailableError
from giqa_metrics.cli.options import BatchSize, MaxNewTokens, OutputFormat, Printed, Processor, Server
from giqa_metrics.cli.output import print_json, print_lines, print_table
from giqa_metrics.cli.progress import progress_bars


if TYPE_CHECKING:
    from giqa_metrics.doctor.diagnose import Diagnosis

FEWEST = 8  # pictures: of fewer, chance deals too many alike


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="a folder or Hub id of a model or an adapter; with --server, its name there"
        ),
    ],
    server: Server = None,
    processor: Processor = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="the file to write; default: box_format.json in the model's own folder, else MODEL.box_format.json"
        ),
    ] = None,
    question: Annotated[
        list[str] | None,
        typer.Option(help="ask this instead; {colour} becomes the square's, green or magenta; may be repeated"),
    ] = None,
    pictures: Annotated[int, typer.Option(min=FEWEST, help="how many pictures")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="of the pictures")] = 0,
    batch_size: BatchSize = BATCH_SIZE,
    max_new_tokens: MaxNewTokens = 128,
    draw: Annotated[
        Path | None, typer.Option(help="folder for a picture of all squares and of the model's boxes")
    ] = None,
    format: Printed = OutputFormat.human,
) -> None:
    """Find out in which format a model writes boxes, and write that down for predict and score.

    The exit code is 1 if no format fits.
    """
    from giqa_datasets.images import write_image
    from giqa_metrics.doctor.contact_sheet import draw_sheet
    from giqa_metrics.doctor.examine import QUESTIONS, examine, left_out, summary
    from giqa_metrics.doctor.squares import draw_pictures
    from giqa_metrics.models import open_predictor
    from giqa_metrics.models.box_format_file import default_path, write_format_file

    path = out or default_path(model, server=server is not None)
    folder = next(parent for parent in (*path.parents, Path()) if parent.exists())
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise UnavailableError(f"{path} cannot be written: choose another file with --out")
    predictor = open_predictor(
        model, server, batch_size=batch_size, max_new_tokens=max_new_tokens, processor=processor
    )
    drawn = draw_pictures(pictures, seed)
    with progress_bars() as progress:
        diagnosis = examine(
            predictor,
            drawn,
            questions=question or QUESTIONS,
            without=list(left_out(server, processor)),
            seed=seed,
            progress=progress,
        )
    found = summary(model, diagnosis, server=server is not None, left_out=left_out(server, processor), seed=seed)
    sheet: Path | None = None
    if draw is not None:
        draw.mkdir(parents=True, exist_ok=True)
        sheet = draw / f"{path.stem}.png"
        write_image(sheet, draw_sheet(drawn, diagnosis, _sentence(found["model"], diagnosis)))
    write_format_file(path, found)
    if format is OutputFormat.json:
        print_json(found | {"file": str(path), "sheet": sheet and str(sheet)})
    else:
        _print(found["model"], diagnosis, found["left_out"])
        if sheet is not None:
            print_lines(f"picture: {sheet}")
        print_lines(f"file: {path}")
    if diagnosis.box_format is None:
        raise typer.Exit(1)


def _print(model: str, diagnosis: "Diagnosis", left_out: dict[str, str]) -> None:
    """Print a diagnosis for people."""
    from giqa_datasets.formats import FORMATS

    rows = [
        (fit.name, str(fit.readable), f"{fit.mean_iou:.3f}", f"{fit.median_error:.2f}", f"{fit.sure:.3f}")
        for fit in diagnosis.fits
        if fit.median_error is not None
    ]
    if rows:
        title = f"{model}: {len(diagnosis.answers)} pictures"
        print_table(title, ["readable", "mean IoU", "cells off", "sure"], rows)
    if unread := [fit.name for fit in diagnosis.fits if not fit.readable and fit.name in FORMATS]:
        print_lines(f"no box was read as {', '.join(unread)}")
    print_lines(f"asked: {diagnosis.question}")
    print_lines(f"first answer: {diagnosis.answers[0][:100]}")
    if left_out:
        print_lines("left out behind a server: " + "; ".join(f"{name} {reason}" for name, reason in left_out.items()))
    if diagnosis.nameless:
        print_lines(f"{diagnosis.nameless} answers have boxes without a name: giqa score counts such as malformed")
    if diagnosis.alike:
        print_lines(f"{', '.join(diagnosis.alike)} would read every answer alike")
    print_lines(_sentence(model, diagnosis))


def _sentence(model: str, diagnosis: "Diagnosis") -> str:
    """Say in one sentence what was found."""
    if diagnosis.box_format is None:
        return f"no box format fits {model}: {diagnosis.why}"
    return f"{model} writes boxes as {diagnosis.box_format} ({diagnosis.why})"
