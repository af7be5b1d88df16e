"""The image files of an upstream set: in a folder, in a tar read in place, or the user's own copies found by hash.

Upstream names are hostile: a name is a relative path, nothing outside its store is ever read, nothing is unpacked, and
no file larger than `MAX_BYTES` is read into memory. If no file has a name to the letter, the one is read whose name
differs in its Unicode form or its slashes only. An error about a file does not tell its place on this machine, since
it ends in the data set.
"""

import hashlib
import os
import tarfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple, Protocol

from pydantic import BaseModel, Field

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import json_line, read_lines, write_whole
from giqa_datasets.images import Change


MAX_BYTES = 128 * 1024**2  # ours; a photograph of `images.MAX_PIXELS` pixels is smaller in every usual format


class ImageStore(Protocol):
    """Image files by their upstream names."""

    def read(self, name: str) -> bytes:
        """Return the file's bytes.

        Raises:
            FileNotFoundError: If the store has no such file.
            ValueError: If the name is unsafe, or the file is not fit to be read.
        """


def safe_name(name: str) -> str:
    """Bring an upstream name to its one form, with forward slashes.

    Raises:
        ValueError: If the name is not a relative path that stays inside its store on every system.

    Example:
        >>> safe_name("./spaq_koniq//00003.jpg")
        'spaq_koniq/00003.jpg'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    foreign = PureWindowsPath(name).drive
    # Categories C and Z: control characters, halves of pairs, line separators; spaces of any kind are fine
    strange = any(not letter.isprintable() and unicodedata.category(letter) != "Zs" for letter in name)
    if foreign or path.is_absolute() or ".." in path.parts or not path.name or strange:
        raise InputError(f"expected a relative path inside the store, got {name!a}")
    return str(path)


class Folder:
    """The extracted files under one folder; a link that leads out of it is refused."""

    def __init__(self, root: Path) -> None:
        """Take the folder; it may be empty."""
        self.root = root.resolve()

    def read(self, name: str) -> bytes:
        """Return the file's bytes; see `ImageStore`."""
        return _bounded(self.find(name), name)

    def find(self, name: str) -> Path:
        """Return the place of the one file that fits a name, its links followed; raises as `read`."""
        name = safe_name(name)
        try:
            path = (self.root / name).resolve()
            if not path.is_file() and (known := _fitting(self._names, name)) != name:
                path = (self.root / known).resolve()
            inside, is_file = path.is_relative_to(self.root), path.is_file()
        except (OSError, RuntimeError) as error:  # no permission, too long a name, links in a circle
            raise _unreadable(name, error) from error
        if not inside:
            raise InputError(f"{name!r} is a link that leads out of {self.root.name}")
        if not is_file:
            raise MissingFileError(f"expected {name!r} in {self.root.name}, found none")
        return path

    def first_names(self, names: Iterable[str]) -> dict[str, str]:
        """Return for each name the first one of the same bytes; files of equal size are read. Raises as `find`."""
        paths = {name: self.find(name) for name in names}
        sizes = {path: path.stat().st_size for path in paths.values()}
        like = Counter(sizes.values())
        first: dict[object, str] = {}
        return {
            name: first.setdefault(_content(path) if like[sizes[path]] > 1 else path, name)
            for name, path in paths.items()
        }

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        paths = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return _by_form(path.relative_to(self.root).as_posix() for path in paths)

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Leave the names behind, which a worker seldom needs."""
        return Folder, (self.root,)


class Tar:
    """The regular files of an uncompressed tar, read in place by their offsets.

    Links, devices, sparse files and unsafe names are never read; of a name that occurs twice, the later one counts, as
    it would after unpacking.
    """

    def __init__(self, path: Path) -> None:
        """Index the tar in one pass.

        Raises:
            ValueError: If the file is no uncompressed tar.
        """
        self.path = path
        self.refused: list[str] = []  # names of all but regular files and folders
        self._places: dict[str, tuple[int, int]] = {}  # name: offset and size in bytes
        try:
            with tarfile.open(path, "r:") as tar:
                self._index(tar)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise InputError(f"expected an uncompressed tar in {path}: {error}") from error
        self._names = _by_form(self._places)

    def _index(self, tar: tarfile.TarFile) -> None:
        end = -1
        for member in tar:
            if member.size < 0 or member.offset <= end:  # tarfile would go round in circles
                raise InputError(f"member {member.name!a} has the size {member.size}")
            end = member.offset
            try:
                name = safe_name(member.name) if not member.isdir() else None
            except ValueError:
                name = ""
            if name and member.isreg() and not member.issparse():
                self._places[name] = (member.offset_data, member.size)
            elif name is not None:
                self.refused.append(ascii(member.name))

    def read(self, name: str) -> bytes:
        """Return the file's bytes; see `ImageStore`."""
        place = self._places.get(_fitting(self._names, safe_name(name)))
        if place is None:
            raise MissingFileError(f"expected {name!r} in {self.path.name}, found none")
        offset, size = place
        if size > MAX_BYTES:
            raise InputError(f"expected at most {MAX_BYTES:,} bytes, got {size:,} in {name!r}")
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                raw = file.read(size)
        except OSError as error:
            raise _unreadable(name, error) from error
        if len(raw) != size:
            raise InputError(f"{self.path.name} ends inside {name!r}")
        return raw


class FirstOf:
    """Several stores as one: a file is read from the first that has it."""

    def __init__(self, *stores: ImageStore) -> None:
        """Take the stores in the order in which they are asked."""
        self.stores = stores

    def read(self, name: str) -> bytes:
        """Return the file's bytes; see `ImageStore`."""
        for store in self.stores:
            try:
                return store.read(name)
            except FileNotFoundError:
                continue
        raise MissingFileError(f"expected {name!r} in one of {len(self.stores)} places, found none")


class OwnCopies:
    """The user's own copies, under any names: a file is found by its sha256 in the manifest."""

    def __init__(self, sha256: Mapping[str, str], folders: Iterable[Path], progress: Progress = no_progress) -> None:
        """Hash every file under the folders, once; links are not followed.

        Raises:
            FileNotFoundError: If a folder does not exist.
        """
        self.sha256 = sha256
        self._names = _by_form(sha256)
        self._found: dict[str, Path] = {}
        self._namesakes: dict[str, Path] = {}
        wanted = set(sha256.values())
        files = list(_files(folders))
        for folder, path in progress(files, len(files), "hash"):
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest in wanted:
                self._found.setdefault(digest, path)
            else:
                self._namesakes.setdefault(path.name, path.relative_to(folder.parent))

    def read(self, name: str) -> bytes:
        """Return the bytes of the user's copy; see `ImageStore`."""
        name = _fitting(self._names, safe_name(name))
        expected = self.sha256.get(name)
        if expected is None:
            raise MissingFileError(f"expected {name!r} in the manifest, found none")
        path = self._found.get(expected)
        if path is None:
            namesake = self._namesakes.get(PurePosixPath(name).name)
            if namesake is None:
                raise MissingFileError(f"expected a copy of {name!r} with the sha256 {expected}, found none")
            raise InputError(f"expected the sha256 {expected} of {name!r}, got another in {namesake}")
        raw = _bounded(path, name)
        if hashlib.sha256(raw).hexdigest() != expected:
            raise InputError(f"the copy of {name!r} has changed since it was hashed")
        return raw


def images_under(root: Path) -> FirstOf:
    """Open the images of an upstream set as its users have it: extracted under `root`, or still in the tars beside it.

    Raises:
        ValueError: If one of the tars is not valid.
    """
    return FirstOf(Folder(root), *(Tar(path) for path in sorted(root.glob("*.tar")) if path.is_file()))


def copies_of(folders: Sequence[Path], manifest: Path | None, progress: Progress = no_progress) -> list[ImageStore]:
    """Open the user's own copies of upstream images.

    With a manifest, they are found by their sha256; without, by their upstream names under a folder.

    Raises:
        FileNotFoundError: If a folder or the manifest does not exist.
        ValueError: If the manifest, or a tar in a folder, is not valid.
    """
    if manifest is not None:
        return [OwnCopies(read_manifest(manifest), folders, progress)]
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"expected a folder of images in {folder}, found none")
    return [images_under(folder) for folder in folders]


class ImageFile(NamedTuple):
    """One line of a manifest: an upstream name, the sha256 of its file, hexadecimal, and `images.CHANGES` of it."""

    file: str
    sha256: str
    changes: tuple[str, ...] = ()


class _Line(BaseModel):
    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    changes: tuple[Change, ...] = ()


def write_manifest(path: Path, entries: Iterable[ImageFile]) -> None:
    """Write a manifest: JSON Lines of `{"file", "sha256"}`, and of `changes` if there are some."""
    said = ({name: value for name, value in entry._asdict().items() if value} for entry in entries)
    write_whole(path, map(json_line, said))


def read_changes(path: Path) -> dict[str, tuple[str, ...]]:
    """Read what was changed of a manifest's files, by sha256; empty without a manifest. Raises as `read_manifest`."""
    lines = read_lines(path, _Line) if path.exists() else ()
    return {line.sha256: line.changes for _, line in lines if line.changes}


def read_manifest(path: Path) -> dict[str, str]:
    """Read a manifest: the sha256 of each upstream name.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a line is not valid, or gives a name a second hash; the line is named.
    """
    sha256: dict[str, str] = {}
    for where, entry in read_lines(path, _Line):
        try:
            name = safe_name(entry.file)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        if sha256.setdefault(name, entry.sha256) != entry.sha256:
            raise InputError(f"{where}: expected one sha256 of {name!r}, got a second")
    return sha256


def differences(store: ImageStore, sha256: Mapping[str, str]) -> list[str]:
    """Name each file of a manifest that the store lacks or that differs there, a sentence each."""
    found = []
    for name, expected in sha256.items():
        try:
            got = hashlib.sha256(store.read(name)).hexdigest()
        except (FileNotFoundError, ValueError) as error:
            found.append(str(error))
        else:
            if got != expected:
                found.append(f"expected the sha256 {expected} of {name!r}, got {got}")
    return found


def _by_form(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by the form that those share which differ in their Unicode form or slashes only."""
    found = defaultdict(list)
    for name in names:
        found[_form(name)].append(name)
    return dict(found)


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _fitting(by_form: Mapping[str, Sequence[str]], name: str) -> str:
    """The name if it is known or nothing fits it, else the one that fits; raise ValueError if several do."""
    known = by_form.get(_form(name), [name])
    if name not in known and len(known) > 1:
        raise InputError(f"expected one file that fits {name!r}, got {', '.join(map(ascii, known))}")
    return name if name in known else known[0]


def _content(path: Path) -> object:
    """The sha256 of a file, or its path if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
    return path


def _bounded(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(name, error) from error
    if len(raw) > MAX_BYTES:
        raise InputError(f"expected at most {MAX_BYTES:,} bytes in {name!r}, got more")
    return raw


def _unreadable(name: str, error: OSError | RuntimeError) -> InputError:
    """The error about a file, by its upstream name only."""
    said = error.strerror if isinstance(error, OSError) else "its links go round in a circle"
    return InputError(f"{name!r} cannot be read: {said}")


def _files(folders: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """All regular files under the folders, each after its folder, in an order that is the same everywhere."""
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"expected a folder of photographs in {folder}, found none")
        for root, inner, names in os.walk(folder):
            inner.sort()
            for path in (Path(root, name) for name in sorted(names)):
                if path.is_file() and not path.is_symlink():
                    yield folder, path
