"""What a model is asked: the pool, and a question in each box format's own words."""

import numpy as np
import pytest

from giqa_datasets import FORMATS, Region, Sizes, box_format
from giqa_datasets.questions import question_in, question_pool
from giqa_datasets.text import PLACEHOLDER


SIZES = Sizes((640, 480), (644, 476))
_BBOX_2D = '{"bbox_2d": [x1, y1, x2, y2], "label": "label"}'
HINTS = {
    "giqa": "[label](<x, y>)",
    "giqa_decimal": "[label](<x, y>)",
    "kosmos2": "<phrase>label</phrase><object><patch_index_000x><patch_index_000y></object>",
    "ferret": "label [x1, y1, x2, y2]",
    "shikra": "label[x1,y1,x2,y2]",
    "groundinggpt": "label[x1, y1, x2, y2]",
    "llava": "label [x1, y1, x2, y2]",
    "qwen_vl": "<ref>label</ref><box>(x1,y1),(x2,y2)</box>",
    "qwen2_vl": "<|object_ref_start|>label<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>",
    "qwen2_5_vl": _BBOX_2D,
    "qwen3_vl": _BBOX_2D,
    "kimi_vl": _BBOX_2D,
    "gemini": '{"box_2d": [y1, x1, y2, x2], "label": "label"}',
    "glm_v": "label <|begin_of_box|>[[x1, y1, x2, y2]]<|end_of_box|>",
    "deepseek_vl2": "<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>",
    "minicpm_v": "<ref>label</ref><box>x1 y1 x2 y2</box>",
    "internvl": "<ref>label</ref><box>[[x1, y1, x2, y2]]</box>",
    "paligemma": "<loc00y1><loc00x1><loc00y2><loc00x2> label",
    "florence2": "label<loc_x1><loc_y1><loc_x2><loc_y2>",
    "pixels": '{"bbox": [x1, y1, x2, y2], "label": "label"}',
}
CUP = Region("cup", (13, 16), np.array([[0.25, 0.25, 0.5, 0.75]]))


def test_the_pool_is_fifteen_questions_each_once():
    pool = question_pool()
    assert len(set(pool)) == len(pool) == 15
    assert {question.rpartition("Note positions as ")[2] for question in pool if "Note" in question} == {
        f"{PLACEHOLDER}."
    }


def test_a_hint_shows_an_object_as_the_format_writes_it():
    assert {name: known.hint for name, known in FORMATS.items()} == HINTS


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
