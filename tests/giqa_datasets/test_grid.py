import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.grid import SIDE, box_to_cells, boxes_to_cells, cells_to_boxes, is_rectangle


# The fragments that the paper's figures print (protocol, section 1)
FRAGMENTS = [
    (35, 319),
    (240, 399),
    (160, 299),
    (6, 399),
    (60, 230),
    (111, 219),
    (160, 248),
    (260, 387),
    (33, 354),
    (22, 324),
    (46, 313),
    (142, 309),
]
CELL = 1 / SIDE
LINE = 1e-6  # a corner this near to a grid line counts as on it


@pytest.fixture(scope="module")
def rectangles():
    """Every pair of cells that are the corners of a rectangle."""
    first, last = np.meshgrid(np.arange(SIDE**2), np.arange(SIDE**2), indexing="ij")
    valid = (first % SIDE <= last % SIDE) & (first // SIDE <= last // SIDE)
    return np.stack([first[valid], last[valid]], axis=1)


def test_there_are_44_100_rectangles_on_the_grid(rectangles):
    assert len(rectangles) == 44_100 == sum(is_rectangle(a, b) for a in range(SIDE**2) for b in range(SIDE**2))


def test_every_rectangle_survives_decode_and_encode(rectangles):
    assert (boxes_to_cells(cells_to_boxes(rectangles)) == rectangles).all()


def test_one_box_at_a_time_gives_the_same_cells(rectangles):
    edges = np.linspace(0, 1, SIDE + 1)
    rng = np.random.default_rng(0)
    values = np.concatenate([edges, edges + 0.9e-6, edges - 0.9e-6, edges + 1.1e-6, edges - 1.1e-6, rng.random(500)])
    boxes = np.concatenate([rng.choice(values, (20_000, 4)), cells_to_boxes(rectangles)])
    assert [list(box_to_cells(*box)) for box in boxes.tolist()] == boxes_to_cells(boxes).tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_box_of_no_numbers_is_refused(bad):
    with pytest.raises(ValueError, match="expected a box of finite numbers"):
        box_to_cells(0.1, bad, 0.5, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_rectangle_survives_storage_as_a_column(rectangles, dtype):
    assert (boxes_to_cells(cells_to_boxes(rectangles).astype(dtype)) == rectangles).all()


def test_every_decoded_box_has_an_area_and_lies_in_the_image(rectangles):
    boxes = cells_to_boxes(rectangles)
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert ((boxes >= 0) & (boxes <= 1)).all()


def test_boxes_whose_corners_differ_in_row_and_column_decode_to_cell_centres(rectangles):
    columns, rows = rectangles % SIDE, rectangles // SIDE
    full = (columns[:, 0] < columns[:, 1]) & (rows[:, 0] < rows[:, 1])
    centres = np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], axis=1) * CELL + CELL / 2
    np.testing.assert_allclose(cells_to_boxes(rectangles)[full], centres[full], atol=1e-12)


def test_boxes_in_one_row_or_column_decode_to_the_outer_edges_of_their_cells(rectangles):
    columns, rows = rectangles % SIDE, rectangles // SIDE
    flat = (columns[:, 0] == columns[:, 1]) | (rows[:, 0] == rows[:, 1])
    edges = np.stack([columns[:, 0], rows[:, 0], columns[:, 1] + 1, rows[:, 1] + 1], axis=1) * CELL
    np.testing.assert_allclose(cells_to_boxes(rectangles)[flat], edges[flat], atol=1e-12)


@pytest.mark.parametrize(("first", "last"), FRAGMENTS)
def test_the_papers_fragments_are_rectangles_that_survive(first, last):
    assert is_rectangle(first, last)
    assert boxes_to_cells(cells_to_boxes(np.array([[first, last]]))).tolist() == [[first, last]]


def test_the_papers_tower_decodes_to_centres():
    # <35, 319>: row 1 column 15 to row 15 column 19
    np.testing.assert_allclose(cells_to_boxes(np.array([[35, 319]])), [[15.5 / 20, 1.5 / 20, 19.5 / 20, 15.5 / 20]])


@pytest.mark.parametrize("line", range(1, SIDE))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_corner_on_a_grid_line_does_not_reach_into_the_next_cell(line, dtype):
    v = line / SIDE
    ends_there = np.array([[0, 0, v, v]], dtype=dtype)
    starts_there = np.array([[v, v, 1, 1]], dtype=dtype)
    assert boxes_to_cells(ends_there).tolist() == [[0, (line - 1) * SIDE + line - 1]]
    assert boxes_to_cells(starts_there).tolist() == [[line * SIDE + line, SIDE**2 - 1]]


@pytest.mark.parametrize("line", range(1, SIDE))
def test_a_corner_clearly_past_a_grid_line_reaches_into_the_next_cell(line):
    v = line / SIDE
    assert boxes_to_cells(np.array([[0, 0, v + 3 * LINE, v + 3 * LINE]])).tolist() == [[0, line * SIDE + line]]
    assert boxes_to_cells(np.array([[v - 3 * LINE, 0, 1, 1]]))[0, 0] == line - 1


def test_the_whole_image_is_the_first_and_the_last_cell():
    assert boxes_to_cells(np.array([[0, 0, 1, 1]])).tolist() == [[0, 399]]


def test_no_boxes_are_no_cells_and_back():
    assert boxes_to_cells(np.zeros((0, 4))).shape == (0, 2)
    assert cells_to_boxes(np.zeros((0, 2), dtype=np.int64)).shape == (0, 4)


@st.composite
def boxes(draw):
    """Any one box, however thin."""
    axis = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
    (x1, x2), (y1, y2) = draw(axis), draw(axis)
    return np.array([[x1, y1, x2, y2]])


@given(boxes())
def test_a_box_comes_back_within_one_cell_on_each_side(box):
    cells = boxes_to_cells(box)
    assert is_rectangle(*cells[0].tolist())
    assert np.abs(cells_to_boxes(cells) - box).max() <= CELL + LINE


@given(boxes())
def test_encoding_what_was_decoded_changes_no_cell(box):
    cells = boxes_to_cells(box)
    assert (boxes_to_cells(cells_to_boxes(cells)) == cells).all()
