"""The format doctor: models that speak each format, some badly, some not at all, and some that do not look."""

import io
import json
import random
import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from giqa_datasets.boxes import iou
from giqa_datasets.formats import FORMATS, Sizes, box_format
from giqa_datasets.formats.frames import resized
from giqa_datasets.regions import Region
from giqa_metrics.doctor.diagnose import ENOUGH
from giqa_metrics.doctor.examine import QUESTIONS, examine
from giqa_metrics.doctor.reading import read
from giqa_metrics.doctor.squares import COLOURS, SIZES, draw_pictures
from giqa_metrics.models import Answer
from giqa_metrics.models.server import UNFIT


pytestmark = pytest.mark.slow


MAX_PIXELS = 200_000  # of the scripted Qwen2.5-VL, so that its input is smaller than the image
PADDED = {"llava", "shikra", "groundinggpt"}  # one frame, and one box is written alike but for spaces and decimals
# `pixels` reads Qwen2.5-VL's key as well, and counts in the input's pixels where they are known
ALIKE = {name: PADDED for name in PADDED} | {"qwen2_5_vl": {"qwen2_5_vl", "pixels"}}
BENCHMARK, DES, WHERE, AS_JSON, LLAVA = QUESTIONS


draw = cache(draw_pictures)


@pytest.fixture(scope="module")
def pictures():
    return draw(20, 0)


class Scripted:
    """A predictor that looks at the picture: `say` is told the colour, the box, the image's size and the question."""

    model_type = None
    batch_size = 3

    def __init__(self, say: Callable[..., str]) -> None:
        self.say = say
        self.asked: list[str] = []

    def answer(self, batches):
        for batch in batches:
            for sample in reversed(batch):
                self.asked.append(sample.prompt)
                colour, box, size = find(sample.image)
                text = self.say(colour, box, size, sample.prompt)
                yield Answer(sample.id, text, resized(size, max_pixels=MAX_PIXELS))


@cache
def find(image: bytes) -> tuple[str, np.ndarray, tuple[int, int]]:
    """The square's colour and corners, normalised xyxy, and the image's size."""
    pixels = np.asarray(Image.open(io.BytesIO(image)))
    for colour, rgb in COLOURS.items():
        ys, xs = np.nonzero((pixels == rgb).all(axis=-1))
        if len(xs) > 500:
            corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            return colour, corners / np.tile(pixels.shape[1::-1], 2), pixels.shape[1::-1]
    raise AssertionError("no square")


def write(name: str, colour: str, box: np.ndarray, size: tuple[int, int]) -> str:
    plain, phrase = f"There is a {colour} square.", f"{colour} square"
    start = plain.find(phrase)
    sizes = Sizes(size, resized(size, max_pixels=MAX_PIXELS))
    return box_format(name).write(plain, [Region(phrase, (start, start + len(phrase)), box[None])], sizes)


def speaker(name: str) -> Scripted:
    return Scripted(lambda colour, box, size, prompt: write(name, colour, box, size))


def shaken(box: np.ndarray, rng: random.Random, by: float = 0.03) -> np.ndarray:
    moved = np.clip(box + [rng.uniform(-by, by) for _ in range(4)], 0, 1)
    return np.concatenate([np.minimum(moved[:2], moved[2:] - 0.05).clip(0), moved[2:].clip(0.05)])


# What is drawn


def test_a_picture_holds_one_square_where_it_says_and_comes_from_its_seed(pictures):
    for picture in pictures:
        colour, box, size = find(picture.image)
        assert (colour, size) == (picture.colour, picture.size)
        assert box.tolist() == picture.box.tolist()
        assert (Image.open(io.BytesIO(picture.image)).mode, min(box[2:] - box[:2]) > 0.1) == ("RGB", True)
    assert [picture.image for picture in draw_pictures(3, seed=0)] == [picture.image for picture in pictures[:3]]
    assert pictures[0].image != draw_pictures(1, seed=1)[0].image
    assert {picture.size for picture in pictures} == set(SIZES)
    assert {(picture.colour, picture.size) for picture in pictures} == {(c, s) for c in COLOURS for s in SIZES}


@pytest.mark.parametrize("seed", [0, 7])
def test_no_format_reads_what_a_perfect_speaker_of_another_says(seed):
    pictures = draw(20, seed)
    inputs = [resized(picture.size, max_pixels=MAX_PIXELS) for picture in pictures]
    for spoken in FORMATS:
        texts = [write(spoken, picture.colour, picture.box, picture.size) for picture in pictures]
        scores = {}
        for name in FORMATS:
            found = [read(name, *told).boxes for told in zip(texts, pictures, inputs, strict=True)]
            each = [iou(boxes, p.box[None]).max(initial=0) for boxes, p in zip(found, pictures, strict=True)]
            scores[name] = np.mean(each)
        alike = ALIKE.get(spoken, {spoken})
        assert min(scores[name] for name in alike) > 0.8
        assert max(scores[name] for name in FORMATS if name not in alike) < 0.1


# Whom it believes


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_that_speaks_a_format_is_told_by_it(name, pictures):
    found = examine(speaker(name), pictures)
    assert found.box_format == name
    assert set(found.alike) == ALIKE.get(name, {name}) - {name}
    best = found.fits[0]
    assert (best.name, best.readable, best.sure) == (name, 20, 1.0)
    assert best.mean_iou > 0.8
    assert best.median_error < 0.7
    assert (found.p_value, found.nameless) == (1 / 1001, 0)
    assert found.why == f"mean IoU {best.mean_iou:.2f}, sure: 1.000"


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_so_where_boxes_are_off_and_some_answers_hold_none(name, pictures):
    rng = random.Random(name)
    refusals = "I cannot see a square.", "", "[square](", '{"bbox_2d": [1, 2'

    def say(colour, box, size, prompt):
        return rng.choice(refusals) if rng.random() < 0.15 else write(name, colour, shaken(box, rng), size)

    found = examine(Scripted(say), pictures)
    assert found.box_format == name
    assert 12 <= found.fits[0].readable < 20
    assert ENOUGH <= found.fits[0].mean_iou < 0.85


LIARS = {
    "a constant box": lambda rng, pictures: lambda colour, box: np.array([0.25, 0.25, 0.75, 0.75]),
    "the whole image": lambda rng, pictures: lambda colour, box: np.array([0.0, 0.0, 1.0, 1.0]),
    "random boxes": lambda rng, pictures: lambda colour, box: shaken(np.array([0.4, 0.4, 0.6, 0.6]), rng, by=0.4),
    "right boxes of another picture": lambda rng, pictures: lambda colour, box: rng.choice(pictures).box,
}


@pytest.mark.parametrize("lie", LIARS)
@pytest.mark.parametrize("name", ["giqa", "kosmos2", "llava", "qwen2_5_vl"])
@pytest.mark.slow
def test_a_model_that_does_not_look_speaks_none(name, lie, pictures):
    box_of = LIARS[lie](random.Random(1), draw(20, 7))
    model = Scripted(lambda colour, box, size, prompt: write(name, colour, box_of(colour, box), size))
    found = examine(model, pictures, questions=[WHERE])
    assert found.box_format is None
    assert found.p_value > 0.01
    assert re.fullmatch(r"its boxes do not follow the picture \(read as .*, p = \d\.\d{3}\)", found.why)


@pytest.mark.slow
def test_a_grid_of_boxes_over_the_whole_picture_does_not_hit_it(pictures):
    grid = [[x, y, x + 250, y + 250] for x in range(0, 751, 50) for y in range(0, 751, 50)]
    text = json.dumps([{"bbox_2d": box, "label": "square"} for box in grid])
    found = examine(Scripted(lambda *told: text), pictures, questions=[WHERE])
    assert (found.box_format, found.fits[0].readable) == (None, 20)
    assert found.fits[0].mean_iou < 0.2


@pytest.mark.parametrize(
    "say",
    [
        lambda *told: "",
        lambda *told: "A square is in the middle of a cloudy picture.",
        lambda *told: "<script>alert(1)</script>\u2028\x1b[31m\ud800",
        lambda *told: "[" * 9_999,
        lambda *told: '{"bbox_2d": [' * 999,
        lambda *told: "[square](<" + "9" * 9_999 + ">)",
        lambda *told: "<box>[[1e999, nan, -inf, 5]]</box>",
    ],
    ids=range(7),
)
@pytest.mark.slow
def test_answers_without_a_box_are_counted_and_end_in_none(say, pictures):
    model = Scripted(say)
    found = examine(model, pictures[:8])
    assert (found.box_format, found.why) == (None, "no answer holds a box that any format reads")
    assert (found.alike, {fit.readable for fit in found.fits}) == ([], {0})
    assert len(model.asked) == 8 * len(QUESTIONS)


FOREIGN = {
    "[x1, y1, x2, y2] from 0 to 1 of the image": "square [{:.2f}, {:.2f}, {:.2f}, {:.2f}]",
    "[x1, y1, x2, y2] from 0 to 1 of the centre crop": "square [{:.2f}, {:.2f}, {:.2f}, {:.2f}]",
    "[x1, y1, x2, y2] in pixels of the image": "square [{:.0f}, {:.0f}, {:.0f}, {:.0f}]",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_way_to_write_boxes_that_is_no_format_here_is_none_and_named(name, pictures):
    def say(colour, box, size, prompt):
        if "crop" in name:
            box = cropped(box, size)
        return FOREIGN[name].format(*(box * np.tile(size, 2) if "pixels" in name else box))

    found = examine(Scripted(say), pictures)
    assert found.box_format is None
    assert found.why == f"its boxes are {name} (mean IoU {found.fits[0].mean_iou:.2f}), which is no format here"


def cropped(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A box as it lies in the square in the middle, which is all that the model sees."""
    side = min(size)
    return np.clip((box * np.tile(size, 2) - np.tile([(length - side) / 2 for length in size], 2)) / side, 0, 1)


def test_a_model_that_changes_its_format_half_way_speaks_none(pictures):
    def say(colour, box, size, prompt):
        return write("internvl" if box[0] < 0.4 else "ferret", colour, box, size)

    found = examine(Scripted(say), pictures)
    assert found.box_format is None
    assert {fit.name for fit in found.fits if fit.readable} == {"internvl", "ferret"}
    assert sum(fit.readable for fit in found.fits) == 20


# What it reads


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("[{:.3f}, {:.3f}, {:.3f}, {:.3f}]", PADDED),
        ("It is at [{:.2f}, {:.2f}, {:.2f}, {:.2f}].", PADDED),
        ('```json\n[{{"bbox_2d": [{:.0f}, {:.0f}, {:.0f}, {:.0f}]}}]\n```', {"qwen3_vl"}),
        ("[{:.0f},{:.0f},{:.0f},{:.0f}]", {"ferret"}),
        ('{{"box_2d": [{1:.0f}, {0:.0f}, {3:.0f}, {2:.0f}]}}', {"gemini"}),
        ("<|begin_of_box|>[[{:.0f},{:.0f},{:.0f},{:.0f}]]<|end_of_box|>", {"glm_v"}),
        ("<box>({:.0f},{:.0f}),({:.0f},{:.0f})</box>", {"qwen_vl"}),
        ("<box>[[{:.0f}, {:.0f}, {:.0f}, {:.0f}]]</box>", {"internvl"}),
        ("<box>{:.0f} {:.0f} {:.0f} {:.0f}</box>", {"minicpm_v"}),
        ("<|box_start|>({:.0f},{:.0f}),({:.0f},{:.0f})<|box_end|>", {"qwen2_vl"}),
        ("<|det|>[[{:.0f}, {:.0f}, {:.0f}, {:.0f}]]<|/det|>", {"deepseek_vl2"}),
        ("<loc_{:.0f}><loc_{:.0f}><loc_{:.0f}><loc_{:.0f}>", {"florence2"}),
        ("<loc{1:04.0f}><loc{0:04.0f}><loc{3:04.0f}><loc{2:04.0f}>", {"paligemma"}),
    ],
)
def test_boxes_without_a_name_are_read_and_counted(text, alike, pictures):
    def say(colour, box, size, prompt):
        return text.format(*(padded(box, size) if alike == PADDED else box * 1000))

    found = examine(Scripted(say), pictures)
    assert {found.box_format, *found.alike} == alike
    assert found.nameless == 20


def padded(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    side = max(size)
    return (box * np.tile(size, 2) + np.tile([(side - length) // 2 for length in size], 2)) / side


def test_a_description_that_names_other_things_too_counts_by_the_square(pictures):
    def say(colour, box, size, prompt):
        return f"[Clouds](<0, 399>) are soft, but {write('giqa', colour, box, size)} It hides [the sky](<0, 199>)."

    found = examine(Scripted(say), pictures)
    assert found.box_format == "giqa"
    assert [len(boxes) for boxes in found.boxes] == [1] * 20


def test_of_two_squares_in_an_answer_each_counts_half(pictures):
    def say(colour, box, size, prompt):
        return write("qwen3_vl", colour, box, size) + '{"bbox_2d": [0, 0, 20, 20], "label": "small square"}'

    found = examine(Scripted(say), pictures)
    assert found.box_format is None
    assert 0.45 < found.fits[0].mean_iou < 0.5
    assert found.why == f"the nearest, qwen3_vl, has a mean IoU of {found.fits[0].mean_iou:.2f}, less than 0.5"


def test_the_questions_are_asked_in_turn_until_the_answers_fit(pictures):
    asked_for_json = Scripted(
        lambda colour, box, size, prompt: write("qwen3_vl", colour, box, size) if "JSON" in prompt else "A square."
    )
    found = examine(asked_for_json, pictures)
    assert (found.box_format, found.question) == ("qwen3_vl", AS_JSON)
    assert set(asked_for_json.asked) == {
        BENCHMARK,
        DES,
        *(question.replace("{colour}", colour) for question in (WHERE, AS_JSON) for colour in COLOURS),
    }
    # Trained on GIQA text, and asked for JSON it still knows JSON
    tuned = Scripted(
        lambda colour, box, size, prompt: write("qwen3_vl" if "JSON" in prompt else "giqa", colour, box, size)
    )
    assert examine(tuned, pictures).box_format == "giqa"
    assert set(tuned.asked) == {BENCHMARK}
    assert examine(tuned, pictures, questions=["JSON, {colour}!"]).box_format == "qwen3_vl"
    assert tuned.asked[-1] in ("JSON, green!", "JSON, magenta!")


def test_a_format_that_is_out_of_the_question_is_not_found(pictures):
    found = examine(speaker("qwen2_5_vl"), pictures, without=[*UNFIT, "pixels"])
    assert found.box_format is None
    assert not {fit.name for fit in found.fits} & {*UNFIT, "pixels"}
