"""One picture of all pictures: each with the boxes that were read, their score, and the answer."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from giqa_datasets.console import printable
from giqa_metrics.doctor.diagnose import Diagnosis
from giqa_metrics.doctor.squares import SquarePicture


COLUMNS = 5
TILE = 160  # pixels that a picture fits into, each way
GAP = 12
LINE = 16  # height of a line of text
WHITE, RED, INK = (255, 255, 255), (255, 40, 40), (60, 60, 60)


def draw_sheet(pictures: Sequence[SquarePicture], diagnosis: Diagnosis, title: str) -> Image.Image:
    """Draw pictures in rows.

    Args:
        pictures: As the model was shown them.
        diagnosis: Of its answers about them.
        title: Stands above them.
    """
    rows = -(-len(pictures) // COLUMNS)
    step = TILE + GAP, TILE + 2 * LINE + GAP
    top = 2 * LINE + GAP
    sheet = Image.new("RGB", (COLUMNS * step[0] + GAP, rows * step[1] + top), WHITE)
    brush, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    brush.text((GAP, GAP), _fitted(title, font, sheet.width - 2 * GAP), INK, font)
    brush.text((GAP, GAP + LINE), "red: the boxes in the model's answers", INK, font)
    for number, picture in enumerate(pictures):
        left, upper = GAP + number % COLUMNS * step[0], top + GAP + number // COLUMNS * step[1]
        image = Image.open(io.BytesIO(picture.image))
        image.thumbnail((TILE, TILE))
        sheet.paste(image, (left, upper))
        for x1, y1, x2, y2 in (diagnosis.boxes[number] * (image.size * 2) + (left, upper) * 2).tolist():
            brush.rectangle((x1, y1, x2, y2), outline=RED, width=3)
        text = f"IoU {diagnosis.scores[number]:.2f}", diagnosis.answers[number]
        for line, words in enumerate(text):
            place = left, upper + TILE + line * LINE
            brush.text(place, _fitted(words, font, TILE), INK, font)
    return sheet


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> str:
    """The beginning of a text that fits a width in pixels."""
    line = printable(text[:200])
    while font.getlength(line) > width:
        line = line.removesuffix("...")[:-1] + "..."
    return line
