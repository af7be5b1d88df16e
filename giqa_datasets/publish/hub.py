"""One commit to a repo on the Hub: the plan of its changes, and the commit, whole or not at all.

Nothing else in the project writes to the Hub. huggingface_hub finds the token and sends it to the Hub only.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from giqa_datasets import __version__
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.publish.remote import Kind, Remote, files_at, look, one_sentence, open_api


if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd
    from huggingface_hub.hf_api import RepoFile


TITLE = "giqa publish"  # the begin of every commit's title
_SMALL = 10_000_000  # bytes; larger files are not searched for the token
_TAG = re.compile(r"[A-Za-z0-9]([\w-]|\.(?![.]))*")


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


class Published(NamedTuple):
    """The outcome of publishing."""

    url: str  # a page of the Hub
    commit: str | None  # the one that holds the release; None of a pull request that was open already
    is_new: bool  # a commit was made


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
    return Plan(remote, release, title, files, _changes(remote.files, release, files))


def foreign(planned: Plan) -> str | None:
    """Name the last commit of the branch if the plan would replace another's work; None if it would not."""
    remote = planned.remote
    is_new = all(change.what == "add" for change in planned.changes)
    if is_new or remote.is_begun or remote.last_title.startswith(TITLE):
        return None
    return f"{remote.repo} was last changed by {remote.head}, {remote.last_title[:200]!r}"


def publish(planned: Plan, *, private: bool = False, create_pr: bool = False, tag: str | None = None) -> Published:
    """Make a plan's commit, on the condition that the branch has not moved since it was read.

    After a failure the same call goes on: files that arrived are not sent twice, and a commit whose answer was lost is
    found. A missing repo or branch is made first.

    Args:
        planned: The plan.
        private: Make a new repo private.
        create_pr: Propose the commit in a pull request; the same proposal is made once.
        tag: A name for the commit that holds the release; a tag is never moved.

    Raises:
        OSError: If the Hub refuses, or cannot be reached; unless it says "published", the branch is as it was.
        ValueError: If the repo shall be private and is public, if someone else made and filled it meanwhile, or if the
            tag is not valid or names another commit.
    """
    remote = planned.remote
    if remote.private is False and private:
        raise InputError(f"{remote.repo} exists and is public; its settings on the Hub make it private")
    if tag is not None and (not _TAG.fullmatch(tag) or tag in ("main", remote.revision)):
        raise InputError(f"expected a tag such as v1.0, and no branch's name, got {tag!r}")
    tagged = remote.tags.get(tag or "")
    if tagged is not None and (planned.changes or tagged != remote.head):
        raise InputError(f"tag {tag!r} of {remote.repo} stands at {tagged}, and a tag is never moved")
    if remote.is_new:
        planned = _begin(planned, private=private)
        if private and not planned.remote.private:
            raise InputError(f"{remote.repo} was made by another meanwhile, and is public")
        if remote.head is None and (others := foreign(planned)):
            raise InputError(f"{others}, since it was looked at; publish again to see what would change now")
    published = _propose(planned) if create_pr else _commit(planned)
    if tag is not None and tagged is None:
        with one_sentence(remote.repo):
            open_api().create_tag(remote.repo, tag=tag, revision=published.commit, repo_type=remote.kind)
    return published


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


def _changes(
    remote: "Mapping[str, RepoFile]", release: Release, files: "Mapping[str, CommitOperationAdd]"
) -> list[Change]:
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


def _again(planned: Plan) -> Plan:
    remote = look(planned.remote.repo, planned.remote.kind, planned.remote.revision)
    return planned._replace(remote=remote, changes=_changes(remote.files, planned.release, planned.files))


def _begin(planned: Plan, *, private: bool) -> Plan:
    remote, api = planned.remote, open_api()
    with one_sentence(remote.repo):
        if remote.head is None:
            sdk = planned.release.sdk
            api.create_repo(remote.repo, repo_type=remote.kind, private=private, exist_ok=True, space_sdk=sdk)
        if remote.revision != "main":
            api.create_branch(
                remote.repo, repo_type=remote.kind, branch=remote.revision, revision=remote.head, exist_ok=True
            )
    return _again(planned)


def _commit(planned: Plan) -> Published:
    """Make the commit, unless nothing changes, and check that it holds the release."""
    remote = planned.remote
    if not planned.changes:
        return Published(remote.page, remote.head, False)
    try:
        commit = _create_commit(planned, revision=remote.revision).oid
    except OSError as error:
        commit = _made_after_all(planned, error)
    _require_all(planned, commit)
    return Published(remote.page, commit, True)


def _require_all(planned: Plan, commit: str) -> None:
    """Raise OSError if a commit does not hold the release."""
    remote = planned.remote
    try:
        left = _changes(files_at(remote.repo, remote.kind, commit), planned.release, planned.files)
    except OSError as error:
        raise UnavailableError(
            f"{remote.repo}: published at {commit}, but the Hub does not show it ({error})"
        ) from error
    if left:
        raise UnavailableError(f"{remote.repo} does not hold {left[0].path} as it was published; publish again")


def _made_after_all(planned: Plan, error: OSError) -> str:
    """The commit whose answer was lost; without one, raise the error."""
    try:
        now = _again(planned)
    except OSError:
        raise error from None
    if now.changes or now.remote.head is None:
        raise error
    return now.remote.head


def _propose(planned: Plan) -> Published:
    """Open a pull request with the commit, unless nothing changes or one is open."""
    remote = planned.remote
    if not planned.changes:
        return Published(remote.page, remote.head, False)
    if url := _proposed(planned):
        return Published(url, None, False)
    try:
        made = _create_commit(planned, create_pr=True)
        _require_all(planned, made.oid)
    except OSError:
        if url := _proposed(planned):
            return Published(url, None, True)
        raise
    return Published(str(made.pr_url), made.oid, True)


def _proposed(planned: Plan) -> str | None:
    remote = planned.remote
    with one_sentence(remote.repo):
        pulls = open_api().get_repo_discussions(
            remote.repo, repo_type=remote.kind, discussion_type="pull_request", discussion_status="open"
        )
        ours = [pull for pull in pulls if pull.title.startswith(TITLE)]
    for pull in ours:  # by its title, which anyone may give
        files = files_at(remote.repo, remote.kind, f"refs/pr/{pull.num}")
        if not _changes(files, planned.release, planned.files):
            return pull.url
    return None


def _create_commit(planned: Plan, **where: Any) -> "CommitInfo":
    """Send the changes, on top of the commit that was read."""
    from huggingface_hub import CommitOperationDelete

    remote = planned.remote
    for path, known in planned.release.sums.items():
        content = planned.release.files[path]
        if isinstance(content, Path):
            known.require(content)
    sent = [
        CommitOperationDelete(path) if what == "remove" else planned.files[path] for what, path, _ in planned.changes
    ]
    with one_sentence(remote.repo):
        made: CommitInfo = open_api().create_commit(
            remote.repo,
            sent,
            commit_message=planned.title,
            commit_description=f"giqa {__version__}",
            repo_type=remote.kind,
            parent_commit=remote.head,
            **where,
        )
    return made
