"""Runs the pipeline over entries into an annotation folder; a killed run goes on and ends with the same bytes."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from giqa_datasets.batches import batches
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.drops import FAULT, Drop, DropSink
from giqa_datasets.entries import Entry, by_photograph, load, unique
from giqa_datasets.errors import UnavailableError
from giqa_datasets.files import write_whole
from giqa_datasets.folder_lock import hold
from giqa_datasets.pipeline import annotation_folder
from giqa_datasets.pipeline.annotation_folder import DROPS, FUNNEL, SETTINGS, Annotations, refuse_foreign
from giqa_datasets.pipeline.annotation_lines import Finished, drop_line, finish, read_samples
from giqa_datasets.pipeline.funnel import Funnel, Row
from giqa_datasets.pipeline.model_choice import Choice, OpenModels
from giqa_datasets.pipeline.protocols import Models
from giqa_datasets.pipeline.stages import annotate
from giqa_datasets.records import Record, Sample


# Entries that go through the stages together. The windows are cut from the source, not from what is left of it, so a
# run that goes on puts the same batches to the models as one that was never killed.
WINDOW = 64
HOPELESS = 256  # failed records after which a run ends, if none came through

Window = Sequence[Entry]
# Yields the lines of the windows' records, in any order, and a drop for each photograph that could not be read
Engine = Callable[[Sequence[Window], Choice], Iterator[Finished | Drop]]


class Outcome(NamedTuple):
    """The funnel and the drops of a run."""

    funnel: list[Row]
    drops: list[Drop]  # in the order of the entries

    @property
    def n_faults(self) -> int:
        """The number of records that a model failed at; another run tries them again."""
        return len({drop.id for drop in self.drops if drop.reason == FAULT})


def annotate_into(
    folder: Path,
    entries: Iterable[Entry],
    choice: Choice,
    *,
    again: bool = True,
    left_out: Iterable[Drop] = (),
    engine: Engine | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """Annotate entries into a folder; what is annotated there already stays as it is.

    Args:
        folder: Made if it is not there.
        entries: Those that have samples of their own need no pipeline and are passed over.
        choice: The models.
        again: Whether records at which a model failed before are tried again.
        left_out: Drops of the sources, for the funnel.
        engine: Runs the stages; None runs them in this process.
        progress: Wraps the photographs that are read and the lines that are made.

    Raises:
        ImportError: If a model's packages are not installed.
        OSError: If a model cannot be had, no record comes through, or another run is at work there.
        ValueError: If the folder was begun with other settings, or is no annotation folder.
    """
    drops = list(left_out)
    listed = unique(entries, drops.append)
    fresh = [entry for entry in listed if not entry.samples]
    refuse_foreign(folder)
    with hold(folder):
        notes = Annotations.begin(folder, choice.settings())
        is_done = partial(notes.is_done, again=again)
        _forget_changed(notes, [entry for entry in fresh if is_done(entry)], progress)
        missing = {entry.id: entry for entry in fresh if not is_done(entry)}
        drops += _annotate_missing(notes, fresh, missing, choice, engine or local, progress)
        notes.put_in_order(entry.id for entry in fresh)
        funnel = Funnel(drops, n_ready=len(listed) - len(fresh))
        for line in notes.lines(fresh):
            funnel.add(line)
            drops += line.all_drops()
        rows = funnel.rows()
        write_whole(folder / DROPS, map(drop_line, drops))
        write_whole(folder / FUNNEL, [json.dumps([row._asdict() for row in rows], indent=2) + "\n"])
    return Outcome(rows, drops)


def annotated(
    folder: Path, entries: Iterable[Entry], drop: DropSink, *, sample: Callable[[Record], Sample | None] | None = None
) -> Iterator[Record]:
    """Yield the records of an annotation folder that have samples, and the entries that have samples of their own.

    Unreadable and changed photographs go to `drop`; `sample` makes a sample, or None, for a record without one, which
    is left out if it has none then.

    Raises:
        ValueError: If a line of the folder is not valid.
    """
    notes = Annotations(folder)
    for window in batches(unique(entries, lambda left_out: None), WINDOW):
        lines = notes.lines(entry for entry in window if not entry.samples)
        made = {line.id: (line.image_sha256, read_samples(line)) for line in lines if line.samples or sample}
        for record in load([entry for entry in window if entry.samples or entry.id in made], drop):
            sha256, samples = made.get(record.id, (record.photograph.sha256, record.samples))
            if sha256 != record.photograph.sha256:
                drop(Drop(record.id, "source", "changed_image", record.photograph.file))
            elif samples := samples or tuple(filter(None, [sample(record)] if sample else ())):
                yield replace(record, samples=samples)


def begun(folder: Path) -> Choice | None:
    """Return the choice with which an annotation folder was begun; None if nothing is annotated there.

    Raises:
        ValueError: If its settings or a line are not valid.
    """
    if not Annotations(folder).sha256:
        return None
    return Choice.of_settings(annotation_folder.read_settings(folder / SETTINGS))


def images_together(folder: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Order entries by image, also if one has several names, as the annotation folder has the sha256 of each."""
    sha256 = Annotations(folder).sha256
    return by_photograph(entries, key=lambda entry: sha256.get(entry.id, entry.file))


def local(windows: Sequence[Window], choice: Choice) -> Iterator[Finished | Drop]:
    """Annotate in this process."""
    models = OpenModels(choice)
    for window in windows:
        yield from annotate_window(window, models, choice)


def annotate_window(window: Window, models: Models, choice: Choice) -> Iterator[Finished | Drop]:
    """Annotate the entries of one window; yield each line as soon as its record is finished."""
    unread: list[Drop] = []
    records = list(load(window, unread.append))
    yield from unread
    if not records:  # then no model need be there
        return
    drops: defaultdict[str, list[Drop]] = defaultdict(list)
    done = annotate(records, models, lambda drop: drops[drop.id].append(drop), choice.rules)
    yield from write_lines(records, done, drops)


def write_lines(
    read: Iterable[Record], annotated: Iterable[Record], drops: defaultdict[str, list[Drop]]
) -> Iterator[Finished]:
    """Write the lines of one window; a record that did not come out was dropped whole.

    Drops are by record, and complete when the record comes out.
    """
    left = {record.id: record for record in read}
    for record in annotated:
        yield finish(left.pop(record.id), record, drops[record.id])
    for dropped in left.values():
        yield finish(dropped, None, drops[dropped.id])


def _forget_changed(notes: Annotations, done: Sequence[Entry], progress: Progress) -> None:
    """Have the records annotated again whose photograph changed."""
    for window in batches(progress(done, len(done), "read") if done else (), WINDOW):
        for record in load(window, lambda drop: None):  # the build says what is missing
            if record.photograph.sha256 != notes.sha256[record.id]:
                notes.forget(record.id)


def _annotate_missing(
    notes: Annotations,
    entries: Sequence[Entry],
    missing: Mapping[str, Entry],
    choice: Choice,
    engine: Engine,
    progress: Progress,
) -> list[Drop]:
    """Annotate the missing ones of the entries; return the unreadable photographs, in the order of the entries."""
    unread: dict[str, Drop] = {}
    windows = [window for window in batches(entries, WINDOW) if _is_to_do(window, missing, unread)]
    if windows:
        annotation_folder.require_same(notes.folder / SETTINGS, choice.settings())
    why: list[str] = []
    for made in progress(engine(windows, choice), len(missing) - len(unread), "annotate") if windows else ():
        if isinstance(made, Drop):
            unread[made.id] = made
        elif made.id in missing:
            notes.append(made)
            why += [made.fault] if made.fault else []
        if len(why) >= HOPELESS and not notes.any_done:
            break
    if why and not notes.any_done:
        raise UnavailableError(f"no record came through; what the first one ran into: {why[0]}")
    return [unread[entry.where] for entry in missing.values() if entry.where in unread]


def _is_to_do(window: Window, missing: Mapping[str, Entry], unread: dict[str, Drop]) -> bool:
    """Tell whether a window needs the models, that is, misses an entry whose photograph can be read."""
    left = [entry for entry in window if entry.id in missing]
    if not left or len(left) == len(window):
        return bool(left)

    def drop(left_out: Drop) -> None:
        unread[left_out.id] = left_out

    return any([True for _ in load(left, drop)])
