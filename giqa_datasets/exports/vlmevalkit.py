"""VLMEvalKit's tables: `giqa_<split>.tsv` with `index, image, question, answer` and what the row is.

An image stands in its first row, in base64; the others hold that row's index. The texts are `prompt` and `completion`.
"""

import base64
import csv
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from giqa_datasets.exports.photographs import Read


_COLUMNS = ("index", "image", "question", "answer", "id", "task", "question_type")


def write_vlmevalkit(out: Path, read: Read) -> None:
    """Write the files into an empty folder."""
    for split, of_split in groupby(read(), attrgetter("split")):
        with (out / f"giqa_{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(_COLUMNS)
            index = 0
            for photograph in of_split:
                image = base64.b64encode(photograph.image).decode()
                first = index
                for row in photograph.rows:
                    asked, answered = row["prompt"][0]["content"], row["completion"][0]["content"]
                    pixels = image if index == first else first
                    writer.writerow([index, pixels, asked, answered, row["id"], row["task"], row["question_type"]])
                    index += 1
