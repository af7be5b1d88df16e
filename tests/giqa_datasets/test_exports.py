"""Exports of a data set folder, each read back by the tool that it is for where that is installed here."""

import base64
import csv
import hashlib
import io
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from datasets import ClassLabel, load_dataset
from PIL import Image

from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.exports import EXPORTS, export
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.regions import locate
from giqa_datasets.sources import folder as source

from ..command import giqa, refusal


TEXT = "The black cat is sharp, the dogs are «blurred» & dull."
CAT, DOGS = [[0.125, 0.1, 0.5, 0.9]], [[0.5, 0.25, 0.75, 0.5], [0.75, 0.5, 1.0, 1.0]]


def record(number: int, *, may: bool = True) -> Record:
    """A photograph with a description and a question about it."""
    size = (80, 40 + 20 * number)
    buffer = io.BytesIO()
    Image.new("RGB", size, (number, 100, 200)).save(buffer, "JPEG" if number else "PNG")
    raw = buffer.getvalue()
    sha256 = hashlib.sha256(raw).hexdigest()
    about = Photograph(raw, *size, sha256, "own" if may else "theirs", "mit" if may else "research only", (), "", may)
    described = locate(TEXT, [("black cat", np.array(CAT)), ("dogs", np.array(DOGS))])
    asked = locate("Is the black cat sharp?", [("black cat", np.array(CAT))])
    samples = (
        Sample(f"{number}-des", "des", "des", "Describe it.", TEXT, answer_regions=described),
        Sample(f"{number}-yes", "vqa", "yes_no", "Is the black cat sharp?", "Yes.", question_regions=asked),
    )
    return Record(str(number), about, TEXT, "cc0-1.0", samples=samples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photographs in train, one in test, and one in train that may not leave."""
    path = tmp_path_factory.mktemp("exports") / "set"
    build_folder(path, "folder", {"train": [record(0), record(1), record(3, may=False)], "test": [record(2)]})
    return path


@pytest.fixture(scope="module")
def exported(folder):
    """Each form, in a folder beside the set."""
    for name in EXPORTS:
        found = export(folder, name, folder.with_name(name))
        assert found.splits == {"test": (1, 2), "train": (2, 4)}
        assert list(found.left_out.values()) == [2]
    return folder.parent


def test_coco_is_read_by_pycocotools_and_its_boxes_score_all(exported):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth = coco.COCO(exported / "coco" / "annotations" / "train.json")
    assert [each["name"] for each in truth.loadCats(truth.getCatIds())] == ["black cat", "dogs"]
    boxes = truth.loadAnns(truth.getAnnIds(imgIds=[1]))
    assert [each["bbox"] for each in boxes] == [[10.0, 4.0, 30.0, 32.0], [40.0, 10.0, 20.0, 10.0], [60, 20, 20, 20]]
    for image in truth.loadImgs(truth.getImgIds()):
        size = image["width"], image["height"]
        assert Image.open(exported / "coco" / "images" / image["file_name"]).size == size
    found = truth.loadRes(
        [{key: each[key] for key in ("image_id", "category_id", "bbox")} | {"score": 1} for each in boxes]
    )
    evaluation = cocoeval.COCOeval(truth, found, "bbox")
    evaluation.params.imgIds = [1]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1


def test_hf_objects_load_with_names_and_pixels(exported, tmp_path):
    rows = load_dataset(str(exported / "hf-objects"), split="train", cache_dir=str(tmp_path))
    names = rows.features["objects"]["category"].feature
    assert names == ClassLabel(names=["black cat", "dogs"])
    assert rows[1]["image"].size == (rows[1]["width"], rows[1]["height"]) == (80, 60)
    objects = rows[1]["objects"]
    assert names.int2str(objects["category"]) == ["black cat", "dogs", "dogs"]
    assert objects["bbox"][1] == [40, 15, 20, 15]
    assert (objects["area"][1], objects["id"]) == (300, [4, 5, 6])


def test_ms_swift_has_a_mark_for_each_phrase_and_box_in_their_order(exported):
    lines = [json.loads(line) for line in (exported / "ms-swift" / "train.jsonl").read_text("utf-8").splitlines()]
    described, asked = lines[:2]
    question, answer = (message["content"] for message in described["messages"])
    assert question == "<image>Describe it."
    assert answer == "The <ref-object><bbox> is sharp, the <ref-object><bbox><bbox> are «blurred» & dull."
    assert described["objects"] == {"ref": ["black cat", "dogs"], "bbox": [*CAT, *DOGS], "bbox_type": "norm1"}
    assert asked["messages"][0]["content"] == "<image>Is the <ref-object><bbox> sharp?"
    assert asked["objects"]["bbox"] == CAT
    (name,) = described["images"]
    assert Image.open(exported / "ms-swift" / name).size == (80, 40)


def test_ms_swifts_own_preprocessor_keeps_every_row(exported):
    swift = pytest.importorskip("swift.dataset")
    rows = load_dataset("json", data_files=str(exported / "ms-swift" / "train.jsonl"), split="train")
    assert len(swift.AutoPreprocessor()(rows, num_proc=1, strict=True)) == len(rows)


def test_llava_turns_alternate_and_llama_factory_finds_them(exported):
    out = exported / "llava"
    said = json.loads((out / "dataset_info.json").read_text("utf-8"))["giqa_train"]
    rows = json.loads((out / said["file_name"]).read_text("utf-8"))
    assert len(rows) == 4
    for row in rows:
        turns = row[said["columns"]["messages"]]
        assert [turn["from"] for turn in turns] == ["human", "gpt"]
        assert "".join(turn["value"] for turn in turns).count("<image>") == len(row["images"]) == 1
        assert (out / row["image"]).is_file()
    assert rows[1]["conversations"][0]["value"] == "<image>\nIs the [black cat](<42, 349>) sharp?"


def test_vlmevalkits_table_holds_each_image_once(exported):
    csv.field_size_limit(sys.maxsize)
    with (exported / "vlmevalkit" / "giqa_train.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]
    images = [rows[int(row["image"])]["image"] if len(row["image"]) <= 64 else row["image"] for row in rows]
    assert [Image.open(io.BytesIO(base64.b64decode(image))).height for image in images] == [40, 40, 60, 60]
    assert (rows[3]["answer"], rows[3]["question_type"]) == ("Yes.", "yes_no")


def test_label_studio_shows_the_boxes_and_leads_back_to_the_set(exported, tmp_path):
    out = exported / "label-studio"
    config = ET.parse(out / "config.xml").getroot()
    assert [label.get("value") for label in config.iter("Label")] == ["black cat", "dogs"]
    back = source.entries(out, pytest.fail, boxes=str(out / "tasks.json"))
    assert sorted(entry.id for entry in back) == ["0-des", "1-des", "2-des"]
    for entry in back:
        (sample,) = entry.samples
        cat, dogs = sample.answer_regions
        assert (cat.phrase, dogs.phrase, sample.answer) == ("black cat", "dogs", TEXT)
        assert np.allclose(np.vstack([cat.boxes, dogs.boxes]), [*CAT, *DOGS], atol=2e-4)


def test_label_studios_own_checks_accept_every_task(exported):
    studio = pytest.importorskip("label_studio_sdk.label_interface")
    interface = studio.LabelInterface((exported / "label-studio" / "config.xml").read_text("utf-8"))
    for task in json.loads((exported / "label-studio" / "tasks.json").read_text("utf-8")):
        assert interface.validate_task({"data": task["data"]})
        assert all(map(interface.validate_annotation, task["annotations"]))


def test_what_others_may_not_have_is_written_for_own_use_alone(folder, tmp_path):
    done = giqa("export", folder, "--to", "llava", "--out", tmp_path / "out")
    assert (done.code, done.stdout.splitlines()) == (
        0,
        [
            f"{tmp_path}/out test: 2 rows of 1 photographs",
            f"{tmp_path}/out train: 4 rows of 2 photographs",
            "left out: 2 rows of theirs (research only), not marked redistributable",
            "--own-use writes photographs that are not redistributable too, for you alone",
        ],
    )
    done = giqa("export", folder, "--to", "llava", "--out", tmp_path / "own", "--own-use")
    assert done.stdout.splitlines()[1:] == [f"{tmp_path}/own train: 6 rows of 3 photographs"]


def test_a_refused_export_leaves_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_folder(tmp_path / "theirs", "folder", {"train": [record(3, may=False)]})
    marked = record(1)
    marked = replace(marked, samples=(replace(marked.samples[0], question="Where is <bbox>?"),))
    build_folder(tmp_path / "marked", "folder", {"train": [record(0), marked]})
    (tmp_path / "there").mkdir()
    for arguments, says in (
        ((tmp_path / "theirs", "--to", "coco"), "got none: 2 rows of theirs (research only), not marked"),
        ((tmp_path / "marked", "--to", "ms-swift"), "1-des: expected a text without ms-swift's own <bbox>"),
        ((folder, "--to", "yolo"), "expected --to one of coco, hf-objects, label-studio, llava"),
        ((folder, "--to", "coco", "--out", tmp_path / "there"), "there exists"),
        ((tmp_path / "there", "--to", "coco"), "expected shards of a data set, got none"),
    ):
        assert says in refusal(giqa("export", *arguments))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marked", "theirs", "there"]
