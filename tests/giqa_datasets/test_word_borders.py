"""Where words and characters end, against the `regex` package's grapheme clusters."""

import random

import numpy as np
import pytest
import regex

from giqa_datasets.errors import InputError
from giqa_datasets.regions import locate
from giqa_datasets.word_borders import is_border


PLACED = [  # language, description, phrase, span
    ("en", "A cupboard and a cup.", "cup", (17, 20)),
    ("en", "Is it a cup?", "cup", (8, 11)),
    ("zh", "这个杯子很清晰。", "杯子", (2, 4)),
    ("zh and en", "画面中的cup很清晰。", "cup", (4, 7)),
    ("ja", "カップははっきり見える。", "カップ", (0, 3)),
    ("th", "แก้วบนโต๊ะคมชัด", "โต๊ะ", (6, 10)),
    ("lo", "ຈອກຢູ່ເທິງໂຕະ", "ໂຕະ", (10, 13)),
    ("km", "ពែងនៅលើតុច្បាស់", "តុ", (7, 9)),
    ("my", "စားပွဲပေါ်ကခွက်", "ခွက်", (11, 15)),
    ("ko", "컵은 선명합니다.", "컵", (0, 1)),
    ("ar", "والكوب واضح", "كوب", (3, 6)),
    ("he", "הכוס חדה", "כוס", (1, 4)),
    ("hi", "किताब साफ़ है", "किताब", (0, 5)),
    ("ru", "Подчашка и чашка.", "чашка", (11, 16)),
    ("emoji", "a 👩‍🔬 and a 👩", "👩", (12, 13)),
    ("flags", "🇩🇪🇪🇩 then 🇪🇪", "🇪🇪", (10, 12)),
]
INSIDE = [  # the phrase stands there, and ends inside a word or a character
    ("en", "the cups_2", "cup"),
    ("fr", "un cafe\u0301 net", "cafe"),
    ("de", "u\u0308ber", "ber"),
    ("hi", "किताब", "कि"),
    ("hi", "क्षण", "क"),
    ("th", "น้ำใส", "น้"),
    ("ko", "\u1100\u1161\u11a8\u110b\u1173\u11ab", "\u1100\u1161"),
    ("ja", "カ\u3099ラス", "カ"),
    ("emoji", "👍🏽 good", "👍"),
    ("emoji", "❤\ufe0f red", "❤"),
    ("emoji", "👩‍🔬", "👩"),
    ("keycap", "2\ufe0f\u20e3", "2"),
    ("flags", "🇩🇪🇪🇩", "🇪🇪"),
    ("tags", "🏴\U000e0067\U000e007f", "🏴"),
]
LETTERS = [  # code points of some scripts
    *((0x300, 0x330), (0x5D0, 0x5F5), (0x600, 0x700), (0x900, 0x980), (0xB80, 0xC00), (0xE01, 0xE5C)),
    *((0xE81, 0xEE0), (0x1000, 0x10A0), (0x1100, 0x1200), (0x1780, 0x17DE), (0x3041, 0x3100), (0x4E00, 0x4E40)),
    *((0xAC00, 0xAC40), (0xD7B0, 0xD7FC), (0xFF66, 0xFFA0)),
]
EMOJI = [(0x2640, 0x2650), (0x200C, 0x200E), (0x1F1E6, 0x1F200), (0x1F3F0, 0x1F480), (0xFE00, 0xFE10)]


@pytest.mark.parametrize(("text", "phrase", "span"), [case[1:] for case in PLACED], ids=[case[0] for case in PLACED])
def test_a_phrase_is_placed_in_any_script(text, phrase, span):
    (region,) = locate(text, [(phrase, np.eye(1, 4))])
    assert region.span == span


@pytest.mark.parametrize(("text", "phrase"), [case[1:] for case in INSIDE], ids=[case[0] for case in INSIDE])
def test_a_phrase_never_ends_inside_a_word_or_character(text, phrase):
    assert phrase in text
    with pytest.raises(InputError):
        locate(text, [(phrase, np.eye(1, 4))])


@pytest.mark.parametrize("ranges", [LETTERS, EMOJI], ids=["letters", "emoji"])
def test_no_border_is_inside_a_grapheme_cluster(ranges):
    chance = random.Random(0)
    for _ in range(20_000):
        two = (0x41, 0x7B), chance.choice(ranges)
        text = "".join(chr(chance.randrange(*chance.choice(two))) for _ in range(6))
        whole = {0, *(found.end() for found in regex.finditer(r"\X", text))}
        assert {at for at in range(len(text)) if is_border(text, at)} <= whole, ascii(text)


def test_flags_are_pairs():
    text = "\U0001f1e9\U0001f1ea" * 400
    assert [at for at in range(len(text)) if is_border(text, at)] == list(range(0, len(text), 2))
