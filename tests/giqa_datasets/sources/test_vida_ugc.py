"""ViDA-UGC as its users have it: texts and metadata, held against each other."""

import json
import logging
import os
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.join import join_copies
from giqa_datasets.builders.sets import SetRequest, entries_of
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.dataset_folder.provenance import read_drops
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.entries import Refused, load
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.sources import vida_ugc, vida_ugc_2k
from giqa_datasets.sources.vida_metadata import VidaMetadata, in_pixels
from giqa_datasets.sources.vida_texts import grounded
from tests.region_sets import (
    DARK,
    NOISE,
    SIZE,
    TEXTS,
    A,
    B,
    distortion,
    picture,
    ref,
    row,
    told,
    write_json,
    write_vida,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("vida")
    write_vida(root / "vida")
    build_set(SetRequest("vida-ugc", root / "vida"), root / "vida-ugc", root / "annotations")
    return root / "vida-ugc"


@pytest.fixture(scope="module")
def rows(built, tmp_path_factory):
    """The rows of both splits by the middle of their ids."""
    splits = load_dataset(str(built), cache_dir=str(tmp_path_factory.mktemp("cache")))
    return [each | {"split": split} for split, of_split in splits.items() for each in of_split]


def of_kind(rows, kind):
    return [each for each in rows if f"-{kind}-" in each["id"]]


def test_every_row_becomes_a_row_and_the_folder_holds(built, rows):
    counts = Counter(each["split"] for each in rows)
    assert counts == {"train": sum(map(len, TEXTS.values())), "test": 3}
    assert examine_dataset(built).findings == []
    reasons = [(drop.id, drop.reason) for drop in read_drops(built / "provenance" / "drops.jsonl")]
    assert reasons == [("reg-p_ques.json row 2", "no_truth"), ("mcq.json row 2", "no_truth")]
    card = (built / "README.md").read_text()
    assert "| test images | 476 | 1 |" in card
    assert "| noise | 1 | 1 |" in card


def test_boxes_of_texts_become_regions(rows):
    (assess,) = of_kind(rows, "assess")
    assert assess["answer"] == "There is [Severe noise](<100, 219>) above."
    assert (assess["task"], assess["question"]) == ("des", "Describe it.")
    (grain,) = of_kind(rows, "ref_grounding")
    assert grain["answer"] == "[region](<100, 219>)"
    of_region = next(each for each in of_kind(rows, "reg_perception") if each["source"] == "koniq-10k")
    assert of_region["question"].startswith("What distortion affects this [region](<0, 1")
    (detected,) = [each for each in of_kind(rows, "dist_detect") if each["split"] == "train"]
    assert [region["phrase"] for region in detected["regions"]] == ["Severe noise", "Slight Excessive darkness"]
    assert {each["question_type"] for each in of_kind(rows, "mcq")} == {"mcq"}


def test_the_metadata_becomes_objects_tied_to_the_regions(rows):
    (detected,) = [each for each in of_kind(rows, "dist_detect") if each["split"] == "train"]
    said = detected["objects"]
    assert said["category"] == ["noise", "underexposure"]
    assert said["category_raw"] == ["Noise", "Excessive darkness"]
    assert (said["severity"], said["severity_level"]) == (["severe", "minor"], [3, 1])
    assert (said["id"], said["quality"], said["significance"]) == (["1", "bbox 2"], ["poor"] * 2, [5] * 2)
    assert (said["position"], said["description"]) == (["in the sky"] * 2, ["grain rough"] * 2)
    assert said["region"] == [0, 1]
    back = np.array(said["bbox"]) / [*SIZE, *SIZE] * 1000
    corners = np.hstack([back[:, :2], back[:, :2] + back[:, 2:]]).round()
    assert corners.tolist() == [list(NOISE), list(DARK)]
    assert (detected["mos"], detected["level"]) == (pytest.approx(1.6), "bad")
    assert of_kind(rows, "ref_grounding")[0]["objects"]["region"] == [0, -1]
    assert all(each["objects"]["id"] == [] for each in rows if each["source"] == "spaq")


def test_the_benchmark_is_the_test_split_as_far_as_its_truth_goes(rows):
    rows = [each for each in rows if each["split"] == "test"]
    detected, asked, choice = (of_kind(rows, kind) for kind in ("dist_detect", "reg_perception", "mcq"))
    assert "\n".join(line.split("](")[0] for line in detected[0]["answer"].splitlines()) == (
        "Low clarity:\n[Moderate low clarity\nNoise:\n[Severe noise"
    )
    assert detected[0]["objects"]["scope"] == ["global", "local"]
    assert [region["phrase"] for region in asked[0]["regions"]] == ["region", "Severe noise"]
    assert choice[0]["id"] == "vida-ugc/v1.png-mcq-significance-9"
    assert (choice[0]["question"], choice[0]["answer"]) == (
        "How important is it?\nA. minor\nB. essential",
        "B. essential",
    )


def taken(root, **files):
    drops = []
    return vida_ugc.entries(write_vida(root, **files), drops.append), drops


ASKED = "What distortions are there?"


@pytest.mark.parametrize(
    ("file", "bad", "reason"),
    [
        ("assess", row(A, ASKED, f"A {ref('severe motion blur', NOISE)}."), "other_class"),
        ("assess", row(A, ASKED, f"A {ref('severe noise', DARK)}."), "other_box"),
        ("assess", row(A, ASKED, f"A {ref('minor noise', NOISE)}."), "other_severity"),
        ("dist_detect", row(A, ASKED, f"Noise: {ref('severe noise', NOISE)}"), "missing_box"),
        ("reg-perception", row(A, ASKED, f"Overexposure: {ref('overexposure', NOISE)}"), "other_class"),
        ("qa", row(A, ASKED, f"A {ref('cat', (0, 0, 1920, 1080))}."), "malformed_boxes"),
        ("qa", row(A, ASKED, f"A {ref('cat', (5, 5, 5, 9))}."), "malformed_boxes"),
        ("qa", row(A, ASKED, "A [cat](<1, 44>)."), "markup_in_text"),
        ("qa", row(A, ASKED, f"A {ref('c[at', (5, 5, 6, 9))}."), "markup_in_text"),
        ("qa", row(A, ASKED, " "), "empty_text"),
        ("qa", row(A, ASKED, "Yes.", conversations=[]), "other_conversation"),
        ("qa", row([A, B], ASKED, "Yes."), "other_image"),
        ("qa", row(None, ASKED, "Yes."), "other_image"),
        ("qa", row("v1.png", ASKED, "Yes."), "in_test"),
        ("qa", {"image": A}, "malformed_row"),
    ],
)
def test_a_row_that_contradicts_or_is_none_costs_itself_alone(tmp_path, file, bad, reason):
    name = next(name for name in TEXTS if name.endswith(f"/{file}"))
    splits, drops = taken(tmp_path, texts=TEXTS | {name: [*TEXTS[name], bad]})
    assert [(drop.id, drop.reason) for drop in drops][-1] == (f"{file}.jsonl row {len(TEXTS[name]) + 1}", reason)
    assert sum(len(entry.samples) for entry in splits["train"]) == sum(map(len, TEXTS.values()))


def test_values_that_nobody_knows_stay_as_words_and_are_counted(tmp_path, caplog):
    strange = distortion("Lens flare", "extreme", NOISE, region_quality_scores="from fair to good")
    outside = [distortion("Noise", "Severe", box) for box in ((0, 0, 1001, 5), (9, 9, 9, 12))]
    with caplog.at_level(logging.WARNING):
        _, drops = taken(tmp_path, metadata=[told(A, strange, *outside), told("gone.png"), told("gone.png"), 7])
    reasons = [drop.reason for drop in drops if drop.id.startswith("train_metadata")]
    assert reasons == ["malformed_object", "malformed_object", "duplicate", "malformed_row"]
    drops.clear()
    metadata = VidaMetadata(tmp_path / "train" / "train_metadata.json", drops.append)
    (known,) = metadata.objects[A]
    assert (known.category, known.severity, known.severity_level, known.quality) == ("lens flare", "extreme", -1, "")
    assert metadata.stray == {
        "class 'Lens flare'": 1,
        "severity 'extreme'": 1,
        "quality 'from fair to good'": 1,
    }
    said = caplog.text
    assert "train_metadata.json: 3 values are none of the known ones: 1 class 'Lens flare', 1 severity" in said
    assert f"1 photographs have rows and no metadata, so their boxes were held against nothing: {B}" in said
    assert "photographs have rows and no file" not in said


def test_what_is_missing_is_said(tmp_path, caplog):
    root = write_vida(tmp_path, texts={name: TEXTS[name] for name in TEXTS if "/qa" in name})
    (root / "train" / "images" / B).unlink()
    (root / "train" / "ViDA-qwen2" / "ViDA-P" / "extra.jsonl").write_text("{}\n")
    with caplog.at_level(logging.WARNING):
        vida_ugc.entries(root, lambda drop: None)
    assert "8 files of texts are missing: assess" in caplog.text
    assert f"1 photographs have rows and no file in train/images: {B}" in caplog.text
    assert "extra.jsonl is none of the known files" in caplog.text
    with pytest.raises(FileNotFoundError, match="expected the folders train and val"):
        vida_ugc.entries(root / "val", lambda drop: None)
    write_json(root / "train" / "ViDA-qwen2" / "combined.json", [])
    for path in root.glob("train/ViDA-qwen2/*/*.jsonl"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"expected texts .*combined\.json is not read"):
        vida_ugc.entries(root, lambda drop: None)


def test_a_truth_that_is_hostile_costs_itself_alone(tmp_path):
    silent = distortion("Noise", None, NOISE, position=None)
    nulls = told("v1.png", silent, level=None, mos=None)
    marked = told("v2.png", distortion("No[i](<1, 2>)se", "Severe", NOISE))
    root = write_vida(tmp_path, truth=[nulls, marked], **{"val/images/v2.png": picture(9)})
    bench = root / "val" / "ViDA-Bench"
    (bench / "release" / "benchmark.json").unlink()
    asked = {"id": 4, "image": "v1.png", "question": "What affects it?"}
    write_json(bench / "release" / "reg-p_ques.json", [asked, asked | {"question": "And?"}, asked | {"id": "\x1b[2J"}])
    choice = {"id": 1, "image": "v1.png", "question": "?", "candidates": ["a"], "correct_ans": "a", "concern": "\x1b"}
    write_json(bench / "ground_truth" / "mcq.json", [choice])
    drops = []
    (record,) = load(vida_ugc.entries(root, drops.append)["test"], drops.append)
    kinds = [sample.id.removeprefix("vida-ugc/v1.png-") for sample in record.samples]
    assert kinds == ["reg_perception-4", "dist_detect-0"]
    assert record.photograph.objects[0].severity == ""
    assert sorted(drop.reason for drop in drops) == ["duplicate", "malformed_row", "malformed_row", "markup_in_text"]


def test_another_file_ends_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"expected conversations in .*qa\.jsonl, got none: row 1"):
        taken(tmp_path, texts=TEXTS | {"ViDA-P/qa": [{"text": "?"}]})


def test_a_photograph_of_both_folders_is_one_of_the_test_split(tmp_path):
    twice = TEXTS | {"ViDA-P/qa": [*TEXTS["ViDA-P/qa"], row("v1.png", "Is it?", "Yes.")]}
    splits, drops = taken(tmp_path, texts=twice, **{"train/images/v1.png": picture(3)})
    assert [drop.reason for drop in drops if drop.what == "v1.png"] == ["in_test"]
    assert [entry.file for entry in splits["test"]] == ["val/images/v1.png"]


def test_the_public_copy_of_the_truth_is_taken(tmp_path):
    root = write_vida(tmp_path)
    truth = root / "val" / "ViDA-Bench" / "ground_truth"
    (truth / "bench_metadata.json").rename(truth / "test_dist_info_v2.json")
    (entry,) = vida_ugc.entries(root, lambda drop: None)["test"]
    assert len(entry.load().samples) == 3
    (truth / "test_dist_info_v2.json").unlink()
    for name in ("reg-p_bench.json", "mcq.json"):
        (truth / name).unlink()
    drops = []
    assert "test" not in vida_ugc.entries(root, drops.append)
    assert Counter(drop.reason for drop in drops) == {"no_truth": 5}


def test_a_photograph_of_another_set_is_kept_out_by_its_name_there_and_by_its_look(tmp_path):
    """Both took it from one set: the sizes, and so the bytes, may differ."""

    def taken_from(source, file, raw):
        photograph = Photograph(raw, *SIZE, sha256(raw).hexdigest(), source, "unknown", file=file)
        return Record(file, photograph, "", "x", samples=(Sample(file, "des", "des", "?", "It is dark."),))

    others = [
        taken_from("spaq", "spaq_koniq/00002.png", picture(70)),
        taken_from("folder", "KONIQ10k_1.png", picture(71)),  # of someone's own
    ]
    build_folder(tmp_path / "named", "folder", {"train": others})
    build_folder(tmp_path / "seen", "folder", {"train": [taken_from("koniq-10k", "other.png", picture(1))]})
    write_vida(tmp_path / "vida")
    for folder, name in (("named", B), ("seen", A)):
        entries = entries_of(SetRequest("vida-ugc", tmp_path / "vida", exclude=[tmp_path / folder])).splits["train"]
        drops = []
        kept = [record.photograph.file for record in load(entries, drops.append)]
        assert kept == [f"train/images/{each}" for each in (A, B) if each != name]
        assert [drop.reason for drop in drops] == ["excluded_image"]
    assert drops[0].what.startswith(f"train/images/{A}: the same bytes as")


def test_own_copies_make_the_same_folder_again(built, tmp_path):
    bare = shutil.copytree(built, tmp_path / "bare")
    (tmp_path / "shards").mkdir()
    for name, path in without_pixels(built, tmp_path / "shards").shards.items():
        shutil.copy(path, bare / "data" / name)
    join_copies(bare, [built.parent / "vida"], tmp_path / "joined")
    trees = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (built, tmp_path / "joined")
    ]
    assert trees[0] == trees[1]


# What its authors published

FOLDERS = os.environ.get("GIQA_VIDA", "")
published = pytest.mark.skipif(
    not FOLDERS,
    reason="GIQA_VIDA is not set: CODE:TRUTH, clones of DYEvaLab/ViDA-MIPI-code and whycantfindaname/doi-vllms",
)


@published
def test_the_public_truth_is_read_whole_and_its_integers_come_back():
    path = Path(FOLDERS.split(":")[1]) / "data/meta_json/benchmark-v1/test/test_dist_info_v2.json"
    drops = []
    metadata = VidaMetadata(path, drops.append)
    assert drops == []
    told_of = {each["image"]: each["distortions"] for each in json.loads(path.read_text())}
    boxes = {name: [found["coordinates"] for found in distortions] for name, distortions in told_of.items()}
    assert (len(boxes), sum(map(len, boxes.values()))) == (476, 1704)
    for name, expected in boxes.items():
        sides = np.array([*(size := (1 + len(name) * 97, 1280)), *size])
        xywh = np.array([each.bbox for each in in_pixels(metadata.objects[name], size)], np.float32)
        back = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]) / sides * 1000
        assert back.round().tolist() == expected


@published
def test_the_published_answers_are_read_but_for_four_boxes_that_are_none():
    folder = Path(FOLDERS.split(":")[0]) / "eval" / "example_result"
    answers = [
        row["pred_ans"]
        for name in ("grounding/qwen2vl_vida-mipi.json", "description/qwen2vl_vida-mipi.json")
        for row in json.loads((folder / name).read_text())
    ]
    refused = []
    for answer in answers:
        try:
            grounded(answer, "")
        except Refused as error:
            refused.append(error.reason)
    assert (len(answers), refused) == (1878, ["malformed_boxes"] * 4)


@published
def test_the_predecessor_is_read_whole(tmp_path):
    shutil.copy(Path(FOLDERS.split(":")[1]) / "eval" / "benchmark_2k.json", tmp_path)
    drops = []
    entries = vida_ugc_2k.entries(tmp_path, drops.append)
    assert (len(entries), drops) == (2000, [])
