import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Image, load_dataset
from PIL import Image as Pillow

import giqa_datasets
from giqa_datasets.sources import folder
from giqa_datasets.sources.mini import wheel_file
from tests.command import giqa, the_one_sentence


REGIONS = [{"phrase": "cat", "boxes": [[0.1, 0.2, 0.5, 0.6]]}]
CAT = {"file_name": "cat.png", "description": "The cat is sharp.", "regions": REGIONS}


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with two photographs."""
    root = tmp_path / "photos"
    (root / "more").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(root / "cat.png")
    Pillow.fromarray(pixels[:30]).save(root / "more" / "dog.jpg")
    return root


def describe(root, *lines):
    """Write the folder's metadata: dicts as JSON, anything else as it is."""
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / "metadata.jsonl").write_text("".join(line + "\n" for line in text), encoding="utf-8")


def run(*arguments, cwd):
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(giqa_datasets.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "giqa_metrics.cli", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_builds_a_set_from_a_folder(photos, tmp_path):
    dog = {"file_name": "more/dog.jpg", "description": "A dull dog.", "regions": [], "image_license": "cc-by-4.0"}
    describe(photos, CAT, "", dog)
    done = run("build", "folder", photos, "--out", "my-set", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "my-set train: 2 rows (2 des)\n"), done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "my-set"}

    cat_row, dog_row = load_dataset(str(tmp_path / "my-set"), split="train").cast_column("image", Image(decode=False))
    original = (photos / "cat.png").read_bytes()
    assert cat_row["image"]["bytes"] == original
    assert cat_row["image_sha256"] == hashlib.sha256(original).hexdigest()
    assert (cat_row["id"], cat_row["width"], cat_row["height"]) == ("cat-des", 80, 60)
    assert cat_row["answer"] == "The [cat](<82, 229>) is sharp."
    assert np.allclose(cat_row["regions"][0]["boxes"], [[0.1, 0.2, 0.5, 0.6]])
    assert (dog_row["id"], dog_row["answer"], dog_row["regions"]) == ("more/dog-des", "A dull dog.", [])
    assert (cat_row["image_license"], dog_row["image_license"]) == ("unknown", "cc-by-4.0")
    assert {cat_row["source"], dog_row["source"]} == {"folder"}


def test_the_command_ends_in_one_sentence_and_leaves_nothing(photos, tmp_path):
    describe(photos, CAT | {"file_name": "lost.png"})
    done = run("build", "folder", photos, "--out", "my-set", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert the_one_sentence(done.stderr).endswith("expected 'lost.png' in photos, found none")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_photographs_without_regions_go_through_the_pipeline(photos, tmp_path):
    (photos / "coffee.png").write_bytes(wheel_file("skimage/data/coffee.png").read_bytes())
    describe(
        photos,
        {"file_name": "coffee.png", "description": "The cup is sharp, and so is the tripod."},
        CAT,
        {"file_name": "more/dog.jpg", "description": "The castle is blurred."},
    )
    code, stdout, _ = giqa("build", "folder", photos, "--out", tmp_path / "set", "--box-format", "giqa_decimal")
    assert code == 0
    assert stdout.splitlines()[0].startswith(f"{tmp_path / 'set'} train: ")
    found = load_dataset(str(tmp_path / "set"), split="train")
    assert [row_id for row_id in found["id"] if row_id.endswith("-des")] == ["coffee-des", "cat-des"]
    assert {region["phrase"] for row in found for region in row["regions"]} == {"cup", "cat"}
    assert all("<0." in row["completion"][0]["content"] for row in found if row["task"] == "des")
    drops = [json.loads(line) for line in (tmp_path / "set" / "provenance" / "drops.jsonl").open(encoding="utf-8")]
    assert {"id": "more/dog", "stage": "detect", "reason": "unknown_word", "what": "castle"} in drops


def test_a_limited_build_writes_down_only_what_its_own_records_lost(photos, tmp_path):
    (photos / "coffee.png").write_bytes(wheel_file("skimage/data/coffee.png").read_bytes())
    describe(
        photos,
        {"file_name": "coffee.png", "description": "The cup is sharp, and so is the tripod."},
        {"file_name": "cat.png", "description": "The castle is blurred."},
    )
    code, _, _ = giqa("build", "folder", photos, "--out", tmp_path / "set", "--limit", 1)
    assert code == 0
    drops = [json.loads(line) for line in (tmp_path / "set" / "provenance" / "drops.jsonl").open(encoding="utf-8")]
    assert {drop["id"] for drop in drops} == {"coffee"}


PHRASE = [{"phrase": "dog", "boxes": [[0.1, 0.2, 0.5, 0.6]]}]


def with_box(*xyxy):
    return CAT | {"regions": [{"phrase": "cat", "boxes": [list(xyxy)]}]}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param([], "expected at least one photograph in", id="empty-metadata"),
        pytest.param(["", "  "], "expected at least one photograph in", id="blank-metadata"),
        pytest.param(['{"file_name": '], "line 1: invalid JSON", id="invalid-json"),
        pytest.param([CAT, "cat.png"], "line 2: invalid JSON", id="invalid-json-in-a-later-line"),
        pytest.param(["[1, 2]"], "line 1: expected an object, got list", id="no-object"),
        pytest.param([{"description": "The cat."}], "line 1: file_name: field required", id="no-file-name"),
        pytest.param([{"file_name": "cat.png"}], "line 1: description: field required", id="no-description"),
        pytest.param([CAT | {"file_name": "lost.png"}], "line 1: expected 'lost.png' in", id="missing-photograph"),
        pytest.param([CAT | {"file_name": "more"}], "line 1: expected 'more' in", id="photograph-is-a-folder"),
        pytest.param([CAT | {"file_name": "broken.png"}], "image 'broken.png' cannot be read", id="broken-image"),
        pytest.param([CAT | {"file_name": "/etc/hostname"}], "inside the store, got '/etc", id="absolute-path"),
        pytest.param([CAT | {"file_name": "../secret.png"}], "inside the store, got '../secret.png'", id="dot-dot"),
        pytest.param([CAT | {"file_name": "link.png"}], "'link.png' is a link that leads out", id="link-outside"),
        pytest.param([CAT | {"file_name": "a\0.png"}], "unsafe_path (expected a relative path", id="nul-in-the-name"),
        pytest.param(
            [with_box(0.1, 0.2, 0.5, 1.6)], "line 1: expected boxes x1 < x2 and y1 < y2 from 0", id="box-outside"
        ),
        pytest.param(
            [with_box(10, 20, 50, 60)], "line 1: expected boxes x1 < x2 and y1 < y2 from 0", id="box-in-pixels"
        ),
        pytest.param(
            [with_box(0.5, 0.2, 0.1, 0.6)], "line 1: expected boxes x1 < x2 and y1 < y2 from 0", id="box-reversed"
        ),
        pytest.param([with_box(0.1, 0.2, 0.5)], "line 1: regions.0.boxes.0", id="box-of-three-numbers"),
        pytest.param([with_box(float("nan"), 0, 1, 1)], "line 1: ", id="box-of-nan"),
        pytest.param([CAT | {"regions": PHRASE}], "line 1: phrase 'dog' does not stand", id="phrase-not-in-text"),
        pytest.param([CAT | {"regions": [{"phrase": "cat", "boxes": []}]}], "phrase 'cat' has no box", id="no-box"),
        pytest.param([CAT | {"regions": [{"phrase": "", "boxes": [[0, 0, 1, 1]]}]}], "phrase ''", id="empty-phrase"),
        pytest.param([CAT | {"description": "The cat <1, 44>."}], "expected text without boxes", id="markup-in-text"),
        pytest.param([CAT, CAT], "line 2: expected unique ids, got 'cat' twice", id="same-photograph-twice"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(photos, tmp_path, lines, says):
    raw = (photos / "cat.png").read_bytes()
    (photos / "broken.png").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "secret.png").write_bytes(raw)
    (photos / "link.png").symlink_to(tmp_path / "secret.png")
    describe(photos, *lines)
    code, stdout, stderr = giqa("build", "folder", photos, "--out", tmp_path / "set")
    assert (code, stdout) == (2, "")
    assert says in the_one_sentence(stderr)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "secret.png"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_metadata_that_is_not_utf_8_is_refused_by_name(photos, tmp_path, encoding):
    (photos / "metadata.jsonl").write_text('{"file_name": "cat.png", "description": "Das Kätzchen."}\n', encoding)
    code, _, stderr = giqa("build", "folder", photos, "--out", tmp_path / "set")
    assert code == 2
    assert str(photos / "metadata.jsonl") in the_one_sentence(stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_metadata_with_a_byte_order_mark_is_read(photos):
    (photos / "metadata.jsonl").write_text(json.dumps(CAT), encoding="utf-8-sig")
    assert [record.id for record in folder.entries(photos, [].append)] == ["cat"]


@pytest.mark.parametrize("arguments", [["folder"], ["folder", "lost"], ["folder", "photos"]])
def test_a_missing_folder_or_metadata_ends_in_one_sentence(photos, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = giqa("build", *arguments, "--out", "set")
    assert (code, stdout) == (2, "")
    assert "metadata.jsonl" in the_one_sentence(stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["giqa-huge"], "expected a data set out of ['folder', "),
        (["folder", "photos", "--box-format", "coco"], "expected a box format out of ['deepseek_vl2', "),
        (["folder", "photos", "--out", "photos"], "photos exists; --overwrite replaces"),
        (["folder", "photos", "--out", "photos", "--overwrite"], "photos is no data set folder"),
    ],
)
def test_a_wrong_argument_ends_in_one_sentence(photos, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    describe(photos, CAT)
    code, stdout, stderr = giqa("build", *arguments)
    assert (code, stdout) == (2, "")
    assert says in the_one_sentence(stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_overwrite_replaces_a_set_that_the_command_built(photos, tmp_path):
    describe(photos, CAT)
    out = tmp_path / "set"
    assert giqa("build", "folder", photos, "--out", out)[0] == 0
    assert load_dataset(str(out), split="train")["id"] == ["cat-des"]  # and is in the library's cache now
    describe(photos, CAT | {"id": "tom"})
    assert giqa("build", "folder", photos, "--out", out)[0] == 2
    assert giqa("build", "folder", photos, "--out", out, "--overwrite")[0] == 0
    assert load_dataset(str(out), split="train")["id"] == ["tom-des"]


def test_limit_takes_the_first_records(photos, tmp_path):
    describe(photos, CAT, CAT | {"id": "two"}, CAT | {"id": "three"})
    assert giqa("build", "folder", photos, "--out", tmp_path / "set", "--limit", 2)[0] == 0
    assert load_dataset(str(tmp_path / "set"), split="train")["id"] == ["cat-des", "two-des"]


def test_an_id_does_not_hold_a_path_of_this_machine(photos):
    describe(photos, CAT | {"file_name": str(photos / "cat.png")})
    try:
        ids = [record.id for record in folder.entries(photos, [].append)]
    except ValueError:
        return
    assert ids == ["cat"]


def test_photographs_come_in_the_order_of_the_metadata(photos):
    describe(photos, {"file_name": "more/dog.jpg", "description": "A dog."}, CAT)
    assert [record.id for record in folder.entries(photos, [].append)] == ["more/dog", "cat"]


def test_a_line_without_regions_has_no_sample_and_one_with_none_has(photos):
    line = {"file_name": "cat.png", "description": "The cat."}
    describe(photos, line, line | {"regions": [], "id": "two"}, line | {"regions": None, "id": "three"})
    assert [len(record.samples) for record in folder.entries(photos, [].append)] == [0, 1, 0]
