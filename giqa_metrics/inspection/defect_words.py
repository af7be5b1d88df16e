"""The defects that a text names, and their objects: words, clauses and negations, without a parser.

The words are those of the annotation pipeline's lexicon (`quality_words.json`) and the patterns of `defects.json`. An
object's words are its phrase and its clause. Reading by rule errs; docs/inspect.md says how often.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.pipeline.backends.quality_words import QualityWord, quality_of, quality_words
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText


class Said(NamedTuple):
    """A text's words about one object, or about none with a box."""

    text: str
    defects: tuple[str, ...]  # in the order of `KINDS`


class TextDefects(NamedTuple):
    """A text's words region by region, and the sentences without a region that name a defect."""

    of_regions: tuple[Said, ...]
    elsewhere: tuple[Said, ...]


_LEXICON: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
VERSION: int = _LEXICON["version"]
KINDS: tuple[str, ...] = tuple(_LEXICON["kinds"])

_ENGLISH, _OTHER = (frozenset(_LEXICON[key].split()) for key in ("english", "other_languages"))
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
_WORD = re.compile(r"[^\W\d_]+")

_LONGEST = 2000  # characters that are read for their language
_REACH = 80  # characters before a word in which its negation may stand
_NOT = re.compile(
    r"\b(?:not(?! only)|no|never|without|neither|nor|hardly|barely|scarcely|free|lacks?|lacking|absence|few|spared"
    r"|(?<!a )little(?! more)|\w+n['\u2019]t)(?:\s+(?!but\b|yet\b|only\b)[\w'-]+){0,3}\s*$",
    re.IGNORECASE,
)
_ABSENT = re.compile(r"\s+(?:is|are|was|were)\s+(?:not|absent|minimal|hardly|barely|low)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_AND = r"(?:and|or|nor|as well as)"
_JOINT = re.compile(
    rf"[,;][\s,;]*|\b(?:{_AND}|but|while|whilst|whereas|although|though|yet|so|because|as|unlike|however|despite|with)\b",
    re.IGNORECASE,
)
_ARTICLE = r"(?:an?|the|its|his|her|their|this|that|these|those|both|all|some|one|two|three|another|each|every)"
_PLACE = (
    r"(?:in|on|at|to|of|by|behind|below|under|beneath|above|near|beside|around|towards?|along|across|against|from"
    r"|over)"
)
# The words between a joint and the name after it, if the name begins the next clause
_BEGINS = re.compile(rf"[\s,]*(?:\w+\s+)?(?:{_PLACE}\s+)?\b{_ARTICLE}\b", re.IGNORECASE)
_NOUN_PHRASE = re.compile(rf".*(\b{_ARTICLE}\b)|.*\b(?:{_PLACE}|\w+s)\b()", re.IGNORECASE | re.DOTALL)
_ADVERBIAL = re.compile(rf"\W*(?:(?:{_AND}|but|while|as|only)\W+)?{_PLACE}\b", re.IGNORECASE)
_EMPTY = re.compile(rf"(?:\W|\b(?:{_AND}|{_ARTICLE}|but|while|as)\b)*", re.IGNORECASE)


def read_defects(text: GroundedText) -> TextDefects:
    """Read the defects that a text names.

    Example:
        >>> from giqa_datasets import parse
        >>> found = read_defects(parse("The [cup](<5, 233>) is blurred, the [dog](<9, 73>) is not. It is noisy."))
        >>> [said.defects for said in found.of_regions], found.elsewhere
        ([('blur',), ()], (Said(text='It is noisy.', defects=('noise',)),))
    """
    of_regions: list[Said] = []
    elsewhere: list[Said] = []
    numbered = sorted(range(len(text.regions)), key=lambda k: text.regions[k].span)
    in_order = [text.regions[k] for k in numbered]
    for start, end, regions in _sentences(text.plain, in_order):
        if regions:
            of_regions += _of_sentence(text.plain, start, end, regions)
        elif defects := kinds_in(text.plain[start:end]):
            elsewhere.append(Said(text.plain[start:end].strip(), defects))
    places = {number: place for place, number in enumerate(numbered)}
    return TextDefects(tuple(of_regions[places[k]] for k in range(len(numbered))), tuple(elsewhere))


def kinds_in(text: str) -> tuple[str, ...]:
    """List the kinds of defects that a text names and does not deny.

    Example:
        >>> kinds_in("badly blurred, without any noise, and not sharp or well lit")
        ('blur', 'darkness')
    """
    found: set[str] = set()
    for pattern, kind in _patterns():
        text = pattern.sub(partial(_take, kind=kind, found=found), text)  # a word counts once
    return tuple(kind for kind in KINDS if kind in found)


def is_readable(said: str, names: Iterable[str], answer: str) -> bool:
    """Tell whether the words about a region are in a language that the lexicon knows, which is English.

    By the commonest words of English and of other languages: those of the region's words decide, else those of the
    whole answer. Where only names and articles stand, there is nothing to read, if their letters are Latin.

    Args:
        said: The region's words.
        names: The answer's phrases.
        answer: Its plain text.

    Example:
        >>> is_readable("The cup is hazy", ["cup"], ""), is_readable("Der Becher ist unscharf", ["Becher"], "")
        (True, False)
        >>> is_readable("cup, dog", ["cup", "dog"], ""), is_readable("这个杯子", ["杯子"], "")
        (True, False)
    """
    rest = said = said[:_LONGEST]
    for name in sorted(names, key=len, reverse=True):
        rest = rest.replace(name, " ")
    letters = _LETTER.findall(rest) or _LETTER.findall(said)
    if len(_LATIN.findall("".join(letters))) * 2 <= len(letters):
        return False
    if _EMPTY.fullmatch(rest):
        return True
    return _english(rest) or (_english(rest) is None and bool(_english(answer[:_LONGEST])))


@lru_cache(2)
def _english(text: str) -> bool | None:
    """Tell whether a text is English rather than another language; None if none of its words says so."""
    words = [word.casefold() for word in _WORD.findall(text)]
    english = sum(word in _ENGLISH or word in quality_words() for word in words)
    other = sum(word in _OTHER for word in words)
    return english > other if english or other else None


def _take(match: re.Match[str], kind: str | None, found: set[str]) -> str:
    """Note a word's kind, and blank the word out; a word of the lexicon has its own kind, or its opposite's."""
    before = match.string[max(0, match.start() - _REACH) : match.start()]
    is_denied = _NOT.search(before) is not None or _ABSENT.match(match.string, match.end()) is not None
    if kind == "lexicon":
        word = quality_words()[match[0].lower()]
        if word.effect == "negative" and not is_denied:
            found.add(_kind_of(word))
        elif word.effect == "positive" and is_denied and (opposite := quality_of(word.opposite)) is not None:
            found.add(_kind_of(opposite))
    elif kind is not None and not is_denied:
        found.add(kind)
    return "\0" * len(match[0]) if kind != "lexicon" else match[0]


def _kind_of(word: QualityWord) -> str:
    return str(_LEXICON["by_measure"][word.measure or "none"])


@cache
def _patterns() -> list[tuple[re.Pattern[str], str | None]]:
    """The patterns in order: words that are no defect, ours by kind, the pipeline's."""
    theirs = sorted(quality_words().keys() - _LEXICON["not_taken"])
    by_kind = [(None, _LEXICON["no_defect"]), *_LEXICON["kinds"].items(), ("lexicon", theirs)]
    return [(re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE), kind) for kind, words in by_kind]


def _sentences(plain: str, regions: Sequence[Region]) -> Iterator[tuple[int, int, list[Region]]]:
    """Yield start and end of each sentence with its regions; no sentence ends inside a phrase."""
    ends = [match.end() for match in _SENTENCE.finditer(plain)]
    start = place = 0
    for end in [*ends, len(plain)]:
        last = place
        while last < len(regions) and regions[last].span[0] < end:
            last += 1
        if last > place and regions[last - 1].span[1] > end:
            continue
        yield start, end, list(regions[place:last])
        start, place = end, last


class _Clause(NamedTuple):
    """The words about one region, and whether they are only its name."""

    start: int
    end: int
    words: str
    is_bare: bool


def _of_sentence(plain: str, start: int, end: int, regions: Sequence[Region]) -> list[Said]:
    """A sentence's words about each of its regions; a bare name in a list shares its neighbour's words."""
    clauses = _clauses(plain, start, end, regions)
    shared = list(range(len(clauses)))  # whose words are also this one's
    for k in range(len(clauses) - 2, -1, -1):
        if clauses[k].is_bare and (_gap_has_and(plain, *regions[k : k + 2]) or clauses[k + 1].is_bare):
            shared[k] = shared[k + 1]
    for k in range(1, len(clauses)):
        if clauses[shared[k]].is_bare and _gap_has_and(plain, *regions[k - 1 : k + 1]):
            shared[k] = shared[k - 1]
    made: list[Said] = []
    for k, clause in enumerate(clauses):
        other = clauses[shared[k]]
        first, last = min(clause.start, other.start), max(clause.end, other.end)
        made.append(Said(plain[first:last].strip(" ,;\n"), kinds_in(other.words)))
    return made


def _gap_has_and(plain: str, one: Region, other: Region) -> bool:
    gap = plain[one.span[1] : other.span[0]]
    return re.search(rf"\b{_AND}\b", gap, re.IGNORECASE) is not None


def _clauses(plain: str, start: int, end: int, regions: Sequence[Region]) -> list[_Clause]:
    """Divide a sentence among its regions, at the joint before each; without a joint by the order of the words."""
    made: list[_Clause] = []
    pieces: list[list[tuple[int, int]]] = [[] for _ in regions]
    owner, clause, begin = 0, start, start  # the clause's region, its begin, and the begin of the undivided rest
    for k, region in enumerate(regions):
        if k:
            gap = (regions[k - 1].span[1], region.span[0])
            joint = _joint(plain, *gap)
            cut = joint if joint is not None else _noun_phrase(plain, *gap)
            pieces[owner].append((begin, cut))
            if joint is not None or _ADVERBIAL.match(plain, clause, region.span[0]):
                owner, clause, begin = k, cut, cut
            else:  # it stands inside the other's clause: its adjectives are its own, what follows is the other's
                pieces[k].append((cut, region.span[1]))
                begin = region.span[1]
    pieces[owner].append((begin, end))
    for region, of_region in zip(regions, pieces, strict=True):
        words = " ".join(plain[left:right] for left, right in of_region if right > left)
        words = _without_looks(words, region.phrase)
        is_bare = _EMPTY.fullmatch(words.replace(region.phrase, "", 1)) is not None
        made.append(_Clause(of_region[0][0], of_region[-1][1], words, is_bare))
    return made


def _joint(plain: str, start: int, end: int) -> int | None:
    """The begin of the next clause between two names: the last joint that a name can follow, else the last joint."""
    joints = list(_JOINT.finditer(plain, start, end))
    fit = [joint.start() for joint in joints if _BEGINS.match(plain, joint.end(), end)]
    return fit[-1] if fit else joints[-1].start() if joints else None


def _noun_phrase(plain: str, start: int, end: int) -> int:
    """The begin of a name's own words before it: its article, else after the last word that is no adjective."""
    match = _NOUN_PHRASE.match(plain, start, end)
    if match is None:
        return end
    return match.start(1) if match[1] is not None else match.end()


def _without_looks(words: str, phrase: str) -> str:
    """Drop words for a thing's usual looks from its name: a dark slab is no dark photograph, a dark area is."""
    if not phrase.split() or phrase.split()[-1].lower() in _LEXICON["places"]:
        return words
    looks = rf"\b(?:{'|'.join(_LEXICON['looks'])})\b"
    return words.replace(phrase, re.sub(looks, "", phrase, flags=re.IGNORECASE), 1)
