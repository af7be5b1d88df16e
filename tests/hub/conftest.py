"""A Hub on 127.0.0.1 and a process that knows it alone; tests that need them live in this folder."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.sources.mini import wheel_file

from .releases import FILES, record, write
from .server import TOKEN, Hub


class Raised(Exception):
    """What a client raised: the names of its classes, and its message."""


WORKER = """
import ast, json, sys
answers, sys.stdout = sys.stdout, sys.stderr
peers = set()  # every name that was looked up and every address that was called
def watch(event, args):
    if event == "socket.getaddrinfo":
        peers.add(str(args[0]))
    elif event == "socket.connect" and isinstance(args[1], tuple):
        peers.add(f"{args[1][0]}:{args[1][1]}")
sys.addaudithook(watch)
known = {"peers": peers}
for line in sys.stdin:
    code, variables = json.loads(line)
    known |= variables
    *body, last = ast.parse(code).body
    try:
        exec(compile(ast.Module(body, []), "<told>", "exec"), known)
        told = {"value": eval(compile(ast.Expression(last.value), "<told>", "eval"), known)}
    except Exception as error:
        told = {"raised": " < ".join(c.__name__ for c in type(error).__mro__[:-2]) + f": {error}"}
    print(json.dumps(told, default=str), file=answers, flush=True)
"""


class Client:
    """A process whose libraries know this Hub alone; it keeps its variables from call to call."""

    def __init__(self, hub: Hub, home: Path) -> None:
        command, pipe = [sys.executable, "-c", WORKER], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=home, env=hub.environ(home))

    def __call__(self, code: str, **variables):
        """Run statements and return the value of the last, an expression, as JSON has it; `Raised` if it raises."""
        assert isinstance(ast.parse(code).body[-1], ast.Expr)
        self._process.stdin.write(json.dumps((code, variables), default=str) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "raised" in told:
            raise Raised(told["raised"])
        return told["value"]

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture(scope="session")
def _hub():
    hub = Hub()
    yield hub
    hub.stop()


@pytest.fixture
def hub(_hub) -> Hub:
    """An empty Hub."""
    _hub.reset()
    return _hub


@pytest.fixture(scope="session")
def _client(_hub, tmp_path_factory):
    client = Client(_hub, tmp_path_factory.mktemp("client"))
    client("from huggingface_hub import *; api = HfApi(); api.endpoint")
    yield client
    client.stop()


@pytest.fixture
def client(_client, hub) -> Client:
    """A process with `api`, an HfApi of the Hub's user; whom it called is looked at in the end."""
    yield _client
    viewer = hub.url.rpartition(":")[0].replace("http://", "datasets-server.")  # datasets asks it, and does without
    ours = {url.removeprefix("http://") for url in (hub.url, hub.storage_url)} | {"127.0.0.1", viewer}
    assert set(_client("sorted(peers)")) <= ours


@pytest.fixture(scope="session")
def raised():
    """What a client's exception comes back as."""
    return Raised


@pytest.fixture
def answering(hub):
    """Let a function answer before the Hub does, where it returns something."""
    found = hub._dispatch

    def before(function: Callable) -> None:
        hub._dispatch = lambda asked: function(asked) or found(asked)

    yield before
    hub._dispatch = found


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "set", train=[record(k) for k in range(12)], test=[record(k) for k in range(20, 23)])


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Photographs that may be passed on, and some that may not."""
    return write(tmp_path / "mixed", train=[record(k, may=k % 3 > 0) for k in range(9)], test=[record(30, may=False)])


GIQA = """
from typer.testing import CliRunner
from giqa_metrics.cli import commands
def giqa(*arguments):
    done = CliRunner().invoke(commands, list(map(str, arguments)))
    return [done.exit_code, done.stdout, done.stderr, f"{type(done.exception).__name__}: {done.exception}"]
import datasets
datasets.disable_progress_bars()
0
"""


@pytest.fixture
def giqa(client):
    """Run the command in the client's process: its output; what it raises is raised."""
    client(GIQA)

    def run(*arguments, code=0):
        exit_code, out, err, raised = client("giqa(*arguments)", arguments=list(map(str, arguments)))
        assert TOKEN not in out + err + raised
        assert exit_code == code, (out, err, raised)
        return out if code == 0 else f"{out}{raised}"

    return run


BEGIN = """
from giqa_datasets.publish import hub as h
from giqa_datasets.publish.plan import Release, foreign, plan
from giqa_datasets.publish.remote import look, wait_at_most
def release(files, kind="dataset", **more):
    whole = {path: content.encode() for path, content in files.items()}
    return Release(kind, "set", whole, **{"owns": lambda path: path.startswith("data/"), **more})
def publish(files, repo="org/set", kind="dataset", revision="main", sdk=None, owns=None, **options):
    planned = plan(look(repo, kind, revision), release(files, kind, sdk=sdk))
    return [list(planned.changes), h.publish(planned, **options)]
wait_at_most()
0
"""


@pytest.fixture
def publish(client):
    """Publish files through the real client; (changes, published)."""
    client(BEGIN)

    def run(files=FILES, **options):
        changes, (url, commit, is_new) = client("publish(files, **options)", files=files, options=options)
        return [(what, path) for what, path, _ in changes], url, commit, is_new

    return run


COMMIT = """
operations = [CommitOperationAdd(path, file) for path, file in files.items()]
api.create_commit('org/set', operations, commit_message='m', repo_type='dataset').oid
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A set of photographs that are not redistributable; they lie in `photos` beside it."""
    root = tmp_path_factory.mktemp("built")
    (root / "photos").mkdir()
    names = ("coffee.png", "chelsea.png", "camera.png")
    for name in names:
        (root / "photos" / name).write_bytes(wheel_file(f"skimage/data/{name}").read_bytes())
    lines = [{"file_name": name, "description": f"A sharp {name}.", "regions": []} for name in names]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "photos" / "metadata.jsonl").write_text(text, encoding="utf-8")
    build_set(SetRequest("folder", root=root / "photos"), root / "set", root / "annotations", Choice())
    return root / "set"


@pytest.fixture
def set_on_hub(hub, client, built, tmp_path):
    """The set as it is published: its shards without pixels."""
    files = {str(path.relative_to(built)): str(path) for path in built.rglob("*") if path.is_file()}
    files |= {f"data/{name}": str(path) for name, path in without_pixels(built, tmp_path).shards.items()}
    client("api.create_repo('org/set', repo_type='dataset')")
    client(COMMIT, files=files)
    (tmp_path / "work").mkdir()
    return hub
