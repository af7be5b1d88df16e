"""`giqa build ORG/SET --images DIR`: a set on a Hub that came without pixels, and a user's own copies."""

from pathlib import Path

import pytest

from .releases import giqa_in


pytestmark = pytest.mark.slow


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_on_the_hub_and_the_users_copies_give_the_set_that_was_built(set_on_hub, built, tmp_path):
    shards = [raw for path, raw in set_on_hub.files("datasets/org/set").items() if path.startswith("data/")]
    assert sum(map(len, shards)) < 40_000
    done = giqa_in(set_on_hub, tmp_path / "work", "build", "org/set", "--images", built.parent / "photos")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["set train: 3 rows (3 des)", "joined: 3 images"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["set"]
    assert tree(tmp_path / "work" / "set") == tree(built)


def test_what_the_hub_refuses_is_one_sentence(set_on_hub, built, tmp_path):
    done = giqa_in(set_on_hub, tmp_path / "work", "build", "org/other", "--images", built.parent / "photos")
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(
        "giqa: data set 'org/other' is no folder here, is not installed, and cannot be fetched: "
    )
    assert "the Hub has none" in sentence
    assert not list((tmp_path / "work").iterdir())
