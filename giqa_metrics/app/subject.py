"""What the page says of a model, and to it."""

import json
from pathlib import Path
from typing import NamedTuple

from giqa_datasets.llm import label
from giqa_datasets.sources import mini, tiny


TINY_NOTE = (
    "This is the tiny model of giqa demo, here to show the page. It knows the blocks that a broken decoder leaves, "
    f"and two questions: {tiny.DES_QUESTION!r} and {tiny.VQA_QUESTION!r} Of any other it reads hardly a word."
)


class Subject(NamedTuple):
    """What the page is about.

    Attributes:
        model: Its name, for people.
        box_format: The name of the format in which it writes boxes.
        describe: The question that asks for a description.
        question: What stands in the question's field at first; may be empty.
        note: What a visitor should know of the model; may be empty.
    """

    model: str
    box_format: str
    describe: str = mini.QUESTION
    question: str = ""
    note: str = ""


def subject_of(model: str, box_format: str) -> Subject:
    """Describe a model: the tiny one, which knows its own two questions alone, or any other."""
    if _knows_few_words(Path(model) / "tokenizer.json"):
        return Subject(label(model), box_format, tiny.DES_QUESTION, tiny.VQA_QUESTION, TINY_NOTE)
    return Subject(label(model), box_format)


def _knows_few_words(path: Path) -> bool:
    """Whether a tokenizer is one of whole words, as the tiny model's is and no large one's."""
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_bytes())["model"]["type"] == "WordLevel")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no tokenizer") from error
