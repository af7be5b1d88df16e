"""A run's results in its model's repo: `.eval_results/*.yaml`, and the model card with `model-index` and a table.

The numbers are those of the run's tables, rounded as there, so that file, index and table agree.
"""

import difflib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.builders.eval_yaml import SCORES
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.loading import require_cache
from giqa_datasets.publish.plan import Release
from giqa_datasets.publish.remote import look
from giqa_metrics.publish.eval_results import edit_entries
from giqa_metrics.publish.model_card import edit_card, is_hub_id, known_of, new_card
from giqa_metrics.runs.check import check_run
from giqa_metrics.runs.counts import UNREAD
from giqa_metrics.runs.files import COLUMNS as DATA_COLUMNS
from giqa_metrics.runs.files import Summary, read_summary
from giqa_metrics.runs.score import references_digest
from giqa_metrics.runs.table import COLUMNS, TITLES, Table, tables


There = Callable[[str], bytes | None]  # a repo's file by its path; None if it has none

JUDGED = frozenset({"llm_score", "accuracy_open", "accuracy"})


class Result(NamedTuple):
    """One score of a run."""

    task: str  # `des` or `vqa`
    key: str  # the metric's name for it
    name: str  # the table's name for it
    value: float  # rounded as in the table
    signature: str  # of the metric


def is_run(folder: Path) -> bool:
    """Tell whether a folder holds a scored run."""
    return (folder / "summary.json").is_file()


def results_release(run: Path, repo: str, there: There, *, dataset: tuple[str, str]) -> Release:
    """Return the files of the model's repo with the run's results in them; nothing is written.

    `there` reads the repo's files as they are, and `dataset` is that of `benchmark_of`.

    Returns:
        `README.md` and `.eval_results/<name of the data set>.yaml`, equal to those of `there` if it has the results.

    Raises:
        OSError: If a file of the run or its data set is gone.
        ValueError: If the run is not scored, answers a part of the split, has other settings than the benchmark's, or
            a wrong number; or a file of the repo cannot be read or edited.
    """
    summary, raw = _holding(run)
    found = _results(raw, repo)
    if not found:
        raise InputError(f"expected a score in {run}, got none that the tasks of a benchmark know")
    sections = {f"{dataset[0]} {task}": _section(task, summary, raw, repo, dataset) for task in COLUMNS if task in raw}
    groups = _groups(found, repo, dataset, summary.split)
    card = there("README.md")
    if card is None:
        card = new_card(repo, list(sections), known=known_of(summary.model), box_format=summary.settings.box_format)
    card = edit_card(card, repo.rpartition("/")[2], groups, sections, where=f"README.md of {repo}")
    path = f".eval_results/{dataset[0].rpartition('/')[2]}.yaml"
    entries = edit_entries(there(path), _entries(found, dataset), where=f"{path} of {repo}")
    return Release("model", f"results on {dataset[0]}", {path: entries, "README.md": card})


def benchmark_of(run: Path, dataset: str | None = None) -> tuple[str, str]:
    """Find the data set on the Hub that a run answered, check that the run was scored against it, and name its commit.

    Without a data set, `org/name`, the run must name such an id.

    Raises:
        OSError: If there is no such data set, or it cannot be fetched.
        ValueError: If the run names a folder, or was scored against other references.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    summary, _ = read_summary(run)
    name = dataset or summary.data
    if not is_hub_id(name):
        raise InputError(
            f"expected a data set on the Hub, ORG/NAME and no folder, got {name!r}: --dataset says which {run} is on"
        )
    head = look(name, "dataset").head
    if head is None:
        raise MissingFileError(f"there is no data set {name!r} on the Hub, or the token may not see it")
    require_cache()
    try:
        rows = load_dataset(name, "annotations", split=summary.split, revision=head)
    except (DatasetsError, OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read as a GIQA data set: {error.__cause__ or error}") from error
    if missing := DATA_COLUMNS - {"image"} - set(rows.column_names):
        raise InputError(f"{name} cannot be read as a GIQA data set: it lacks the columns {sorted(missing)}")
    wanted = (row for row in rows if summary.config in (None, "default", row["task"]))
    if references_digest(wanted) != summary.references:
        raise InputError(f"{run} was scored against something else than {name} holds in {summary.split} at {head}")
    return name, head


def diff(there: There, release: Release) -> str:
    """Write the changes of a release as a unified diff, fit for a terminal; empty if there are none."""
    lines: list[str] = []
    for path, content in sorted(release.files.items()):
        new = content if isinstance(content, bytes) else content.read_bytes()
        old = there(path)
        before, after = ([] if raw is None else _lines(raw) for raw in (old, new))
        origin = "/dev/null" if old is None else f"a/{path}"
        lines += difflib.unified_diff(before, after, origin, f"b/{path}", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _holding(run: Path) -> tuple[Summary, dict[str, Any]]:
    """A run's summary, if its numbers may be published."""
    if not is_run(run):
        raise InputError(f"expected a scored run in {run}, found no summary.json: giqa score writes it")
    summary, raw = read_summary(run)
    if raw.get("limit") is not None:
        raise InputError(f"{run} answers the first {raw['limit']} samples alone: results are those of a whole split")
    settings = summary.settings
    if settings.preset != "paper" or settings.similarity not in (None, "minilm") or settings.exact_boxes:
        raise InputError(
            f"{run} was not scored as the benchmark defines it (preset {settings.preset!r}, "
            f"similarity {settings.similarity!r}, exact boxes {settings.exact_boxes}): score it with the defaults"
        )
    numbers = check_run(run)
    wrong = [number for number in numbers if not number.holds]
    if wrong:
        name, stated, found, _ = wrong[0]
        raise InputError(
            f"{len(wrong)} of {len(numbers)} entries of {run} do not hold, {name} for one (stated {stated!r}, found "
            f"{found!r}): see giqa check"
        )
    return summary, raw


def _tables(raw: dict[str, Any], task: str, model: str, data: str) -> list[Table]:
    """The tables of one task, with the names of model and data on the Hub: here they may be folders."""
    return tables({"model": model, "data": data, "read": raw.get("read"), task: raw[task]})


def _results(raw: dict[str, Any], repo: str) -> list[Result]:
    """The scores of a run that are tasks of the benchmark, without those of another judge than the protocol's.

    Scores of two judges do not compare, and would stand in one list.
    """
    found = []
    for task, columns in COLUMNS.items():
        if task not in raw:
            continue
        _, cells = _tables(raw, task, repo, "")[0].rows[0]
        for (name, metric, key), cell in zip(columns, cells, strict=True):
            signature = raw[task][metric]["signature"]
            is_strange = key in JUDGED and "not-comparable" in signature
            if key in SCORES[task] and cell.value not in ("-", UNREAD) and not is_strange:
                found.append(Result(task, key, name, float(cell.value), signature))
    return found


def _page(dataset: tuple[str, str]) -> str:
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/datasets/{dataset[0]}/tree/{dataset[1]}"


def _groups(found: list[Result], repo: str, dataset: tuple[str, str], split: str) -> list[dict[str, Any]]:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type="image-text-to-text",
            task_name=TITLES[result.task],
            dataset_type=dataset[0],
            dataset_name=dataset[0].rpartition("/")[2],
            dataset_config=result.task,
            dataset_split=split,
            dataset_revision=dataset[1],
            metric_type=result.key,
            metric_name=result.name,
            metric_value=result.value,
            source_name=dataset[0],
            source_url=_page(dataset),
        )
        for result in found
    ]
    groups: list[dict[str, Any]] = eval_results_to_model_index(repo, results)[0]["results"]
    return groups


def _entries(found: list[Result], dataset: tuple[str, str]) -> list[dict[str, Any]]:
    """The results as `.eval_results` has them; without a date, because no file of a run has one."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries: list[dict[str, Any]] = eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                dataset_id=dataset[0],
                task_id=f"{result.task}_{result.key}",  # as eval.yaml has it
                value=result.value,
                dataset_revision=dataset[1],
                source_url=_page(dataset),
                source_name=dataset[0],
                notes=result.signature,
            )
            for result in found
        ]
    )
    return entries


def _section(task: str, summary: Summary, raw: dict[str, Any], repo: str, dataset: tuple[str, str]) -> str:
    name, revision = dataset
    first, *more = _tables(raw, task, repo, name)
    notes = [table.note for table in (first, *more) if table.note]
    signatures = [raw[task][metric]["signature"] for metric in dict.fromkeys(metric for _, metric, _ in COLUMNS[task])]
    parts = [
        f"## {first.title.partition(':')[0]}",
        f"[{name}]({_page(dataset)}) at revision `{revision}`, split {summary.split}:{first.title.partition(':')[2]}.",
        _markdown(first),
        *(f"{table.title}:\n\n{_markdown(table)}" for table in more),
        *notes,
        "BLEU@4 and LLM-Score run from 0 to 100, all else from 0 to 1; in brackets a 95 % confidence interval, where "
        "there is one; a dash is a score that is not there. Rows called blind are answers made without the image.",
        "Scored by " + ", ".join(f"`{signature}`" for signature in signatures) + ".",
    ]
    return "\n\n".join(parts)


def _markdown(table: Table) -> str:
    rows = [["", *table.columns], ["---"] * (1 + len(table.columns))]
    for name, cells in table.rows:
        rows.append([name, *(f"{cell.value} ({cell.interval})" if cell.interval else cell.value for cell in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _lines(raw: bytes) -> list[str]:
    """A file's lines, without control characters."""
    lines = raw.decode(errors="backslashreplace").split("\n")
    lines = lines[:-1] if lines[-1] == "" else [*lines, "\\ No newline at end of file"]
    return ["".join(map(_harmless, line)) for line in lines]


def _harmless(character: str) -> str:
    """A character, or its code if a terminal might obey it: controls, marks of direction, other line ends."""
    if character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()
