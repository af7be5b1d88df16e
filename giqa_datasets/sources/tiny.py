"""The tiny set: crops of the mini set's photographs with one local transmission error, as a broken decoder leaves it.

A solid green, magenta or grey block covers part of the crop; some crops are intact. A model of less than a million
parameters learns this task from scratch in minutes, with the same text format, columns and metrics as the real one.
"""

import hashlib
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from giqa_datasets.entries import Entry
from giqa_datasets.images import decode, shrink
from giqa_datasets.records import Distortion, Photograph, Record, Sample
from giqa_datasets.regions import locate
from giqa_datasets.sources.mini import TEXT_LICENSE, Split, wheel_file, wheel_rights


SIDE_PX = 80  # of a crop
COLOURS = {"green": (0, 255, 0), "magenta": (255, 0, 255), "grey": (128, 128, 128)}
DES_QUESTION = "Describe the quality of this image. Mention positions."
VQA_QUESTION = "Is part of this image missing?"
# Crops by split: with a description (a fifth of them intact), and with a Yes/No question (half of them intact)
COUNTS: dict[Split, tuple[int, int]] = {"train": (8_000, 2_000), "test": (480, 120)}
INTACT = (0.2, 0.5)

_JITTER = 16  # levels that a channel of a block may be off
_BLOCK_SIDES = (0.15, 0.5)  # as a share of the crop's side
_WINDOW_SIDES = (0.35, 1.0)  # as a share of the photograph's shorter side
_WORKING_SIDE = 640  # pixels; larger photographs are shrunk once, so that a crop stays cheap


@dataclass(frozen=True, slots=True)
class Crop:
    """A square crop with its block."""

    image: bytes  # a PNG file, `SIDE_PX` pixels wide and high
    colour: str | None  # of the block, one of `COLOURS`; None if the crop is intact
    xyxy: tuple[float, float, float, float] | None  # the block's exact corners, normalised; None as above
    photograph: int  # index of its photograph


def entries(split: Split, *, seed: int = 0) -> Iterator[Entry]:
    """Draw the crops of one split with their samples; the splits' photographs share no scene.

    Raises:
        ImportError: If a wheel that holds the photographs is not installed.
    """
    paths: list[str] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))[split]
    files = [wheel_file(path).read_bytes() for path in paths]
    photographs = [shrink(decode(raw, name=path), _WORKING_SIDE) for raw, path in zip(files, paths, strict=True)]
    digests = [hashlib.sha256(raw).hexdigest() for raw in files]
    for task, count, intact in zip(("des", "vqa"), COUNTS[split], INTACT, strict=True):
        rng = random.Random(f"{seed}-{split}-{task}")
        for number, crop in enumerate(crops(photographs, n=count, rng=rng, intact=intact)):
            file, digest = paths[crop.photograph], digests[crop.photograph]
            source, license, redistributable = wheel_rights(file)
            distortions = () if crop.colour is None else (Distortion("missing_block", 5),)
            photograph = Photograph(
                crop.image, SIDE_PX, SIDE_PX, digest, source, license, distortions, file, redistributable
            )
            identifier = f"{split}-{task}-{number:05d}"
            sample = _description(identifier, crop) if task == "des" else _question(identifier, crop)
            yield Entry.of(Record(identifier, photograph, sample.answer, TEXT_LICENSE, samples=(sample,)))


def crops(photographs: Sequence[Image.Image], *, n: int, rng: random.Random, intact: float) -> Iterator[Crop]:
    """Draw crops: photograph, window, mirroring, and the block's size, place and colour are uniform.

    `intact` is the share of crops without a block, in [0, 1].
    """
    for _ in range(n):
        index = rng.randrange(len(photographs))
        image = _window(photographs[index], rng)
        colour, xyxy = (None, None) if rng.random() < intact else _break(image, rng)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        yield Crop(buffer.getvalue(), colour, xyxy, index)


def _window(photograph: Image.Image, rng: random.Random) -> Image.Image:
    """Cut a square window, mirrored half of the time, and bring it to `SIDE_PX`."""
    side = rng.uniform(*_WINDOW_SIDES) * min(photograph.size)
    left, top = rng.uniform(0, photograph.width - side), rng.uniform(0, photograph.height - side)
    box_px = (left, top, left + side, top + side)
    image = photograph.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box_px)
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def _break(image: Image.Image, rng: random.Random) -> tuple[str, tuple[float, float, float, float]]:
    """Paint a block on the image, in place, and return its colour's name and its corners."""
    low, high = (round(side * SIDE_PX) for side in _BLOCK_SIDES)
    width, height = rng.randint(low, high), rng.randint(low, high)
    left, top = rng.randint(0, SIDE_PX - width), rng.randint(0, SIDE_PX - height)
    name = rng.choice(list(COLOURS))
    red, green, blue = (min(255, max(0, level + rng.randint(-_JITTER, _JITTER))) for level in COLOURS[name])
    image.paste((red, green, blue), (left, top, left + width, top + height))
    return name, (left / SIDE_PX, top / SIDE_PX, (left + width) / SIDE_PX, (top + height) / SIDE_PX)


def _description(identifier: str, crop: Crop) -> Sample:
    if crop.colour is None:
        return Sample(identifier, "des", "des", DES_QUESTION, "The image is intact.")
    answer = f"A {crop.colour} block covers part of the image."
    regions = locate(answer, [(f"{crop.colour} block", np.array([crop.xyxy]))])
    return Sample(identifier, "des", "des", DES_QUESTION, answer, answer_regions=regions)


def _question(identifier: str, crop: Crop) -> Sample:
    return Sample(identifier, "vqa", "yes_no", VQA_QUESTION, "No." if crop.colour is None else "Yes.")
