"""A model over a benchmark: one answer per sample in `predictions.jsonl`, greedy and resumable.

An answer is appended as soon as it is made, those that take longest first, so that too large a batch shows at once.
When the last one is there, the file is written once more, whole, in the data set's order.

A run that was killed goes on, and ends with the bytes that it would have had: what is answered is not asked again, and
the batches are a function of the data and the batch size alone, so that each sample is answered beside the same ones.
That matters as rounding depends on the batch. It holds as far as the model is a function of its input, which a server
that batches by arrival need not be, nor a model on another machine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from giqa_datasets.batches import batches as cut
from giqa_datasets.boxes import to_boxes
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, json_line
from giqa_datasets.folder_lock import hold
from giqa_datasets.formats import Sizes
from giqa_datasets.questions import question_in
from giqa_datasets.regions import Region
from giqa_datasets.text import parse
from giqa_metrics.models import Answer, Question, open_predictor
from giqa_metrics.models.box_format_file import format_of
from giqa_metrics.models.native_formats import hint_at_native
from giqa_metrics.models.server import require_fit
from giqa_metrics.runs.files import load_split, read_config, resume_predictions, sort_predictions, write_config
from giqa_metrics.runs.training_curve import copy_learning


# What an image and a word take, roughly; the order of batches needs no more
PIXELS_PER_TOKEN = 28 * 28
CHARACTERS_PER_TOKEN = 4


def predict(
    model: str,
    data: str,
    out: Path,
    *,
    server: str | None = None,
    box_format: str | None = None,
    config: str | None = None,
    split: str = "test",
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    max_new_tokens: int = MAX_NEW_TOKENS,
    question_as_is: bool = False,
    processor: str | None = None,
    progress: Progress = no_progress,
) -> tuple[int, dict[str, str]]:
    """Answer every sample of a split that `out` has no answer for yet.

    One that gets none costs only itself: its line has the prediction null and a `fault`, and it is asked again when
    the run goes on.

    Args:
        model: A folder or a model id on the Hub: any transformers image-text-to-text model with its processor and chat
            template, or a PEFT adapter of one. With a server, the name that it knows the model by.
        data: A data set folder or name.
        out: The run's folder.
        server: An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`; its key is read from
            GIQA_PREDICT_API_KEY in the environment. None runs the model here, with transformers.
        box_format: How the model writes boxes, a format's name or a file that `giqa doctor` wrote; `giqa score` reads
            it from the run. None takes what the run says that goes on, else the file in the model's own folder, else
            GIQA's own way, and says so where the model's family has another.
        config: The data set's config (`des`, `vqa`); None is the default one.
        split: The split to answer.
        limit: Answer the first so many samples alone.
        batch_size: Samples generated at once, or requests to the server at once. A batch that does not fit into
            memory is halved.
        max_new_tokens: Longest answer in tokens.
        question_as_is: Ask with the data set's column `prompt`, whatever the box format. Else the question's hint and
            its boxes are written in the box format.
        processor: With a server, the folder or Hub id of its model, whose image processor tells the size that an
            image is resized to; box formats that count in its pixels need it.
        progress: Wraps the answers as they come.

    Returns:
        The number of answers in the file, and why samples got none, by id.

    Raises:
        ImportError: If torch, transformers or peft is not installed, or the server's client.
        OSError: If the model or server cannot be had, or answers none of the first samples.
        ValueError: If the data set lacks a column, an image cannot be read, `out` holds another run, a server's
            answers cannot be read in the box format, or `giqa doctor` found that none fits the model.
    """
    spoken = format_of(model, box_format or _format_of_run(out))
    require_fit(spoken, server, processor)
    rows = load_split(data, config, split)
    rows = rows.select(range(len(rows))[:limit])
    prompts = _prompts(rows, None if question_as_is else spoken)
    predictor = open_predictor(
        model, server, batch_size=batch_size, max_new_tokens=max_new_tokens, processor=processor
    )
    run = {"model": model, "server": server is not None, "data": data, "config": config, "split": split}
    run |= {"limit": limit, "box_format": spoken, "max_new_tokens": max_new_tokens}
    run |= {"question_as_is": question_as_is}
    with hold(out):
        write_config(out, run)
        if server is None:
            copy_learning(model, out)
        hint_at_native(model, predictor.model_type, spoken, given=box_format)
        path = out / "predictions.jsonl"
        ids = list(rows["id"])
        there = resume_predictions(path)
        if unknown := there.keys() - ids:
            raise InputError(
                f"{path} answers {min(unknown)!r}, which {data} ({split}) has not: was the data set changed?"
            )
        done = {identifier for identifier, text in there.items() if text is not None}
        batches = _longest_first(rows, prompts, predictor.batch_size)
        left = (batch for batch in batches if not done.issuperset(ids[number] for number in batch))
        answers = predictor.answer([_sample(rows[number], prompts[number]) for number in batch] for batch in left)
        missing = (answer for answer in answers if answer.id not in done)
        faults: dict[str, str] = {}
        for answer in progress(missing, len(ids) - len(done), "predict"):
            append_line(path, _line(answer))
            faults |= {answer.id: answer.fault} if answer.prediction is None else {}
        sort_predictions(path, ids)
    return len(ids) - len(faults), faults


def _format_of_run(out: Path) -> str | None:
    """The box format of a run that goes on: what a killed one took is not looked up again."""
    name = read_config(out).get("box_format")
    return None if name is None else str(name)


def _longest_first(rows: Any, prompts: Sequence[str], size: int) -> list[list[int]]:
    """Cut a split into batches of like length: descriptions before short answers, then by image and prompt."""
    sizes = rows.select_columns(["task", "width", "height"])
    lengths = [_length(row, prompt) for row, prompt in zip(sizes, prompts, strict=True)]
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    return list(cut(order, size))


def _length(row: dict[str, Any], prompt: str) -> tuple[bool, float]:
    """Say roughly how long a sample takes: whether its answer is a long one, and the tokens of its question."""
    pixels = row["width"] * row["height"]
    return row["task"] == "des", pixels / PIXELS_PER_TOKEN + len(prompt) / CHARACTERS_PER_TOKEN


def _prompts(rows: Any, box_format: str | None) -> list[str]:
    """Write what the model is asked, by row: in a box format, or as the data set's column `prompt` says."""
    columns = ["id", "prompt", "question", "regions", "width", "height"]
    return [prompt_of(row, box_format) for row in rows.select_columns(columns)]


def prompt_of(row: Mapping[str, Any], box_format: str | None) -> str:
    """Write what a model is asked about a row of a data set.

    Args:
        row: Its columns; the image is not needed.
        box_format: Of the model; None is the column `prompt` as it is.

    Raises:
        ValueError: If the row has another prompt than one turn of the user's, or the question's boxes cannot be
            written in the format.
    """
    roles = [turn["role"] for turn in row["prompt"]]
    if roles != ["user"]:
        raise InputError(f"sample {row['id']!r}: expected a prompt of one turn of the user's, got turns of {roles}")
    if box_format is None:
        return str(row["prompt"][0]["content"])
    if box_format == "giqa":
        return str(row["question"])
    asked = parse(row["question"])
    regions = list(asked.regions)
    exact = [region for region in row["regions"] if region["role"] == "question"]
    if [region.phrase for region in regions] == [region["phrase"] for region in exact]:  # boxes before the grid
        regions = [
            Region(region.phrase, region.span, to_boxes(its["boxes"]))
            for region, its in zip(regions, exact, strict=True)
        ]
    try:
        return question_in(box_format, asked.plain, regions, Sizes((row["width"], row["height"])))
    except InputError as error:
        raise InputError(f"sample {row['id']!r}: {error}; --question-as-is asks it as it stands") from error


def _sample(row: Mapping[str, Any], prompt: str) -> Question:
    """Put a row's image beside its prompt.

    Raises:
        ValueError: If the row has no pixels.
    """
    if row["image"]["bytes"] is None:
        raise InputError(f"image {row['id']!r} came without its pixels")
    return Question(row["id"], row["image"]["bytes"], prompt)


def _line(answer: Answer) -> str:
    """Write an answer as a line of `predictions.jsonl`."""
    line: dict[str, Any] = {"id": answer.id, "prediction": answer.prediction}
    if answer.input_size is not None:
        line["input_size"] = answer.input_size
    if answer.fault:
        line["fault"] = answer.fault
    return json_line(line)
