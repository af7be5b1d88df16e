"""VLMEvalKit's tables: `giqa_<split>.tsv` with `index, image, question, answer` and what the row is.

An image stands in its first row, in base64; the others hold that row's index. The texts are `prompt` and `completion`.
"""

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from giqa_datasets.exports.photographs import ExportedPhotograph, Read
from giqa_datasets.files import write_whole


_COLUMNS = ("index", "image", "question", "answer", "id", "task", "question_type")


def write_vlmevalkit(out: Path, read: Read) -> None:
    """Write the files into an empty folder."""
    for split, of_split in groupby(read(), attrgetter("split")):
        write_whole(out / f"giqa_{split}.tsv", _lines(of_split))


def _lines(photographs: Iterable[ExportedPhotograph]) -> Iterator[str]:
    yield _line(_COLUMNS)
    index = 0
    for photograph in photographs:
        first, image = index, base64.b64encode(photograph.image).decode()
        for row in photograph.rows:
            asked, answered = row["prompt"][0]["content"], row["completion"][0]["content"]
            pixels = image if index == first else first
            yield _line([index, pixels, asked, answered, row["id"], row["task"], row["question_type"]])
            index += 1


def _line(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow(cells)
    return line.getvalue()
