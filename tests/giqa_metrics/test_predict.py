"""A real, tiny, randomly initialised LLaVA over the tiny set: order, resuming, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from giqa_metrics.predict import predict
from giqa_metrics.run import read_config


ROOT = Path(__file__).parents[2]
LIMIT = 7


@pytest.fixture(scope="module")
def model(python, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    ran = python(ROOT / "recipes" / "tiny" / "make_model.py", folder, cwd=folder.parent)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def tiny(workspace) -> str:
    from datasets import load_dataset

    load_dataset(str(workspace / "giqa-tiny"), split="test")  # once, so that no later load shows its progress
    return str(workspace / "giqa-tiny")


@pytest.fixture
def answer(model, tiny):
    """A run of `LIMIT` samples: its folder and options to what `predict` returns."""

    def run(out: Path, **options):
        return predict(str(model), tiny, out, **{"limit": LIMIT, "batch_size": 3, "max_new_tokens": 6} | options)

    return run


def answers(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def ids(tiny: str) -> list[str]:
    from datasets import load_dataset

    return load_dataset(tiny, split="test")["id"]


def test_the_command_answers_the_first_samples_in_order(giqa, model, tiny, tmp_path):
    out = tmp_path / "new" / "run"
    options = ("--limit", LIMIT, "--batch-size", 3, "--max-new-tokens", 6)
    ran = giqa("predict", "--model", model, "--data", tiny, "--out", out, *options)
    assert ran.code == 0, ran.err
    assert ran.out == f"{LIMIT} answers in {out / 'predictions.jsonl'}\n"
    rows = answers(out)
    assert [row["id"] for row in rows] == ids(tiny)[:LIMIT]
    assert all(set(row) == {"id", "prediction"} and isinstance(row["prediction"], str) for row in rows)
    assert any(row["prediction"] for row in rows)
    config = read_config(out)
    assert (config["model"], config["data"], config["split"]) == (str(model), tiny, "test")


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(answer, tmp_path):
    assert answer(tmp_path / "whole") == LIMIT
    whole = (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    path = tmp_path / "killed" / "predictions.jsonl"
    path.write_bytes(whole[: len(whole) // 2])
    assert not path.read_bytes().endswith(b"\n")
    assert answer(tmp_path / "killed") == LIMIT
    assert path.read_bytes() == whole


def test_a_finished_run_is_left_as_it_is(answer, tmp_path):
    answer(tmp_path)
    path = tmp_path / "predictions.jsonl"
    before = path.read_bytes(), path.stat().st_mtime_ns
    calls = []
    assert answer(tmp_path, progress=lambda batches, total: calls.append(total) or batches) == LIMIT
    assert calls == [0]
    assert path.read_bytes() == before[0]


def test_the_size_of_a_batch_does_not_change_the_answers(model, bench, tmp_path):
    # Questions of the benchmark differ in length, so a batch is padded
    for size in (1, 5):
        predict(
            str(model), str(bench), tmp_path / str(size), config="vqa", limit=10, batch_size=size, max_new_tokens=6
        )
    assert answers(tmp_path / "1") == answers(tmp_path / "5")


def test_answers_depend_on_the_picture(answer, tmp_path):
    answer(tmp_path, limit=30, batch_size=30)
    assert len({row["prediction"] for row in answers(tmp_path)}) > 1


@pytest.mark.parametrize(
    "change", [{"limit": LIMIT + 1}, {"split": "train"}, {"max_new_tokens": 7}, {"config": "des"}], ids=str
)
def test_other_options_into_the_same_folder_are_refused(answer, tmp_path, change):
    answer(tmp_path, limit=LIMIT)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    with pytest.raises(ValueError, match="holds another run"):
        answer(tmp_path, **change)
    assert (tmp_path / "predictions.jsonl").read_bytes() == before


def test_another_model_into_the_same_folder_is_refused(giqa, answer, model, tiny, tmp_path):
    out = tmp_path / "run"
    answer(out)
    before = (out / "predictions.jsonl").read_bytes()
    other = tmp_path / "other"
    shutil.copytree(model, other)
    options = ("--limit", LIMIT, "--max-new-tokens", 6)
    ran = giqa("predict", "--model", other, "--data", tiny, "--out", out, *options)
    assert ran.code == 2
    assert f"giqa: {out} holds another run" in ran.err
    assert ran.out == ""
    assert (out / "predictions.jsonl").read_bytes() == before


@pytest.mark.parametrize("missing", ["model", "model by name", "data", "data by name", "split", "columns"])
def test_what_is_missing_is_one_sentence_and_leaves_no_folder(giqa, model, tiny, tmp_path, missing):
    other = tmp_path / "other" / "data"
    other.mkdir(parents=True)
    import pyarrow
    import pyarrow.parquet
    from datasets import load_dataset

    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"]}), other / "test-00000-of-00001.parquet")
    load_dataset(str(other.parent))
    out = tmp_path / "out"
    options = {"--model": model, "--data": tiny, "--split": "test", "--out": out, "--limit": 2} | {
        "model": {"--model": tmp_path / "no-model"},
        "model by name": {"--model": "nobody/no-model"},
        "data": {"--data": tmp_path / "no-data"},
        "data by name": {"--data": "no-data"},
        "split": {"--split": "validation"},
        "columns": {"--data": other.parent},
    }[missing]
    ran = giqa("predict", *(part for pair in options.items() for part in pair))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_holds_no_model_is_one_sentence(giqa, tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = giqa("predict", "--model", tmp_path / "empty", "--data", tiny, "--out", tmp_path / "out", "--limit", 1)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("giqa: ")
    assert str(tmp_path / "empty") in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named_and_the_answers_before_it_are_kept(giqa, model, broken, tmp_path):
    options = ("--batch-size", 1, "--max-new-tokens", 3)
    ran = giqa("predict", "--model", model, "--data", broken, "--out", tmp_path / "run", *options)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"giqa: image {ids(str(broken))[2]!r} cannot be read: ")
    assert [row["id"] for row in answers(tmp_path / "run")] == ids(str(broken))[:2]
