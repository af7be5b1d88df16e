"""Nothing that others wrote steers a terminal: the real verbs on a pty, each field of each file hostile in turn."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT


pytestmark = pytest.mark.slow


# Sets a window's title, clears the screen (in 7 and in 8 bits), turns the direction of writing, begins a line anew
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\u202e\u2066\rFORGED\nFORGED"
STYLE = re.compile(r"\x1b\[[0-9;]*m")  # rich's own
OWN = "\r\n"  # of the pty, and of progress bars


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in a value."""
    if isinstance(value, str):
        yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *place) for place in places(inner))


def spoilt(value: Any, place: tuple[Any, ...], text: str = HOSTILE) -> Any:
    """The value with a hostile text in one place."""
    if not place:
        return value + text
    copy = value.copy()
    copy[place[0]] = spoilt(copy[place[0]], place[1:], text)
    return copy


def each_spoilt(value: Any) -> Iterator[Any]:
    """The value with one text hostile after the other, one for each key, and with one key that is."""
    of_key = {next((name for name in reversed(place) if isinstance(name, str)), ""): place for place in places(value)}
    yield from (spoilt(value, place) for place in of_key.values())
    if isinstance(value, dict):
        yield {**value, HOSTILE: HOSTILE}


def read_lines(path: Path) -> Any:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, lines: Any) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_card(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])


def write_card(path: Path, fields: Any) -> None:
    path.write_text(f"---\n{yaml.safe_dump(fields)}---\n", encoding="utf-8")


def read_table(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path).slice(0, 1).to_pylist()


def write_table(path: Path, rows: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write_yaml(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value), encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


KINDS: dict[str, tuple[Callable[[Path], Any], Callable[[Path, Any], None]]] = {
    ".jsonl": (read_lines, write_lines),
    ".json": (read_json, write_json),
    ".md": (read_card, write_card),
    ".parquet": (read_table, write_table),
    ".yaml": (read_yaml, write_yaml),
}


def run(*arguments: object) -> None:
    """Run the command in this process, and name its verb on a line of its own."""
    from giqa_metrics.cli import main

    sys.argv = ["giqa", *map(str, arguments)]
    sys.stdout.write(f"$ {arguments[0]}\n")
    with suppress(SystemExit):
        main()


def run_on_each(path: Path, *commands: tuple[object, ...]) -> None:
    """Run commands on a file that is hostile in one place after the other."""
    whole = path.read_bytes()
    read, write = KINDS[path.suffix]
    for value in each_spoilt(read(path)):
        write(path, value)
        for command in commands:
            run(*command)
    path.write_bytes(whole)


def run_everything(root: str, server: str, model: str) -> None:
    """Run the verbs on what strangers may have sent."""
    from giqa_datasets.dataset_folder.write import build_folder
    from giqa_datasets.review.items import open_review
    from tests.giqa_datasets.review.conftest import records

    os.chdir(root)
    (record,) = list(records())[1:2]
    build_folder(Path("set"), "folder", {"test": [record]})
    for folder in ("run", "other"):
        run("predict", "--model", "m", "--server", server, "--data", "set", "--out", folder)
        run("score", folder, "--similarity", "lexical", "--resamples", 10)
    checks = ("check", "run"), ("compare", "other", "run", "--resamples", 1)
    again = ("check", "run", "--format", "json"), ("score", "run", "--similarity", "lexical", "--resamples", 0)
    for name in ("summary.json", "scores.jsonl"):
        run_on_each(Path("run", name), *checks)
    for name in ("config.yaml", "predictions.jsonl"):
        run_on_each(Path("run", name), *again)
    run_on_each(Path("set", "README.md"), ("check", "set"))
    shard = Path("set", "data", "test-00000-of-00001.parquet")
    run_on_each(shard, ("check", "set"), ("check", "set", "--format", "json"))

    opened = open_review(Path("set"))
    votes = opened.path / "round-1" / "votes" / "ann.jsonl"
    votes.parent.mkdir(exist_ok=True)
    vote = {"annotator": "ann", "round": 1, "verdict": "accept", "note": "", "at": "2026-01-31T12:00:00Z"}
    write_lines(votes, [next(iter(opened.begin.values())).model_dump() | vote])
    run_on_each(votes, ("review", "set", "--agreement"), ("review", "set", "--corrections"))

    write_table(shard, [{**row, "id": row["id"] + HOSTILE} for row in read_table(shard)])
    recipe = Path("recipe.yaml")
    write_yaml(recipe, {"dataset_name": "set", "dataset_train_split": "test", "model_name_or_path": model})
    run("check", recipe)
    run_on_each(recipe, ("check", recipe))

    Path("photos").mkdir()
    photograph = Path("photos", f"{HOSTILE.replace('/', '')}.png")
    photograph.write_bytes(record.photograph.image)
    run("inspect", "photos", "--model", "m", "--server", server)
    described = photograph.rename(Path("photos", "a.png"))
    told = {"file_name": described.name, "description": f"The red square {HOSTILE} is sharp. The sky {HOSTILE}."}
    write_lines(Path("photos", "metadata.jsonl"), [told])
    run("annotate", "folder", "photos")
    run("annotate", "folder", "photos", "--explain", "a")
    run("install", "set", photograph)


def on_pty(programs: str, *arguments: str) -> str:
    """What a terminal gets of a Python that has everything imported."""
    controller, terminal = pty.openpty()
    env = {**os.environ, "PATH": programs, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    env.pop("TQDM_DISABLE")
    code = "import sys; from tests.giqa_metrics.cli.test_terminal import run_everything; run_everything(*sys.argv[1:])"
    command = ["python", "-c", code, *arguments]
    with subprocess.Popen(command, env=env, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # Linux's end of a terminal
            while part := os.read(controller, 1 << 16):
                shown += part
    os.close(controller)
    assert process.returncode == 0, shown[-2000:].decode(errors="replace")
    return shown.decode()


def test_no_text_of_others_steers_the_terminal(programs, server, answer, tiny_llava, tmp_path):
    server.rule = lambda asked: answer(f"The [red square](<0, 399>) {HOSTILE} is sharp.")
    shown = on_pty(programs, str(tmp_path), server.url, str(tiny_llava))
    lines = STYLE.sub("", shown).replace("\r", "\n").split("\n")
    assert len([line for line in lines if line.startswith("$ ")]) > 50
    assert all(line.isprintable() for line in lines)
    assert "FORGED" not in {line[:6] for line in lines}
    assert r"\x1b]0;title" in shown
