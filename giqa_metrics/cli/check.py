"""The verb check: the faults of a run, a data set folder, a recipe or a manifest's images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.errors import InputError
from giqa_metrics.cli.options import OutputFormat, Printed
from giqa_metrics.cli.output import print_json, print_lines, print_table
from giqa_metrics.cli.progress import progress_bars
from giqa_metrics.cli.tables import print_checked


if TYPE_CHECKING:
    from giqa_datasets.check import Examined
    from giqa_metrics.recipe_check.recipe import Checked


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
    similarity: Annotated[
        str | None,
        typer.Option(help="the encoder that a run was scored with, where it is a folder or model id of your own"),
    ] = None,
    format: Printed = OutputFormat.human,
) -> None:
    """Compute a run's numbers again, read a data set to its end, or try a recipe's data on its model's processor.

    The exit code is 1 if something does not hold.
    """
    is_recipe = path.suffix in (".yaml", ".yml") and not images
    if not is_recipe and path.is_file() != bool(images):
        raise InputError(f"expected --images with a manifest and with nothing else, got {path}")
    if not is_recipe and (limit or draw):
        raise InputError(f"expected --limit and --draw with a recipe alone, got {path}")
    if similarity and (is_recipe or images or (path / "data").is_dir()):
        raise InputError(f"expected --similarity with a run alone, got {path}")
    if images:
        holds = _check_images(path, images, format)
    elif is_recipe:
        holds = _check_recipe(path, limit or 8, draw, format)
    elif (path / "data").is_dir():
        holds = _check_dataset(path, format)
    else:
        holds = _check_run(path, similarity, format)
    if not holds:
        raise typer.Exit(1)


def _check_run(folder: Path, similarity: str | None, format: OutputFormat) -> bool:
    from giqa_metrics.runs.check import check_run

    numbers = check_run(folder, similarity=similarity)
    if format is OutputFormat.json:
        print_json([number._asdict() for number in numbers])
    else:
        print_checked(numbers)
    return all(number.holds for number in numbers)


def _check_dataset(folder: Path, format: OutputFormat) -> bool:
    from giqa_datasets.check import examine_dataset
    from giqa_datasets.dataset_folder.columns import SOURCE

    with progress_bars() as progress:
        examined = examine_dataset(folder, progress=progress)
    if format is OutputFormat.json:
        splits = {}
        for split, counts in examined.splits.items():
            rights = sorted(counts.rights.items())
            sources = [dict(zip(SOURCE, right, strict=False)) | {"rows": n_rows} for right, n_rows in rights]
            splits[split] = {"rows": counts.rows, "images": len(counts.images), "sources": sources}
        findings = [finding._asdict() for finding in examined.findings]
        bare = [pixels._asdict() | absent._asdict() for pixels, absent in examined.absent.items()]
        print_json({"name": examined.name, "findings": findings, "splits": splits, "without_pixels": bare})
    else:
        _print_examined(examined)
    return not examined.findings


def _check_images(manifest: Path, folders: list[Path], format: OutputFormat) -> bool:
    from giqa_datasets.check import check_images

    found = check_images(manifest, folders)
    if format is OutputFormat.json:
        print_json(found)
    else:
        print_lines(*found, f"findings: {len(found)}")
    return not found


def _check_recipe(path: Path, limit: int, folder: Path | None, format: OutputFormat) -> bool:
    from giqa_metrics.recipe_check.recipe import check_recipe

    checked = check_recipe(path, limit=limit, folder=folder)
    if format is OutputFormat.json:
        samples = [
            sample._asdict()
            | {"boxes": [placed._asdict() | {"landed": placed.landed._asdict()} for placed in sample.boxes]}
            | {"tokens": sample.tokens._asdict()}
            for sample in checked.samples
        ]
        print_json(checked._asdict() | {"samples": samples})
    else:
        _print_recipe(checked)
    return not checked.findings


def _print_examined(examined: "Examined") -> None:
    from giqa_datasets.dataset_folder.columns import question_types

    for finding in examined.findings:
        print_lines(f"{finding.where}: {finding.what}")
    kinds = question_types(examined.splits)
    rows = []
    for split, counts in examined.splits.items():
        numbers = len(counts.images), counts.rows.total(), *(counts.rows[kind] for kind in kinds)
        rows.append((split, *map(str, numbers)))
    print_table(examined.name, ["images", "rows", *kinds], rows)
    for source, pixels, text, _ in sorted(set().union(*(counts.rights for counts in examined.splits.values()))):
        print_lines(f"{source}: pixels {pixels}, text {text}")
    for (source, _), absent in examined.absent.items():
        print_lines(f"{absent.rows:,} rows of {source} without pixels")
    print_lines(f"findings: {len(examined.findings)}")


def _print_recipe(checked: "Checked") -> None:
    tokens, boxes = [], []
    for sample in checked.samples:
        count = sample.tokens
        row = (sample.id, "{} x {}".format(*sample.size), f"{sample.seen:.0%}", str(sample.views))
        kept = "-" if checked.max_length is None else f"{count.kept} of {checked.max_length}"
        numbers = (str(number) for number in (count.image, count.text, count.answer))
        tokens.append((*row, "{} x {}".format(*sample.view), *numbers, kept, str(count.learned)))
        for placed in sample.boxes:
            lands = placed.landed
            box = " ".join(f"{side:.3f}" for side in placed.box)
            at = "-" if lands.box is None else " ".join(f"{side:.0f}" for side in lands.box)
            name = f"{sample.id} {placed.phrase}"
            boxes.append((name, box, str(lands.view + 1), at, f"{lands.share:.0%}", f"{lands.error:.2f}"))
    print_table(
        f"{checked.recipe}: {checked.model} ({checked.model_type}, {checked.processor})",
        ["picture", "seen", "views", "main view", "image tokens", "text tokens", "answer", "max_length", "learned"],
        tokens,
    )
    print_table("where boxes land", ["box", "view", "lands at", "seen", "cells off"], boxes)
    ending = checked.samples[0].answer[-40:]
    print_lines(f"answers end like '{ending}'; boxes are written as {' or '.join(checked.formats) or 'nothing known'}")
    print_lines(*(f"warning: {warning}" for warning in checked.warnings), *checked.findings)
    if checked.pictures:
        print_lines(f"pictures: {Path(checked.pictures[0]).resolve().parent}")
    print_lines(f"findings: {len(checked.findings)}")
