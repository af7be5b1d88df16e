"""The verb publish: it recognises the path's kind, shows the changes, and makes them in one commit."""

import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import giqa_metrics
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.loading import nearest
from giqa_metrics import METRICS
from giqa_metrics.cli.options import OutputFormat, Printed
from giqa_metrics.cli.output import print_json, print_lines, print_table
from giqa_metrics.cli.progress import progress_bars


if TYPE_CHECKING:
    from collections.abc import Sequence

    from giqa_datasets.console import Progress
    from giqa_datasets.publish.hub import Published
    from giqa_datasets.publish.plan import Plan


class Sdk(StrEnum):
    """The kind of a Space's page."""

    static = "static"
    gradio = "gradio"


def publish(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="a data set folder, a metric or its folder, or a scored run's folder"),
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="ORG/NAME on the Hub; for a run, its model's")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would change, and change nothing")] = False,
    revision: Annotated[str, typer.Option(help="the branch; one that is not there is made")] = "main",
    private: Annotated[bool, typer.Option("--private", help="a repo that is made is not for everyone")] = False,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="propose it in a pull request; a run's results always are")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="a name for this version, such as v1.0; it is never moved")] = None,
    onto: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="replace what others changed there, up to this last commit")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="REPO", help="the benchmark on the Hub, for a run on a local folder")
    ] = None,
    sdk: Annotated[Sdk | None, typer.Option(help="of a Space: static, or gradio, for a paid plan")] = None,
    format: Printed = OutputFormat.human,
) -> None:
    """Publish on the Hub in one commit: a data set, a metric, or a run's results."""
    from giqa_datasets.publish.dataset import is_dataset
    from giqa_datasets.publish.hub import publish as run
    from giqa_datasets.publish.plan import foreign
    from giqa_datasets.publish.remote import wait_at_most
    from giqa_metrics.publish.results import is_run
    from giqa_metrics.publish.space import is_space

    if not path.exists() and str(path) in METRICS:
        path = Path(giqa_metrics.__file__).parent / "spaces" / path
    if (dataset and not is_run(path)) or (sdk and not is_space(path)):
        raise InputError("--dataset is for a run, and --sdk for a metric's folder")
    create_pr = create_pr or is_run(path)
    if create_pr and (tag or revision != "main"):
        raise InputError("a pull request is made on main and has no tag: it takes no --revision and no --tag")
    wait_at_most()
    with tempfile.TemporaryDirectory() as work, ExitStack() as bars:
        progress = bars.enter_context(progress_bars())
        diff: str | None = None
        remarks: Sequence[str] = ()
        if is_run(path):
            planned, diff = _plan_run(path, repo, dataset)
        elif is_dataset(path):
            planned, remarks = _plan_dataset(path, repo, revision, Path(work), format, progress)
        elif is_space(path):
            planned = _plan_space(path, repo, revision, sdk, tag)
        else:
            alike = nearest(str(path), METRICS)
            raise InputError(f"expected a data set folder, a metric's folder or a scored run, got {path}{alike}")
        bars.close()
        others = None if create_pr else foreign(planned)
        if format is OutputFormat.human:
            print_lines(*remarks)
            print_plan(planned, diff)
        if others and not (onto and len(onto) > 6 and str(planned.remote.head).startswith(onto)):
            raise InputError(f"{others}; look at it, then replace it with --onto {planned.remote.head}")
        published = None if dry_run else run(planned, private=private, create_pr=create_pr, tag=tag)
    if format is OutputFormat.json:
        print_json(_as_json(planned, remarks, published))
    elif published is not None:
        print_lines(_said(published))


def _plan_dataset(
    folder: Path, repo: str, revision: str, work: Path, format: OutputFormat, progress: "Progress"
) -> "tuple[Plan, list[str]]":
    """Plan the release of a data set folder; findings in it end the command."""
    from giqa_datasets.publish.dataset import dataset_release, hash_files, unfit
    from giqa_datasets.publish.plan import plan
    from giqa_datasets.publish.remote import look

    remote = look(repo, "dataset", revision)
    sums = hash_files(folder, progress=progress)
    if examined := unfit(folder, sums, progress=progress):
        if format is OutputFormat.json:
            print_json({"findings": [finding._asdict() for finding in examined.findings]})
        else:
            print_lines(*(f"{finding.where}: {finding.what}" for finding in examined.findings))
            print_lines(f"findings: {len(examined.findings)}; nothing was published")
        raise typer.Exit(1)
    release, withheld = dataset_release(folder, sums, work, progress=progress)
    return plan(remote, release, progress=progress), withheld


def _plan_space(folder: Path, repo: str, revision: str, sdk: Sdk | None, tag: str | None) -> "Plan":
    from giqa_datasets.publish.plan import plan
    from giqa_datasets.publish.remote import look
    from giqa_metrics.publish.space import refused_tag, space_release

    for name in (tag, revision):
        if reason := name and refused_tag(name):
            raise InputError(reason)
    remote = look(repo, "space", revision)
    shown = sdk or (Sdk.gradio if "app.py" in remote.files else Sdk.static)  # by default it stays as it is
    return plan(remote, space_release(folder, repo, sdk=shown.value))


def _plan_run(folder: Path, repo: str, dataset: str | None) -> "tuple[Plan, str]":
    from giqa_datasets.publish.plan import plan
    from giqa_datasets.publish.remote import look
    from giqa_metrics.publish.results import benchmark_of, diff, results_release

    remote = look(repo, "model")
    if remote.head is None:
        raise MissingFileError(f"expected the repo of a model, {repo}, on the Hub, found none")
    release = results_release(folder, repo, remote.read, dataset=benchmark_of(folder, dataset))
    return plan(remote, release), diff(remote.read, release)


def print_plan(planned: "Plan", diff: str | None = None) -> None:
    """Print the changes, file by file or line by line."""
    remote, release = planned.remote, planned.release
    stands = f"at {remote.head}" if remote.head else "new"
    title = f"{release.name} to the {release.kind} {remote.repo}, {remote.revision}, {stands}"
    if diff is not None or not planned.changes:
        print_lines(title, *(diff or "").removesuffix("\n").split("\n"))
    else:
        rows = [(what, f"{size:,}" if what != "remove" else "", path) for what, path, size in planned.changes]
        print_table(title, ["bytes", "file"], rows, left=["file"])
    n_gone = sum(change.what == "remove" for change in planned.changes)
    n_sent = len(planned.changes) - n_gone
    there = len(release.files) - n_sent
    print_lines(f"{n_sent} files of {planned.size:,} bytes to send, {n_gone} to remove, {there} there already")


def _as_json(planned: "Plan", remarks: "Sequence[str]", published: "Published | None") -> dict[str, Any]:
    remote = {name: getattr(planned.remote, name) for name in ("repo", "kind", "revision", "head")}
    changes = [change._asdict() for change in planned.changes]
    done = published and published._asdict()
    return remote | {"title": planned.title, "changes": changes, "remarks": remarks, "published": done}


def _said(published: "Published") -> str:
    if published.is_new:
        return f"published: {published.url}" + (f" at {published.commit}" if published.commit else "")
    return f"nothing new to publish: {published.url}"
