"""Descriptions of a folder's photographs by a model, as lines of its `metadata.jsonl` that say whose they are.

The lines are the user's to read and to correct; a photograph that has one is not asked about again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from giqa_datasets.batches import batches
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, json_line, mend, read_lines
from giqa_datasets.image_stores import Folder
from giqa_datasets.images import bake
from giqa_datasets.reply import cut
from giqa_datasets.sources.folder_metadata import MACHINE_TEXT, photographs
from giqa_datasets.text import strip
from giqa_metrics.models import open_predictor
from giqa_metrics.models.predictor import Answer, Question


# Ours; the offline tagger and the paper's read such sentences
PROMPT = (
    "Describe the quality of this photograph in two to four plain English sentences: which things in it are sharp, "
    "blurred, dark, too bright or noisy, and what that does to the photograph. Name each thing. No lists, no headings."
)


class Described(NamedTuple):
    """The outcome of `describe`."""

    n_new: int  # photographs that got a line
    left_out: list[str]  # those that cannot be read, or that the model said nothing of
    n_unanswered: int  # the latter, which the next call asks about again


class _Line(BaseModel):
    file_name: str


def describe(
    root: Path,
    model: str,
    server: str | None = None,
    *,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Progress = no_progress,
) -> Described:
    """Let a model describe the photographs of a folder that have no line in its `metadata.jsonl`, which gets one.

    Args:
        root: The folder.
        model: As of `open_predictor`, as are `server`, `batch_size` and `max_new_tokens`.
        server: The address of the model's server; None runs it here.
        limit: Ask about the first so many photographs at most.
        batch_size: Photographs at once; so many lines a kill may cost.
        max_new_tokens: Longest description in tokens.
        progress: Wraps the batches.

    Raises:
        OSError: If the model cannot be had or gives no answer, or the line cannot be written; the lines so far stay.
        ValueError: If the folder has no photographs, or descriptions of another form.
    """
    metadata, names = root / "metadata.jsonl", photographs(root)
    others = [root / "metadata.csv", root / "metadata.parquet", *((root / name).with_suffix(".txt") for name in names)]
    if other := next((path for path in others if path.is_file()), None):
        raise InputError(f"expected a metadata.jsonl or no descriptions where a model shall describe, got {other}")
    if not names:
        raise InputError(f"expected photographs in {root}, found none")
    done = set()
    if metadata.is_file():
        mend(metadata)
        done = {line.file_name for _, line in read_lines(metadata, _Line)}
    missing = [name for name in names[:limit] if name not in done]
    if not missing:
        return Described(0, [], 0)
    predictor = open_predictor(model, server, batch_size=batch_size, max_new_tokens=max_new_tokens)
    license = MACHINE_TEXT + (Path(model).name if Path(model).is_dir() else model)
    parts, left_out, n_unanswered = list(batches(missing, batch_size)), [], 0
    for part in progress(parts, len(parts), "describe"):
        questions = list(_questions(Folder(root), part))
        said = {answer.id: _plain(answer) for answer in predictor.answer([questions] if questions else [])}
        n_unanswered += sum(not text for text in said.values())
        for name in part:
            if text := said.get(name):
                line = {"file_name": name, "description": text, "text_license": license}
                append_line(metadata, json_line(line))
            else:
                left_out.append(name)
    return Described(len(missing) - len(left_out), left_out, n_unanswered)


def _questions(images: Folder, names: Sequence[str]) -> Iterator[Question]:
    for name in names:
        try:
            yield Question(name, bake(images.read(name), name=name).image, PROMPT)
        except (OSError, ValueError):  # the build says what is wrong with a photograph
            continue


def _plain(answer: Answer) -> str:
    return " ".join(strip(cut(answer.prediction or "").text).split())
