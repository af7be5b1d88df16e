"""What the Hub of these tests keeps: repos of commits, and what is asked and answered about them."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1, sha256
from pathlib import Path


LARGE = (".parquet", ".jpg", ".png", ".zip", ".bin", ".safetensors")  # what .gitattributes says
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE).encode()


class Refused(Exception):
    """An answer that is an error, as the Hub says it."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        headers |= {"Retry-After": "1"} if status == 429 else {}
        self.answer = Answer({"error": message}, status, headers)


@dataclass
class Answer:
    """JSON, or bytes as they are."""

    content: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False  # on its way
    hangs: bool = False  # nothing comes as long as the client waits

    @property
    def raw(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


@dataclass
class Asked:
    """A request, the route that took it (None: the Hub has none) and the status of the answer."""

    at: str  # "hub" or "storage"
    method: str
    path: str  # quoted, as it came
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes = field(repr=False)
    route: str | None = None
    status: int = 0

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Commit:
    """All files at one time, never changed."""

    files: Mapping[str, bytes]
    parent: "Commit | None" = None
    title: str = "initial commit"
    message: str = ""
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))

    @cached_property
    def oid(self) -> str:
        files = sorted((path, sha1(raw).hexdigest()) for path, raw in self.files.items())
        return sha1(repr((self.parent and self.parent.oid, self.title, self.message, files)).encode()).hexdigest()

    def history(self) -> Iterator["Commit"]:
        yield self
        if self.parent:
            yield from self.parent.history()

    def file(self, path: str) -> dict:
        raw = self.files[path]
        if not is_large(path, len(raw)):
            return {"type": "file", "path": path, "size": len(raw), "oid": blob_id(raw)}
        digest = sha256(raw).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(raw)}\n".encode()
        lfs = {"oid": digest, "size": len(raw), "pointerSize": len(pointer)}
        return {"type": "file", "path": path, "size": len(raw), "oid": blob_id(pointer), "lfs": lfs}

    def folder(self, path: str) -> dict:
        return {"type": "directory", "path": path, "size": 0, "oid": sha1(f"{self.oid}{path}".encode()).hexdigest()}

    def folders(self) -> set[str]:
        return {str(parent) for path in self.files for parent in Path(path).parents} - {"."}


def is_large(path: str, size: int) -> bool:
    return size > 10_000_000 or (size > 0 and path.endswith(LARGE))


def blob_id(raw: bytes) -> str:
    return sha1(b"blob %d\0" % len(raw) + raw).hexdigest()


@dataclass
class Repo:
    """Refs (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) to commits."""

    kind: str  # "models", "datasets" or "spaces"
    name: str
    private: bool = False
    refs: dict[str, Commit] = field(
        default_factory=lambda: {"refs/heads/main": Commit({".gitattributes": ATTRIBUTES})}
    )

    @property
    def page(self) -> str:
        return self.name if self.kind == "models" else f"{self.kind}/{self.name}"

    def ref(self, revision: str) -> str | None:
        return next((r for r in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}") if r in self.refs), None)

    def commit(self, revision: str) -> Commit:
        if ref := self.ref(revision):
            return self.refs[ref]
        known = {commit.oid: commit for tip in self.refs.values() for commit in tip.history()}
        if revision not in known:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return known[revision]
