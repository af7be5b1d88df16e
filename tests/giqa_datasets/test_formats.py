import json
import re

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from giqa_datasets import Region
from giqa_datasets.formats import FORMATS, Sizes, box_format
from giqa_datasets.formats.frames import FLORENCE2, MAX_PIXELS, MIN_PIXELS, resized
from giqa_datasets.formats.labels import CLOSED
from giqa_datasets.grid import boxes_to_cells, cells_to_boxes
from tests.giqa_datasets.texts import PLAIN, REGIONS, SIZES, TOWER, assert_consistent, broken, shuffled
from tests.paths import DATA


TABLE = json.loads((DATA / "box_formats.json").read_text(encoding="utf-8"))
UNMARKED = ("ferret", "shikra", "groundinggpt", "llava", "glm_v", "florence2")
JSON = ("qwen2_5_vl", "qwen3_vl", "kimi_vl", "gemini", "pixels")
BESIDE = (*JSON, "paligemma")
PADDED = ("shikra", "groundinggpt", "llava")
# What a corner may move in reading what was written, as a share of the image's width and height (400 x 200)
STEP = {
    "giqa": (1 / 20, 1 / 20),
    "giqa_decimal": (0.01, 0.01),
    "kosmos2": (1 / 32, 1 / 32),
    "ferret": (0.001, 0.001),
    "shikra": (0.001, 0.002),
    "groundinggpt": (0.001, 0.002),
    "llava": (0.01, 0.02),
    "qwen_vl": (0.001, 0.001),
    "qwen2_vl": (0.001, 0.001),
    "qwen2_5_vl": (1 / 392, 1 / 196),
    "qwen3_vl": (0.001, 0.001),
    "kimi_vl": (0.001, 0.001),
    "gemini": (0.001, 0.001),
    "glm_v": (0.001, 0.001),
    "deepseek_vl2": (1 / 999, 1 / 999),
    "minicpm_v": (0.001, 0.001),
    "internvl": (0.001, 0.001),
    "paligemma": (1 / 1023, 1 / 1023),
    "florence2": (0.0015, 0.0015),
    "pixels": (1 / 400, 1 / 200),
}
LAST_BOX = {  # what the last box begins with
    **dict.fromkeys(("internvl", "deepseek_vl2", "glm_v"), "], ["),
    **dict.fromkeys(("giqa", "giqa_decimal"), "("),
    **dict.fromkeys(("qwen_vl", "minicpm_v"), "<box>"),
    "kosmos2": "</delim",
    "qwen2_vl": "<|box_start|>",
    "paligemma": "<loc0026>",
    "florence2": "<loc_524>",
}
WRITTEN = {
    "giqa": "The [tower](<142, 309>) and the [dogs](<0, 21>, <10, 399>) are sharp.",
    "giqa_decimal": "The [tower](<0.12, 0.38, 0.48, 0.78>) and the [dogs](<0.02, 0.02, 0.08, 0.08>, "
    "<0.52, 0.02, 0.98, 0.98>) are sharp.",
    "kosmos2": "The <phrase>tower</phrase><object><patch_index_0388><patch_index_0783></object> and the "
    "<phrase>dogs</phrase><object><patch_index_0000><patch_index_0066></delimiter_of_multi_objects/>"
    "<patch_index_0016><patch_index_1023></object> are sharp.",
    "ferret": "The tower [125, 375, 475, 775] and the dogs [25, 25, 75, 75] [525, 25, 975, 975] are sharp.",
    "shikra": "The tower[0.125,0.438,0.475,0.638] and the dogs[0.025,0.262,0.075,0.288;0.525,0.262,0.975,0.738] "
    "are sharp.",
    "groundinggpt": "The tower[0.125, 0.438, 0.475, 0.638] and the dogs[0.025, 0.262, 0.075, 0.288]"
    "[0.525, 0.262, 0.975, 0.738] are sharp.",
    "llava": "The tower [0.12, 0.44, 0.48, 0.64] and the dogs [0.02, 0.26, 0.08, 0.29] [0.52, 0.26, 0.98, 0.74] "
    "are sharp.",
    "qwen_vl": "The <ref>tower</ref><box>(125,375),(475,775)</box> and the "
    "<ref>dogs</ref><box>(25,25),(75,75)</box><box>(525,25),(975,975)</box> are sharp.",
    "qwen2_vl": "The <|object_ref_start|>tower<|object_ref_end|><|box_start|>(125,375),(475,775)<|box_end|> and the "
    "<|object_ref_start|>dogs<|object_ref_end|><|box_start|>(25,25),(75,75)<|box_end|>"
    "<|box_start|>(525,25),(975,975)<|box_end|> are sharp.",
    "qwen2_5_vl": 'The tower and the dogs are sharp.\n```json\n[\n\t{"bbox_2d": [49, 74, 186, 152], "label": "tower"},'
    '\n\t{"bbox_2d": [10, 5, 29, 15], "label": "dogs"},\n\t{"bbox_2d": [206, 5, 382, 191], "label": "dogs"}\n]\n```',
    "qwen3_vl": 'The tower and the dogs are sharp.\n```json\n[\n\t{"bbox_2d": [125, 375, 475, 775], "label": "tower"},'
    '\n\t{"bbox_2d": [25, 25, 75, 75], "label": "dogs"},\n\t{"bbox_2d": [525, 25, 975, 975], "label": "dogs"}\n]\n```',
    "kimi_vl": 'The tower and the dogs are sharp.\n```json\n[\n\t{"bbox_2d": [0.125, 0.375, 0.475, 0.775], '
    '"label": "tower"},\n\t{"bbox_2d": [0.025, 0.025, 0.075, 0.075], "label": "dogs"},\n\t'
    '{"bbox_2d": [0.525, 0.025, 0.975, 0.975], "label": "dogs"}\n]\n```',
    "gemini": 'The tower and the dogs are sharp.\n```json\n[\n\t{"box_2d": [375, 125, 775, 475], "label": "tower"},'
    '\n\t{"box_2d": [25, 25, 75, 75], "label": "dogs"},\n\t{"box_2d": [25, 525, 975, 975], "label": "dogs"}\n]\n```',
    "glm_v": "The tower <|begin_of_box|>[[125, 375, 475, 775]]<|end_of_box|> and the dogs "
    "<|begin_of_box|>[[25, 25, 75, 75], [525, 25, 975, 975]]<|end_of_box|> are sharp.",
    "deepseek_vl2": "The <|ref|>tower<|/ref|><|det|>[[125, 375, 475, 774]]<|/det|> and the "
    "<|ref|>dogs<|/ref|><|det|>[[25, 25, 75, 75], [524, 25, 974, 974]]<|/det|> are sharp.",
    "minicpm_v": "The <ref>tower</ref><box>125 375 475 775</box> and the "
    "<ref>dogs</ref><box>25 25 75 75</box><box>525 25 975 975</box> are sharp.",
    "internvl": "The <ref>tower</ref><box>[[125, 375, 475, 775]]</box> and the "
    "<ref>dogs</ref><box>[[25, 25, 75, 75], [525, 25, 975, 975]]</box> are sharp.",
    "paligemma": "The tower and the dogs are sharp.\n<loc0384><loc0128><loc0793><loc0486> tower ; "
    "<loc0026><loc0026><loc0077><loc0077> dogs ; <loc0026><loc0537><loc0997><loc0997> dogs",
    "florence2": "The tower<loc_124><loc_374><loc_474><loc_774> and the "
    "dogs<loc_24><loc_24><loc_74><loc_74><loc_524><loc_24><loc_974><loc_974> are sharp.",
    "pixels": 'The tower and the dogs are sharp.\n```json\n[\n\t{"bbox": [50, 75, 190, 155], "label": "tower"},'
    '\n\t{"bbox": [10, 5, 30, 15], "label": "dogs"},\n\t{"bbox": [210, 5, 390, 195], "label": "dogs"}\n]\n```',
}

every_format = pytest.mark.parametrize("name", FORMATS)


def assert_near(found, known, name):
    """Each corner within the format's step."""
    assert (np.abs(found - known) <= np.array(STEP[name] * 2) + 1e-6).all()


@pytest.mark.parametrize("row", TABLE, ids=[f"{row['format']}-{row['id']}" for row in TABLE])
def test_the_table_of_box_formats(row):
    sizes = Sizes(**{side: tuple(wh) for side, wh in row.get("sizes", {}).items()})
    grounded = box_format(row["format"]).read(row["text"], sizes)
    assert_consistent(grounded)
    assert grounded.text == row["text"]
    assert grounded.plain == box_format(row["format"]).strip(row["text"]) == row["plain"], row["why"]
    assert [found.phrase for found in grounded.regions] == [known["phrase"] for known in row["regions"]], row["why"]
    for found, known in zip(grounded.regions, row["regions"], strict=True):
        np.testing.assert_allclose(found.boxes, known["boxes"], atol=1e-9, err_msg=row["why"])
    wrong = [[bad.kind, row["text"][slice(*bad.span)]] for bad in grounded.malformed]
    assert wrong == row["malformed"], row["why"]


def test_the_table_covers_every_format_and_every_kind():
    assert {row["format"] for row in TABLE} == set(FORMATS) - {"giqa", "giqa_decimal"}
    kinds = {kind for row in TABLE for kind, _ in row["malformed"]}
    assert kinds == {"not_a_box", "out_of_range", "reversed", "syntax", "unclosed", "unnamed", "nested"}


def test_protocol_section_10_and_nothing_else_is_there():
    assert list(FORMATS) == list(WRITTEN) == list(STEP)


@every_format
def test_a_format_writes_its_form(name):
    assert box_format(name).write(PLAIN, REGIONS, SIZES) == WRITTEN[name]


@every_format
def test_what_a_format_reads_it_writes_again(name):
    read = box_format(name).read(WRITTEN[name], SIZES)
    assert (read.plain, read.malformed) == (PLAIN, ())
    assert [(found.phrase, found.span) for found in read.regions] == [(known.phrase, known.span) for known in REGIONS]
    for found, known in zip(read.regions, REGIONS, strict=True):
        assert_near(found.boxes, known.boxes, name)
    assert box_format(name).write(read.plain, read.regions, SIZES) == WRITTEN[name]


@pytest.mark.parametrize(("name", "other"), [("giqa", "giqa_decimal"), ("giqa_decimal", "giqa")])
def test_giqa_boxes_in_the_other_form_are_malformed_and_leave_no_region(name, other):
    read = box_format(other).read(WRITTEN[name])
    assert read.regions == ()
    assert [bad.kind for bad in read.malformed] == ["not_a_box"] * 3
    assert read.plain == PLAIN


@every_format
def test_text_cut_inside_its_last_box_keeps_what_was_whole(name):
    full = WRITTEN[name].removesuffix(" are sharp.").removesuffix("\n]\n```")
    if name == "paligemma":
        full = full.removesuffix(" dogs")
    begun = full.rindex(LAST_BOX.get(name, "{" if name in JSON else "["))
    for cut in range(begun + 2, len(full)):
        read = box_format(name).read(full[:cut], SIZES)
        assert_consistent(read)
        assert [bad.kind for bad in read.malformed] == ["unclosed"], full[:cut]
        assert read.regions[0].phrase == "tower"


# Sizes


@pytest.mark.parametrize("name", [*PADDED, "qwen2_5_vl", "pixels"])
def test_a_size_that_is_needed_and_missing_is_asked_for_in_one_sentence(name):
    named = box_format(name)
    assert named.needs == ("input" if name == "qwen2_5_vl" else "image")
    for call in (lambda: named.read("a dog"), lambda: named.write("a dog", []), lambda: named.read("", Sizes((0, 5)))):
        with pytest.raises(
            ValueError, match=rf"^box format '{name}' needs the [^\n]*size[^\n]*, \(width, height\), got"
        ):
            call()
    assert named.strip("a dog") == "a dog"


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {*PADDED, "qwen2_5_vl", "pixels"}))
def test_the_other_formats_need_no_size(name):
    named = box_format(name)
    assert named.needs is None
    assert named.read(named.write(PLAIN, REGIONS)).plain == PLAIN


def test_the_size_of_the_input_goes_before_that_of_the_image():
    text = '{"bbox_2d": [0, 0, 280, 280], "label": "dog"}'
    both = Sizes(image=(4000, 3000), input=(560, 560))
    for sizes in (both, Sizes(input=(560, 560)), Sizes(image=(560, 560))):
        assert box_format("qwen2_5_vl").read(text, sizes).regions[0].boxes.tolist() == [[0, 0, 0.5, 0.5]]


@pytest.mark.parametrize("size", [(1000, 4), (3, 700)])
def test_an_image_that_the_processor_refuses_is_refused(size):
    with pytest.raises(ValueError, match="box format 'qwen2_5_vl' needs an image with sides up to 1:200"):
        box_format("qwen2_5_vl").read("", Sizes(image=size))


def test_resized_agrees_with_transformers():
    theirs = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    rng = np.random.default_rng(0)
    sides = [*np.exp(rng.uniform(0, 9, (3000, 2))).astype(int), *rng.integers(1, 120, (3000, 2))]
    sides = [(int(w), int(h)) for w, h in sides if max(w, h) <= 200 * min(w, h)]
    assert len(sides) > 4000
    for width, height in sides:
        theirs_size = theirs.smart_resize(height, width, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)
        assert resized((width, height)) == theirs_size[::-1], (width, height)
        theirs_size = theirs.smart_resize(height, width, min_pixels=MIN_PIXELS, max_pixels=1_003_520)
        assert resized((width, height), max_pixels=1_003_520) == theirs_size[::-1], (width, height)


@pytest.mark.parametrize("wh", [(400, 200), (200, 400), (300, 300), (3, 2), (5, 1000), (1000, 1)])
@pytest.mark.parametrize("name", PADDED)
def test_the_whole_image_survives_the_padding(name, wh):
    whole = [Region("dog", (0, 3), np.array([[0.0, 0.0, 1.0, 1.0]]))]
    read = box_format(name).read(box_format(name).write("dog", whole, Sizes(wh)), Sizes(wh))
    step = 10.0 ** -(2 if name == "llava" else 3) * max(wh)
    assert (np.abs(read.regions[0].boxes - [0, 0, 1, 1]) <= np.array([step / wh[0], step / wh[1]] * 2)).all()


# Any text


@every_format
def test_reading_never_raises_and_its_spans_are_valid(name):
    named = box_format(name)

    @given(st.text() | shuffled | broken, st.sampled_from([SIZES, Sizes((3, 400), (28, 28)), Sizes((1, 1))]))
    @example("", SIZES)
    @example("\n", SIZES)
    def law(text, sizes):
        read = named.read(text, sizes)
        assert read.text == text
        assert_consistent(read)
        assert named.strip(text) == read.plain
        read.plain.encode()

    law()


@every_format
def test_prose_without_markup_is_plain(name):
    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="[<{`")))
    def law(text):
        read = box_format(name).read(text, SIZES)
        assert (read.plain, read.regions, read.malformed) == (text, (), ())

    law()


HOSTILE = [
    *("[", "]", "{", "}", "<", "[[", "[1", "[1,", "[1,2]", "[1 [2] ", "[ ", "dog [1,2,3,4]", "a ", "a, ", "1", "```"),
    *(
        "<ref>",
        "<box>",
        "<box>[[1",
        "<ref>a</ref>",
        "<ref>a</ref><box>",
        "<ref>a</ref><box>(1,2),(",
        "<box>(1,",
        "(1,2),(",
        "<|begin_of_box|>",
        "<|begin_of_box|>[[1,",
        "<loc",
        "<loc_1>",
        "<loc0001> a ;",
        "<loc_1> ",
        "<object>",
        "<object><patch_index_1>",
        "</ref>",
    ),
    *(
        '{"bbox_2d": [',
        '{"bbox_2d": {',
        '{"',
        '{"a',
        '"',
        "\\",
        '\\"',
        '{x"',
        '{"a":',
        '{"a":[',
        '{"bbox_2d":1,',
        '{"bbox_2d" ',
        '{"a": {"bbox_2d": 1}, ',
        '[{"a":1},',
        "```json\n[{",
        '[{"label": "',
        "[{}",
        "\n",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize(
    "name",
    ["kosmos2", "ferret", "shikra", "qwen_vl", "qwen3_vl", "glm_v", "internvl", "paligemma", "florence2"],
)
@pytest.mark.slow
def test_long_hostile_texts_are_read(name, piece):
    for head, tail in (("", ""), ("", " x"), ("tower [1,", "]")):
        text = head + piece * (40_000 // len(piece)) + tail
        assert_consistent(box_format(name).read(text, SIZES))


def test_many_labels_in_long_prose_are_read():
    objects = "".join(f'{{"bbox_2d": [1, 2, 3, 4], "label": "ab {number}"}}' for number in range(10_000))
    assert_consistent(box_format("qwen3_vl").read("ab " * 150_000 + objects))


@pytest.mark.parametrize("digits", ["9" * 5000, "1e999", "-1e999", "NaN", "-Infinity"])
@pytest.mark.parametrize(
    "name", [*sorted(set(FORMATS) - {"giqa", "giqa_decimal", "kosmos2", "minicpm_v", "paligemma", "florence2"})]
)
def test_numbers_without_end_are_out_of_range(name, digits):
    form = dict.fromkeys(JSON, '{{"bbox_2d": [{}], "label": "dog"}}') | {
        "gemini": '{{"box_2d": [{}], "label": "dog"}}',
        "internvl": "<ref>dog</ref><box>[[{}]]</box>",
        "deepseek_vl2": "<|ref|>dog<|/ref|><|det|>[[{}]]<|/det|>",
        "glm_v": "dog <|begin_of_box|>[[{}]]<|end_of_box|>",
        "qwen_vl": "<ref>dog</ref><box>({})</box>",
        "qwen2_vl": "<|object_ref_start|>dog<|object_ref_end|><|box_start|>({})<|box_end|>",
    }
    for at in range(4):
        numbers = ["0", "0", "1", "1"]
        numbers[at] = digits
        read = box_format(name).read(form.get(name, "dog [{}]").format(", ".join(numbers)), SIZES)
        assert [bad.kind for bad in read.malformed] == ["out_of_range"]
        assert read.regions == ()


def test_deep_json_is_nested_and_does_not_raise():
    text = '{"bbox_2d": ' + "[" * 100_000 + "]" * 100_000 + ', "label": "dog"}'
    assert [bad.kind for bad in box_format("qwen3_vl").read(text).malformed] == ["nested"]


# Both directions


@st.composite
def boxes(draw):
    """One to three boxes, however thin."""
    axis = st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True).map(sorted)
    pairs = draw(st.lists(st.tuples(axis, axis), min_size=1, max_size=3))
    return np.array([[x[0], y[0], x[1], y[1]] for x, y in pairs]) / 10**6


@st.composite
def texts(draw, phrase, prose):
    """A plain text and its regions."""
    plain = draw(prose)
    regions = []
    for name in draw(st.lists(phrase, max_size=4)):
        regions.append(Region(name, (len(plain), len(plain) + len(name)), draw(boxes())))
        plain += name + draw(prose)
    return plain, regions


free = texts(
    st.text(alphabet="ab .,;()<>{}5-é狗\n\"'`\\", min_size=1, max_size=8).filter(str.strip)
    | st.sampled_from(["dog", "old tower", "the", "C++", 'so-called "x"', "狗"]),
    st.text(alphabet="ab .,;()<>[]{}5-é狗\n\"'`", max_size=8)
    | st.sampled_from([" and the ", ", ", "[label](<x, y>)"]),
)
WORDS = st.sampled_from(["tower", "old", "dog", "t-shirt", "man's", "C++", "é", "狗", "3D", "Sky"])
words = texts(
    st.lists(WORDS, min_size=1, max_size=3).map(" ".join),
    st.sampled_from([" and the ", ", the ", " of a ", ". ", "! (Near ", "\n", ' is [label] "', " [2019] The "]),
)


def write_or_skip(name, case):
    """Text as the format writes it; cases that it refuses are left out."""
    try:
        return box_format(name).write(*case, SIZES)  # type: ignore[call-arg]
    except ValueError:
        assume(False)


def trimmed(region):
    """Phrase and end of a region without the white space around it."""
    return region.phrase.strip(), region.span[0] + len(region.phrase.rstrip())


@every_format
@pytest.mark.parametrize("cases", [words, free], ids=["words", "free"])
def test_what_was_written_is_read_back(name, cases):
    @given(cases)
    def law(case):
        text = write_or_skip(name, case)
        plain, regions = case
        read = box_format(name).read(text, SIZES)
        assert_consistent(read)
        assert (read.plain, read.malformed) == (plain, ())
        if name in BESIDE:  # they do not say which of several occurrences is meant
            assert {found.phrase for found in read.regions} == {known.phrase.strip() for known in regions}
            regions = [
                Region(
                    found.phrase,
                    found.span,
                    np.concatenate([r.boxes for r in regions if r.phrase.strip() == found.phrase]),
                )
                for found in read.regions
            ]
        elif name in UNMARKED:  # nor do these where a name begins
            assert [found.span[1] for found in read.regions] == [trimmed(known)[1] for known in regions]
        else:
            assert [trimmed(found) for found in read.regions] == [trimmed(known) for known in regions]
        for found, known in zip(read.regions, regions, strict=True):
            distance = np.abs(found.boxes[:, None] - known.boxes[None]) - np.array(STEP[name] * 2)
            assert (distance.max(axis=2).min(axis=0) <= 1e-6).all()  # each box has one near it; equal ones became one

    law()


@pytest.mark.parametrize("name", UNMARKED)
def test_phrases_that_the_rule_can_carry_are_read_back(name):
    @given(words)
    def law(case):
        plain, regions = case
        read = box_format(name).read(box_format(name).write(plain, regions, SIZES), SIZES)
        assert [(found.phrase, found.span) for found in read.regions] == [(r.phrase, r.span) for r in regions]

    law()


@every_format
@pytest.mark.parametrize("cases", [words, free], ids=["words", "free"])
def test_canonical_text_is_written_back_from_its_parts(name, cases):
    @given(cases, st.randoms(use_true_random=False))
    def law(case, random):
        text = write_or_skip(name, case)
        plain, regions = case
        random.shuffle(regions)
        assert box_format(name).write(plain, regions, SIZES) == text
        read = box_format(name).read(text, SIZES)
        assert box_format(name).write(read.plain, read.regions, SIZES) == text

    law()


@every_format
def test_words_are_never_refused(name):
    @given(words)
    def law(case):
        box_format(name).write(*case, SIZES)  # type: ignore[call-arg]

    law()


def region(phrase, start, boxes=TOWER):
    return Region(phrase, (start, start + len(phrase)), boxes)


@every_format
@pytest.mark.parametrize(
    ("plain", "regions", "why"),
    [
        ("The tower", [region("Tower", 4)], "expected phrase 'Tower'"),
        ("The tower", [region("tower", 40)], "expected phrase 'tower'"),
        ("The   tower", [region("  ", 3)], "expected phrase"),
        ("The tower", [region("tower", 4, np.zeros((0, 4)))], "has no box"),
        ("The red tower", [region("red tower", 4), region("tower", 8)], "overlaps"),
        ("The tower", [region("tower", 4), region("tower", 4)], "overlaps"),
    ],
)
def test_regions_that_do_not_fit_in_are_refused_in_one_sentence(name, plain, regions, why):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
        box_format(name).write(plain, regions, SIZES)
    assert why in str(refused.value)


@every_format
def test_text_with_markup_of_its_own_is_refused(name):
    with pytest.raises(ValueError, match="expected text without boxes"):
        box_format(name).write(WRITTEN[name], [], SIZES)


@pytest.mark.parametrize("name", UNMARKED)
@pytest.mark.parametrize("phrase", ["the", "dog.", "what it is", "(old)"])
def test_a_phrase_after_which_no_name_is_read_is_refused(name, phrase):
    with pytest.raises(ValueError, match="expected text without boxes, and phrases that are read as they are written"):
        box_format(name).write(f"A {phrase} here", [region(phrase, 2)], SIZES)


@pytest.mark.parametrize("name", BESIDE)
def test_a_label_that_is_no_whole_word_is_refused(name):
    with pytest.raises(ValueError, match="phrase 'owe' does not stand"):
        box_format(name).write("The tower", [region("owe", 5)], SIZES)


@pytest.mark.parametrize("label", ['so-called "dog"', "a\nb", "狗", "back\\slash", "`x`", "{x}", "[1, 2]", "a, b"])
@pytest.mark.parametrize("name", JSON)
def test_labels_survive_the_escapes_of_json(name, label):
    plain = f"See {label} there."
    read = box_format(name).read(box_format(name).write(plain, [region(label, 4)], SIZES), SIZES)
    assert (read.plain, [found.phrase for found in read.regions]) == (plain, [label])


@every_format
def test_a_box_that_is_written_alike_twice_is_written_once(name):
    twice = np.array([[0.75, 0.05, 1.0, 0.8], [0.7500001, 0.0500001, 1.0, 0.8]])
    read = box_format(name).read(box_format(name).write("The tower.", [region("tower", 4, twice)], SIZES), SIZES)
    assert len(read.regions[0].boxes) == 1


@every_format
def test_writing_does_not_change_the_boxes(name):
    thin = np.array([[0.501, 0.2, 0.502, 0.4]])
    before = thin.copy()
    box_format(name).write("wire", [region("wire", 0, thin)], SIZES)
    assert (thin == before).all()


def test_the_closed_class_is_lower_case_words():
    assert {"the", "of", "and", "is", "it", "their"} <= CLOSED
    assert all(word.isalpha() and word.islower() for word in CLOSED)


# Kosmos-2's own code as the oracle


side = st.tuples(st.integers(0, 31), st.integers(0, 31)).map(sorted)
kosmos_pairs = st.tuples(side, side).map(lambda xy: (xy[1][0] * 32 + xy[0][0], xy[1][1] * 32 + xy[0][1]))
kosmos_phrases = st.tuples(
    st.sampled_from([" a snowman", "the fire", " C++"]), st.lists(kosmos_pairs, min_size=1, max_size=3)
)


@pytest.fixture(scope="module")
def kosmos():
    return pytest.importorskip("transformers.models.kosmos2.processing_kosmos2")


def test_kosmos2_reads_as_transformers_does(kosmos):
    @given(st.lists(kosmos_phrases))
    def law(phrases):
        text = "<grounding> An image of"
        for phrase, pairs in phrases:
            objects = "</delimiter_of_multi_objects/>".join(
                f"<patch_index_{a:04}><patch_index_{b:04}>" for a, b in pairs
            )
            text += f"<phrase>{phrase}</phrase><object>{objects}</object> and"
        plain, entities = kosmos.clean_text_and_extract_entities_with_bboxes(text)
        read = box_format("kosmos2").read(text)
        assert (read.plain, read.malformed) == (plain, ())
        assert [(found.phrase, found.span) for found in read.regions] == [entity[:2] for entity in entities]
        for found, entity in zip(read.regions, entities, strict=True):
            np.testing.assert_allclose(found.boxes, entity[2])

    law()


def test_kosmos2_writes_the_cells_that_transformers_does(kosmos):
    @given(boxes())
    def law(drawn):
        assume((np.abs(drawn * 32 - np.rint(drawn * 32)) > 1e-4).all())  # on a line ours has a tolerance
        cells = boxes_to_cells(drawn, side=32).tolist()
        assert cells == [list(kosmos.coordinate_to_patch_index(box, 32)) for box in drawn.tolist()]
        back = cells_to_boxes(np.array(cells), side=32).tolist()
        assert back == [list(kosmos.patch_index_to_coordinate(*pair, 32)) for pair in cells]

    law()


@pytest.mark.parametrize("name", ["", "coco", "GIQA", "giqa "])
def test_an_unknown_format_is_refused_in_one_sentence(name):
    with pytest.raises(
        ValueError, match=rf"^expected a box format out of \['deepseek_vl2', 'ferret', .*\], got '{name}'$"
    ):
        box_format(name)


# Florence-2's own code as the oracle


def test_florence2_bins_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.models.florence2.processing_florence2").Florence2PostProcessor
    coder = theirs.__new__(theirs)
    coder.quantize_bins = (1000, 1000)
    size = (10**6, 10**6)  # so that their whole pixels lose nothing

    @given(boxes())
    def law(drawn):
        assume((np.abs(drawn * 1000 - np.rint(drawn * 1000)) > 1e-3).all())  # on a line ours has a tolerance
        bins = np.array(FLORENCE2.write(drawn, digits=0), dtype=int)
        known = coder.quantize(torch.tensor(drawn * 10**6), size).int().numpy()
        thin = (known[:, :2] == known[:, 2:]).any(axis=1)  # ours widens a box that would have no area
        known = np.array(list(dict.fromkeys(map(tuple, known[~thin]))), dtype=int).reshape(-1, 4)
        assert {*map(tuple, known)} <= {*map(tuple, bins)}
        read = [FLORENCE2.read(box) for box in known.tolist()]
        back = coder.dequantize(torch.tensor(known), size).numpy() / 10**6
        np.testing.assert_allclose(np.array(read).reshape(-1, 4), back, atol=2e-6)

    law()


@pytest.mark.parametrize("name", FORMATS)
def test_markers_are_what_the_format_writes(name):
    markers = box_format(name).markers
    assert set(markers) >= set(re.findall(r"<[^<>]+>", WRITTEN[name])) or markers == ()
    assert bool(markers) == (name in {"qwen_vl", "qwen2_vl", "deepseek_vl2", "minicpm_v", "internvl", "florence2"})
