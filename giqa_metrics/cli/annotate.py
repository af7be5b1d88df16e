"""The verb annotate: descriptions grounded in photographs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from giqa_datasets.defaults import BOX_THRESHOLD, MERGE_AREA, MERGE_COVERAGE, TEXT_THRESHOLD
from giqa_datasets.errors import InputError
from giqa_metrics.cli import options
from giqa_metrics.cli.output import print_json, print_lines, print_table
from giqa_metrics.cli.progress import progress_bars


if TYPE_CHECKING:
    from collections.abc import Sequence

    from giqa_datasets.pipeline.funnel import Row


class Engine(StrEnum):
    """The place where the pipeline's stages run."""

    local = "local"
    ray = "ray"


def annotate(
    name: Annotated[
        str,
        typer.Argument(metavar="SET", help="folder, giqa-160k, giqa-bench, giqa-mini, giqa-bench-mini or giqa-tiny"),
    ],
    root: options.Root = None,
    boxes: options.Boxes = None,
    describe: options.Describe = None,
    server: options.Server = None,
    q_pathway: options.QPathway = None,
    dq_495k: options.Dq495k = None,
    kinds: options.Kinds = None,
    images: options.Images = None,
    manifest: options.Manifest = None,
    exclude: options.Exclude = None,
    out: Annotated[Path | None, typer.Option(help="folder to annotate into; default: ./SET.annotations")] = None,
    models: options.Models = None,
    llm: Annotated[
        str | None, typer.Option(help="writes tags and questions: a model folder, a name, or offline")
    ] = None,
    llm_url: Annotated[
        str | None,
        typer.Option(help="its OpenAI-compatible server; its key is in GIQA_LLM_API_KEY; default: run it here"),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="a Grounding DINO: a folder or name, or coco+regions, coco")
    ] = None,
    verifier: Annotated[str | None, typer.Option(help="a vision-language model: a folder, a name, or offline")] = None,
    box_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help=f"score from which a box is kept; default: the preset's, {BOX_THRESHOLD}"),
    ] = None,
    text_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help=f"score from which a word belongs to a box; default: the preset's, {TEXT_THRESHOLD}"
        ),
    ] = None,
    merge_area: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help=f"Box-Merge: smaller boxes take in what they touch; default: the preset's, {MERGE_AREA}"
        ),
    ] = None,
    merge_coverage: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=f"Box-Merge: boxes that cover each other more are joined; default: the preset's, {MERGE_COVERAGE}",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="where models run here; default: the GPU if there is one")] = None,
    engine: Annotated[Engine, typer.Option(help="this process, or Ray: a cluster, or the cores of this machine")] = (
        Engine.local
    ),
    seed: options.Seed = None,
    limit: options.Limit = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="tell the story of one record or sample, and draw its boxes")
    ] = None,
    format: options.Printed = options.OutputFormat.human,
) -> None:
    """Ground descriptions in photographs: what giqa build then writes. A killed run goes on where it was.

    The exit code is 1 if a model failed at some: they are left out, and the same command tries them again.
    """
    from dataclasses import replace

    from giqa_datasets.builders.build import annotate_set, default_choice
    from giqa_datasets.builders.sets import SetRequest, entries_of
    from giqa_datasets.pipeline.model_choice import PRESETS

    sources = root, q_pathway, dq_495k, images or (), manifest, exclude or ()
    request = SetRequest(name, *sources, seed or 0, limit, boxes, kinds=kinds or ())
    n_unanswered = describe_first(name, root, describe, server, limit)
    with progress_bars() as progress:
        entries = entries_of(request, progress)
    folder = out or Path(f"{name}.annotations")
    if explain is not None:
        from giqa_datasets.pipeline.explain import explain as story

        print_lines(*story(explain, folder, entries.all))
        return
    choice = PRESETS[models] if models else default_choice(name)
    named = _given(llm=llm, llm_url=llm_url, detector=detector, verifier=verifier, device=device)
    thresholds = _given(box_threshold=box_threshold, text_threshold=text_threshold)
    rules = _given(merge_area=merge_area, merge_coverage=merge_coverage, seed=seed)
    choice = replace(choice, **named, **thresholds, rules=replace(choice.rules, **rules))
    if engine is Engine.ray:
        from giqa_datasets.pipeline.ray_engine import on_ray
    with progress_bars() as progress:
        outcome = annotate_set(
            entries, folder, choice, engine=on_ray if engine is Engine.ray else None, progress=progress
        )
    if format is options.OutputFormat.json:
        print_json([row._asdict() for row in outcome.funnel])
    else:
        _print_funnel(outcome.funnel)
        print_lines(f"{folder}: records.jsonl, and what was left out in drops.jsonl")
    if outcome.n_faults:
        print_lines(f"{outcome.n_faults} records failed at a model; the same command tries them again", err=True)
    if outcome.n_faults or n_unanswered:
        raise typer.Exit(1)


def describe_first(name: str, root: Path | None, model: str | None, server: str | None, limit: int | None) -> int:
    """Let a model, if one is named, describe the photographs of SET folder that have no description yet.

    Returns:
        The number of photographs that it said nothing of.
    """
    if model is None:
        if server is not None:
            raise InputError("expected --describe beside --server: the pipeline's own server is --llm-url of annotate")
        return 0
    from giqa_metrics.models.descriptions import describe

    if name != "folder" or root is None or not root.is_dir():
        raise InputError(f"expected --describe with SET folder and a folder of photographs, got {name} {root or ''}")
    with progress_bars() as progress:
        described = describe(root, model, server, limit=limit, progress=progress)
    print_lines(f"{root / 'metadata.jsonl'}: {described.n_new} photographs described by {model}", err=True)
    if described.left_out:
        print_lines(f"without a description: {', '.join(described.left_out)}", err=True)
    if described.n_unanswered:
        print_lines(f"{described.n_unanswered} of them got no answer; the same command asks again", err=True)
    return described.n_unanswered


def _print_funnel(rows: "Sequence[Row]") -> None:
    cells = []
    for row in rows:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in row.left_out.items())
        cells.append((row.stage, row.unit, f"{row.n_in:,}", f"{row.n_out:,}", reasons))
    columns = ["of", "in", "out", "left out"]
    print_table("what went in, and what came out", columns, cells, left=["of", "left out"])


def _given(**given: Any) -> dict[str, Any]:
    """The options with a value: the others leave a preset its own."""
    return {name: value for name, value in given.items() if value is not None}
