import random
from itertools import islice

import numpy as np
import pytest

from giqa_datasets.images import decode
from giqa_datasets.records import rows
from giqa_datasets.sources import tiny
from giqa_datasets.sources.mini import wheel_file
from giqa_datasets.text import parse, strip


pytestmark = pytest.mark.slow


INTACT_ANSWER = "The image is intact."


@pytest.fixture(scope="module")
def drawn():
    return [entry.load() for entry in tiny.entries("test")]


@pytest.fixture(scope="module")
def train_start():
    return [entry.load() for entry in islice(tiny.entries("train"), 300)]


def descriptions(records):
    return [record for record in records if record.samples[0].task == "des"]


def questions(records):
    return [record for record in records if record.samples[0].task == "vqa"]


def pixels_of(record):
    return np.asarray(decode(record.photograph.image, name=record.id)).astype(int)


def test_the_test_split_has_the_stated_counts(drawn):
    assert (len(descriptions(drawn)), len(questions(drawn))) == tiny.COUNTS["test"]


def test_the_same_seed_gives_the_same_crops(drawn):
    for first, second in zip(drawn[:40], (entry.load() for entry in tiny.entries("test")), strict=False):
        assert (first.id, first.photograph, first.description) == (second.id, second.photograph, second.description)


def test_another_seed_gives_other_crops(drawn):
    other = [entry.load() for entry in islice(tiny.entries("test", seed=1), 40)]
    assert [record.id for record in other] == [record.id for record in drawn[:40]]
    assert all(a.photograph.image != b.photograph.image for a, b in zip(other, drawn[:40], strict=True))


def test_the_splits_share_no_photograph(drawn, train_start):
    test, train = ({record.photograph.sha256 for record in records} for records in (drawn, train_start))
    assert len(train) > 20
    assert len(test) > 5
    assert not test & train


def test_ids_are_unique(drawn, train_start):
    ids = [record.id for record in (*drawn, *train_start)]
    assert len(set(ids)) == len(ids)


def test_every_crop_is_a_square_of_the_stated_side(drawn):
    for record in drawn:
        assert pixels_of(record).shape == (tiny.SIDE_PX, tiny.SIDE_PX, 3)
        assert (record.photograph.width, record.photograph.height) == (tiny.SIDE_PX, tiny.SIDE_PX)


def test_the_block_is_one_colour_exactly_inside_its_box(drawn, train_start):
    broken = [record for record in descriptions([*drawn, *train_start]) if record.photograph.distortions]
    assert len(broken) > 300
    bordered = 0
    for record in broken:
        pixels = pixels_of(record)
        (region,) = record.samples[0].answer_regions
        (box,) = region.boxes
        x1, y1, x2, y2 = np.rint(box * tiny.SIDE_PX).astype(int)
        np.testing.assert_allclose(box * tiny.SIDE_PX, [x1, y1, x2, y2], atol=1e-9)  # whole pixels
        colour = pixels[y1, x1]
        assert (pixels[y1:y2, x1:x2] == colour).all(), record.id
        named = region.phrase.removesuffix(" block")
        assert np.abs(colour - tiny.COLOURS[named]).max() <= 16, record.id
        border = np.ones(pixels.shape[:2], dtype=bool)
        border[y1:y2, x1:x2] = False
        border[: max(y1 - 1, 0)] = border[y2 + 1 :] = False
        border[:, : max(x1 - 1, 0)] = border[:, x2 + 1 :] = False
        bordered += bool((pixels[border] != colour).any(axis=-1).mean() > 0.9)
    # a picture may hold the block's own grey here and there
    assert bordered / len(broken) > 0.98


def test_blocks_have_the_stated_sides(drawn):
    boxes = [region.boxes[0] for record in drawn for region in record.samples[0].answer_regions]
    sides = np.array([box[2:] - box[:2] for box in boxes])
    assert sides.min() >= 0.15 - 1e-9
    assert sides.max() <= 0.5 + 1e-9


def test_every_colour_and_every_quarter_of_the_crop_occurs(drawn):
    found = [region for record in drawn for region in record.samples[0].answer_regions]
    assert {region.phrase for region in found} == {f"{colour} block" for colour in tiny.COLOURS}
    centres = np.array([(region.boxes[0, :2] + region.boxes[0, 2:]) / 2 for region in found])
    assert len({tuple(quarter) for quarter in (centres > 0.5).tolist()}) == 4


def test_about_a_fifth_of_the_descriptions_is_intact(drawn):
    des = descriptions(drawn)
    intact = [record for record in des if not record.photograph.distortions]
    assert 0.14 < len(intact) / len(des) < 0.26  # three standard deviations
    assert {record.samples[0].answer for record in intact} == {INTACT_ANSWER}
    assert all(not record.samples[0].answer_regions for record in intact)


def test_about_half_of_the_questions_is_asked_of_intact_crops(drawn):
    vqa = questions(drawn)
    answers = [record.samples[0].answer for record in vqa]
    assert set(answers) == {"Yes.", "No."}
    assert 0.35 < answers.count("No.") / len(answers) < 0.65
    for record, answer in zip(vqa, answers, strict=True):
        assert (answer == "Yes.") == bool(record.photograph.distortions), record.id


def test_a_broken_crop_names_its_distortion_and_an_intact_one_none(drawn):
    for record in descriptions(drawn):
        names = [distortion.name for distortion in record.photograph.distortions]
        assert names == ([] if record.description == INTACT_ANSWER else ["missing_block"]), record.id


@pytest.mark.parametrize("intact", [0.0, 1.0])
def test_the_share_of_intact_crops_is_a_choice(intact):
    photographs = [decode(wheel_file("skimage/data/coffee.png").read_bytes(), name="coffee")]
    crops = list(tiny.crops(photographs, n=20, rng=random.Random(0), intact=intact))
    assert [crop.colour is None for crop in crops] == [crop.xyxy is None for crop in crops] == [intact == 1] * 20
    assert {crop.photograph for crop in crops} == {0}


def test_every_sample_becomes_a_row_that_parses_back(drawn):
    for record in drawn:
        (row,) = rows(record)
        assert strip(row["answer"]) == record.samples[0].answer == record.description
        assert parse(row["answer"]).malformed == ()
