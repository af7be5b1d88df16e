"""The other sets of regions: boxes without texts, and outlines, as their users have them."""

import json
from copy import deepcopy

import numpy as np
import pytest
from datasets import load_dataset

from giqa_datasets import strip
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest, entries_of
from giqa_datasets.check import examine_dataset
from giqa_datasets.entries import load
from giqa_datasets.exports import export
from giqa_datasets.masks import decode
from giqa_datasets.sources.polygons import draw
from tests.region_sets import (
    CAPTION,
    FLAT,
    ROWS_2K,
    ROWS_X,
    TRIANGLE,
    labelled,
    scars,
    write_synthscars,
    write_vida_2k,
    write_x_aigd,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The rows of each set by split, and its folder."""
    root = tmp_path_factory.mktemp("sets")
    sets = {}
    for name, write in (("vida-ugc-2k", write_vida_2k), ("x-aigd", write_x_aigd), ("synthscars", write_synthscars)):
        write(root / f"{name}-raw")
        build_set(SetRequest(name, root / f"{name}-raw"), root / name, root / "annotations")
        sets[name] = load_dataset(str(root / name), cache_dir=str(root / "cache")), root / name
    return sets


def test_what_is_built_holds(built):
    for _, folder in built.values():
        assert examine_dataset(folder).findings == []
        assert "| published | here |" in (folder / "README.md").read_text()


def test_boxes_without_texts_become_a_question_of_detection(built):
    row, clean = built["vida-ugc-2k"][0]["test"]
    assert row["answer"].splitlines()[0] == "[Low clarity](<0, 399>)"
    assert [region["phrase"] for region in row["regions"]] == ["Low clarity", "Edge ringing effect", "Lens flare"]
    said = row["objects"]
    assert said["category"] == ["low clarity", *["edge ringing effect"] * 2, "lens flare"]
    assert said["category_raw"][1:] == ["Edge Ringing effect", "Edge Ringing effect", "Lens flare"]
    assert said["bbox"] == [[0, 0, 64, 48], [1, 2, 29, 38], [5, 5, 4, 4], [0, 0, 3, 3]]
    assert (said["scope"], said["region"]) == (["global", "local", "local", "local"], [0, 1, 1, 2])
    assert (row["source"], row["level"]) == ("spaq", "poor")
    assert (clean["answer"], clean["objects"]["id"]) == ("No distortion affects this image.", [])


def test_outlines_become_masks_and_boxes_around_them(built):
    (row,) = built["x-aigd"][0]["train"]
    assert row["id"] == "x-aigd/flux/1"
    said = row["objects"]
    assert said["category"] == ["low level edge shape", "high level semantics"]
    assert said["category_raw"] == ["low-level-edge_shape", "high-level-semantics"]
    assert said["bbox"][0] == [10, 10, 21, 21]
    mask = decode(said["segmentation"][0])
    assert mask.sum() == said["area"][0]
    assert (mask == draw([TRIANGLE], (64, 48))).all()
    assert [each["id"] for each in built["x-aigd"][0]["test"]] == ["x-aigd/sd3/1", "x-aigd/flux/2"]
    assert row["image_license"] == "cc-by-4.0"


def test_sentences_become_phrases_with_the_boxes_of_their_masks(built):
    first, again = built["synthscars"][0]["train"]
    assert [region["phrase"] for region in first["regions"]] == [
        "The hand has six fingers.",
        "The text on the sign is garbled.",
    ]
    assert strip(first["answer"]) == CAPTION
    assert first["objects"]["region"] == [0, 1, -1]
    assert again["objects"]["region"] == [-1, -1, 0]
    assert first["objects"]["description"] == ["Hands have five.", "", ""]
    assert first["objects"]["bbox"][1] == [10, 0, 51, 31]
    drops = [json.loads(line) for line in (built["synthscars"][1] / "provenance" / "drops.jsonl").open()]
    assert [(drop["id"], drop["reason"]) for drop in drops] == [
        ("synthscars/train/a1:3", "no_sentence"),
        ("synthscars/train/a1:4", "no_mask"),
    ]


def test_an_export_to_coco_holds_classes_severity_and_masks(built, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    export(built["x-aigd"][1], "coco", tmp_path / "coco")
    export(built["vida-ugc-2k"][1], "coco", tmp_path / "2k", own_use=True)
    truth = coco.COCO(tmp_path / "coco" / "annotations" / "train.json")
    first, _ = truth.loadAnns(truth.getAnnIds())
    assert truth.annToMask(first).sum() == first["area"] != first["bbox"][2] * first["bbox"][3]
    names = {each["id"]: each["name"] for each in truth.loadCats(truth.getCatIds())}
    assert names[first["category_id"]] == "low level edge shape"
    boxes = json.loads((tmp_path / "2k" / "annotations" / "test.json").read_text())["annotations"]
    assert [box["bbox"] for box in boxes] == [[0, 0, 64, 48], [1, 2, 29, 38], [5, 5, 4, 4], [0, 0, 3, 3]]


def taken(name, root):
    """The samples by split, and the reasons of the drops."""
    entries, drops = entries_of(SetRequest(name, root)), []
    loaded = {split: list(load(of_split, drops.append)) for split, of_split in entries.splits.items()}
    return loaded, [drop.reason for drop in (*entries.left_out, *drops)]


def without(row, **other):
    return deepcopy(row) | other


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (without(ROWS_2K[0], width=48, height=64), "unfit_objects"),
        (without(ROWS_2K[0], local={"Noise": [{"tl": {"x": 0, "y": 0}, "br": {"x": 65, "y": 5}}]}), "unfit_objects"),
        (without(ROWS_2K[0], local={"Noise": [{"tl": {"x": 5, "y": 0}, "br": {"x": 5, "y": 5}}]}), "unfit_objects"),
        (without(ROWS_2K[0], local={"Noise": [{"tl": {"x": 5}}]}), "malformed_row"),
        (ROWS_2K[1], "duplicate"),
    ],
)
def test_a_photograph_whose_boxes_do_not_fit_is_left_out(tmp_path, row, reason):
    loaded, reasons = taken("vida-ugc-2k", write_vida_2k(tmp_path, [ROWS_2K[1], row]))
    assert (len(loaded["test"]), reasons) == (1, [reason])


def test_thousandths_in_the_place_of_pixels_are_named(tmp_path):
    row = without(ROWS_2K[0], local={"Noise": [{"tl": {"x": 0, "y": 0}, "br": {"x": 1000, "y": 250}}]})
    entries = entries_of(SetRequest("vida-ugc-2k", write_vida_2k(tmp_path, [ROWS_2K[1], row]))).splits["test"]
    drops: list = []
    assert len(list(load(entries, drops.append))) == 1
    assert drops[0].what.endswith("pixels of 64x48, got [0, 0, 1000, 250], which may be thousandths")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (labelled(7, ("noise", TRIANGLE), width=640), "unfit_objects"),
        (labelled(7, ("noise", [[0, 0], [90, 0], [5, 5]])), "unfit_objects"),
        (labelled(7, ("noise", TRIANGLE[:2])), "unfit_objects"),
        (labelled(7, ("noise", TRIANGLE), image={"bytes": None, "path": "x.png"}), "missing_image"),
        (labelled(7, ("noise", TRIANGLE), generator="../up"), "unsafe_path"),
    ],
)
def test_a_picture_whose_outlines_do_not_fit_is_left_out(tmp_path, row, reason):
    loaded, reasons = taken("x-aigd", write_x_aigd(tmp_path, ROWS_X | {"test": [*ROWS_X["test"], row]}))
    assert (len(loaded["test"]), reasons) == (2, [reason])


@pytest.mark.parametrize(
    ("refs", "reason"),
    [
        ([("Nothing", "", [FLAT]), ("Nothing is", "", [FLAT])], "overlap"),
        ([("Nothing", "", [FLAT[:5]])], "no_mask"),
        ([("Nothing", "", [[0, 0, 900, 0, 9, 9]])], "unfit_objects"),
        ([(" ", "", [FLAT])], "no_sentence"),
    ],
)
def test_a_reference_that_does_not_fit_says_why(tmp_path, refs, reason):
    rows = [{"t1": scars("t.png", "Nothing is wrong.", *refs)}]
    assert taken("synthscars", write_synthscars(tmp_path, {"train": rows}))[1] == [reason]


def test_an_id_that_occurs_twice_or_is_no_name_costs_its_annotation(tmp_path):
    one = scars("t.png", "Nothing is wrong.")
    rows = [{"t1": one}, {"t1": one}, {"../t": one}]
    loaded, reasons = taken("synthscars", write_synthscars(tmp_path, {"test": rows}))
    assert [len(record.samples) for record in loaded["test"]] == [1]
    assert reasons == ["duplicate", "unsafe_path"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vida-ugc-2k", r"expected benchmark_2k_cleaned\.json or benchmark_2k\.json in"),
        ("x-aigd", r"expected data/labeled_train-\*\.parquet of X-AIGD in"),
        ("synthscars", r"expected train/annotations/train\.json of SynthScars in"),
    ],
)
def test_another_folder_is_named(tmp_path, name, says):
    with pytest.raises(FileNotFoundError, match=says):
        entries_of(SetRequest(name, tmp_path))
    with pytest.raises(ValueError, match="got none"):
        entries_of(SetRequest(name))


def test_a_damaged_file_ends_in_one_sentence(tmp_path):
    root = write_x_aigd(tmp_path)
    (root / "data" / "labeled_train-00000-of-00001.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match=r"expected Parquet of X-AIGD in .*labeled_train"):
        entries_of(SetRequest("x-aigd", root))


def test_polygons_cover_what_opencv_fills_but_for_some_pixels_of_their_edges():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles, far = np.sort(rng.random(8)) * 2 * np.pi, rng.uniform(10, 60, 8)
        points = np.stack([100 + far * np.cos(angles), 75 + far * np.sin(angles)], axis=1)
        filled = np.zeros((150, 200), np.uint8)
        cv2.fillPoly(filled, [points.astype(np.int32)], 1)
        apart = draw([points.tolist()], (200, 150)) != filled.astype(bool)
        assert apart.sum() <= 0.04 * filled.sum()
