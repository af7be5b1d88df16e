"""The verb build: a data set folder out of its sources, or with the user's own copies of its photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.errors import InputError
from giqa_metrics.cli.annotate import describe_first
from giqa_metrics.cli.options import (
    Boxes,
    Describe,
    Dq495k,
    Exclude,
    Images,
    Kinds,
    Limit,
    Manifest,
    Models,
    QPathway,
    Root,
    Seed,
    Server,
)
from giqa_metrics.cli.output import print_lines, print_table
from giqa_metrics.cli.progress import progress_bars


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.dataset_folder.columns import SplitCounts


def build(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="folder, giqa-160k, giqa-bench, giqa-mini, giqa-bench-mini, giqa-tiny; vida-ugc, "
            "vida-ugc-2k, x-aigd or synthscars; "
            "with --images, a data set folder or Hub id whose rows came without pixels",
        ),
    ],
    root: Root = None,
    boxes: Boxes = None,
    redistributable: Annotated[
        bool,
        typer.Option(
            "--redistributable",
            help="for SET folder: others may have the pixels of photographs whose metadata says nothing else",
        ),
    ] = False,
    q_pathway: QPathway = None,
    dq_495k: Dq495k = None,
    kinds: Kinds = None,
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
    review: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER.review",
            help="write the samples as the reviewers of FOLDER left them; --annotations is then FOLDER.annotations",
        ),
    ] = None,
    describe: Describe = None,
    server: Server = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="write a benchmark out of a review although it is short of something")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="replace a data set folder that is there")] = False,
) -> None:
    """Build a data set folder that load_dataset reads, or join your own copies to one that came without pixels.

    The exit code is 1 if a model failed at some records, which are left out, or if a benchmark is short of something.
    """
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.giqa_bench import Incomplete
    from giqa_datasets.builders.published import beside_published
    from giqa_datasets.builders.sets import SETS, SetRequest
    from giqa_datasets.dataset_folder.write import refuse_existing
    from giqa_datasets.pipeline.model_choice import PRESETS

    sources = root, q_pathway, dq_495k, images or (), manifest, exclude or ()
    request = SetRequest(name, *sources, seed, limit, boxes, redistributable, kinds or ())
    if name not in SETS:
        others = {
            "--annotations": annotations,
            "--models": models,
            "--box-format": box_format != "giqa",
            "--keep-ungrounded": keep_ungrounded,
            "--review": review,
            "--describe": describe,
            "--server": server,
            "--draft": draft,
        }
        _join(request, out, [option for option, given in others.items() if given], overwrite=overwrite)
        return
    out = out or Path(name)
    begun = str(review).removesuffix(".review") if review else out
    refuse_existing(out, overwrite=overwrite)
    n_unanswered = describe_first(name, root, describe, server, limit)
    try:
        with progress_bars() as progress:
            built = build_set(
                request,
                out,
                annotations or Path(f"{begun}.annotations"),
                PRESETS[models] if models else None,
                box_format=box_format,
                keep_ungrounded=keep_ungrounded,
                review=review,
                draft=draft,
                overwrite=overwrite,
                progress=progress,
            )
    except Incomplete as incomplete:
        _print_short(name, incomplete.short)
        print_lines(f"{out} was not written; --draft writes it as it is")
        raise typer.Exit(1) from incomplete
    _print_counts(out, built.counts)
    _print_short(name, built.short)
    if built.left_out:
        found = f"{len(built.left_out)} rows, tags, boxes and questions"
        print_lines(f"left out: {found}; {out}/provenance/drops.jsonl says why")
    lines = beside_published(name, built.counts, built.left_out)
    if lines:
        rows = [(what, f"{published:,}", f"{here:,}") for what, published, here in lines]
        print_table(f"{name} beside what is published of it", ["published", "here"], rows)
    if built.n_faults:
        print_lines(f"{built.n_faults} records failed at a model; giqa annotate tries them again", err=True)
    if built.n_faults or n_unanswered:
        raise typer.Exit(1)


def _join(request: "SetRequest", out: Path | None, others: list[str], *, overwrite: bool) -> None:
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
    print_lines(f"joined: {joined.n_images} images")
    if joined.left_out:
        print_lines(f"left out: {len(joined.left_out)} rows without a fit copy; {out}/provenance/drops.jsonl says why")


def _print_counts(out: Path, counts: "Mapping[str, SplitCounts]") -> None:
    for split, count in counts.items():
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(count.rows.items()))
        print_lines(f"{out} {split}: {count.rows.total()} rows ({kinds})")


def _print_short(name: str, short: "Sequence[str]") -> None:
    print_lines(*(f"{name} is short of {sentence}" for sentence in short))
