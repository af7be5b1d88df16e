"""The rules for stuff and colours: each on a small picture with a known answer, then on any picture and phrase."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from giqa_datasets.boxes import iou, to_boxes
from giqa_datasets.images import decode
from giqa_datasets.pipeline.backends.region_detector import (
    AREAS,
    COLOURS,
    FILLS,
    RegionDetector,
    _either,
    region_words,
    regions,
)
from giqa_datasets.sources import mini


GREY, RED, YELLOW, BLUE, GREEN, WHITE = "#808080", "#d01818", "#e8d020", "#3070d0", "#308030", "#f4f4f4"
LEFT, RIGHT = (0.125, 0.25, 0.375, 0.5), (0.625, 0.25, 0.875, 0.5)


def picture(
    *painted: tuple[str, tuple[float, float, float, float]], ground: str = GREY, side: int = 128
) -> Image.Image:
    image = Image.new("RGB", (side, side), ground)
    for colour, box in painted:
        x1, y1, x2, y2 = (round(part * side) for part in box)
        image.paste(colour, (x1, y1, x2, y2))
    return image


def found(image: Image.Image, phrase: str) -> np.ndarray:
    boxes = regions(image, phrase)
    assert boxes is not None, phrase
    return to_boxes(boxes)


@pytest.mark.parametrize(
    ("phrase", "colour", "box"),
    [
        ("sky", BLUE, (0, 0, 1, 0.5)),
        ("pale sky", WHITE, (0, 0, 1, 0.5)),
        ("grass", GREEN, (0, 0.5, 1, 1)),
        ("lawn", GREEN, (0, 0.75, 1, 1)),
        ("road", GREY, (0, 0.5, 1, 1)),
        ("snow", WHITE, (0, 0.5, 1, 1)),
        ("brick wall", RED, (0.25, 0, 1, 0.75)),
        ("stone wall", GREY, (0.25, 0, 1, 0.75)),
        ("red cup", RED, LEFT),
        ("yellow flower", YELLOW, LEFT),
        ("bright blue disc", BLUE, RIGHT),
    ],
)
def test_what_has_the_colour_and_the_place_is_found(phrase, colour, box):
    (only,) = found(picture((colour, box), ground="#a03070"), phrase)
    assert iou(only[None], np.array([box])).item() > 0.9


def test_several_things_are_asked_for_in_the_plural():
    both = picture((YELLOW, LEFT), (YELLOW, RIGHT))
    assert len(found(both, "yellow flowers")) == 2
    assert len(found(both, "yellow flower")) == 0
    assert len(found(picture((YELLOW, LEFT)), "yellow flowers")) == 0


@pytest.mark.parametrize(("word", "box"), [("left", LEFT), ("right", RIGHT)])
def test_a_position_says_which_one(word, box):
    (only,) = found(picture((YELLOW, LEFT), (YELLOW, RIGHT)), f"{word} yellow flower")
    assert iou(only[None], np.array([box])).item() > 0.9


@pytest.mark.parametrize(
    ("image", "phrase"),
    [
        pytest.param(picture(), "red cup", id="nothing has the colour"),
        pytest.param(picture((RED, (0.5, 0.5, 0.515, 0.515))), "red cup", id="a speck"),
        pytest.param(picture((RED, (0, 0, 1, 0.4))), "red cup", id="it meets three edges of the picture"),
        pytest.param(picture((RED, (0.05, 0.05, 0.95, 0.95))), "red cup", id="most of the picture"),
        pytest.param(picture((BLUE, (0, 0.5, 1, 1)), ground="#a03070"), "sky", id="a sky at the bottom"),
        pytest.param(picture((GREEN, (0, 0, 1, 0.5)), ground="#a03070"), "grass", id="grass at the top"),
        pytest.param(picture((GREEN, (0.4, 0.5, 0.6, 1))), "grass", id="along too little of the edge"),
        pytest.param(picture((RED, (0, 0, 0.2, 0.2))), "brick wall", id="a small wall"),
    ],
)
def test_where_a_rule_is_not_sure_it_finds_nothing(image, phrase):
    assert found(image, phrase).shape == (0, 4)


@pytest.mark.parametrize("phrase", ["", "?!", "castle", "wall", "tall cup", "red", "corner", "left", "white cup"])
def test_a_phrase_without_a_rule_is_unknown(phrase):
    assert regions(picture((RED, LEFT)), phrase) is None


@pytest.mark.parametrize("noun", region_words()["missed"])
def test_what_the_rules_are_known_to_miss_is_unknown_also_if_coco_has_a_box(noun):
    image = picture((GREEN, LEFT))
    assert regions(image, f"green {noun}") is None
    assert _either(image, f"green {noun}", np.array([LEFT])) is None


@pytest.mark.parametrize(
    ("phrase", "corners"),
    [
        ("top left corner", [(0, 0)]),
        ("upper right corner", [(2, 0)]),
        ("right corners", [(2, 0), (2, 2)]),
        ("lower corners", [(0, 2), (2, 2)]),
    ],
)
def test_a_corner_is_a_third_of_each_side(phrase, corners):
    boxes = {tuple(box) for box in (found(picture(), phrase) * 3).round(9).tolist()}
    assert boxes == {(x, y, x + 1, y + 1) for x, y in corners}


@pytest.mark.parametrize(
    ("phrase", "chosen"),
    [
        ("car", None),
        ("cars", [LEFT, RIGHT]),
        ("left car", [LEFT]),
        ("right car", [RIGHT]),
        ("red car", [LEFT]),
        ("white car", [RIGHT]),
        ("blue car", None),
        ("middle car", None),
    ],
)
def test_of_two_boxes_of_a_class_the_one_that_is_meant_is_taken(phrase, chosen):
    boxes = _either(picture((RED, LEFT), (WHITE, RIGHT)), phrase, np.array([LEFT, RIGHT]))
    assert boxes is not None
    assert boxes.tolist() == [list(box) for box in chosen or ()]


def test_of_several_the_clearly_largest_is_taken():
    large, small = (0.0, 0.0, 0.5, 1.0), (0.6, 0.0, 0.9, 1.0)
    boxes = _either(picture(), "man", np.array([small, large]))
    assert boxes is not None
    assert boxes.tolist() == [list(large)]


def test_a_class_that_is_not_found_is_looked_for_by_its_colour():
    image, nothing = picture((YELLOW, LEFT)), np.zeros((0, 4))
    assert len(_either(image, "yellow ball", nothing)) == 1
    assert _either(image, "ball", nothing) is nothing
    assert _either(image, "ball", None) is None


@pytest.mark.parametrize(
    ("photo", "phrase"),
    [
        ("astronaut", "orange suit"),
        ("coffee", "red saucer"),
        ("rocket", "sky"),
        ("road", "road"),
        ("road", "sky"),
        ("roof", "sky"),
        ("eiffel", "lawn"),
        ("greenscreen", "yellow ball"),
        ("walls_l", "brick wall"),
    ],
)
def test_real_things_are_found_where_a_hand_drew_them(photo, phrase):
    (record,) = (entry.load() for entry in mini.hand_made("test") if entry.id == photo)
    drawn = {region.phrase: region.boxes for region in record.samples[0].answer_regions}
    drawn.setdefault("red saucer", drawn.get("saucer", np.zeros((0, 4))))
    (only,) = found(decode(record.photograph.image, name=photo), phrase)
    assert iou(only[None], drawn[phrase]).item() >= 0.5


def test_the_detector_has_both_and_the_same_boxes_in_any_order():
    detector = RegionDetector()
    image = picture((RED, LEFT))
    ((cup, castle),) = detector.detect([image], [["red disc", "castle"]])
    (_, (again,)) = detector.detect([picture((BLUE, (0, 0, 1, 0.5))), image], [["sky"], ["red disc"]])
    assert castle is None
    assert len(cup) == 1
    assert cup.tolist() == again.tolist()


WORDS = sorted({word for kind in ("colours", "shades", "stuff", "positions") for word in region_words()[kind]})
phrases = st.text(max_size=12) | st.lists(
    st.sampled_from([*WORDS, "cup", "cups", "corner", "corners", *region_words()["missed"]]), max_size=4
).map(" ".join)


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """Noise, flat colours or blocks of them, of any small size and shape."""
    width, height, cell = (draw(st.integers(1, top)) for top in (90, 90, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    blocks = cells.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    return Image.fromarray(blocks).convert(draw(st.sampled_from(["RGB", "L", "RGBA"])))


@settings(max_examples=200, deadline=None)
@given(pictures(), phrases)
def test_any_picture_and_phrase_give_no_rule_or_boxes_inside(image, phrase):
    boxes = regions(image, phrase)
    if boxes is not None:
        assert boxes.shape == to_boxes(boxes).shape
        again = regions(image, phrase)
        assert again is not None
        assert boxes.tolist() == again.tolist()


@settings(max_examples=50, deadline=None)
@given(pictures(), phrases, st.lists(st.sampled_from([LEFT, RIGHT, (0.0, 0.0, 1.0, 1.0), (0.1, 0.1, 0.1001, 0.1001)])))
def test_any_boxes_of_a_class_are_narrowed(image, phrase, given_boxes):
    boxes = _either(image, phrase, to_boxes(given_boxes))
    if boxes is not None:
        assert len(to_boxes(boxes)) == len(boxes)


def test_the_word_list_names_only_what_the_rules_have():
    words = region_words()
    named = [
        *words["colours"].values(),
        *words["shades"].values(),
        *(kind["colours"] for kind in words["stuff"].values()),
    ]
    assert {colour for colours in named for colour in colours} <= set(COLOURS)
    assert {kind["kind"] for kind in words["stuff"].values()} < set(AREAS) == set(FILLS)
    assert not set(words["missed"]) & set(words["stuff"])
    assert all(len(to_boxes([box])) == 1 for box in words["positions"].values())
