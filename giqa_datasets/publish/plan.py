"""The plan of one commit to a repo on the Hub: what of a release differs from what is there."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.publish.remote import Kind, Remote


if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.hf_api import RepoFile


TITLE = "giqa publish"  # the begin of every commit's title
_SMALL = 10_000_000  # bytes; larger files are not searched for the token


class Sum(NamedTuple):
    """The hash of a local file."""

    sha256: bytes  # of its content
    stamp: tuple[int, int, int]  # its inode, size in bytes and time of change in ns, which differ for other content

    @classmethod
    def of(cls, path: Path) -> Self:
        """Hash a file; raise OSError if it cannot be read."""
        stamp = _stamp(path)
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").digest(), stamp)

    def require(self, path: Path) -> None:
        """Raise OSError if the file changed after it was hashed."""
        if _stamp(path) != self.stamp:
            raise UnavailableError(f"{path} changed after it was read, so nothing was published; publish again")


class Release(NamedTuple):
    """The files of a repo after one commit."""

    kind: Kind
    name: str  # of the thing that is published, for the commit's title
    files: Mapping[str, Path | bytes]  # a local file, or its content, by path in the repo
    owns: Callable[[str], bool] = lambda path: False  # a path that goes from the repo if `files` lacks it
    sdk: str | None = None  # of a new Space
    sums: Mapping[str, Sum] = MappingProxyType({})  # known sums of local files, by path in the repo


class Change(NamedTuple):
    """The change of one file of a repo."""

    what: Literal["add", "change", "remove"]
    path: str  # in the repo
    size: int  # in bytes, before compression, also of a file that the Hub has already; 0 of a removed one


class Plan(NamedTuple):
    """The changes that a release makes to a repo."""

    remote: Remote  # as it is
    release: Release  # as it shall be
    title: str  # of the commit; the same for the same files
    files: "Mapping[str, CommitOperationAdd]"  # of the release, hashed
    changes: list[Change]  # empty if the repo holds the release already

    @property
    def size(self) -> int:
        """The bytes of the files that are sent."""
        return sum(change.size for change in self.changes)


def plan(remote: Remote, release: Release, *, progress: Progress = no_progress) -> Plan:
    """Compare a release with the repo, by content.

    Raises:
        OSError: If a file cannot be read.
    """
    from huggingface_hub import CommitOperationAdd

    listed = sorted(release.files.items())
    files = {path: CommitOperationAdd(path, content) for path, content in listed}
    for path, known in release.sums.items():
        files[path].upload_info.sha256 = known.sha256
    unknown = [path for path in files if path not in release.sums]
    for path in progress(unknown, len(unknown), "hash files"):
        files[path].upload_info.sha256  # noqa: B018  # hashed when it is first looked at
    _refuse_token(files)
    sums = "".join(f"{path} {file.upload_info.sha256.hex()}\n" for path, file in files.items())
    title = f"{TITLE} {release.name} {hashlib.sha256(sums.encode()).hexdigest()[:12]}"
    return Plan(remote, release, title, files, changes_of(remote.files, release, files))


def foreign(planned: Plan) -> str | None:
    """Name the last commit of the branch if the plan would replace another's work; None if it would not."""
    remote = planned.remote
    is_new = all(change.what == "add" for change in planned.changes)
    if is_new or remote.is_begun or remote.last_title.startswith(TITLE):
        return None
    return f"{remote.repo} was last changed by {remote.head}, {remote.last_title[:200]!r}"


def _refuse_token(files: "Mapping[str, CommitOperationAdd]") -> None:
    from huggingface_hub import get_token

    token = (get_token() or "").encode()
    for path, file in files.items():
        if token and file.upload_info.size < _SMALL:
            with file.as_file() as opened:
                if token in opened.read():
                    raise InputError(f"{path} holds your token for the Hub, so nothing was published")


def _stamp(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def changes_of(
    remote: "Mapping[str, RepoFile]", release: Release, files: "Mapping[str, CommitOperationAdd]"
) -> list[Change]:
    """List the changes that a release, whose files are hashed, makes to the files of a repo."""
    changes = []
    for path, file in files.items():
        there = remote.get(path)
        if there is None or not _is_same(file, there):
            changes.append(Change("change" if there else "add", path, file.upload_info.size))
    gone = (path for path in sorted(remote) if release.owns(path) and path not in files)
    return [*changes, *(Change("remove", path, 0) for path in gone)]


def _is_same(file: "CommitOperationAdd", there: "RepoFile") -> bool:
    """Compare a file with one of a repo: by sha256, or by git's hash of a small one."""
    if there.lfs is not None:
        return there.lfs.sha256 == file.upload_info.sha256.hex()
    if there.size != file.upload_info.size:
        return False
    with file.as_file() as opened:
        content = opened.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == there.blob_id
