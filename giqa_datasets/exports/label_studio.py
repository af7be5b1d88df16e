"""Label Studio's tasks: `tasks.json` and `config.xml` beside `images/`, and the way back to a data set.

Rectangles are annotations in percent, one label a phrase. `metadata.jsonl` holds the descriptions, so that
`giqa build folder DIR --boxes EXPORT` makes a set out of them and of what was corrected.
"""

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from giqa_datasets.exports.photographs import ExportedPhotograph, Read, grounded, objects_of, saved
from giqa_datasets.files import json_line, write_whole


_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Text name="text" value="$text"/>
  <RectangleLabels name="label" toName="image">
{labels}
  </RectangleLabels>
</View>
"""


def write_label_studio(out: Path, read: Read) -> None:
    """Write the files into an empty folder; all splits are one project."""
    lines, tasks, names = [], [], set()
    for photograph in saved(read(), out / "images"):
        name = f"images/{photograph.file}"
        described = [row for row in photograph.rows if row["task"] == "des"]
        texts = [grounded(row, "answer")[0] for row in described]
        tasks.append(_task(photograph, name, "\n\n".join(texts)))
        names |= {found.category for found in objects_of(photograph)}
        for row, text in zip(described, texts, strict=True):
            licences = {key: row[key] for key in ("image_license", "text_license")}
            lines.append(json_line({"file_name": name, "id": row["id"], "description": text} | licences))
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in sorted(names))
    write_whole(out / "metadata.jsonl", lines)
    write_whole(out / "tasks.json", [json.dumps(tasks, ensure_ascii=False, indent=1)])
    write_whole(out / "config.xml", [_CONFIG.format(labels=labels)])


def _task(photograph: ExportedPhotograph, name: str, text: str) -> dict[str, Any]:
    width, height = photograph.size
    result = [
        {
            "id": str(number),
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": found.bbox[0] / width * 100,
                "y": found.bbox[1] / height * 100,
                "width": found.bbox[2] / width * 100,
                "height": found.bbox[3] / height * 100,
                "rotation": 0,
                "rectanglelabels": [found.category],
            },
        }
        for number, found in enumerate(objects_of(photograph), start=1)
    ]
    data = {"image": f"/data/local-files/?d={name}", "text": text}
    return {"data": data, "annotations": [{"result": result}]}
