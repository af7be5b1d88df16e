"""Boxes in markers: `<ref>tower</ref><box>[[120, 40, 310, 990]]</box>`, `tower<loc_120><loc_40><loc_310><loc_990>`.

One reader for all of these families; a family is a row of `FAMILIES`. They differ in

- the markers around a name. Without any, the name is the words before the boxes (`labels.py`): Florence-2 writes
  captions, GLM-V prose. In PaliGemma it is the words after them, up to `;`, a marker or the end of the line;
- the markers around boxes, and how boxes stand between them (`Notation`), or a token for each number;
- what the numbers refer to, and the order of the axes (`frames.py`).

A name without boxes is text. Boxes belong to the name that ends right before them, at most white space between them;
lists of boxes that follow each other, at most a comma between them, belong to one name. The plain text keeps the
names and nothing of the markup. PaliGemma's boxes stand beside the prose, as JSON does.
"""

import re
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import NamedTuple

from giqa_datasets.formats.frames import FLORENCE2, PALIGEMMA, PER_MILLE, UP_TO_999, Frame, Grid, numbers_of
from giqa_datasets.formats.labels import beside, name_before, settle
from giqa_datasets.formats.spans import JOINT, Found, Named, Span, grounded, trimmed
from giqa_datasets.formats.written import Bulk, named_split
from giqa_datasets.regions import Region
from giqa_datasets.text import Kind, Tokens, fill, read_back


class Notation(NamedTuple):
    """How boxes stand in a list.

    Attributes:
        boxes: Pattern of a list of boxes, whatever each box holds.
        box: Pattern of one of them.
        numbers: Turns one into its numbers with commas between them.
        piece: Pattern of what a list is made of, for lists that stop half-way.
        loose: Pattern of what begins a list outside its markers.
    """

    boxes: re.Pattern[str]
    box: re.Pattern[str]
    numbers: Callable[[str], str]
    piece: str
    loose: str


class Tags(NamedTuple):
    """How one family writes boxes in markers.

    Attributes:
        pattern: Of its markup, by groups: a `name`, `boxes`, the `half` of a list that is not closed, a marker that
            has `begun` at the end of the text, a `loose` list, or a marker that stands alone.
        notation: How boxes stand in a list.
        frame: What the numbers refer to.
        phrase: How a name and its boxes are written.
        box: How four numbers, or two cells, are written.
        between: What is written between two boxes.
        markers: Those that are special tokens of the family's tokenizer: decoding must keep them.
        captions: Whether the words before the boxes are a whole caption.
        answers: Whether the markers also stand around answers without boxes, which then are text.
    """

    pattern: re.Pattern[str]
    notation: Notation
    frame: Frame | Grid
    phrase: str
    box: str
    between: str
    markers: tuple[str, ...] = ()
    captions: bool = False
    answers: bool = False


_PARENTHESES = str.maketrans("", "", "()")
_PATCH = re.compile(r"<patch_index_([0-9]++)>")
_LOC = re.compile(r"<loc_?+([0-9]++)>")
_AND = "</delimiter_of_multi_objects/>"
_NEVER = "(?!)"


# `[[x1, y1, x2, y2], [...]]`, or one box alone: InternVL's own evaluation reads both, and GLM-V writes both
BRACKETS = Notation(
    re.compile(r"\s*+(?:\[[^\[\]]*+\]|\[\s*+\[[^\[\]]*+\]\s*+(?:,\s*+\[[^\[\]]*+\]\s*+)*+\])\s*+"),
    re.compile(r"\[[^\[\]]*+\]"),
    lambda written: written[1:-1],
    piece=r"[-+.,0-9\[\]]",
    loose=r"\[\[\s*+[-+]?+\.?+[0-9]",
)
# `(x1,y1),(x2,y2)`
CORNERS = Notation(
    re.compile(r"\s*+\([^()]*+\)\s*+(?:,?+\s*+\([^()]*+\)\s*+)*+"),
    re.compile(r"\([^()]*+\)(?:\s*+,?+\s*+\([^()]*+\))?+"),
    lambda written: written.translate(_PARENTHESES),
    piece=r"[-+.,0-9()]",
    loose=r"\(\s*+[0-9]++\s*+,\s*+[0-9]++\s*+\)\s*+,\s*+\(\s*+[0-9]",
)
# `x1 y1 x2 y2`
SPACES = Notation(
    re.compile(r"[^()\[\]0-9]*+[0-9][^()\[\]]*+"),
    re.compile(r"\S(?:[\s\S]*\S)?+"),
    lambda written: ",".join(written.split()),
    piece=r"[-+.0-9]",
    loose=_NEVER,
)
# `<patch_index_0044><patch_index_0863></delimiter_of_multi_objects/>...`: two cells
PATCHES = Notation(
    re.compile(rf"(?=[\s\S]*?<patch_index_)(?:\s*+(?:<patch_index_[0-9]++>|{_AND}))*+\s*+"),
    re.compile(r"<patch_index_[0-9]++>(?:\s*+<patch_index_[0-9]++>)*+"),
    lambda written: ",".join(_PATCH.findall(written)),
    piece=rf"<patch_index_[0-9]*+>|{_AND}",
    loose="<patch_index_[0-9]++>",
)
# `<loc0256><loc0256><loc0767><loc0511>`, `<loc_250><loc_250><loc_500><loc_750>`
LOCATIONS = Notation(
    re.compile(r"[\s\S]*+"),
    re.compile(
        r"<loc_?+[0-9]++>(?:(?:\s*+<loc_?+[0-9]++>){3}|(?:\s*+<loc_?+[0-9]++>){0,2}+(?:\s*+<(?:l[^<>]*+)?+\Z)?+)"
        r"|<(?:l[^<>]*+)?+\Z"
    ),
    lambda written: ",".join(_LOC.findall(written)) if written.endswith(">") else "",
    piece=_NEVER,
    loose=_NEVER,
)


def _marked(
    name: tuple[str, str] | None, box: tuple[str, str], notation: Notation, *, noise: str = _NEVER
) -> re.Pattern[str]:
    """Make the pattern of boxes between markers.

    Every alternative begins with a literal, so that `re` skips ordinary text fast.

    Args:
        name: The markers around a name; None if there are none.
        box: The markers around boxes.
        notation: How boxes stand between them.
        noise: Pattern of further tokens that the plain text lacks, behind their `<`.
    """
    begin, end = map(re.escape, box)
    tokens = "|".join(re.escape(marker[1:]) for marker in (*(name or ()), *box))
    inside = rf"(?:[^<]++|<(?!{tokens}))*+"  # none of the markers, so that time stays linear
    # Without a name before it, a marker has begun only if there is more of it than `<|`
    lengths = range(len(box[0]) - 1, 0 if name else 2, -1)
    begun = "|".join(re.escape(box[0][1:length]) for length in lengths)
    pieces = rf"(?:\s*+(?:{notation.piece}))*+"
    named = f"{re.escape(name[0])}(?P<name>{inside}){re.escape(name[1])}" if name else "<(?P<name>(?!))"
    loose = "" if notation.loose == _NEVER else rf"|(?P<loose>{notation.loose}{pieces})"
    return re.compile(
        rf"{named}|{begin}(?:(?P<boxes>{inside}){end}|(?P<half>{pieces}(?:\s*+<[^<>]*+\Z)?+))"
        rf"|<(?:{tokens}){loose}|(?P<begun><(?:{begun})\Z)|<(?:{noise})"
    )


def _located(token: str, *, after: bool = False) -> re.Pattern[str]:
    """Make the pattern of boxes in tokens, which begin with `token`, as in `<loc0256>`.

    Args:
        token: What stands before the number.
        after: Whether the name stands after the boxes: up to `;`, a marker or the end of the line, and behind the
            tokens of a mask.
    """
    half = "|".join([rf"<{token}[0-9]*+", *(f"<{token[:length]}" for length in range(len(token) - 1, 0, -1))])
    run = rf"(?P<boxes><{token}[0-9]++>(?:\s*+<{token}[0-9]++>)*+(?:\s*+(?:{half}|<)\Z)?+)"
    name = r"(?:\s*+<seg[0-9]++>)*+(?P<name>[^;<>\r\n]*+)(?:;\s?+)?+" if after else ""
    return re.compile(rf"{run}{name}|(?P<begun>(?:{half})\Z)")


# The form is seen in a model's output or its authors' code, but for GLM-V's and MiniCPM-V's, which are documented.
FAMILIES = {
    "kosmos2": Tags(
        # `<grounding>`, which prompts the model, is no text
        _marked(("<phrase>", "</phrase>"), ("<object>", "</object>"), PATCHES, noise=r"(?:/?s><)?+grounding>\s?+"),
        PATCHES,
        Grid(32),
        "<phrase>{}</phrase><object>{}</object>",
        "<patch_index_{:0>4}><patch_index_{:0>4}>",
        _AND,
    ),
    "qwen_vl": Tags(
        _marked(("<ref>", "</ref>"), ("<box>", "</box>"), CORNERS),
        CORNERS,
        PER_MILLE,
        "<ref>{}</ref><box>{}</box>",
        "({},{}),({},{})",
        "</box><box>",
        ("<ref>", "</ref>", "<box>", "</box>"),
    ),
    "qwen2_vl": Tags(
        _marked(("<|object_ref_start|>", "<|object_ref_end|>"), ("<|box_start|>", "<|box_end|>"), CORNERS),
        CORNERS,
        PER_MILLE,
        "<|object_ref_start|>{}<|object_ref_end|><|box_start|>{}<|box_end|>",
        "({},{}),({},{})",
        "<|box_end|><|box_start|>",
        ("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    ),
    # Documented as unnamed. A name is the words right before the markers, as in brackets; without such words, as in an
    # answer of boxes only, the boxes are `unnamed`. The markers stand around any final answer, `No` for one, and are
    # no special tokens: servers pass them on
    "glm_v": Tags(
        _marked(None, ("<|begin_of_box|>", "<|end_of_box|>"), BRACKETS),
        BRACKETS,
        PER_MILLE,
        "{} <|begin_of_box|>[{}]<|end_of_box|>",
        "[{}, {}, {}, {}]",
        ", ",
        answers=True,
    ),
    "deepseek_vl2": Tags(
        _marked(("<|ref|>", "<|/ref|>"), ("<|det|>", "<|/det|>"), BRACKETS, noise=r"\|grounding\|>\s?+"),
        BRACKETS,
        UP_TO_999,
        "<|ref|>{}<|/ref|><|det|>[{}]<|/det|>",
        "[{}, {}, {}, {}]",
        ", ",
        ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>"),
    ),
    "minicpm_v": Tags(
        _marked(("<ref>", "</ref>"), ("<box>", "</box>"), SPACES),
        SPACES,
        PER_MILLE,
        "<ref>{}</ref><box>{}</box>",
        "{} {} {} {}",
        "</box><box>",
        ("<ref>", "</ref>", "<box>", "</box>"),
    ),
    "internvl": Tags(
        _marked(("<ref>", "</ref>"), ("<box>", "</box>"), BRACKETS),
        BRACKETS,
        PER_MILLE,
        "<ref>{}</ref><box>[{}]</box>",
        "[{}, {}, {}, {}]",
        ", ",
        ("<ref>", "</ref>", "<box>", "</box>"),
    ),
    "florence2": Tags(
        _located("loc_"),
        LOCATIONS,
        FLORENCE2,
        "{}{}",
        "<loc_{}><loc_{}><loc_{}><loc_{}>",
        "",
        tuple(f"<loc_{number}>" for number in range(1000)),
        captions=True,
    ),
}
# Its tokens are added ones, but no special ones: decoding keeps them
PALIGEMMA_TAGS = Tags(
    _located("loc", after=True),
    LOCATIONS,
    PALIGEMMA,
    "{1} {0}",
    "<loc{:0>4}><loc{:0>4}><loc{:0>4}><loc{:0>4}>",
    " ; ",
)


def written(tags: Tags) -> Bulk | None:
    """Make what reads many texts of a family; None where no marker begins a name, or cells are its numbers."""
    frame = tags.frame
    if tags.phrase.startswith("{}") or isinstance(frame, Grid):
        return None
    return named_split(tags.phrase, tags.box, tags.between), lambda sizes: frame


def tokens(text: str, tags: Tags) -> Tokens:
    """Read text whose names stand before their boxes. Never raises.

    Example:
        >>> found = tokens("The <ref>tower</ref><box>(100,200),(300,400)</box>.", FAMILIES["qwen_vl"])
        >>> found.phrases, found.boxes
        ([('tower', (4, 9), slice(0, 1, None))], [(0.1, 0.2, 0.3, 0.4)])
    """
    drops: list[Span] = []
    named: list[Named] = []
    name: Span | Kind = "unnamed"
    begin = last = 0  # where the markup of the name begins, and where the markup so far ends
    before: str | None = None  # what stands at its end: a name, boxes or neither
    unmarked = tags.phrase.startswith("{}")
    for token in tags.pattern.finditer(text):
        kind = token.lastgroup
        start, end = token.span()
        if kind == "name":
            name, begin, last, before = token.span("name"), start, end, "name"
            drops += [(start, name[0]), (name[1], end)]
            continue
        follows = before == "name" and (start == last or text[last:start].isspace())
        joins = before == "boxes" and JOINT.fullmatch(text, last, start) is not None
        if kind == "begun" and not (follows or unmarked or (joins and end - start > 1)):
            continue
        if kind is None or kind == "loose":
            if kind == "loose":
                named.append(Named("unnamed", [Found((start, end), "syntax")]))
            is_end_of_name = tags.phrase.split("{}")[1].startswith(token[0])
            name, begin, last, before = "nested", start, end, "name" if is_end_of_name else None
            drops.append((start, end))
            continue
        if tags.answers and (answer := _answer(token)):
            drops += [span for span in ((start, answer[0]), (answer[1], end)) if span[0] < span[1]]
            last, before = end, None
            continue
        if joins:
            drops.append((last, end))
            named[-1].found.extend(_boxes(token, tags, start))
        elif follows:
            drops.append((last, end))
            named.append(Named(name, _boxes(token, tags, begin)))
        else:
            name = name_before(text, last, start, captions=tags.captions) if unmarked else "unnamed"
            drops.append((start - (unmarked and text[last:start].endswith(" ")), end))
            named.append(Named(name, _boxes(token, tags, start)))
        last, before = end, "boxes"
    return grounded(text, drops, named)


def tokens_paligemma(text: str) -> Tokens:
    """Read text whose names stand after their boxes. Never raises.

    Example:
        >>> found = tokens_paligemma("<loc0341><loc0000><loc0682><loc1023> tower")
        >>> found.phrases[0][0], [round(side, 2) for side in found.boxes[0]]
        ('tower', [0.0, 0.33, 1.0, 0.67])
    """
    drops: list[Span] = []
    labelled: list[tuple[str | None, Found]] = []
    last = 0
    for token in PALIGEMMA_TAGS.pattern.finditer(text):
        start, end = token.span()
        name = None if token["name"] is None else token["name"].strip()
        labelled += [(name or None, found) for found in _boxes(token, PALIGEMMA_TAGS, start)]
        drops.append((start - text[last:start][-1:].isspace(), end))
        last = end
    return beside(text, drops, labelled)


def hint(tags: Tags) -> str:
    """Show how an object is written, its corners or cells by their names."""
    return tags.phrase.format("label", tags.box.format(*tags.frame.corner_names))


def write(plain: str, regions: Iterable[Region], tags: Tags) -> str:
    """Write text whose names stand before their boxes; see `fill` for what is refused."""

    def phrase_with_boxes(region: Region) -> str:
        return tags.phrase.format(region.phrase, tags.between.join(_written(region, tags)))

    return fill(plain, map(trimmed, regions), phrase_with_boxes, lambda text: tokens(text, tags))


def write_paligemma(plain: str, regions: Iterable[Region]) -> str:
    """Write the prose, then a line of boxes and names; without regions, the prose alone.

    Raises:
        ValueError: See `settle`; or if the prose holds markup or a phrase a character that ends it.
    """
    tags = PALIGEMMA_TAGS
    ordered = settle(plain, regions)
    line = tags.between.join(
        tags.phrase.format(region.phrase, box) for region in ordered for box in _written(region, tags)
    )
    return read_back(f"{plain}\n{line}" if line else plain, plain, ordered, tokens_paligemma)


def _written(region: Region, tags: Tags) -> list[str]:
    """Write each box of a region."""
    return [tags.box.format(*numbers) for numbers in tags.frame.write(region.boxes, digits=0)]


def _answer(token: re.Match[str]) -> Span | None:
    """The span of an answer that is no list of boxes; None if it is one, or begins like one at the end of the text."""
    span = token.span(token.lastgroup or 0)
    inside = token.string[slice(*span)]
    is_text = token.lastgroup in ("boxes", "half") and not inside.lstrip().startswith("[")
    if token.lastgroup == "half":
        return (span[0], token.end()) if is_text and (inside.strip() or token.end() < len(token.string)) else None
    return span if is_text else None


def _boxes(token: re.Match[str], tags: Tags, begin: int) -> list[Found]:
    """Read a list of boxes; `begin` is where its markup begins, its name's included."""
    inside = token["boxes"]
    if inside is None:
        return [Found((begin, token.end()), "unclosed")]
    if tags.notation.boxes.fullmatch(inside) is None:
        depths = accumulate({"[": 1, "]": -1}.get(character, 0) for character in inside)
        return [Found((begin, token.end()), "nested" if max(depths, default=0) > 2 else "syntax")]
    found: list[Found] = []
    for box in tags.notation.box.finditer(token.string, *token.span("boxes")):
        read = tags.frame.read(numbers_of(tags.notation.numbers(box[0])) or ())
        is_half = read == "not_a_box" and box.end() == len(token.string)  # of tokens that nothing closes
        found.append(Found(box.span(), "unclosed" if is_half else read))
    return found
