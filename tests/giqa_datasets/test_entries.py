"""A photograph is read once a build while memory allows, and elsewhere by whoever needs it."""

import json
import pickle
from collections import Counter

import pytest
import skimage.data
from PIL import Image

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.entries import Entry, Refused, read_once
from giqa_datasets.image_stores import Folder
from giqa_datasets.pipeline.model_choice import Choice


@pytest.fixture
def reads(monkeypatch):
    """How often each file is read out of a folder."""
    counted: Counter[str] = Counter()
    read = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, name: (counted.update([name]), read(self, name))[1])
    return counted


@pytest.fixture
def photos(tmp_path):
    """Two photographs, the first of them described twice."""
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()).resize((96, 64)).save(root / f"{name}.png")
    lines = [
        ("a", "coffee", "The cup is sharp."),
        ("b", "coffee", "The spoon is dark."),
        ("c", "chelsea", "So."),
    ]
    text = [json.dumps({"id": i, "file_name": f"{name}.png", "description": said}) for i, name, said in lines]
    (root / "metadata.jsonl").write_text("\n".join(text) + "\n")
    return root


def test_a_build_reads_a_photograph_once_and_so_does_one_that_finds_all_annotated(photos, tmp_path, reads):
    request = SetRequest("folder", photos)
    for _ in range(2):
        reads.clear()
        build_set(request, tmp_path / "set", tmp_path / "a", Choice(), keep_ungrounded=True, overwrite=True)
        assert reads == {"coffee.png": 1, "chelsea.png": 1}


def entry(photograph, name="e"):
    return Entry(name, name, name, "It is sharp.", "cc0-1.0", photograph)


@pytest.mark.parametrize(("room", "expected"), [(0, 6), (1, 5), (2, 4)])
def test_what_does_not_fit_into_memory_is_read_again(photograph, room, expected):
    calls = []

    def reader(number):
        return lambda: (calls.append(number), photograph)[1]

    entries = list(read_once([entry(reader(n), str(n)) for n in range(3)], room * len(photograph.image)))
    for each in [*entries, *entries]:
        assert each.load().photograph is photograph
    assert len(calls) == expected


def test_a_photograph_that_is_refused_is_refused_every_time():
    def refuse():
        raise Refused("broken_image", "torn")

    (once,) = read_once([entry(refuse)])
    for _ in range(2):
        with pytest.raises(Refused, match="torn"):
            once.load()


def test_an_entry_that_is_sent_takes_no_pixels_along(photograph):
    record = entry(pickle.loads, "x")  # any function that can be pickled
    (once,) = read_once([record])
    once.photograph._kept = photograph  # type: ignore[attr-defined]
    sent = pickle.dumps(once)
    assert photograph.image not in sent
    assert pickle.loads(sent).photograph.func is pickle.loads
