"""A file of a model repo's `.eval_results`: a list of entries, one for each task of a benchmark."""

from typing import Any

import yaml

from giqa_datasets.errors import InputError
from giqa_metrics.publish.model_card import load_plain


Entry = dict[str, Any]


def edit_entries(raw: bytes | None, ours: list[Entry], *, where: str) -> bytes:
    """Put entries into a file, each in the place of the same task's; the others stay, in their order.

    If no entry changes, not a byte changes; else comments in the file are lost. There is one of `ours` for each task,
    as huggingface_hub writes it.

    Raises:
        ValueError: If the file is no UTF-8, no YAML, or no list of entries.
    """
    there = [] if raw is None else load_plain(raw, where)
    there = [] if there is None else there
    if not isinstance(there, list) or not all(isinstance(entry, dict) for entry in there):
        raise InputError(f"expected a list of mappings in {where}, got something else")
    new = {_task(entry): entry for entry in ours}
    places = {_task(entry): place for place, entry in reversed(list(enumerate(there)))}  # the first of each
    merged = [
        new.get(_task(entry), entry)
        for place, entry in enumerate(there)
        if _task(entry) not in new or places[_task(entry)] == place
    ]
    merged += [entry for task, entry in new.items() if task not in places]
    if raw is not None and merged == there:
        return raw
    written: str = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=float("inf"))
    return written.encode()


def _task(entry: Entry) -> tuple[str | None, str | None]:
    """The data set and the task of an entry; None for each that is no text."""
    dataset = entry.get("dataset")
    one, other = (dataset.get("id"), dataset.get("task_id")) if isinstance(dataset, dict) else (None, None)
    return one if isinstance(one, str) else None, other if isinstance(other, str) else None
