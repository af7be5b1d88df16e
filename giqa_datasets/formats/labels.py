"""Names that no markup marks: the words before a box, and labels that stand beside the prose.

Both rules are ours. The name before a box is the run of words right before it, back to the nearest punctuation, line
break, earlier box, start of the text or closed-class word (`CLOSED`): in `the old tower [120, 40, 310, 990]` it is
"old tower". A label beside the prose takes its first free whole-word occurrence in it; one that does not stand there
is appended to the plain text. Boxes with one label are one region (nothing says which of two cats is meant).
"""

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.formats.frames import Corners
from giqa_datasets.formats.spans import Found, Span, grounded, sort_out, trimmed
from giqa_datasets.regions import Region, in_order, locate, take
from giqa_datasets.text import Kind, Tokens


BUDGET = 2**26  # ours: characters of prose x of labels; what is past it is not searched, so that time stays linear

# A line each: articles and determiners, possessives, prepositions, conjunctions, auxiliaries, pronouns
_CLOSED = """
a an the this that these those each every some any no all both either neither another such what which whose
my your his her its our their
of in on at by with from to into onto over under above below behind beside between near for about against along among
around as across after before beyond during inside outside through toward towards upon within without like
and or but nor so yet than while because although though if when where since unless until whereas whether
is are was were be been being am has have had having do does did not can could will would shall should may might must
i you he she it we they me him us them who whom there here
"""
CLOSED = frozenset(_CLOSED.split())

_WORD = re.compile(r"""[^\s.,;:!?()\[\]{}<>"“”…—]+|[^ \t]""")


def name_before(text: str, start: int, end: int, *, captions: bool = False) -> Span | Kind:
    """Find the name that ends at `end` and does not begin before `start`; `unnamed` if there is none.

    Args:
        text: The text.
        start: Where the box before ended.
        end: Where the box begins.
        captions: Whether names are whole captions: a closed-class word then is left out at their beginning alone.

    Example:
        >>> text = "It is a cat on the mat"
        >>> name_before(text, 0, 22), name_before(text, 0, 22, captions=True), name_before(text, 0, 7)
        ((19, 22), (8, 22), 'unnamed')
    """
    first = last = None  # where the words begin and end
    while end > start:
        begin = text.rfind(" ", start, end) + 1 or start
        if (word := text[begin:end]).isalnum():
            words = [(begin, end, word)]
        else:
            words = [(*found.span(), found[0]) for found in _WORD.finditer(text, begin, end)][::-1]
        for at, stop, word in words:
            is_closed = word.lower() in CLOSED
            if (is_closed and not captions) or not (word.isalnum() or any(map(str.isalnum, word))):
                return _span(first, last)
            last = last or stop
            first = first if is_closed else at
        end = begin - 1
    return _span(first, last)


def _span(first: int | None, last: int | None) -> Span | Kind:
    return "unnamed" if first is None or last is None else (first, last)


def beside(text: str, drops: Sequence[Span], labelled: Iterable[tuple[str | None, Found]]) -> Tokens:
    """Read a text whose boxes stand beside the prose.

    Args:
        text: As given.
        drops: Spans that the prose lacks, in reading order.
        labelled: Each box and its label, None if it has none, in reading order.
    """
    by_label: dict[str | None, list[Found]] = {}
    for label, found in labelled:
        by_label.setdefault(label, []).append(found)
    prose = grounded(text, drops, []).plain
    if not by_label:
        return Tokens(text, prose, [], [], (), tuple(drops))
    malformed = sort_out(by_label.pop(None, []), "unnamed")[1]
    plain, spans = place(prose, [label for label in by_label if label is not None])
    boxes: list[Corners] = []
    phrases: list[tuple[str, Span, slice]] = []
    for label, span in spans.items():
        first = len(boxes)
        good, wrong = sort_out(by_label[label], None)
        boxes += good
        malformed += wrong
        if good:
            phrases.append((label, span, slice(first, len(boxes))))
    phrases.sort(key=itemgetter(1))
    malformed.sort(key=lambda wrong: wrong.span)
    return Tokens(text, plain, phrases, boxes, tuple(malformed), tuple(drops))


def settle(plain: str, regions: Iterable[Region]) -> list[Region]:
    """Join regions of one phrase, and order them as their labels are found again when they are read in that order.

    Spans never move to the right from one round to the next, so that it ends.

    Raises:
        ValueError: See `in_order`; or if a phrase is no whole word.
    """
    boxes: dict[str, list[Boxes]] = {}
    for region in in_order(plain, map(trimmed, regions)):
        boxes.setdefault(region.phrase, []).append(region.boxes)
    phrases = [(phrase, np.concatenate(of_phrase)) for phrase, of_phrase in boxes.items()]
    located: list[Region] = []
    while True:
        before = located
        located = sorted(locate(plain, phrases), key=lambda region: region.span)
        if [region.span for region in before] == [region.span for region in located]:
            return located
        phrases = [(region.phrase, region.boxes) for region in located]


def place(prose: str, labels: Iterable[str]) -> tuple[str, dict[str, Span]]:
    """Find labels in the prose, or append them to it, comma-separated: the plain text, and where each stands."""
    taken = bytearray(len(prose))
    budget = BUDGET
    spans: dict[str, Span] = {}
    plain = [prose]
    length = len(prose)
    for label in labels:
        budget -= len(prose) * len(label)
        span = take(prose, label, taken) if budget >= 0 else None
        if span is None:
            gap = ", " if len(plain) > 1 else " " if prose and not prose[-1].isspace() else ""
            plain += [gap, label]
            span = (length + len(gap), length + len(gap) + len(label))
            length = span[1]
        spans[label] = span
    return "".join(plain), spans
