"""giqa_grounding: laws first, then protocol section 7 written down a second time in plain Python."""

import json
from dataclasses import asdict
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from giqa_datasets import FORMATS, Region, render
from giqa_datasets.boxes import iou
from giqa_metrics import giqa_grounding, grounding
from giqa_metrics.grounding import GroundingStats, aggregate, grounding_stats
from tests.paths import DATA


SCORES = ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
GOLDENS = json.loads((DATA / "examples_grounding.json").read_text(encoding="utf-8"))
WITHOUT_BOXES = dict.fromkeys(SCORES, 0.0) | dict.fromkeys(["miou", "tag_recall", "precision"])
MALFORMED = (
    "[dog](<142, 409>)",
    "[dog](<309, 142>)",
    "[dog](<3",
    "[dog](<1, 2, 3>)",
    "[dog](142, 309)",
    "[](<142, 309>)",
    "[a [dog]](<142, 309>)",
    "<142, 309>",
)


def write(things) -> str:
    """Names and cell pairs as grounded text, a phrase each."""
    return " and ".join(f"[{name}](<{first}, {last}>)" for name, (first, last) in things)


def scores_of(predictions, references, **options) -> dict:
    return giqa_grounding(predictions, references, **{"similarity": "exact"} | options)


def unsigned(scores: dict) -> dict:
    """Scores without their signature."""
    return {name: value for name, value in scores.items() if name != "signature"}


def spans(limit: int):
    """First and last row or column of a box."""
    return st.tuples(st.integers(0, limit), st.integers(0, limit)).map(sorted)


def cell_pairs(limit: int = 19):
    return st.tuples(spans(limit), spans(limit)).map(
        lambda sides: (sides[0][0] * 20 + sides[1][0], sides[0][1] * 20 + sides[1][1])
    )


# On a corner of the grid, so that boxes meet and IoUs are equal
names = st.sampled_from(["cat", "dog", "wall", "red cup"])
things = st.tuples(names, st.one_of(cell_pairs(4), cell_pairs()))
sides = st.lists(things, max_size=5)
samples = st.lists(st.tuples(sides, sides), min_size=1, max_size=4)


@pytest.mark.parametrize("golden", GOLDENS["examples"], ids=lambda golden: golden["why"])
def test_the_worked_examples_of_the_protocol(golden):
    scores = scores_of(golden["predictions"], golden["references"])
    assert {name: scores[name] for name in golden["expected"]} == pytest.approx(golden["expected"], abs=1e-6)


@given(st.lists(st.lists(things, min_size=1, max_size=6), min_size=1, max_size=4))
def test_identity_scores_one_everywhere(references):
    texts = [write(side) for side in references]
    scores = scores_of(texts, texts)
    assert {name: scores[name] for name in SCORES} == pytest.approx(dict.fromkeys(SCORES, 1.0))


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_phrases_boxes_and_samples_changes_nothing(pairs, random):
    before = scores_of([write(mine) for mine, _ in pairs], [write(theirs) for _, theirs in pairs])
    shuffled = [(random.sample(mine, len(mine)), random.sample(theirs, len(theirs))) for mine, theirs in pairs]
    random.shuffle(shuffled)

    def grouped(side) -> str:
        """All boxes of a name under one phrase."""
        boxes: dict[str, list[str]] = {}
        for name, (first, last) in side:
            boxes.setdefault(name, []).append(f"<{first}, {last}>")
        return ", ".join(f"the [{name}]({', '.join(these)})" for name, these in boxes.items())

    after = scores_of([grouped(mine) for mine, _ in shuffled], [grouped(theirs) for _, theirs in shuffled])
    assert after == pytest.approx(before, abs=1e-12)


@given(st.lists(st.tuples(st.text() | sides.map(write), sides.map(write)), min_size=1, max_size=4))
def test_scores_are_ratios_or_none(pairs):
    scores = scores_of(*zip(*pairs, strict=True), per_sample=True)
    values = [scores[name] for name in SCORES]
    values += [row[name] for row in scores["per_sample"] for name in ("miou", "miou_strict", "tag_recall")]
    assert all(value is None or 0 <= value <= 1 for value in values)


@given(samples, cell_pairs())
def test_a_spurious_box_never_raises_precision_and_never_lowers_recall(pairs, cells):
    references = [write(theirs) for _, theirs in pairs]
    before = scores_of([write(mine) for mine, _ in pairs], references)
    after = scores_of([write([*mine, ("spurious", cells)]) for mine, _ in pairs], references)
    assert after["precision"] <= (before["precision"] or 0.0)
    for name in ("tag_recall", "tag_recall_micro"):
        assert after[name] is None or after[name] >= (before[name] or 0.0) - 1e-12


@given(samples, things)
def test_no_added_box_lowers_what_divides_by_the_reference(pairs, thing):
    references = [write(theirs) for _, theirs in pairs]
    before = scores_of([write(mine) for mine, _ in pairs], references)
    after = scores_of([write([*mine, thing]) for mine, _ in pairs], references)
    for name in ("miou_strict", "tag_recall", "tag_recall_micro"):
        assert after[name] is None or after[name] >= (before[name] or 0.0) - 1e-9


@given(samples, samples)
def test_statistics_of_a_concatenation_are_the_sum_of_the_parts(first, second):
    def total(pairs) -> GroundingStats:
        return grounding_stats(((write(mine), write(theirs)) for mine, theirs in pairs), similarity="exact")

    together = total(first) + total(second)
    assert together.n_samples == len(first) + len(second)
    assert asdict(together) == pytest.approx(asdict(total(first + second)), abs=1e-12)
    mine, theirs = zip(*((write(mine), write(theirs)) for mine, theirs in first + second), strict=True)
    assert aggregate(together) == pytest.approx(unsigned(scores_of(mine, theirs)), abs=1e-12)
    alone = [total([pair]) for pair in first + second]
    assert asdict(sum(alone, GroundingStats())) == pytest.approx(asdict(together), abs=1e-12)


@given(st.lists(things, min_size=1, max_size=4), st.lists(cell_pairs(), min_size=1, max_size=4), st.data())
def test_malformed_is_at_most_wrong_and_wrong_at_most_right(reference, cells, data):
    broken = " ".join(data.draw(st.lists(st.sampled_from(MALFORMED), min_size=1, max_size=4)))
    wrong = write([("no such thing", pair) for pair in cells])
    texts = (broken, wrong, write(reference))
    malformed, mistaken, right = (scores_of([text], [write(reference)]) for text in texts)
    for name in SCORES:
        assert malformed[name] <= mistaken[name] <= right[name]


def cells_as_corners(cells: tuple[int, int]) -> tuple[Fraction, ...]:
    """Protocol section 2, in twentieths without rounding."""
    (top, left), (bottom, right) = divmod(cells[0], 20), divmod(cells[1], 20)
    if top == bottom or left == right:
        return tuple(map(Fraction, (left, top, right + 1, bottom + 1)))
    return tuple(value + Fraction(1, 2) for value in (left, top, right, bottom))


def corners_as_cells(corners: tuple[Fraction, ...]) -> tuple[int, int]:
    """Protocol section 2, the other way."""
    left, top = floor(corners[0]), floor(corners[1])
    right, bottom = max(ceil(corners[2]) - 1, left), max(ceil(corners[3]) - 1, top)
    return top * 20 + left, bottom * 20 + right


def plain_iou(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> Fraction:
    """IoU of corners, without rounding."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b
    wide, high = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    shared = wide * high if wide > 0 and high > 0 else Fraction(0)
    return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)


def place(corners: tuple[Fraction, ...]) -> tuple:
    """Where a box stands among others."""
    return corners_as_cells(corners), corners


def plain_greedy(mine, theirs, likeness, is_allowed) -> list[Fraction]:
    """IoUs of the pairs: falling IoU, then likeness, then smaller reference cells, then smaller predicted ones.

    Boxes of the same cells, which only boxes off the grid can be, go by their corners; the same box by its names.
    """
    ranked = sorted(
        (-plain_iou(box, other), -likeness[name, label], place(other), label, place(box), name, other, box)
        for name, box in mine
        for label, other in theirs
        if is_allowed(plain_iou(box, other), likeness[name, label])
    )
    used_mine, used_theirs, matched = set(), set(), []
    for overlap, _, _, label, _, name, other, box in ranked:
        if (name, box) not in used_mine and (label, other) not in used_theirs:
            used_mine.add((name, box))
            used_theirs.add((label, other))
            matched.append(-overlap)
    return matched


def plain_scores(pairs, likeness, iou_threshold: float, similarity_threshold: float) -> dict:
    """Protocol section 7, plainly."""
    pairs = [(set(mine), set(theirs)) for mine, theirs in pairs]
    n_predicted = sum(len(mine) for mine, _ in pairs)
    n_reference = sum(len(theirs) for _, theirs in pairs)
    if n_predicted == 0:
        return WITHOUT_BOXES if n_reference else dict.fromkeys(SCORES)
    mious, stricts, recalls, n_recalled = [], [], [], 0
    for mine, theirs in pairs:
        if not theirs:
            continue
        matched = plain_greedy(mine, theirs, likeness, lambda overlap, alike: overlap > 0)
        hits = plain_greedy(
            mine,
            theirs,
            likeness,
            lambda overlap, alike: overlap > Fraction(iou_threshold) and alike > similarity_threshold,
        )
        mious.append(sum(matched) / len(matched) if matched else 0)
        stricts.append(sum(matched) / len(theirs))
        recalls.append(Fraction(len(hits), len(theirs)))
        n_recalled += len(hits)
    micro = Fraction(n_recalled, n_reference) if n_reference else None
    precision = Fraction(n_recalled, n_predicted)
    f1 = None if micro is None else 2 * precision * micro / (precision + micro) if n_recalled else 0
    means = [sum(values) / Fraction(len(values)) if values else None for values in (mious, stricts, recalls)]
    values = [*means, micro, precision, f1]
    return {name: None if value is None else float(value) for name, value in zip(SCORES, values, strict=True)}


class Box(NamedTuple):
    """A box as it is written and as it is meant, in twentieths."""

    text: str
    corners: tuple[Fraction, ...]


def decimals(limit: int):
    """A box of two decimals."""
    axis = st.lists(st.integers(0, limit), min_size=2, max_size=2, unique=True).map(sorted)
    return st.tuples(axis, axis).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


def cell_box(cells: tuple[int, int]) -> Box:
    return Box(f"<{cells[0]}, {cells[1]}>", cells_as_corners(cells))


def decimal_box(hundredths: tuple[int, ...]) -> Box:
    text = ", ".join(f"{value / 100:.2f}" for value in hundredths)
    return Box(f"<{text}>", tuple(Fraction(value, 5) for value in hundredths))


def sides_of(boxes):
    """Named boxes, each once."""
    return st.lists(st.tuples(names, boxes), max_size=5, unique_by=lambda thing: (thing[0], thing[1].corners))


def written(side) -> str:
    return " and ".join(f"[{name}]({box.text})" for name, box in side)


def meant(side) -> list:
    return [(name, box.corners) for name, box in side]


on_grid = cell_pairs(3).map(cell_box)
off_grid = st.one_of(on_grid, decimals(20).map(decimal_box), decimals(6).map(decimal_box))
KINDS = {
    "cells": ("giqa", sides_of(on_grid), sides_of(on_grid)),
    "cells against both": ("giqa", sides_of(on_grid), sides_of(off_grid)),
    "decimals against both": ("giqa_decimal", sides_of(decimals(20).map(decimal_box)), sides_of(off_grid)),
}
likenesses = st.fixed_dictionaries(
    {
        (one, other): st.sampled_from([-0.1, 0.0, 0.2, 0.5, 0.51, 0.8, 1.0])
        for one in ("cat", "dog", "wall", "red cup")
        for other in ("cat", "dog", "wall", "red cup")
    }
)


def compared_by(likeness: dict):
    """The table as a user's own similarity."""

    def table(a, b):
        return np.array([[likeness[one, other] for other in b] for one in a]).reshape(len(a), len(b))

    return table


CATS = dict.fromkeys([(one, other) for one in ("cat", "dog") for other in ("cat", "dog")], 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_matching_is_the_protocols_with_all_its_ties(kind):
    box_format, mine_of, theirs_of = KINDS[kind]
    cat = [("cat", cell_box((0, 42)))]

    @given(
        st.lists(st.tuples(mine_of, theirs_of), min_size=1, max_size=3),
        likenesses,
        st.sampled_from([0.0, 0.25, 0.5, 0.75]),
        st.sampled_from([0.0, 0.5, 0.8]),
    )
    @example([(cat, [("cat", cell_box((0, 44)))])], CATS, 0.5, 0.5)
    @example([(cat, cat)], dict.fromkeys(CATS, 0.5), 0.5, 0.5)
    def law(pairs, likeness, iou_threshold, similarity_threshold):
        if box_format == "giqa_decimal":  # the examples are cells
            pairs = [([thing for thing in mine if thing[1].text.count(",") == 3], theirs) for mine, theirs in pairs]
        options = {"similarity": compared_by(likeness), "box_format": box_format}
        options |= {"iou_threshold": iou_threshold, "similarity_threshold": similarity_threshold}
        mine, theirs = zip(*pairs, strict=True)
        # An object that is said twice counts once
        scores = giqa_grounding([written(side * 2) for side in mine], [written(side) for side in theirs], **options)
        meanings = [(meant(mine), meant(theirs)) for mine, theirs in pairs]
        expected = plain_scores(meanings, likeness, iou_threshold, similarity_threshold)
        assert {name: scores[name] for name in SCORES} == pytest.approx(expected, abs=1e-9)

    law()


sixteenths = st.lists(st.integers(0, 8), min_size=2, max_size=2, unique=True).map(sorted)
exact_boxes = st.tuples(sixteenths, sixteenths).map(lambda sides: (*(s[0] for s in sides), *(s[1] for s in sides)))
exact_sides = st.lists(st.tuples(names, exact_boxes), max_size=5, unique=True)


@given(st.lists(st.tuples(sides_of(cell_pairs(9).map(cell_box)), exact_sides), min_size=1, max_size=3), likenesses)
def test_matching_is_the_protocols_with_exact_references(pairs, likeness):
    regions = [[Region(name, (0, 1), np.array([box]) / 16) for name, box in theirs] for _, theirs in pairs]
    mine = [written(side) for side, _ in pairs]
    scores = giqa_grounding(mine, [""] * len(mine), similarity=compared_by(likeness), exact_references=regions)
    meanings = [
        (meant(mine), [(name, tuple(Fraction(20 * value, 16) for value in box)) for name, box in theirs])
        for mine, theirs in pairs
    ]
    expected = plain_scores(meanings, likeness, 0.5, 0.5)
    assert {name: scores[name] for name in SCORES} == pytest.approx(expected, abs=1e-9)


# Three rows each: the middle one overlaps upper and lower by a third; the wide one overlaps the upper one alone, less
UPPER, MIDDLE, LOWER, WIDE = (0, 42), (20, 62), (40, 82), (0, 28)


def test_equal_overlap_goes_to_the_more_similar_name():
    predicted = write([("dog", MIDDLE), ("cow", WIDE)])
    scores = scores_of([predicted], [write([("cat", UPPER), ("dog", LOWER)])])
    assert scores["miou_strict"] == pytest.approx((1 / 3 + 1 / 5) / 2)
    assert scores_of([predicted], [write([("dog", UPPER), ("cat", LOWER)])])["miou_strict"] == pytest.approx(1 / 6)


def test_equal_overlap_and_likeness_goes_to_the_smaller_reference_cells():
    predicted = write([("cow", WIDE), ("dog", MIDDLE)])
    scores = scores_of([predicted], [write([("dog", LOWER), ("dog", UPPER)])])
    assert scores["miou_strict"] == pytest.approx(1 / 6)


def test_equal_overlap_and_likeness_goes_to_the_smaller_predicted_cells():
    predicted = write([("dog", LOWER), ("dog", UPPER)])
    scores = scores_of([predicted], [write([("cow", WIDE), ("dog", MIDDLE)])])
    assert scores["miou_strict"] == pytest.approx(1 / 6)


def test_both_thresholds_are_strict():
    half = {"predictions": ["[cat](<0, 42>)"], "references": ["[cat](<0, 44>)"]}  # IoU is exactly one half
    assert scores_of(**half)["miou"] == 0.5
    assert scores_of(**half)["tag_recall"] == 0.0
    assert scores_of(**half, iou_threshold=0.499)["tag_recall"] == 1.0

    def alike(a, b):
        return np.full((len(a), len(b)), 0.5)

    same = {"predictions": ["[cat](<0, 42>)"], "references": ["[dog](<0, 42>)"]}
    assert giqa_grounding(**same, similarity=alike)["tag_recall"] == 0.0
    assert giqa_grounding(**same, similarity=alike, similarity_threshold=0.499)["tag_recall"] == 1.0


def test_boxes_that_only_touch_are_no_match():
    scores = scores_of(["[dog](<0, 42>)"], ["[dog](<2, 44>)"])
    assert (scores["miou"], scores["miou_strict"]) == (0.0, 0.0)


def test_no_answer_is_a_prediction_without_boxes():
    references = ["[dog](<142, 309>)", "[cat](<0, 63>)"]
    assert scores_of([None, "[cat](<0, 63>)"], references) == scores_of(["", "[cat](<0, 63>)"], references)
    assert scores_of([None, "[cat](<0, 63>)"], references)["miou"] == 0.5


def test_a_run_without_a_box_has_the_strict_scores_alone_and_counts():
    scores = scores_of([None, "", "It is blurry."], ["[dog](<142, 309>)", "Fine.", "[a](<0, 21>) [b](<0, 42>)"])
    assert {name: scores[name] for name in SCORES} == WITHOUT_BOXES
    counts = {name: value for name, value in scores.items() if name.startswith("n_") and value}
    assert counts == {"n_samples": 3, "n_counted": 2, "n_reference": 3}


def test_one_malformed_box_in_the_run_turns_none_into_zeros():
    scores = scores_of(["It is blurry.", "[dog](<3"], ["[dog](<142, 309>)", "Fine."])
    assert [scores[name] for name in SCORES] == [0.0] * 6
    assert scores["n_malformed"] == 1


def test_without_reference_objects_only_precision_exists():
    scores = scores_of(["[dog](<142, 309>)"], ["Fine."])
    assert {name: scores[name] for name in SCORES} == {**dict.fromkeys(SCORES), "precision": 0.0}
    assert (scores["n_counted"], scores["n_predicted"], scores["n_reference"]) == (0, 1, 0)


def test_missing_references_count_as_empty_ones():
    assert scores_of(["[dog](<142, 309>)"], [None]) == scores_of(["[dog](<142, 309>)"], [""])


def test_references_may_be_decimals():
    scores = scores_of(["[tower](<35, 319>)"], ["[tower](<0.75, 0.05, 1.00, 0.80>)"])
    assert scores["miou"] == pytest.approx(0.14 / 0.1875)
    assert scores["n_reference"] == 1


def test_the_box_format_is_declared_and_not_guessed():
    reference = ["[tower](<0.75, 0.05, 1.00, 0.80>)"]
    decimals, cells = ["[tower](<0.75, 0.05, 1.00, 0.80>)"], ["[tower](<35, 319>)"]
    assert scores_of(decimals, reference, box_format="giqa_decimal")["miou"] == 1.0
    for texts, box_format in ((decimals, "giqa"), (cells, "giqa_decimal")):
        scores = scores_of(texts, reference, box_format=box_format)
        assert (scores["miou"], scores["n_predicted"], scores["n_malformed"]) == (0.0, 0, 1)


def test_exact_references_replace_the_cells_of_the_text():
    box = np.array([[0.75, 0.05, 1.0, 0.8]])
    regions = [[Region("tower", (0, 5), box)]]
    text = render("tower", regions[0])
    assert text == "[tower](<35, 319>)"
    assert scores_of([text], [text])["miou"] == 1.0
    scores = scores_of([text], ["not read"], exact_references=regions)
    assert scores["miou"] == pytest.approx(0.14 / 0.1875)
    assert "references:exact" in scores["signature"]


def test_rows_of_samples_come_in_input_order_and_average_to_the_scores():
    predictions = ["[dog](<142, 309>)", "[dog](<3", "[sky](<0, 99>)", None]
    references = ["[dog](<142, 309>) [cat](<0, 63>)", "[dog](<142, 309>)", "Fine.", "[dog](<142, 309>)"]
    scores = scores_of(predictions, references, per_sample=True)
    rows = scores.pop("per_sample")
    assert scores == scores_of(predictions, references)
    assert [row["miou_strict"] for row in rows] == [0.5, 0.0, None, 0.0]
    assert [row["malformed"] for row in rows] == [[], ["unclosed"], [], []]
    for name in ("miou", "miou_strict", "tag_recall"):
        assert sum(row[name] or 0.0 for row in rows) / 3 == pytest.approx(scores[name])


DOG = ["[dog](<0, 42>)"]
ONE_SIZE = {"image_sizes": [(640, 480)]}


@pytest.mark.parametrize(
    ("predictions", "references", "options", "sentence"),
    [
        ([], [], {}, "expected as many predictions as references, and at least one, got 0 and 0"),
        (DOG, DOG * 2, {}, "expected as many predictions as references, and at least one, got 1 and 2"),
        (DOG, [], {}, "expected as many predictions as references, and at least one, got 1 and 0"),
        (
            DOG,
            DOG,
            {"box_format": "kosmos"},
            f"expected a box format out of {sorted(FORMATS)}, got 'kosmos'",
        ),
        (DOG, DOG, {"preset": "coco"}, "expected a preset out of ['glamm', 'paper'], got 'coco'"),
        (DOG, DOG, {"exact_references": [[], []]}, "expected 1 exact_references, got 2"),
        (DOG, DOG, {"iou_threshold": 1.01}, "expected iou_threshold in [0, 1], got 1.01"),
        (DOG, DOG, {"iou_threshold": -0.5}, "expected iou_threshold in [0, 1], got -0.5"),
        (DOG, DOG, {"iou_threshold": float("nan")}, "expected iou_threshold in [0, 1], got nan"),
        (DOG, DOG, {"similarity_threshold": 50}, "expected similarity_threshold in [0, 1], got 50"),
        (DOG, DOG, {"similarity_threshold": -1e-9}, "expected similarity_threshold in [0, 1], got -1e-09"),
        *(
            (
                DOG,
                DOG,
                {"box_format": name},
                f"box format '{name}' counts in a padded square: expected image_sizes, got none",
            )
            for name in ("shikra", "groundinggpt", "llava")
        ),
        (
            DOG,
            DOG,
            {"box_format": "pixels"},
            "box format 'pixels' counts in pixels of the image: expected image_sizes, got none",
        ),
        (
            DOG,
            DOG,
            {"box_format": "qwen2_5_vl"},
            "box format 'qwen2_5_vl' counts in pixels of the resized image: "
            "expected input_sizes or image_sizes, got none",
        ),
        (DOG * 2, DOG * 2, ONE_SIZE, "expected 2 image_sizes, got 1"),
        (DOG * 2, DOG * 2, {"input_sizes": [(640, 480)]}, "expected 2 input_sizes, got 1"),
        (DOG, DOG, {"image_sizes": []}, "expected 1 image_sizes, got 0"),
        *(
            (DOG, DOG, {kind: [size]}, f"expected {kind} of (width, height), got {size!r} at 0")
            for kind in ("image_sizes", "input_sizes")
            for size in (
                (640,),
                (640, 480, 3),
                (0, 480),
                (640, -1),
                (),
                640,
                ("wide", "high"),
                (640, None),
                (640, float("nan")),
                (640, float("inf")),
                "48",
            )
        ),
        (DOG, DOG, {"image_sizes": [None]}, "expected image_sizes of (width, height), got None at 0"),
        (
            DOG * 2,
            DOG * 2,
            {"box_format": "llava", "image_sizes": [(640, 480), (480, 0)]},
            "expected image_sizes of (width, height), got (480, 0) at 1",
        ),
    ],
)
def test_errors_are_one_sentence_that_says_what_came(predictions, references, options, sentence):
    with pytest.raises(ValueError, match="expected") as error:
        scores_of(predictions, references, **options)
    assert str(error.value) == sentence


def test_a_matrix_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"^expected a similarity matrix of shape \(1, 2\), got \(2, 1\)$"):
        giqa_grounding(DOG, ["[dog](<0, 42>) [cat](<0, 44>)"], similarity=lambda a, b: np.zeros((len(b), len(a))))


def test_sizes_that_no_format_needs_are_checked_and_move_nothing():
    scores = scores_of(DOG, DOG, image_sizes=[(640, 480)], input_sizes=[None])
    assert scores == scores_of(DOG, DOG)


def is_same(a, b):
    return np.array([[float(one == other) for other in b] for one in a])


BASE = {"predictions": ["[dog](<142, 309>) [cap](<0, 42>)"], "references": ["[dog](<142, 308>) [cat](<0, 44>)"]}


@pytest.mark.parametrize(
    "option",
    [
        {"box_format": "giqa_decimal"},
        {"similarity": "lexical", "iou_threshold": 0.4},
        {"similarity": is_same, "similarity_threshold": 1.0},
        {"iou_threshold": 0.99},
        {"exact_references": [[Region("dog", (0, 3), np.array([[0.1, 0.3, 0.5, 0.8]]))]]},
        {"preset": "glamm", "iou_threshold": 1.0},
    ],
    ids=lambda option: ", ".join(option),
)
def test_an_option_that_moves_the_number_stands_in_the_signature(option):
    start = {"similarity": "exact", "iou_threshold": 0.4} if "iou_threshold" in option else {"similarity": "exact"}
    before, after = giqa_grounding(**BASE, **start), giqa_grounding(**BASE, **start | option)
    assert [before[name] for name in SCORES] != [after[name] for name in SCORES]
    assert before["signature"] != after["signature"]


def test_the_signature_names_the_metric_the_settings_and_the_version():
    from giqa_datasets import __version__

    name, *settings_, version = scores_of(**BASE)["signature"].split("|")
    assert (name, version) == ("giqa_grounding", f"v:{__version__}")
    keys = [part.split(":", 1)[0] for part in settings_]
    assert keys == ["rules", "reply", "format", "grid", "decode", "references", "match", "iou", "names"]


def test_what_does_not_move_the_number_is_not_in_the_signature():
    more = scores_of(BASE["predictions"] * 2, BASE["references"] * 2, per_sample=True)
    assert more["signature"] == scores_of(**BASE)["signature"]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[thing {number}](<0, {21 + number % 300}>) " for number in range(45_000)),
        "[" * 1_000_000,
        "[a](" * 250_000,
        "[a](<0, " * 125_000,
        "<0, " * 250_000,
        "[a](<" + "0" * 1_000_000,
        "[a](<0, 21>" + ", <0, 21>" * 100_000,
        f"[a]({', '.join(f'<{number % 380}, {number % 380 + 20}>' for number in range(100_000))})",
        "[a](<" * 200_000,
        "[" + "a" * 1_000_000 + "](<0, 21>)",
        "[a](<0, 21>)" + "](<0, 21>)" * 100_000,
        "\0" * 1_000_000,
        " " * 1_000_000,
        "It is blurry. " * 70_000,
    ],
    ids=[
        "phrases",
        "brackets",
        "opened",
        "half-written",
        "stray",
        "digits",
        "the same box",
        "boxes of one phrase",
        "half-open",
        "one name",
        "closings",
        "ends",
        "spaces",
        "prose",
    ],
)
@pytest.mark.slow
def test_a_prediction_of_one_megabyte_is_scored(text):
    # In quadratic time this would not come to an end
    scores = scores_of([text, "[dog](<0, 42>)"], ["[dog](<0, 42>)", "[dog](<0, 42>)"])
    assert scores["n_samples"] == 2
    assert scores["miou"] >= 0.5


def test_exact_references_may_be_rows_of_the_column_regions():
    box = [0.7512, 0.0503, 0.9871, 0.7929]
    rows = [
        {"phrase": "tower", "role": "answer", "boxes": [box]},
        {"phrase": "dog", "role": "question", "boxes": [[0, 0, 1, 1]]},
    ]
    text = "[tower](<35, 319>)"
    options = {"similarity": "exact"}
    by_rows = giqa_grounding([text], [text], exact_references=[rows], **options)
    region = Region("tower", (0, 5), np.array([box]))
    assert by_rows == giqa_grounding([text], [text], exact_references=[[region]], **options)
    assert by_rows["n_reference"] == 1
    assert 0.7 < by_rows["miou"] < 1


# Chunks and streams

mixed_texts = st.one_of(sides.map(write), sides_of(off_grid).map(written), st.sampled_from([*MALFORMED, "", None]))
many = st.lists(st.tuples(mixed_texts, mixed_texts), min_size=1, max_size=12)


@given(many, st.sampled_from(["paper", "glamm"]), st.sampled_from(["exact", "lexical"]))
def test_where_chunks_end_changes_nothing(pairs, preset, similarity):
    mine, theirs = zip(*pairs, strict=True)
    options = {"preset": preset, "similarity": similarity, "per_sample": True}
    whole = giqa_grounding(mine, theirs, **options)
    for size in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grounding, "CHUNK", size)
            parts = giqa_grounding(mine, theirs, **options)
            stream = grounding_stats(iter(pairs), preset=preset, similarity=similarity)
        assert parts["per_sample"] == whole["per_sample"]
        for scores in (parts, aggregate(stream, preset=preset)):
            assert {name: scores[name] for name in SCORES} == pytest.approx(
                {name: whole[name] for name in SCORES}, abs=1e-12
            )


@pytest.mark.parametrize("size", [1, 3])
def test_chunks_keep_each_samples_size_and_exact_reference(monkeypatch, size):
    rng = np.random.default_rng(0)
    sizes = [tuple(pair) for pair in rng.integers(100, 900, (7, 2)).tolist()]
    corners = rng.integers(0, 8, (7, 2))
    exact_references = [[Region("dog", (0, 3), np.array([[x, y, x + 8, y + 4]]) / 16)] for x, y in corners]
    options = {"box_format": "llava", "image_sizes": sizes, "exact_references": exact_references, "per_sample": True}
    predictions = ["dog [0.20, 0.30, 0.60, 0.80]"] * 7
    whole = scores_of(predictions, [""] * 7, **options)
    assert len({row["miou"] for row in whole["per_sample"]}) > 3
    monkeypatch.setattr(grounding, "CHUNK", size)
    parts = scores_of(predictions, [""] * 7, **options)
    assert parts["per_sample"] == whole["per_sample"]
    assert parts["miou"] == pytest.approx(whole["miou"])


@given(many, many, st.sampled_from(["giqa", "giqa_decimal", "internvl"]))
def test_two_streams_add_up_to_the_whole(first, second, box_format):
    options = {"similarity": "exact", "box_format": box_format}
    added = grounding_stats(iter(first), **options) + grounding_stats(iter(second), **options)
    mine, theirs = zip(*first, *second, strict=True)
    whole = giqa_grounding(mine, theirs, **options)
    assert aggregate(added) == pytest.approx(unsigned(whole), abs=1e-12)


@given(many)
def test_statistics_of_the_rows_are_those_of_the_whole(pairs):
    mine, theirs = zip(*pairs, strict=True)
    rows = scores_of(mine, theirs, per_sample=True)["per_sample"]
    table = GroundingStats.table(rows)
    assert table.shape == (len(pairs), len(GroundingStats.names()))
    summed = GroundingStats.of(table.sum(axis=0))
    assert aggregate(summed) == pytest.approx(unsigned(scores_of(mine, theirs)), abs=1e-12)
    assert [row["n_predicted"] for row in rows] == [len(row["predicted"]) for row in rows]
    assert [row["n_malformed"] for row in rows] == [len(row["malformed"]) for row in rows]
    assert {type(getattr(summed, name)) for name in GroundingStats.names() if name.startswith("n_")} == {int}


@given(many, st.sampled_from(["exact", "lexical"]))
def test_the_pairs_of_a_row_are_what_its_numbers_are_made_of(pairs, similarity):
    mine, theirs = zip(*pairs, strict=True)
    for row in giqa_grounding(mine, theirs, similarity=similarity, per_sample=True)["per_sample"]:
        assert (len(row["predicted"]), len(row["reference"])) == (row["n_predicted"], row["n_reference"])
        for pair in row["pairs"]:
            one, other = row["predicted"][pair["predicted"]], row["reference"][pair["reference"]]
            overlap = iou(np.array([one["box"]]), np.array([other["box"]]))[0, 0]
            assert pair["iou"] == pytest.approx(overlap, abs=1e-6)
            assert (pair["likeness"] == 1) or one["phrase"] != other["phrase"]
        matched = [pair for pair in row["pairs"] if pair["matched"]]
        recalled = [pair for pair in row["pairs"] if pair["recalled"]]
        for chosen in (matched, recalled):
            assert (
                len({pair["predicted"] for pair in chosen})
                == len({pair["reference"] for pair in chosen})
                == len(chosen)
            )
        assert all(pair["matched"] or pair["recalled"] for pair in row["pairs"])
        assert len(recalled) == row["n_recalled"]
        total = sum(pair["iou"] for pair in matched)
        if row["n_counted"]:
            assert row["miou"] == pytest.approx(total / max(len(matched), 1), abs=1e-5)
            assert row["miou_strict"] == pytest.approx(total / row["n_reference"], abs=1e-5)
            assert row["tag_recall"] == pytest.approx(len(recalled) / row["n_reference"])
        else:
            assert row["miou"] is row["miou_strict"] is row["tag_recall"] is None


def test_glamm_counts_what_is_written_twice_and_takes_ties_in_reading_order():
    twice = giqa_grounding(["[dog](<0, 42>) [dog](<0, 42>)"], ["[dog](<0, 42>)"], similarity="exact", preset="glamm")
    assert (twice["n_predicted"], twice["tag_recall"], twice["precision"]) == (2, 1.0, 0.5)
    names = [("cat", MIDDLE), ("dog", MIDDLE)]
    for order, recall in ((names, 0.0), (names[::-1], 1.0)):
        scores = giqa_grounding([write(order)], [write([("dog", MIDDLE)])], similarity="exact", preset="glamm")
        assert scores["tag_recall"] == recall


def test_a_stream_is_read_a_chunk_at_a_time(monkeypatch):
    monkeypatch.setattr(grounding, "CHUNK", 3)
    asked, read = [], []

    def spy(a, b):
        asked.append(len(read))
        return is_same(a, b)

    def stream():
        for number in range(7):
            read.append(number)
            yield "[dog](<0, 42>)", "[dog](<0, 44>)"

    assert grounding_stats(stream(), similarity=spy).n_samples == 7
    assert asked == [3, 6, 7]


def test_an_empty_stream_has_no_scores():
    stats = grounding_stats(iter([]), similarity="exact")
    assert stats == GroundingStats()
    assert [aggregate(stats)[name] for name in SCORES] == [None] * 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"box_format": "shikra"}, "box format 'shikra' needs sizes, which a stream has not: use giqa_grounding"),
        ({"box_format": "qwen2_5_vl"}, "box format 'qwen2_5_vl' needs sizes, which a stream has not"),
        ({"box_format": "kosmos"}, "got 'kosmos'"),
        ({"preset": "coco"}, "got 'coco'"),
        ({"iou_threshold": 2}, "expected iou_threshold in [0, 1], got 2"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_options_are_refused_before_a_stream_is_read(options, sentence):
    stream = iter([("[dog](<0, 42>)", "[dog](<0, 42>)")])
    with pytest.raises(ValueError, match=r"expected|got|needs") as error:
        grounding_stats(stream, **{"similarity": "exact"} | options)
    assert sentence in str(error.value)
    assert len(list(stream)) == 1


def test_texts_of_one_sample_are_not_mixed_up_with_those_of_the_next():
    # A bracket that opens no box, before texts in canonical form
    predictions = ["[see](above) [dog", "[dog](<142, 309>)", "[cat](<0, 63>)"]
    references = ["[cat](<0, 63>)", "[dog](<142, 309>)", "[cat](<0, 63>)"]
    rows = scores_of(predictions, references, per_sample=True)["per_sample"]
    assert [row["tag_recall"] for row in rows] == [0.0, 1.0, 1.0]
    assert scores_of(predictions, references)["tag_recall"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
def test_a_similarity_that_is_no_number_is_refused(bad):
    # Matching goes by IoU first; what cannot be ranked must not turn that round in silence
    def odd(a, b):
        return np.array([[bad if one == "dog" else 0.0 for _ in b] for one in a])

    with pytest.raises(ValueError, match="similarit") as error:
        giqa_grounding(["[cow](<0, 42>) [dog](<0, 63>)"], ["[dog](<0, 84>)"], similarity=odd)
    assert "\n" not in str(error.value)
