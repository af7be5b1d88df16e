"""The verbs that make data sets; `giqa_metrics.cli` mounts them. Heavy imports stay inside the functions."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer


def build(
    name: Annotated[str, typer.Argument(metavar="SET", help="folder, giqa-mini, giqa-bench-mini or giqa-tiny")],
    root: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="photographs with a metadata.jsonl, for SET folder")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to make; default: ./SET")] = None,
    box_format: Annotated[str, typer.Option(help="format of the boxes in prompt and completion")] = "giqa",
    seed: Annotated[int, typer.Option(help="seed of all random choices")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="take the first so many records of each split")] = None,
    overwrite: Annotated[bool, typer.Option(help="replace a data set folder that is there")] = False,
) -> None:
    """Build a data set folder that load_dataset reads."""
    from tqdm import tqdm

    from giqa_datasets.builders import SETS
    from giqa_datasets.builders.dataset_folder import build_folder, refuse_existing
    from giqa_datasets.formats import box_format as format_named
    from giqa_datasets.pipeline.drops import Drop

    if name not in SETS:
        raise ValueError(f"expected a data set out of {sorted(SETS)}, got {name!r}")
    format_named(box_format)
    out = out or Path(name)
    refuse_existing(out, overwrite=overwrite)
    drops: list[Drop] = []
    splits = SETS[name](root, drops.append, seed, limit)
    with ExitStack() as bars:  # a bar that is left open would share its line with an error
        counts = build_folder(
            out,
            name,
            splits,
            drops=drops,
            box_format=box_format,
            overwrite=overwrite,
            progress=lambda records, split: bars.enter_context(tqdm(records, desc=f"{name} {split}", unit=" records")),
        )
    for split, count in counts.items():
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(count.rows.items()))
        typer.echo(f"{out} {split}: {count.rows.total()} rows ({kinds})")
    if drops:
        typer.echo(f"{len(drops)} tags, boxes and questions left out: {out / 'provenance' / 'drops.jsonl'} says why")
