"""The tiny model of `giqa demo`: whether a folder holds it, and what people should know of it."""

import json
from pathlib import Path

from giqa_datasets.errors import InputError
from giqa_datasets.questions import question_pool
from giqa_datasets.sources.tiny import DES_QUESTION, VQA_QUESTION


NOTE = (
    "This is the tiny model of giqa demo, here to show how things work. It knows nothing but the blocks that a broken "
    f"decoder leaves, and two questions: {DES_QUESTION!r} and {VQA_QUESTION!r}"
)


def describe_question(model: str | None) -> str:
    """The question that asks a model for a description: the pool's first, or the tiny model's only one."""
    return DES_QUESTION if model is not None and is_tiny(model) else question_pool()[0]


def is_tiny(model: str) -> bool:
    """Whether a model is the tiny one: its tokenizer is one of whole words, as no large model's is.

    Raises:
        ValueError: If the model's folder has a tokenizer.json that is none.
    """
    path = Path(model) / "tokenizer.json"
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_bytes())["model"]["type"] == "WordLevel")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no tokenizer") from error
