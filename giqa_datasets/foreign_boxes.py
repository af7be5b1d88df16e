"""Boxes that no reader of the declared format took: the net below all of them (protocol section 7).

Whatever was plainly meant as a box and was not read is one malformed box of the kind `foreign`. Time is linear.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

from giqa_datasets.formats.spans import Span
from giqa_datasets.text import Malformed, Tokens


_NUMBER = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:\s?(?:%|px\b))?+"  # digits of any script
_COMMA = r"\s*+[,;，、；]\s*+"
_ROUND, _ROUND_CLOSE = r"[\[(［（]", r"[\])］）]"
_OPEN, _CLOSE = r"[\[({<［（｛＜〈《⟨«【〔「]", r"[\])}>］）｝＞〉》⟩»】〕」]"
_ANGLE = r"(?:[<＜〈《⟨«【［〔]|&lt;|&#60;|&#x3c;)"
_CLOSED_ANGLE = r"(?:[>＞〉》⟩»】］〕]|&gt;|&#62;|&#x3e;)"
_FOUR = rf"{_NUMBER}(?:(?:{_COMMA}|\s++){_NUMBER}){{3}}"
_TWO = rf"{_NUMBER}(?:{_COMMA}|\s++|\s*+-\s*+){_NUMBER}"
_KEY = r"(?:(?:b|bounding[ _-]?)?box(?:es)?(?:_2d)?|coord(?:inate)?s)"
_QUOTE = r"[\"'`“”*\\]{0,3}"
# `"xmin": 10`, `top=20`, `<ymin>30</ymin>`, and what stands before the next side
_EDGE = (
    r"(?:[xy](?:_?(?:[012]|min|max|c(?:en)?t(?:er|re)))?+|(?:c(?:en)?t(?:er|re)|c)_?[xy]"
    r"|left|top|right|bottom|width|height|[wh])"
)
_SIDE = rf"\b{_EDGE}{_QUOTE}\s?[:=>]\s?{_QUOTE}{_NUMBER}{_QUOTE}"
_GAP = (
    r"(?:</\w{1,12}>)?[^\w.+\0-]{1,30}(?:(?:and|to|[tb][lr]|(?:top|upper|bottom|lower)[_ -]?(?:left|right)"
    r"|min|max|start|end|size|origin|p[12])\b[^\w.+\0-]{1,30})?"
)
_CORNER = r"(?:(?:\b(?:top|upper|bottom|lower)[_\s-]?(?:left|right)|\b[tb][lr])\b(?:\scorner)?|[左右][上下]角?)"
_POINT = rf"{_CORNER}{_QUOTE}\s?[:=：]\s?{_QUOTE}[\[({{]?\s?{_NUMBER}[,\s]{{1,2}}{_NUMBER}\s?[\])}}]?"
_RANGE = rf"{_QUOTE}\s?[:=]\s?[\[(]?{_NUMBER}\s?(?:,|-|–|\.\.|to)\s?{_NUMBER}[\])]?"
# x1: 1, y1: 2, x2: 3, y2: 4; x1, y1, x2, y2: 1, 2, 3, 4; top-left: 1, 2; bottom-right: 3, 4; x: 1-3, y: 2-4;
# xmin 1 ymin 2 xmax 3 ymax 4
_SIDES = re.compile(
    rf"(?<![A-Za-z0-9])(?=[bchltuwxy<\[({{左右])(?:<?{_SIDE}(?:{_GAP}{_SIDE}){{3}}(?:</\w{{1,12}}>)?"
    rf"|[\[({{]?\b{_EDGE}(?:[,\s/]{{1,2}}{_EDGE}){{3}}\b[\])}}]?\s?[:=]\s?[\[({{]?{_FOUR}[\])}}]?"
    rf"|{_POINT}{_GAP}{_POINT}|\bx{_RANGE}{_GAP}y{_RANGE}"
    rf"|(?-i:\bx_?(?:1|min))\s{{1,2}}{_NUMBER}(?:{_GAP}[xy]_?(?:[12]|min|max)\s{{1,2}}{_NUMBER}){{3}})",
    re.IGNORECASE,
)
_SIDE_KEY = re.compile(r"x_?(?:1|min)")
# A sign before a number, behind what a side or corner ends with
_SIGNED = re.compile(rf"[\dehlmnprtwxy\])}}角上下]{_QUOTE}\s?[:=：]\s?{_QUOTE}[\[({{]?\s?[-+.\d]", re.IGNORECASE)
# Rows of a table: below columns of sides or boxes, or, where no column has a name, `| cup | 1 | 2 | 3 | 4 |`
_HEADER = re.compile(
    rf"^[^\n]*?(?:(?<![A-Za-z0-9])(?=[chltrwxyb])\b{_EDGE}(?:[ \"]{{0,20}}[,;|\t][ \"]{{0,20}}{_EDGE}){{3}}\b"
    rf"|\|\s?{_QUOTE}{_KEY}\b[^|\n]{{0,40}}\|)[^\n]*+(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_LINE = re.compile(r"[^\n]*\S[^\n]*(?:\n|\Z)")
_ROW = re.compile(rf"(?:[,;|\t]|^)\s*+{_NUMBER}(?:\s*+[,;|\t]\s*+{_NUMBER}){{3}}", re.MULTILINE)
_RULE = re.compile(r"^[\s|:]*--", re.MULTILINE)
_LONE_ROW = re.compile(rf"(?:(?<=[^\W\d][ ]\|)|(?<=[^\W\d]\|))(?:[ ]*+{_NUMBER}[ ]*+\|){{4}}(?=[ ]*+$)", re.MULTILINE)


# Each alternative is one box, or a run of them in one bracket
_BOX = re.compile(
    rf"(?:(?=[bc\"'`“”*{_OPEN[1:-1]}&])|(?<=[\]］】])(?=\s))(?:"  # how one begins: the rest is skipped fast
    # <|box_start|>(1,2),(3,4)<|box_end|>, <box>[[1, 2, 3, 4]]</box>, <|det|>..., and what was cut off inside
    rf"(?P<tagged><\|?(?:box|bbox|det|box_start|begin_of_box)\|?>(?=[\s\[({{<]*+[-+.\d]|\s*+\Z)[^<\0]*+"
    r"(?:<\|?/?(?:box|bbox|det|box_end|end_of_box)\|?>)?+)"
    # runs of <loc_250>, <loc0250>, <patch_index_0044>, and {<1><2><3><4>}
    r"|(?P<run><(?:loc_?|patch_index_|bin_)\d++>(?:\s*+<(?:loc_?|patch_index_|bin_)\d++>)*+|\{(?:<\d++>\s*+){4}\})"
    # {"bbox": [1, 2, 3, 4]}, bbox = 1, 2, 3, 4
    rf"|(?P<keyed>{_QUOTE}\b{_KEY}(?:\s?\d{{1,3}})?{_QUOTE}\s?[:=]\s*+(?:[\[({{\s]*+{_FOUR}|-\s+{_NUMBER}(?:\s+-\s+{_NUMBER}){{3}}|"
    r"[\[({]\s*+[\[({\"'\d]|[\[({]?\s*+\Z)[\])]*+)"
    # (1, 2), (3, 4); (1, 2), bottom-right (3, 4)
    rf"|(?P<points>{_ROUND}\s*+{_NUMBER}{_COMMA}{_NUMBER}\s*+{_ROUND_CLOSE}\s*+(?:[,;，、-]|–|to\b|至|到)?\s*+"
    rf"(?:(?:(?:and\s)?(?:the\s)?{_CORNER})(?:\sis)?(?:\sat)?{_QUOTE}[\s:=]{{0,3}})?+"
    rf"{_ROUND}\s*+{_NUMBER}{_COMMA}{_NUMBER}\s*+{_ROUND_CLOSE})"
    # [1, 2, 3, 4; 5, 6, 7, 8], (1, 2, 3, 4), &lt;1, 2, 3, 4&gt;
    rf"|(?P<four>(?:{_OPEN}|&lt;|&#60;|&#x3c;)\s*+{_FOUR}(?:\s*+[;；]\s*+{_FOUR})*+\s*+(?:{_CLOSE}|&gt;|&#62;|&#x3e;|\Z))"
    # <35, 319>, 《35，319》, ](35, 319)
    rf"|(?P<two>{_ANGLE}\s*+{_TWO}\s*+(?:{_CLOSED_ANGLE}|\Z)|(?<=[\]］】])\s*+{_OPEN}\s*+{_TWO}\s*+(?:{_CLOSE}|\Z))"
    # a list that the end of the text cut off
    rf"|(?P<half>\[\s*+{_NUMBER}(?:{_COMMA}{_NUMBER}){{1,2}}(?:{_COMMA})?+\s*+\Z))",
    re.IGNORECASE,
)

# What a text without foreign boxes seldom holds; one class first, so that `re` skips ordinary text. The last four are
# s, i and k to IGNORECASE
_FOLDED = "\u017f\u0131\u0130\u212a"
_STARTS = _OPEN[1:-1] + "&◁" + _FOLDED
_MARK = re.compile(rf"[{_STARTS}](?:(?<=[<&◁{_FOLDED}])|(?![A-Za-z]))")
_UNUSUAL = re.compile(f"[{re.sub('[ -~]', '', _STARTS)}]")
_TAKEN, _FOUND = "\0", "\x01"  # stand for what the format's reader took, and for what the net found
_OBJECT = re.compile(r"\{[^{}]{0,300}\x01[^{}]{0,300}\}")  # a flat JSON object around a box
_AROUND = re.compile(
    r"(?=[<\[`(（【,]|[ ]\x01)(?:</?(?:ref|phrase|object|p|grounding|delimiter_of_multi_objects)/?>"
    r"|<\|/?(?:object_ref_start|object_ref_end|ref|grounding|box_start|box_end|det|begin_of_box|end_of_box)\|>"
    r"|(?P<opening>\[)(?P<name>[^\[\]\x01]{1,200})(?P<closing>\]\(?\s*+\x01[\x01,\s]*+\)?)"  # [name](<1, 2>)
    r"|```\w*+[\s,\[\]\x01]*+```|[\[(（【][\s,\x01]*\x01[\s,\x01]*[\])）】]|(?<=\x01),\s*(?=\x01)"
    r"|[ ](?=\x01++(?:[\s.,;:!?)]|\Z)))"
)
_QUAD = re.compile(_FOUR)
_BIN = re.compile(r"<(?:loc|bin)?_?\d")
_CELL = re.compile(r"<patch_index_")


def with_net(tokens: Tokens) -> Tokens:
    """Add the boxes that a format's reader did not read: each is malformed, of the kind `foreign`.

    They are other families' markup and JSON keys, four numbers or two cells in brackets of any script, angle brackets
    written as HTML entities, and runs of location tokens. Their markup leaves the plain text, names stay.
    """
    if not may_hold_box(tokens.plain):
        return tokens
    text = _masked(tokens.text, tokens.markup, _TAKEN)
    boxes: list[tuple[Span, int]] = []
    if catches_words(text):
        for find in (_sides, _rows):
            found = [match.span() for match in find(text)]
            boxes += [(span, 1) for span in found]
            text = _masked(text, found, _TAKEN)
    boxes += [(found.span(), count) for found in _BOX.finditer(text) if (count := _count(found))]
    if not boxes:
        return tokens
    malformed = [Malformed(part, "foreign") for span, count in boxes for part in _parts(span, count)]
    malformed = sorted([*tokens.malformed, *malformed], key=lambda wrong: wrong.span)
    drops = _drops(text, sorted(span for span, _ in boxes))
    return _without(tokens._replace(malformed=tuple(malformed)), drops)


def may_hold_box(text: str) -> bool:
    """Whether the net might catch something in a text; it need not."""
    has_bracket = not text.isascii() or any(mark in text for mark in "[({<&")
    return (has_bracket and _MARK.search(text) is not None) or catches_words(text)


def catches_words(text: str) -> bool:
    """Whether the net might catch something without an ASCII bracket: keys, sides, rows of a table, other brackets."""
    if "|" in text or _has_side(text) or (not text.isascii() and _UNUSUAL.search(text)):
        return True
    if not (":" in text or "=" in text or "：" in text):
        return False
    lowered = text.lower()
    return "box" in lowered or "coord" in lowered or _SIGNED.search(text) is not None


def _sides(text: str) -> Iterable[re.Match[str]]:
    """Find boxes whose sides, corners or ranges have names."""
    return _SIDES.finditer(text) if _SIGNED.search(text) or _has_side(text) else ()


def _has_side(text: str) -> bool:
    return "x" in text and _SIDE_KEY.search(text) is not None  # a look for one letter is the fastest there is


def _rows(text: str) -> Iterator[re.Match[str]]:
    """Find the rows of tables that hold a box."""
    if "|" not in text and not _has_side(text):
        return
    end = 0
    for header in _HEADER.finditer(text):
        end = max(end, header.end())
        while line := _LINE.match(text, end):
            end = line.end()
            if found := _ROW.search(text, *line.span()):
                yield found
    if not end and not _RULE.search(text):
        yield from _LONE_ROW.finditer(text)


def _count(found: re.Match[str]) -> int:
    """Number of boxes in a match: one at least, and as many as there are fours of numbers or tokens."""
    if found["run"] is not None:
        cells, bins = len(_CELL.findall(found[0])), len(_BIN.findall(found[0]))
        return -(-cells // 2) + -(-bins // 4)
    if found["tagged"] is not None and not any(map(str.isnumeric, found[0])) and found.end() < len(found.string):
        return 0
    return max(1, len(_QUAD.findall(found[0])))


def _parts(span: Span, count: int) -> Iterator[Span]:
    """Cut a span into as many as it holds boxes: spans of malformed boxes do not overlap."""
    start, end = span
    edges = [start + (end - start) * k // count for k in range(count + 1)]
    yield from pairwise(edges)


def _drops(text: str, boxes: list[Span]) -> list[Span]:
    """Spans of foreign markup: the boxes, and what stands around them for their sake."""
    text = _masked(text.replace(_FOUND, " "), boxes, _FOUND)
    drops = [*boxes, *(found.span() for found in _OBJECT.finditer(text))]
    for _ in range(3):  # a list around objects, a fence around the list
        text = _masked(text, drops, _FOUND)
        around = list(_AROUND.finditer(text))
        if not around:
            break
        for found in around:
            drops += [found.span("opening"), found.span("closing")] if found["name"] is not None else [found.span()]
    merged: list[Span] = []
    for start, end in sorted(drops):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _without(tokens: Tokens, drops: list[Span]) -> Tokens:
    """Take spans of the text out of the plain text, but for those that a phrase reaches into."""
    starts = [start for start, _ in tokens.markup]
    gone = [0, *accumulate(end - start for start, end in tokens.markup)]
    ends = [end for _, end in tokens.markup]

    def place(at: int) -> int:
        """Where a place in the text lies in the plain text."""
        before = bisect_right(starts, at)
        return at - gone[before] + (max(0, ends[before - 1] - at) if before else 0)

    spans = [span for _, span, _ in tokens.phrases]
    begins = [start for start, _ in spans]

    def is_free(start: int, end: int) -> bool:
        before = bisect_right(begins, start)
        return (not before or spans[before - 1][1] <= start) and (before == len(begins) or end <= begins[before])

    cuts = [(place(start), place(end)) for start, end in drops]
    kept = [(cut, drop) for cut, drop in zip(cuts, drops, strict=True) if cut[0] < cut[1] and is_free(*cut)]
    edges = [0, *(edge for (start, end), _ in kept for edge in (start, end)), len(tokens.plain)]
    plain = "".join(tokens.plain[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    cut_starts = [start for (start, _), _ in kept]
    lengths = [0, *accumulate(end - start for (start, end), _ in kept)]
    phrases = []
    for phrase, (start, end), its_boxes in tokens.phrases:
        shift = lengths[bisect_right(cut_starts, start)]
        phrases.append((phrase, (start - shift, end - shift), its_boxes))
    markup = [*tokens.markup, *(span for _, drop in kept for span in _outside(drop, tokens.markup))]
    return tokens._replace(plain=plain, phrases=phrases, markup=tuple(sorted(markup)))


def _outside(span: Span, others: tuple[Span, ...]) -> Iterator[Span]:
    """Parts of a span that lie in none of the others, which are in order."""
    start, end = span
    for other_start, other_end in others:
        if other_end <= start:
            continue
        if other_start >= end:
            break
        if start < other_start:
            yield start, other_start
        start = max(start, other_end)
    if start < end:
        yield start, end


def _masked(text: str, spans: Iterable[Span], mask: str) -> str:
    """Overwrite spans, in any order."""
    pieces: list[str] = []
    last = 0
    for start, end in sorted(spans):
        if end > last:
            pieces += [text[last:start], mask * (end - max(start, last))]
            last = end
    return "".join([*pieces, text[last:]])
