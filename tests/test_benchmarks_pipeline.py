"""The pipeline's benchmark: known answers, a folder in COCO's format out of the mini set, and broken ones."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from giqa_datasets.boxes import to_boxes
from giqa_datasets.pipeline.backends.classic_verifier import ClassicVerifier
from giqa_datasets.pipeline.backends.coco_detector import coco_class
from giqa_datasets.records import Record, Sample, Tag
from giqa_datasets.regions import locate
from giqa_datasets.sources import mini
from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


sys.path.insert(0, str(BENCHMARKS))
coco_folder, pipeline, quality = map(importlib.import_module, ("coco_folder", "pipeline", "pipeline_quality"))

PHOTOGRAPHS = ("campus_brick", "cafe_umbrella", "tulip_bed")
LEFT, RIGHT, LEFT_HALF = [0.0, 0.0, 0.5, 1.0], [0.75, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]


def coco_of(records: list[Record]) -> dict:
    """Their hand-made boxes as COCO writes boxes; the first photograph has a crowd and a caption as well."""
    names: dict[str, int] = {}
    annotations = [{"image_id": 0, "caption": "Some people on a path."}]
    for number, record in enumerate(records):
        width, height = record.photograph.width, record.photograph.height
        for region in record.samples[0].answer_regions:
            name = coco_class(region.phrase) or region.phrase
            for x1, y1, x2, y2 in region.boxes * [width, height, width, height]:
                category = names.setdefault(name, len(names))
                box = {"image_id": number, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                annotations.append({**box, "iscrowd": 0})
    annotations.append({"image_id": 0, "category_id": names["person"], "bbox": [0, 0, 30, 30], "iscrowd": 1})
    images = [
        {
            "id": n,
            "file_name": f"{record.id}.jpg",
            "width": record.photograph.width,
            "height": record.photograph.height,
        }
        for n, record in enumerate(records)
    ]
    categories = [{"id": number, "name": name} for name, number in names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    entries = {entry.id: entry for split in ("train", "test") for entry in mini.hand_made(split)}
    records = [entries[name].load() for name in PHOTOGRAPHS]
    for record in records:
        (root / f"{record.id}.jpg").write_bytes(record.photograph.image)
    (root / "instances.json").write_text(json.dumps(coco_of(records)))
    return root


@pytest.fixture(scope="module")
def scenes(folder):
    return coco_folder.read(folder / "instances.json", folder)


@pytest.fixture
def scene(photograph):
    boxes = {"cat": to_boxes([LEFT, RIGHT])}
    return coco_folder.Scene("x", photograph, boxes, {"cat": to_boxes([[0.5, 0, 0.75, 0.5]])}, [])


def record_of(scene, tags: dict[str, list[list[float]]], description: str = "The cat is sharp.") -> Record:
    found = tuple(Tag(phrase, (0, 1), "sharp", "none", to_boxes(boxes)) for phrase, boxes in tags.items())
    return Record(scene.id, scene.photograph, description, "unknown", tags=found)


@pytest.mark.parametrize(
    ("tags", "right", "boxes"),
    [
        pytest.param({"cat": [LEFT, RIGHT]}, 2, 2, id="both"),
        pytest.param({"cat": [LEFT]}, 1, 1, id="one"),
        pytest.param({"cat": [LEFT, LEFT_HALF]}, 1, 2, id="a reference is matched once, with the better box"),
        pytest.param({"cat": [LEFT_HALF]}, 1, 1, id="IoU 0.5 is enough"),
        pytest.param({"cat": [[0, 0, 0.5, 0.49]]}, 0, 1, id="IoU 0.49 is not"),
        pytest.param({"cat": [[0, 0, 1, 1]]}, 1, 1, id="a hull of two is one box at most"),
        pytest.param({"cat": [LEFT], "kitten": [LEFT]}, 1, 1, id="a box that two phrases share counts once"),
        pytest.param({"dog": [LEFT]}, 0, 1, id="of another category"),
        pytest.param({"cat": [[0.55, 0.1, 0.7, 0.3]]}, 0, 0, id="inside a crowd: neither right nor wrong"),
        pytest.param({}, 0, 0, id="nothing grounded"),
    ],
)
def test_boxes_are_counted_by_hand(scene, tags, right, boxes):
    sums = quality.score(record_of(scene, tags), scene)
    assert sums[:3] == (right, boxes, 2)
    scores = quality.scores(sums)
    assert scores["recall"] == right / 2
    assert scores["precision"] == (right / boxes if boxes else None)
    assert scores["f1"] == 2 * right / (boxes + 2)


def test_references_are_those_that_the_description_names(scene):
    assert quality.score(record_of(scene, {}, "The dog is sharp."), scene) == (0, 0, 0, 0, 0)
    assert quality.score(record_of(scene, {"cat": [LEFT]}, "It is sharp."), scene)[:3] == (1, 1, 2)
    assert quality.scores([0] * 5) == dict.fromkeys(("precision", "recall", "f1", "area_iou"))


def test_names_are_read_as_the_detector_reads_them():
    assert quality.named("Two men, buses. The wine glass is sharp.") == {"person", "bus", "wine glass"}


def test_the_area_does_not_ask_whose_box_is_whose():
    pieces = to_boxes([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5]])
    assert quality.area_iou(pieces, to_boxes([[0, 0, 1, 0.5]])) == 1
    assert quality.area_iou(pieces, to_boxes([[0, 0, 1, 1]])) == 0.5
    assert quality.area_iou(pieces, quality.NO_BOXES) == quality.area_iou(quality.NO_BOXES, quality.NO_BOXES) == 0


def test_a_folder_is_read_as_it_was_written(folder, scenes):
    assert [scene.id for scene in scenes] == [f"{name}.jpg" for name in PHOTOGRAPHS]
    assert len(scenes[0].boxes["person"]) == 3
    assert [len(scene.crowds) for scene in scenes] == [1, 0, 0]
    assert scenes[0].captions == ["Some people on a path."]
    assert "castle" not in scenes[0].boxes
    assert len(coco_folder.read(folder / "instances.json", folder, size=2)) == 2


def test_descriptions_come_from_the_seed(scenes):
    one, same, other = (quality.describe(scenes[0], seed=seed).description for seed in (0, 0, 3))
    assert one == same != other
    assert one.startswith("Some people on a path. The brick building is ")
    assert quality.named(one) == {"person"}


def test_the_stages_run_and_their_numbers_add_up(scenes):
    records = [quality.describe(scene) for scene in scenes]
    run = pipeline.ground(records)
    assert {len(records) for records in run.by_variant.values()} == {len(scenes)}
    counts = {(row["stage"], row["outcome"]): row["count"] for row in pipeline.stage_rows(run)}
    handed_on = [counts[stage, "phrases handed on"] for stage in ("tags", "detect", "refine")]
    assert handed_on == sorted(handed_on, reverse=True)
    assert handed_on[2] > 0
    lost = Counter(drop.stage for drop in run.drops if drop.reason not in ("box_refused", "box_merged"))
    assert handed_on[0] - handed_on[1] == lost["detect"]
    assert handed_on[1] - handed_on[2] == lost["refine"]
    assert counts["detect", "unknown_word"] > 0  # "brick building" for one

    rows = {row["variant"]: row for row in pipeline.variant_rows(run.by_variant, scenes)}
    assert list(rows) == ["raw", "filter", "merge", "filter and merge"]
    for row in rows.values():
        assert row["right"] <= min(row["boxes"], row["references"])
        assert row["boxes"] <= rows["raw"]["boxes"]
        assert all(0 <= row[name] <= 1 for name in ("precision", "recall", "f1", "area_iou"))
        assert row["precision"] * row["boxes"] == pytest.approx(row["recall"] * row["references"])
    assert len({row["references"] for row in rows.values()}) == 1
    assert rows["raw"]["right"] > 0


def test_a_record_that_a_stage_drops_whole_has_no_boxes(scenes):
    by_variant = {"raw": [quality.describe(scenes[0])]}
    (row,) = pipeline.variant_rows(by_variant, scenes[:1])
    assert (row["phrases"], row["boxes"], row["precision"], row["recall"]) == (0, 0, None, 0)
    assert row["references"] == 3


@pytest.mark.parametrize("trials_of", [quality.trials_of_one_kind, quality.trials_elsewhere])
def test_the_distorted_box_meets_no_other(scenes, trials_of):
    trials = list(trials_of(scenes))
    assert trials
    for scene, _, boxes in trials:
        size = [scene.photograph.width, scene.photograph.height]
        assert len(boxes) >= 2
        assert (quality.intersection(boxes[:1], boxes[1:]) == 0).all()
        assert ((boxes[:, 2:] - boxes[:, :2]) * size > quality.MIN_SIDE_PX - 1).all()


def test_the_filter_is_counted_and_only_the_distorted_box_changes(scenes):
    trials = list(quality.trials_of_one_kind(scenes))
    verdicts = quality.filter_verdicts(trials, ClassicVerifier())
    n_boxes = sum(len(trial.boxes) for trial in trials)
    for (distortion, severity, word), each in verdicts.items():
        names_damage = quality.DAMAGE[distortion] == word
        n_true = len(trials) if names_damage else n_boxes - len(trials)
        assert (each.to_keep, each.to_refuse) == (n_true, n_boxes - n_true)
        assert each.kept <= each.to_keep
        assert each.refused <= each.to_refuse
        untouched = "refused" if names_damage else "kept"
        assert getattr(each, untouched) == getattr(verdicts[distortion, 0, word], untouched), (distortion, severity)
    assert verdicts["gaussian_blur", 4, "blurred"].kept == len(trials)
    assert verdicts["gaussian_blur", 4, "sharp"].refused == len(trials)


def test_a_filter_that_says_yes_keeps_all_and_refuses_none(scenes):
    verdicts = quality.filter_verdicts(list(quality.trials_elsewhere(scenes[:1])), quality.Agreeable())
    assert all(each.kept == each.to_keep and each.refused == 0 for each in verdicts.values())


BROKEN = {
    "no images": ({"images": []}, "expected images with an id and a file each"),
    "twice the same image": ({"images.1.id": 0}, "expected images with an id and a file each"),
    "no width": ({"images.0.width": None}, r"images\.0\.width: input should be a valid integer"),
    "another width": ({"images.1.width": 1000}, "expected 1000x426, got 640x426"),
    "no such file": ({"images.0.file_name": "none.jpg"}, "none.jpg is missing"),
    "outside": ({"images.0.file_name": "../x.jpg"}, "lies outside the folder"),
    "no such image": ({"annotations.1.image_id": 7}, "annotation 1 is on image 7, which is not listed"),
    "no such category": ({"annotations.1.category_id": 77}, "annotation 1: expected a caption, or a bbox"),
    "neither": ({"annotations.1.bbox": None}, "annotation 1: expected a caption, or a bbox"),
    "three numbers": ({"annotations.1.bbox": [1, 2, 3]}, r"annotations\.1\.bbox\.3: field required"),
    "corners": ({"annotations.1.bbox": [600, 400, 630, 420]}, r"annotation 1: expected a bbox \[left, top"),
    "negative": ({"annotations.1.bbox": [9, 9, -5, 5]}, r"inside 640x426, got \[9.0, 9.0, -5.0, 5.0\]"),
    "no list": ({"annotations": 3}, "annotations: input should be a valid array"),
}


@pytest.mark.parametrize(("changes", "says"), BROKEN.values(), ids=BROKEN)
def test_a_malformed_folder_is_named_in_one_sentence(folder, tmp_path, changes, says):
    coco = json.loads((folder / "instances.json").read_text())
    for path, value in changes.items():
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place = coco
        for step in way:
            place = place[step]
        place[last] = value
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(coco))
    with pytest.raises((OSError, ValueError), match=says) as caught:
        coco_folder.read(broken, folder)
    assert str(caught.value).startswith(str(broken))
    assert "\n" not in str(caught.value)


def test_a_box_without_area_is_left_out(folder, tmp_path):
    coco = json.loads((folder / "instances.json").read_text())
    (person,) = (category["id"] for category in coco["categories"] if category["name"] == "person")
    coco["annotations"].append({"image_id": 0, "category_id": person, "bbox": [5, 5, 0, 9], "iscrowd": 0})
    (tmp_path / "thin.json").write_text(json.dumps(coco))
    assert len(coco_folder.read(tmp_path / "thin.json", folder)[0].boxes["person"]) == 3


def command(*arguments: object) -> subprocess.CompletedProcess:
    child = [sys.executable, BENCHMARKS / "pipeline.py", *map(str, arguments)]
    return subprocess.run(child, capture_output=True, text=True, check=False)


def test_the_command_prints_tables(folder):
    done = command("--coco", folder / "instances.json", folder, "--size", 3, "--only", "grounding", "filter")
    assert done.returncode == 0, done.stderr
    for piece in ("stages: 3 descriptions of 1 captions", "\nfilter and merge ", "1 crowd boxes", "\ngaussian_blur "):
        assert piece in done.stdout


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path):
    (tmp_path / "instances.json").write_text("{")
    for name, says in (("instances.json", "invalid json"), ("none.json", "found none")):
        done = command("--coco", tmp_path / name, tmp_path)
        assert done.returncode == 1
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    done = command("--photographs", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"photograph '000000000626.jpg' is not in {tmp_path}\n")


def test_the_mini_set_needs_no_folder():
    scenes = quality.mini_scenes()
    assert scenes
    assert not any(scene.photograph.distortions for scene in scenes)
    assert np.mean([len(trial.boxes) for trial in quality.trials_elsewhere(scenes)]) == 2


def test_the_cost_is_that_of_rows_that_were_written():
    overhead, parquet = pipeline.cost(pipeline.Options([], 0, 130, {}))
    (row,) = overhead.rows
    assert row["records"] == 130
    assert 130 < row["rows"] <= 3 * 130  # a description each, and one question or two
    giqa, plain = parquet.rows
    assert giqa["rows"] == plain["rows"] == row["rows"]
    assert plain["beside pyarrow"] == 1
    assert 1 <= giqa["stored / unique image bytes"] < 1.05


def test_the_sixty_descriptions_are_halves_of_different_photographs():
    rows = [json.loads(line) for line in quality.DESCRIPTIONS.read_text(encoding="utf-8").splitlines()]
    assert Counter(row["half"] for row in rows) == {"build": 30, "measure": 30}
    assert len({row["file"] for row in rows}) == 60
    for row in rows:
        located = locate(
            row["description"], [(region["phrase"], to_boxes(region["boxes"])) for region in row["regions"]]
        )
        assert all(len(region.boxes) for region in located)
        assert {region["boxes_by"] for region in row["regions"]} <= {"coco", "ours"}


def test_described_photographs_are_read_from_any_folder_that_has_them_all(tmp_path, monkeypatch):
    entry = mini.hand_made("train")[0]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.jpg").write_bytes(entry.load().photograph.image)
    regions = [{"phrase": "cup", "boxes": [LEFT], "boxes_by": "ours"}]
    row = {"half": "build", "file": "one.jpg", "description": "The cup is sharp.", "regions": regions}
    monkeypatch.setattr(quality, "DESCRIPTIONS", tmp_path / "descriptions.jsonl")
    quality.DESCRIPTIONS.write_text(json.dumps(row) + "\n")
    ((half, (record,)),) = quality.described(tmp_path).items()
    assert (half, record.description) == ("build", "The cup is sharp.")
    assert record.samples[0].answer_regions[0].span == (4, 7)
    with pytest.raises(FileNotFoundError, match=r"photograph 'one\.jpg' is not in"):
        quality.described(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("tags", "counts"),
    [
        ([("cup", (8, 11), [LEFT])], (1, 1, 1)),
        ([("red cup", (4, 11), [LEFT_HALF, RIGHT])], (1, 2, 2)),
        ([("spoon", (25, 30), [LEFT])], (0, 0, 1)),
        ([], (0, 0, 0)),
    ],
)
def test_a_box_is_judged_where_a_person_boxed_its_words(photograph, tags, counts):
    text = "The red cup is sharp. The spoon is soft."
    boxed = locate(text, [("cup", to_boxes([LEFT]))])
    sample = Sample("x", "des", "des", "?", text, answer_regions=boxed)
    reference = Record("x", photograph, text, "unknown", samples=(sample,))
    found = tuple(Tag(phrase, span, "sharp", "none", to_boxes(boxes)) for phrase, span, boxes in tags)
    assert quality.judged(Record("x", photograph, text, "unknown", tags=found), reference) == counts


def test_the_rules_ground_more_of_the_mini_set_and_no_less_often_right():
    (table,) = pipeline.descriptions(pipeline.Options([], 0, 1, {}))
    rows = {(row["set"], row["detector"]): row for row in table.rows}
    coco, both = rows["mini test", "coco"], rows["mini test", "coco+regions"]
    assert coco["grounded"] < 12 <= both["grounded"]
    assert both["precision"] >= 0.65
    for row in rows.values():
        assert row["right"] <= row["judged"] <= row["boxes"]
