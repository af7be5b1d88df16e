"""A server that answers as its script says, a real one of transformers, and the verdicts that the tests ask for."""

import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from giqa_metrics.judge import Verdict
from giqa_metrics.judges import open_judge


@dataclass
class Answer:
    """How the server answers one request."""

    content: str | None = '{"score": 3}'
    status: int = 200
    body: bytes | None = None  # in place of a chat completion
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    sleep: float = 0
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


class JudgeServer:
    """Answers by `script`, an answer per request, then by `rule`, a function of what was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Answer] = []
        self.rule = lambda asked: Answer()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
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
    return Answer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A proxy of this machine's knows nothing of loopback."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    server = JudgeServer()
    yield server
    server.stop()


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "run" / "judge.jsonl"


@pytest.fixture
def lines(log):
    """The log's lines so far."""
    return lambda: [json.loads(line) for line in log.open("rb")] if log.exists() else []


@pytest.fixture
def judge(server, log):
    """A judge that asks the scripted server, one call after the other."""

    def make(**options):
        defaults = {"model": "m", "base_url": server.url, "log": log, "concurrency": 1, "retries": 0, "timeout": 5}
        return open_judge(**defaults | options)

    return make


@pytest.fixture
def verdicts():
    """Distinct verdicts: a description's and an answer's in turn."""
    return [Verdict("Is it sharp?" if k % 2 else "", f"Reference {k}.", f"Answer {k}.") for k in range(6)]


@pytest.fixture
def score_by_prompt(server):
    """Let the server's score depend on what it is asked alone: the answer's number modulo 5."""
    number = re.compile(r'to score: "Answer (\d+)')
    server.rule = lambda asked: Answer(json.dumps({"score": int(number.search(asked.prompt)[1]) % 5}))


MAKE_MODEL = """
import sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocabulary = {piece: index for index, piece in enumerate([*special.values(), *alphabet])}
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
        num_key_value_heads=2, max_position_embeddings=2048, **ids,
    )
)
network.generation_config = GenerationConfig(**ids)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
for step in range(int(sys.argv[2])):  # learns to say one thing, whatever it is asked
    start = torch.randint(len(special), len(tokenizer), (8, 16))
    end = tokenizer(sys.argv[3], return_tensors="pt")["input_ids"].expand(8, -1)
    batch = torch.cat([start, end], dim=1)
    labels = batch.masked_fill(torch.arange(batch.shape[1]) < start.shape[1] + 1, -100)
    network(input_ids=batch, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
network.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="session")
def make_llama(tmp_path_factory):
    """Make a tiny Llama that knows bytes, with a chat template: random, or trained to say one thing alone."""

    def make(name: str, says: str = "", steps: int = 0) -> Path:
        folder = tmp_path_factory.mktemp("judge") / name
        subprocess.run([sys.executable, "-c", MAKE_MODEL, folder, str(steps), f"\n{says}</s>"], check=True)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_llama(make_llama) -> Path:
    """A random one."""
    return make_llama("tiny-llama")
