"""The verb inspect: photographs against a policy, and how often the policy raises a false alarm."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from giqa_datasets.errors import InputError
from giqa_metrics.cli.options import BatchSize, MaxNewTokens, Model, OutputFormat, Printed, Processor, Server
from giqa_metrics.cli.output import print_json, print_lines, print_table
from giqa_metrics.cli.progress import progress_bars


if TYPE_CHECKING:
    from giqa_metrics.inspection.calibration import Calibration
    from giqa_metrics.inspection.files import VerdictLine

CODES = {"FAIL": 1, "REVIEW": 3, "PASS": 0}  # the worst verdict's is the command's

logger = logging.getLogger(__name__)


def inspect(
    model: Model,
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="photographs, or folders of them")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="rules, as YAML; default: the one of docs/inspect.md")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="folder for verdicts, masks and pictures; an unfinished run there goes on; default: inspected, "
            "or calibrated"
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="photographs known to be good: print the policy's false-alarm rate"),
    ] = None,
    server: Server = None,
    processor: Processor = None,
    box_format: Annotated[
        str | None,
        typer.Option(
            help="how the model writes boxes, or a giqa doctor's file; default: the model's own file, or giqa"
        ),
    ] = None,
    question: Annotated[str | None, typer.Option(help="what is asked about each; default: to describe it")] = None,
    batch_size: BatchSize = BATCH_SIZE,
    max_new_tokens: MaxNewTokens = MAX_NEW_TOKENS,
    format: Printed = OutputFormat.human,
) -> None:
    """Inspect photographs by a policy: PASS (exit code 0), REVIEW (3) or FAIL (1), masks and pictures."""
    from giqa_metrics.inspection.calibration import calibrate as count
    from giqa_metrics.inspection.files import FILE, inspect_into
    from giqa_metrics.inspection.photographs import find
    from giqa_metrics.inspection.policy import Verdict, read_policy
    from giqa_metrics.inspection.verdicts import settle_inquiry
    from giqa_metrics.models import open_predictor
    from giqa_metrics.models.native_formats import hint_at_native
    from giqa_metrics.models.tiny_model import NOTE, is_tiny

    if bool(photos) == bool(calibrate):
        raise InputError("expected photographs to inspect, or --calibrate with a folder of good ones; one of them")
    out = out or Path("calibrated" if calibrate else "inspected")
    asked = settle_inquiry(
        model, server, read_policy(policy), question=question, given=box_format, processor=processor
    )
    sources, left_out = find([calibrate] if calibrate else photos or [], out=out)
    if left_out:
        some = ", ".join(left_out[:3]) + ", ..." * (len(left_out) > 3)
        logger.warning("left out: %d files or folders that are no photographs by their name: %s", len(left_out), some)
    predictor = open_predictor(
        model, server, batch_size=batch_size, max_new_tokens=max_new_tokens, processor=processor
    )
    if server is None and is_tiny(model):
        logger.warning(NOTE)
    hint_at_native(model, predictor.model_type, asked.box_format, given=box_format)
    with progress_bars() as progress:
        lines = inspect_into(
            out,
            sources,
            predictor,
            asked,
            run={"model": model, "server": server is not None, "max_new_tokens": max_new_tokens},
            progress=progress,
        )
    if calibrate:
        _print_calibration(count(lines), calibrate.resolve().name, format)
        return
    if format is OutputFormat.json:
        print_json([line.model_dump(mode="json") for line in lines])
    else:
        _print_lines(lines)
        print_lines(f"verdicts: {out / FILE}")
    raise typer.Exit(CODES[Verdict.worst([line.verdict for line in lines])])


def _print_lines(lines: "list[VerdictLine]") -> None:
    """Print a line for each photograph, then how many have which verdict."""
    for line in lines:
        why = "; ".join(f"{each.rule}: {each.why}" for each in line.reasons if each.verdict == line.verdict)
        print_lines(f"{line.verdict:6}  {line.photo}" + (f"  {why}" if why else ""))
    counts = [f"{sum(line.verdict == verdict for line in lines)} {verdict}" for verdict in CODES]
    print_lines(f"photographs: {len(lines)} ({', '.join(counts)})")


def _print_calibration(found: "Calibration", name: str, format: OutputFormat) -> None:
    """Print how often good photographs do not pass, and by which rules."""
    if format is OutputFormat.json:
        shares = {verdict: share._asdict() for verdict, share in found.verdicts.items()}
        print_json(found._asdict() | {"verdicts": shares})
        return
    rows = [
        (verdict, str(share.n), f"{share.share:.1%}", f"{share.low:.1%} - {share.high:.1%}")
        for verdict, share in found.verdicts.items()
    ]
    print_table(f"False alarms on {found.n} good photographs, {name}", ["photographs", "rate", "95 %"], rows)
    print_lines(*(f"{rule}: {count} photographs" for rule, count in found.rules.items()))
