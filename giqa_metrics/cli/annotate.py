"""The verbs that make data sets; `giqa_metrics.cli` mounts them. Heavy imports stay inside the functions."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from giqa_datasets.console import printable
from giqa_datasets.errors import InputError


if TYPE_CHECKING:
    from collections.abc import Mapping

    from giqa_datasets.builders.sets import Request
    from giqa_datasets.dataset_folder.parquet import SplitCounts
    from giqa_datasets.pipeline.funnel import Row
    from giqa_datasets.progress import Progress


class Engine(StrEnum):
    """Where the pipeline's stages run."""

    local = "local"
    ray = "ray"


class Preset(StrEnum):
    """Which models annotate."""

    offline = "offline"
    paper = "paper"


class Format(StrEnum):
    """How a result is printed."""

    human = "human"
    json = "json"


SetName = Annotated[
    str, typer.Argument(metavar="SET", help="folder, giqa-160k, giqa-bench, giqa-mini, giqa-bench-mini or giqa-tiny")
]
Root = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="photographs with a metadata.jsonl, for SET folder; a reviewed data set folder, for a benchmark",
    ),
]
QPathway = Annotated[Path | None, typer.Option(help="the folder of Q-Instruct's cleaned_labels.json, for giqa-160k")]
Dq495k = Annotated[Path | None, typer.Option("--dq-495k", help="DataDepictQA's folder, for giqa-160k")]
Images = Annotated[list[Path] | None, typer.Option(help="a folder with copies of upstream images; may be repeated")]
Manifest = Annotated[
    Path | None, typer.Option(help="images.jsonl of a built set: finds the copies by sha256, under any name")
]
Exclude = Annotated[
    list[Path] | None,
    typer.Option(help="a data set folder whose images, and their look-alikes, stay out; may be repeated"),
]
Models = Annotated[
    Preset | None,
    typer.Option(help="offline, or the paper's; default: the paper's for giqa-160k, offline for the others"),
]
Seed = Annotated[int | None, typer.Option(help="seed of all random choices; default: 0")]
Limit = Annotated[int | None, typer.Option(min=1, help="take the first so many records of each split")]


def annotate(
    name: SetName,
    root: Root = None,
    q_pathway: QPathway = None,
    dq_495k: Dq495k = None,
    images: Images = None,
    manifest: Manifest = None,
    exclude: Exclude = None,
    out: Annotated[Path | None, typer.Option(help="folder to annotate into; default: ./SET.annotations")] = None,
    models: Models = None,
    llm: Annotated[
        str | None, typer.Option(help="writes tags and questions: a model folder, a name, or offline")
    ] = None,
    llm_url: Annotated[
        str | None,
        typer.Option(help="its OpenAI-compatible server; its key is in GIQA_LLM_API_KEY; default: run it here"),
    ] = None,
    detector: Annotated[str | None, typer.Option(help="a Grounding DINO: a model folder, a name, or offline")] = None,
    verifier: Annotated[str | None, typer.Option(help="a vision-language model: a folder, a name, or offline")] = None,
    box_threshold: Annotated[float, typer.Option(min=0, max=1, help="score from which a box is kept")] = 0.35,
    text_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="score from which a word belongs to a box")
    ] = 0.25,
    merge_area: Annotated[
        float, typer.Option(min=0, max=1, help="Box-Merge: smaller boxes take in what they touch")
    ] = 0.256,
    merge_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Box-Merge: boxes that cover each other more are joined")
    ] = 0.95,
    device: Annotated[str | None, typer.Option(help="where models run here; default: the GPU if there is one")] = None,
    engine: Annotated[Engine, typer.Option(help="this process, or Ray: a cluster, or the cores of this machine")] = (
        Engine.local
    ),
    seed: Seed = None,
    limit: Limit = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="tell the story of one record or sample, and draw its boxes")
    ] = None,
    format: Annotated[Format, typer.Option(help="what to print")] = Format.human,
) -> None:
    """Ground descriptions in photographs: what giqa build then writes. A killed run goes on where it was."""
    from dataclasses import replace

    from giqa_datasets.builders.build import annotate_set, default_choice
    from giqa_datasets.builders.sets import Request, entries_of
    from giqa_datasets.pipeline.stages import Rules

    request = Request(name, root, q_pathway, dq_495k, images or (), manifest, exclude or (), seed or 0, limit)
    with progress_bars() as progress:
        entries = entries_of(request, progress)
    folder = out or Path(f"{name}.annotations")
    if explain is not None:
        _explain(explain, folder, entries.all)
        return
    choice = _preset(models) if models else default_choice(name)
    choice = replace(
        choice,
        llm=llm or choice.llm,
        llm_url=llm_url,
        detector=detector or choice.detector,
        verifier=verifier or choice.verifier,
        box_threshold=box_threshold,
        text_threshold=text_threshold,
        rules=Rules(merge_area, merge_coverage, seed or 0),
        device=device,
    )
    with progress_bars() as progress:
        outcome = annotate_set(entries, folder, choice, engine=_engine(engine), progress=progress)
    if format is Format.json:
        typer.echo(json.dumps([row._asdict() for row in outcome.funnel], indent=2))
    else:
        print_funnel(outcome.funnel)
        typer.echo(f"{folder}: records.jsonl, and what was left out in drops.jsonl")
    if outcome.n_faults:
        typer.echo(f"{outcome.n_faults} records failed at a model; the same command tries them again", err=True)
        raise typer.Exit(1)


def build(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="folder, giqa-160k, giqa-bench, giqa-mini, giqa-bench-mini or giqa-tiny; "
            "with --images, a data set folder or Hub id whose rows came without pixels",
        ),
    ],
    root: Root = None,
    q_pathway: QPathway = None,
    dq_495k: Dq495k = None,
    images: Images = None,
    manifest: Manifest = None,
    exclude: Exclude = None,
    out: Annotated[Path | None, typer.Option(help="folder to make; default: ./SET")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="what giqa annotate made; what it lacks is made now; default: OUT.annotations")
    ] = None,
    models: Models = None,
    box_format: Annotated[str, typer.Option(help="format of the boxes in prompt and completion")] = "giqa",
    seed: Seed = None,
    limit: Limit = None,
    keep_ungrounded: Annotated[
        bool,
        typer.Option("--keep-ungrounded", help="keep descriptions without a box, for experts to ground: giqa review"),
    ] = False,
    draft: Annotated[
        bool, typer.Option("--draft", help="write a benchmark out of a review although it is short of something")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="replace a data set folder that is there")] = False,
) -> None:
    """Build a data set folder that load_dataset reads, or join your own copies to one that came without pixels."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.giqa_bench import Incomplete
    from giqa_datasets.builders.sets import SETS, Request

    request = Request(name, root, q_pathway, dq_495k, images or (), manifest, exclude or (), seed, limit)
    if name not in SETS:
        others = {
            "--annotations": annotations,
            "--models": models,
            "--box-format": box_format != "giqa",
            "--keep-ungrounded": keep_ungrounded,
            "--draft": draft,
        }
        _join(request, out, [option for option, given in others.items() if given], overwrite=overwrite)
        return
    out = out or Path(name)
    annotations = annotations or Path(f"{out}.annotations")
    try:
        with progress_bars() as progress:
            built = build_set(
                request,
                out,
                annotations,
                _preset(models) if models else None,
                box_format=box_format,
                keep_ungrounded=keep_ungrounded,
                draft=draft,
                overwrite=overwrite,
                progress=progress,
            )
    except Incomplete as incomplete:
        _print_short(name, incomplete.short)
        typer.echo(f"{out} was not written; --draft writes it as it is")
        raise typer.Exit(1) from incomplete
    _print_counts(out, built.counts)
    _print_short(name, built.short)
    if built.n_left_out:
        typer.echo(
            f"left out: {built.n_left_out} rows, tags, boxes and questions; {out}/provenance/drops.jsonl says why"
        )
    if name == "giqa-160k":
        from giqa_datasets.builders.giqa_160k import beside_paper
        from giqa_datasets.console import new_table, print_table

        table = new_table("giqa-160k beside the paper's GIQA-160K", ["paper", "here"])
        for what, paper, here in beside_paper(built.counts):
            table.add_row(what, f"{paper:,}", f"{here:,}")
        print_table(table)


def _join(request: "Request", out: Path | None, others: list[str], *, overwrite: bool) -> None:
    """Join the user's own copies to a data set folder, and print what came of it."""
    from giqa_datasets.builders.join import fetch, join_copies, require_place
    from giqa_datasets.builders.sets import options_given

    require_place(request.name)
    if unwanted := [*options_given(request._replace(images=())), *others]:
        raise InputError(f"a join of own copies takes no {' and no '.join(unwanted)}")
    if not request.images:
        raise InputError(f"expected --images, a folder with your own copies of the images of {request.name}, got none")
    out = out or Path(Path(request.name).resolve().name)
    with progress_bars() as progress:
        joined = join_copies(fetch(request.name), request.images, out, overwrite=overwrite, progress=progress)
    _print_counts(out, joined.counts)
    typer.echo(f"joined: {joined.n_images} images")
    if joined.left_out:
        typer.echo(f"left out: {len(joined.left_out)} rows without a fit copy; {out}/provenance/drops.jsonl says why")


def _print_counts(out: Path, counts: "Mapping[str, SplitCounts]") -> None:
    """Print what was written."""
    for split, count in counts.items():
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(count.rows.items()))
        typer.echo(f"{out} {split}: {count.rows.total()} rows ({kinds})")


def _print_short(name: str, short: "Sequence[str]") -> None:
    """Print what a benchmark is short of."""
    for sentence in short:
        typer.echo(printable(f"{name} is short of {sentence}"))


def print_funnel(rows: "Sequence[Row]") -> None:
    """Print what went into each stage and what came out."""
    from giqa_datasets.console import new_table, print_table

    table = new_table("what went in, and what came out", ["of", "in", "out", "left out"], left=["of", "left out"])
    for row in rows:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in row.left_out.items())
        table.add_row(row.stage, row.unit, f"{row.n_in:,}", f"{row.n_out:,}", reasons)
    print_table(table)


def _preset(models: Preset) -> Any:
    """The choice of models by its name."""
    from giqa_datasets.pipeline.model_choice import PRESETS

    return PRESETS[models]


def _engine(engine: Engine) -> Any:
    """The engine by its name; None is this process."""
    if engine is Engine.local:
        return None
    from giqa_datasets.pipeline.ray_engine import on_ray

    return on_ray


def _explain(identifier: str, folder: Path, entries: Sequence[Any]) -> None:
    """Print a record's story and draw its picture."""
    from giqa_datasets.pipeline.explain import explain

    typer.echo(explain(identifier, folder, entries)[0])


@contextmanager
def progress_bars() -> Iterator["Progress"]:
    """Progress bars, one after the other; one that is left open would share its line with what comes next."""
    from tqdm import tqdm

    with ExitStack() as bars:

        def bar(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
            bars.close()
            return bars.enter_context(tqdm(items, total=total, desc=what, unit=" items", delay=0.5))

        yield bar
