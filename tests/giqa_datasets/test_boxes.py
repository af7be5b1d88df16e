import numpy as np
import pytest

from giqa_datasets.boxes import area, coverage, hull, intersection, iou, to_boxes, touch


def random_boxes(rng, n):
    corners = rng.uniform(size=(n, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def xywh(xyxy):
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_iou_is_that_of_pycocotools(seed):
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 23), random_boxes(rng, 17)
    expected = mask.iou(xywh(a), xywh(b), [0] * len(b))
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_symmetric_and_of_equal_boxes_one(seed):
    boxes = random_boxes(np.random.default_rng(seed), 30)
    for overlap in (iou, coverage):
        both = overlap(boxes, boxes)
        np.testing.assert_allclose(both, both.T, atol=1e-12)
        np.testing.assert_allclose(np.diag(both), 1)
        assert ((both >= 0) & (both <= 1 + 1e-12)).all()


@pytest.mark.parametrize("seed", range(5))
def test_coverage_is_never_below_iou_and_one_where_a_box_lies_inside_another(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 20)
    others = random_boxes(rng, 20)
    assert (coverage(boxes, others) >= iou(boxes, others) - 1e-12).all()
    inner = boxes + np.tile((boxes[:, 2:] - boxes[:, :2]) / 4, 2) * [1, 1, -1, -1]
    np.testing.assert_allclose(np.diag(coverage(inner, boxes)), 1)


@pytest.mark.parametrize("overlap", [intersection, iou, coverage, touch])
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_overlaps_of_no_boxes_keep_their_shape(overlap, n, m):
    rng = np.random.default_rng(0)
    assert overlap(random_boxes(rng, n), random_boxes(rng, m)).shape == (n, m)


def test_area_of_no_boxes_is_empty():
    assert area(to_boxes([])).shape == (0,)


def test_overlaps_of_boxes_without_area_are_zero_and_not_nan():
    point = np.array([[0.5, 0.5, 0.5, 0.5]])
    assert iou(point, point).tolist() == coverage(point, point).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0.5, 0.25, 0.75, 0.5], True),  # shares the right edge
        ([0.25, 0.5, 0.5, 0.75], True),  # shares the lower edge
        ([0.5, 0.5, 0.75, 0.75], True),  # shares a corner
        ([0.3, 0.3, 0.4, 0.4], True),  # lies inside
        ([0.4, 0.4, 0.75, 0.75], True),  # overlaps
        ([0.51, 0.25, 0.75, 0.5], False),
        ([0.25, 0.51, 0.5, 0.75], False),
        ([0.51, 0.51, 0.75, 0.75], False),
    ],
)
def test_touch_includes_shared_edges_and_corners(other, expected):
    a, b = to_boxes([[0.25, 0.25, 0.5, 0.5]]), to_boxes([other])
    assert touch(a, b).tolist() == touch(b, a).tolist() == [[expected]]


def test_hull_is_the_smallest_box_that_holds_all():
    boxes = random_boxes(np.random.default_rng(0), 7)
    x1, y1, x2, y2 = hull(boxes)
    assert (x1, y1) == (boxes[:, 0].min(), boxes[:, 1].min())
    assert (x2, y2) == (boxes[:, 2].max(), boxes[:, 3].max())


def test_hull_of_one_box_is_the_box():
    assert hull(to_boxes([[0.1, 0.2, 0.3, 0.4]])).tolist() == [0.1, 0.2, 0.3, 0.4]


def test_hull_of_no_boxes_is_refused():
    with pytest.raises(ValueError, match="expected at least one box to enclose, got none"):
        hull(to_boxes([]))


def test_boxes_are_not_changed_by_measuring_them():
    boxes = random_boxes(np.random.default_rng(0), 5)
    before = boxes.copy()
    for measure in (area, hull):
        measure(boxes)
    for overlap in (intersection, iou, coverage, touch):
        overlap(boxes, boxes)
    assert (boxes == before).all()


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 4)), np.zeros((0,))])
def test_no_boxes_become_an_empty_array_of_boxes(nothing):
    assert to_boxes(nothing).shape == (0, 4)


def test_to_boxes_keeps_the_numbers():
    given = [[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]]
    assert to_boxes(given).tolist() == given
    assert to_boxes(given).dtype == np.float64


@pytest.mark.parametrize(
    "refused",
    [
        [0.1, 0.2, 0.3, 0.4],  # one box that is not in a list
        [[0.1, 0.2, 0.3]],
        [[0.1, 0.2, 0.3, 0.4, 0.5]],
        [[[0.1, 0.2, 0.3, 0.4]]],
        0.5,
    ],
)
def test_to_boxes_refuses_another_shape_in_one_sentence(refused):
    with pytest.raises(ValueError, match=r"^expected boxes of shape \(N, 4\), got \(.*\)$"):
        to_boxes(refused)


@pytest.mark.parametrize(
    "refused",
    [
        [np.nan, 0.2, 0.3, 0.4],
        [0.1, 0.2, np.nan, 0.4],
        [0.1, 0.2, np.inf, 0.4],
        [-0.1, 0.2, 0.3, 0.4],
        [0.1, 0.2, 0.3, 1.1],
        [0.3, 0.2, 0.1, 0.4],  # reversed in x
        [0.1, 0.4, 0.3, 0.2],  # reversed in y
        [0.1, 0.2, 0.1, 0.4],  # no width
        [0.1, 0.2, 0.3, 0.2],  # no height
        [10, 20, 30, 40],  # pixels
    ],
)
def test_to_boxes_refuses_what_is_no_normalised_box_in_one_sentence(refused):
    with pytest.raises(ValueError, match=r"^expected boxes with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, got \[\["):
        to_boxes([[0.1, 0.2, 0.3, 0.4], refused])
