"""Files that are written whole or not at all, and JSON Lines, of which a kill costs at most the last one.

A file that grows a line at a time is mended before it goes on: a last line that a kill left half-written is cut off.
Lines from people are validated by a pydantic model, and an error names file and line. A byte order mark
and blank lines are passed over.
"""

import codecs
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from giqa_datasets.errors import InputError


if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Line = TypeVar("Line", bound="BaseModel")


Content = bytes | Iterable[str]
PARTIAL = ".giqa-partial"  # ends the name of a file that is not whole yet


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the operating system name the file that is written inside: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_whole(path: Path, content: Content) -> None:
    """Write a file whole, or leave the old one; see `write_all`."""
    write_all({path: content})


def write_all(files: Mapping[Path, Content | None]) -> None:
    """Write files, in the place of the old ones when all are whole, in their order; or none.

    Texts are written as UTF-8; for None, the old file goes when its turn has come. Another process may write the same
    files at the same time: the last to finish stays.

    Raises:
        OSError: If one cannot be written; it is named.
    """
    partials = {path: path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}") for path in files}
    try:
        for path, content in files.items():
            if content is not None:
                with naming(path), partials[path].open("wb") as file:
                    file.writelines([content] if isinstance(content, bytes) else (part.encode() for part in content))
        for path, partial in partials.items():
            if files[path] is None:
                path.unlink(missing_ok=True)
            else:
                partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def json_line(fields: Mapping[str, Any]) -> str:
    """Write a line with its end; arrays become lists, and half a surrogate pair becomes `?`."""
    text = json.dumps(fields, ensure_ascii=False, default=methodcaller("tolist"))
    return text.encode("utf-8", "replace").decode() + "\n"


def append_line(path: Path, line: str, *, sync: bool = False) -> None:
    """Append a line and hand it to the operating system, or with `sync` to the disk."""
    with naming(path), path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        if sync:
            os.fsync(file.fileno())


def mend(path: Path) -> None:
    """Make a file ready to be appended to: it exists, and its last line is whole.

    A half-written last line is cut off; a whole one without its end gets it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a+b") as file:
        file.seek(max(file.tell() - 1, 0))
        if file.read(1) in (b"", b"\n"):
            return
        file.seek(0)
        raw = file.read()
        end = raw.rfind(b"\n") + 1
        if _is_json(raw[end:]):
            file.write(b"\n")
        else:
            file.truncate(end)


def numbered_lines(
    path: Path, *, longest: int | None = None, grows: bool = False, every_byte: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of a file that are not blank, each after what to call it in an error.

    A line of more than `longest` bytes is an error. With `grows`, a last line that a kill left half-written is passed
    over; with `every_byte`, blank lines and a byte order mark are yielded too: for a file whose places are counted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is longer; it is named.
    """
    size = -1 if longest is None else longest + 1
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(size), b""), start=1):
            where = f"{path} line {number}"
            if not every_byte:
                raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                if raw.isspace() or not raw:
                    continue
            if longest is not None and len(raw) > longest:
                raise InputError(f"{where}: expected at most {longest:,} bytes")
            if grows and not raw.endswith(b"\n") and not _is_json(raw):
                return
            yield where, raw


def read_lines(
    path: Path, kind: type[Line], *, expected: str = "", longest: int | None = None, grows: bool = False
) -> Iterator[tuple[str, Line]]:
    """Yield the lines of a file as pydantic models, each after its name for an error; see `numbered_lines`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not of the kind, or longer; it is named.
    """
    for where, raw in numbered_lines(path, longest=longest, grows=grows):
        yield where, read_line(raw, where, kind, expected=expected)


def read_line(raw: bytes, where: str, kind: type[Line], *, expected: str = "") -> Line:
    """Read one line of JSON.

    `where` is the line's name for an error, and `expected` its kind in words, which the error shows with the line and
    its first fault.

    Raises:
        ValueError: If it is not of the kind.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        why = fault_of(error)
        if expected:
            got = raw.strip()[:80].decode(errors="replace")
            why = f"expected {expected}, got {got!r}: {why}"
        raise InputError(f"{where}: {why}") from error


def fault_of(error: "ValidationError") -> str:
    """Return the first fault, after its place: "regions.0.phrase: field required"."""
    return said(error.errors()[0])


def said(fault: Any) -> str:
    """Return one of a pydantic error's faults, after its place."""
    where = ".".join(map(str, fault["loc"]))
    where = f"{where}: " if where else ""
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):  # pydantic would name a class of ours
        return f"{where}expected an object, got {type(fault['input']).__name__}"
    return f"{where}{fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True
