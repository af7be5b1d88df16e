"""Two processes at a folder: the second is told who is there; a dead one's lock is taken over."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from giqa_datasets.errors import GiqaError
from giqa_datasets.folder_lock import LOCK, hold


HOLD = """
import sys, time
from pathlib import Path
from giqa_datasets.folder_lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it_and_goes_on_when_that_one_ends(tmp_path, holder):
    said = rf"run is in use by process {holder.pid} on {socket.gethostname()} since 20.* delete .*\.lock$"
    with pytest.raises(GiqaError, match=said), hold(tmp_path / "run"):
        pytest.fail("both hold it")
    holder.stdin.close()
    holder.wait(60)
    with hold(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).read_text(encoding="utf-8").startswith(f"{os.getpid()}\n")
    assert not list((tmp_path / "run").iterdir())


def test_what_a_killed_process_held_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    assert (tmp_path / "run" / LOCK).exists()
    with hold(tmp_path / "run"):
        pass


@pytest.mark.parametrize("said", ["", "x", "\x1b[31m\n\x07\n", "1\n2\n3\n" * 99_999, "\ud800"], ids=range(5))
def test_a_lock_file_of_anyones_is_one_sentence(tmp_path, said):
    (tmp_path / LOCK).write_text(said, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(GiqaError, match="is in use"), hold(tmp_path):  # nobody can tell whose it is
        pass


def test_what_a_killed_process_had_half_written_goes_and_nothing_else(tmp_path):
    (tmp_path / ".scores.jsonl.123.giqa-partial").write_text("{", encoding="utf-8")
    (tmp_path / ".film.partial").write_text("of another program", encoding="utf-8")
    with hold(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {LOCK, ".film.partial"}
