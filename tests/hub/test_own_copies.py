"""`giqa build ORG/SET --images DIR`: a set on a Hub that came without pixels, and a user's own copies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.sources.mini import wheel_file


pytestmark = pytest.mark.slow


COMMIT = """
operations = [CommitOperationAdd(path, file) for path, file in files.items()]
api.create_commit('org/set', operations, commit_message='m', repo_type='dataset').oid
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A set of photographs that are not redistributable; they lie in `photos` beside it."""
    root = tmp_path_factory.mktemp("built")
    (root / "photos").mkdir()
    names = ("coffee.png", "chelsea.png", "camera.png")
    for name in names:
        (root / "photos" / name).write_bytes(wheel_file(f"skimage/data/{name}").read_bytes())
    lines = [{"file_name": name, "description": f"A sharp {name}.", "regions": []} for name in names]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "photos" / "metadata.jsonl").write_text(text, encoding="utf-8")
    build_set(SetRequest("folder", root=root / "photos"), root / "set", root / "annotations", Choice())
    return root / "set"


@pytest.fixture
def on_hub(hub, client, built, tmp_path):
    """The set as it is published: its shards without pixels."""
    files = {str(path.relative_to(built)): str(path) for path in built.rglob("*") if path.is_file()}
    files |= {f"data/{name}": str(path) for name, path in without_pixels(built, tmp_path).shards.items()}
    client("api.create_repo('org/set', repo_type='dataset')")
    client(COMMIT, files=files)
    (tmp_path / "work").mkdir()
    return hub


def giqa(hub, work: Path, *arguments: object) -> subprocess.CompletedProcess:
    """The command in a process that knows this Hub alone."""
    command = [sys.executable, "-m", "giqa_metrics.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=work, env=hub.environ(work.parent / "home"), capture_output=True, text=True, check=False
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_on_the_hub_and_the_users_copies_give_the_set_that_was_built(on_hub, built, tmp_path):
    shards = [raw for path, raw in on_hub.files("datasets/org/set").items() if path.startswith("data/")]
    assert sum(map(len, shards)) < 40_000
    done = giqa(on_hub, tmp_path / "work", "build", "org/set", "--images", built.parent / "photos")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["set train: 3 rows (3 des)", "joined: 3 images"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["set"]
    assert tree(tmp_path / "work" / "set") == tree(built)


def test_what_the_hub_refuses_is_one_sentence(on_hub, built, tmp_path):
    done = giqa(on_hub, tmp_path / "work", "build", "org/other", "--images", built.parent / "photos")
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("giqa: the data set 'org/other' cannot be had from the Hub: ")
    assert not list((tmp_path / "work").iterdir())
