"""The verb review: the experts' page, and its rounds."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.console import printable
from giqa_datasets.errors import InputError
from giqa_datasets.loopback import LOOPBACK
from giqa_metrics.cli.options import OutputFormat
from giqa_metrics.cli.tables import new_table, print_table


if TYPE_CHECKING:
    from giqa_datasets.review.agreement import Agreement
    from giqa_datasets.review.corrections import Corrections


def review(
    folder: Annotated[Path, typer.Argument(help="a data set folder with pixels; votes go to FOLDER.review beside it")],
    agreement: Annotated[
        bool, typer.Option("--agreement", help="print how far the open round's annotators agree, and what to discuss")
    ] = False,
    corrections: Annotated[
        bool,
        typer.Option("--corrections", help="print who reviewed how much, and what became of the boxes it began with"),
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="close the open round, and begin the next with its merger")
    ] = False,
    host: Annotated[str, typer.Option(help="where the page is served; any but loopback wants a token")] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is a free one")] = 0,
    token: Annotated[
        str | None,
        typer.Option(envvar="GIQA_REVIEW_TOKEN", help="what a visitor must show; made up where one is needed"),
    ] = None,
    format: Annotated[OutputFormat, typer.Option(help="what the steps print")] = OutputFormat.human,
) -> None:
    """Review a data set with others: a page to correct texts and boxes on, agreement, and rounds."""
    from giqa_datasets.review.items import open_review

    if agreement + corrections + merge > 1:
        raise InputError("expected --agreement, --corrections or --merge, got more than one")
    opened = open_review(folder)
    if agreement:
        from giqa_datasets.review.agreement import agreement as agree
        from giqa_datasets.review.votes import read_votes

        votes = read_votes(opened.path, opened.round)
        found = agree(opened.begin, votes)
        if format is OutputFormat.json:
            typer.echo(json.dumps(found._asdict(), indent=2))
        else:
            _print_agreement(found, f"{folder.resolve().name}, round {opened.round}")
            said = (f"{name} {len(of_one)}" for name, of_one in votes.items() if of_one)
            typer.echo(f"votes: {', '.join(said) or 'none'}")
    elif corrections:
        from giqa_datasets.review.corrections import corrections as count
        from giqa_datasets.review.corrections import left_behind
        from giqa_datasets.review.rounds import read_rounds

        rounds = read_rounds(opened.path)
        counted = count(rounds)
        if not counted.reviewers:
            raise InputError(f"expected votes in {opened.path}, found none")
        if format is OutputFormat.json:
            typer.echo(counted.model_dump_json(indent=2))
        else:
            _print_corrections(counted, folder.resolve().name)
            if names := left_behind(rounds):
                typer.echo(f"corrected in their description alone: {printable(', '.join(names))}")
    elif merge:
        from giqa_datasets.review.merge import merge_round

        merged = merge_round(opened)
        if format is OutputFormat.json:
            typer.echo(json.dumps([each.model_dump() for each in merged], indent=2))
            return
        rules = Counter(each.rule for each in merged)
        counts = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
        after = opened.round + 1
        typer.echo(f"round {opened.round} is closed, round {after} begins: {len(merged)} samples ({counts})")
        typer.echo(f"{opened.path / f'round-{after}' / 'merge.jsonl'} says how each was decided")
    else:
        from giqa_datasets.review.server import serve

        def announce(address: str) -> None:
            typer.echo(f"Round {opened.round} of {opened.folder} is reviewed at {address}\nCtrl+C ends it.", err=True)

        serve(opened, host, port, token, announce=announce)


def _print_corrections(found: "Corrections", title: str) -> None:
    verdicts = ["accept", "rewrite", "reject", "new"]
    table = new_table(f"{title}: samples by their reviewers", verdicts)
    for each in found.reviewers:
        table.add_row(each.annotator, *(str(getattr(each, verdict)) for verdict in verdicts))
    print_table(table)
    columns = ["samples", "rejected", "boxes", "kept", "moved", "deleted", "added"]
    table = new_table(f"{title}: the boxes it began with", [*columns, "precision", "recall"])
    for tally in found.tallies:
        shares = ("-" if share is None else f"{share:.3f}" for share in (tally.precision, tally.recall))
        table.add_row(tally.question_type, *(str(getattr(tally, column)) for column in columns), *shares)
    print_table(table)
    typer.echo(f"{found.voted} of {found.samples} samples have a vote")


def _print_agreement(found: "Agreement", title: str) -> None:
    table = new_table(title, ["agreement"])
    table.add_row("annotators", str(found.n_annotators))
    table.add_row("samples with two votes or more", str(found.n_samples))
    table.add_row("boxes matched between two annotators", str(found.n_matched))
    table.add_row("boxes unmatched", str(found.n_unmatched))
    shares = {
        "IoU of matched boxes, mean": found.mean_iou,
        "matched fraction of boxes": found.matched_fraction,
        "accept, rewrite, reject: Krippendorff's alpha": found.verdicts,
        "Yes and No: Krippendorff's alpha": found.yes_no,
        "open answers: Krippendorff's alpha": found.answers,
    }
    for what, share in shares.items():
        table.add_row(what, "-" if share is None else f"{share:.3f}")
    print_table(table)
    for name, reasons in found.to_discuss.items():
        typer.echo(f"{printable(name)}: {', '.join(reasons)}")
    typer.echo(f"to discuss: {len(found.to_discuss)} samples")
