"""Words as the image-captioning tool set counts them: Penn Treebank splitting, lower case, no punctuation.

Written after the output of pycocoevalcap's PTBTokenizer (Stanford CoreNLP 3.4.1) for ordinary English, which is in
`tests/data/ptb_tokens.json`. It removes punctuation after lower-casing, so brackets stay, as -lrb- and the like.
"""

import re
from functools import lru_cache


LONG = 40  # characters of a word that is not kept
_TOKEN = re.compile(
    r"https?://\S*\w|(?<![\w.+-])[\w.+-]+@[\w.-]+\w"
    r"|(?:[a-z]\.){2,}|(?:mr|mrs|ms|dr|prof|st|vs|etc|jr|sr|inc|co|corp)\.|no\.(?=\s?[0-9])"
    r"|[^\W\d_]+(?=n't\b)|n't\b|\bcan(?=not\b)|\bgon(?=na\b)|\bwan(?=na\b)|\bgot(?=ta\b)"
    r"|\bo'[a-z]+|'n'|'(?:s|re|ve|ll|d|m)\b"
    r"|[0-9]+-?[a-z]\w*(?:-\w+)*"
    r"|(?<![\w.])-?[0-9]+(?:[.,:/-][0-9]+)*"
    r"|[#@][a-z]\w*|<\w+>"
    r"|\w+(?:[-/&.]\w+)*"
    r"|[?!]+|\.\.\.|--|[^\w\s]"
)
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_PUNCTUATION = frozenset("'`\".?!,:-;\u201c\u201d\u2018\u2013\u2014\u2026") | {"--", "..."}


def ptb_tokens(text: str) -> list[str]:
    """Split a text into words.

    Example:
        >>> " ".join(ptb_tokens("It isn't sharp: the cup's well-lit rim (left) is 2.5x blurred."))
        "it is n't sharp the cup 's well-lit rim -lrb- left -rrb- is 2.5 x blurred"
    """
    text = text.lower().replace("\u2019", "'")
    # A token ends where white space begins, and "no." alone looks beyond: words repeat, so each is split once
    if "no." in text:
        return [*_tokens(text)]
    return [token for word in text.split() for token in (_known(word) if len(word) < LONG else _tokens(word))]


def _tokens(text: str) -> tuple[str, ...]:
    """Split a lower-cased text."""
    return tuple(_BRACKETS.get(token, token) for token in _TOKEN.findall(text) if token not in _PUNCTUATION)


_known = lru_cache(1 << 16)(_tokens)
