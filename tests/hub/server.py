"""A Hub on 127.0.0.1, in memory, for the real clients.

Large files lie on a second port, as they do on the real Hub's storage: a token that comes there is refused.
"""

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from .repos import Answer, Asked, Commit, Refused, Repo, is_large


TOKEN = "hf_loopback"
ROUTES: list[tuple[str, re.Pattern, Callable, bool]] = []
REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+|[^/]+)"
PAGE = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+)"
REV = "(?P<rev>[^/]+)"


def route(method: str, pattern: str, writes: bool | None = None):
    """A method of `Hub` answers there; `kind` and `name` reach it as `repo`, `rev` as `commit`."""
    writes = method not in ("GET", "HEAD") if writes is None else writes

    def register(function):
        ROUTES.append((method, re.compile(pattern), function, writes))
        return function

    return register


class Hub:
    """State, routes and failures; `requests` has everything that came."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._servers = {at: ThreadingHTTPServer(("127.0.0.1", 0), self._handler(at)) for at in ("hub", "storage")}
        self.url, self.storage_url = (f"http://127.0.0.1:{s.server_port}" for s in self._servers.values())
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.reset()

    def reset(self) -> None:
        self.repos: dict[str, Repo] = {}  # by "datasets/org/name"
        self.storage: dict[str, bytes] = {}  # large files by SHA-256
        self.requests: list[Asked] = []
        self.per_page = 1000
        self.ignored: set[str] = set()  # paths, as by a .gitignore
        self._failures: list[list] = []

    def stop(self) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def environ(self, home: Path) -> dict[str, str]:
        """The variables of a process that knows this Hub alone."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        ours |= {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        quiet = {
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        }
        return ours | quiet | {"NO_PROXY": "*"}

    def files(self, repo: str, revision: str = "main") -> Mapping[str, bytes]:
        return self.repos[repo].commit(revision).files

    def fail(self, when: str | Callable[[Asked], bool], how: Any, times: int = 1) -> None:
        """Fail the next requests for which `when` is true, or is found in "METHOD /path".

        Args:
            when: A predicate or a regular expression.
            how: A status (429 carries Retry-After: 1), and nothing is done; below 100, seconds before it is done and
                answered; an event that comes before it is done and answered; "drop", nothing is done and the
                connection closes; "cut", it is done, but the connection closes in the middle of the answer's body,
                or before the answer if that has none; "hang", nothing is done or answered while the client waits;
                "done hang", it is done and not answered. An `Answer` is given and nothing is done, or in a tuple
                ("done", answer) it is done before.
            times: How often.
        """
        found = when if callable(when) else lambda asked: bool(re.search(when, f"{asked.method} {asked.path}"))
        self._failures.append([found, how, times])

    def _failure(self, asked: Asked) -> Any:
        for failure in self._failures:
            if failure[2] and failure[0](asked):
                failure[2] -= 1
                return failure[1]
        return 0

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.requests.append(asked)
            how = self._failure(asked)
        if how in ("drop", "hang"):
            return Answer(lost=True, hangs=how == "hang")
        if isinstance(how, Answer):
            return replace(how)
        if isinstance(how, threading.Event):
            how.wait(120)
            how = 0
        status = how if isinstance(how, int | float) else 0
        if status < 100:
            time.sleep(status)
        try:
            if status >= 100:
                raise Refused(status, "injected")
            with self._lock:
                answer = self._dispatch(asked)
        except Refused as refused:
            answer = refused.answer
        if isinstance(how, tuple):
            answer = replace(how[1])
        with self._lock:
            asked.status, answer.hangs = answer.status, how == "done hang"
            answer.lost = how == "cut" or answer.hangs
            self._lock.notify_all()
        return answer

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at when a request is answered."""
        with self._lock:
            assert self._lock.wait_for(is_so, 120)

    def _dispatch(self, asked: Asked) -> Answer:
        wanted = "GET" if asked.method == "HEAD" else asked.method
        found = ((pattern.fullmatch(asked.path), *taken) for method, pattern, *taken in ROUTES if method == wanted)
        taken: tuple[Any, ...] | None = next((each for each in found if each[0]), None)
        if taken is None:
            raise Refused(404, "no such route")
        match, function, writes = taken
        asked.route = function.__name__
        self._authorise(asked, writes)
        given: dict[str, Any] = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
        if "name" in given:
            given["repo"] = self._repo(asked, given.pop("kind", "models"), given.pop("name"))
        if "rev" in given:
            given["commit"] = given["repo"].commit(given.pop("rev"))
        return function(self, asked, **given)

    def _authorise(self, asked: Asked, writes: bool) -> None:
        if asked.at == "storage":
            if asked.token:
                raise Refused(400, "Only one auth mechanism allowed")  # the address is signed; so says S3
        elif asked.token not in ("", TOKEN):
            raise Refused(401, "Invalid credentials in Authorization header")
        elif writes and not asked.token:
            raise Refused(401, "Invalid username or password.")

    def _repo(self, asked: Asked, kind: str, name: str) -> Repo:
        repo = self.repos.get(f"{kind}/{name}")
        if repo is None or (repo.private and not asked.token):
            raise Refused(404 if asked.token else 401, "Repository not found", "RepoNotFound")
        return repo

    @route("GET", "/api/whoami-v2", writes=True)
    def whoami(self, asked):
        auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
        return Answer({"type": "user", "name": "org", "orgs": [], "auth": auth})

    @route("POST", "/api/validate-yaml", writes=False)
    def validate_yaml(self, asked):
        head = re.match(r"---\n(.*?)\n---", asked.json["content"], re.DOTALL)
        try:
            yaml.safe_load(head[1] if head else "")
        except yaml.YAMLError as error:
            return Answer({"errors": [{"message": str(error)}], "warnings": []}, 400)
        warnings = [] if head else [{"message": "empty or missing yaml metadata in repo card"}]
        return Answer({"errors": [], "warnings": warnings})

    @route("POST", "/api/repos/create")
    def create_repo(self, asked):
        repo = self._named(asked.json)
        repo.private = asked.json.get("visibility") == "private"
        answer = {"url": f"{self.url}/{repo.page}", "name": repo.name}
        if f"{repo.kind}/{repo.name}" in self.repos:
            return Answer(answer | {"error": "You already created this repo"}, 409)
        self.repos[f"{repo.kind}/{repo.name}"] = repo
        return Answer(answer)

    @route("DELETE", "/api/repos/delete")
    def delete_repo(self, asked):
        repo = self._named(asked.json)
        self._repo(asked, repo.kind, repo.name)
        del self.repos[f"{repo.kind}/{repo.name}"]
        return Answer()

    def _named(self, body: dict) -> Repo:
        return Repo(body.get("type", "model") + "s", f"{body['organization'] or 'org'}/{body['name']}")

    @route("POST", REPO + "/preupload/" + REV)
    def preupload(self, asked, repo, commit):
        files = [{"path": f["path"], "large": is_large(f["path"], f["size"])} for f in asked.json["files"]]
        for file in files:
            known = commit.file(file["path"]) if file["path"] in commit.files else None
            file |= {
                "uploadMode": "lfs" if file.pop("large") else "regular",
                "shouldIgnore": file["path"] in self.ignored,
            }
            file["oid"] = known and (known["lfs"]["oid"] if "lfs" in known else known["oid"])
        return Answer({"files": files, "commitOid": commit.oid})

    @route("POST", PAGE + r"\.git/info/lfs/objects/batch")
    def lfs_batch(self, asked, repo):
        objects = [{"oid": o["oid"], "size": o["size"]} for o in asked.json["objects"]]
        for wanted in objects:
            if wanted["oid"] not in self.storage:
                upload = {"href": f"{self.storage_url}/lfs/{wanted['oid']}"}
                wanted["actions"] = {"upload": upload, "verify": {"href": f"{self.url}/{repo.page}.git/verify"}}
        return Answer({"transfer": "basic", "objects": objects})

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
    def lfs_put(self, asked, oid):
        if sha256(asked.body).hexdigest() != oid:
            raise Refused(400, "the content is not what its address says")
        self.storage[oid] = asked.body
        return Answer()

    @route("GET", "/lfs/(?P<oid>[0-9a-f]{64})")
    def lfs_get(self, asked, oid):
        return ranged(asked, self.storage[oid], {"ETag": f'"{oid}"'})

    @route("POST", PAGE + r"\.git/verify")
    def lfs_verify(self, asked, repo):
        if len(self.storage.get(asked.json["oid"], b"")) != asked.json["size"]:
            raise Refused(404, "no such object")
        return Answer({})

    @route("POST", REPO + "/commit/(?P<branch>[^/]+)")
    def commit(self, asked, repo, branch):
        head, *operations = (json.loads(line) for line in asked.body.splitlines())
        parent, wants = repo.commit(branch), head["value"]
        if wants.get("parentCommit", parent.oid) != parent.oid:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = MappingProxyType(self._changed(dict(parent.files), operations))
        ref, number = repo.ref(branch), 1 + sum(ref.startswith("refs/pr/") for ref in repo.refs)
        if asked.query.get("create_pr"):
            ref = f"refs/pr/{number}"
        elif ref is None or ref.startswith("refs/tags/"):
            raise Refused(400, f"{branch} is no branch")
        new = repo.refs[ref] = Commit(files, parent, wants["summary"], wants["description"])
        page = f"{self.url}/{repo.page}"
        pull = {"pullRequestUrl": f"{page}/discussions/{number}"} if asked.query.get("create_pr") else {}
        return Answer({"success": True, "commitOid": new.oid, "commitUrl": f"{page}/commit/{new.oid}"} | pull)

    def _changed(self, files: dict[str, bytes], operations: list[dict]) -> dict[str, bytes]:
        for operation in operations:
            key, path = operation["key"], operation["value"]["path"]
            if key == "file":
                files[path] = base64.b64decode(operation["value"]["content"])
            elif key == "lfsFile" and operation["value"]["oid"] in self.storage:
                files[path] = self.storage[operation["value"]["oid"]]
            elif key in ("deletedFile", "deletedFolder"):
                files = {p: raw for p, raw in files.items() if p != path and not p.startswith(path.rstrip("/") + "/")}
            else:
                raise Refused(400, f"{key} {path}: its content was never uploaded")
        return files

    @route("GET", REPO + f"/tree/{REV}(?:/(?P<path>.+))?")
    def tree(self, asked, repo, commit, path=""):
        start = f"{path}/" if path else ""
        inside = [p for p in (*commit.folders(), *commit.files) if p.startswith(start)]
        if path and not inside:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        deep = asked.query.get("recursive") in ("true", "True", "1")
        paths = sorted(p for p in inside if deep or "/" not in p[len(start) :])
        at = int(asked.query.get("cursor", 0))
        page = [commit.file(p) if p in commit.files else commit.folder(p) for p in paths[at : at + self.per_page]]
        query = f"recursive={deep}&cursor={at + self.per_page}"
        more = {"Link": f'<{self.url}{asked.path}?{query}>; rel="next"'} if at + self.per_page < len(paths) else {}
        return Answer(page, headers=more)

    @route("POST", REPO + "/paths-info/" + REV, writes=False)
    def paths_info(self, asked, repo, commit):
        paths, folders = parse_qs(asked.body.decode()).get("paths", []), commit.folders()
        files = [commit.file(path) for path in paths if path in commit.files]
        return Answer(files + [commit.folder(path) for path in paths if path in folders])

    @route("GET", REPO + "/refs")
    def refs(self, asked, repo):
        def named(start):
            found = ((ref, tip) for ref, tip in repo.refs.items() if ref.startswith(start))
            return [{"name": ref.removeprefix(start), "ref": ref, "targetCommit": tip.oid} for ref, tip in found]

        pulls = {"pullRequests": named("refs/pr/")} if asked.query.get("include_prs") else {}
        return Answer({"branches": named("refs/heads/"), "tags": named("refs/tags/"), "converts": []} | pulls)

    @route("GET", REPO + "/commits/" + REV)
    def commits(self, asked, repo, commit):
        more = {"authors": [{"user": "org"}]}
        keys = ("title", "message", "date")
        return Answer([{key: getattr(c, key) for key in keys} | more | {"id": c.oid} for c in commit.history()])

    @route("GET", REPO + "/discussions")
    def discussions(self, asked, repo):
        pulls = [(int(ref[8:]), tip) for ref, tip in repo.refs.items() if ref.startswith("refs/pr/")]
        about = {"status": "open", "isPullRequest": True, "author": {"name": "org"}}
        about |= {"repo": {"name": repo.name, "type": repo.kind[:-1]}}
        found = [about | {"title": tip.title, "num": number, "createdAt": tip.date} for number, tip in pulls]
        return Answer({"discussions": found, "count": len(found), "start": 0})

    @route("POST", REPO + "/tag/" + REV)
    def create_tag(self, asked, repo, commit):
        return self._point(repo, f"refs/tags/{asked.json['tag']}", commit)

    @route("POST", REPO + "/branch/(?P<branch>[^/]+)")
    def create_branch(self, asked, repo, branch):
        return self._point(repo, f"refs/heads/{branch}", repo.commit(asked.json.get("startingPoint", "main")))

    def _point(self, repo: Repo, ref: str, commit: Commit) -> Answer:
        if ref in repo.refs:
            raise Refused(409, f"{ref} already exists")
        repo.refs[ref] = commit
        return Answer({})

    @route("DELETE", REPO + "/(?P<what>tag|branch)/(?P<ref>[^/]+)")
    def delete_ref(self, asked, repo, what, ref):
        if repo.refs.pop(f"refs/{'tags' if what == 'tag' else 'heads'}/{ref}", None) is None:
            raise Refused(404, f"no {what} {ref}", "RevisionNotFound")
        return Answer()

    @route("GET", REPO + f"(?:/revision/{REV})?")
    def info(self, asked, repo, commit=None):
        commit = commit or repo.commit("main")
        files = [{"rfilename": path} for path in commit.files]
        flags = {"private": repo.private, "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
        about = {"id": repo.name, "author": repo.name.split("/")[0], "sha": commit.oid, "lastModified": commit.date}
        return Answer(about | flags | {"siblings": files})

    @route("GET", PAGE + f"/resolve/{REV}/(?P<path>.+)")
    def resolve(self, asked, repo, commit, path):
        if path not in commit.files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        file, headers = commit.file(path), {"X-Repo-Commit": commit.oid}
        if "lfs" not in file:
            return ranged(asked, commit.files[path], headers | {"ETag": f'"{file["oid"]}"'})
        digest = file["lfs"]["oid"]
        self.storage[digest] = commit.files[path]
        headers |= {"X-Linked-Size": str(file["size"]), "X-Linked-Etag": f'"{digest}"'}
        return Answer(b"", 302, headers | {"Location": f"{self.storage_url}/lfs/{digest}"})

    def _handler(hub, at):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                url, headers = urlsplit(self.path), {name.lower(): value for name, value in self.headers.items()}
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                answer = hub.answer(Asked(at, self.command, url.path, query, headers, body))
                self.close_connection |= answer.lost
                raw = b"" if self.command == "HEAD" else answer.raw
                with suppress(BrokenPipeError, ConnectionResetError):  # a client that waits no longer
                    if answer.hangs:
                        self.connection.recv(1)  # nothing, when the client closes
                        return
                    if raw or not answer.lost:
                        self._send(answer, raw[: len(raw) // 2] if answer.lost else raw)

            do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

            def _send(self, answer, raw):
                self.send_response(answer.status)
                kind = "application/octet-stream" if isinstance(answer.content, bytes) else "application/json"
                headers = {"Content-Type": kind, "Content-Length": str(len(answer.raw)), "Accept-Ranges": "bytes"}
                for name, value in (headers | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        return Handler


def ranged(asked: Asked, raw: bytes, headers: dict[str, str]) -> Answer:
    """The bytes, or those that `Range` asks for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if not match:
        return Answer(raw, 200, headers)
    start, end = int(match[1]), min(int(match[2] or len(raw)), len(raw) - 1)
    if start >= len(raw):
        return Answer(b"", 416, {"Content-Range": f"bytes */{len(raw)}"})
    return Answer(raw[start : end + 1], 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(raw)}"})
