"""giqa_grounding: laws first, then protocol section 7 written down a second time in plain Python."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from giqa_datasets import Region, parse, render
from giqa_metrics import giqa_grounding
from giqa_metrics.grounding import GroundingStats, aggregate, objects, sample
from giqa_metrics.similarity import exact


LAW = settings(deadline=None, max_examples=120)
SCORES = ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
GOLDENS = json.loads((Path(__file__).parents[1] / "data" / "examples_grounding.json").read_text(encoding="utf-8"))
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


@LAW
@given(st.lists(st.lists(things, min_size=1, max_size=6), min_size=1, max_size=4))
def test_identity_scores_one_everywhere(references):
    texts = [write(side) for side in references]
    scores = scores_of(texts, texts)
    assert {name: scores[name] for name in SCORES} == pytest.approx(dict.fromkeys(SCORES, 1.0))


@LAW
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


@LAW
@given(st.lists(st.tuples(st.text() | sides.map(write), sides.map(write)), min_size=1, max_size=4))
def test_scores_are_ratios_or_none(pairs):
    scores = scores_of(*zip(*pairs, strict=True), per_sample=True)
    values = [scores[name] for name in SCORES]
    values += [row[name] for row in scores["per_sample"] for name in ("miou", "miou_strict", "tag_recall")]
    assert all(value is None or 0 <= value <= 1 for value in values)


@LAW
@given(samples, cell_pairs())
def test_a_spurious_box_never_raises_precision_and_never_lowers_recall(pairs, cells):
    references = [write(theirs) for _, theirs in pairs]
    before = scores_of([write(mine) for mine, _ in pairs], references)
    after = scores_of([write([*mine, ("spurious", cells)]) for mine, _ in pairs], references)
    assert after["precision"] <= (before["precision"] or 0.0)
    for name in ("tag_recall", "tag_recall_micro"):
        assert after[name] is None or after[name] >= (before[name] or 0.0) - 1e-12


@LAW
@given(samples, things)
def test_no_added_box_lowers_what_divides_by_the_reference(pairs, thing):
    references = [write(theirs) for _, theirs in pairs]
    before = scores_of([write(mine) for mine, _ in pairs], references)
    after = scores_of([write([*mine, thing]) for mine, _ in pairs], references)
    for name in ("miou_strict", "tag_recall", "tag_recall_micro"):
        assert after[name] is None or after[name] >= (before[name] or 0.0) - 1e-9


@LAW
@given(samples, samples)
def test_statistics_of_a_concatenation_are_the_sum_of_the_parts(first, second):
    def total(pairs) -> GroundingStats:
        parts = []
        for mine, theirs in pairs:
            predicted, reference = objects(parse(write(mine)).regions), objects(parse(write(theirs)).regions)
            parts.append(sample(predicted, reference, exact(predicted.names, reference.names)))
        return sum(parts, GroundingStats())

    together = aggregate(total(first) + total(second))
    assert together == pytest.approx(aggregate(total(first + second)), abs=1e-12)
    mine, theirs = zip(*((write(mine), write(theirs)) for mine, theirs in first + second), strict=True)
    whole = scores_of(mine, theirs)
    whole.pop("signature")
    assert together == pytest.approx(whole, abs=1e-12)


@LAW
@given(st.lists(things, min_size=1, max_size=4), st.lists(cell_pairs(), min_size=1, max_size=4), st.data())
def test_malformed_is_at_most_wrong_and_wrong_at_most_right(reference, cells, data):
    broken = " ".join(data.draw(st.lists(st.sampled_from(MALFORMED), min_size=1, max_size=4)))
    wrong = write([("no such thing", pair) for pair in cells])
    texts = (broken, wrong, write(reference))
    malformed, mistaken, right = (scores_of([text], [write(reference)]) for text in texts)
    for name in SCORES:
        assert malformed[name] <= mistaken[name] <= right[name]


def plain_iou(a: tuple[int, int], b: tuple[int, int]) -> Fraction:
    """Protocol section 2 and IoU, in twentieths without rounding."""

    def corners(cells: tuple[int, int]) -> list[Fraction]:
        (top, left), (bottom, right) = divmod(cells[0], 20), divmod(cells[1], 20)
        if top == bottom or left == right:
            return [Fraction(left), Fraction(top), Fraction(right + 1), Fraction(bottom + 1)]
        return [value + Fraction(1, 2) for value in (left, top, right, bottom)]

    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = corners(a), corners(b)
    wide, high = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    shared = wide * high if wide > 0 and high > 0 else Fraction(0)
    return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)


def plain_greedy(mine, theirs, likeness, is_allowed) -> list[Fraction]:
    """IoUs of the pairs: falling IoU, then likeness, then smaller reference cells, then smaller predicted ones."""
    ranked = sorted(
        (-plain_iou(box, other), -likeness[name, label], other, box, name, label)
        for name, box in mine
        for label, other in theirs
        if is_allowed(plain_iou(box, other), likeness[name, label])
    )
    used_mine, used_theirs, matched = set(), set(), []
    for overlap, _, other, box, name, label in ranked:
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
        return dict.fromkeys(SCORES)
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


# The protocol orders objects by their cells, so a cell pair has one name here
ordered_sides = st.dictionaries(cell_pairs(3), names, max_size=5).map(
    lambda found: [(name, cells) for cells, name in found.items()]
)
likenesses = st.fixed_dictionaries(
    {
        (one, other): st.sampled_from([-0.1, 0.0, 0.2, 0.5, 0.51, 0.8, 1.0])
        for one in ("cat", "dog", "wall", "red cup")
        for other in ("cat", "dog", "wall", "red cup")
    }
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(ordered_sides, ordered_sides), min_size=1, max_size=3),
    likenesses,
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    st.sampled_from([0.0, 0.5, 0.8]),
)
@example([([("cat", (0, 42))], [("cat", (0, 44))])], {("cat", "cat"): 1.0}, 0.5, 0.5)
@example([([("cat", (0, 42))], [("cat", (0, 42))])], {("cat", "cat"): 0.5}, 0.5, 0.5)
def test_matching_is_the_protocols_with_all_its_ties(pairs, likeness, iou_threshold, similarity_threshold):
    def table(a, b):
        return np.array([[likeness[one, other] for other in b] for one in a]).reshape(len(a), len(b))

    scores = giqa_grounding(
        [write(mine * 2) for mine, _ in pairs],  # an object that is said twice counts once
        [write(theirs) for _, theirs in pairs],
        similarity=table,
        iou_threshold=iou_threshold,
        similarity_threshold=similarity_threshold,
    )
    expected = plain_scores(pairs, likeness, iou_threshold, similarity_threshold)
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


def test_a_run_without_a_box_has_no_scores_but_counts():
    scores = scores_of([None, "", "It is blurry."], ["[dog](<142, 309>)", "Fine.", "[a](<0, 21>) [b](<0, 42>)"])
    assert [scores[name] for name in SCORES] == [None] * 6
    counts = {name: value for name, value in scores.items() if name.startswith("n_")}
    assert counts == {"n_samples": 3, "n_counted": 2, "n_predicted": 0, "n_reference": 3, "n_malformed": 0}


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


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (([], []), "0"),
        ((["a"], ["a", "b"]), "1 and 2"),
        ((["a"], ["a"], {"box_format": "kosmos"}), "'kosmos'"),
        ((["a"], ["a"], {"exact_references": [[], []]}), "2"),
    ],
    ids=["no sample", "lengths differ", "unknown format", "wrong number of exact references"],
)
def test_errors_are_one_sentence_that_says_what_came(arguments, fact):
    predictions, references, *options = arguments
    with pytest.raises(ValueError, match="expected") as error:
        scores_of(predictions, references, **(options[0] if options else {}))
    message = str(error.value)
    assert fact in message
    assert "\n" not in message
    assert not message.endswith(".")


BASE = {"predictions": ["[dog](<142, 309>) [cap](<0, 42>)"], "references": ["[dog](<142, 308>) [cat](<0, 44>)"]}


@pytest.mark.parametrize(
    "option",
    [
        {"box_format": "giqa_decimal"},
        {"similarity": "lexical", "iou_threshold": 0.4},
        {"similarity": exact, "similarity_threshold": 1.0},
        {"iou_threshold": 0.99},
        {"exact_references": [[Region("dog", (0, 3), np.array([[0.1, 0.3, 0.5, 0.8]]))]]},
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
    assert keys == ["format", "grid", "decode", "references", "match", "iou", "names"]


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
        " " * 1_000_000,
        "It is blurry. " * 70_000,
    ],
    ids=["phrases", "brackets", "opened", "half-written", "stray", "digits", "boxes of one phrase", "spaces", "prose"],
)
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
