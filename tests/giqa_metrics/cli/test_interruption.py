"""Ctrl-C and SIGTERM: one line, what is kept, the exit code; the second one ends the process as it is."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

from giqa_metrics.cli import commands
from giqa_metrics.cli.command import verbs
from giqa_metrics.cli.interruption import KEPT


pytestmark = pytest.mark.slow


def begin(*command) -> subprocess.Popen:
    """Start a process that hears Ctrl-C, as in a terminal: what a background job starts would not."""
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, command)], preexec_fn=hear, **pipes)


def test_a_verb_that_is_ended_says_what_is_kept_and_does_not_wait(server, answer, tmp_path):
    asked, out = threading.Event(), tmp_path / "format.json"
    server.rule = lambda _: (asked.set(), answer(hangs=True))[1]
    process = begin("-m", "giqa_metrics.cli", "doctor", "m", "--server", server.url, "--out", out)
    assert asked.wait(120)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=120)
    lines = [line for line in said.splitlines() if line.startswith("giqa: ")]
    assert (process.returncode, told, lines) == (130, "", [f"giqa: interrupted: {KEPT['doctor']}"])
    assert "Traceback" not in said
    assert not out.exists()


def test_a_prediction_that_is_ended_keeps_its_answers_and_goes_on(server, answer, giqa, workspace, tmp_path):
    asked, run = threading.Event(), tmp_path / "run"

    def rule(_):
        if len(server.asked) < 3:
            return answer("fine")
        asked.set()
        return answer(hangs=True)

    server.rule = rule
    command = ["predict", "--model", "m", "--server", server.url, "--data", workspace / "giqa-tiny", "--out", run]
    command += ["--limit", 4, "--batch-size", 1]
    process = begin("-m", "giqa_metrics.cli", *command)
    assert asked.wait(120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    assert f"giqa: interrupted: {KEPT['predict']}\n" in process.stderr.read()
    assert {path.name for path in run.iterdir()} == {"config.yaml", "predictions.jsonl"}
    assert (run / "predictions.jsonl").read_bytes().count(b"\n") == 2
    server.rule = lambda _: answer("fine")
    server.asked.clear()
    ran = giqa(*command)
    assert (ran.code, len(server.asked)) == (0, 2), ran.err


UNWINDING = """
import threading
from giqa_metrics.cli.interruption import interruptible

@interruptible
def score():
    try:
        print("working", flush=True)
        threading.Event().wait()
    finally:
        print("unwinding", flush=True)
        threading.Event().wait()

score()
"""


def test_the_second_signal_ends_the_process_as_it_is():
    process = begin("-c", UNWINDING)
    for number, line in ((signal.SIGINT, "working"), (signal.SIGINT, "unwinding")):
        assert process.stdout.readline().strip() == line
        process.send_signal(number)
    assert process.wait(120) == -signal.SIGINT
    assert process.stderr.read() == f"giqa: interrupted: {KEPT['score']}\n"


def test_every_verb_is_known_and_what_changes_files_says_what_is_kept():
    names = {verb.__name__ for verb in verbs}
    assert {command.callback.__wrapped__ for command in commands.registered_commands} == set(verbs)
    assert names - set(KEPT) == {"check", "compare"}
    assert set(KEPT) <= names


def test_signals_are_as_before_after_a_verb(giqa):
    before = signal.getsignal(signal.SIGTERM)
    giqa("compare", os.devnull, os.devnull)
    assert signal.getsignal(signal.SIGTERM) is before
