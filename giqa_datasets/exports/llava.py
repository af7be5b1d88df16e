"""LLaVA's conversations: `<split>.json` beside `images/`, and `dataset_info.json`, by which LLaMA-Factory finds them.

The texts are `prompt` and `completion`, with boxes in the format that the set was built with.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from giqa_datasets.exports.photographs import ExportedPhotograph, Read, saved
from giqa_datasets.files import write_whole


def write_llava(out: Path, read: Read) -> None:
    """Write the files into an empty folder."""
    files = {}
    for split, of_split in groupby(saved(read(), out / "images"), attrgetter("split")):
        files[f"giqa_{split}"] = {
            "file_name": f"{split}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        }
        write_whole(out / f"{split}.json", _array(of_split))
    write_whole(out / "dataset_info.json", [json.dumps(files, indent=2)])


def _array(photographs: Iterable[ExportedPhotograph]) -> Iterator[str]:
    before = "[\n"
    for photograph in photographs:
        for row in photograph.rows:
            asked, answered = row["prompt"][0]["content"], row["completion"][0]["content"]
            line = {
                "id": row["id"],
                "image": f"images/{photograph.file}",
                "images": [f"images/{photograph.file}"],
                "conversations": [
                    {"from": "human", "value": f"<image>\n{asked}"},
                    {"from": "gpt", "value": answered},
                ],
            }
            yield before + json.dumps(line, ensure_ascii=False)
            before = ",\n"
    yield "\n]\n"
