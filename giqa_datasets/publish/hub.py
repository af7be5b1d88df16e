"""One commit to a repo on the Hub, whole or not at all, and what is said where the Hub fails in between.

Nothing else in the project writes to the Hub. huggingface_hub finds the token and sends it to the Hub only.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from giqa_datasets import __version__
from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.publish.plan import TITLE, Plan, Release, changes_of, foreign
from giqa_datasets.publish.remote import files_at, look, one_sentence, open_api


if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


_TAG = re.compile(r"[A-Za-z0-9]([\w-]|\.(?![.]))*")


class Published(NamedTuple):
    """The outcome of publishing."""

    url: str  # a page of the Hub
    commit: str | None  # the one that holds the release; None of a pull request that was open already
    is_new: bool  # a commit was made


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
        OSError: If the Hub refuses, or cannot be reached. The error says "published at" a commit, "not published", or
            that it could not look; before anything is sent, none of these.
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
        try:
            with one_sentence(remote.repo):
                open_api().create_tag(remote.repo, tag=tag, revision=published.commit, repo_type=remote.kind)
        except UnavailableError as error:
            raise UnavailableError(f"{error}; published at {published.commit}, without the tag {tag!r}") from error
    return published


def _again(planned: Plan) -> Plan:
    remote = look(planned.remote.repo, planned.remote.kind, planned.remote.revision)
    return planned._replace(remote=remote, changes=changes_of(remote.files, planned.release, planned.files))


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
    _require_unchanged(planned.release)
    try:
        commit = _create_commit(planned, revision=remote.revision).oid
    except UnavailableError as error:
        commit = _made_after_all(planned, error, _committed)
    _require_all(planned, commit)
    return Published(remote.page, commit, True)


def _committed(planned: Plan) -> str | None:
    """The branch's last commit, if it holds the release."""
    now = _again(planned)
    return None if now.changes else now.remote.head


def _require_all(planned: Plan, commit: str) -> None:
    """Raise OSError if a commit does not hold the release."""
    remote = planned.remote
    try:
        left = changes_of(files_at(remote.repo, remote.kind, commit), planned.release, planned.files)
    except UnavailableError as error:
        raise UnavailableError(f"{remote.repo}: published at {commit}, but could not look ({error})") from error
    if left:
        lacks = f"does not hold {left[0].path} as it was published"
        raise UnavailableError(f"{remote.repo}: published at {commit}, which {lacks}; publish again")


def _made_after_all(planned: Plan, error: UnavailableError, look_for: Callable[[Plan], str | None]) -> str:
    """What was made although the answer was an error; without it, say so, or that nobody knows."""
    try:
        made = look_for(planned)
    except UnavailableError as blind:
        raise UnavailableError(f"{error}; could not look whether it was published ({blind})") from error
    if made is None:
        raise UnavailableError(f"{error}; not published") from error
    return made


def _propose(planned: Plan) -> Published:
    """Open a pull request with the commit, unless nothing changes or one is open."""
    remote = planned.remote
    if not planned.changes:
        return Published(remote.page, remote.head, False)
    if url := _proposed(planned):
        return Published(url, None, False)
    _require_unchanged(planned.release)
    try:
        made = _create_commit(planned, create_pr=True)
    except UnavailableError as error:
        return Published(_made_after_all(planned, error, _proposed), None, True)
    _require_all(planned, made.oid)
    return Published(str(made.pr_url), made.oid, True)


def _proposed(planned: Plan) -> str | None:
    """The page of an open pull request that holds the release."""
    remote = planned.remote
    with one_sentence(remote.repo):
        pulls = open_api().get_repo_discussions(
            remote.repo, repo_type=remote.kind, discussion_type="pull_request", discussion_status="open"
        )
        ours = [pull for pull in pulls if pull.title.startswith(TITLE)]
    for pull in ours:  # by its title, which anyone may give
        files = files_at(remote.repo, remote.kind, f"refs/pr/{pull.num}")
        if not changes_of(files, planned.release, planned.files):
            return pull.url
    return None


def _require_unchanged(release: Release) -> None:
    """Raise OSError if a file changed after it was hashed."""
    for path, known in release.sums.items():
        content = release.files[path]
        if isinstance(content, Path):
            known.require(content)


def _create_commit(planned: Plan, **where: Any) -> "CommitInfo":
    """Send the changes, on top of the commit that was read."""
    from huggingface_hub import CommitOperationDelete

    remote = planned.remote
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
