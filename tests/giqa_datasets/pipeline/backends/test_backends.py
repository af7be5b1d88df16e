from collections import Counter

import numpy as np
import pytest
from PIL import Image

from giqa_datasets import strip
from giqa_datasets.boxes import iou
from giqa_datasets.images import decode
from giqa_datasets.pipeline.backends.classic_verifier import LIMITS, MEASURES, ClassicVerifier
from giqa_datasets.pipeline.backends.coco_detector import coco_class
from giqa_datasets.pipeline.backends.quality_words import quality_of, quality_words
from giqa_datasets.pipeline.backends.template_asker import TemplateAsker
from giqa_datasets.pipeline.model_choice import Choice, OpenModels
from giqa_datasets.pipeline.stages import annotate
from giqa_datasets.records import Tag, rows
from giqa_datasets.sources import mini


def tag(text, phrase, quality="sharp", effect="positive"):
    start = text.index(phrase)
    return Tag(phrase, (start, start + len(phrase)), quality, effect, np.array([[0, 0, 0.5, 0.5]]))


@pytest.fixture(scope="module")
def offline():
    return OpenModels(Choice())


@pytest.fixture(scope="module")
def hand_made():
    return {record.id: record for record in (entry.load() for entry in mini.hand_made("test")[:6])}


@pytest.fixture(scope="module")
def real(offline):
    """The first six test photographs with their samples, and what was dropped."""
    drops: list = []
    records = {
        record.id: record
        for record in annotate([entry.load() for entry in mini.entries("test")[:6]], offline, drops.append)
    }
    return records, drops


@pytest.mark.parametrize(("photo", "phrase"), [("camera", "man"), ("motorcycle", "motorcycle"), ("coffee", "cup")])
def test_someone_is_found_where_a_hand_drew_the_box(real, hand_made, photo, phrase):
    (found,) = (known for known in real[0][photo].tags if known.phrase == phrase)
    (drawn,) = (region for region in hand_made[photo].samples[0].answer_regions if region.phrase == phrase)
    assert iou(found.boxes, drawn.boxes).max() > 0.5


@pytest.mark.parametrize(("photo", "phrase"), [("camera", "tripod"), ("astronaut", "flag"), ("rocket", "rocket")])
def test_words_that_the_detector_does_not_know_are_dropped_and_written_down(real, photo, phrase):
    drops = {(drop.id, drop.stage, drop.reason, drop.what) for drop in real[1]}
    assert (photo, "detect", "unknown_word", phrase) in drops
    assert all(known.phrase != phrase for known in real[0][photo].tags)


def test_real_descriptions_are_kept_and_real_questions_are_balanced(real):
    grounded = [record for record in real[0].values() if record.samples]
    assert len(grounded) >= 3
    for record in grounded:
        des, *questions = rows(record)
        assert strip(des["answer"]) == record.description
        assert {row["question_type"] for row in questions} > {"yes_no"}
        answers = Counter(row["answer"] for row in questions if row["question_type"] == "yes_no")
        assert answers["Yes."] == answers["No."] >= 1


def test_the_offline_detector_gives_valid_boxes_and_the_same_ones_again(offline, hand_made):
    image = decode(hand_made["motorcycle"].photograph.image, name="motorcycle")
    first, second = (offline.detector.detect([image], [["motorcycle", "cat", "castle"]])[0] for _ in range(2))
    assert first[2] is None
    assert first[1].shape == (0, 4)
    assert ((first[0] >= 0) & (first[0] <= 1)).all()
    assert (first[0][:, :2] < first[0][:, 2:]).all()
    assert first[0].tolist() == second[0].tolist()


def test_the_offline_detectors_best_box_comes_first(offline, hand_made):
    motorcycle = hand_made["motorcycle"]
    ((boxes,),) = offline.detector.detect([decode(motorcycle.photograph.image, name="x")], [["motorcycles"]])
    (drawn,) = (region for region in motorcycle.samples[0].answer_regions if region.phrase == "motorcycle")
    overlaps = iou(boxes, drawn.boxes)[:, 0]
    assert len(overlaps) > 1
    assert overlaps.argmax() == 0


def test_the_offline_tagger_finds_each_objects_quality(offline):
    text = "The cup is badly blurred, while the wooden table is sharp and the window is overexposed."
    (found,) = offline.tagger.tag([text])
    assert {known.phrase: (known.quality, known.effect) for known in found} == {
        "cup": ("blurred", "negative"),
        "wooden table": ("sharp", "positive"),
        "window": ("overexposed", "negative"),
    }


def test_the_offline_taggers_phrases_stand_at_their_spans(offline, hand_made):
    descriptions = [record.description for record in hand_made.values()]
    for text, found in zip(descriptions, offline.tagger.tag(descriptions), strict=True):
        assert found
        for known in found:
            assert text[slice(*known.span)] == known.phrase
            assert known.boxes.shape == (0, 4)


def test_the_offline_tagger_finds_nothing_in_nothing(offline):
    assert offline.tagger.tag(["", "It is sharp."]) == [[], []]


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("man", "person"),
        ("three Students", "person"),
        ("people", "person"),
        ("red sports car", "car"),
        ("wine glass", "wine glass"),
        ("hot dogs", "hot dog"),
        ("teddy bear", "teddy bear"),
        ("scissors", "scissors"),
        ("castle", None),
        ("car door", None),
        ("", None),
    ],
)
def test_a_phrase_is_looked_for_by_its_last_words(phrase, expected):
    assert coco_class(phrase) == expected


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("cups", "cup"),
        ("buses", "bus"),
        ("couches", "couch"),
        ("wine glasses", "wine glass"),
        ("knives", "knife"),
    ],
)
def test_a_plural_is_looked_for_like_its_singular(plural, expected):
    assert coco_class(plural) == expected


def shade(level):
    return Image.new("RGB", (32, 32), (level, level, level))


@pytest.mark.parametrize(
    ("crop", "yes", "no"),
    [
        (shade(20), "dark", "bright"),
        (shade(240), "bright", "dark"),
        (shade(255), "overexposed", "dark"),
        (shade(255), "bright", "well exposed"),
        (shade(120), "well exposed", "overexposed"),
        (shade(120), "blurred", "sharp"),
        (shade(120), "clean", "noisy"),
        (shade(120), "dull", "vivid"),
    ],
)
def test_the_offline_verifier_refuses_what_contradicts_the_description(crop, yes, no):
    assert ClassicVerifier().verify([crop, crop], [yes, no]) == [True, False]


@pytest.mark.parametrize("quality", ["blocky", "pixelated", "pleasant", ""])
def test_the_offline_verifier_never_refuses_what_it_cannot_measure(quality):
    assert ClassicVerifier().verify([shade(0)], [quality]) == [True]


def test_every_measure_has_limits():
    assert set(LIMITS) == set(MEASURES)
    assert all(low < high for low, high in LIMITS.values())


def test_every_quality_word_can_be_found_again_and_has_an_opposite_that_can_be_asked():
    for word in quality_words().values():
        assert quality_of(word.says) is not None
        assert (word.measure is None) == (word.wants is None)
        assert word.measure is None or word.measure in MEASURES
        opposite = quality_of(word.opposite)
        assert opposite is not None, word.opposite
        assert opposite.effect != word.effect, (word.says, word.opposite)


def test_the_offline_asker_asks_yes_no_and_open():
    text = "The cat is sharp, the old dog is blurred."
    found = [tag(text, "cat"), tag(text, "old dog", "blurred", "negative")]
    for seed in range(30):
        ((yes, no, about),) = TemplateAsker().ask([text], [found], [seed])
        assert (yes.question_type, yes.answer) == (no.question_type, "Yes.") == ("yes_no", "Yes.")
        assert yes.question in ("Is the cat sharp?", "Is the old dog blurred?")
        assert (no.answer, no.question) in (("No.", "Is the cat blurry?"), ("No.", "Is the old dog sharp?"))
        assert about.question_type in ("what", "how", "why")
        assert about.answer in ("Sharp.", "Blurred.", "The cat.", "The old dog.")


def test_the_offline_asker_agrees_in_number():
    text = "The dogs are sharp."
    ((yes, *_),) = TemplateAsker().ask([text], [[tag(text, "dogs")]], [0])
    assert yes.question == "Are the dogs sharp?"


def test_the_offline_asker_asks_nothing_without_a_quality_it_knows():
    assert TemplateAsker().ask(["", "The cat."], [[], [tag("The cat.", "cat", "majestic")]], [0, 0]) == [[], []]
