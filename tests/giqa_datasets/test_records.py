from dataclasses import replace

import numpy as np
import pytest

from giqa_datasets import Region, parse, strip
from giqa_datasets.formats import FORMATS, Sizes
from giqa_datasets.grid import boxes_to_cells
from giqa_datasets.records import Distortion, Record, Sample, rows
from giqa_datasets.sources import mini
from giqa_datasets.text import PLACEHOLDER


COLUMNS = [
    "id",
    "image",
    "width",
    "height",
    "task",
    "question_type",
    "question",
    "answer",
    "regions",
    "prompt",
    "completion",
    "source",
    "distortions",
    "image_sha256",
    "image_license",
    "text_license",
]
EXACT = np.array([[0.123, 0.377, 0.481, 0.774]])  # between the grid's lines
TWO = np.array([[0.025, 0.025, 0.075, 0.075], [0.525, 0.025, 0.975, 0.975]])


@pytest.fixture
def record(photograph):
    """A record with a description and a question, boxes on either side."""
    photograph = replace(photograph, distortions=(Distortion("darken", 3),))
    des = Sample(
        "cat-des",
        "des",
        "des",
        "Describe the quality. Note positions as [label](<x, y>).",
        "The cat is sharp.",
        answer_regions=(Region("cat", (4, 7), EXACT),),
    )
    vqa = Sample(
        "cat-vqa-1",
        "vqa",
        "what",
        "What is worse than the cat?",
        "The dogs.",
        question_regions=(Region("cat", (23, 26), EXACT),),
        answer_regions=(Region("dogs", (4, 8), TWO),),
    )
    return Record("cat", photograph, "The cat is sharp.", "apache-2.0", samples=(des, vqa))


def test_every_row_has_the_contracts_columns_in_order(record):
    for row in rows(record):
        assert list(row) == COLUMNS


def test_a_row_holds_the_sample_and_its_photograph(record):
    row, _ = rows(record)
    assert row == {
        "id": "cat-des",
        "image": {"bytes": record.photograph.image, "path": None},
        "width": 64,
        "height": 48,
        "task": "des",
        "question_type": "des",
        "question": "Describe the quality. Note positions as [label](<x, y>).",
        "answer": "The [cat](<142, 309>) is sharp.",
        "regions": [{"phrase": "cat", "role": "answer", "boxes": EXACT.astype(np.float32).tolist()}],
        "prompt": [{"role": "user", "content": "Describe the quality. Note positions as [label](<x, y>)."}],
        "completion": [{"role": "assistant", "content": "The [cat](<142, 309>) is sharp."}],
        "source": "test",
        "distortions": [{"name": "darken", "severity": 3}],
        "image_sha256": "0" * 64,
        "image_license": "cc0-1.0",
        "text_license": "apache-2.0",
    }


def test_regions_name_their_role_question_first(record):
    _, row = rows(record)
    assert [(region["phrase"], region["role"], len(region["boxes"])) for region in row["regions"]] == [
        ("cat", "question", 1),
        ("dogs", "answer", 2),
    ]
    assert row["question"] == "What is worse than the [cat](<142, 309>)?"
    assert row["answer"] == "The [dogs](<0, 21>, <10, 399>)."


def test_boxes_in_the_column_are_exact_and_on_the_grid_those_of_the_text(record):
    for row in rows(record):
        for role in ("question", "answer"):
            in_text = parse(row[role]).regions
            in_column = [region for region in row["regions"] if region["role"] == role]
            assert [region.phrase for region in in_text] == [region["phrase"] for region in in_column]
            for written, exact in zip(in_text, in_column, strict=True):
                assert (boxes_to_cells(written.boxes) == boxes_to_cells(np.array(exact["boxes"]))).all()
    assert row["regions"][0]["boxes"] != parse(row["question"]).regions[0].boxes.tolist()


def test_box_format_rewrites_prompt_and_completion_alone(record):
    for cells, decimals in zip(rows(record), rows(record, box_format="giqa_decimal"), strict=True):
        assert {name for name in COLUMNS if cells[name] != decimals[name]} <= {"prompt", "completion"}
    assert decimals["prompt"] == [
        {"role": "user", "content": "What is worse than the [cat](<0.12, 0.38, 0.48, 0.77>)?"}
    ]
    assert decimals["completion"] == [
        {"role": "assistant", "content": "The [dogs](<0.02, 0.02, 0.08, 0.08>, <0.52, 0.02, 0.98, 0.98>)."}
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_prompt_and_completion_say_what_question_and_answer_say(record, name):
    read = FORMATS[name].read
    for row in rows(record, box_format=name):
        sizes = Sizes(image=(row["width"], row["height"]))
        for turn, text in (("prompt", row["question"]), ("completion", row["answer"])):
            said = read(row[turn][0]["content"].replace(FORMATS[name].hint, PLACEHOLDER), sizes)
            assert (said.plain, said.malformed) == (strip(text), ())
            pairs = zip(said.regions, parse(text).regions, strict=True)  # florence2 names with the whole caption
            assert all(read_as.phrase.endswith(meant.phrase) for read_as, meant in pairs)
            for found, known in zip(said.regions, parse(text).regions, strict=True):
                np.testing.assert_allclose(found.boxes, known.boxes, atol=0.1)


@pytest.fixture(scope="module")
def benchmark():
    return [entry.load() for entry in mini.hand_made("test")]


@pytest.mark.parametrize("name", FORMATS)
def test_the_hand_made_benchmark_is_written_in_every_format(benchmark, name):
    for record in benchmark:
        for row in rows(record, box_format=name):
            sizes = Sizes(image=(row["width"], row["height"]))
            said = FORMATS[name].read(row["completion"][0]["content"], sizes)
            assert (said.plain, said.malformed) == (strip(row["answer"]), ())
            boxes = sum(len(region["boxes"]) for region in row["regions"] if region["role"] == "answer")
            assert sum(len(region.boxes) for region in said.regions) == boxes


def test_a_sample_without_regions_has_an_empty_list(record):
    plain = Sample("cat-vqa-2", "vqa", "yes_no", "Is it sharp?", "Yes.")
    (row,) = rows(replace(record, samples=(plain,)))
    assert (row["question"], row["answer"], row["regions"]) == ("Is it sharp?", "Yes.", [])


def test_an_undistorted_photograph_has_an_empty_list(record):
    (row, _) = rows(replace(record, photograph=replace(record.photograph, distortions=())))
    assert row["distortions"] == []


def test_a_record_without_samples_has_no_rows(record):
    assert list(rows(replace(record, samples=()))) == []


def test_regions_that_do_not_fit_their_text_are_refused_with_the_samples_id(record):
    wrong = replace(record.samples[0], answer="The dog is sharp.")
    with pytest.raises(ValueError, match=r"^sample 'cat-des': expected phrase 'cat' at [^\n]*$"):
        list(rows(replace(record, samples=(wrong,))))


def test_text_with_markup_of_its_own_is_refused_with_the_samples_id(record):
    wrong = replace(record.samples[1], question="Is the [cat](<1, 44>) sharp?", question_regions=())
    with pytest.raises(ValueError, match=r"^sample 'cat-vqa-1': expected text without boxes"):
        list(rows(replace(record, samples=(wrong,))))


def test_an_unknown_box_format_is_refused(record):
    with pytest.raises(ValueError, match="expected a box format out of"):
        list(rows(record, box_format="coco"))
