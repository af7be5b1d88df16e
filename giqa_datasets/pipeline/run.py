"""Runs the pipeline over entries into an annotation folder; a killed run goes on and ends with the same bytes."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.pipeline.annotate import annotate
from giqa_datasets.pipeline.annotations import (
    DROPS,
    FUNNEL,
    Annotations,
    drop_line,
    read_line,
    read_samples,
    replace_text,
    write_line,
)
from giqa_datasets.pipeline.batches import batches
from giqa_datasets.pipeline.choice import Choice, OpenModels
from giqa_datasets.pipeline.drops import FAULT, Drop, DropSink
from giqa_datasets.pipeline.funnel import Funnel, Row
from giqa_datasets.pipeline.models import Models
from giqa_datasets.records import Record
from giqa_datasets.sources.entries import Entry, load


# Entries that go through the stages together. The windows are cut from the source, not from what is left of it, so a
# run that goes on puts the same batches to the models as one that was never killed.
WINDOW = 64

Window = Sequence[Entry]
# Yields the lines of the windows' records, in any order, and what of their photographs could not be read
Engine = Callable[[Sequence[Window], Choice], Iterator[str | Drop]]


class Outcome(NamedTuple):
    """What a run leaves.

    Attributes:
        funnel: What went into each stage and what came out.
        drops: All that was left out, in the order of the entries.
    """

    funnel: list[Row]
    drops: list[Drop]

    @property
    def n_faults(self) -> int:
        """Records that a model failed at; another run tries them again."""
        return len({drop.id for drop in self.drops if drop.reason == FAULT})


def annotate_into(
    folder: Path,
    entries: Iterable[Entry],
    choice: Choice,
    *,
    left_out: Iterable[Drop] = (),
    engine: Engine | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda lines, total: lines,
) -> Outcome:
    """Annotate entries into a folder; what is annotated there already stays as it is.

    Args:
        folder: The annotation folder; made if it is not there.
        entries: Those that have samples of their own need no pipeline and are passed over.
        choice: The models.
        left_out: What the sources left out, for the funnel.
        engine: Runs the stages; None runs them in this process.
        progress: Wraps what is made; it is told how many records are missing.

    Raises:
        ImportError: If a model's packages are not installed.
        OSError: If a model cannot be had, or no record at all comes through.
        ValueError: If the folder was begun with other settings, or is none of ours.
    """
    notes = Annotations.begin(folder, choice.settings())
    drops = list(left_out)
    listed = unique(entries, drops.append)
    fresh = [entry for entry in listed if not entry.samples]
    drops += _annotate_missing(notes, fresh, choice, engine or local, progress)
    notes.put_in_order(entry.id for entry in fresh)
    funnel = Funnel(drops, n_ready=len(listed) - len(fresh))
    for line in notes.lines(entry.id for entry in fresh):
        funnel.add(line)
        drops += line.all_drops()
    rows = funnel.rows()
    replace_text(folder / DROPS, map(drop_line, drops))
    replace_text(folder / FUNNEL, [json.dumps([row._asdict() for row in rows], indent=2) + "\n"])
    return Outcome(rows, drops)


def annotated(folder: Path, entries: Iterable[Entry], drop: DropSink) -> Iterator[Record]:
    """Yield the records of an annotation folder that have samples, and the entries that have some of their own.

    Args:
        folder: What `annotate_into` filled.
        entries: In the order that the records are wanted in.
        drop: Told of photographs that could not be read, and of those that are not the ones that were annotated.

    Raises:
        ValueError: If a line of the folder is none of ours.
    """
    notes = Annotations(folder)
    for window in batches(entries, WINDOW):
        lines = {line.id: line for line in notes.lines(entry.id for entry in window if not entry.samples)}
        wanted = [entry for entry in window if entry.samples or (entry.id in lines and lines[entry.id].samples)]
        for record in load(wanted, drop):
            line = lines.get(record.id)
            if line is None:
                yield record
            elif line.image_sha256 != record.photograph.sha256:
                drop(Drop(record.id, "source", "changed_image", record.photograph.file))
            else:
                yield replace(record, samples=read_samples(line))


def local(windows: Sequence[Window], choice: Choice) -> Iterator[str | Drop]:
    """Annotate in this process."""
    models = OpenModels(choice)
    for window in windows:
        yield from annotate_window(window, models, choice)


def annotate_window(window: Window, models: Models, choice: Choice) -> Iterator[str | Drop]:
    """Annotate the entries of one window; yield each line as soon as its record is finished."""
    unread: list[Drop] = []
    records = list(load(window, unread.append))
    yield from unread
    drops: defaultdict[str, list[Drop]] = defaultdict(list)
    done = annotate(records, models, lambda drop: drops[drop.id].append(drop), choice.rules)
    yield from write_lines(records, done, drops)


def write_lines(
    read: Iterable[Record], annotated: Iterable[Record], drops: defaultdict[str, list[Drop]]
) -> Iterator[str]:
    """Write the lines of one window; a record that did not come out was dropped whole.

    Args:
        read: Its records as they went into the pipeline.
        annotated: As they came out.
        drops: By record; those of a record are complete when it comes out.
    """
    left = {record.id: record for record in read}
    for record in annotated:
        yield write_line(left.pop(record.id), record, drops[record.id])
    for dropped in left.values():
        yield write_line(dropped, None, drops[dropped.id])


def unique(entries: Iterable[Entry], drop: DropSink) -> list[Entry]:
    """List the entries; one whose id an earlier one has is dropped."""
    listed: dict[str, Entry] = {}
    for entry in entries:
        if listed.setdefault(entry.id, entry) is not entry:
            drop(Drop(entry.where, "source", "duplicate", entry.id))
    return list(listed.values())


def _annotate_missing(
    notes: Annotations,
    entries: Sequence[Entry],
    choice: Choice,
    engine: Engine,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> list[Drop]:
    """Annotate what has no line yet; return what could not be read, in the order of the entries."""
    missing = {entry.id for entry in entries if not notes.is_done(entry.id, entry.description)}
    windows = [window for window in batches(entries, WINDOW) if any(entry.id in missing for entry in window)]
    unread: list[Drop] = []
    why: list[str] = []
    for made in progress(engine(windows, choice), len(missing)) if windows else ():
        if isinstance(made, Drop):
            unread.append(made)
            continue
        line = read_line(made, "a new line")
        if line.id in missing:
            notes.append(line, made)
            why += [drop.what for drop in line.drops if drop.reason == FAULT]
        if len(why) >= WINDOW and not notes.any_done:
            break
    if why and not notes.any_done:
        raise OSError(f"no record came through; what the first one ran into: {why[0]}")
    place = {entry.where: number for number, entry in enumerate(entries)}
    return sorted(unread, key=lambda drop: place[drop.id])
