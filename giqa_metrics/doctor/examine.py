"""Asking a model about the pictures, question after question, until a box format fits; and what is told of it."""

from collections.abc import Iterable, Sequence
from typing import Any

from giqa_datasets import __version__
from giqa_datasets.batches import batches
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.questions import question_pool
from giqa_datasets.sources.tiny import DES_QUESTION
from giqa_metrics.doctor.diagnose import Diagnosis, diagnose
from giqa_metrics.doctor.squares import SquarePicture
from giqa_metrics.models import Answer, Predictor, Question
from giqa_metrics.models.box_format_file import model_name
from giqa_metrics.models.server import UNFIT


COLOUR = "{colour}"
QUESTIONS = (
    question_pool()[0],  # the benchmark's own
    DES_QUESTION,
    f"Where is the {COLOUR} square? Answer with its bounding box.",
    f"Locate the {COLOUR} square and output its bbox coordinates using JSON format.",
    f"Please provide the bounding box coordinate of the region this sentence describes: the {COLOUR} square.",
)


def examine(
    predictor: Predictor,
    pictures: Sequence[SquarePicture],
    *,
    questions: Sequence[str] = QUESTIONS,
    without: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = no_progress,
) -> Diagnosis:
    """Find the box format of a model.

    Args:
        predictor: The model.
        pictures: Where the squares are is known.
        questions: Asked in this order; `{colour}` becomes that of the square.
        without: Formats that are out of the question.
        seed: Of the random numbers.
        progress: Wraps the answers as they come.

    Returns:
        The diagnosis by the first question whose answers fit a format, else the one that came nearest.

    Raises:
        OSError: If a picture gets no answer.
    """
    found: list[Diagnosis] = []
    for question in questions:
        asked = [
            Question(f"picture-{number}", picture.image, question.replace(COLOUR, picture.colour))
            for number, picture in enumerate(pictures)
        ]
        answers: Iterable[Answer] = predictor.answer(batches(asked, predictor.batch_size))
        by_id = {answer.id: answer for answer in progress(answers, len(asked), "ask")}
        told = [by_id[sample.id] for sample in asked]
        found.append(diagnose(question, pictures, told, without=without, seed=seed))
        if found[-1].box_format is not None:
            return found[-1]
    return max(found, key=lambda diagnosis: diagnosis.fits[0].mean_iou)


def summary(model: str, diagnosis: Diagnosis, *, server: bool, left_out: dict[str, str], seed: int) -> dict[str, Any]:
    """What the file and `--format json` hold of a diagnosis."""
    return {
        "model": model if server else model_name(model),
        "server": server,
        "box_format": diagnosis.box_format,
        "why": diagnosis.why,
        "alike": diagnosis.alike,
        "p_value": diagnosis.p_value,
        "nameless": diagnosis.nameless,
        "question": diagnosis.question,
        "pictures": len(diagnosis.answers),
        "seed": seed,
        "formats": {
            fit.name: {name: value for name, value in fit._asdict().items() if name != "name"}
            for fit in diagnosis.fits
        },
        "left_out": left_out,
        "giqa": __version__,
    }


def left_out(server: str | None, processor: str | None) -> dict[str, str]:
    """Give the formats that the texts of a server cannot show, and why."""
    return UNFIT if server and processor is None else {}
