"""The `giqa` command. Results go to stdout, progress and errors to stderr; 0 is done, 2 is bad input.

Heavy imports stay inside the functions: `giqa --help` answers at once.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from giqa_datasets import __version__
from giqa_datasets.cli import build


app = typer.Typer(
    name="giqa",
    help="Grounded image quality assessment: build data sets, predict, score, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(build)


class Format(StrEnum):
    """How a result is printed."""

    human = "human"
    json = "json"


def main() -> None:
    """Run the command; bad input ends in one sentence, not in a traceback."""
    try:
        app()
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"giqa: {' '.join(str(error).split())}\n")
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None: ...


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder to work in")] = Path("giqa-demo"),
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="train the tiny model for fewer steps than its recipe says")
    ] = None,
) -> None:
    """Run the whole path offline on the mini set: build, load, train, predict, score, report."""
    from giqa_metrics.demo import run_demo

    run_demo(out, max_steps=max_steps)


@app.command()
def install(
    folder: Annotated[Path, typer.Argument(help="a data set folder that giqa build made")],
    remove: Annotated[bool, typer.Option("--remove", help="take it back")] = False,
) -> None:
    """Make load_dataset and evaluate.load work by bare name on this machine, from any folder, offline."""
    from giqa_metrics import install as installer

    if remove:
        for path in installer.remove(folder.resolve().name):
            typer.echo(f"removed {path}")
        return
    for path in installer.install(folder):
        typer.echo(f"wrote {path}")


@app.command()
def predict(
    model: Annotated[str, typer.Option(help="a model folder or Hub id: any transformers image-text-to-text model")],
    data: Annotated[str, typer.Option(help="a data set folder or name")],
    out: Annotated[Path, typer.Option(help="the run's folder; an unfinished run there goes on")],
    config: Annotated[str | None, typer.Option(help="the data set's config: des, vqa; default: all rows")] = None,
    split: Annotated[str, typer.Option(help="the split to answer")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="answer the first so many samples")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="samples generated at once")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 512,
) -> None:
    """Let a model answer a data set: RUN/predictions.jsonl."""
    from tqdm import tqdm

    from giqa_metrics.predict import predict as run

    count = run(
        model,
        data,
        out,
        config=config,
        split=split,
        limit=limit,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        progress=lambda batches, total: tqdm(batches, total=total, desc="predict", unit=" batches"),
    )
    typer.echo(f"{count} answers in {out / 'predictions.jsonl'}")


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder, or a predictions.jsonl")],
    data: Annotated[str | None, typer.Option(help="the data set; default: the one that the run names")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write to; default: beside the predictions")] = None,
    config: Annotated[
        str | None, typer.Option(help="the data set's config; default: the one that the run names")
    ] = None,
    split: Annotated[str | None, typer.Option(help="default: the one that the run names, else test")] = None,
    box_format: Annotated[str, typer.Option(help="how the predictions write boxes")] = "giqa",
    similarity: Annotated[str, typer.Option(help="minilm, bert, lexical, exact, a model id or a folder")] = "minilm",
    format: Annotated[Format, typer.Option(help="what to print")] = Format.human,
) -> None:
    """Score predictions: scores.jsonl, summary.json and report.html."""
    from giqa_metrics.score import score_run

    summary = score_run(
        predictions, data, out=out, config=config, split=split, box_format=box_format, similarity=similarity
    )
    if format is Format.json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    print_tables(summary)
    folder = out or (predictions if predictions.is_dir() else predictions.parent)
    typer.echo(f"report: {(folder / 'report.html').resolve()}")


def print_tables(summary: dict[str, Any]) -> None:
    """Print a summary's score tables to stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from giqa_metrics.table import tables

    console = Console()
    console.width = max(console.width, 120)  # a wrapped table cannot be read
    for table in tables(summary):
        printed = Table(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        printed.add_column("")
        for column in table.columns:
            printed.add_column(column, justify="right")
        for row in table.rows:
            printed.add_row(*row)
        console.print(printed)


if __name__ == "__main__":
    main()
