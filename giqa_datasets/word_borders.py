"""Where a word may begin or end, in any script, and which scripts write no space between words."""

import re
import unicodedata
from functools import cache


# Han with its marks, kana, bopomofo; Thai, Lao, Tibetan, Burmese, Khmer; New Tai Lue, Tai Le, Tai Tham, Yi, Vai,
# Balinese, Javanese, Sundanese, Lisu, Tai Viet, Ahom, Khmer and Burmese extensions; Ethiopic's sign between words
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f00\u0f20-\u0f33\u0f40-\u0f6c\u0f88-\u0f8c\u1000-\u103f\u1050-\u108f\u109a-\u109f\u1361\u1780-\u17d3\u17d7\u17dc"
    "\u17dd\u1950-\u19c9\u1a20-\u1a7c\u1b00-\u1b4b\u1b80-\u1baf\u3005-\u3007\u3021-\u302f\u3031-\u3035\u3038-\u303c"
    "\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c"
    "\ua4d0-\ua4fd\ua500-\ua60b\ua610-\ua62b\ua980-\ua9c0\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f\uaa80-\uaadf\uf900-\ufaff\uff66-\uff9f\U00011700-\U0001171a"
    "\U00016fe0-\U00018cff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
MARKS = "".join(chr(code) for code in range(0x300, 0xAB00) if unicodedata.category(chr(code))[0] == "M")
_AFFIXED = (  # words take particles, articles and pronouns without a space: Hebrew, Arabic, Hangul
    "\u0591-\u05f4\u0610-\u06ff\u0750-\u077f\u0860-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb\uffa0-\uffdc"
)
_FREE = re.compile(f"[{UNSPACED}{_AFFIXED}]")
# Rules of Unicode's grapheme clusters (UAX 29) beyond the category of marks: what joins the character before it, and
# what joins the one after it
_JOINS_BEFORE = re.compile("[\u0e33\u0eb3\u0ece\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_JOINS_AFTER = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200d\U000110bd\U000110cd]")
_JAMO = re.compile(  # a leading consonant, a vowel or a syllable, a final consonant; with what follows each
    "[\u1100-\u115f\ua960-\ua97c][\u1100-\u11a7\ua960-\ua97c\uac00-\ud7c6]"
    "|[\u1160-\u11a7\uac00-\ud7c6][\u1160-\u11ff\ud7b0-\ud7fb]"
    "|[\u11a8-\u11ff\ud7cb-\ud7fb][\u11a8-\u11ff\ud7cb-\ud7fb]"
)
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")  # two letters of this kind are a flag
_LONGEST_RUN = 1000  # of them; in a longer one no border is seen, so that time stays linear
_VIRAMA = 9  # the combining class of a sign that joins two consonants
_NO_JOINER = "\u0e3a\u0eba\u103a"  # of that class, and yet an end: phinthu, Lao's virama, asat


def spaced(text: str) -> str:
    """Put a space around each character, with its marks, of the scripts that write none between words.

    Example:
        >>> spaced("A cup: 这个杯子 2个").split()
        ['A', 'cup:', '这', '个', '杯', '子', '2', '个']
    """
    return text if text.isascii() else _character().sub(r" \g<0> ", text)


@cache
def _character() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}][{MARKS}\u0e33\u0eb3\u200c\u200d\ufe00-\ufe0f\uff9e\uff9f]*")


def is_border(text: str, at: int) -> bool:
    r"""Tell whether a word may begin or end before the character at a place of a text.

    Not inside a character as readers see it (a letter with its marks, an emoji of several code points, a flag), and
    not between two letters, digits or underscores, unless one of them is of a script without spaces between words, or
    of one whose words take affixes.

    Example:
        >>> [at for at in range(9) if is_border("red 杯子2 é", at)]
        [0, 3, 4, 5, 6, 7, 8]
        >>> is_border("cafe\u0301", 4)
        False
    """
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if before < "\x80" and after < "\x80":
        return not (_is_word(before) and _is_word(after)) and (before, after) != ("\r", "\n")
    if _is_inside_character(text, at):
        return False
    if _FREE.match(after) or _FREE.match(before) or not _is_word(after):
        return True
    while at > 1 and unicodedata.category(text[at - 1])[0] == "M":
        at -= 1
    return not _is_word(text[at - 1])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_inside_character(text: str, at: int) -> bool:
    """Tell whether the place is inside a grapheme cluster; of neighbours that are not both ASCII."""
    before, after = text[at - 1], text[at]
    if unicodedata.category(after)[0] == "M" or _JOINS_BEFORE.match(after) or _JOINS_AFTER.match(before):
        return True
    mark = at - 1
    while mark >= 0 and unicodedata.category(text[mark])[0] == "M":
        if unicodedata.combining(text[mark]) == _VIRAMA and text[mark] not in _NO_JOINER:
            return after.isalpha()
        mark -= 1
    if _JAMO.match(text, at - 1):
        return True
    flags = 0  # before the place
    while flags < min(at, _LONGEST_RUN) and _FLAG.match(text, at - 1 - flags):
        flags += 1
    return _FLAG.match(after) is not None and (flags % 2 == 1 or flags == _LONGEST_RUN)
