import json

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from giqa_datasets import Region, parse, render, strip
from giqa_datasets.grid import SIDE, boxes_to_cells, cells_to_boxes
from giqa_datasets.regions import locate
from tests.giqa_datasets.texts import assert_consistent as assert_readable
from tests.paths import DATA


TABLE = json.loads((DATA / "grounded_text.json").read_text(encoding="utf-8"))
FULL = "The [tower](<35, 319>, <22, 354>)"
FULL_DECIMAL = "The [tower](<0.75, 0.05, 1.00, 0.80>, <0.10, 0.20, 0.30, 0.40>)"
FULL_SPACED = "The [tower]( <35, 319> , <22, 354> )"
TOWER = cells_to_boxes(np.array([[35, 319]]))


def region(phrase, start, boxes=TOWER):
    return Region(phrase, (start, start + len(phrase)), boxes)


def assert_consistent(grounded):
    """What holds for the reading of any GIQA text: what does in any format, and that it lacks nothing but markup."""
    assert_readable(grounded)
    assert not any(bracket in found.phrase for found in grounded.regions for bracket in "[]")
    assert len(grounded.plain) == len(grounded.text) - sum(end - start for start, end in grounded.markup)


@pytest.mark.parametrize("row", TABLE, ids=[row["id"] for row in TABLE])
def test_the_table_of_grounded_texts(row):
    grounded = parse(row["text"])
    assert_consistent(grounded)
    assert grounded.text == row["text"]
    assert grounded.plain == strip(row["text"]) == row["plain"], row["why"]
    assert [found.phrase for found in grounded.regions] == [known["phrase"] for known in row["regions"]], row["why"]
    for found, known in zip(grounded.regions, row["regions"], strict=True):
        expected = known["boxes"] if "boxes" in known else cells_to_boxes(np.array(known["cells"]))
        np.testing.assert_allclose(found.boxes, expected, err_msg=row["why"])
    wrong = [[bad.kind, row["text"][slice(*bad.span)]] for bad in grounded.malformed]
    assert wrong == row["malformed"], row["why"]


def test_the_table_covers_every_kind_of_malformed_box():
    kinds = {kind for row in TABLE for kind, _ in row["malformed"]}
    assert kinds == {"not_a_box", "out_of_range", "reversed", "syntax", "unclosed", "unnamed", "nested"}


@pytest.mark.parametrize("full", [FULL, FULL_DECIMAL, FULL_SPACED])
def test_a_phrase_cut_anywhere_inside_its_boxes_is_unclosed(full):
    for cut in range(full.index("(") + 1, len(full)):
        grounded = parse(full[:cut])
        assert [bad.kind for bad in grounded.malformed] == ["unclosed"], full[:cut]
        assert grounded.regions == (), full[:cut]
        assert grounded.plain.rstrip(" ,.") == "The tower", full[:cut]


@pytest.mark.parametrize("full", [FULL, FULL_DECIMAL])
def test_a_phrase_cut_before_its_boxes_is_prose(full):
    for cut in range(full.index("(") + 1):
        grounded = parse(full[:cut])
        assert (grounded.plain, grounded.regions, grounded.malformed) == (full[:cut], (), ())


@pytest.mark.parametrize("digits", ["9" * 10_000, "0" * 10_000 + "1"])
def test_thousands_of_digits_are_out_of_range_or_a_number(digits):
    for text in (f"[dog](<35, {digits}>)", f"[dog](<0.1, 0.2, {digits}.0, 0.6>)"):
        assert_consistent(parse(text))


def test_malformed_spans_point_into_the_text_as_given():
    text = "The [cat](<9, 3>) and a <35, 319> and [dog](35, 319)"
    assert [text[slice(*bad.span)] for bad in parse(text).malformed] == ["<9, 3>", "<35, 319>", "[dog](35, 319)"]


@pytest.mark.parametrize(("form", "other"), [("cells", "decimals"), ("decimals", "cells")])
def test_a_form_that_was_not_declared_is_not_a_box(form, other):
    text = {"cells": "[dog](<142, 309>)", "decimals": "[dog](<0.1, 0.2, 0.5, 0.6>)"}[form]
    assert len(parse(text, forms=(form,)).regions) == 1
    assert [bad.kind for bad in parse(text, forms=(other,)).malformed] == ["not_a_box"]


def test_forms_may_be_an_iterator():
    assert len(parse("[a](<0, 63>) [b](<0, 63>)", forms=iter(["cells"])).regions) == 2


def test_a_region_has_all_boxes_of_its_phrase_in_the_order_given():
    (candles,) = parse("The [candles](<33, 354>, <22, 324>) are sharp.").regions
    assert boxes_to_cells(candles.boxes).tolist() == [[33, 354], [22, 324]]


markup = st.lists(
    st.sampled_from([*"[]()<>,;.-!0123456789 \n\té²", "[dog](", "(<", ">)", "](", "35", "319", "0.5", "-1", "dog"])
    | st.sampled_from(["[label](<x, y>)", "[dog](<142, 309>)", "<0.1, 0.2, 0.5, 0.6>", ", "])
).map("".join)


@given(st.text() | markup)
@example("[[a](<0, 63>)](<0, 63>)")
@example("[a](<1<1, 2>, 2>)")
@example("[a]([b](<0, 63>)")
def test_parsing_never_raises_and_its_spans_are_valid(text):
    for forms in (("cells", "decimals"), ("cells",), ("decimals",), ()):
        grounded = parse(text, forms=forms)
        assert grounded.text == text
        assert_consistent(grounded)


@given(st.text(alphabet=st.characters(exclude_characters="[]<>")))
def test_text_without_brackets_is_plain(text):
    grounded = parse(text)
    assert (grounded.plain, grounded.regions, grounded.malformed) == (text, (), ())


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        ("", "["),
        ("", "]("),
        ("", "(<"),
        ("", "<"),
        ("", " "),
        ("", "( "),
        ("", "(<1 "),
        ("", "<1, "),
        ("", "<., -"),
        ("", "[a]("),
        ("", "[a](<1, "),
        ("", "[a](<1, 2>, "),
        ("", "[[a](<"),
        ("", "[label](<x, y>)"),
        ("[", "a"),
        ("(<1", " "),
        ("<1>", " "),
        ("[a](", " "),
        ("[a](<", ", "),
        ("[a](<", "1"),
        ("[a](", "<1>,"),
        ("[a](<1, 2>", " "),
        ("[a](<1, 2>", ", <1, 2>"),
    ],
)
@pytest.mark.slow
def test_a_megabyte_of_hostile_text_is_parsed(head, piece):
    text = head + piece * (1_000_000 // len(piece))
    grounded = parse(text)
    assert grounded.text == text
    assert_consistent(grounded)


@st.composite
def cell_boxes(draw):
    """One to three different boxes, as cells."""
    axis = st.tuples(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1)).map(sorted)
    pairs = draw(st.lists(st.tuples(axis, axis), min_size=1, max_size=3, unique_by=str))
    return cells_to_boxes(np.array([[y[0] * SIDE + x[0], y[1] * SIDE + x[1]] for x, y in pairs]))


@st.composite
def decimal_boxes(draw):
    """One to three different boxes with corners of two decimals."""
    axis = st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True).map(sorted)
    pairs = draw(st.lists(st.tuples(axis, axis), min_size=1, max_size=3, unique_by=str))
    return np.array([[x[0], y[0], x[1], y[1]] for x, y in pairs]) / 100


@st.composite
def grounded(draw, boxes):
    """A plain text and its regions; the text holds no markup, though characters of it."""
    prose = st.text(alphabet="ab .,()<>[]5-é狗\n", max_size=8) | st.sampled_from(["[label](<x, y>)", "[a](b) ", "(5"])
    phrase = st.text(alphabet="ab .,()<>5-é狗\n", min_size=1, max_size=8).filter(str.strip)
    plain = draw(prose)
    regions = []
    for name in draw(st.lists(phrase, max_size=3)):
        regions.append(Region(name, (len(plain), len(plain) + len(name)), draw(boxes)))
        plain += name + draw(prose)
    held = parse(plain)
    assume(not held.regions and not held.malformed)
    return plain, regions


@pytest.mark.parametrize(("form", "boxes"), [("cells", cell_boxes()), ("decimals", decimal_boxes())])
def test_what_was_rendered_is_parsed_back(form, boxes):
    @given(grounded(boxes))
    def law(case):
        plain, regions = case
        read = parse(render(plain, regions, form=form), forms=(form,))
        assert read.plain == plain
        assert read.malformed == ()
        assert [(found.phrase, found.span) for found in read.regions] == [(r.phrase, r.span) for r in regions]
        for found, given_region in zip(read.regions, regions, strict=True):
            np.testing.assert_allclose(found.boxes, given_region.boxes, atol=1e-12)

    law()


@pytest.mark.parametrize(("form", "boxes"), [("cells", cell_boxes()), ("decimals", decimal_boxes())])
def test_canonical_text_is_rendered_back_from_its_parts(form, boxes):
    @given(grounded(boxes))
    def law(case):
        text = render(*case, form=form)
        read = parse(text)
        assert render(read.plain, read.regions, form=form) == text

    law()


@given(grounded(cell_boxes()))
def test_stripping_canonical_text_twice_is_stripping_it_once(case):
    once = strip(render(*case))
    assert strip(once) == once == case[0]


@given(grounded(cell_boxes()), st.randoms(use_true_random=False))
def test_the_order_of_the_regions_does_not_matter(case, random):
    plain, regions = case
    shuffled = list(regions)
    random.shuffle(shuffled)
    assert render(plain, shuffled) == render(plain, regions)


unit = st.floats(0, 1)


@given(st.tuples(unit, unit, unit, unit), st.sampled_from(["cells", "decimals"]))
def test_any_box_is_written_as_a_box_near_it(corners, form):
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    assume(x1 < x2 and y1 < y2)
    box = np.array([[x1, y1, x2, y2]])
    read = parse(render("dog", [region("dog", 0, box)], form=form), forms=(form,))
    assert read.malformed == ()
    assert np.abs(read.regions[0].boxes - box).max() <= (0.05 if form == "cells" else 0.01) + 1e-6


@pytest.mark.parametrize("row", [row for row in TABLE if row["id"].startswith("paper-")], ids=lambda row: row["id"])
def test_the_papers_fragments_are_canonical(row):
    read = parse(row["text"])
    assert render(read.plain, read.regions) == row["text"]


def test_text_without_regions_is_rendered_as_it_is():
    assert render("A sharp dog.", []) == "A sharp dog."


def test_a_box_that_falls_on_the_same_cells_twice_is_written_once():
    twice = np.array([[0.75, 0.05, 1.0, 0.8], [0.751, 0.051, 0.999, 0.799]])
    assert render("The tower.", [region("tower", 4, twice)]) == "The [tower](<35, 319>)."


def test_a_box_too_thin_for_two_decimals_is_widened():
    thin = np.array([[0.501, 0.2, 0.502, 0.4], [0.999, 0.1, 1.0, 0.2], [0.2, 0.0, 0.4, 0.001]])
    text = render("wire", [region("wire", 0, thin)], form="decimals")
    assert text == "[wire](<0.50, 0.20, 0.51, 0.40>, <0.99, 0.10, 1.00, 0.20>, <0.20, 0.00, 0.40, 0.01>)"


@pytest.mark.parametrize(
    ("plain", "regions", "why"),
    [
        ("The [tower](<35, 319>).", [], "expected text without boxes"),
        ("The [tower](35, 319).", [], "expected text without boxes"),
        ("The tower <35, 319>.", [], "expected text without boxes"),
        ("The tower", [region("Tower", 4)], "expected phrase 'Tower'"),
        ("The tower", [region("tower", 3)], "expected phrase 'tower'"),
        ("The tower", [region("tower", 40)], "expected phrase 'tower'"),
        ("The tower", [Region("", (4, 4), TOWER)], "expected phrase ''"),
        ("The   tower", [region("  ", 3)], "expected phrase '  '"),
        ("The [red] tower", [region("[red] tower", 4)], "holds a bracket"),
        ("The red] tower", [region("red] tower", 4)], "holds a bracket"),
        ("The tower", [region("tower", 4, np.zeros((0, 4)))], "has no box"),
        ("The red tower", [region("red tower", 4), region("tower", 8)], "overlaps"),
        ("The red tower", [region("tower", 8), region("red tower", 4)], "overlaps"),
        ("The tower", [region("tower", 4), region("tower", 4)], "overlaps"),
        ("The tower", [Region("tower", (-5, 9), TOWER)], "tower"),
    ],
)
def test_render_refuses_regions_that_do_not_fit_in_one_sentence(plain, regions, why):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
        render(plain, regions)
    assert why in str(refused.value)


@pytest.mark.parametrize("phrase", ["label", "x, y"])
def test_a_phrase_inside_the_instruction_is_refused_or_parsed_back(phrase):
    plain = "Is it sharp? Note positions as [label](<x, y>)."
    try:
        text = render(plain, [region(phrase, plain.index(phrase, plain.index("[")))])
    except ValueError:
        return
    assert parse(text).plain == plain
    assert parse(text).malformed == ()


def test_rendering_does_not_change_the_boxes():
    boxes = np.array([[0.501, 0.2, 0.502, 0.4]])
    before = boxes.copy()
    for form in ("cells", "decimals"):
        render("wire", [region("wire", 0, boxes)], form=form)
    assert (boxes == before).all()


def spans(plain, *phrases):
    return [found.span for found in locate(plain, [(phrase, TOWER) for phrase in phrases])]


def test_each_phrase_takes_its_first_occurrence_that_is_left():
    assert spans("a cat and a cat", "cat", "cat") == [(2, 5), (12, 15)]


def test_phrases_are_found_as_whole_words_alone():
    assert spans("a catalogue, a bobcat, a cat", "cat") == [(25, 28)]
    assert spans("das Hündchen, der Hund", "Hund") == [(18, 22)]


def test_a_phrase_inside_one_that_was_taken_is_looked_for_further_on():
    assert spans("red tower, tower", "red tower", "tower") == [(0, 9), (11, 16)]


def test_phrases_may_hold_characters_of_regular_expressions():
    assert spans("the sign C++ (old) is worn", "C++ (old)") == [(9, 18)]


def test_a_phrase_that_does_not_stand_in_the_text_is_named():
    with pytest.raises(ValueError, match="phrase 'dog' does not stand"):
        spans("a cat", "dog")
    with pytest.raises(ValueError, match="phrase 'cat' does not stand"):
        spans("a cat", "cat", "cat")
