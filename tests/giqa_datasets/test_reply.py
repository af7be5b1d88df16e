"""From a reply to its answer: thoughts, template tokens, and the net for boxes that no reader took."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from giqa_datasets import FORMATS, Region, Sizes, box_format, parse
from giqa_datasets.foreign_boxes import _BOX, _SIDES, may_hold_box, with_net
from giqa_datasets.reply import cut, is_plain, read, read_tokens
from tests.giqa_datasets.texts import assert_consistent, broken, shuffled


SIZES = Sizes((640, 480), (560, 420))

CUTS = [
    ("Yes.", "Yes.", 0, 0),
    ("  two spaces stay ", "  two spaces stay ", 0, 0),
    ("<think>\nNo noise, no halo.\n</think>\n\nYes.", "Yes.", 1, 0),
    ("<thinking>a</thinking>Yes.", "Yes.", 1, 0),
    ("<thought>a</thought> Yes.", "Yes.", 1, 0),
    ("◁think▷a◁/think▷Yes.", "Yes.", 1, 0),
    ("<THINK>a</THINK>Yes.", "Yes.", 1, 0),
    ("[THINK]a[/THINK]Yes.", "Yes.", 1, 0),
    (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
        "Yes.",
        1,
        1,
    ),
    ("the template opened it</think>Yes.", "Yes.", 1, 0),
    ("<think>a</think>No, wait.<think>b</think>Yes.", "Yes.", 1, 0),
    ("<think>never ends: No. No. No.", "", 1, 0),
    ("Yes.<think>second thoughts that never end", "", 1, 0),
    ("<think></think>", "", 1, 0),
    ("<think>a</think><answer>Yes.</answer>", "Yes.", 1, 0),
    ("<|channel>thought\nA halo?<channel|>Yes.<turn|>", "Yes.", 1, 1),
    ("<|channel>thought\n<channel|>Yes.", "Yes.", 1, 0),
    ("<|channel>thought\nA halo, and", "", 1, 0),
    ("<unused94>thought\nA halo?<unused95>Yes.", "Yes.", 1, 0),
    ("<reasoning>a</reasoning>\n<answer>\nYes.\n</answer>", "Yes.", 1, 0),
    ("<reasoning>a", "", 1, 0),
    ("<thinking>a<reflection>b</reflection></thinking>Yes.", "Yes.", 1, 0),
    ("<seed:think>a</seed:think>Yes.", "Yes.", 1, 0),
    ("<start_working_out>a<end_working_out><SOLUTION>Yes.</SOLUTION>", "Yes.", 1, 0),
    ("<REASONING>a</REASONING>\n\n<CONCLUSION>Yes.</CONCLUSION>", "Yes.", 1, 0),
    ("<think>a</think>\n<response>Yes.</response>", "Yes.", 1, 0),
    (
        "<|begin_of_thought|>a<|end_of_thought|>\n\n<|begin_of_solution|>Yes.<|end_of_solution|>",
        "Yes.",
        1,
        0,
    ),
    ("<|begin_of_thought|>a", "", 1, 0),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Yes.", 1, 0),
    ("<|channel|>commentary<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "Yes.", 1, 0),
    ("<|channel|>final <|constrain|>json<|message|>Yes.", "Yes.", 1, 0),
    ("<|channel|>commentary<|message|>a", "", 1, 0),
    ("<answer>Yes.</answer><reasoning>It is sharp.</reasoning>", "Yes.", 1, 0),
    ("<think>a</think><answer>Yes.</answer>\n<think>b</think>\n", "Yes.", 1, 0),
    ("<think>maybe <answer>No.</answer></think>", "", 1, 0),
    ("<think>maybe <answer>No.</answer><think>b</think>", "", 1, 0),
    (r"\[cup\](\<3, 254\>) is", "[cup](<3, 254>) is", 0, 0),
    (r"a \\[cup\\] and C:\photos", r"a [cup] and C:\photos", 0, 0),
    (r"tower\<loc\_250\>", "tower<loc_250>", 0, 0),
    ("<answer>No.</answer> or rather <answer> Yes. </answer> I think", "Yes.", 0, 0),
    ("<answer>Yes.", "Yes.", 0, 0),
    ("<|begin_of_answer|>Yes.<|end_of_answer|>", "Yes.", 0, 0),
    ("<answer><think>a</think>Yes.</answer>", "Yes.", 1, 1),
    ("Yes.<|im_end|>", "Yes.", 0, 1),
    ("<s> Yes.</s></s>\n", "Yes.", 0, 3),
    ("<|im_start|>assistant\nYes.<|im_end|>\n<|endoftext|>", "Yes.", 0, 3),
    ("ASSISTANT: Yes.</s>", "Yes.", 0, 2),
    ("Yes.<|eot_id|>", "Yes.", 0, 1),
    ("Yes.<end_of_turn>", "Yes.", 0, 1),
    ("A <s> in the middle stays.", "A <s> in the middle stays.", 0, 0),
    ("<|begin_of_box|>Yes<|end_of_box|>", "Yes", 0, 2),
    ("<|begin_of_box|>[[1, 2, 3, 4]]<|end_of_box|>", "<|begin_of_box|>[[1, 2, 3, 4]]<|end_of_box|>", 0, 0),
    ("I think </ think> nothing", "I think </ think> nothing", 0, 0),
    ("", "", 0, 0),
]


@pytest.mark.parametrize(("reply", "answer", "thoughts", "tokens"), CUTS)
def test_the_table_of_cuts(reply, answer, thoughts, tokens):
    assert cut(reply) == (answer, thoughts, tokens)
    assert read(reply).n_thoughts == thoughts
    assert read(reply).n_tokens == tokens


def test_no_reply_is_an_empty_answer():
    found = read(None)
    assert (found.reply, found.answer.plain, found.answer.malformed, found.n_thoughts) == ("", "", (), 0)


# Reply, read as `giqa` unless a row names another format; how many foreign boxes; the plain text
FOREIGN = [
    # other families' tags
    ("<ref>tower</ref><box>(120,40),(310,990)</box>", 1, "tower"),
    ("<ref>tower</ref><box>(120,40),(310,990)</box><box>(1,2),(3,4)</box> is", 2, "tower is"),
    ("<box>(120,40),(310,990)</box>", 1, ""),
    (
        "The <|object_ref_start|>tower<|object_ref_end|><|box_start|>(120,40),(310,990)<|box_end|> is.",
        1,
        "The tower is.",
    ),
    ("Low clarity:\n<|box_start|>(185,2),(924,334)<|box_end|>.<|im_end|>", 1, "Low clarity:\n."),
    ("<|object_ref_start|>tower<|object_ref_end|><|box_start|>(120,40),(31", 1, "tower"),
    ("<|object_ref_start|>tower<|object_ref_end|><|box_start|>", 1, "tower"),
    ("<ref>tower</ref><box>[[120, 40, 310, 990], [1, 2, 3, 4]]</box>", 2, "tower"),
    ("<ref>tower</ref><box>120 40 310 990</box>", 1, "tower"),
    ("<|ref|>tower<|/ref|><|det|>[[120, 40, 310, 990]]<|/det|>", 1, "tower"),
    ("<|begin_of_box|>[[120, 40, 310, 990]]<|end_of_box|>", 1, ""),
    ("<bbox>120, 40, 310, 990</bbox>", 1, ""),
    ("<phrase>tower</phrase><object><patch_index_0044><patch_index_0863></object>", 1, "tower"),
    (
        "<object><patch_index_0044><patch_index_0863></delimiter_of_multi_objects/>"
        "<patch_index_0044><patch_index_0863></object>",
        2,
        "",
    ),
    ("<loc0256><loc0256><loc0767><loc0511> tower", 1, " tower"),
    ("tower<loc_250><loc_250><loc_500><loc_750><loc_1><loc_2><loc_3><loc_4>", 2, "tower"),
    ("tower<loc_250><loc_250>", 1, "tower"),
    ("<p>tower</p> {<25><30><60><90>}", 1, "tower", "qwen3_vl"),
    ("tower <bin_12><bin_13><bin_40><bin_41> is", 1, "tower is"),
    # JSON and keys
    ('{"bbox_2d": [120, 40, 310, 990], "label": "tower"}', 1, ""),
    ('Sharp.\n```json\n[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8], "label": "b"}]\n```', 2, "Sharp.\n"),
    ('{"box_2d": [120, 40, 310, 990], "label": "tower"}', 1, "", "qwen3_vl"),
    ("{'bbox': [120, 40, 310, 990], 'name': 'tower'}", 1, ""),
    ('{"bounding_box": [120, 40, 310, 990]}', 1, "", "qwen3_vl"),
    ('{"coordinates": [120, 40, 310, 990]}', 1, "", "qwen3_vl"),
    ('{"tower": {"bbox_2d": [120, 40, 310, 990]}, "n": 1}', 1, None),
    ('{"bbox_2d": [120, 40, 3', 1, None),
    ('{"bbox_2d": [', 1, None),
    ('{"bbox_2d": ["left", 40, 310, 990]}', 1, ""),
    ("bbox: 120 40 310 990", 1, ""),
    ("The tower, bbox=[120, 40, 310, 990].", 1, "The tower,."),
    ("box: (120, 40, 310, 990)", 1, ""),
    ("**Bounding box**: 120, 40, 310, 990", 1, ""),
    ('{"x1": 120, "y1": 40, "x2": 310, "y2": 990}', 1, ""),
    ("tower (x1=120, y1=40, x2=310, y2=990)", 1, "tower"),
    ("tower (xmin: 120, ymin: 40, xmax: 310, ymax: 990)", 1, "tower"),
    # brackets
    ("The tower [120, 40, 310, 990] is sharp.", 1, "The tower is sharp."),
    ("The tower [120,40,310,990] is sharp.", 1, "The tower is sharp."),
    ("The tower (120, 40, 310, 990) is sharp.", 1, "The tower is sharp."),
    ("The tower [0.12, 0.4, 0.31, 0.99].", 1, "The tower."),
    ("The tower [.12, .4, .31, .99].", 1, "The tower."),
    ("The tower [12%, 4%, 31%, 99%].", 1, "The tower."),
    ("The tower [120 40 310 990].", 1, "The tower."),
    ("The tower [[120, 40, 310, 990], [1, 2, 3, 4]].", 2, "The tower."),
    ("dogs[0.1,0.25,0.5,0.75;0.6,0.25,0.9,0.75] run", 2, "dogs run"),
    ("The tower {120, 40, 310, 990}.", 1, "The tower.", "qwen3_vl"),
    ("The tower (120, 40), (310, 990).", 1, "The tower."),
    ("The tower (120, 40) to (310, 990).", 1, "The tower."),
    ("The tower from (0.1, 0.2)-(0.5, 0.6).", 1, "The tower from."),
    ("The tower [120, 40], [310, 990].", 1, "The tower."),
    ("The tower [120, 40, 31", 1, "The tower"),
    ("The tower <0.1, 0.2, 0.5, 0.6> is.", 1, "The tower is.", "qwen3_vl"),
    ("The [tower](<35, 319>) is.", 1, "The tower is.", "qwen3_vl"),
    ("The [candles](<33, 354>, <22, 324>) are.", 2, "The candles are.", "internvl"),
    ("The [tower](<0.10, 0.20, 0.50, 0.60>) is.", 1, "The tower is.", "kosmos2"),
    # other scripts and entities
    ("塔楼【120，40，310，990】很清楚", 1, "塔楼很清楚"),
    ("塔楼（120，40，310，990）很清楚", 1, "塔楼很清楚"),
    ("塔楼［120、40、310、990］", 1, "塔楼"),
    ("塔楼《35，319》很清楚", 1, "塔楼很清楚"),
    ("塔楼〈35, 319〉", 1, "塔楼"),
    ("塔楼＜35，319＞", 1, "塔楼"),
    ("【蜡烛】（35，319）很清楚", 1, None),
    ("[蜡烛]（35，319）很清楚", 1, "蜡烛很清楚"),
    ("البرج [١٢٠, ٤٠, ٣١٠, ٩٩٠]", 1, "البرج"),
    ("tower [１２０，４０，３１０，９９０]", 1, "tower"),
    # sides, corners, tables
    ('{"x": 120, "y": 40, "width": 310, "height": 990, "label": "tower"}', 1, ""),
    ('{"Left": 0.12, "Top": 0.04, "Width": 0.31, "Height": 0.99}', 1, ""),
    ('{"center_x": 120, "center_y": 40, "w": 310, "h": 990}', 1, ""),
    ('{"xmin": 120, "xmax": 310, "ymin": 40, "ymax": 990}', 1, ""),
    ('{"tl": {"x": 120, "y": 40}, "br": {"x": 310, "y": 990}}', 1, None),
    ('{"top_left": [120, 40], "bottom_right": [310, 990]}', 1, ""),
    ('{"x": [120, 310], "y": [40, 990]}', 1, None),
    ('<rect x="120" y="40" width="310" height="990"/>', 1, None),
    ("<bndbox><xmin>120</xmin><ymin>40</ymin><xmax>310</xmax><ymax>990</ymax></bndbox>", 1, None),
    ("The tower, xmin 120 ymin 40 xmax 310 ymax 990, is", 1, "The tower,, is"),
    ("x1 120, y1 40, x2 310, y2 990", 1, ""),
    ("(x1, y1, x2, y2) = (120, 40, 310, 990)", 1, ""),
    ("x1, y1, x2, y2: 120, 40, 310, 990", 1, ""),
    ("cx=120 cy=40 w=310 h=990", 1, ""),
    ("left: 120, top: 40, right: 310, bottom: 990", 1, ""),
    ("The tower (x: 120-310, y: 40-990).", 1, None),
    ("top-left (120, 40), bottom-right (310, 990)", 1, None),
    ("top-left: 120, 40; bottom-right: 310, 990", 1, ""),
    ("from its top-left corner (120, 40) to the bottom-right corner at (310, 990)", 1, None),
    ("左上角(120, 40)，右下角(310, 990)", 1, None),
    ("左上角：120, 40；右下角：310, 990", 1, None),
    ("bbox:\n  - 120\n  - 40\n  - 310\n  - 990", 1, ""),
    ("Box 1: 120, 40, 310, 990", 1, ""),
    ("| a | x1 | y1 | x2 | y2 |\n|---|---|---|---|---|\n| b | 1 | 2 | 3 | 4 |\n| c | 5 | 6 | 7 | 8 |", 2, None),
    ("| a | bounding box |\n|---|---|\n| tower | 120, 40, 310, 990 |", 1, None),
    ("| tower | 120 | 40 | 310 | 990 |", 1, "| tower |"),
    ("label,x1,y1,x2,y2\ntower,120,40,310,990\ncup,1,2,3,4", 2, "label,x1,y1,x2,y2\ntower\ncup"),
    # Markdown's escapes
    (r"The tower \[120, 40, 310, 990\] is sharp.", 1, "The tower is sharp."),
    (r"{\"bbox\_2d\": \[120, 40, 310, 990\]}", 1, None),
    (r"tower\<loc\_250\>\<loc\_250\>\<loc\_500\>\<loc\_750\>", 1, "tower"),
    ("The [tower](&lt;35, 319&gt;) is.", 1, "The tower is."),
    ("The tower &lt;35, 319&gt; is.", 1, "The tower is."),
    ("The tower &#60;35, 319&#62; is.", 1, "The tower is."),
    ("The tower ⟨35, 319⟩ is.", 1, "The tower is."),
    ("The tower «35, 319» is.", 1, "The tower is."),
]


@pytest.mark.parametrize("row", FOREIGN, ids=lambda row: row[0][:50])
def test_the_net_holds(row):
    reply, count, plain, name = (*row, "giqa")[:4]
    found = read(reply, name, SIZES)
    kinds = [wrong.kind for wrong in found.answer.malformed]
    assert kinds == ["foreign"] * count
    assert found.n_foreign == count
    assert not found.answer.regions
    if plain is not None:
        assert found.answer.plain == plain
    assert_consistent(found.answer)


PROSE = [
    "The tower is sharp.",
    "The exposure is fine (see 1, 2).",
    "Compare figures (1, 2) and (3).",
    "Sizes of 100, 200, 300, 400 were tried.",
    "ISO 100, 200, 400, 800.",
    "f/2.8, 1/250 s, ISO 400, 35 mm.",
    "Shot at f/1.8 (1/60 s, ISO 3200, 50 mm).",
    "A crop of 640x480 (3:4).",
    "A crop of 640 x 480 pixels.",
    "[link](https://example.org/a?b=1,2,3,4)",
    "![tower](tower_1_2_3_4.jpg)",
    "See [1].",
    "See [1, 2].",
    "See [1], [2] and [3].",
    "See [1-4].",
    "The years 2019, 2020, 2021 and 2022.",
    "(2019)",
    "(2019, 2020)",
    "I <3 this photograph.",
    "Noise < 5 and blur > 3.",
    "a < b, c > d",
    "x < 10 > y",
    "The ratio is 4:3 (1.33).",
    "Contrast 0.5, sharpness 0.3, noise 0.1, colour 0.7.",
    "1. Noise\n2. Blur\n3. Contrast\n4. Colour",
    "- [ ] sharp\n- [x] blurred",
    "Rated 3/5 (60 %).",
    "Rated [3/5].",
    "Between 10 and 20 (mean 15, sd 2).",
    "(a, b, c, d)",
    "[a, b, c, d]",
    "{a, b}",
    "```python\nprint(1)\n```",
    '{"score": 3}',
    '{"label": "tower", "quality": "good"}',
    '{"yes": 1, "no": 2}',
    "**Noise** is low; *blur* is strong.",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "The box office is sharp.",
    "The mail box: old, red, rusty.",
    "The boxes are red.",
    "A bounding box would help here.",
    "Its coordinates are not known.",
    "Coordinates: none given.",
    "The letter box on the left (red) is sharp.",
    "x1 is better than x2.",
    "Use &amp; and &quot;.",
    "5 &lt; 6 &gt; 4",
    "<b>Sharp</b> and <i>bright</i>.",
    "<br>",
    "<p>The tower.</p>",
    "Note positions as [label](<x, y>).",
    "《红楼梦》很清楚",
    "（见1，2）",
    "【结论】清楚",
    "「夜景」は暗い。",
    "光圈f/2.8，快门1/250，ISO100，35毫米",
    "Call 555-1234 (ext. 12).",
    "12:30, 14:45 (2 pm)",
    "RGB (255, 0, 0) is red.",
    "RGB [12, 30, 45].",
    "(12, 30)",
    "Version 1.2.3.4",
    "192.168.0.1",
    "$1,200, $3,400",
    "The third (3rd) and fourth (4th).",
    "Python's list[1] and dict[2, 3].",
    "left: bright, right: dark",
    "Scores (0-4): 3.",
    "| Aspect | Score |\n|---|---|\n| Sharpness | 4 |",
    "| Aspect | a | b | c | d |\n|---|---|---|---|---|\n| Sharpness | 3 | 4 | 2 | 5 |",
    "1920x1080 | 24 fps | 8 bit | 4:2:0",
    "ISO: 400, aperture: 2.8, shutter: 1/250, focal length: 35.",
    "sharpness=3, noise=2, colour=4, light=5",
    "The top-left corner (1, 2) is dark.",
    "The top-left (see 1, 2) and the bottom-right (see 3).",
    "Left: bright; right: dark; top: 3 lamps.",
    "Size: width: 640, height: 480.",
    "x: 3, y: 4",
    "x, y, w, h: not known",
    "A zoom of x1 2 times, x2 4 times.",
    "Time: 12:30 to 14:45, exposure: 2 to 4 s.",
    "Box 12: red, old, rusty.",
    "The text box: 1. blurred 2. dark",
    "Left to right: 1, 2, 3, 4.",
    r"Saved in C:\photos\new.",
    "a|b",
    "",
    "\n",
]


@pytest.mark.parametrize("text", PROSE)
def test_the_net_lets_prose_through(text):
    for name in ("qwen3_vl", "kosmos2", "internvl"):
        found = read(text, name, SIZES)
        assert (found.n_foreign, found.answer.malformed) == (0, ())
        assert found.answer.plain == text
    assert read(text).n_foreign == 0


def test_both_tables_are_long_enough():
    assert len(FOREIGN) >= 60
    assert len(PROSE) >= 60


# Laws


PLAIN = "The tower and the two cats are sharp."
REGIONS = [
    Region("tower", (4, 9), np.array([[0.1, 0.1, 0.45, 0.95]])),
    Region("cats", (22, 26), np.array([[0.55, 0.4, 0.7, 0.6], [0.2, 0.5, 0.9, 0.8]])),
]


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("declared", FORMATS)
def test_no_format_is_silent_about_another(written, declared):
    text = box_format(written).write(PLAIN, REGIONS, SIZES)
    for cut_off in (text, text[: len(text) - 3]):
        answer = read(cut_off, declared, SIZES).answer
        assert answer.regions or answer.malformed


@pytest.mark.parametrize("name", FORMATS)
def test_reading_is_total_and_its_spans_are_valid(name):
    @given(st.text() | shuffled | broken)
    @example("[a](<1, 2>) [1, 2, 3, 4] x1")
    @example('{"bbox_2d": [1, 2, 3, 4], "label": "box [1, 2, 3, 4]"} box [1, 2, 3, 4]')
    def law(text):
        found = read(text, name, SIZES)
        assert_consistent(found.answer)
        tokens, _, _ = read_tokens(text, box_format(name).tokens, SIZES)
        assert with_net(tokens).plain == tokens.plain == found.answer.plain
        regions = box_format(name).read(cut(text).text, SIZES).regions
        assert [(a.phrase, a.boxes.tolist()) for a in found.answer.regions] == [
            (b.phrase, b.boxes.tolist()) for b in regions
        ]

    law()


KELVIN = "\N{KELVIN SIGN}"  # k to a pattern that ignores case, as the long s is s


@given(
    st.text() | shuffled | broken | st.sampled_from(["aſſistant: Yes.", "boxeſ: [1, 2, 3, 4]", f"[THIN{KELVIN}] so"])
)
def test_what_the_quick_looks_pass_is_as_it_was(text):
    if not may_hold_box(text):
        assert _BOX.search(text) is None
        assert _SIDES.search(text) is None
    if is_plain(text) and not {*"[<("} & {*text}:
        assert cut(text) == (text, 0, 0)
        assert read(text).answer.plain == parse(text).plain == text


HOSTILE = """
[ < (1, <box> <loc_1> bbox:[ {"bbox": ```json [1,2,3,4] x1:1,y1: &lt;1, </s> <|box_start|>(1 [a]( <think> </think>
<answer> [1\u2003 \u2003 \x01 《1， <|begin_of_box|> ((((1 【1，2】 \\[ <reasoning> <|channel>thought </solution> x:1
x1\u20031 |1|2|3 |a|1|2|3|4|\n x1,y1,x2,y2\n x1,y1,x2,y2\n1,2,3,4\n |box|\n tl:1,2 top-left:(1 x1\t y:1-2, "x":
"""


@pytest.mark.parametrize("piece", HOSTILE.split(" "))
def test_long_hostile_texts_are_read(piece):
    assert_consistent(read(piece * (200_000 // len(piece))).answer)  # in quadratic time it would take hours
