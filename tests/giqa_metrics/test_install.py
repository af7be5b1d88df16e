"""The literal calls from another folder, offline, in fresh processes with a home of their own."""

import json
import shutil
from pathlib import Path

import pytest

from giqa_metrics import METRICS


pytestmark = pytest.mark.slow


LOAD = """
import json
from datasets import load_dataset
from giqa_metrics import METRICS
import evaluate

data = load_dataset("giqa-mini")
texts = {"predictions": ["[dog](<142, 309>)"], "references": ["[dog](<142, 309>)"]}
more = {"questions": ["?"], "question_types": ["what"], "similarity": "lexical"}
print(json.dumps({
    "rows": {split: len(rows) for split, rows in data.items()},
    "row": data["train"][0]["id"],
    "size": data["train"][0]["image"].size,
    "metrics": {name: sorted(evaluate.load(name).compute(**texts, **more)) for name in METRICS},
}))
"""
# A rebuilt folder, a name with capitals, the folder given as a dot, and what --remove leaves
CHANGES = """
import json, os, shutil, sys
from datasets import load_dataset
from giqa_metrics.cli import main
import evaluate

def giqa(*arguments):
    sys.argv = ["giqa", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0

def loads(name):
    try:
        return len(load_dataset(name)["test"])
    except Exception as error:
        return type(error).__name__

def loads_metric(name):
    try:
        return evaluate.load(name).name
    except Exception as error:
        return type(error).__name__

seen, build = {}, sys.argv[1]
for name in ("toy", "MyToy"):
    for number in ("one", "two"):
        shutil.rmtree(name, ignore_errors=True)
        shutil.copytree(f"{build}/{number}", name)
        giqa("install", name)
        shutil.move(name, "away")  # or the folder itself would be loaded
        seen[f"{name} {number}"] = loads(name)
        shutil.move("away", name)
    giqa("install", "--remove", name)
    shutil.move(name, f"{name}-away")
    seen[f"{name} removed"] = loads(name)
seen["metric removed"] = loads_metric("giqa_vqa")
shutil.copytree(f"{build}/one", "dotted")
os.chdir("dotted")
giqa("install", ".")
os.chdir("..")
shutil.move("dotted", "away")
seen["dot"] = loads("dotted")
seen["metric"] = loads_metric("giqa_vqa")
shutil.move("away", "dotted")
os.chdir("dotted")
giqa("install", "--remove", ".")
os.chdir("..")
shutil.rmtree("dotted")
seen["dot removed"] = loads("dotted")
print("seen:" + json.dumps(seen))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def installed(python, workspace, home, elsewhere):
    ran = python("-m", "giqa_metrics.cli", "install", workspace / "giqa-mini", cwd=elsewhere, HF_HOME=home)
    assert ran.code == 0, ran.err
    return ran


@pytest.fixture(scope="module")
def loaded(python, installed, home, elsewhere) -> dict:
    ran = python("-c", LOAD, cwd=elsewhere, HF_HOME=home)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_install_says_what_it_wrote_and_it_is_there(installed, home):
    paths = [Path(line.removeprefix("wrote ")) for line in installed.out.splitlines()]
    assert len(paths) == 1 + len(METRICS)
    assert all(path.is_dir() and path.is_relative_to(home) for path in paths)


def test_the_literal_load_dataset_reads_every_split(loaded, workspace):
    import pyarrow.parquet

    shards = {path.name.split("-")[0]: path for path in (workspace / "giqa-mini" / "data").glob("*.parquet")}
    assert loaded["rows"] == {split: pyarrow.parquet.read_metadata(path).num_rows for split, path in shards.items()}
    assert list(loaded["rows"]) == ["train", "test"]
    assert loaded["row"] == pyarrow.parquet.read_table(shards["train"], columns=["id"])["id"][0].as_py()
    assert min(loaded["size"]) > 0


def test_the_literal_evaluate_load_finds_the_metrics(loaded):
    assert set(loaded["metrics"]) == set(METRICS)
    assert "miou" in loaded["metrics"]["giqa_grounding"]
    assert "bleu4" in loaded["metrics"]["giqa_description"]
    assert "accuracy" in loaded["metrics"]["giqa_vqa"]


def test_the_data_folder_is_left_as_it_was(installed, workspace):
    names = {path.name for path in (workspace / "giqa-mini").iterdir()}
    assert names == {"README.md", "annotations", "data", "provenance"}


def test_remove_takes_back_what_install_wrote(python, installed, loaded, workspace, home, elsewhere):
    ran = python("-m", "giqa_metrics.cli", "install", "--remove", workspace / "giqa-mini", cwd=elsewhere, HF_HOME=home)
    assert ran.code == 0, ran.err
    assert ran.out == installed.out.replace("wrote ", "removed ")
    assert not any(Path(line.removeprefix("removed ")).exists() for line in ran.out.splitlines())
    assert list(home.rglob("*.arrow")) == []


@pytest.fixture(scope="module")
def seen(python, workspace, tmp_path_factory) -> dict:
    """What a bare name loads after each of many steps in one process."""
    import pyarrow.parquet

    build = tmp_path_factory.mktemp("build")
    rows = pyarrow.parquet.read_table(workspace / "giqa-tiny" / "data" / "test-00000-of-00001.parquet")
    for name, count in (("one", 1), ("two", 2)):
        (build / name / "data").mkdir(parents=True)
        pyarrow.parquet.write_table(rows[:count], build / name / "data" / "test-00000-of-00001.parquet")
        shutil.copy(workspace / "giqa-tiny" / "README.md", build / name / "README.md")
    cwd = tmp_path_factory.mktemp("work")
    ran = python("-c", CHANGES, build, cwd=cwd, HF_HOME=tmp_path_factory.mktemp("another-home"))
    assert ran.code == 0, ran.err
    return json.loads(ran.out.split("seen:")[1])


@pytest.mark.parametrize("name", ["toy", "MyToy"])
def test_installing_a_rebuilt_folder_shows_the_new_rows(seen, name):
    assert (seen[f"{name} one"], seen[f"{name} two"]) == (1, 2)


@pytest.mark.parametrize("name", ["toy", "MyToy"])
def test_a_name_that_was_removed_loads_no_more(seen, name):
    assert isinstance(seen[f"{name} removed"], str)


def test_metrics_that_were_removed_load_no_more_and_come_back(seen):
    assert seen["metric removed"] != "giqa_vqa"
    assert seen["metric"] == "giqa_vqa"


def test_a_folder_may_be_given_as_a_dot(seen):
    assert seen["dot"] == 1


def test_a_folder_that_is_given_as_a_dot_can_be_removed(seen):
    assert isinstance(seen["dot removed"], str)


@pytest.mark.parametrize("kind", ["missing", "empty", "no shards", "a file"])
def test_a_folder_that_is_no_data_set_is_one_sentence(giqa, tmp_path, kind):
    folder = tmp_path / "folder"
    if kind == "a file":
        folder.touch()
    elif kind != "missing":
        folder.mkdir()
    if kind == "no shards":
        (folder / "data").mkdir()
        (folder / "data" / "train.csv").write_text("a\n1\n", encoding="utf-8")
    ran = giqa("install", folder)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("giqa: expected a data set folder")
    assert str(folder) in ran.err
    assert ran.err.count("\n") == 1
