"""From a model's reply to the answer in it (protocol section 7, "From a reply to an answer").

A model thinks aloud, ends in its chat template's tokens, and writes boxes as its family does, whatever it was asked.
`read` makes one answer of all that, in four steps: thoughts go; template tokens at the ends go; the declared box
format reads what is left; a net counts what was plainly meant as a box and was not read. No reply makes it raise, and
time is linear in the reply's length.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

from giqa_datasets.formats import Tokenize
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.formats.frames import UNKNOWN, Sizes
from giqa_datasets.formats.spans import Span
from giqa_datasets.text import GroundedText, Malformed, Tokens, decoded


VERSION = "v1"  # of these steps; signatures name it


class GroundedReply(NamedTuple):
    """A reply and the answer that was read out of it.

    Attributes:
        reply: As the model gave it; empty where it gave none.
        answer: What is scored: plain text, regions, malformed boxes, those of the kind `foreign` among them.
        n_thoughts: 1 if thoughts were cut, else 0.
        n_tokens: Template tokens that were cut.
    """

    reply: str
    answer: GroundedText
    n_thoughts: int
    n_tokens: int

    @property
    def n_foreign(self) -> int:
        """Malformed boxes that are in the form of another family."""
        return sum(wrong.kind == "foreign" for wrong in self.answer.malformed)


def read(reply: str | None, box_format: str = "giqa", sizes: Sizes = UNKNOWN) -> GroundedReply:
    """Read a reply.

    Args:
        reply: Any string, or None for no reply.
        box_format: The box format that was declared, see `FORMATS`; never guessed.
        sizes: Of the image, for formats that count in its pixels.

    Raises:
        ValueError: If there is no such format, or it needs a size that is not given.

    Example:
        >>> found = read("<think>A [dog](<0, 21>)?</think>The [cup](<5, 254>) is sharp, not the hat [1, 2, 30, 40].")
        >>> found.answer.plain, [wrong.kind for wrong in found.answer.malformed], found.n_thoughts
        ('The cup is sharp, not the hat.', ['foreign'], 1)
    """
    answer, n_thoughts, n_tokens = read_tokens(reply, format_named(box_format).tokens, sizes)
    return GroundedReply(reply or "", decoded(answer), n_thoughts, n_tokens)


def read_tokens(reply: str | None, tokenize: Tokenize, sizes: Sizes) -> tuple[Tokens, int, int]:
    """Read a reply as `read` does, its boxes not yet in an array: the answer, `n_thoughts` and `n_tokens`."""
    text, n_thoughts, n_tokens = cut(reply or "")
    return with_net(tokenize(text, sizes)), n_thoughts, n_tokens


# 1 and 2: thoughts and template tokens

_THOUGHT = r"think(?:ing)?|thought|seed:think"
_BEGIN_THOUGHT = re.compile(rf"<(?:{_THOUGHT})>|◁think▷|\[THINK\]|<\|channel\|>analysis", re.IGNORECASE)
_END_THOUGHT = re.compile(rf"</(?:{_THOUGHT})>|◁/think▷|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_BEGIN_ANSWER = re.compile(r"<answer>|<\|begin_of_answer\|>", re.IGNORECASE)
_END_ANSWER = re.compile(r"</answer>|<\|end_of_answer\|>", re.IGNORECASE)
_TOKEN = (
    r"</?s>|<(?:pad|bos|eos|end_of_turn|end_of_utterance)>|<start_of_turn>model|</answer>"
    r"|<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|start\|>assistant"
    r"|<\|(?:im_end|endoftext|eot_id|end|end_of_text|begin_of_text|return|user|assistant|end_of_answer)\|>"
    r"|<｜(?:end|begin)▁of▁sentence｜>"
)
_FIRST_TOKENS = re.compile(rf"(?:\s*+(?:{_TOKEN}|ASSISTANT:))++\s*+", re.IGNORECASE)
_LAST_TOKEN = re.compile(rf"(?:{_TOKEN})\Z", re.IGNORECASE)
_ONE_TOKEN = re.compile(rf"{_TOKEN}|ASSISTANT:", re.IGNORECASE)
_LONGEST_TOKEN = 60  # characters
# What nothing that is cut does without, but for ◁. One pattern a first letter: `re` then skips ordinary text
_CUT_TAG = re.compile(
    rf"</?(?:{_THOUGHT}|answer)>|<\|(?:channel|begin_of_answer|begin_of_box)\|>|{_TOKEN}", re.IGNORECASE
)
_CUT_BRACKET = re.compile(r"\[/?THINK\]", re.IGNORECASE)
_CUT_NAME = re.compile(r"\s*+ASSISTANT:", re.IGNORECASE)
# GLM's tokens around words
_BOXED = re.compile(r"<\|begin_of_box\|>(?![\s\[({]*+[-+.\d]++\s*+[,;\s])([^<]*+)<\|end_of_box\|>")


class Cut(NamedTuple):
    """The answer's text, and how many thoughts (0 or 1) and template tokens were cut off."""

    text: str
    n_thoughts: int
    n_tokens: int


def cut(reply: str) -> Cut:
    r"""Cut thoughts and template tokens off a reply. What has neither stays as it is, byte for byte.

    Thoughts are everything up to the last token that ends one. A thought that begins and never ends leaves no answer.
    Inside the last `<answer>`, closed or not, stands the answer.

    Example:
        >>> cut("<think>No noise.</think>\n\nYes.<|im_end|>")
        Cut(text='Yes.', n_thoughts=1, n_tokens=1)
        >>> cut("<think>No noise, and").text
        ''
    """
    if not ("◁" in reply or _CUT_TAG.search(reply) or _CUT_BRACKET.search(reply) or _CUT_NAME.match(reply)):
        return Cut(reply, 0, 0)
    text = reply
    last = _last(_END_THOUGHT, text)
    if last is not None:
        text = text[last.end() :].lstrip()
    is_endless = _BEGIN_THOUGHT.search(text) is not None
    if is_endless:
        text = ""
    if begin := _last(_BEGIN_ANSWER, text):
        end = _END_ANSWER.search(text, begin.end())
        text = text[begin.end() : None if end is None else end.start()].strip()
    text, n_tokens = _without_tokens(text)
    text, n_boxed = _BOXED.subn(r"\1", text)
    return Cut(text, int(last is not None or is_endless), n_tokens + 2 * n_boxed)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007
        pass
    return found


def _without_tokens(text: str) -> tuple[str, int]:
    n_tokens = 0
    if first := _FIRST_TOKENS.match(text):
        n_tokens += len(_ONE_TOKEN.findall(first[0]))
        text = text[first.end() :]
    end = len(text)
    while last := _LAST_TOKEN.search(text, max(0, _rstrip(text, end) - _LONGEST_TOKEN), _rstrip(text, end)):
        n_tokens += 1
        end = last.start()
    return (text[: _rstrip(text, end)], n_tokens) if end < len(text) else (text, n_tokens)


def _rstrip(text: str, end: int) -> int:
    while end and text[end - 1].isspace():
        end -= 1
    return end


# 4: the net

_NUMBER = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:\s?(?:%|px\b))?+"  # digits of any script
_COMMA = r"\s*+[,;，、；]\s*+"
_ROUND, _ROUND_CLOSE = r"[\[(［（]", r"[\])］）]"
_OPEN, _CLOSE = r"[\[({<［（｛＜〈《⟨«【〔「]", r"[\])}>］）｝＞〉》⟩»】〕」]"
_ANGLE = r"(?:[<＜〈《⟨«【［〔]|&lt;|&#60;|&#x3c;)"
_CLOSED_ANGLE = r"(?:[>＞〉》⟩»】］〕]|&gt;|&#62;|&#x3e;)"
_FOUR = rf"{_NUMBER}(?:(?:{_COMMA}|\s++){_NUMBER}){{3}}"
_TWO = rf"{_NUMBER}(?:{_COMMA}|\s++|\s*+-\s*+){_NUMBER}"
_KEY = r"(?:(?:b|bounding[ _-]?)?box(?:es)?(?:_2d)?|coord(?:inate)?s)"
_QUOTE = r"[\"'`“”*]{0,2}"
_SIDE = rf"{_QUOTE}\s?[:=]\s?{_QUOTE}{_NUMBER}{_QUOTE}[,;\s]{{1,3}}{_QUOTE}"
# Each alternative is one box, or a run of them in one bracket
_BOX = re.compile(
    rf"(?:(?=[bcx\"'`“”*{_OPEN[1:-1]}&])|(?<=[\]］】])(?=\s))(?:"  # how one begins: the rest is skipped fast
    # <|box_start|>(1,2),(3,4)<|box_end|>, <box>[[1, 2, 3, 4]]</box>, <|det|>..., and what was cut off inside
    rf"(?P<tagged><\|?(?:box|bbox|det|box_start|begin_of_box)\|?>(?=[\s\[({{<]*+[-+.\d]|\s*+\Z)[^<\0]*+"
    r"(?:<\|?/?(?:box|bbox|det|box_end|end_of_box)\|?>)?+)"
    # runs of <loc_250>, <loc0250>, <patch_index_0044>, and {<1><2><3><4>}
    r"|(?P<run><(?:loc_?|patch_index_|bin_)\d++>(?:\s*+<(?:loc_?|patch_index_|bin_)\d++>)*+|\{(?:<\d++>\s*+){4}\})"
    # {"bbox": [1, 2, 3, 4]}, bbox = 1, 2, 3, 4, x1: 1, y1: 2, x2: 3, y2: 4
    rf"|(?P<keyed>{_QUOTE}\b{_KEY}{_QUOTE}\s?[:=]\s*+(?:[\[({{\s]*+{_FOUR}|[\[({{]\s*+[\[({{\"'\d]|[\[({{]?\s*+\Z)[\])]*+)"
    rf"|(?P<sides>\bx_?(?:1|min){_SIDE}y_?(?:1|min){_SIDE}x_?(?:2|max){_SIDE}y_?(?:2|max){_QUOTE}\s?[:=]\s?{_QUOTE}{_NUMBER})"
    # (1, 2), (3, 4)
    rf"|(?P<points>{_ROUND}\s*+{_NUMBER}{_COMMA}{_NUMBER}\s*+{_ROUND_CLOSE}\s*+(?:[,;，、-]|–|to\b|至|到)?\s*+"
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
_KEYS = ("box", "coord", "x1", "x_1", "xmin", "x_min")

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
    boxes = [(found.span(), count) for found in _BOX.finditer(text) if (count := _count(found))]
    if not boxes:
        return tokens
    malformed = [Malformed(part, "foreign") for span, count in boxes for part in _parts(span, count)]
    malformed = sorted([*tokens.malformed, *malformed], key=lambda wrong: wrong.span)
    drops = _drops(text, [span for span, _ in boxes])
    return _without(tokens._replace(malformed=tuple(malformed)), drops)


def may_hold_box(text: str) -> bool:
    """Whether the net might catch something in a text; it need not."""
    if not (text.isascii() and not any(mark in text for mark in "[({<&")) and _MARK.search(text) is not None:
        return True
    if ":" not in text and "=" not in text:
        return False
    lowered = text.lower()
    return any(key in lowered for key in _KEYS)


def is_plain(reply: str) -> bool:
    """Whether `read` would neither cut nor catch anything, as far as a look of a microsecond tells.

    Brackets are not looked at: whoever asks has read them all as GIQA text, or as `(` before a letter.
    """
    if "{" in reply or "&" in reply or (not reply.isascii() and _UNUSUAL.search(reply) is not None):
        return False
    if ":" not in reply and "=" not in reply:
        return True
    lowered = reply.lower()
    return "assistant:" not in lowered and not any(key in lowered for key in _KEYS)


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
