"""The verb review: the experts' page, and its rounds."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from giqa_datasets.errors import InputError
from giqa_datasets.loopback import LOOPBACK
from giqa_metrics.cli.options import OutputFormat
from giqa_metrics.cli.output import print_json, print_lines, print_table


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
            print_json(found._asdict())
        else:
            _print_agreement(found, f"{folder.resolve().name}, round {opened.round}")
            said = (f"{name} {len(of_one)}" for name, of_one in votes.items() if of_one)
            print_lines(f"votes: {', '.join(said) or 'none'}")
    elif corrections:
        from giqa_datasets.review.corrections import corrections as count
        from giqa_datasets.review.corrections import left_behind
        from giqa_datasets.review.rounds import read_rounds

        rounds = read_rounds(opened.path)
        counted = count(rounds)
        if not counted.reviewers:
            raise InputError(f"expected votes in {opened.path}, found none")
        if format is OutputFormat.json:
            print_json(counted.model_dump())
        else:
            _print_corrections(counted, folder.resolve().name)
            if names := left_behind(rounds):
                print_lines(f"corrected in their description alone: {', '.join(names)}")
    elif merge:
        from giqa_datasets.review.merge import merge_round

        merged = merge_round(opened)
        if format is OutputFormat.json:
            print_json([each.model_dump() for each in merged])
            return
        rules = Counter(each.rule for each in merged)
        counts = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
        after = opened.round + 1
        print_lines(f"round {opened.round} is closed, round {after} begins: {len(merged)} samples ({counts})")
        print_lines(f"{opened.path / f'round-{after}' / 'merge.jsonl'} says how each was decided")
    else:
        from giqa_datasets.review.server import serve

        def announce(address: str) -> None:
            print_lines(
                f"Round {opened.round} of {opened.folder} is reviewed at {address}", "Ctrl+C ends it.", err=True
            )

        serve(opened, host, port, token, announce=announce)


def _print_corrections(found: "Corrections", title: str) -> None:
    verdicts = ["accept", "rewrite", "reject", "new"]
    rows = [(each.annotator, *(str(getattr(each, verdict)) for verdict in verdicts)) for each in found.reviewers]
    print_table(f"{title}: samples by their reviewers", verdicts, rows)
    columns = ["samples", "rejected", "boxes", "kept", "moved", "deleted", "added"]
    rows = []
    for tally in found.tallies:
        shares = ("-" if share is None else f"{share:.3f}" for share in (tally.precision, tally.recall))
        rows.append((tally.question_type, *(str(getattr(tally, column)) for column in columns), *shares))
    print_table(f"{title}: the boxes it began with", [*columns, "precision", "recall"], rows)
    print_lines(f"{found.voted} of {found.samples} samples have a vote")


def _print_agreement(found: "Agreement", title: str) -> None:
    counts = {
        "annotators": found.n_annotators,
        "samples with two votes or more": found.n_samples,
        "boxes matched between two annotators": found.n_matched,
        "boxes unmatched": found.n_unmatched,
    }
    shares = {
        "IoU of matched boxes, mean": found.mean_iou,
        "matched fraction of boxes": found.matched_fraction,
        "accept, rewrite, reject: Krippendorff's alpha": found.verdicts,
        "Yes and No: Krippendorff's alpha": found.yes_no,
        "open answers: Krippendorff's alpha": found.answers,
    }
    rows = [(what, str(count)) for what, count in counts.items()]
    rows += [(what, "-" if share is None else f"{share:.3f}") for what, share in shares.items()]
    print_table(title, ["agreement"], rows)
    print_lines(*(f"{name}: {', '.join(reasons)}" for name, reasons in found.to_discuss.items()))
    print_lines(f"to discuss: {len(found.to_discuss)} samples")
