"""An annotation folder: the pipeline's result for each entry, in a file that is only appended to while it runs.

`records.jsonl` holds one line per record (`annotation_lines.py`): its tags with their boxes before and after
refinement, its samples and its drops. A line is handed to the operating system as soon as the record is finished, so a
killed run goes on where it was; at the end the lines are put into the source's order. Beside it lie `settings.json`,
and at the end `drops.jsonl` and `funnel.json`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from giqa_datasets.drops import FAULT
from giqa_datasets.entries import Entry
from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, mend, numbered_lines, read_line, write_whole
from giqa_datasets.folder_lock import LOCK
from giqa_datasets.pipeline.annotation_lines import Finished, Head, RecordLine


RECORDS, SETTINGS, DROPS, FUNNEL = "records.jsonl", "settings.json", "drops.jsonl", "funnel.json"
VERSIONS = frozenset({"giqa", "files"})  # the settings that a user does not choose


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something else than annotations.

    Raises:
        ValueError: If it does.
    """
    settings = folder / SETTINGS
    others = {path.name for path in folder.iterdir()} - {SETTINGS, LOCK} if folder.is_dir() else set()
    if others and not settings.exists():
        found = RECORDS if RECORDS in others else min(others)
        raise InputError(f"expected {settings} beside {found}, found none")
    if not others and settings.exists() and "giqa" not in read_settings(settings):
        raise InputError(f"expected the settings of annotations in {settings}, got something else")


class Annotations:
    """The lines of an annotation folder, by record; the last line of a record counts."""

    def __init__(self, folder: Path) -> None:
        """Index the lines; a last one that a kill left half-written is ignored.

        Raises:
            ValueError: If a line is not valid; it is named.
        """
        self.folder = folder
        self.sha256: dict[str, str] = {}  # of each record's image
        self._places: dict[str, tuple[int, int]] = {}  # id: offset and size in bytes
        self._descriptions: dict[str, str] = {}
        self._failed: set[str] = set()  # records at which a model failed
        self._end = 0
        path = folder / RECORDS
        for where, raw in numbered_lines(path, grows=True, every_byte=True) if path.exists() else ():
            head = read_line(raw, where, Head)
            has_fault = any(drop.reason == FAULT for drop in head.drops)
            self._note(head.id, head.description, has_fault, len(raw.rstrip(b"\n")) + 1)
            self.sha256[head.id] = head.image_sha256

    @classmethod
    def begin(cls, folder: Path, settings: dict[str, Any]) -> Self:
        """Open a folder to annotate into: a new one, or one that was begun with the same settings.

        The version of giqa may differ; it matters only if something is left to annotate, see `require_same`.

        Raises:
            ValueError: If it was begun with other settings, or a line is not valid.
        """
        path = folder / SETTINGS
        opened = cls(folder)
        if opened._places:
            require_same(path, {name: settings[name] for name in settings.keys() - VERSIONS})
        else:  # nothing is lost where nothing was annotated
            write_whole(path, [json.dumps(settings, indent=2) + "\n"])
        mend(folder / RECORDS)
        return opened

    @property
    def any_done(self) -> bool:
        """True if any record is done, and no model failed at it."""
        return any(name not in self._failed for name in self._descriptions)

    def is_done(self, entry: Entry, *, again: bool) -> bool:
        """Tell whether an entry has a line with its description; `again` counts none at which a model failed."""
        return self._descriptions.get(entry.id) == entry.description and not (again and entry.id in self._failed)

    def forget(self, identifier: str) -> None:
        """Count a record as not done."""
        self._descriptions.pop(identifier, None)

    def append(self, finished: Finished) -> None:
        """Append a record's line."""
        append_line(self.folder / RECORDS, finished.text)
        self._note(finished.id, finished.description, finished.fault is not None, len(finished.text.encode()))

    def lines(self, entries: Iterable[Entry]) -> Iterator[RecordLine]:
        """Yield the lines of entries, without those that have no line or one of another description."""
        path = self.folder / RECORDS
        if path.exists():
            with path.open("rb") as file:
                for entry in entries:
                    if entry.id in self._places:
                        line = read_line(self._bytes(file, entry.id), f"{path}: {entry.id!r}", RecordLine)
                        if line.description == entry.description:
                            yield line

    def put_in_order(self, identifiers: Iterable[str]) -> None:
        """Rewrite the file, one line a record: these first and in this order, then the others as they stand."""
        order = [name for name in dict.fromkeys([*identifiers, *self._places]) if name in self._places]
        is_whole = sum(size for _, size in self._places.values()) == self._end
        if is_whole and order == list(self._places):
            return
        path = self.folder / RECORDS
        with path.open("rb") as file:
            write_whole(path, (self._bytes(file, name).decode() for name in order))
        places, self._places, self._end = self._places, {}, 0
        for name in order:
            self._places[name] = (self._end, places[name][1])
            self._end += places[name][1]

    def _bytes(self, file: Any, identifier: str) -> bytes:
        offset, size = self._places[identifier]
        file.seek(offset)
        return bytes(file.read(size))

    def _note(self, identifier: str, description: str, has_fault: bool, size: int) -> None:
        """Note a record's next line and its place."""
        self._places[identifier] = (self._end, size)
        self._end += size
        self._descriptions[identifier] = description
        (self._failed.add if has_fault else self._failed.discard)(identifier)


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings that a folder was begun with.

    Raises:
        ValueError: If the file holds no JSON object.
    """
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"expected JSON in {path}: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"expected a JSON object in {path}, got {type(settings).__name__}")
    return settings


def require_same(path: Path, settings: dict[str, Any]) -> None:
    """Refuse to mix records of two settings: the folder's file must have these values.

    Raises:
        ValueError: If one differs.
    """
    there = read_settings(path)
    differing = sorted(name for name in settings if there.get(name) != settings[name])
    if differing:
        raise InputError(
            f"{path.parent} was begun with other settings ({', '.join(differing)}); "
            "choose those again, or another folder"
        )
