"""The files of an inspection: `verdicts.jsonl`, a line per photograph, masks, annotated pictures, `config.yaml`.

A line is appended as soon as its photograph is judged and its pictures are written. After the last one, the file is
written once more, whole, in the order of the photographs; so a run that was killed goes on, and ends with the same
bytes. A photograph whose file has changed since is inspected anew.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import InputError
from giqa_datasets.files import append_line, json_line, mend, numbered_lines, read_line, write_whole
from giqa_datasets.folder_lock import hold
from giqa_datasets.images import decode, write_image
from giqa_metrics.inspection.defect_words import KINDS, VERSION
from giqa_metrics.inspection.drawing import draw_inspection
from giqa_metrics.inspection.photographs import PhotoSource, digest_of, file_name
from giqa_metrics.inspection.policy import Verdict, covered
from giqa_metrics.inspection.verdicts import NO_ANSWER, Inquiry, Inspected, JudgedRegion, inspections
from giqa_metrics.models import Predictor
from giqa_metrics.runs.files import write_config


FILE = "verdicts.jsonl"
JPEG_QUALITY = 90  # of the annotated pictures


class ReasonLine(BaseModel):
    """A reason in a line."""

    rule: str
    verdict: Verdict
    why: str


class VerdictLine(BaseModel):
    """A line of `verdicts.jsonl`: the fields that are read again; the others are kept."""

    model_config = ConfigDict(extra="allow")
    photo: str
    verdict: Verdict
    reasons: list[ReasonLine]
    image_sha256: str | None


def inspect_into(
    out: Path,
    sources: Sequence[PhotoSource],
    predictor: Predictor,
    asked: Inquiry,
    *,
    run: dict[str, Any],
    progress: Progress = no_progress,
) -> list[VerdictLine]:
    """Inspect every photograph without a verdict in the folder, and return all lines, in the photographs' order.

    `run` has further settings for `config.yaml`.

    Raises:
        OSError: If the model or server cannot be had; earlier answers stay.
        ValueError: If the folder holds another run.
    """
    policy = asked.policy.model_dump(mode="json")
    with hold(out):
        write_config(
            out,
            run | {"question": asked.question, "box_format": asked.box_format, "lexicon": VERSION, "policy": policy},
        )
        for name in ("masks", "pictures"):
            (out / name).mkdir(exist_ok=True)
        path = out / FILE
        done = _resume(path, sources)
        found = inspections(sources, predictor, asked, done=done)
        for inspected in progress(found, len(sources) - len(done), "inspect"):
            append_line(path, json_line(_line(out, inspected)))
        by_name = {line.photo: (line, raw) for line, raw in _read(path)}
        ordered = [by_name[source.name] for source in sources]
        if [raw for _, raw in ordered] != [raw for _, raw in by_name.values()]:
            write_whole(path, [raw for _, raw in ordered])
    return [line for line, _ in ordered]


def _resume(path: Path, sources: Sequence[PhotoSource]) -> set[str]:
    """Names of the photographs that are done.

    Lines of those that have changed, or got no answer, are removed, and a half-written one is cut off.
    """
    mend(path)
    there = _read(path)
    by_name = {source.name: source for source in sources}
    for line, _ in there:
        if line.photo not in by_name:
            raise InputError(f"{path} holds {line.photo!r}, which is not among the photographs; choose another --out")
    kept = [
        (line.photo, raw)
        for line, raw in there
        if digest_of(by_name[line.photo]) == line.image_sha256
        and NO_ANSWER not in {reason.rule for reason in line.reasons}
    ]
    if len(kept) != len(there):
        write_whole(path, [raw for _, raw in kept])
    return {name for name, _ in kept}


def _read(path: Path) -> list[tuple[VerdictLine, str]]:
    read: dict[str, tuple[VerdictLine, str]] = {}
    for where, raw in numbered_lines(path):
        line = read_line(raw, f"{where} was not written by giqa inspect", VerdictLine)
        if line.photo in read:
            raise InputError(f"{where}: {line.photo!r} occurs twice")
        read[line.photo] = (line, raw.decode())
    return list(read.values())


def _line(out: Path, inspected: Inspected) -> dict[str, Any]:
    """Write the pictures of an inspection, and return its line."""
    found, photograph = inspected
    name = file_name(found.photo)
    masks: dict[str, str] = {}
    picture = None
    for old in (f"pictures/{name}.jpg", *(f"masks/{name}.{kind}.png" for kind in KINDS)):
        (out / old).unlink(missing_ok=True)  # of the photograph before it changed
    if found.size_wh is not None:
        picture = f"pictures/{name}.jpg"
        image = decode(photograph.raw, name=found.photo)
        write_image(out / picture, draw_inspection(image, found), quality=JPEG_QUALITY)
        masks = {kind: f"masks/{name}.{kind}.png" for kind in found.defects}
        for kind, mask in masks.items():
            write_image(out / mask, found.mask(kind))
    width, height = found.size_wh or (None, None)
    return {
        "photo": found.photo,
        "verdict": found.verdict,
        "reasons": [reason._asdict() for reason in found.reasons],
        "regions": [_region(region, found.size_wh or (0, 0)) for region in found.regions],
        "prediction": found.prediction,
        "n_malformed": found.n_malformed,
        "width": width,
        "height": height,
        "image_sha256": found.image_sha256,
        "masks": masks,
        "picture": picture,
    }


def _region(region: JudgedRegion, size_wh: tuple[int, int]) -> dict[str, Any]:
    """A region for a program; pixels are corners, not rounded to whole ones."""
    return {
        "phrase": region.phrase,
        "verdict": region.verdict,
        "defects": region.defects,
        "says": region.says,
        "xyxy": region.boxes.round(6).tolist(),
        "xyxy_px": (region.boxes * (size_wh * 2)).round(2).tolist(),
        "area": round(covered(region.boxes), 6),
    }
