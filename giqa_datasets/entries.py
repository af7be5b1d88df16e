"""The entries that every source yields, which are light; each reads its photograph only when it is asked.

An entry can be counted, skipped, kept in memory by the hundred thousand and sent to a worker; its photograph cannot.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import ceil
from threading import Lock
from typing import Any, NamedTuple, Self

from giqa_datasets.batches import batches
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.errors import InputError
from giqa_datasets.image_stores import ImageStore, safe_name
from giqa_datasets.images import bake
from giqa_datasets.records import Distortion, Photograph, Record, Sample
from giqa_datasets.text import parse


READERS = 8  # threads; reading waits for disks and network file systems
KEPT_BYTES = 256 << 20  # of encoded photographs that `read_once` keeps


Samples = tuple[Sample, ...] | Callable[[Photograph], tuple[Sample, ...]]  # there, or made of the photograph


class ImageSet(NamedTuple):
    """An upstream image set, its licence, and whether its own terms let others pass it on."""

    source: str  # the set's name, as in the column `source`
    license: str  # of the pixels
    redistributable: bool = False  # False unless the set's own terms say so


class Refused(InputError):
    """An entry without a record: `reason` is the short name for its drop."""

    def __init__(self, reason: str, what: object = "") -> None:
        """Take the reason and the fault."""
        super().__init__(str(what))
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A description and the way to its photograph."""

    id: str  # unique in its source, and the same in every order of the rows
    where: str  # the row as a person finds it: "cleaned_labels.json row 17"
    file: str  # the photograph's upstream name
    description: str
    text_license: str  # of the description
    photograph: Callable[[], Photograph]  # reads it; raises `Refused` if it is missing or unfit; can be pickled
    samples: Samples = ()  # hand-made ones; an entry that has them needs no pipeline

    @classmethod
    def of(cls, record: Record) -> Self:
        """Make an entry of a record that is in memory."""
        name, file, read = record.id, record.photograph.file, partial(_same, record.photograph)
        return cls(name, name, file, record.description, record.text_license, read, record.samples)

    def load(self) -> Record:
        """Read the photograph; raise Refused if it is missing or unfit."""
        photograph = self.photograph()
        samples = self.samples(photograph) if callable(self.samples) else self.samples
        return Record(self.id, photograph, self.description, self.text_license, samples=samples)


def _same(photograph: Photograph) -> Photograph:
    return photograph


def load(entries: Sequence[Entry], drop: DropSink) -> Iterator[Record]:
    """Yield the entries' records in their order, read by several threads; unreadable ones go to `drop`."""

    def attempt(entry: Entry) -> Record | Drop:
        try:
            return entry.load()
        except Refused as refused:
            return Drop(entry.where, "source", refused.reason, str(refused))

    parts = batches(entries, ceil(len(entries) / READERS) or 1)
    with ThreadPoolExecutor(READERS) as pool:
        for loaded in chain.from_iterable(pool.map(lambda part: list(map(attempt, part)), parts)):
            if isinstance(loaded, Drop):
                drop(loaded)
            else:
                yield loaded


def unique(entries: Iterable[Entry], drop: DropSink) -> list[Entry]:
    """List the entries without those whose id an earlier one has, which are dropped."""
    listed: dict[str, Entry] = {}
    for entry in entries:
        if listed.setdefault(entry.id, entry) is not entry:
            drop(Drop(entry.where, "source", "duplicate", entry.id))
    return list(listed.values())


def by_photograph(entries: Iterable[Entry], key: Callable[[Entry], str] = lambda entry: entry.file) -> list[Entry]:
    """Order entries so that those of one photograph, or of another key, stand together at its first one's place."""
    together: dict[str, list[Entry]] = {}
    for entry in entries:
        together.setdefault(key(entry), []).append(entry)
    return [entry for of_one in together.values() for entry in of_one]


def read_photograph(
    images: ImageStore, file: str, rights: ImageSet, distortions: tuple[Distortion, ...] = (), *, verify: bool = False
) -> Photograph:
    """Read a photograph out of its store.

    `verify` is not needed if a stage decodes the pixels anyway, see `images.bake`.

    Raises:
        Refused: If it is missing, or no usable image.
    """
    try:
        raw = images.read(file)
        encoded = bake(raw, name=file, verify=verify)
    except FileNotFoundError as error:
        raise Refused("missing_image", error) from error
    except (OSError, ValueError) as error:
        raise Refused("broken_image", error) from error
    sha256 = hashlib.sha256(raw).hexdigest()
    source, terms, may_leave = rights
    return Photograph(*encoded[:3], sha256, source, terms, distortions, file, may_leave, encoded.changes)


def checked_name(name: str) -> str:
    """Return an image's upstream name in its one form; raise Refused if it is unsafe."""
    try:
        return safe_name(name)
    except ValueError as error:
        raise Refused("unsafe_path", error) from error


def check_text(description: str, name: str) -> None:
    """Raise Refused if a description is empty, holds markup, or cannot be written or read back."""
    if not description.strip():
        raise Refused("empty_description", name)
    try:
        description.encode()
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair
        raise Refused("broken_description", f"{name}: {description!a}") from error
    if "<image>" in description or parse(description).plain != description:
        raise Refused("markup_in_description", description)


def without(entries: Iterable[Entry], refuse: Callable[[Photograph], None]) -> Iterator[Entry]:
    """Show each photograph to `refuse` when it is read, which raises `Refused` for unwanted ones."""
    for entry in entries:
        yield replace(entry, photograph=partial(_checked, entry.photograph, refuse))


def _checked(photograph: Callable[[], Photograph], refuse: Callable[[Photograph], None]) -> Photograph:
    read = photograph()
    refuse(read)
    return read


def read_once(entries: Iterable[Entry], max_bytes: int = KEPT_BYTES) -> Iterator[Entry]:
    """Let a photograph be read once, also by several entries, as long as all that were read fit into memory.

    Two photographs are one if the arguments of their readers are equal; `max_bytes` are encoded bytes.
    """
    room = _Room(max_bytes)
    readers: dict[Hashable, _Once] = {}
    for entry in entries:
        reader = readers.setdefault(_identity(entry.photograph), _Once(entry.photograph, room))
        yield replace(entry, photograph=reader)


class _Room:
    def __init__(self, n_bytes: int) -> None:
        self._left = n_bytes
        self._lock = Lock()

    def take(self, n_bytes: int) -> bool:
        """Take so many bytes if they are free."""
        with self._lock:
            fits = n_bytes <= self._left
            self._left -= n_bytes * fits
            return fits


class _Once:
    """Reads a photograph and keeps it while there is room; sent to another process, it reads there."""

    def __init__(self, read: Callable[[], Photograph], room: _Room) -> None:
        self._read = read
        self._room = room
        self._kept: Photograph | None = None
        self._lock = Lock()

    def __call__(self) -> Photograph:
        with self._lock:
            photograph = self._kept or self._read()
            if self._kept is None and self._room.take(len(photograph.image)):
                self._kept = photograph
            return photograph

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return partial, (self._read,)


def _identity(read: Any) -> Hashable:
    """The function of a reading, and its arguments."""
    if isinstance(read, partial):
        named = ((name, _identity(value)) for name, value in sorted(read.keywords.items()))
        return read.func, *map(_identity, read.args), *named
    try:
        hash(read)
    except TypeError:
        return id(read)
    return read  # type: ignore[no-any-return]
