"""What decides that an answer is Yes: the words yes and no in it, by one documented rule."""

import re
from typing import Literal

from giqa_datasets.text import strip


_WORD = re.compile(r"\b([Yy][Ee][Ss]|[Nn][Oo])\b")  # IGNORECASE would fold foreign letters in


def read_yes_no(answer: str) -> Literal["yes", "no"] | None:
    """Read a verdict out of an answer, boxes stripped.

    1. An answer that begins with the word yes or no says that ("No, the cup is blurred. Yes, it is a pity." is No).
    2. Otherwise, the one of the two words that occurs counts, if the other does not.
    3. Anything else is unreadable: neither word, or both in the middle of the text. "It is not sharp" holds neither.

    Returns:
        `yes`, `no`, or None if unreadable.

    Example:
        >>> [read_yes_no(text) for text in ("Yes.", "I would say no", "Yesterday", "either yes or no")]
        ['yes', 'no', None, None]
    """
    text = strip(answer)
    words = [(found.start(), found[1].lower()) for found in _WORD.finditer(text)]
    if not words:
        return None
    is_first = not re.search(r"\w", text[: words[0][0]])
    if is_first or len({word for _, word in words}) == 1:
        return "yes" if words[0][1] == "yes" else "no"
    return None
