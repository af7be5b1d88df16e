"""Objects, pairs and matching against plain loops, and the preset `glamm` against its rule written down plainly."""

import random
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from giqa_datasets import GroundedText, Region
from giqa_datasets.boxes import iou
from giqa_datasets.grid import boxes_to_cells, cells_to_boxes
from giqa_datasets.text_scan import gather, scan
from giqa_metrics import giqa_grounding
from giqa_metrics.matching import DIGITS, Pairs, _stable, falling, greedy, objects, pairs
from giqa_metrics.similarity import similarity_named


NAMES = ("cat", "dog", "wall", "red cup")


# Greedy


@st.composite
def overlaps(draw):
    """Pairs of objects of a few samples, with many equal IoUs and likenesses."""
    of_predicted = draw(st.lists(st.integers(0, 3), min_size=1, max_size=10))
    of_reference = draw(st.lists(st.integers(0, 3), min_size=1, max_size=10))
    every = [(r, p) for r, at in enumerate(of_reference) for p, its in enumerate(of_predicted) if at == its]
    chosen = sorted(draw(st.lists(st.sampled_from(every), unique=True, max_size=40))) if every else []
    level = st.sampled_from([0.2, 0.2 + 1e-13, 1 / 3, 0.5, 1.0])
    found = Pairs(
        np.array([of_reference[r] for r, _ in chosen], np.int64),
        np.array([p for _, p in chosen], np.int64),
        np.array([r for r, _ in chosen], np.int64),
        np.array([draw(level) for _ in chosen], np.float64),
    )
    likeness = np.array([draw(st.sampled_from([-1.0, 0.0, 0.5, 1.0])) for _ in chosen], np.float64)
    return found, likeness


def one_after_another(found: Pairs, order) -> list[int]:
    """Greedy matching, pair after pair."""
    used_predicted, used_reference, matched = set(), set(), []
    for index in order:
        p, r = found.predicted[index], found.reference[index]
        if p not in used_predicted and r not in used_reference:
            used_predicted.add(p)
            used_reference.add(r)
            matched.append(int(index))
    return matched


@given(overlaps(), st.randoms(use_true_random=False))
def test_greedy_in_rounds_is_greedy_one_after_another(case, random):
    found, likeness = case
    everything = list(range(len(found.iou)))
    shuffled = random.sample(everything, len(everything))
    some = shuffled[: len(shuffled) // 2]
    for order in (falling(found, likeness), falling(found), everything, shuffled, some, []):
        order = np.array(order, np.int64)
        before = order.copy()
        assert greedy(found, order).tolist() == one_after_another(found, order.tolist())
        assert (order == before).all()


def test_a_chain_in_which_every_pair_waits_for_the_one_before_is_matched():
    # r0-p0, p0-r1, r1-p1, p1-r2, ...: each shares an object with the next, so that every round takes one
    length = 301
    steps = np.arange(length)
    found = Pairs(np.zeros(length, np.int64), steps // 2, (steps + 1) // 2, np.linspace(1, 0.1, length))
    assert greedy(found, falling(found)).tolist() == list(range(0, length, 2))


@given(overlaps())
def test_pairs_fall_by_iou_then_by_likeness_then_as_they_stand(case):
    found, likeness = case
    rank = list(zip((-found.iou.round(DIGITS)).tolist(), (-likeness).tolist(), strict=True))
    expected = sorted(range(len(rank)), key=rank.__getitem__)
    assert falling(found, likeness).tolist() == expected
    assert falling(found).tolist() == sorted(range(len(rank)), key=lambda index: rank[index][0])


@given(overlaps(), st.randoms(use_true_random=False))
def test_the_order_in_which_pairs_stand_changes_only_how_ties_are_broken(case, random):
    found, likeness = case
    apart = found._replace(iou=np.linspace(1, 0.1, len(found.iou)))  # no tie
    order = np.array(random.sample(range(len(found.iou)), len(found.iou)), np.int64)
    moved = Pairs(*(column[order] for column in apart))
    before, after = greedy(apart, falling(apart, likeness)), greedy(moved, falling(moved, likeness[order]))
    assert order[after].tolist() == before.tolist()


@given(
    st.lists(st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, 4 * 10**18]), max_size=60),
    st.integers(0, 2**32),
)
@example([], 0)
def test_the_stable_sort_is_numpys(keys, seed):
    assert _stable(np.array(keys, np.int64)).tolist() == np.argsort(np.array(keys, np.int64), kind="stable").tolist()
    many = np.random.default_rng(seed).integers(-len(keys) - 1, len(keys) + 1, 2000)
    np.testing.assert_array_equal(_stable(many), np.argsort(many, kind="stable"))


@pytest.mark.parametrize("spread", [1, 10, 10**4, 10**9, 2**62])
def test_the_stable_sort_of_many_keys_is_numpys(spread):
    keys = np.random.default_rng(0).integers(-spread, spread, 50_000)
    np.testing.assert_array_equal(_stable(keys), np.argsort(keys, kind="stable"))


# Objects and pairs

edges = st.integers(0, 8) | st.integers(0, 64)
axes = st.lists(edges, min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(axes, axes).map(lambda both: [both[0][0] / 64, both[1][0] / 64, both[0][1] / 64, both[1][1] / 64])
regions = st.builds(
    lambda name, its: Region(name, (0, 1), np.array(its)),
    st.sampled_from(NAMES),
    st.lists(boxes, min_size=1, max_size=3),
)
sides = st.lists(regions, max_size=4)


def snapped(region: Region) -> Region:
    """On the grid."""
    return Region(region.phrase, region.span, cells_to_boxes(boxes_to_cells(region.boxes)))


def gathered(many):
    return gather([GroundedText("", "", tuple(regions), ()) for regions in many])


def things(sample_regions) -> set:
    return {(region.phrase, *box) for region in sample_regions for box in region.boxes.tolist()}


def spelled_out(side, names) -> dict[int, list[tuple]]:
    """Objects as (name, corners), sample by sample, in their order."""
    rows: dict[int, list] = {}
    for sample, name, box in zip(side.sample.tolist(), names.spell(side.name), side.boxes.tolist(), strict=True):
        rows.setdefault(sample, []).append((name, *box))
    return rows


@pytest.mark.parametrize("is_on_grid", [True, False], ids=["on the grid", "off the grid"])
def test_objects_are_the_distinct_ones_by_cells_then_by_corners_then_by_name(is_on_grid):
    @given(st.lists(st.tuples(sides, sides), max_size=4), st.randoms(use_true_random=False))
    def law(samples, random):
        if is_on_grid:
            samples = [tuple([snapped(region) for region in side] for side in both) for both in samples]
        columns = [list(side) for side in zip(*samples, strict=True)] or [[], []]
        *found, names = objects(*map(gathered, columns))
        for side, column in zip(found, columns, strict=True):
            rows = spelled_out(side, names)
            assert (np.diff(side.sample) >= 0).all()
            for sample, its in enumerate(column):
                assert Counter(rows.get(sample, [])) == Counter(things(its))
                its_names = [name for name, *_ in rows.get(sample, [])]
                corners = np.array([box for _, *box in rows.get(sample, [])]).reshape(-1, 4)
                cells = boxes_to_cells(corners).tolist()
                keys = list(zip(cells, corners.tolist(), its_names, strict=True))
                assert keys == sorted(keys)
        # The same objects, whatever the order in which they were found
        shuffled = [[random.sample(its, len(its)) for its in column] for column in columns]
        *again, other = objects(*map(gathered, shuffled))
        for side, same in zip(found, again, strict=True):
            assert spelled_out(side, names) == spelled_out(same, other)

    law()


@given(st.lists(st.tuples(sides, sides), max_size=4))
def test_pairs_are_all_that_overlap_by_sample_reference_and_prediction(samples):
    mine, theirs = ([list(side) for side in column] for column in zip(*samples, strict=True)) if samples else ([], [])
    predicted, reference, _ = objects(gathered(mine), gathered(theirs))
    found = pairs(predicted, reference, len(samples))
    overlap = iou(predicted.boxes, reference.boxes)
    expected = [
        (sample, p, r, overlap[p, r])
        for r, sample in enumerate(reference.sample.tolist())
        for p, other in enumerate(predicted.sample.tolist())
        if sample == other and overlap[p, r] > 0
    ]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_iou_of_pairs_is_that_of_pycocotools(seed):
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    corners = rng.uniform(size=(2, 30, 2, 2))
    mine, theirs = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=2)
    sides = [gathered([[Region("a", (0, 1), side)]]) for side in (mine, theirs)]
    predicted, reference, _ = objects(*sides)
    found = pairs(predicted, reference, 1)
    xywh = [
        np.concatenate([side.boxes[:, :2], side.boxes[:, 2:] - side.boxes[:, :2]], 1)
        for side in (predicted, reference)
    ]
    expected = mask.iou(*xywh, [0] * len(theirs))
    assert len(found.iou) == (expected > 0).sum()
    np.testing.assert_allclose(found.iou, expected[found.predicted, found.reference], atol=1e-12)


def test_the_same_object_from_cells_and_from_decimals_counts_once():
    predicted, reference, _ = objects(scan(["[a](<0, 42>, <0.025, 0.025, 0.125, 0.125>) [b](<0, 42>)"]), scan([""]))
    assert (len(predicted.name), len(reference.name)) == (2, 0)
    predicted, *_ = objects(scan(["[a](<0, 42>, <0.025, 0.025, 0.125, 0.126>)"]), scan([""]))
    assert predicted.boxes.tolist() == [[0.025, 0.025, 0.125, 0.125], [0.025, 0.025, 0.125, 0.126]]


def test_a_minus_before_zero_makes_no_other_box():
    predicted, *_ = objects(scan(["[a](<0, 0, 0.5, 0.5>, <-0.0, -0, 0.5, 0.5>)"]), scan([""]))
    assert len(predicted.name) == 1


def test_no_samples_have_no_objects_and_no_pairs():
    predicted, reference, _ = objects(scan([]), scan([]))
    found = pairs(predicted, reference, 0)
    assert [len(column) for column in found] == [0] * 4
    assert greedy(found, falling(found, np.zeros(0))).tolist() == []


# The preset `glamm`: eval/gcg/evaluate.py of mbzuai-oryx/groundingLMM, in plain Python. Its `compute_miou` has a
# matrix of predictions by references, its `find_best_matches` one of references by predictions


class Box(NamedTuple):
    """Corners in hundredths."""

    x1: int
    y1: int
    x2: int
    y2: int


def plain_iou(a: Box, b: Box) -> Fraction:
    wide, high = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(wide, 0) * max(high, 0)
    return Fraction(shared, (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared)


def best_first(rows, columns) -> list[tuple[int, int]]:
    """All matches, by IoU alone: the highest of the matrix, then without its row and its column, to the end."""
    matrix = {(r, c): plain_iou(row[1], column[1]) for r, row in enumerate(rows) for c, column in enumerate(columns)}
    found = []
    while matrix and max(matrix.values()) > 0:
        best = max(matrix, key=matrix.__getitem__)  # of equal ones the first
        found.append(best)
        matrix = {at: value for at, value in matrix.items() if at[0] != best[0] and at[1] != best[1]}
    return found


def glamm_scores(samples, likeness, iou_threshold, similarity_threshold) -> dict:
    recalled, mious, stricts = 0, [], []
    for mine, theirs in samples:
        for r, p in best_first(theirs, mine):
            (label, box), (name, other) = theirs[r], mine[p]
            alike = likeness(name, label)
            if plain_iou(box, other) < Fraction(str(iou_threshold)) or alike < similarity_threshold:
                break
            recalled += 1
        if theirs:
            overlaps = [plain_iou(mine[p][1], theirs[r][1]) for p, r in best_first(mine, theirs)]
            mious.append(sum(overlaps) / len(overlaps) if overlaps else 0)
            stricts.append(sum(overlaps) / len(theirs))
    n_predicted, n_reference = (sum(len(both[side]) for both in samples) for side in (0, 1))
    if not n_predicted:  # the means do not exist; what was not found is 0
        found = 0.0 if n_reference else None
        absent = dict.fromkeys(("miou", "tag_recall", "precision"))
        return absent | {"miou_strict": found, "tag_recall_micro": found, "f1": found}
    recall = Fraction(recalled, n_reference) if n_reference else None
    f1 = None if recall is None else 2 * Fraction(recalled, n_predicted + n_reference)
    means = [sum(values) / Fraction(len(values)) if values else None for values in (mious, stricts)]
    values = [*means, recall, recall, Fraction(recalled, n_predicted), f1]
    keys = ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
    return {key: None if value is None else float(value) for key, value in zip(keys, values, strict=True)}


def write(side) -> str:
    return " ".join(f"[{name}](<{', '.join(f'{value / 100:.2f}' for value in box)}>)" for name, box in side)


def as_glamm(mine, theirs, **options) -> dict:
    options = {"similarity": "exact", "preset": "glamm", "box_format": "giqa_decimal"} | options
    return giqa_grounding([write(side) for side in mine], [write(side) for side in theirs], **options)


few = st.lists(st.integers(0, 12), min_size=2, max_size=2, unique=True).map(sorted)
small = st.tuples(few, few).map(lambda both: Box(both[0][0], both[1][0], both[0][1], both[1][1]))
# Texts as models write them: boxes that come twice, and many that overlap equally, in any order
tied = st.sampled_from([Box(x, y, x + 4, y + 4) for x in (0, 2, 4) for y in (0, 2)])
glamm_sides = st.lists(st.tuples(st.sampled_from(NAMES), tied | small), max_size=6)
likenesses = st.fixed_dictionaries(
    {(one, other): st.sampled_from([-0.1, 0.2, 0.5, 0.8, 1.0]) for one in NAMES for other in NAMES}
)


@given(
    st.lists(st.tuples(glamm_sides, glamm_sides), min_size=1, max_size=4),
    likenesses,
    st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]),
    st.sampled_from([0.0, 0.5, 0.8, 1.0]),
)
def test_glamm_is_its_rule_written_down_plainly(samples, likeness, iou_threshold, similarity_threshold):
    def table(a, b):
        return np.array([[likeness[one, other] for other in b] for one in a])

    thresholds = {"iou_threshold": iou_threshold, "similarity_threshold": similarity_threshold}
    mine, theirs = zip(*samples, strict=True)
    scores = as_glamm(mine, theirs, similarity=table, **thresholds)
    expected = glamm_scores(samples, lambda one, other: likeness[one, other], **thresholds)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert scores["tag_recall"] == (scores["tag_recall_micro"] if scores["n_predicted"] else None)


@pytest.mark.parametrize("seed", range(4))
def test_glamm_by_the_embeddings_of_a_real_encoder_is_its_rule_in_any_order(seed):
    paired = similarity_named("minilm").paired
    rng = random.Random(seed)
    names = ["cat", "kitten", "dog", "puppy", "a red cup", "coffee mug", "wall"]

    def side():
        written = [(rng.choice(names), Box(x, y, x + 4, y + 4)) for x in (0, 2, 4) for y in (0, 3)]
        return rng.choices(written, k=rng.randint(0, 8))

    samples = [(side(), side()) for _ in range(150)]
    expected = glamm_scores(samples, lambda one, other: paired([one], [other])[0], 0.3, 0.5)
    scores = as_glamm(*zip(*samples, strict=True), similarity="minilm", iou_threshold=0.3)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    backwards = [(mine[::-1], theirs[::-1]) for mine, theirs in samples]
    assert glamm_scores(backwards, lambda *_: 1.0, 0.3, 0.5) != glamm_scores(samples, lambda *_: 1.0, 0.3, 0.5)


LEFT, LEFT_SMALLER, RIGHT = Box(0, 0, 40, 40), Box(0, 0, 40, 30), Box(60, 60, 90, 90)


def test_glamm_stops_at_the_first_pair_whose_names_differ_and_loses_a_later_good_one():
    mine, theirs = [("wall", LEFT), ("dog", Box(60, 60, 90, 87))], [("cat", LEFT), ("dog", RIGHT)]
    assert as_glamm([mine], [theirs])["tag_recall"] == 0.0
    assert as_glamm([mine], [theirs], preset="paper")["tag_recall"] == 0.5
    # The good pair first, and it stands
    mine, theirs = [("wall", LEFT_SMALLER), ("dog", RIGHT)], [("cat", LEFT), ("dog", RIGHT)]
    assert as_glamm([mine], [theirs])["tag_recall"] == 0.5


def test_glamm_stops_one_sample_and_not_the_next():
    stopped = [("wall", LEFT), ("dog", Box(60, 60, 90, 87))], [("cat", LEFT), ("dog", RIGHT)]
    good = [("dog", LEFT_SMALLER)], [("dog", LEFT)]
    assert as_glamm(*zip(stopped, good, strict=True))["tag_recall"] == pytest.approx(1 / 3)
    assert as_glamm(*zip(good, stopped, strict=True))["tag_recall"] == pytest.approx(1 / 3)


def test_glamm_matches_by_iou_whatever_the_names():
    # The better box has the wrong name and takes the reference; the paper's Tag-Recall looks among good names alone
    mine, theirs = [("wall", LEFT), ("cat", LEFT_SMALLER)], [("cat", LEFT)]
    assert as_glamm([mine], [theirs])["tag_recall"] == 0.0
    assert as_glamm([mine], [theirs], preset="paper")["tag_recall"] == 1.0
    assert as_glamm([mine], [theirs])["miou"] == 1.0


def test_glamm_breaks_ties_of_iou_by_place_and_not_by_name():
    # Both overlap the middle one by a third
    upper, middle, lower = Box(0, 0, 40, 40), Box(0, 20, 40, 60), Box(0, 40, 40, 80)
    mine, theirs = [("dog", middle)], [("cat", upper), ("dog", lower)]
    options = {"iou_threshold": 0.3}
    assert as_glamm([mine], [theirs], **options)["tag_recall"] == 0.0
    assert as_glamm([mine], [theirs], preset="paper", **options)["tag_recall"] == 0.5
    assert as_glamm([mine], [[("dog", upper), ("cat", lower)]], **options)["tag_recall"] == 0.5


def test_glamms_thresholds_are_reached_when_equalled():
    half = [[("dog", LEFT)]], [[("dog", Box(0, 0, 40, 80))]]
    assert as_glamm(*half)["miou"] == 0.5
    assert as_glamm(*half)["tag_recall"] == 1.0
    assert as_glamm(*half, preset="paper")["tag_recall"] == 0.0
    assert as_glamm(*half, iou_threshold=0.501)["tag_recall"] == 0.0

    def alike(a, b):
        return np.full((len(a), len(b)), 0.5)

    same = [[("dog", LEFT)]], [[("cat", LEFT)]]
    assert as_glamm(*same, similarity=alike)["tag_recall"] == 1.0
    assert as_glamm(*same, similarity=alike, preset="paper")["tag_recall"] == 0.0
    assert as_glamm(*same, similarity=alike, similarity_threshold=0.501)["tag_recall"] == 0.0
    assert as_glamm(*half, iou_threshold=0.5, similarity_threshold=1.0)["tag_recall"] == 1.0


def test_glamms_recall_is_micro():
    mine = [[("dog", LEFT)], [("dog", LEFT)]]
    theirs = [[("dog", LEFT)], [("dog", LEFT), ("cat", RIGHT), ("wall", Box(0, 60, 20, 90))]]
    scores = as_glamm(mine, theirs)
    assert scores["tag_recall"] == scores["tag_recall_micro"] == 0.5
    assert as_glamm(mine, theirs, preset="paper")["tag_recall"] == pytest.approx((1 + 1 / 3) / 2)


def test_glamm_stands_in_the_signature_with_its_own_signs():
    keys = dict(
        part.split(":", 1) for part in as_glamm([[("dog", LEFT)]], [[("dog", LEFT)]])["signature"].split("|")[1:]
    )
    assert (keys["preset"], keys["iou"], keys["names"]) == ("glamm", ">=0.5", "exact>=0.5")
    assert keys["match"] == "greedy-until-names-differ"
    paper = as_glamm([[("dog", LEFT)]], [[("dog", LEFT)]], preset="paper")["signature"]
    assert "glamm" not in paper
    assert "|match:greedy|iou:>0.5|names:exact>0.5|" in paper


def test_glamm_compares_names_by_bert_and_says_so_where_its_weights_cannot_be_had():
    with pytest.raises(OSError, match=r"'bert-base-uncased' is no folder here, is not installed") as error:
        giqa_grounding(["[dog](<0, 42>)"], ["[dog](<0, 42>)"], preset="glamm")
    message = str(error.value)
    assert "\n" not in message
    assert "'lexical'" in message
    assert "GIQA_MINILM" not in message  # which is no way to get at BERT


def test_the_paper_compares_names_by_minilm():
    scores = giqa_grounding(["[dog](<0, 42>)"], ["[dog](<0, 42>)"])
    assert "|names:minilm@" in scores["signature"]
    assert scores["tag_recall"] == 1.0
