"""What a model is asked: the pool, and a question in each box format's own words."""

import numpy as np
import pytest

from giqa_datasets import FORMATS, Region, Sizes, box_format
from giqa_datasets.questions import HINTS, question_in, question_pool
from giqa_datasets.text import PLACEHOLDER


SIZES = Sizes((640, 480), (644, 476))
CUP = Region("cup", (13, 16), np.array([[0.25, 0.25, 0.5, 0.75]]))


def test_the_pool_is_fifteen_questions_each_once():
    pool = question_pool()
    assert len(set(pool)) == len(pool) == 15
    assert {question.rpartition("Note positions as ")[2] for question in pool if "Note" in question} == {
        f"{PLACEHOLDER}."
    }


def test_every_format_has_a_hint():
    assert set(FORMATS) <= set(HINTS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_question_shows_the_formats_own_form_and_boxes(name):
    assert question_in(name, question_pool()[0]).endswith(f"Note positions as {HINTS[name]}.")
    asked = question_in(name, f"How sharp is cup? Note {PLACEHOLDER}.", [CUP], SIZES)
    assert HINTS[name] in asked
    assert (PLACEHOLDER in asked) is name.startswith("giqa")
    (cup,) = box_format(name).read(asked.replace(HINTS[name], ""), SIZES).regions
    assert np.abs(cup.boxes - CUP.boxes).max() < 0.06


def test_a_question_without_hint_and_boxes_stays():
    assert question_in("qwen3_vl", "Is it sharp?") == "Is it sharp?"
