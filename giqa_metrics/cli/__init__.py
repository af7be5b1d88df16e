"""The `giqa` command. Results go to stdout, progress and errors to stderr; 0 is done, 2 is bad input.

Heavy imports stay inside the functions: `giqa --help` answers at once.
"""

import json
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from giqa_datasets import __version__
from giqa_datasets.errors import InputError
from giqa_metrics.cli.annotate import Format, annotate, build, progress_bars
from giqa_metrics.cli.app import app as demo_app
from giqa_metrics.cli.doctor import doctor
from giqa_metrics.cli.inspect import inspect
from giqa_metrics.cli.options import BatchSize, MaxNewTokens, Model, Server
from giqa_metrics.cli.publish import publish
from giqa_metrics.cli.review import review
from giqa_metrics.cli.tables import print_checked, print_compared, print_examined, print_recipe, print_tables


app = typer.Typer(
    name="giqa",
    help="Grounded image quality assessment: build data sets, predict, score, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(annotate)
app.command()(build)
app.command()(publish)
app.command()(review)
app.command()(doctor)
app.command()(inspect)
app.command("app")(demo_app)


class Preset(StrEnum):
    """Definitions of the box metrics."""

    paper = "paper"
    glamm = "glamm"


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
    from giqa_metrics.cli.demo import run_demo

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
    batch_size: BatchSize = 16,
    max_new_tokens: MaxNewTokens = 512,
) -> None:
    """Let a model answer a data set: RUN/predictions.jsonl."""
    from tqdm import tqdm

    from giqa_metrics.runs.predict import predict as run

    count = run(
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
        progress=lambda answers, total: tqdm(answers, total=total, desc="predict", unit=" samples"),
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what the judge would be asked, and stop")] = False,
    resamples: Annotated[int, typer.Option(min=0, help="of the confidence intervals")] = 1000,
    seed: Annotated[int, typer.Option(help="of the confidence intervals")] = 0,
    format: Annotated[Format, typer.Option(help="what to print")] = Format.human,
) -> None:
    """Score predictions: scores.jsonl, summary.json and report.html, and judge.jsonl if there is a judge."""
    from giqa_metrics.runs.score import Options, score_run, verdicts_of_run

    folder = out or (predictions if predictions.is_dir() else predictions.parent)
    options = Options(box_format, similarity, preset.value, exact_boxes, resamples, seed)
    opened = partial(_open_judge, judge, judge_url, folder / "judge.jsonl", repeats)
    if dry_run:
        asked = verdicts_of_run(predictions, data, config=config, split=split, options=options)
        _print_json(opened().plan(asked)._asdict())
        return
    judging = opened() if judge or judge_url else None
    summary = score_run(predictions, data, out=out, config=config, split=split, options=options, judge=judging)
    if format is Format.json:
        _print_json(summary)
        return
    print_tables(summary)
    typer.echo(f"report: {(folder / 'report.html').resolve()}")


@app.command()
def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="a scored run's folder, a data set folder, a recipe (.yaml), or a manifest of images"
        ),
    ],
    images: Annotated[
        list[Path] | None, typer.Option(help="a folder of your own copies of the manifest's images; may be repeated")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="samples of a recipe's data to try; default: 8")] = None,
    draw: Annotated[
        Path | None,
        typer.Option(help="folder for pictures of a recipe's samples; default: RECIPE.check, if something is wrong"),
    ] = None,
    format: Annotated[Format, typer.Option(help="what to print")] = Format.human,
) -> None:
    """Compute a run's numbers again, read a data set to its end, or try a recipe's data on its model's processor.

    The exit code is 1 if something does not hold.
    """
    is_recipe = path.suffix in (".yaml", ".yml") and not images
    if not is_recipe and path.is_file() != bool(images):
        raise InputError(f"expected --images with a manifest and with nothing else, got {path}")
    if not is_recipe and (limit or draw):
        raise InputError(f"expected --limit and --draw with a recipe alone, got {path}")
    if images:
        holds = _check_images(path, images, format)
    elif is_recipe:
        holds = _check_recipe(path, limit or 8, draw, format)
    elif (path / "data").is_dir():
        holds = _check_dataset(path, format)
    else:
        holds = _check_run(path, format)
    if not holds:
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="a scored run's folder")],
    b: Annotated[Path, typer.Argument(metavar="B", help="another, on the same samples")],
    resamples: Annotated[int, typer.Option(min=1, help="of the images, and random swaps")] = 1000,
    seed: Annotated[int, typer.Option(help="of the random numbers")] = 0,
    format: Annotated[Format, typer.Option(help="what to print")] = Format.human,
) -> None:
    """Compare two runs on the same samples: differences, their confidence intervals, and a paired test."""
    from giqa_metrics.runs.compare import compare_runs

    found = compare_runs(a, b, resamples=resamples, seed=seed)
    if format is Format.json:
        _print_json([each._asdict() | {"difference": each.difference and each.difference._asdict()} for each in found])
        return
    print_compared(found, a.resolve().name, b.resolve().name)


def _check_run(folder: Path, format: Format) -> bool:
    """Print whether a run's numbers hold."""
    from giqa_metrics.runs.check import check_run

    numbers = check_run(folder)
    if format is Format.json:
        _print_json([number._asdict() for number in numbers])
    else:
        print_checked(numbers)
    return all(number.holds for number in numbers)


def _check_dataset(folder: Path, format: Format) -> bool:
    """Print what does not hold in a data set folder, and what it holds."""
    from giqa_datasets.check import examine_dataset

    with progress_bars() as progress:
        examined = examine_dataset(folder, progress=progress)
    if format is Format.json:
        _print_json(
            {
                "name": examined.name,
                "findings": [finding._asdict() for finding in examined.findings],
                "splits": {
                    split: {
                        "rows": counts.rows,
                        "images": len(counts.images),
                        "sources": [source._asdict() | {"rows": n} for source, n in sorted(counts.sources.items())],
                    }
                    for split, counts in examined.splits.items()
                },
                "without_pixels": [pixels._asdict() | absent._asdict() for pixels, absent in examined.absent.items()],
            }
        )
    else:
        print_examined(examined)
    return not examined.findings


def _check_images(manifest: Path, folders: list[Path], format: Format) -> bool:
    """Print what of a manifest is missing or differs in the folders."""
    from giqa_datasets.check import check_images

    found = check_images(manifest, folders)
    if format is Format.json:
        _print_json(found)
    else:
        typer.echo("".join(f"{sentence}\n" for sentence in found) + f"findings: {len(found)}")
    return not found


def _check_recipe(path: Path, limit: int, folder: Path | None, format: Format) -> bool:
    """Print what a recipe's samples are trained on, and what does not hold."""
    from giqa_metrics.recipe_check.recipe import check_recipe

    checked = check_recipe(path, limit=limit, folder=folder)
    if format is Format.json:
        samples = [
            sample._asdict()
            | {"boxes": [placed._asdict() | {"landed": placed.landed._asdict()} for placed in sample.boxes]}
            | {"tokens": sample.tokens._asdict()}
            for sample in checked.samples
        ]
        _print_json(checked._asdict() | {"samples": samples})
    else:
        print_recipe(checked)
    return not checked.findings


def _open_judge(model: str | None, url: str | None, log: Path, repeats: int) -> Any:
    """Open a judge whose replies are logged beside the run."""
    from tqdm import tqdm

    from giqa_metrics.judges import DEFAULT_MODEL, open_judge

    return open_judge(
        model=model or DEFAULT_MODEL,
        base_url=url,
        log=log,
        repeats=repeats,
        progress=lambda calls, total: tqdm(calls, total=total, desc="judge", unit=" calls"),
    )


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
