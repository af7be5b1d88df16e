"""What the page shows: the photograph with its boxes, the texts with their phrases, and what was read of the answer.

Every text on it is hostile, for a model or a visitor wrote it: the templates escape it.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from giqa_datasets.formats import Format, Sizes
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.grid import box_to_cells
from giqa_datasets.images import bake, data_uri, decode, encode, shrink
from giqa_datasets.package_files import templates
from giqa_datasets.regions import Region
from giqa_datasets.reply import cut, read
from giqa_datasets.text import GroundedText
from giqa_metrics.inspection.masks import mask


MAX_SIDE = 1024  # pixels of the photograph on the page; the model is given all of them
SMALL = 240  # pixels; a photograph of at most this side is shown enlarged, pixel by pixel
LONGEST = 20_000  # characters of an answer that are read, so that no answer can stall the page
COLOURS = 8
ABOUT = "How is the quality of "
DETERMINERS = ("a ", "an ", "the ", "this ", "that ", "these ", "those ", "its ", "his ", "her ", "their ")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A photograph that was opened.

    Attributes:
        raw: The file as the model is given it, upright.
        size: (width, height) in pixels.
        uri: A smaller copy for the page, as a data URI.
    """

    raw: bytes
    size: tuple[int, int]
    uri: str


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """A question and its answer.

    Attributes:
        question: As it was asked.
        answer: As it was read out of the reply.
        reply: As the model gave it.
        sizes: What the boxes refer to.
        is_cut: Whether the answer is longer than `LONGEST`.
    """

    question: GroundedText
    answer: GroundedText
    reply: str
    sizes: Sizes
    is_cut: bool


def open_picture(raw: bytes) -> Picture:
    """Open an upload.

    Raises:
        ValueError: If it is no image, broken, or of too many pixels.
    """
    baked = bake(raw, name="upload", verify=False)  # the next line does
    small = encode(shrink(decode(baked.image, name="upload"), MAX_SIDE)).image
    if max(baked.width, baked.height) <= SMALL and baked.image.startswith(b"\x89PNG"):
        small = baked.image  # JPEG would blur what is enlarged
    return Picture(baked.image, (baked.width, baked.height), data_uri(small))


def read_exchange(question: str, reply: str, sizes: Sizes, box_format: str) -> Exchange:
    """Read the boxes of a question and of the answer in a reply, in the model's format.

    Raises:
        ValueError: If the format needs a size that is not known.
    """
    asked = format_named(box_format).read(question, sizes)
    answer = cut(reply).text  # a long thought is no long answer
    found = read(answer[:LONGEST], box_format, sizes).answer
    return Exchange(asked, found, reply, sizes, len(answer) > LONGEST)


def render(template: str, **values: Any) -> str:
    """Render a template of this package; what is put into it is escaped."""
    return templates(Path(__file__).parent, is_html=True).get_template(template).render(values)


def render_stage(picture: Picture | None, exchange: Exchange | None = None, fault: str = "") -> str:
    """Render the photograph with its boxes, and the texts beneath it.

    Args:
        picture: None before one was opened.
        exchange: None before something was asked about it.
        fault: One sentence that says why there is no answer.
    """
    texts = {"question": exchange.question, "answer": exchange.answer} if exchange else {}
    return render(
        "stage.html.jinja",
        picture=picture,
        small=SMALL,
        boxes=_boxes(texts, picture.size) if picture else [],
        texts={role: _pieces(role, text) for role, text in texts.items()},
        n_phrases=len(exchange.answer.regions) if exchange else 0,
        n_malformed=len(exchange.answer.malformed) if exchange else 0,
        fault=fault,
    )


def render_details(exchange: Exchange | None, name: str) -> str:
    """Render the raw texts and what was read of them in the box format of that name."""
    rows, malformed = [], []
    if exchange is not None:
        answer = exchange.answer
        for region in answer.regions:
            for box in region.boxes.tolist():
                corners = [f"{v:.3f}" for v in box]
                rows.append({"phrase": region.phrase, "corners": corners, "cells": box_to_cells(*box)})
        malformed = [{"kind": broken.kind, "text": answer.text[slice(*broken.span)]} for broken in answer.malformed]
    return render("details.html.jinja", exchange=exchange, name=name, rows=rows, malformed=malformed, longest=LONGEST)


def question_about(exchange: Exchange, link: str, box: int | None, box_format: Format) -> str | None:
    """Write a question about a phrase, or about one of its boxes, as the model writes boxes.

    Args:
        exchange: What the page shows.
        link: The phrase, as the page names it.
        box: Which of its boxes; None for all of them.
        box_format: Of the model.

    Returns:
        The question, or None if the page shows no such phrase or box.

    Raises:
        ValueError: If the phrase cannot be written in the format.
    """
    regions = _linked({"question": exchange.question, "answer": exchange.answer})
    region = regions.get(link)
    if region is None or (box is not None and not 0 <= box < len(region.boxes)):
        return None
    boxes = region.boxes if box is None else region.boxes[box : box + 1]
    about = ABOUT if region.phrase.lower().startswith(DETERMINERS) else f"{ABOUT}the "
    named = Region(region.phrase, (len(about), len(about) + len(region.phrase)), boxes)
    return box_format.write(f"{about}{region.phrase}?", [named], exchange.sizes)


def mask_png(exchange: Exchange, size: tuple[int, int], phrase: int | None) -> bytes:
    """Draw the mask of one phrase of the answer, or of all of them, as a PNG file of the photograph's size."""
    regions = exchange.answer.regions if phrase is None else exchange.answer.regions[phrase : phrase + 1]
    buffer = io.BytesIO()
    mask(np.concatenate([np.empty((0, 4)), *(region.boxes for region in regions)]), size).save(buffer, "PNG")
    return buffer.getvalue()


def _linked(texts: dict[str, GroundedText]) -> dict[str, Region]:
    """The phrases of the texts by the names that the page gives them."""
    return {f"{role}-{number}": region for role, text in texts.items() for number, region in enumerate(text.regions)}


def _boxes(texts: dict[str, GroundedText], size: tuple[int, int]) -> list[dict[str, Any]]:
    """The boxes to draw, in pixels, the largest first: a box inside another stays within reach."""
    drawn: list[dict[str, Any]] = []
    for link, region in _linked(texts).items():
        role, _, number = link.partition("-")
        named = {"role": role, "link": link, "phrase": region.phrase, "of": len(region.boxes)}
        named["colour"] = int(number) % COLOURS
        for index, (x1, y1, x2, y2) in enumerate((region.boxes * np.array(size * 2)).round(2).tolist()):
            place = {"x": x1, "y": y1, "width": round(x2 - x1, 2), "height": round(y2 - y1, 2)}
            drawn.append({**named, **place, "index": index})
    return sorted(drawn, key=lambda box: -box["width"] * box["height"])


def _pieces(role: str, text: GroundedText) -> list[dict[str, Any]]:
    """Cut the plain text at its phrases; a piece with a link is a phrase with boxes."""
    pieces: list[dict[str, Any]] = []
    last = 0
    for number, region in enumerate(text.regions):
        start, end = region.span
        pieces.append({"text": text.plain[last:start], "link": ""})
        pieces.append({"text": region.phrase, "link": f"{role}-{number}", "colour": number % COLOURS})
        last = end
    pieces.append({"text": text.plain[last:], "link": ""})
    return [piece for piece in pieces if piece["text"]]
