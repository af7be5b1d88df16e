"""The classes of defects and how bad they are, by one name each: `defect_classes.json` has the other spellings.

The first ten classes are ViDA-UGC's, in the order of how often it has them; the other four are its predecessor's.
"""

import json
import re
from functools import lru_cache
from pathlib import Path


_TABLE: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
DEFECT_CLASSES: tuple[str, ...] = tuple(_TABLE["classes"])
SEVERITIES: tuple[str, ...] = tuple(_TABLE["severities"])  # rising
_CLASSES, _SEVERITIES = (
    {spelling: name for name, others in _TABLE[key].items() for spelling in (name, *others)}
    for key in ("classes", "severities")
)
_IN_BRACKETS = re.compile(r"[^()]+\(([^()]+)\)")


@lru_cache(1 << 14)
def defect_class(raw: str) -> str:
    """Name a class of defects; an unknown one keeps its words, in lower case.

    Case, white space, `_` and `-` do not count, nor a full stop or colon at the end; of `Clarity Issue(Low clarity)`
    the class in brackets does.

    Example:
        >>> said = "Edge ringing Effect", "blocking_artifact", "Excessive darkness", "Lens Flare"
        >>> [defect_class(raw) for raw in said]
        ['edge ringing effect', 'blocking artifacts', 'underexposure', 'lens flare']
    """
    words = _words(raw)
    bracketed = _IN_BRACKETS.fullmatch(words)
    return _CLASSES.get(_plain(bracketed[1] if bracketed else words)) or _CLASSES.get(_plain(words), words)


@lru_cache(1 << 10)
def severity(raw: str) -> str:
    """Name how bad a defect is, one of `SEVERITIES`; an unknown word stays, in lower case.

    Example:
        >>> severity("Moderate."), severity("slight"), severity("Not visible"), severity("")
        ('moderate', 'minor', 'not visible', '')
    """
    words = _words(raw)
    return _SEVERITIES.get(words, words)


@lru_cache(1 << 14)
def class_and_severity(phrase: str) -> tuple[str, str]:
    """Read a phrase such as `Moderate low clarity`: the class, and the severity if one stands first, else "".

    Example:
        >>> class_and_severity("Slight noise"), class_and_severity("motion blur"), class_and_severity("Severe")
        (('noise', 'minor'), ('motion blur', ''), ('', 'severe'))
    """
    first, _, rest = _words(phrase).partition(" ")
    return (defect_class(rest), _SEVERITIES[first]) if first in _SEVERITIES else (defect_class(phrase), "")


def _words(raw: str) -> str:
    """Lower case, one space between words, no full stop or colon at the end."""
    return " ".join(raw.lower().split()).rstrip(".: ")


def _plain(words: str) -> str:
    return " ".join(words.replace("_", " ").replace("-", " ").split())
