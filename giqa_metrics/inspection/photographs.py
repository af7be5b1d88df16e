"""Photographs as they come: files and folders of anyone's, with names that may be hostile."""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.images import decode
from giqa_datasets.sources.folder_metadata import SUFFIXES


MAX_BYTES = 2**28  # of a file (ours); a larger one is not read


class PhotoSource(NamedTuple):
    """A photograph that is not read yet.

    Attributes:
        name: What it is called in verdicts, valid Unicode, unique in a run.
        read: Gives the file's bytes; raises OSError or ValueError.
    """

    name: str
    read: Callable[[], bytes]


class Photo(NamedTuple):
    """A photograph that was read.

    Attributes:
        raw: The file; None if it cannot be read.
        sha256: Of the file.
        size_wh: (width, height) of the upright image; None if it is none.
        fault: What is wrong with it, None for an image.
    """

    raw: bytes | None
    sha256: str | None
    size_wh: tuple[int, int] | None
    fault: str | None


class Photos(NamedTuple):
    """The photographs that were found, and the names of what was left out."""

    sources: list[PhotoSource]
    left_out: list[str]


def find(arguments: Sequence[Path], *, out: Path | None = None) -> Photos:
    """List the photographs that are named: files, whatever they are called, and those of folders, by their suffix.

    Of one folder alone, a photograph is called by its path below it; else by its path as it was given. A folder is
    gone through with its folders, in the order of names. Links to folders are not followed; what begins with a dot is
    left out.

    Args:
        arguments: Files and folders.
        out: A folder that is no photographs', though it may lie in one: that of the results.

    Raises:
        FileNotFoundError: If one is not there.
        ValueError: If there is no photograph, or two have the same name.
    """
    found: dict[str, tuple[Path, PhotoSource]] = {}
    left_out: list[str] = []
    for argument in arguments:
        if not argument.exists():
            raise MissingFileError(f"expected a photograph or a folder of them at {str(argument)!r}, found none")
        root = argument if argument.is_dir() else None
        for path in [argument] if root is None else _walk(argument, out):
            name = _valid(path.relative_to(argument) if root and len(arguments) == 1 else path)
            if root and (path.is_dir() or not SUFFIXES.fullmatch(path.suffix) or path.name.startswith(".")):
                left_out.append(name)
                continue
            there, _ = found.setdefault(name, (path, PhotoSource(name, partial(_read, path, root))))
            if there != path:
                raise InputError(f"expected photographs with different names, got {name!r} twice")
    if not found:
        raise InputError(f"expected photographs in {', '.join(map(repr, map(str, arguments)))}, found none")
    return Photos([source for _, source in found.values()], left_out)


def read_photo(source: PhotoSource) -> Photo:
    """Read a photograph; never raises because of it."""
    raw = digest = None
    try:
        raw = source.read()
        digest = hashlib.sha256(raw).hexdigest()
        image = decode(raw, name=source.name)
    except OSError as error:
        return Photo(raw, digest, None, error.strerror or str(error))
    except ValueError as error:
        return Photo(raw, digest, None, str(error))
    return Photo(raw, digest, image.size, None)


def digest_of(source: PhotoSource) -> str | None:
    """The sha256 of a photograph's file; None if it cannot be read."""
    try:
        return hashlib.sha256(source.read()).hexdigest()
    except (OSError, ValueError):
        return None


def as_source(photograph: Path | str | bytes | Image.Image, number: int) -> PhotoSource:
    """Take what a program has of a photograph: a file's path, its bytes, or an image; the latter two get a number.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if isinstance(photograph, bytes):
        return PhotoSource(f"photograph {number}", lambda: photograph)
    if isinstance(photograph, Image.Image):
        return PhotoSource(f"photograph {number}", partial(_as_png, photograph))
    path = Path(photograph)
    if not path.exists():
        raise MissingFileError(f"expected a photograph at {str(path)!r}, found none")
    return PhotoSource(_valid(path), partial(_read, path, None))


def file_name(name: str) -> str:
    """A file name that tells which photograph it is of, and that no other one has: ASCII, short, without a path.

    Example:
        >>> file_name("../my photo.jpg")
        'my_photo.jpg-fb027587be455643'
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-60:].strip("._-")
    return f"{readable or 'photograph'}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _walk(folder: Path, out: Path | None) -> Iterator[Path]:
    """Yield a folder's files, and the folders that are left out, in the order of names, each folder in its place."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        is_folder = path.is_dir() and (path is folder or not (path.is_symlink() or path.name.startswith(".")))
        if not is_folder:
            yield path
        elif out is None or path.resolve() != out.resolve():
            waiting += sorted(path.iterdir(), key=lambda inside: os.fsencode(inside.name), reverse=True)


def _read(path: Path, root: Path | None) -> bytes:
    """Read a file; one of a folder must lie in it, wherever a link says that it is."""
    real = Path(os.path.realpath(path))  # resolve() raises where links go in circles
    if root is not None and not real.is_relative_to(root.resolve()):
        raise InputError("it is a link out of its folder")
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise InputError("it is no file")
    if status.st_size > MAX_BYTES:
        raise InputError(f"expected a file of at most {MAX_BYTES:,} bytes, got {status.st_size:,}")
    return real.read_bytes()


def _as_png(image: Image.Image) -> bytes:
    """Write an image as a file, upright."""
    if image.mode in ("F", "I"):  # convert() would clip it
        raise InputError(f"expected an image whose white is known, got the mode {image.mode}")
    buffer = io.BytesIO()
    upright = ImageOps.exif_transpose(image)
    is_kept = upright.mode in ("I;16", "L", "LA", "P", "RGB", "RGBA")
    (upright if is_kept else upright.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _valid(path: Path) -> str:
    """A path as text that can be written as UTF-8; bytes that are none stand as escapes."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
