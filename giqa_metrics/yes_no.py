r"""Yes or No: what verdict an answer states, by clauses (protocol section 7).

A verdict is the word yes or no as a clause of its own. It stands

1. at the start of the answer, after an option's letter or an adverb if there is one: `Yes.`, `A. Yes`, `(B) No, it is
   not`, `Absolutely yes`;
2. else after what announces it: `Answer: no`, `the answer is yes`, `I would say no`, `It's a no`, `The cup: no`;
3. else as a sentence of its own, or as the last word after a comma: `It is blurred. No.`, `No doubt, yes.`

Behind it stands punctuation, the end of the line, or a word that `no` is no determiner of (`No it is not`): in `no
noise`, `no doubt` and `No. 5` it is none. Options that are echoed, `Yes or No:`, are read over. A verdict that the
other word follows at once is none: `Yes, no.`, `Yes and no`. Where verdicts of one rank differ, the last one of 2
counts, for that is what the answer comes to; those of 3 are unreadable. Markdown's marks, quotes and brackets do not
count, and boxes are stripped.
"""

import re
from typing import Literal

from giqa_datasets.text import strip


VERSION = "clause-v2"  # of the rule; the signature names it

# Words that "no" is no determiner of, so that "no it" begins a new clause
_NO_NOUN = (
    r"it|its|it's|this|that|there|these|those|the|they|he|she|we|i|you|because|since|as|but|and|not|if|when|although"
    r"|though|neither|from|sorry|thanks"
)
_BEHIND = rf"(?=[^\S\n]*+(?:[.,;:!?)\]}}…\n—–]|-\s|\Z)(?!\s*+\d)|\s++(?:{_NO_NOUN})\b)"  # noqa: RUF001
_BEHIND_YES = r"(?![\w'’-]|\s++(?:or|and)\s++no\b)"  # noqa: RUF001
_WORD = rf"(?:(?P<yes>yes){_BEHIND_YES}|(?P<no>no){_BEHIND})"
_ECHO = re.compile(
    r"\b(?:(?:either|answer|reply|respond)\s++(?:with\s++)?)?"
    r"(?:yes\s*+(?:/|\||,?\s*+\b(?:or|and)\b)\s*+no|no\s*+(?:/|\||,?\s*+\b(?:or|and)\b)\s*+yes)\b(?!-)\s*+[?:.]?",
    re.IGNORECASE | re.ASCII,
)
_MARKS = re.compile(r"\\boxed|[*_`#>\"“”„«»{}\\$]|(?<!\w)['‘’]|['‘’](?!\w)")  # noqa: RUF001
_OPTION = r"(?:(?:option|choice)?\s*+[a-d](?:[.:)\]]|\s++-)\s*+)?+"
_END = r"(?=(?:yes|no)\s*+(?:[.,;:!\n]|from\b|\Z))"
# `Absolutely yes`, `Well, no`, `A clear yes`
_ADVERB = (
    r"(?:(?:\w{3,12}ly|of\s++course|well|so|then|thus|hence|therefore|overall|indeed|sure|oh|hm+|in\s++short)\b\W*+"
    rf"|an?\s++(?:\w{{3,12}}\s++)?{_END})?+"
)
_START = re.compile(r"\W*+" + _OPTION + r"\W*+" + _ADVERB + _WORD, re.IGNORECASE | re.ASCII)
_ANNOUNCED = re.compile(
    r"\b(?:(?:answer|ans|verdict|conclusion|response|decision|result)[^\S\n]*+"
    r"(?:(?:is|would\s+be|to\s[^.:\n]{1,80}is)\b|[:=\n-]|→)|a\s*+:"
    r"|(?:would|i|i'd|will|must|we)\s++(?:say|think|answer|conclude|believe|go\s++with|lean\s++(?:to|towards?))"
    r"|(?:it|that|this)(?:'s|\s++(?:is|would\s++be))(?=\s++(?:an?\s++(?:\w{3,12}\s++)?)?" + _END + ")"
    r"|\A[^.!?:\n]{1,80}:(?=\s*+(?:yes|no)\W*+\Z))"
    r"(?:\s++that)?+\W*+" + _OPTION + r"\W*+" + _ADVERB + _WORD,
    re.IGNORECASE | re.ASCII,
)
_ALONE = re.compile(
    r"(?:(?:[.!?\n]\s++)(?:(?P<yes>yes)(?=[^\S\n]*+[.!\n]|\s*+\Z)|(?P<no>no)(?=[^\S\n]*+[.!\n](?!\s*+\d)|\s*+\Z))"
    r"|,\s++(?:so,?\s++)?(?:(?P<last_yes>yes)(?=\s*+[.!]|\s*+\Z)|(?P<last_no>no)(?=\s*+[.!](?!\s*+\d)|\s*+\Z)))",
    re.IGNORECASE | re.ASCII,
)
_OTHER = re.compile(r"[^\w\n]*+(?:(?:and|or|but|also|then)\b[^\w\n]*+)?" + _WORD, re.IGNORECASE | re.ASCII)


def read_yes_no(answer: str) -> Literal["yes", "no"] | None:
    """Read the verdict of an answer.

    Returns:
        `yes`, `no`, or None where it states none.

    Example:
        >>> [read_yes_no(text) for text in ("**Yes**.", "A. No", "Yes or No: no", "There is no noise.", "Yes, no")]
        ['yes', 'no', 'no', None, None]
    """
    text = _MARKS.sub(" ", _ECHO.sub(" ", strip(answer))).strip()
    first = _START.match(text)
    announced = [first] if first else list(_ANNOUNCED.finditer(text))
    if announced:
        verdict, other = announced[-1], _OTHER.match(text, announced[-1].end())
        is_yes = verdict["yes"] is not None
        return None if other and (other["yes"] is not None) != is_yes else "yes" if is_yes else "no"
    alone = {bool(found["yes"] or found["last_yes"]) for found in _ALONE.finditer(text)}
    return None if len(alone) != 1 else "yes" if alone.pop() else "no"
