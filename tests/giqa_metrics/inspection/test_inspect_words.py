"""What `giqa inspect` reads out of words, how rules match, and what is drawn."""

import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from giqa_datasets import parse
from giqa_metrics.inspection import Policy, Verdict, inspect_photographs
from giqa_metrics.inspection.defect_words import KINDS, kinds_in, read_defects
from giqa_metrics.inspection.drawing import COLOURS, draw_inspection
from giqa_metrics.inspection.masks import mask
from giqa_metrics.inspection.policy import covered
from tests.giqa_metrics.conftest import Saying
from tests.paths import DATA


SENTENCES = json.loads((DATA / "inspect_sentences.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", SENTENCES, ids=lambda row: row["text"][:50])
def test_a_sentence_is_read_as_the_table_says(row):
    """`defects` is what is true; where the rules read something else, `found` says what."""
    found = read_defects(parse(re.sub(r"\]", "](<0, 42>)", row["text"]))).of_regions
    assert [list(said.defects) for said in found] == row.get("found", row["defects"])


def png() -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (20, 20)).save(kept, "PNG")
    return kept.getvalue()


FOREIGN = [
    "Der [Becher](<0, 42>) ist in der Mitte unscharf.",
    "Le [chat](<0, 42>) est flou.",
    "La [taza](<0, 42>) no está nítida.",
    "Kupa [bardak](<0, 42>) bulanık görünüyor.",
    "[Becher](<0, 42>) unscharf",
    "[杯子](<0, 42>)很模糊。",
    "[cup](<0, 42>)很模糊。",
    "[コップ](<0, 42>)",
    "[чашка](<0, 42>) размыта",
    "[컵](<0, 42>)은 흐립니다.",
    "The [cup](<0, 42>) is sharp. Der [Hund](<5, 50>) ist unscharf.",
    "[🍎](<0, 42>) 😡",
]
ENGLISH = [
    "[cup](<0, 42>), [dog](<5, 50>)",
    "The [杯子](<0, 42>) is sharp.",
    "[wall](<0, 42>): sharp",
    "A [naïve façade](<0, 42>)",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_words_in_a_language_that_the_lexicon_lacks_are_for_review(text):
    (found,) = inspect_photographs([png()], Saying(text))
    assert ([reason.rule for reason in found.reasons], found.verdict) == (["unknown_language"], Verdict.REVIEW)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_words_and_names_alone_pass(text):
    (found,) = inspect_photographs([png()], Saying(text))
    assert (found.reasons, found.verdict) == ((), Verdict.PASS)


def test_no_english_sentence_of_the_table_is_of_an_unknown_language():
    for row in SENTENCES:
        (found,) = inspect_photographs([png()], Saying(re.sub(r"\]", "](<0, 42>)", row["text"])))
        assert "unknown_language" not in [reason.rule for reason in found.reasons], row["text"]


def test_a_policys_object_is_found_in_a_script_without_spaces():
    policy = Policy.model_validate({"rules": [{"verdict": "fail", "objects": ["杯子", "컵"]}]})
    for phrase in ("红色杯子上", "컵은"):
        assert policy.rules[0].matches(phrase, ())
    assert not policy.rules[0].matches("杯", ())


def test_a_sentence_without_a_box_is_no_regions():
    found = read_defects(parse("The [cup](<0, 42>) is sharp. It is noisy. Nothing else."))
    assert [said.defects for said in found.of_regions] == [()]
    assert [(said.text, said.defects) for said in found.elsewhere] == [("It is noisy.", ("noise",))]


def test_what_is_said_of_a_region_is_its_clause():
    found = read_defects(parse("On the left the [cup](<0, 42>) is sharp, but the [dog](<5, 50>) is blurred! Nice."))
    assert [said.text for said in found.of_regions] == ["On the left the cup is sharp", "but the dog is blurred!"]


def test_listed_names_share_what_is_said_of_them():
    found = read_defects(parse("The [cup](<0, 42>), the [jug](<0, 42>) and the [dish](<5, 50>) are blurred."))
    assert [said.defects for said in found.of_regions] == [("blur",)] * 3
    assert found.of_regions[0].text == "The cup, the jug and the dish are blurred."
    found = read_defects(parse("Noise covers the [cup](<0, 42>) and the [dish](<5, 50>)."))
    assert [said.defects for said in found.of_regions] == [("noise",)] * 2


def test_what_follows_the_places_of_a_thing_is_said_of_the_thing():
    found = read_defects(parse("The [bird](<0, 42>) above the [water](<0, 42>) in the [bay](<5, 50>) is blurred."))
    assert [said.defects for said in found.of_regions] == [("blur",), (), ()]
    found = read_defects(parse("In the [bay](<0, 42>) the [bird](<5, 50>) is blurred."))
    assert [said.defects for said in found.of_regions] == [(), ("blur",)]


@pytest.mark.parametrize(
    ("said", "defects"),
    [
        ("is blown", ["overexposure"]),
        ("is burnt", ["overexposure"]),
        ("is washed out", ["overexposure"]),
        ("is not lit", ["darkness"]),
        ("is not well exposed", ["darkness"]),
        ("is out of focus", ["blur"]),
        ("is badly lit", ["darkness"]),
        ("is well lit", []),
    ],
)
def test_words_that_the_tagger_takes_in_an_expression_alone_are_read_here(said, defects):
    (found,) = read_defects(parse(f"The [sky](<0, 63>) {said}.")).of_regions
    assert list(found.defects) == defects


def test_every_kind_is_found_by_a_word():
    words = (
        "corrupted, motion blur, out of focus, pixelated, banding, purple fringing, grainy, low contrast, green tint, "
        "blown out, underexposed, desaturated"
    )
    assert kinds_in(words) == KINDS


PIECES = (
    "the",
    "[cup](<0,42>)",
    "is",
    "and",
    "not",
    "blurred",
    ",",
    ".",
    "[dog](<5,50>)",
    "no",
    "noise",
    "](",
    "[",
    "with",
)


@given(st.lists(st.sampled_from(PIECES)))
def test_any_text_is_read_region_by_region(words):
    text = parse(" ".join(words))
    found = read_defects(text)
    assert len(found.of_regions) == len(text.regions)
    assert all(set(said.defects) <= set(KINDS) for said in (*found.of_regions, *found.elsewhere))


def photograph(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, "PNG")
    return buffer.getvalue()


def inspected(text: str, *rules: dict, size: tuple[int, int] = (40, 40)):
    policy = Policy.model_validate({"rules": rules})
    (found,) = inspect_photographs([photograph(size)], Saying(text), policy=policy)
    return found


# Each quarter of the photograph is 10 x 10 cells, of which a box holds 9 x 9: 0.2025
TWO = "The [Face of the man](<0, 189>) is blurred, the [wall](<10, 199>) is dark."


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"defects": ["blur"]}, "FAIL"),
        ({"defects": ["noise", "darkness"]}, "FAIL"),
        ({"defects": ["noise"]}, "PASS"),
        ({"defects": "any", "area": {"at_least": 0.405}}, "FAIL"),
        ({"defects": "any", "area": {"at_least": 0.41}}, "PASS"),
        ({"defects": ["blur"], "area": {"at_least": 0.2025}}, "FAIL"),
        ({"defects": ["blur"], "area": {"at_least": 0.21}}, "PASS"),
        ({"objects": ["face"]}, "FAIL"),
        ({"objects": ["FACE  of"]}, "FAIL"),
        ({"objects": ["ace", "fac", "dog"]}, "PASS"),
        ({"objects": ["wall"], "defects": ["blur"]}, "PASS"),
        ({"objects": ["wall", "face"], "defects": ["blur"]}, "FAIL"),
        ({"objects": ["a.*"]}, "PASS"),
    ],
    ids=str,
)
def test_a_rule_matches_by_kind_name_and_area(rule, verdict):
    assert inspected(TWO, rule | {"verdict": "Fail"}).verdict == verdict


def test_the_worst_verdict_holds_and_a_region_has_that_of_its_own_rules():
    found = inspected(TWO, {"verdict": "review", "defects": "any"}, {"verdict": "fail", "objects": ["wall"]})
    assert found.verdict is Verdict.FAIL
    assert [reason.rule for reason in found.reasons] == ["rule 1", "rule 2"]
    assert [region.verdict for region in found.regions] == [Verdict.REVIEW, Verdict.FAIL]


@given(st.lists(st.tuples(*[st.integers(0, 19)] * 4), max_size=6))
def test_what_boxes_cover_is_what_their_mask_holds(corners):
    boxes = [(min(a, c) / 20, min(b, d) / 20, (max(a, c) + 1) / 20, (max(b, d) + 1) / 20) for a, b, c, d in corners]
    xyxy = np.array(boxes).reshape(-1, 4)
    pixels = np.asarray(mask(xyxy, (20, 20)))
    assert covered(xyxy) == pytest.approx(float((pixels == 255).mean()), abs=1e-9)


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((40, 40), (480, 510)), ((3000, 1000), (1600, 563)), ((100, 900), (240, 930)), ((700, 600), (700, 630))],
)
def test_a_picture_has_a_size_to_be_read_and_boxes_in_the_colour_of_their_verdict(size, drawn):
    found = inspected(TWO, {"verdict": "fail", "defects": ["blur"]}, size=size)
    picture = draw_inspection(Image.new("RGB", size, "white"), found)
    assert picture.size == drawn
    there = {colour for _, colour in picture.getcolors(2**24)}
    expected = {tuple(bytes.fromhex(COLOURS[verdict][1:])) for verdict in (Verdict.FAIL, Verdict.PASS)}
    assert expected <= there
    assert tuple(bytes.fromhex(COLOURS[Verdict.REVIEW][1:])) not in there
    assert picture.getpixel((0, 0)) == tuple(bytes.fromhex(COLOURS[Verdict.FAIL][1:]))


def test_a_box_at_the_last_cell_keeps_its_label_inside():
    found = inspected("The [very last corner of it](<399, 399>) is blurred.", {"verdict": "fail", "defects": "any"})
    picture = np.asarray(draw_inspection(Image.new("RGB", (40, 40), "white"), found))
    red = np.all(picture == list(bytes.fromhex(COLOURS[Verdict.FAIL][1:])), axis=-1)
    rows, columns = np.nonzero(red[60:])
    assert columns.min() > 100  # the label, far wider than the box, was shifted to the left
    assert rows.max() < picture.shape[0] - 60
