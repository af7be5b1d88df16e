"""A judge's free text to its score: strict, because a wrong score does more harm than a failure that is counted."""

import json
import re
from typing import Any

from giqa_datasets.llm import Reply, Schema
from giqa_datasets.reply import cut


VERSION = "v2"  # of this reading; a judge's name hashes it
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
_KEY = "score"
# What claims a score beside an object
_NUMBER = r"-?\d++(?:[.,]\d++)?+"
_CLAIM = re.compile(
    rf"score\W{{0,8}}?(?:is|of)?\W{{0,4}}?({_NUMBER})|(?<!\d)({_NUMBER})\s?(?:/|out of|of)\s?4", re.IGNORECASE
)
_MARKDOWN = str.maketrans("*_`#>", "     ")


def score_of(reply: Reply) -> int | None:
    """0 to 4, or None; a reply that was cut off may have gone on to say something else."""
    return None if reply.is_cut else read_score(reply.text)


def read_score(reply: str) -> int | None:
    r"""Read the integer from 0 to 4 that a reply states; None where it states none, or not clearly one.

    Thoughts and template tokens are no part of the answer, see `giqa_datasets.reply`. A score is stated by

    - `score` in a JSON object, whatever else the object holds, such as `{"reason": "...", "score": 3}`: an integer, an
      integral float (`3.0`) or a digit in quotation marks. Every `score` of the reply must be the same, nothing else
      may stand in braces, and the prose around claims no other score;
    - a number alone: `3`, `3.`, `3/4`, `3 out of 4`;
    - a line that starts with `Score: 3` (or `= 3`, `is 3`, `3/4`) and ends there or goes on after a full stop, if the
      reply holds no other digit.

    Markdown's marks do not count. Never raises.

    Example:
        >>> [read_score(text) for text in ('{"reason": "Noise.", "score": 3}', "3.", "**Score:** 3/4\n\nNo noise.")]
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
    """Score of the JSON objects in a text, if it is one."""
    stated: list[Any] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        stated.extend(value for key, value in pairs if key == _KEY)

    decoder = json.JSONDecoder(object_pairs_hook=keep)
    around, end = [], 0
    while (start := text.find("{", end)) >= 0:
        around.append(text[end:start])
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
    around.append(text[end:])
    prose = "_".join(around)  # a letter: nothing is read across a gap
    scores = {_integer(value) for value in stated}
    if len(scores) != 1 or None in scores or "}" in prose:
        return None
    (score,) = scores
    claims = {found[1] or found[2] for found in _CLAIM.finditer(prose)}
    return score if claims <= {str(score)} else None


def _integer(value: Any) -> int | None:
    """An integer from 0 to 4 as JSON may hold it; None for another value."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[0-4]\s*", value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 4:
        return None
    return int(value) if value == int(value) else None


def _digits(text: str) -> int:
    """Count digits and fractions of any script."""
    return sum(map(str.isnumeric, text))
