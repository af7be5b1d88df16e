"""A judge that asks a scripted server, its log, and the verdicts that the tests ask for."""

import json
import re
from pathlib import Path

import pytest

from giqa_metrics.judges import open_judge
from giqa_metrics.judges.judge import Case


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
        defaults = {"model": "m", "base_url": server.url, "log": log, "concurrency": 1, "retries": 0, "timeout": 60}
        return open_judge(**defaults | options)

    return make


@pytest.fixture
def verdicts():
    """Distinct verdicts: a description's and an answer's in turn."""
    return [Case("Is it sharp?" if k % 2 else "", f"Reference {k}.", f"Answer {k}.") for k in range(6)]


@pytest.fixture
def score_by_prompt(server, answer):
    """Let the server's score depend on what it is asked alone: the answer's number modulo 5."""
    number = re.compile(r'to score: "Answer (\d+)')
    server.rule = lambda asked: answer(json.dumps({"score": int(number.search(asked.prompt)[1]) % 5}))
