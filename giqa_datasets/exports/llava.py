"""LLaVA's conversations: `<split>.json` beside `images/`, and `dataset_info.json`, by which LLaMA-Factory finds them.

The texts are `prompt` and `completion`, with boxes in the format that the set was built with.
"""

import json
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from giqa_datasets.exports.photographs import Read, saved


def write_llava(out: Path, read: Read) -> None:
    """Write the files into an empty folder."""
    files = {}
    for split, of_split in groupby(saved(read(), out / "images"), attrgetter("split")):
        files[f"giqa_{split}"] = {
            "file_name": f"{split}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        }
        with (out / f"{split}.json").open("w", encoding="utf-8", newline="\n") as file:
            before = "[\n"
            for photograph in of_split:
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
                    file.write(before + json.dumps(line, ensure_ascii=False))
                    before = ",\n"
            file.write("\n]\n")
    (out / "dataset_info.json").write_text(json.dumps(files, indent=2), "utf-8")
