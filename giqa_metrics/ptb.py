"""Words as the image-captioning tool set counts them: Penn Treebank splitting, lower case, no punctuation.

Written after the rules of Stanford's PTBTokenizer for ordinary English, and the list of punctuation that pycocoevalcap
removes.
"""

import re


# Clitics are split off, a decimal point or comma stays in its number, a hyphen in its word
_TOKEN = re.compile(
    r"(?:[a-z]\.){2,}"  # u.s.
    r"|[0-9]+(?:[.,:/][0-9]+)*"
    r"|[^\W\d_]+(?=n't\b)|n't\b"
    r"|'(?:s|re|ve|ll|d|m)\b"
    r"|\w+(?:-\w+)*"
    r"|\.\.\.|--|[^\w\s]"
)
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
_BRACKETS = frozenset('()[]{}"')  # PTB writes them as -LRB- and so on, and quotes as `` and ''


def ptb_tokens(text: str) -> list[str]:
    """Split a text into words.

    Example:
        >>> ptb_tokens("It isn't sharp: the cup's well-lit rim (left) is 2.5x blurred.")
        ['it', 'is', "n't", 'sharp', 'the', 'cup', "'s", 'well-lit', 'rim', 'left', 'is', '2.5', 'x', 'blurred']
    """
    tokens = _TOKEN.findall(text.lower().replace("\u2019", "'"))
    return [token for token in tokens if token not in PUNCTUATION and token not in _BRACKETS]
