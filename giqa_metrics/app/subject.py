"""What the page says of a model, and to it."""

from typing import NamedTuple

from giqa_datasets.llm import label
from giqa_datasets.questions import question_in
from giqa_datasets.sources.tiny import VQA_QUESTION
from giqa_metrics.models.tiny_model import NOTE, describe_question, is_tiny


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
    describe: str
    question: str = ""
    note: str = ""


def subject_of(model: str, box_format: str) -> Subject:
    """Describe a model: the tiny one, which knows its own two questions alone, or any other."""
    question, note = (VQA_QUESTION, NOTE) if is_tiny(model) else ("", "")
    return Subject(label(model), box_format, question_in(box_format, describe_question(model)), question, note)
