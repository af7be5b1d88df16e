"""The verb predict: a model's answers to a data set."""

from pathlib import Path
from typing import Annotated

import typer

from giqa_datasets.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from giqa_metrics.cli.options import BatchSize, MaxNewTokens, Model, Processor, Server
from giqa_metrics.cli.output import print_lines
from giqa_metrics.cli.progress import progress_bars


def predict(
    model: Model,
    data: Annotated[str, typer.Option(help="a data set folder or name")],
    out: Annotated[Path, typer.Option(help="the run's folder; an unfinished run there goes on")],
    server: Server = None,
    box_format: Annotated[
        str | None,
        typer.Option(
            help="how the model writes boxes: a format, or a file of giqa doctor; giqa score reads it from the run; "
            "default: the file in the model's folder, else giqa"
        ),
    ] = None,
    config: Annotated[str | None, typer.Option(help="the data set's config: des, vqa; default: all rows")] = None,
    split: Annotated[str, typer.Option(help="the split to answer")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="answer the first so many samples")] = None,
    batch_size: BatchSize = BATCH_SIZE,
    max_new_tokens: MaxNewTokens = MAX_NEW_TOKENS,
    question_as_is: Annotated[
        bool,
        typer.Option(
            "--question-as-is", help="ask with the data set's column prompt; default: hint and boxes in the box format"
        ),
    ] = False,
    processor: Processor = None,
) -> None:
    """Let a model answer a data set: RUN/predictions.jsonl."""
    from giqa_metrics.runs.predict import predict as run

    with progress_bars() as progress:
        count, faults = run(
            model,
            data,
            out,
            server=server,
            box_format=box_format,
            config=config,
            split=split,
            limit=limit,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            question_as_is=question_as_is,
            processor=processor,
            progress=progress,
        )
    print_lines(f"{count} answers in {out / 'predictions.jsonl'}")
    if faults:
        name, why = next(iter(faults.items()))
        print_lines(f"{len(faults)} got none, {name} for one {why}; the same command asks again")
        raise typer.Exit(1)
