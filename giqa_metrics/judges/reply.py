"""A judge's free text to its score: strict, because a wrong score does more harm than a failure that is counted."""

import re

from giqa_datasets.llm import Reply, Schema
from giqa_datasets.reply import cut


SCHEMA = Schema(
    "score",
    {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": [0, 1, 2, 3, 4]}},
        "required": ["score"],
        "additionalProperties": False,
    },
)
_TAIL = r"([0-4])(?:\s*+(?:/|out\s++of|of)\s*+4)?\s*+"
_BARE = re.compile(rf"\s*+{_TAIL}\.?\s*+", re.IGNORECASE)
_LABEL = r"\s*+(?:(?:the|my|final|overall)\s++)*+score\s*+(?:(?:[:=]|is)\s*+)?"
_LABELLED = re.compile(rf"{_LABEL}{_TAIL}(?:\.\s|\.?$)", re.IGNORECASE)
_OBJECT = re.compile(r'\{\s*+"score"\s*+:\s*+([0-4])\s*+\}')
# What claims a score beside an object
_CLAIM = re.compile(r"score\W{0,8}(?:is|of)?\W{0,4}\d|\d\s?(?:/|out of|of)\s?4", re.IGNORECASE)
_MARKDOWN = str.maketrans("*_`#>", "     ")


def score_of(reply: Reply) -> int | None:
    """0 to 4, or None; a reply that was cut off may have gone on to say something else."""
    return None if reply.is_cut else read_score(reply.text)


def read_score(reply: str) -> int | None:
    r"""Read the integer from 0 to 4 that a reply states; None where it states none, or not clearly one.

    Thoughts and template tokens are no part of the answer, see `giqa_datasets.reply`. A score is stated by

    - the object `{"score": 3}`, alone or in prose, if there is no other brace and the prose claims no score itself;
    - a number alone: `3`, `3.`, `3/4`, `3 out of 4`;
    - a line that starts with `Score: 3` (or `= 3`, `is 3`, `3/4`) and ends there or goes on after a full stop, if the
      reply holds no other digit.

    Markdown's marks do not count. A string is no number, so `{"score": "3"}` is none. Never raises.

    Example:
        >>> [read_score(text) for text in ('{"score": 3}', "3.", "**Score:** 3/4\n\nThe noise is missing.")]
        [3, 3, 3]
        >>> [read_score(text) for text in ("score 10 of 100: wrong", "3 out of 5", "3.5", "between 2 and 3")]
        [None, None, None, None]
    """
    text = cut(reply).text
    if "{" in text or "}" in text:
        return _object_score(text)
    text = text.translate(_MARKDOWN)
    if said := _BARE.fullmatch(text):
        return int(said[1])
    stated = [said for line in text.splitlines() if (said := _LABELLED.match(line))]
    if len(stated) != 1 or _digits(text) != _digits(stated[0][0]):
        return None
    return int(stated[0][1])


def _object_score(text: str) -> int | None:
    """Score of the one JSON object in a text."""
    said = _OBJECT.search(text)
    if said is None or text.count("{") + text.count("}") != 2:
        return None
    around = text[: said.start()] + "_" + text[said.end() :]  # a letter: nothing is read across the gap
    return None if _CLAIM.search(around) else int(said[1])


def _digits(text: str) -> int:
    """Count digits and fractions of any script."""
    return sum(map(str.isnumeric, text))
