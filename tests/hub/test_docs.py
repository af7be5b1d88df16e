"""docs/publish.md, block by block, against the loopback Hub."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.paths import ROOT

from .releases import photograph, record, write


pytestmark = pytest.mark.slow


BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / "publish.md").read_text(encoding="utf-8"), flags=re.DOTALL)
BEGIN = """
import contextlib, io, os, re
from typer.testing import CliRunner
from giqa_metrics.cli import commands
os.chdir(work)
def giqa(*arguments):
    done = CliRunner().invoke(commands, list(arguments))
    return [done.exit_code, done.stdout, done.stderr, repr(done.exception)]
def run(program):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program, {})
    return out.getvalue()
os.getcwd()
"""
# A few photographs, and an untrained model, which never stops
SHORTER = {"giqa build giqa-bench-mini": " --limit 3", "giqa predict": " --max-new-tokens 4"}


@pytest.fixture
def work(hub, client, tiny_llava, tmp_path) -> Path:
    """What the page takes for granted: a model here and on the Hub, and a set that was published without pixels."""
    shutil.copytree(tiny_llava, tmp_path / "my-model")
    cwd = client("import os; os.getcwd()")
    client(BEGIN, work=tmp_path)
    client("api.create_repo('org/my-model'); 0")
    write(tmp_path / "my-set", train=[record(k, may=k > 1) for k in range(4)])
    assert client("giqa('publish', 'my-set', 'org/my-set')")[0] == 0
    (tmp_path / "photographs").mkdir()
    for number in range(2):
        (tmp_path / "photographs" / f"{number}").write_bytes(photograph(number))
    yield tmp_path
    client("os.chdir(cwd); 0", cwd=cwd)


def test_every_block_of_the_page_runs(hub, client, work):
    printed = []
    for language, text in BLOCKS:
        if language == "python":
            printed.append(client("run(text)", text=text))
            continue
        for line in text.splitlines():
            more = next((more for start, more in SHORTER.items() if line.startswith(start)), "")
            command, *arguments = shlex.split(line + more)
            assert command == "giqa"
            code, out, err, raised = client("giqa(*arguments)", arguments=arguments)
            assert code == 0, (line, out, err, raised)
    (row, score) = printed
    assert re.fullmatch(r"\S+ \(\d+, \d+\) .{40}\n", row)
    assert score == "1.0\n"
    assert (work / "my-joined-set" / "README.md").read_bytes() == (work / "my-set" / "README.md").read_bytes()
    assert "refs/pr/1" in hub.repos["models/org/my-model"].refs
    assert ".eval_results/giqa-bench-mini.yaml" in hub.files("models/org/my-model", "refs/pr/1")
    assert "eval.yaml" in hub.files("datasets/org/giqa-bench-mini")
    assert "v1.0" in {ref.rpartition("/")[2] for ref in hub.repos["datasets/org/giqa-bench-mini"].refs}
