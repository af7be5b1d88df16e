"""A Hub on 127.0.0.1 and a process that knows it alone; tests that need them live in this folder."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from .server import Hub


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
