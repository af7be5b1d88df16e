"""docs/giqa.ipynb: every cell runs, in its order in one process, and shows what the notebook holds."""

import json
import os
import re
import subprocess

import pytest

from tests.paths import DOCS

from .conftest import assert_shown


NOTEBOOK = DOCS / "giqa.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
# Shortened in the cells whose output varies, and is not compared
SHORTER = {
    "--limit 320": "--limit 64",
    "--max_steps 20 --logging_steps 5": "--max_steps 4 --logging_steps 2",
    "checkpoint-20": "checkpoint-4",
    "--limit 32 --max-new-tokens 48": "--limit 8 --max-new-tokens 8",
}
# What a kernel does with a cell: `!` runs a command, and the value of the last expression is shown
RUN = r'''
import ast, json, re, subprocess, sys
space, shown = {"subprocess": subprocess}, []
for source in json.load(sys.stdin):
    source = re.sub(r"^!(.*)$", r'subprocess.run(f""" \1 """, shell=True, check=True)', source, flags=re.MULTILINE)
    *head, last = ast.parse(source).body
    value = None
    print("cell", len(shown), flush=True)
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(head, []), "cell", "exec"), space)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
    else:
        exec(compile(ast.Module([*head, last], []), "cell", "exec"), space)
    shown.append(repr(value))
print("values", json.dumps(shown))
'''


def test_the_notebook_is_small_and_was_run_from_top_to_bottom():
    assert NOTEBOOK.stat().st_size < 200_000
    assert [cell["execution_count"] for cell in CELLS] == [*range(1, len(CELLS) + 1)]
    kinds = {output["output_type"] for cell in CELLS for output in cell["outputs"]}
    assert kinds == {"stream", "execute_result"}


@pytest.mark.slow
def test_every_cell_runs_and_shows_what_the_notebook_holds(tmp_path, programs):
    env = os.environ | {"PATH": programs, "TMPDIR": str(tmp_path)}
    sources = json.dumps(["".join(cell["source"]) for cell in CELLS])
    for long, short in SHORTER.items():
        assert sources.count(long) == 1
        sources = sources.replace(long, short)
    done = subprocess.run(
        ["python", "-c", RUN],
        input=sources,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    printed, _, values = done.stdout.partition("values ")
    outs = re.split(r"^cell \d+\n", printed, flags=re.MULTILINE)[1:]
    for cell, out, value in zip(CELLS, outs, json.loads(values), strict=True):
        if "varies" in cell["metadata"].get("tags", []):  # what so short a training learns
            continue
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                text = re.sub(r"^report: .*$", "", "".join(output["text"]), flags=re.MULTILINE)
                assert_shown(text, out)
            elif "image/png" not in output["data"]:
                assert_shown("".join(output["data"]["text/plain"]).replace("\n", ""), value)
