"""The column `objects`: out of a record into a folder and back, and what does not hold in it."""

import hashlib
import io
import shutil
from copy import deepcopy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import concatenate_datasets, load_dataset
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder.columns import features
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.masks import NO_MASK, decode, encode, hull
from giqa_datasets.objects import Defect, faults_of_objects, from_thousandths, objects_to_row
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.regions import locate
from giqa_datasets.review.items import open_review
from giqa_datasets.review.open_round import OpenRound


SIZE = (64, 48)
TEXT = "Severe noise in the sky."
MASK = np.zeros((48, 64), bool)
MASK[10:20, 5:30] = True
OBJECTS = (
    Defect(
        "bbox 1", from_thousandths((0, 250, 1000, 501), SIZE), 1, "noise", "Noise", "severe", 3, position="the sky"
    ),
    Defect("2", hull(MASK), 250.0, "lens flare", "Lens Flare", segmentation=encode(MASK)),
)


def record(name, **said):
    pixels = np.random.default_rng(len(name) + ord(name[0])).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    raw = buffer.getvalue()
    photograph = Photograph(raw, *SIZE, hashlib.sha256(raw).hexdigest(), "test", "cc0-1.0", **said)
    at = locate(TEXT, [("Severe noise", np.array([[0, 0.25, 1, 0.501]]))])
    sample = Sample(
        name, "des", "des", "Describe it.", TEXT, (), at, object_regions=(0, -1) if said.get("objects") else ()
    )
    return Record(name, photograph, TEXT, "cc0-1.0", samples=(sample,))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A set with objects, and one without."""
    root = tmp_path_factory.mktemp("objects")
    said = {"objects": OBJECTS, "mos": 1.6, "level": "bad"}
    splits = {"train": [record("a", **said), record("b", objects=())], "test": [record("c", **said)]}
    build_folder(root / "new", "folder", splits)
    build_folder(root / "old", "folder", {"train": [record("d")]})
    return root / "new", root / "old"


def test_objects_are_read_as_they_were_written(folders, tmp_path):
    new, old = (load_dataset(str(folder), split="train", cache_dir=str(tmp_path)) for folder in folders)
    assert list(old.features) == list(features())
    assert new.features == features(["objects"])
    row, empty = new
    names = [*Defect._fields, "region"]
    assert list(row["objects"]) == names
    assert row["objects"]["category"] == ["noise", "lens flare"]
    assert row["objects"]["region"] == [0, -1]
    assert row["objects"]["segmentation"] == [NO_MASK, encode(MASK)]
    assert (row["mos"], row["level"]) == (pytest.approx(1.6), "bad")
    assert (empty["objects"], empty["mos"], empty["level"]) == ({name: [] for name in names}, None, "")
    both = concatenate_datasets([old, new])
    assert [each["category"] if each else None for each in both["objects"]] == [None, row["objects"]["category"], []]


def test_a_set_with_objects_holds_and_its_card_counts_them(folders):
    for folder in folders:
        assert examine_dataset(folder).findings == []
    card, plain = ((folder / "README.md").read_text() for folder in folders)
    assert "- objects" in card
    assert "objects" not in plain


def test_the_licence_gate_keeps_the_columns(folders, tmp_path):
    shared = without_pixels(folders[0], tmp_path)
    assert shared.absent
    for name, path in shared.shards.items():
        gone, there = (pq.read_table(each).drop_columns(["image"]) for each in (path, folders[0] / "data" / name))
        assert repr(gone.to_pylist()) == repr(there.to_pylist())  # NaN equal nothing
        assert pq.read_schema(path).metadata == pq.read_schema(folders[0] / "data" / name).metadata


def test_the_review_shows_them(folders):
    rounds = OpenRound(open_review(folders[0]))
    shown = rounds.sample("ann", "a")["objects"]
    assert shown[0] == {"name": "severe noise", "box": pytest.approx((0, 0.25, 1, 0.501))}
    assert rounds.sample("ann", "b")["objects"] == []


@pytest.mark.parametrize("side", [7, 100, 333, 512, 4032, 64000])
def test_the_integers_of_the_source_come_back_out_of_float32(side):
    edges = range(1000)
    pixels = np.array([from_thousandths((k, k, k + 1, 1000), (side, side)) for k in edges], np.float32)
    again = np.rint(np.stack([pixels[:, 0], pixels[:, 0] + pixels[:, 2], pixels[:, 1] + pixels[:, 3]]) / side * 1000)
    assert again.tolist() == [list(edges), [k + 1 for k in edges], [1000] * 1000]


@pytest.mark.parametrize("corners", [(0, 0, 1001, 5), (-1, 0, 5, 5), (5, 0, 5, 9), (0, 9, 5, 3)])
def test_numbers_of_another_frame_are_refused(corners):
    with pytest.raises(ValueError, match=r"from 0 to 1000, got \["):
        from_thousandths(corners, SIZE)


def changed(name, value):
    row = deepcopy(objects_to_row(OBJECTS))
    row[name][0] = value
    return row


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (objects_to_row(OBJECTS) | {"severity": ["minor"]}, "expected lists of one length, got"),
        (changed("bbox", [0, 0, 65, 10]), "'bbox 1': expected a box inside 64x48 pixels"),
        (changed("bbox", [-1, 0, 5, 10]), "expected a box inside"),
        (changed("bbox", [0, 0, 0, 10]), "expected a box inside"),
        (changed("bbox", [0, 0, float("nan"), 10]), "expected a box of four numbers"),
        (changed("bbox", [0, 0, 10.01234, 10]), "expected edges in whole pixels or thousandths"),
        (changed("segmentation", {"size": [64, 48], "counts": "0"}), "expected a mask of 48 rows and 64 columns"),
        (changed("segmentation", {"size": [48, 64], "counts": "0"}), "expected a mask of 3072 pixels, got 0"),
        (changed("segmentation", {"size": [48, 64], "counts": "o"}), "half a one at the end"),
        (changed("segmentation", {"size": [48, 64], "counts": "oooooooooooooooo0"}), "expected run lengths"),
        (changed("region", 3), "expected a place in the 2 regions or -1, got 3"),
    ],
)
def test_what_does_not_hold_is_one_sentence(row, says):
    (fault,) = faults_of_objects(row, SIZE, n_regions=2)
    assert says in fault
    assert not list(faults_of_objects(objects_to_row(OBJECTS, [1, -1]), SIZE, n_regions=2))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)), st.integers(1, 60))
def test_run_lengths_are_those_of_cocos_own_tools(pixels, scale):
    coco = pytest.importorskip("pycocotools.mask")
    pixels = np.repeat(pixels, scale, axis=0)
    theirs = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert encode(pixels) == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert (decode(encode(pixels)) == pixels).all()
    box = hull(pixels)
    assert list(box or (0, 0, 0, 0)) == coco.toBbox(theirs).tolist()


def test_the_check_of_a_folder_reads_them(folders, tmp_path):
    folder = shutil.copytree(folders[0], tmp_path / "damaged")
    path = folder / "data" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["objects"] |= {"region": [7, -1]}
    rows[1]["objects"] |= {"id": ["one more"]}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    found = [finding.what for finding in examine_dataset(folder).findings if finding.where.startswith("train ")]
    assert found[0] == "objects: 'bbox 1': expected a place in the 1 regions or -1, got 7"
    assert found[1].startswith("objects: expected lists of one length")
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema).drop_columns(["mos"]), path)
    assert any("as 'mos', got no column" in finding.what for finding in examine_dataset(folder).findings)
