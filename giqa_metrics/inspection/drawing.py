"""A photograph with the boxes drawn on it, for a person to look at."""

from PIL import Image, ImageDraw, ImageFont

from giqa_datasets.console import printable
from giqa_metrics.inspection.policy import Verdict
from giqa_metrics.inspection.verdicts import Inspection, JudgedRegion


SIDES_PX = (480, 1600)  # of the longer side: a smaller photograph is scaled up, so that labels can be read
COLOURS = {Verdict.FAIL: "#c9182b", Verdict.REVIEW: "#b35900", Verdict.PASS: "#1a7f37"}  # white is legible on each
LABEL_PX = 15
LONGEST = 32  # letters of a phrase in its label

Pen = ImageDraw.ImageDraw
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_inspection(image: Image.Image, inspection: Inspection) -> Image.Image:
    """Draw an inspection's boxes on its photograph, each with its phrase and defects, under a line with the verdict.

    The longer side of the photograph, RGB, comes within `SIDES_PX`.
    """
    longer = max(image.size)
    scale = min(max(longer, SIDES_PX[0]), SIDES_PX[1]) / longer
    width, height = (max(1, round(side * scale)) for side in image.size)
    font = ImageFont.load_default(LABEL_PX)
    strip = 2 * LABEL_PX
    out = Image.new("RGB", (max(width, SIDES_PX[0] // 2), height + strip), "white")
    out.paste(image.resize((width, height), Image.Resampling.LANCZOS), (0, strip))
    pen = ImageDraw.Draw(out)
    pen.rectangle((0, 0, out.width, strip - 1), fill=COLOURS[inspection.verdict])
    worst = [reason.why for reason in inspection.reasons if reason.verdict is inspection.verdict]
    title = ": ".join([inspection.verdict, *worst[:1]])
    pen.text((8, strip / 2), _fitted(title, out.width - 16, pen, font), "white", font, anchor="lm")
    for region in sorted(inspection.regions, key=lambda region: list(Verdict).index(region.verdict)):
        for x1, y1, x2, y2 in region.boxes.tolist():
            box_px = (x1 * width, y1 * height + strip, x2 * width - 1, y2 * height + strip - 1)
            _draw_box(pen, box_px, region, out.size, font)
    return out


def _draw_box(pen: Pen, box_px: tuple[float, ...], region: JudgedRegion, size: tuple[int, int], font: Font) -> None:
    """Draw one box with its label inside; a dark rim keeps every colour visible on every photograph."""
    left, top = box_px[0], box_px[1]
    right, bottom = max(left, box_px[2]), max(top, box_px[3])
    pen.rectangle((left, top, right, bottom), outline="black", width=5)
    inner = (left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1))
    pen.rectangle(inner, outline=COLOURS[region.verdict], width=3)
    phrase = region.phrase[:LONGEST] + "…" * (len(region.phrase) > LONGEST)
    label = _fitted(": ".join(filter(None, [phrase, ", ".join(region.defects)])), size[0] - 16, pen, font)
    x1, y1, x2, y2 = pen.textbbox((left + 8, top + 6), label, font=font)
    across, down = min(0, size[0] - x2 - 4), min(0, size[1] - y2 - 3)
    pen.rectangle((x1 + across - 4, y1 + down - 3, x2 + across + 4, y2 + down + 3), fill=COLOURS[region.verdict])
    pen.text((left + 8 + across, top + 6 + down), label, "white", font)


def _fitted(text: str, width: int, pen: Pen, font: Font) -> str:
    """A text on one line, cut off at a width in pixels."""
    text = printable(text[:1000])
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(text + "…", font) > width:
        text = text[: len(text) - 1 - len(text) // 16]
    return text + "…"
