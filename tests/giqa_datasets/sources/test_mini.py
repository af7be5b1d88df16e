import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from giqa_datasets import parse, strip
from giqa_datasets.distortions import DISTORTIONS
from giqa_datasets.entries import ImageSet
from giqa_datasets.images import decode
from giqa_datasets.records import QUESTION_TYPES, rows
from giqa_datasets.sources import mini


pytestmark = pytest.mark.slow


LICENSES = {"apache-2.0", "cc-by-2.0", "cc0-1.0", "mit"}


@pytest.fixture(scope="module")
def hand_made():
    return {split: [entry.load() for entry in mini.hand_made(split)] for split in ("train", "test")}


@pytest.fixture(scope="module")
def bench(hand_made):
    return hand_made["test"]


@pytest.fixture(scope="module")
def everything(hand_made):
    return [*hand_made["train"], *hand_made["test"]]


def all_regions(record):
    return [
        (text, region)
        for sample in record.samples
        for text, regions in ((sample.question, sample.question_regions), (sample.answer, sample.answer_regions))
        for region in regions
    ]


def test_the_hand_made_benchmark_has_at_least_24_photographs(bench):
    assert len(bench) >= 24
    assert len({record.photograph.sha256 for record in bench}) == len(bench)


def test_every_photograph_lies_in_its_wheel_and_decodes_to_its_size(everything):
    for record in everything:
        photograph = record.photograph
        assert decode(photograph.image, name=record.id).size == (photograph.width, photograph.height)
        assert max(photograph.width, photograph.height) <= mini.MAX_SIDE


def test_the_digest_is_that_of_the_original_file(bench):
    original = mini.wheel_file("skimage/data/astronaut.png").read_bytes()
    astronaut = next(record for record in bench if record.id == "astronaut")
    assert astronaut.photograph.sha256 == hashlib.sha256(original).hexdigest()
    assert astronaut.photograph.image != original  # it was distorted


def test_train_and_test_share_no_file(hand_made):
    files = {split: {record.photograph.sha256 for record in records} for split, records in hand_made.items()}
    assert files["train"]
    assert not files["train"] & files["test"]


def test_ids_are_unique(everything):
    assert not [name for name, count in Counter(record.id for record in everything).items() if count > 1]
    ids = [sample.id for record in everything for sample in record.samples]
    assert len(set(ids)) == len(ids)


def test_every_phrase_stands_in_its_text_as_a_whole_word(everything):
    for record in everything:
        for text, region in all_regions(record):
            start, end = region.span
            assert text[start:end] == region.phrase, record.id
            assert re.search(r"\w\Z", text[:start]) is None, (record.id, region.phrase)
            assert re.match(r"\w", text[end:]) is None, (record.id, region.phrase)


def test_every_box_is_valid(everything):
    for record in everything:
        for _, region in all_regions(record):
            assert len(region.boxes) >= 1
            assert ((region.boxes >= 0) & (region.boxes <= 1)).all(), record.id
            assert (region.boxes[:, :2] < region.boxes[:, 2:]).all(), record.id


def test_every_description_of_the_benchmark_is_grounded(bench):
    for record in bench:
        des = record.samples[0]
        assert (des.task, des.question_type, des.answer) == ("des", "des", record.description)
        assert des.answer_regions, record.id


def test_every_question_of_the_benchmark_names_a_boxed_object_in_question_or_answer(bench):
    for record in bench:
        for sample in record.samples[1:]:
            assert sample.task == "vqa"
            assert bool(sample.question_regions) != bool(sample.answer_regions), sample.id


def test_yes_and_no_both_occur_and_nothing_else(bench):
    answers = Counter(
        sample.answer for record in bench for sample in record.samples if sample.question_type == "yes_no"
    )
    assert set(answers) == {"Yes.", "No."}
    assert min(answers.values()) >= 10


def test_several_types_of_question_are_asked(bench):
    types = {sample.question_type for record in bench for sample in record.samples}
    assert {"des", "yes_no", "what", "why", "how"} <= types <= set(QUESTION_TYPES)


def test_open_answers_are_short_phrases(bench):
    for record in bench:
        for sample in record.samples:
            if sample.task == "vqa":
                assert 1 <= len(sample.answer.split()) <= 5, sample.id


def test_distortions_have_known_names_and_severities(everything):
    known = [distortion for record in everything for distortion in record.photograph.distortions]
    assert {distortion.name for distortion in known} <= set(DISTORTIONS)
    assert {distortion.severity for distortion in known} <= set(range(1, 6))
    assert len({distortion.name for distortion in known}) >= 4


def test_the_distorted_object_is_one_of_the_descriptions_boxed_objects(bench):
    entries = {entry["id"]: entry for entry in mini._annotations("test")}
    for record in bench:
        if record.photograph.distortions:
            box = entries[record.id]["distortion"]["box"]
            boxes = np.concatenate([region.boxes for region in record.samples[0].answer_regions])
            assert np.isclose(boxes, box).all(axis=1).any(), record.id


def test_sources_and_licences_are_stated(everything):
    for record in everything:
        assert record.photograph.source in {"mvtb-data", "scikit-image", "scikit-learn"}
        assert {record.photograph.license, record.text_license} <= LICENSES


def test_every_sample_becomes_a_row_that_parses_back(everything):
    for record in everything:
        for sample, row in zip(record.samples, rows(record), strict=True):
            for plain, text in ((sample.question, row["question"]), (sample.answer, row["answer"])):
                assert strip(text) == plain
                assert parse(text).malformed == ()


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.slow
def test_the_plain_records_are_the_hand_made_ones_without_their_samples(hand_made, split):
    for plain, made in zip((entry.load() for entry in mini.entries(split)), hand_made[split], strict=True):
        assert (plain.id, plain.description, plain.photograph) == (made.id, made.description, made.photograph)
        assert plain.samples == plain.tags == ()


def test_a_photograph_of_a_wheel_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(mini._WHEELS, "no_such_wheel", ImageSet("no-such-wheel", "mit"))
    with pytest.raises(ImportError, match=r'needs the package no-such-wheel: pip install "giqa\[demo\]"$'):
        mini.wheel_file("no_such_wheel/cat.png")
