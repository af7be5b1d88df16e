"""scan and gather find what parse finds, whatever the strings; names keep apart what differs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from giqa_datasets import GroundedText, Region, Sizes, names, parse
from giqa_datasets import text_scan as scanning
from giqa_datasets.formats import FORMATS
from giqa_datasets.grid import SIDE, boxes_to_cells, cells_to_boxes
from giqa_datasets.names import WIDTH, distinct, joined, spelled
from giqa_datasets.reply import read
from giqa_datasets.text_scan import answers_of, gather, scan, scan_replies


FORMS = [("cells", "decimals"), ("cells",), ("decimals",)]


def rows(found) -> Counter:
    """Which text holds which name with which box, and how often."""
    spelled_names = found.names.spell(found.name)
    return Counter(zip(found.text.tolist(), spelled_names, map(tuple, found.boxes.tolist()), strict=True))


def assert_whole(found, n_texts) -> None:
    """What holds for every Scan."""
    count = len(found.text)
    assert found.text.shape == found.name.shape == (count,)
    assert (found.cells.shape, found.boxes.shape) == ((count, 2), (count, 4))
    assert (np.diff(found.text) >= 0).all()
    assert all(kinds for kinds in found.malformed.values())
    assert len(found.plain()) == n_texts
    assert found.cells.tolist() == boxes_to_cells(found.boxes).tolist()
    assert not found.is_on_grid or np.array_equal(cells_to_boxes(found.cells), found.boxes)


def assert_as_parsed(texts, forms) -> None:
    assert_as_read(scan(texts, forms=forms), [parse(text, forms=forms) for text in texts])


def assert_as_read(found, texts) -> None:
    """What was found is what was read one by one, in reading order."""
    assert_whole(found, len(texts))
    expected = {at: [broken.kind for broken in text.malformed] for at, text in enumerate(texts) if text.malformed}
    assert found.malformed == expected
    assert found.plain() == [text.plain for text in texts]
    each = zip(found.text.tolist(), found.names.spell(found.name), map(tuple, found.boxes.tolist()), strict=True)
    assert list(each) == [
        (at, region.phrase.strip(), tuple(box))
        for at, text in enumerate(texts)
        for region in text.regions
        for box in region.boxes.tolist()
    ]


NAMES = [
    "dog",
    "label",
    "a",
    "ü",
    "狗",
    "😀",
    "\ud83d\ude00",  # two surrogates, not the smiley
    "\udcff",
    "red cup",
    " dog",
    "dog ",
    "\u00a0dog\u2003",
    "\x1fdog",
    "dog\x85",
    "\u200bdog",
    "\x7f",
    "a\nb",
    "a\0b",
    "\0",
    "",
    " ",
    "\u00a0",
    "dog (left)",
    "(dog)",
    "dog)",
    "a [dog]",
    "a]b",
    "a[b",
    "a<b",
    "a>b",
    "<1, 2>",
    "n" * (WIDTH - 1),
    "n" * WIDTH,
    "n" * (WIDTH + 1),
    "n" * WIDTH + "m",
    "ü" * (WIDTH // 2),
    "x" + "ü" * (WIDTH // 2),
    "n" * 1001,
    "n" * 1001 + "]",
]
PIECES = [
    *"[]()<>,. -0123456789\n\t\0",
    "](",
    "(<",
    "](<",
    ">)",
    ">, <",
    ", ",
    ",  ",
    ",",
    "<12, 34>",
    "<399, 399>",
    "<400, 400>",
    "<0, 1000>",
    "<0012, 0034>",
    "<007, 034>",
    "<12,34>",
    "<12,  34>",
    "<12, 34 >",
    "< 12, 34>",
    "<-1, 34>",
    "<+1, 34>",
    "<34, 12>",
    "<19, 20>",
    "<1, 2, 3>",
    "<1>",
    "<>",
    "<x, y>",
    "<0.10, 0.20, 0.30, 0.40>",
    "<0.3, 0.2, 0.1, 0.4>",
    "<0, 0, 1, 1>",
    "<.5, .5, 1., 1.>",
    "<0.5, 0.5, 1.5, 1>",
    "<²5, 34>",
    "<١٢, 34>",
    "[label](<x, y>)",
    "[dog](<12, 34>)",
    "[dog](<12, 34>, <0, 399>)",
    "[dog](<12, 34>)](<12, 34>)",
    "[dog](12, 34)",
    "[dog](",
    "[dog]",
    "[a [dog]](<12, 34>)",
    "It is blurry. ",
]

corners = st.one_of(st.integers(0, 420), st.integers(0, 60))
numbers = st.one_of(corners.map(str), corners.map("{:03}".format), corners.map("{:04}".format))
cells = st.tuples(numbers, st.sampled_from([", ", ", ", ", ", ",", ",  "]), numbers).map("".join)
boxes = st.one_of(
    cells.map("<{}>".format), st.sampled_from([piece for piece in PIECES if piece[0] == "<" and piece != "<"])
)
phrases = st.builds(
    "[{}]({}){}".format,
    st.sampled_from(NAMES) | st.text(st.characters(), max_size=4),
    st.lists(boxes, max_size=4).map(", ".join),
    st.sampled_from(["", " is sharp. ", ")", "(", " ["]),
)
clean = st.lists(
    st.builds(
        "The [{}]({}) is sharp. ".format,
        st.sampled_from(["dog", "red cup", "ü", "n" * WIDTH, "a狗b"]),
        st.lists(cells.map("<{}>".format), min_size=1, max_size=3).map(", ".join),
    ),
    max_size=3,
).map("".join)


@st.composite
def cut(draw, whole):
    """A part of a text."""
    text = draw(whole)
    start, stop = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[start:stop] if draw(st.booleans()) else text[:start] + text[stop:]


soup = st.lists(st.sampled_from(PIECES) | st.sampled_from(NAMES) | phrases, max_size=8).map("".join)
anything = st.one_of(clean, soup, phrases, cut(soup), cut(clean), st.text(st.characters(), max_size=20))


@pytest.mark.parametrize("forms", FORMS, ids=" and ".join)
def test_any_texts_are_scanned_as_they_are_parsed(forms):
    @given(st.lists(anything, max_size=6))
    @example([])
    @example([""])
    @example(["[a](x", "[b](<0, 63>)"])  # a bracket that opens no box, before another text
    @example(["[a](<0, 63", ">) [b](<0, 63>)"])
    @example(["[a", "](<0, 63>)"])
    @example(["[a](", "<0, 63>)"])
    @example(["[a](<0, 63>", ", <0, 64>)"])
    @example(["\0", "[a\0](<0, 63>)", "[b](<0, 63>)"])
    @example(["[a](<0, 63>)\0[b](<0, 64>)", "[c](<0, 65>)"])
    @example(["[\ud83d\ude00](<0, 63>)", "[😀](<0, 63>)"])
    def law(texts):
        assert_as_parsed(texts, forms)

    law()


@given(st.lists(anything, min_size=1, max_size=5))
def test_a_text_alone_gives_what_it_gives_among_others(texts):
    together = scan(texts)
    alone = [scan([text]) for text in texts]
    assert together.malformed == {at: found.malformed[0] for at, found in enumerate(alone) if found.malformed}
    assert rows(together) == Counter(
        {(index, name, box): n for index, found in enumerate(alone) for (_, name, box), n in rows(found).items()}
    )


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_between_two_others_is_scanned_as_it_is_parsed(name):
    texts = ["[one](<0, 63>)", f"The [{name}](<12, 34>, <1, 400>) is.", "[two](<0, 64>)"]
    for forms in FORMS:
        assert_as_parsed(texts, forms)


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_any_piece_before_inside_and_after_a_phrase_is_scanned_as_it_is_parsed(piece):
    texts = [
        f"{piece}[one](<0, 63>)",
        f"[o{piece}ne](<0, 63>)",
        f"[one]{piece}(<0, 63>)",
        f"[one]({piece})",
        f"[one]({piece}<0, 63>)",
        f"[one](<0, 63>, {piece}, <0, 64>)",
        f"[one](<0, 63>{piece})",
        f"[one](<0, 63>){piece}",
        "[two](<0, 64>)",
    ]
    for forms in FORMS:
        assert_as_parsed(texts, forms)
        assert_as_parsed(texts[::-1], forms)
        for text in texts:
            assert_as_parsed([text], forms)


def test_a_text_cut_anywhere_is_scanned_as_it_is_parsed():
    full = "The [red cup](<35, 319>, <22, 354>) and [ü](<0, 63>)."
    texts = [full[:stop] for stop in range(len(full) + 1)] + [full[start:] for start in range(len(full))]
    for forms in FORMS:
        assert_as_parsed(texts, forms)
        assert_as_parsed([part for text in texts for part in (text, full)], forms)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_no_box_reaches_from_one_text_into_the_next(lost):
    # The texts meet where a character was, or two, so that what stands around them would go on
    full = "[red cup](<35, 319>, <2, 354>, <0, 63>) and [dog](<007, 63>)"
    for forms in FORMS:
        for cut_at in range(len(full) + 1):
            assert_as_parsed([full[:cut_at], full[cut_at + lost :]], forms)
            assert_as_parsed([full, full[:cut_at], "", full[cut_at + lost :], full], forms)


@given(clean, st.lists(st.integers(0, 120), max_size=6), st.integers(0, 2))
@example("[a](<12, 34>, <0, 63>)", [8], 1)
@example("[a](<1, 34>, <0, 63>)", [6], 0)
def test_a_text_cut_into_many_is_scanned_as_its_parts_are_parsed(text, cuts, lost):
    ends = sorted({min(end, len(text)) for end in cuts})
    parts = [text[start + lost : end] for start, end in zip([-lost, *ends], [*ends, len(text)], strict=True)]
    assert_as_parsed(parts, ("cells", "decimals"))


def test_all_rectangles_of_the_grid_are_found_and_nothing_else_is():
    pairs = [(first, last) for first in range(SIDE**2) for last in range(SIDE**2)]
    is_box = [a // SIDE <= b // SIDE and a % SIDE <= b % SIDE for a, b in pairs]
    assert sum(is_box) == 44_100
    found = scan([f"A [dog](<{a}, {b}>)." for a, b in pairs])
    assert found.is_on_grid
    assert found.malformed.keys() == {at for at, good in enumerate(is_box) if not good}
    order = np.argsort(found.text)
    assert found.text[order].tolist() == [index for index, good in enumerate(is_box) if good]
    expected = np.array([pair for pair, good in zip(pairs, is_box, strict=True) if good])
    np.testing.assert_array_equal(found.cells[order], expected)
    np.testing.assert_array_equal(found.boxes[order], cells_to_boxes(expected))


def test_all_rectangles_under_one_name_are_found():
    pairs = [(a, b) for a in range(SIDE**2) for b in range(a, SIDE**2) if a % SIDE <= b % SIDE]
    found = scan([f"[dog]({', '.join(f'<{a}, {b}>' for a, b in pairs)})"])
    assert sorted(map(tuple, found.cells.tolist())) == pairs
    assert {*found.names.spell(found.name)} == {"dog"}


@pytest.mark.parametrize("offset", range(-30, 31, 3))
def test_a_phrase_across_the_border_of_two_blocks_is_found(offset):
    text = " " * (scanning._BLOCK + offset) + "[red cup](<35, 319>, <22, 354>) is"
    assert_as_parsed([text, "[dog](<0, 63>)"], ("cells",))
    assert scan([text]).cells.tolist() == [[35, 319], [22, 354]]


def test_a_box_that_is_written_twice_is_two_rows():
    assert scan(["[a](<0, 63>, <0, 63>) [a](<0, 63>)"]).cells.tolist() == [[0, 63]] * 3


def test_forms_may_be_an_iterator():
    assert scan(["[a](<0, 63>)", "[b](<0.1, 0.1, 0.5, 0.5>)"], forms=iter(["cells"])).text.tolist() == [0]


def test_texts_may_be_a_tuple():
    assert scan(("[a](<0, 63>)", "[b] (<0, 63>")).text.tolist() == [0]


@given(st.lists(anything, max_size=5))
def test_what_was_parsed_and_gathered_is_what_is_scanned(texts):
    parsed = [parse(text) for text in texts]
    assert_as_read(gather(parsed), parsed)


def test_boxes_off_the_grid_are_gathered_as_they_are():
    box = np.array([[0.7512, 0.0503, 0.9871, 0.7929]])
    found = gather([parse("[a](<3"), GroundedText("", " tower ", (Region(" tower ", (0, 7), box),), ())])
    assert not found.is_on_grid
    assert rows(found) == {(1, "tower", tuple(box[0].tolist())): 1}
    assert (found.cells.tolist(), found.malformed) == ([[35, 319]], {0: ["unclosed"]})


# Replies

SAID = [
    piece.replace("_", " ")
    for piece in [
        "<think>",
        "</think>",
        "[THINK]",
        "[think](<1,_22>)",
        "[/THINK]",
        "◁think▷",
        "◁/think▷",
        "<answer>",
        "</answer>",
        "</s>",
        "ASSISTANT:",
        "ASSISTANT:_",
        "assistant:",
        ":",
        "=",
        "(",
        "(left)",
        "(1,_2),_(30,_40)",
        "[1,_2,_30,_40]",
        "<box>",
        "box",
        "bbox:_[1,_2,_3,_4]",
        "x1:_1,_y1:_2,_x2:_3,_y2:_4",
        "{",
        "{<1><2><3><4>}",
        "&lt;1,_2&gt;",
        "《35，319》",  # noqa: RUF001
        "］",  # noqa: RUF001
        "(1,_2,_3,_4)",
        "(_1,_2,_3,_4)",
        "]_(35,_319)",
        "<loc_1><loc_2><loc_3><loc_4>",
        "ſ",  # noqa: RUF001
        "K",  # noqa: RUF001
        "(é",
        '"bbox_2d":_[1,_2,_3,_4]',
        "(\x00",
        "<|im_end|>",
        "<|begin_of_box|>",
    ]
]
replies = st.lists(st.sampled_from(SAID) | clean | st.sampled_from(PIECES), max_size=6)
replies_of = st.none() | replies.map("".join) | anything


@given(st.lists(replies_of, max_size=6))
@example(["ASSISTANT: [dog](<0, 63>)", "[think](<1, 22>) so", "a (1, 2, 3, 4) b", "box = 1, 2, 3, 4", None])
@example(["[THIN\N{KELVIN SIGN}](<1, 22>) so", "x [dog](<0, 63>) [1, 2, 3, 4]"])
def test_replies_are_scanned_as_they_are_read_one_by_one(replies):
    found, each = scan_replies(replies), [read(reply) for reply in replies]
    assert_as_read(found, [one.answer for one in each])
    assert found.n_thoughts == {at: one.n_thoughts for at, one in enumerate(each) if one.n_thoughts}
    assert found.n_tokens == {at: one.n_tokens for at, one in enumerate(each) if one.n_tokens}


SIZES = Sizes((640, 400), (644, 392))  # a padded square is no frame that the image fills
NOTES = [
    "",
    ". ",
    " so ",
    "(left) ",
    "(1) ",
    "a\tb ",
    "x\0",
    "\n",
    "\n```json\n[\n]\n```",
    "] [",
    " [1, 2, 3, 4]",
    "<ref>",
]


def written(name: str, words: list[tuple[str, bool]], boxes: list[list[float]]) -> str:
    """Words in a box format, those that are marked with boxes; plain where the format refuses them."""
    plain, regions = "", []
    for word, has_box in words:
        start = len(plain) + bool(plain)
        plain = f"{plain} {word}" if plain else word
        if has_box:
            regions.append(Region(word, (start, len(plain)), np.array(boxes)))
    try:
        return FORMATS[name].write(plain, regions, SIZES)
    except ValueError:
        return plain


corners = st.tuples(*[st.integers(0, 8)] * 2, *[st.integers(9, 20)] * 2).map(lambda box: [side / 20 for side in box])
words = st.tuples(
    st.sampled_from(["dog", "red cup", "the", "naïve", "cup,", "c", "Ⅻ", "box =", "label"]), st.booleans()
)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_replies_in_every_format_are_scanned_as_they_are_read_one_by_one(name, data):
    note = st.sampled_from(NOTES) | st.sampled_from(SAID)

    def reply() -> str:
        text = written(
            name, data.draw(st.lists(words, max_size=4)), data.draw(st.lists(corners, min_size=1, max_size=3))
        )
        at, removed = data.draw(st.integers(0, len(text))), data.draw(st.sampled_from([0, 0, 0, 1, 5]))
        return data.draw(note) + text[:at] + data.draw(st.just("") | note) + text[at + removed :]

    replies = [reply() if data.draw(st.booleans()) else None for _ in range(4)] + [reply()]
    each = [read(text, name, SIZES) for text in replies]
    found = scan_replies(replies, name, [SIZES] * len(replies))
    assert_as_read(found, [one.answer for one in each])
    assert found.n_thoughts == {at: one.n_thoughts for at, one in enumerate(each) if one.n_thoughts}
    assert answers_of(replies, name) == [one.answer.plain for one in each]


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].written])
def test_what_a_format_writes_is_not_read_one_by_one(name, monkeypatch):
    texts = [
        written(name, [("The", False), (word, True), ("is sharp.", False)], [[0.1, 0.2, 0.6, 0.8]] * 2)
        for word in ("dog", "red cup")
    ]
    sizes = [SIZES] * 2
    each = [read(text, name, SIZES).answer for text in texts]
    assert all(text.regions for text in each)
    monkeypatch.setattr(scanning, "read_tokens", lambda *told: pytest.fail("read one by one"))
    assert_as_read(scan_replies(texts, name, sizes), each)


@pytest.mark.parametrize("piece", SAID, ids=ascii)
def test_what_is_cut_or_caught_is_so_among_others_too(piece):
    whole = "The [red cup](<35, 319>, <22, 354>) is sharp"
    texts = [f"{piece}{whole}", f"{whole}{piece}", f"{whole} {piece} and {whole}", whole, f"{piece} {piece}"]
    assert_as_read(scan_replies(texts), [read(text).answer for text in texts])


# Names

text_names = st.text(st.characters(), max_size=3) | st.sampled_from(NAMES)
name_lists = st.lists(text_names, max_size=12)
EDGES = [
    head * (length - len(tail)) + tail
    for length in (WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH, 1000)
    for head in ("n", "\0")
    for tail in ("", "a", "b", "\0")
]


def spell_all(found) -> list[str]:
    return found.spell(np.arange(len(found.keys)))


def assert_told_apart(given_names, found, place) -> None:
    """What `distinct` promises."""
    ones = spell_all(found)
    assert len({*ones}) == len(ones) == len({*given_names})
    assert [ones[index] for index in place.tolist()] == given_names
    assert place.shape == (len(given_names),)


@given(name_lists, st.randoms(use_true_random=False))
def test_distinct_names_are_told_apart_in_an_order_that_depends_on_them_alone(many, random):
    many = many + many[::2]
    found, place = distinct(spelled(many))
    assert_told_apart(many, found, place)
    again, _ = distinct(spelled(random.sample(many, len(many))))
    assert spell_all(again) == spell_all(found)


@pytest.mark.parametrize("mix", ["nothing", "lengths", "the first bytes"])
def test_names_that_share_a_sum_are_told_apart_all_the_same(mix):
    factors = np.zeros_like(names._MIX)
    factors[{"nothing": [], "lengths": [-1], "the first bytes": [0]}[mix]] = 1

    @given(name_lists, st.randoms(use_true_random=False))
    @example(["a", "b", "a", "b", "c", "a"], None)
    @example([], None)
    @example(["a"], None)
    def law(many, random):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(names, "_MIX", factors)
            found, place = distinct(spelled(many))
            assert_told_apart(many, found, place)
            again, _ = distinct(spelled(random.sample(many, len(many)) if random else many[::-1]))
            assert spell_all(again) == spell_all(found)

    law()


def test_names_about_as_wide_as_a_key_are_told_apart():
    assert len({*EDGES}) == 5 * (4 + 4) - 5  # "\0" * n + "\0" is "\0" * (n + 1)
    many = EDGES * 2
    assert_told_apart(many, *distinct(spelled(many)))


@pytest.mark.parametrize("length", [WIDTH - 1, WIDTH, WIDTH + 1])
def test_a_name_about_as_wide_as_a_key_is_one_name_however_it_was_read(length):
    name = "n" * (length - 1) + "m"
    quick, slow, other = f"[{name}](<0, 63>)", f"[ {name}](<0, 63> )", f"[{name[:-1]}o](<0, 63>)"
    found = scan([quick, slow, slow, other, quick])
    again = gather([GroundedText("", name, (Region(name, (0, length), np.eye(1, 4)),), ())])
    _, place = distinct(joined(joined(found.names, again.names), spelled([name, name[:-1], "n" * length])))
    of_text = dict(zip(found.text.tolist(), place[found.name].tolist(), strict=True))
    *_, of_again, of_name, of_shorter, of_longer = place.tolist()
    assert {of_text[0], of_text[1], of_text[2], of_text[4], of_again} == {of_name}
    assert len({of_name, of_text[3], of_shorter, of_longer}) == 4


@given(st.lists(anything, max_size=4))
def test_names_of_boxes_have_the_keys_of_their_spelling(texts):
    found = scan(texts)
    np.testing.assert_array_equal(
        found.names.keys[found.name], spelled(found.names.spell(found.name)).keys.reshape(-1, names.WORDS)
    )


@given(name_lists, name_lists, name_lists, st.data())
def test_joined_names_are_the_one_then_the_other(a, b, c, data):
    both = joined(joined(spelled(a), spelled(b)), spelled(c))
    assert spell_all(both) == a + b + c
    np.testing.assert_array_equal(both.keys, spelled(a + b + c).keys)
    many = data.draw(st.lists(st.integers(0, len(a + b + c) - 1), max_size=9)) if a + b + c else []
    assert both.spell(np.array(many, dtype=np.int64)) == [(a + b + c)[index] for index in many]


def test_no_names_are_names_too():
    nothing = spelled([])
    found, place = distinct(joined(nothing, nothing))
    assert (spell_all(nothing), spell_all(found), place.tolist()) == ([], [], [])
    assert nothing.keys.shape == found.keys.shape == (0, names.WORDS)


def test_no_texts_are_texts_too():
    found = scan([])
    assert_whole(found, 0)
    assert_whole(gather([]), 0)
    assert_whole(scan_replies([]), 0)
    assert (rows(found), found.is_on_grid) == ({}, True)
