"""Rewards: what they pay, and the laws that keep a model from earning by anything but right answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.formats import FORMATS, box_format
from giqa_datasets.text import render
from giqa_metrics import rewards
from giqa_metrics.grounding import giqa_grounding
from giqa_metrics.rewards import REWARDS, for_format
from tests.giqa_datasets.texts import PLAIN, REGIONS, SIZES, broken


RIGHT = [
    "The [cup](<5, 254>) is sharp, and the [two spoons](<0, 21>, <105, 168>) are blurred.",
    "Yes.",
    "No, the [cup](<5, 254>) is not.",
    "It is well lit throughout.",
]
TYPES = ["des", "yes_no", "yes_no", "what"]
JUDGED = [name for name in REWARDS if name != "matched_set"]  # for comparison alone: it has gaps
FORMATTED = [name for name, format in FORMATS.items() if not format.markers]
GRID = " ".join(f"[cup](<{20 * y + x}, {20 * (y + 4) + x + 4}>)" for y in range(0, 20, 5) for x in range(0, 20, 5))


def pay(name: str, said, right, **columns) -> list:
    return getattr(rewards, name)(completions=said, answer=right, **columns)


@pytest.mark.parametrize("name", REWARDS)
def test_right_answers_earn_all(name):
    off = [None, 1.0, 1.0, None] if name == "yes_no" else [1.0] * 4
    assert pay(name, RIGHT, RIGHT, question_type=TYPES) == off
    assert pay(name, RIGHT, RIGHT) == off  # without the column, the right answer tells whether a question is closed


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("said", ["", "<think>The [cup](<5, 254>) is sharp, and", None, 7, [], [{}], b"x"])
def test_no_answer_earns_nothing(name, said):
    paid = pay(name, [said] * 4, RIGHT, question_type=TYPES)
    assert paid == ([None, 0.0, 0.0, None] if name == "yes_no" else [0.0] * 4)


def test_the_formulas():
    said = ["The [cup](<5, 233>) and a [dog](<0, 21>) [x](<1"]
    (overlap,) = pay("overlap", said, ["The [cup](<5, 254>) is."])
    iou = giqa_grounding(said, ["The [cup](<5, 254>) is."], similarity="exact")["miou"]
    assert overlap == pytest.approx(2 * iou / (2 + 1 + 1))
    assert pay("named_f1", said, ["The [cup](<5, 254>) is."]) == [2 / 4]
    assert pay("well_formed", said, ["The [cup](<5, 254>) is."]) == [0.0]
    assert pay("prose", ["one two"], ["two three"]) == [0.5]
    assert pay("prose", ["天空过曝"], ["天空很暗"]) == [0.5]  # by character, as BLEU@4
    assert pay("prose", ["caf\u00e9"], ["cafe\u0301"]) == [1.0]
    assert pay("yes_no", ["no, it is", "Hm."], ["No.", "Yes."]) == [1.0, 0.0]
    assert pay("overlap", ["Sharp."], ["Blurred."]) == [1.0]  # nothing to find, and nothing found
    assert pay("overlap", ["[cup](<5, 254>)"], ["Blurred."]) == [0.0]


def test_a_name_is_exact_unless_it_is_said_otherwise():
    said, right = ["[grey block](<5, 254>)"], ["[green block](<5, 254>)"]
    assert pay("named_f1", said, right) == [0.0]
    assert for_format("giqa", "named_f1", similarity="lexical")(completions=said, answer=right) == [1.0]


def test_a_grid_of_boxes_pays_nothing():
    right = ["The [cup](<5, 194>) is sharp."]
    assert pay("overlap", [GRID], right)[0] < 0.05
    assert pay("grounding", [GRID], right)[0] < 0.2
    assert pay("matched_set", [GRID], right)[0] > 0.15  # the gap of the published form


SENTENCES = [*RIGHT, "The [cup](<5, 212>) is sharp", "A [mug](<5, 254>).", "Some [x](<3 is broken.", "grey and dull"]


@given(right=st.sampled_from(RIGHT), said=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3).map(" ".join))
def test_nothing_added_to_an_answer_pays(right, said):
    spoilt = [
        f"{said} [thing](<399, 399>)",
        f"{said} moreover",
        f"{said} [thing](<35",
        said.replace("cup]", "pan]") if "cup" in right else said,
    ]
    for name in JUDGED:
        alone = pay(name, [said] * len(spoilt), [right] * len(spoilt))
        for before, after in zip(alone, pay(name, spoilt, [right] * len(spoilt)), strict=True):
            assert before is None or after <= before + 1e-12, name


def test_a_lost_name_costs_where_overlap_does_not_see_it():
    said = RIGHT[0].replace("two spoons", "two forks")
    assert pay("overlap", [said], [RIGHT[0]]) == [1.0]
    assert pay("named_f1", [said], [RIGHT[0]])[0] < 0.5
    assert pay("grounding", [said], [RIGHT[0]])[0] < 0.9


def test_a_sentence_that_never_ends_costs_where_boxes_do_not_see_it():
    said = RIGHT[0].removesuffix(".") + " and the cup is sharp" * 20
    assert pay("overlap", [said], [RIGHT[0]]) == [1.0]
    assert pay("prose", [said], [RIGHT[0]])[0] < 0.5
    assert pay("grounding", [said], [RIGHT[0]])[0] < 0.85


@pytest.mark.parametrize("name", REWARDS)
def test_a_batch_pays_what_each_alone_does(name):
    said = [*RIGHT[1:], GRID, "[cup](<5, 212>) no"]
    right = (RIGHT * 2)[: len(said)]
    assert pay(name, said, right) == [pay(name, [one], [other])[0] for one, other in zip(said, right, strict=True)]


@pytest.mark.parametrize("format", FORMATTED)
@given(junk=broken)
def test_every_format_earns_what_it_writes_and_junk_is_a_number(format, junk):
    written, right = box_format(format).write(PLAIN, REGIONS, SIZES), render(PLAIN, REGIONS)
    for name in REWARDS:
        paid = for_format(format, name)(
            completions=[written, junk], answer=[right] * 2, width=[400] * 2, height=[200] * 2
        )
        assert len(paid) == 2
        assert all(value is None or (isinstance(value, float) and 0 <= value <= 1) for value in paid)
        assert name in ("yes_no", "prose") or paid[0] > 0.8  # the grid and the format's own digits are not one box


def test_completions_come_as_strings_messages_and_parts():
    text = RIGHT[0]
    shapes = [
        text,
        [{"role": "assistant", "content": text}],
        [{"role": "assistant", "content": "<think>"}, {"role": "assistant", "content": text}],
        [{"role": "assistant", "content": [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]}],
    ]
    assert pay("grounding", shapes, [text] * 4) == [1.0] * 4


def test_a_batch_is_read_once_for_all_rewards_and_the_parts_are_logged():
    logged = {}
    rewards._read.cache_clear()
    for name in REWARDS:
        pay(name, RIGHT, RIGHT, question_type=TYPES, log_metric=logged.__setitem__)
    assert rewards._read.cache_info().misses == 1
    assert logged == {f"grounding/{part}": 1.0 for part in rewards.WEIGHTS}


def test_what_cannot_be_judged_is_one_sentence():
    for call, says in (
        (lambda: rewards.overlap(completions=["x"]), "needs the column answer: remove_unused_columns: false"),
        (lambda: pay("overlap", ["x"], ["a", "b"]), "expected as many answers as completions, got 2 and 1"),
        (lambda: pay("overlap", ["x"], [np.nan]), "expected a text"),
        (lambda: for_format("qwen2_vl"), "special tokens such as <|object_ref_start|>, which the trainer decodes"),
        (lambda: for_format("giqa", "speed"), "expected a reward out of"),
        (lambda: for_format("shikra")(completions=["x"], answer=["y"]), "needs the columns width and height"),
    ):
        with pytest.raises(ValueError, match=r".") as raised:
            call()
        assert says in str(raised.value)
    with pytest.raises(AttributeError):
        rewards.overlap_of_nothing  # noqa: B018
    assert rewards.named_f1_gemini.__name__ == "named_f1_gemini"
