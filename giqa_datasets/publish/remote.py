"""A repo on the Hub as it is, and the errors of the Hub, in one sentence each."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from giqa_datasets import __version__
from giqa_datasets.console import printable
from giqa_datasets.errors import GiqaError, InputError, UnavailableError
from giqa_datasets.http_answers import bound
from giqa_datasets.private_interfaces import hub_client


if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile


Kind = Literal["dataset", "space", "model"]
TIMEOUT = 300.0  # seconds without a byte from the Hub; huggingface_hub itself has no limit
LONGEST = 64_000_000  # bytes of an answer: the addresses of a large upload's parts are some megabytes
LONGEST_CARD = 10_000_000  # bytes of a file that is read; a larger one is no card
_BEGUN = "initial commit"  # of the Hub, which fills a new Space with a page
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NO_XET = re.compile(r"\b(404|405|501)\b.*/xet-(read|write)-token/")  # as hf_xet says it
_NO_BRANCH = re.compile(r"refs/|[0-9a-f]{40}$")


@dataclass(frozen=True)
class Remote:
    """A branch of a repo at one time."""

    kind: Kind
    repo: str  # `org/name`
    revision: str  # a branch, or `refs/pr/1`
    private: bool | None = None  # None without a repo
    head: str | None = None  # the branch's last commit, or main's without such a branch; None without a repo
    is_new: bool = True  # the repo or the branch is still to be made
    tags: Mapping[str, str] = field(default_factory=dict)  # the commit of each tag
    files: Mapping[str, "RepoFile"] = field(default_factory=dict)  # of `head`, by path

    def read(self, path: str) -> bytes | None:
        """Return the content of a file at `head`; None if there is none."""
        if path not in self.files:
            return None
        if self.files[path].size > LONGEST_CARD:
            raise InputError(f"expected at most {LONGEST_CARD:,} bytes in {path} of {self.repo}")
        with one_sentence(self.repo):
            found = open_api().hf_hub_download(self.repo, path, repo_type=self.kind, revision=self.head)
        return Path(found).read_bytes()

    @property
    def page(self) -> str:
        """The address of the repo's page."""
        return "/".join([open_api().endpoint, *([] if self.kind == "model" else [f"{self.kind}s"]), self.repo])

    @property
    def last_title(self) -> str:
        """The title of the commit `head`; empty if there is none."""
        return self._titles[0] if self._titles else ""

    @property
    def is_begun(self) -> bool:
        """True if the only commit is the Hub's own first one."""
        return len(self._titles) == 1 and self.last_title == _BEGUN

    @cached_property
    def _titles(self) -> list[str]:
        if self.head is None:
            return []
        with one_sentence(self.repo):
            commits = open_api().list_repo_commits(self.repo, repo_type=self.kind, revision=self.head)
            return [each.title for each in commits]


def look(repo: str, kind: Kind, revision: str = "main") -> Remote:
    """Read the state of a repo's branch, which may be missing, or of `refs/pr/1`.

    Raises:
        OSError: If the Hub cannot be asked.
        ValueError: If the id or the revision is not valid.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    if not _ID.fullmatch(repo):
        raise InputError(f"expected ORG/NAME as on the Hub, got {repo!r}")
    api = open_api()
    with one_sentence(repo):
        try:
            info = api.repo_info(repo, repo_type=kind)
        except RepositoryNotFoundError:
            return Remote(kind, repo, revision)
        refs = api.list_repo_refs(repo, repo_type=kind, include_pull_requests=True)
        tips = {ref.name: ref.target_commit for ref in refs.branches}
        tips |= {ref.ref: ref.target_commit for ref in refs.pull_requests or ()}
        tags = {ref.name: ref.target_commit for ref in refs.tags}
        if revision not in tips and (revision in tags or _NO_BRANCH.match(revision)):
            raise InputError(f"expected a branch of {repo} or a pull request, got {revision!r}")
        head = tips.get(revision, tips["main"])
    files = files_at(repo, kind, head)
    return Remote(kind, repo, revision, bool(info.private), head, revision not in tips, tags, files)


def files_at(repo: str, kind: Kind, commit: str) -> dict[str, "RepoFile"]:
    """List the files of a commit, by path."""
    from huggingface_hub.hf_api import RepoFile

    with one_sentence(repo):
        tree = open_api().list_repo_tree(repo, repo_type=kind, revision=commit, recursive=True)
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def wait_at_most(seconds: float = TIMEOUT) -> None:
    """Let every call of huggingface_hub in this process fail that receives nothing for so long, or endless answers."""
    from huggingface_hub import set_client_factory

    def client() -> Any:
        made = hub_client()
        made.timeout = seconds
        return bound(made, "the Hub", longest=LONGEST)

    set_client_factory(client)


def open_api() -> "HfApi":
    """Open a client of the Hub, with the token that huggingface_hub finds."""
    from huggingface_hub import HfApi

    return HfApi(library_name="giqa", library_version=__version__)


_REASONS = {
    401: "the Hub wants a token that may write: hf auth login",
    403: "the token may not do this",
    404: "there is no such repo, or the token may not see it: hf auth login",
    412: "someone else published meanwhile, and nothing of this was; publish again to see what would change now",
    429: "the Hub asks to wait; publish again in a while, and what has arrived does not travel twice",
}


@contextmanager
def one_sentence(repo: str) -> Iterator[None]:
    """Turn an error of the Hub into an OSError of one sentence; a wrong argument, or a card's, is a ValueError."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = printable(error.server_message or "nothing more")[:200]
        reason = _REASONS.get(status) or f"the Hub answered {status}: {said}"
        raise UnavailableError(f"{repo}: {reason}") from error
    except GiqaError:
        raise
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, HFValidationError) or str(error).startswith("Invalid metadata"):
            raise InputError(printable(" ".join(str(error).split()))) from error
        raise UnavailableError(f"{repo}: the answer is none that the Hub gives; publish again") from error
    except OSError as error:
        if _NO_XET.search(str(error)):
            raise UnavailableError(
                f"{repo}: this Hub has no Xet storage; publish again with HF_HUB_DISABLE_XET=1 in the environment"
            ) from error
        raise UnavailableError(str(error)) from error
    except Exception as error:  # httpx's own, and the RuntimeError of an upload that was tried five times
        said = printable(str(error) or type(error).__name__)[:200]
        raise UnavailableError(f"{repo}: no answer from the Hub ({said}); publish again") from error
