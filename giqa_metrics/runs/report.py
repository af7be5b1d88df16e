"""The report of a run: one HTML file, readable offline, with the scores and every sample's boxes, worst first."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from giqa_datasets.formats import Sizes
from giqa_datasets.images import bake, data_uri
from giqa_datasets.package_files import templates
from giqa_datasets.reply import read
from giqa_datasets.text import GroundedText, parse
from giqa_metrics.runs.counts import sentences
from giqa_metrics.runs.table import paper_tables, tables
from giqa_metrics.runs.training_curve import CHART, Point, charts


MAX_SIDE = 720  # pixels of a picture in the report


def render_report(
    summary: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    dataset: Any,
    *,
    box_format: str,
    learning: Sequence[Point] = (),
) -> str:
    """Render the report.

    Args:
        summary: As `score_run` returns it.
        rows: Scored samples, as `compute` hands them over.
        dataset: The loaded split, with its images encoded.
        box_format: How the predictions write boxes.
        learning: What the model's training logged.

    Returns:
        The HTML page.

    Raises:
        ValueError: If an image cannot be read; its sample is named.
    """
    pictures: dict[str, dict[str, Any]] = {}
    samples = []
    scored = [{**row, "scores": json.loads(row["line"])} for row in rows]
    for row in sorted(scored, key=_goodness):
        raw = dataset[row["row"]]["image"]["bytes"]
        key = hashlib.sha256(raw).hexdigest()[:16]  # a picture that several samples share is embedded once
        pictures.setdefault(key, _picture(raw, name=row["id"]))
        samples.append(_sample(row, key, pictures[key], box_format))
    environment = templates(Path(__file__).parent, is_html=True)
    return environment.get_template("report.html.jinja").render(
        summary=summary,
        tables=tables(summary),
        paper=paper_tables([row["question_type"] for row in rows]),
        read=sentences(summary["read"]),
        n_malformed=sum(bool(sample["malformed"]) for sample in samples),
        signatures=sorted(_signatures(summary)),
        charts=charts(learning),
        plane=CHART,
        pictures=pictures,
        samples=samples,
        tasks=[task for task in ("des", "vqa") if task in summary],
    )


def _goodness(row: Mapping[str, Any]) -> tuple[float, str]:
    """What the samples are sorted by: accuracy where it was judged, else strict mIoU; unscored ones last."""
    for metric, key in (("giqa_vqa", "accuracy"), ("giqa_grounding", "miou_strict")):
        score = row["scores"].get(metric, {}).get(key)
        if score is not None:
            return float(score), row["id"]
    return 2.0, row["id"]


def _picture(raw: bytes, *, name: str) -> dict[str, Any]:
    """A picture as the report embeds it, scaled down if need be."""
    baked = bake(raw, name=name, max_side=MAX_SIDE)
    return {"uri": data_uri(baked.image), "width": baked.width, "height": baked.height}


def _sample(row: Mapping[str, Any], key: str, picture: dict[str, Any], box_format: str) -> dict[str, Any]:
    """What the template needs of one sample; boxes in pixels of the picture."""
    size = np.array([picture["width"], picture["height"]] * 2)
    sizes = Sizes((row["width"], row["height"]), row["input_size"])
    texts = {
        "question": parse(row["question"]),
        "predicted": read(row["prediction"], box_format, sizes).answer,
        "reference": parse(row["answer"]),
    }
    boxes = []
    for role, text in texts.items():
        for number, region in enumerate(text.regions):
            for x1, y1, x2, y2 in (region.boxes * size).round(1).tolist():
                boxes.append(
                    {"role": role, "link": f"{role}-{number}", "phrase": region.phrase}
                    | {"x": x1, "y": y1, "width": round(x2 - x1, 1), "height": round(y2 - y1, 1)}
                )
    scores = {
        name: round(value, 3)
        for scored in row["scores"].values()
        if isinstance(scored, dict)
        for name, value in scored.items()
        if name in ("miou", "miou_strict", "tag_recall", "accuracy") and value is not None
    }
    return {
        "id": row["id"],
        "task": row["task"],
        "question_type": row["question_type"],
        "picture": key,
        "width": picture["width"],
        "height": picture["height"],
        "boxes": boxes,
        "reply": row["prediction"] or "",
        "texts": {role: _pieces(role, text) for role, text in texts.items()},
        "scores": scores,
        "malformed": [text_part for text_part in _malformed(texts["predicted"])],
        "distortions": ", ".join(f"{known['name']} {known['severity']}" for known in row["distortions"]),
    }


def _pieces(role: str, text: GroundedText) -> list[dict[str, str]]:
    """Cut the plain text at its phrases; a piece with a link is a phrase with boxes."""
    pieces = []
    last = 0
    for number, region in enumerate(text.regions):
        start, end = region.span
        pieces += [{"text": text.plain[last:start], "link": ""}, {"text": region.phrase, "link": f"{role}-{number}"}]
        last = end
    pieces.append({"text": text.plain[last:], "link": ""})
    return [piece for piece in pieces if piece["text"]]


def _malformed(text: GroundedText) -> list[dict[str, str]]:
    """What was written where a box was expected."""
    return [{"kind": broken.kind, "text": text.text[slice(*broken.span)]} for broken in text.malformed]


def _signatures(scores: Any) -> set[str]:
    """Every signature in a summary."""
    if not isinstance(scores, dict):
        return set()
    found = {scores["signature"]} if "signature" in scores else set()
    return found.union(*(_signatures(value) for value in scores.values()))
