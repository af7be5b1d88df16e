"""The verb score: predictions to scores and a report."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from giqa_datasets.defaults import RESAMPLES
from giqa_metrics.cli.options import OutputFormat, Printed
from giqa_metrics.cli.output import print_json, print_lines
from giqa_metrics.cli.progress import progress_bars
from giqa_metrics.cli.tables import print_tables


class Preset(StrEnum):
    """Definitions of the box metrics."""

    paper = "paper"
    glamm = "glamm"


def score(
    predictions: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder, or a predictions.jsonl")],
    data: Annotated[str | None, typer.Option(help="the data set; default: the one that the run names")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write to; default: beside the predictions")] = None,
    config: Annotated[
        str | None, typer.Option(help="the data set's config; default: the one that the run names")
    ] = None,
    split: Annotated[str | None, typer.Option(help="default: the one that the run names, else test")] = None,
    box_format: Annotated[
        str | None,
        typer.Option(
            help="how the predictions write boxes: a format, or a file of giqa doctor; default: as the run says, "
            "else giqa"
        ),
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="minilm, bert, lexical, exact, a model id or a folder; default: the preset's")
    ] = None,
    preset: Annotated[Preset, typer.Option(help="the paper's definitions, or GLaMM's reading of them")] = Preset.paper,
    exact_boxes: Annotated[
        bool, typer.Option("--exact-boxes", help="score against the boxes before the grid")
    ] = False,
    judge: Annotated[
        str | None, typer.Option(help="the model that judges descriptions and open answers; without one, nobody does")
    ] = None,
    judge_url: Annotated[
        str | None,
        typer.Option(help="its OpenAI-compatible server; its key is in GIQA_JUDGE_API_KEY; default: run it here"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="ask the judge so often, to see how steady it is")] = 1,
    judge_prompt: Annotated[
        list[str] | None,
        typer.Option(help="ask the judge by another prompt: coverage.v1, description.v1, answer.v1; may be repeated"),
    ] = None,
    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="ask once more where a logged reply held no score, with another seed")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what the judge would be asked, and stop")] = False,
    resamples: Annotated[int, typer.Option(min=0, help="of the confidence intervals; 0 makes none")] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="of the intervals and of the answers dealt to other photographs")] = 0,
    format: Printed = OutputFormat.human,
) -> None:
    """Score predictions: scores.jsonl, summary.json and report.html, and judge.jsonl if there is a judge.

    The exit code is 1 if calls to the judge failed.
    """
    from giqa_metrics.judges import DEFAULT_MODEL, open_judge
    from giqa_metrics.runs.counts import sentences
    from giqa_metrics.runs.score import Options, score_run, verdicts_of_run

    folder = out or (predictions if predictions.is_dir() else predictions.parent)
    options = Options(box_format, similarity, preset.value, exact_boxes, resamples, seed)
    opened = partial(
        open_judge,
        model=judge or DEFAULT_MODEL,
        base_url=judge_url,
        log=folder / "judge.jsonl",
        repeats=repeats,
        prompts=judge_prompt or (),
        ask_again=ask_again,
    )
    if dry_run:
        asked = verdicts_of_run(predictions, data, config=config, split=split, options=options)
        print_json(opened().plan(asked)._asdict())
        return
    with progress_bars() as progress:
        judging = opened(progress=progress) if judge or judge_url else None
        summary = score_run(predictions, data, out=out, config=config, split=split, options=options, judge=judging)
    if format is OutputFormat.json:
        print_json(summary)
    else:
        print_tables(summary)
        print_lines(*sentences(summary["read"]))
        if (folder / "report.html").is_file():  # a set without pixels has none
            print_lines(f"report: {(folder / 'report.html').resolve()}")
    if judging and judging.n_faults:
        print_lines(f"{judging.n_faults} calls to the judge failed; the same command makes them again", err=True)
        raise typer.Exit(1)
