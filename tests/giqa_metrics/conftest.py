"""What the tests of giqa_metrics share: the command, a browser, judges that are no model, a set loaded already."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from giqa_metrics.judges.judge import Case
from giqa_metrics.models import Answer, Question


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class FakeJudge:
    """Answers with the scores it was given, and remembers what it was asked."""

    name = "fake"

    def __init__(self, scores: Sequence[int | None]) -> None:
        self.scores = list(scores)
        self.asked: list[Case] = []

    def judge(self, batch: Sequence[Case]) -> list[int | None]:
        self.asked += batch
        return self.scores


class Saying:
    """A model that says one thing about every photograph, the last of a batch first."""

    model_type = None
    batch_size = 2

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Question] = []

    def answer(self, batches: Iterable[Sequence[Question]]) -> Iterator[Answer]:
        for batch in batches:
            self.asked += batch
            yield from (Answer(sample.id, self.text) for sample in reversed(batch))


@pytest.fixture(scope="session")
def fake_judge():
    return FakeJudge


@pytest.fixture
def giqa(monkeypatch, capfd):
    """The `giqa` command in this process: argument strings to exit code, stdout and stderr."""
    from giqa_metrics.cli import main

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["giqa", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def python():
    """A fresh Python in another folder: arguments to exit code, stdout and stderr."""

    def run(*arguments: object, cwd: Path, **variables: object) -> Ran:
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def bench(workspace) -> Path:
    """giqa-bench-mini, loaded once, so that no later load shows its progress."""
    from datasets import load_dataset

    folder = workspace / "giqa-bench-mini"
    load_dataset(str(folder), split="test")
    return folder


@pytest.fixture(scope="session")
def bench_rows(bench) -> list[dict]:
    """Its rows without the pixels, in order."""
    from datasets import load_dataset

    return list(load_dataset(str(bench), split="test").remove_columns("image"))


@pytest.fixture
def make_run(tmp_path, bench_rows):
    """Write a run over giqa-bench-mini: every reference is its own prediction but for `changed`, a text by id."""

    def write(changed: dict[str, str | None] | None = None, *, name: str = "run", without: Sequence[str] = ()) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        answers = {row["id"]: row["answer"] for row in bench_rows if row["id"] not in without} | (changed or {})
        lines = [json.dumps({"id": identifier, "prediction": text}) for identifier, text in answers.items()]
        (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return write


@pytest.fixture
def copy_of_bench(bench, tmp_path):
    """Write giqa-bench-mini again, its rows changed by a function: the folder, as if it had been built so."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from giqa_datasets.dataset_folder.parquet import write_annotations
    from giqa_datasets.dataset_folder.write import shards_digest

    def write(change: Callable[[dict], dict] = lambda row: row, *, name: str = "giqa-bench-copy") -> Path:
        folder = tmp_path / name
        shutil.copytree(bench, folder)
        (shard,) = (folder / "data").glob("*.parquet")
        table = pq.read_table(shard)
        pq.write_table(pa.Table.from_pylist(list(map(change, table.to_pylist())), schema=table.schema), shard)
        write_annotations(folder / "data", folder / "annotations")
        card, digest = folder / "README.md", shards_digest((folder / "data").iterdir())
        text = re.sub("sha256 [0-9a-f]{64}", f"sha256 {digest}", card.read_text(encoding="utf-8"))
        card.write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def broken(workspace, tmp_path_factory) -> Path:
    """giqa-tiny with one test image that cannot be read, the third."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("broken") / "giqa-broken"
    shutil.copytree(workspace / "giqa-tiny", folder)
    shard = folder / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(shard)
    rows = table.to_pylist()
    rows[2]["image"]["bytes"] = rows[2]["image"]["bytes"][:200]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    return folder
