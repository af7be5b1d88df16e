"""Boxes in tags after a name in tags: `<ref>tower</ref><box>[[120, 40, 310, 990]]</box>`.

Kosmos-2 and InternVL write them so; what stands between the box's tags is each one's own. A name without boxes is
text. A box belongs to the name that ends right before it, at most white space between them. The plain text keeps the
names and nothing of the markup.
"""

import re
from collections.abc import Callable

from giqa_datasets.formats.spans import Found, Named, Span, grounded
from giqa_datasets.text import GroundedText, Kind


def markup(name: str, box: str, *, piece: str, loose: str, noise: str = "") -> re.Pattern[str]:
    """Make the pattern of a format's markup.

    Args:
        name: The tag around a name.
        box: The tag around boxes.
        piece: Pattern of what a list of boxes is made of, for lists that stop half-way.
        loose: Pattern of what begins a list of boxes outside its tags.
        noise: Pattern of further tokens that the plain text lacks.
    """
    inside = rf"(?:[^<]++|<(?!/?(?:{name}|{box})>))*+"  # none of the four tags, so that time stays linear
    pieces = rf"(?:\s*+(?:{piece}))*+"
    begun = "|".join(f"<{box}>"[:length] for length in range(len(box) + 1, 0, -1))
    return re.compile(
        rf"(?:<{name}>(?P<name>{inside})</{name}>\s*+)?+(?P<nested>(?<=</{name}>))?"
        rf"<{box}>(?:(?P<boxes>{inside})</{box}>|(?P<half>{pieces}(?:\s*+<[^<>]*+\Z)?+))"
        rf"|<{name}>(?P<last>{inside})</{name}>\s*+(?:{begun})\Z"
        rf"|(?P<loose>(?:{loose}){pieces})"
        rf"|</?(?:{name}|{box})>{noise and '|' + noise}"
    )


def read(text: str, pattern: re.Pattern[str], read_boxes: Callable[[re.Match[str]], list[Found]]) -> GroundedText:
    """Read tagged text. Never raises.

    Args:
        text: Any string.
        pattern: See `markup`.
        read_boxes: Reads the group `boxes` of a match.
    """
    drops: list[Span] = []
    named: list[Named] = []
    for token in pattern.finditer(text):
        start, end = token.span()
        name = "name" if token["last"] is None else "last"
        drops += [token.span()] if token[name] is None else [(start, token.start(name)), (token.end(name), end)]
        if token["boxes"] is not None:
            unnamed: Kind = "unnamed" if token["nested"] is None else "nested"
            named.append(Named(unnamed if token["name"] is None else token.span("name"), read_boxes(token)))
        elif token["half"] is not None or token["last"] is not None:
            named.append(Named("unnamed", [Found((start, end), "unclosed")]))
        elif token["loose"] is not None:
            named.append(Named("unnamed", [Found((start, end), "syntax")]))
    return grounded(text, drops, named)
