"""giqa_defects: laws, its definition in plain Python, and what bad input comes to."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.boxes import iou
from giqa_datasets.text_scan import scan
from giqa_metrics import giqa_defects
from giqa_metrics.defects.answers import by_class, read_boxes, samples_from, split_name
from giqa_metrics.defects.scores import DefectStats, aggregate, aligned, joined
from giqa_metrics.defects.tally import tally
from giqa_metrics.resampling import differences, intervals
from giqa_metrics.runs.baselines import blind_defects
from tests.giqa_metrics.defects.texts import SIDE, blocks, description, giqa_text, row


NOISE, BLUR = ("severe noise", (0, 0, 500, 500)), ("minor motion blur", (200, 200, 900, 900))
STEPS = st.integers(0, 4).map(lambda step: step * 200)
BOXES = st.tuples(STEPS, STEPS, st.sampled_from([200, 400]), st.sampled_from([200, 400])).map(
    lambda it: (it[0], it[1], min(it[0] + it[2], SIDE), min(it[1] + it[3], SIDE))
)
PHRASES = st.sampled_from(["minor noise", "severe noise", "motion blur", "severe lens flare"])
DEFECTS = st.lists(st.tuples(PHRASES, BOXES), max_size=5, unique=True)
FILES = st.lists(st.tuples(DEFECTS, DEFECTS), min_size=1, max_size=4)


def score(predicted, reference, **options):
    """Of lists of defects, a list for each photograph."""
    texts = [*map(giqa_text, predicted)], [*map(giqa_text, reference)]
    return giqa_defects(*texts, box_format="giqa_decimal", **options)


def tally_of(predicted, reference):
    texts = [*map(giqa_text, predicted)], [*map(giqa_text, reference)]
    samples = samples_from(*texts, box_format="giqa_decimal")
    return tally(samples, read_boxes(samples))


def class_of(phrase: str) -> str:
    return phrase.removeprefix("minor ").removeprefix("severe ")


def plain_ap50(predicted, reference) -> float | None:
    """The definition once more: boxes of a class matched by falling IoU, precision times recall, mean over classes."""
    each = []
    for category in {class_of(phrase) for side in (predicted, reference) for its in side for phrase, _ in its}:
        counts = np.zeros(3)
        for mine, theirs in zip(predicted, reference, strict=True):
            p, r = ([box for phrase, box in its if class_of(phrase) == category] for its in (mine, theirs))
            found = [(iou(np.array([a]), np.array([b]))[0, 0], i, j) for i, a in enumerate(p) for j, b in enumerate(r)]
            taken = set()
            for overlap, i, j in sorted(found, key=lambda it: -round(it[0], 9)):
                if round(overlap, 9) >= 0.5 and not taken & {(0, i), (1, j)}:
                    taken |= {(0, i), (1, j)}
            counts += len(p), len(r), len(taken) / 2
        each.append(counts[2] ** 2 / (counts[0] * counts[1]) if counts[0] and counts[1] else 0.0)
    return float(np.mean(each)) if each else None


# Laws


@given(st.lists(DEFECTS, min_size=1, max_size=4))
def test_identity_is_one(reference):
    scores = score(reference, reference)
    has_boxes, is_rated = any(reference), any(phrase != "motion blur" for its in reference for phrase, _ in its)
    for name in ("ap50", "box_precision", "box_recall", "box_f1", "class_accuracy"):
        assert scores[name] == (pytest.approx(1) if has_boxes else None), name
    assert scores["severity_accuracy"] == (1 if is_rated else None)


@given(FILES)
def test_average_precision_is_that_of_plain_python(file):
    predicted, reference = zip(*file, strict=True)
    is_clear = all(len({box for _, box in its}) == len(its) for side in (predicted, reference) for its in side)
    if is_clear:  # between equal boxes a tie is broken otherwise
        assert score(predicted, reference)["ap50"] == (
            None if not any(map(any, file)) else pytest.approx(plain_ap50(predicted, reference))
        )


@given(FILES.flatmap(lambda file: st.tuples(st.just(file), st.permutations(file))))
def test_the_order_of_lines_and_of_phrases_changes_nothing(files):
    file, shuffled = files[0], [(mine[::-1], theirs[::-1]) for mine, theirs in files[1]]
    one, other = (score(*zip(*each, strict=True)) for each in (file, shuffled))
    assert other.pop("box_iou") == pytest.approx(one.pop("box_iou"))
    assert other == one


@given(FILES, FILES)
def test_sums_of_two_files_are_the_sums_of_both_together(one, other):
    parts = aligned([tally_of(*zip(*each, strict=True)) for each in (one, other)])
    whole = tally_of(*zip(*[*one, *other], strict=True))
    assert aggregate(parts[0], sum(part.sums() for part in parts)) == aggregate(whole, whole.sums())
    assert whole.table().sum(axis=0) == pytest.approx(whole.sums())
    assert (joined(parts).table() == whole.table()).all()


@given(DEFECTS, DEFECTS)
def test_classes_are_judged_over_the_pairs_with_the_largest_total(mine, theirs):
    box_p, box_r = ([np.array([box]) for _, box in its] for its in (mine, theirs))
    few, many = sorted((len(mine), len(theirs)))
    best = 0.0
    for chosen in permutations(range(many), few):
        pairs = [(i, j) if len(mine) <= len(theirs) else (j, i) for i, j in enumerate(chosen)]
        best = max(best, sum(iou(box_p[i], box_r[j])[0, 0] for i, j in pairs))
    found = score([mine], [theirs], iou_threshold=1e-9, per_sample=True)["per_sample"][0]
    assert sum(pair["iou"] for pair in found["pairs"]) == pytest.approx(best, abs=1e-4)


def test_between_equal_boxes_a_class_meets_its_like_and_then_a_severity():
    box = NOISE[1]
    said, true = (
        [(phrase, box) for phrase in phrases]
        for phrases in (("minor noise", "severe motion blur"), ("minor motion blur", "severe noise"))
    )
    scores = score([said], [true])
    assert (scores["class_accuracy"], scores["severity_accuracy"]) == (1, 0)
    scores = score([[("minor noise", box), ("severe noise", box)]], [[("severe noise", box)]])
    assert (scores["class_accuracy"], scores["severity_accuracy"]) == (1, 1)


def test_a_wrong_box_never_helps_and_a_malformed_one_costs_precision():
    wrong_box, no_box = ("noise", (800, 800, 900, 900)), ("noise", (9, 9, 5, 5))
    right, wrong, broken = (score([[NOISE, *more]], [[NOISE]]) for more in ([], [wrong_box], [no_box]))
    assert (right["ap50"], wrong["ap50"], broken["ap50"]) == (1.0, 0.5, 1.0)
    assert (right["box_precision"], wrong["box_precision"], broken["box_precision"]) == (1.0, 0.5, 0.5)
    assert broken["n_malformed"] == 1


# What is read


def test_forms_and_formats_give_one_answer():
    texts = [("Noise", NOISE[1]), ("Motion blur", BLUR[1])]
    reference = [giqa_text([("moderate noise", NOISE[1]), ("moderate motion blur", BLUR[1])])]
    rows = [row([("Noise", NOISE[1]), ("excessive darkness", BLUR[1])], severity=["Moderate.", "odd"])]
    said = giqa_defects([blocks(texts)], reference, box_format="qwen2_vl")
    assert (said["ap50"], said["severity_accuracy"], said["n_tokens_cut"]) == (1, 1, 1)
    of_rows = giqa_defects([blocks(texts)], [None], box_format="qwen2_vl", objects=rows, image_sizes=[(SIDE, SIDE)])
    assert (of_rows["ap50"], of_rows["class_accuracy"], of_rows["n_rated"]) == (pytest.approx(1 / 3), 0.5, 1)
    as_list = [
        [{"bbox": box, "category": name} for box, name in zip(rows[0]["bbox"], rows[0]["category"], strict=True)]
    ]
    listed = giqa_defects([blocks(texts)], [None], box_format="qwen2_vl", objects=as_list, image_sizes=[(SIDE, SIDE)])
    assert (listed["ap50"], listed["severity_accuracy"]) == (of_rows["ap50"], None)


def test_boxes_in_float32_pixels_are_those_of_their_thousandths():
    sizes, boxes = [(3840, 2161)] * 40, [(at, at, 2 * at + 40, at + 20) for at in range(40)]
    halves = [(x1, y1, x2, y1 + (y2 - y1) // 2) for x1, y1, x2, y2 in boxes]  # an IoU of exactly one half
    pixels = [np.float32([x1 * 3.84, y1 * 2.161, (x2 - x1) * 3.84, (y2 - y1) * 2.161]) for x1, y1, x2, y2 in boxes]
    rows = [{"bbox": [each.tolist()], "category": ["noise"]} for each in pixels]
    options = {"objects": rows, "image_sizes": sizes, "box_format": "giqa_decimal"}
    assert giqa_defects([giqa_text([("noise", box)]) for box in halves], [None] * 40, **options)["ap50"] == 1


def test_an_unknown_class_counts_as_it_is_and_one_without_a_class_is_wrong():
    scores = score([[("Lens Flare", NOISE[1]), ("severe", BLUR[1])]], [[("lens flare", NOISE[1]), BLUR]])
    assert {name: its["ap50"] for name, its in scores["classes"].items()} == {"": 0, "lens flare": 1, "motion blur": 0}
    assert (scores["n_unknown"], scores["class_accuracy"], scores["severity_accuracy"]) == (2, 0.5, 0.0)


def test_nothing_on_one_side_is_0_and_on_both_there_is_no_score():
    assert [score([mine], [theirs])["ap50"] for mine, theirs in (([NOISE], []), ([], [NOISE]), ([], []))] == [
        0,
        0,
        None,
    ]
    nothing = score([[]], [[]])
    assert {name for name, value in nothing.items() if isinstance(value, float)} == set()


def test_a_description_has_a_level_and_key_defects():
    true = row([("noise", NOISE[1]), ("motion blur", BLUR[1])], significance=[5, 5])
    texts = [
        description([NOISE], [NOISE, ("noise", (900, 900, 999, 999))]),
        "A cup, and no more.",
        "<think>fair</think>Fair.",
    ]
    options = {"box_format": "qwen2_vl", "objects": [true] * 3, "image_sizes": [(SIDE, SIDE)] * 3}
    scores = giqa_defects(texts, ["The quality of the image is fair."] * 3, **options)
    assert (scores["key_accuracy"], scores["key_recall"]) == (1 / 2, 1 / 6)
    assert (scores["n_levels_right"], scores["n_levels_unreadable"]) == (2, 1)
    of_text = f"A cup.\n{giqa_text([NOISE])} matters. So be it.\nThe quality of the image is Fair."
    assert giqa_defects([of_text], [of_text], box_format="giqa_decimal")["key_recall"] == 1


def test_a_choice_is_a_letter_or_the_options_words_and_has_no_boxes():
    said = ["B.", "(c) [noise](<0, 21>)", "The answer is a", "severe", "E.", "A dog.", None]
    options = ["Minor", "Moderate", "Severe", "Not visible"]
    more = {"candidates": [options] * 7, "concerns": ["type"] * 2 + ["severity"] * 4 + [None]}
    scores = giqa_defects(said, ["Moderate", "Severe", "A", "Severe", "A", "A", "D"], **more)
    assert (scores["n_choices_right"], scores["n_choices_unreadable"], scores["n_predicted"]) == (4, 3, 0)
    assert {name: its["accuracy"] for name, its in scores["concerns"].items()} == {"severity": 0.5, "type": 1.0}


# How sure, how blind


def test_intervals_and_differences_take_the_table():
    rng = np.random.default_rng(0)
    reference = [[NOISE, BLUR] if rng.random() < 0.5 else [NOISE] for _ in range(40)]
    runs = [[its[: rng.integers(0, 3)] for its in reference] for _ in range(2)]
    runs[1][0] = [("haze", NOISE[1])]
    one, other = aligned([tally_of(run, reference) for run in runs])
    found = intervals(one.table(), range(40), lambda sums: aggregate(one, sums))
    value = score(runs[0], reference)["ap50"]
    assert found["ap50"][0] < value < found["ap50"][1]
    gap = differences(one.table(), other.table(), range(40), lambda sums: aggregate(one, sums), resamples=50)["ap50"]
    assert (gap.a, gap.b) == (pytest.approx(value), pytest.approx(score(runs[1], reference)["ap50"]))


def test_blind_answers_name_one_defect_and_need_no_photograph():
    reference = [[NOISE, BLUR], [NOISE], [("severe low clarity", (0, 0, 1000, 1000))]]
    answers = blind_defects([by_class(scan([giqa_text(its)])) for its in reference])
    assert answers == {
        "whole image, low clarity": "[severe low clarity](<0, 399>)",
        "most frequent class, best constant box": "[severe noise](<0, 210>)",
    }
    scores = [giqa_defects([answer] * 3, [*map(giqa_text, reference)])["ap50"] for answer in answers.values()]
    assert scores == pytest.approx([1 / 9, 2 / 9])
    assert blind_defects([by_class(scan(["A cup."]))]) == {}


def test_parts_of_a_file_are_counted_as_the_whole(monkeypatch):
    texts = [
        giqa_text([NOISE]),
        f"A cup.\n{giqa_text([NOISE, BLUR])}.\nThe quality of the image is fair.",
        "B",
        "Fair.",
    ]
    options = {"candidates": [None, None, ["Minor", "Severe"], None], "concerns": ["", "", "severity", ""]}
    options |= {"box_format": "giqa_decimal", "image_sizes": [(9, 9)] * 4, "per_sample": True}
    whole = giqa_defects(texts, [texts[1], texts[1], "Severe", "poor"], **options)
    monkeypatch.setattr("giqa_metrics.defects.CHUNK", 1)
    assert giqa_defects(texts, [texts[1], texts[1], "Severe", "poor"], **options) == whole


def test_rows_of_samples_add_up():
    file = [[NOISE, ("haze", BLUR[1])], []], [[NOISE, BLUR], [NOISE]]
    scores = score(*file, per_sample=True)
    for name in {*DefectStats.names()} - {"iou"}:
        assert sum(its[name] for its in scores["per_sample"]) == scores[name], name
    first = scores["per_sample"][0]
    assert [first["predicted"][at]["class"] for at in first["right"]] == ["noise"]
    assert {(pair["iou"]) for pair in first["pairs"]} == {1.0}
    assert {split_name(f"{it['severity']}\0{it['class']}") for it in first["reference"]} == {
        ("noise", "severe"),
        ("motion blur", "minor"),
    }
