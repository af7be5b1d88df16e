"""Whether an object is one or several, by its name."""

import re


_BEHIND_HEAD = re.compile(r"\s(?:of|in|on|at|with|by|from|behind|near|under|over|beside|between|that|which|who)\s")
# Plurals without an s, or with one that a singular may have; and singulars that end as a plural does
_NUMBERS = """
people men women children sheep feet teeth geese mice police oxen sportsmen firemen policemen fishermen salesmen snowmen skis taxis kiwis
lens gas canvas atlas bias news series species christmas
"""  # noqa: E501
_PLURALS, _SINGULARS = (frozenset(line.split()) for line in _NUMBERS.strip().splitlines())


def is_plural(phrase: str) -> bool:
    """Whether a phrase takes a plural verb, by its head: the last word before a preposition, or several with "and".

    Example:
        >>> [is_plural(phrase) for phrase in ("bowl of oranges", "wine glasses", "lens", "cup and saucer")]
        [False, True, False, True]
    """
    head = _BEHIND_HEAD.split(phrase.lower(), maxsplit=1)[0]
    last = head.rsplit(maxsplit=1)[-1] if head.strip() else ""
    is_regular = last.endswith("s") and not last.endswith(("ss", "us", "is", "'s"))
    return " and " in head or last in _PLURALS or (is_regular and last not in _SINGULARS)
