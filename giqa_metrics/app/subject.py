"""The page's texts about a model, and its questions."""

from typing import NamedTuple

from giqa_datasets.llm import label
from giqa_datasets.questions import question_in
from giqa_datasets.sources.tiny import VQA_QUESTION
from giqa_metrics.models.tiny_model import NOTE, describe_question, is_tiny


class Subject(NamedTuple):
    """The model of a page."""

    model: str  # its name, for people
    box_format: str  # the name of the format in which it writes boxes
    describe: str  # the question that asks for a description
    question: str = ""  # first content of the question's field; may be empty
    note: str = ""  # for visitors; may be empty


def subject_of(model: str, box_format: str) -> Subject:
    """Describe a model: the tiny one, which knows only its own two questions, or any other."""
    question, note = (VQA_QUESTION, NOTE) if is_tiny(model) else ("", "")
    return Subject(label(model), box_format, question_in(box_format, describe_question(model)), question, note)
