"""One record's way through the stages, as text and as a picture of its boxes before and after refinement."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from giqa_datasets.entries import Entry
from giqa_datasets.errors import InputError
from giqa_datasets.images import decode, shrink, write_image
from giqa_datasets.pipeline.annotation_folder import Annotations
from giqa_datasets.pipeline.annotation_lines import DropLine, RecordLine, read_samples
from giqa_datasets.regions import Box
from giqa_datasets.text import render


SIDE_PX = 720  # of each half of the picture
COLOURS = ("#e6194b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000", "#000075")
REFUSED = "#ffffff"

Pen = ImageDraw.ImageDraw
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def explain(identifier: str, folder: Path, entries: Iterable[Entry]) -> list[str]:
    """Tell the story of a record, or of a sample's, and draw it on its photograph out of the source's entries.

    The last line is the picture's path, under `folder/explain`, or why there is none.

    Raises:
        ValueError: If there is no such record in the source, or it is not annotated yet.
    """
    name = re.sub(r"-(des|vqa-\d+)$", "", identifier)
    by_id = {entry.id: entry for entry in entries if entry.id in (identifier, name)}
    entry = by_id.get(identifier) or by_id.get(name)
    if entry is None:
        raise InputError(f"expected the id of a record or a sample, got {identifier!r}")
    line = next(Annotations(folder).lines([entry]), None)
    if line is None:
        raise InputError(f"{entry.id!r} is not annotated in {folder}")
    told = story(line)
    try:
        drawn = draw(decode(entry.load().photograph.image, name=entry.file), line)
    except ValueError as error:
        return [*told, f"no picture: {error}"]
    digest = hashlib.sha256(entry.id.encode()).hexdigest()[:8]  # two ids may differ in what no file name can hold
    readable = re.sub(r"[^\w.-]+", "_", entry.id)[:80]
    picture = folder / "explain" / f"{readable}-{digest}.png"
    picture.parent.mkdir(exist_ok=True)
    write_image(picture, drawn)
    return [*told, f"picture: {picture}"]


def story(line: RecordLine) -> list[str]:
    """Return the lines of the record's story, stage by stage."""
    boxes = sum(len(tag.found) for tag in line.tags)
    told = [f"{line.id} ({line.file})", "", line.description, ""]
    told += ["tags: what the description says of which object"]
    told += [f"  {tag.phrase}: {tag.quality}, effect {tag.effect}" for tag in line.tags]
    told += _left_out(line.drops, "tags")
    told += ["detect: where the objects are"]
    told += [f"  {tag.phrase}: {_count(len(tag.found), 'box', 'boxes')}" for tag in line.tags]
    told += _left_out(line.drops, "detect")
    told += [f"refine: which of {_count(boxes, 'box', 'boxes')} look as described, and what belongs together"]
    told += [f"  {tag.phrase}: {_count(len(tag.boxes), 'box', 'boxes')}" for tag in line.tags]
    told += _left_out(line.drops, "refine")
    for stage, title, task in (("fuse", "the description", "des"), ("ask", "questions", "vqa")):
        told += [f"{stage}: {title}"]
        for sample in read_samples(line):
            if sample.task == task:
                told.append(f"  {render(sample.question, sample.question_regions)}")
                told.append(f"    {render(sample.answer, sample.answer_regions)}")
        told += _left_out(line.drops, stage)
    return told


def _left_out(drops: Sequence[DropLine], stage: str) -> list[str]:
    return [f"  - {drop.reason}: {drop.what}" for drop in drops if drop.stage == stage]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def draw(image: Image.Image, line: RecordLine) -> Image.Image:
    """Draw the boxes that were found beside those that are left; the refused ones are white."""
    small = shrink(image, SIDE_PX)
    font = ImageFont.load_default(14)
    strip = 24  # for the title
    out = Image.new("RGB", (2 * small.width + 12, small.height + strip), "white")
    refused = [drop for drop in line.drops if drop.reason == "box_refused"]
    gone = {(drop.what, box) for drop in refused for box in drop.boxes}
    before = [
        (tag.phrase, [box for box in tag.found if (tag.phrase, box) not in gone], _colour(k))
        for k, tag in enumerate(line.tags)
    ]
    before += [(drop.what, drop.boxes, REFUSED) for drop in refused]
    after = [(tag.phrase, tag.boxes, _colour(k)) for k, tag in enumerate(line.tags)]
    for left, title, phrases in ((0, "found", before), (small.width + 12, "refined", after)):
        half = small.copy()
        pen = ImageDraw.Draw(half)
        for phrase, boxes, colour in phrases:
            for box in boxes:
                _draw_box(pen, half.size, phrase, box, colour, font)
        out.paste(half, (left, strip))
        count = sum(len(boxes) for _, boxes, _ in phrases)
        ImageDraw.Draw(out).text((left + 4, 4), f"{title}: {_count(count, 'box', 'boxes')}", "black", font)
    return out


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _draw_box(pen: Pen, size: tuple[int, int], phrase: str, box: Box, colour: str, font: Font) -> None:
    """Draw one box with its phrase; a dark rim keeps every colour visible on every photograph."""
    width, height = size
    x1, y1, x2, y2 = box[0] * width, box[1] * height, box[2] * width - 1, box[3] * height - 1
    x2, y2 = max(x1, x2), max(y1, y2)
    pen.rectangle((x1, y1, x2, y2), outline="black", width=5)
    pen.rectangle((x1 + 1, y1 + 1, max(x1 + 1, x2 - 1), max(y1 + 1, y2 - 1)), outline=colour, width=3)
    label = phrase if len(phrase) <= 40 else phrase[:39] + "…"
    left, top, right, bottom = pen.textbbox((x1 + 6, y1 + 5), label, font=font)
    shift = min(0, width - right - 4)
    pen.rectangle((left + shift - 3, top - 2, right + shift + 3, bottom + 2), fill=colour)
    pen.text((x1 + 6 + shift, y1 + 5), label, "black" if colour == REFUSED else "white", font)
