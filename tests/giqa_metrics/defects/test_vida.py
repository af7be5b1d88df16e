"""The preset `vida`: worked examples of the challenge's scorer, and the published numbers for who has the files."""

import json
import os
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from giqa_datasets.boxes import paired_iou
from giqa_datasets.text_scan import scan_replies
from giqa_metrics import giqa_defects
from giqa_metrics.defects.vida import read_blocks, read_description, read_keys
from tests.giqa_metrics.defects.texts import SIDE, blocks, description, marked, row
from tests.paths import DATA


EXAMPLES = json.loads((DATA / "examples_vida.json").read_text(encoding="utf-8"))
OURS = json.loads((DATA / "examples_defects.json").read_text(encoding="utf-8"))["examples"]


def vida(predictions, references=None, *, objects, **options):
    """Score on images of 1000 x 1000 pixels."""
    count = len(predictions)
    options = {"preset": "vida", "box_format": "qwen2_vl", "image_sizes": [(SIDE, SIDE)] * count} | options
    return giqa_defects(predictions, references or [None] * count, objects=objects, **options)


def boxes_of(example) -> float:
    """A line of the file for each run of boxes in one image; an image's reference stands with its last line."""
    said = [
        (image, [(name, box) for _, name, box in its])
        for image, its in groupby(example["predicted"], lambda it: it[0])
    ]
    said += [(image, []) for image in dict.fromkeys(it[0] for it in example["reference"])]
    last = {image: at for at, (image, _) in enumerate(said)}
    true = [
        row([(name, box) for of, name, box in example["reference"] if of == image]) if last[image] == at else None
        for at, (image, _) in enumerate(said)
    ]
    images = [image for image, _ in said]
    if "description" in example:
        texts = [description([(f"severe {name}", box) for name, box in its]) for _, its in said]
        level = ["The quality of the image is fair." if its else None for its in true]
        return vida(texts, level, objects=true, images=images)["ap50"]
    return vida([blocks(its) for _, its in said], objects=true, images=images)["ap50"]


def iou_of(example) -> float:
    a, b = (np.array([box]) / SIDE for box in example["boxes"])
    return paired_iou(a, b)[0]


def keys_of(example) -> float:
    said = [(f"moderate {name}", box) for name, box in example["predicted"]]
    true = row(
        [(name, box) for name, box, _ in example["reference"]], significance=[at for *_, at in example["reference"]]
    )
    return vida([description([], said)], ["The quality of the image is fair."], objects=[true])["key_accuracy"]


def levels_of(example) -> float:
    texts = [description([], level=level) for level in example["predicted"]]
    levels = [level and f"The quality of the image is {level}." for level in example["reference"]]
    return vida(texts, levels, objects=[None] * len(texts))["level_accuracy"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["id"])
def test_worked_examples_of_the_challenges_scorer(example):
    value = {"map": boxes_of, "iou": iou_of, "key": keys_of, "level": levels_of}[example["task"]](example)
    assert value == pytest.approx(example["value"], abs=1e-4)


@pytest.mark.parametrize("example", OURS, ids=lambda example: example["why"])
def test_worked_examples_beside_ours(example):
    images = [*example["truth"]]
    said = [blocks([(name, box) for box, name in example["predicted"][image]]) for image in images]
    true = [row([(name, box) for box, name in example["truth"][image]]) for image in images]
    scores = vida(said, objects=true)
    assert scores["ap50"] == pytest.approx(example["vida"], abs=1e-6)
    assert scores["ap50_low"] - 1e-9 <= scores["ap50"] <= scores["ap50_high"] + 1e-9
    assert vida(said, objects=true, preset="giqa")["ap50"] == pytest.approx(example["ap50"], abs=1e-6)


def test_the_order_of_the_file_moves_the_number_within_its_bounds():
    rng = np.random.default_rng(0)
    reference = [("noise", (at * 100, 0, at * 100 + 90, 500)) for at in range(10)]
    said = [
        blocks([("noise", (x1, 0, x2, int(height)))])
        for (_, (x1, _, x2, _)), height in zip(reference, rng.integers(100, 500, 10), strict=True)
    ]
    true, found = [row([it]) for it in reference], set()
    for order in (range(10), range(9, -1, -1), rng.permutation(10)):
        scores = vida([said[at] for at in order], objects=[true[at] for at in order])
        found.add(scores["ap50"])
        bounds = scores["ap50_low"], scores["ap50_high"]
        assert bounds[0] < scores["ap50"] <= bounds[1]
        ours = vida([said[at] for at in order], objects=[true[at] for at in order], preset="giqa")
        assert ours["ap50"] == pytest.approx(bounds[0])
    assert len(found) > 1


def test_images_stand_in_the_order_in_which_they_first_have_a_box():
    hit, miss = blocks([("noise", (0, 0, 500, 500))]), blocks([("noise", (600, 600, 900, 900))])
    said, true = ["No distortion affects this region.", hit, miss], [None, row([("noise", (0, 0, 500, 500))]), None]
    assert vida(said, objects=true, images=["a", "b", "a"])["ap50"] == 1.0
    assert vida([miss, hit, said[0]], objects=true, images=["a", "b", "a"])["ap50"] == 0.5


def test_a_box_without_area_is_wrong_and_a_block_has_one_name():
    text = (
        f"Noise:\n{marked('Minor noise', [(5, 9, 5, 9), (0, 0, 100, 100)])}\n{marked('Severe noise', [(0, 0, 9, 9)])}"
    )
    assert [box for _, box in read_blocks(text)] == [(0.005, 0.009, 0.005, 0.009), (0.0, 0.0, 0.1, 0.1)]
    assert vida([text], objects=[row([("Noise", (0, 0, 100, 100))])])["ap50"] == 0.5


def test_references_may_be_texts():
    said = [blocks([("Low clarity", (0, 0, 500, 500))])]
    texts = ["[Severe Low clarity](<0.000, 0.000, 0.500, 0.500>)", "[Low clarity](<0.000, 0.000, 0.500, 0.500>)"]
    options = {"preset": "vida", "box_format": "qwen2_vl"}
    assert [giqa_defects(said, [text], **options)["ap50"] for text in (*texts, texts[1].lower())] == [1, 1, 0]


def test_it_reads_one_format_and_one_kind_of_answer():
    with pytest.raises(ValueError, match="preset 'vida' reads box_format 'qwen2_vl', got 'giqa'"):
        giqa_defects(["a"], ["b"], preset="vida")
    with pytest.raises(ValueError, match="descriptions alone or other answers alone, got both"):
        giqa_defects(["a", "b"], ["fair", "[noise](<0, 21>)"], preset="vida", box_format="qwen2_vl")


# What the challenge and its authors published

FOLDERS = os.environ.get("GIQA_VIDA", "")
has_published = pytest.mark.skipif(
    not FOLDERS,
    reason="GIQA_VIDA is not set: CODE:TRUTH, clones of DYEvaLab/ViDA-MIPI-code and whycantfindaname/doi-vllms",
)


@pytest.fixture(scope="module")
def published():
    """The published answers, descriptions and others, and the public truth by image."""
    code, truth = map(Path, FOLDERS.split(":"))
    folder = code / "eval" / "example_result" / "mipi_example_input"
    described, others = (json.loads((folder / f"{name}.json").read_text()) for name in ("description", "grounding"))
    rows = json.loads((truth / "data/meta_json/benchmark-v1/test/test_dist_info_v2.json").read_text())
    return described, others, {each["image"]: each for each in rows}


def truth_of(each) -> dict:
    """An image's public truth as a row of `objects`."""
    said = [(it["distortion"], it["coordinates"]) for it in each["distortions"]]
    return row(said, severity=[it["severity"] for it in each["distortions"]])


@has_published
def test_the_published_numbers_come_out_in_every_digit(published):
    described, others, truth = published
    is_whole = [each["question_type"] == "distortion-detection" for each in others]
    true = [truth_of(truth[each["image"]]) if whole else None for each, whole in zip(others, is_whole, strict=True)]
    answers, images = [each["pred_ans"] for each in others], [each["image"] for each in others]
    assert vida(answers, objects=true, images=images)["ap50"] == 0.10760357812334198

    levels = [f"The quality of the image is {truth[each['image']]['level']}." for each in described]
    true = [truth_of(truth[each["image"]]) for each in described]
    scores = vida([each["pred_ans"] for each in described], levels, objects=true)
    assert scores["ap50"] == 0.14579921152425257
    assert (scores["n_levels_right"], scores["n_levels"]) == (364, 476)
    assert scores["n_keys_predicted"] == 772

    whole = [each for each, whole in zip(others, is_whole, strict=True) if whole]
    answers, true = [each["pred_ans"] for each in whole], [truth_of(truth[each["image"]]) for each in whole]
    scores = vida(answers, objects=true)
    assert (scores["n_predicted"], scores["n_reference"], scores["n_pairs"]) == (1582, 1704, 660)
    assert round(scores["ap50"], 4) == 0.1883
    ours, turned = (vida(answers[::way], objects=true[::way], preset="giqa") for way in (1, -1))
    assert ours["n_unknown"] == 0
    assert turned.pop("box_iou") == pytest.approx(ours.pop("box_iou"))
    assert turned == ours


@has_published
def test_every_published_box_is_read_and_the_lists_are_those_that_were_handed_in(published):
    described, others, _ = published

    def listed(rows) -> list:
        return [(it["distortion"], tuple(side / SIDE for side in it["coordinates"])) for it in rows]

    def read(found) -> list:
        return [(name.partition("\0")[2], box) for name, box in found]

    for each in others:
        assert read(read_blocks(each["pred_ans"])) == listed(each["distortions"])
    for each in described:
        assert read(read_description(each["pred_ans"])) == listed(each["all_distortions"])
        assert read(read_keys(each["pred_ans"])) == listed(each["key_distortions"])
    texts = [each["pred_ans"] for each in (*others, *described)]
    found = scan_replies(texts, "qwen2_vl")
    kinds = sorted(kind for kinds in found.malformed.values() for kind in kinds)
    assert (len(found.boxes), kinds) == (5409, ["reversed"] * 3 + ["unclosed"])  # three without area, one cut off
    assert sum(text.count("<|box_start|>") for text in texts) == 5413
