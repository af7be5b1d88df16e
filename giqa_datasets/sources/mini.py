"""The mini set: real photographs out of installed wheels, described and boxed by hand.

Text and boxes (`mini.json`) are ours and ship with the package. Pixels are read from the wheels of mvtb-data,
scikit-image and scikit-learn; some photographs get one seeded local distortion in a known box. The `test` photographs
share no scene with the `train` ones.
"""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from giqa_datasets.boxes import to_boxes
from giqa_datasets.distortions import distort
from giqa_datasets.entries import Entry, ImageSet
from giqa_datasets.extras import package_folder
from giqa_datasets.images import bake, decode, encode, shrink
from giqa_datasets.records import Distortion, Photograph, Sample
from giqa_datasets.regions import ROLES, Region, locate


Split = Literal["train", "test"]

MAX_SIDE = 1024  # pixels; a few of the photographs are 8 megapixels large
TEXT_LICENSE = "apache-2.0"
QUESTION = "Describe the quality of this image in detail. Note positions as [label](<x, y>)."

# By the folder that a wheel installs: the licence under which it passes its photographs on
_WHEELS = {
    "mvtbdata": ImageSet("mvtb-data", "mit", True),
    "skimage": ImageSet("scikit-image", "cc0-1.0", True),
    "sklearn": ImageSet("scikit-learn", "cc-by-2.0", True),
}


def entries(split: Split) -> list[Entry]:
    """List the photographs with their plain descriptions, for the pipeline to ground.

    Loading one raises ImportError if the wheel that holds its photograph is not installed.
    """
    return [replace(entry, samples=()) for entry in hand_made(split)]


def hand_made(split: Split) -> list[Entry]:
    """List the photographs with hand-made descriptions, questions and boxes.

    Loading one raises ImportError if the wheel that holds its photograph is not installed.
    """
    made = []
    for number, entry in enumerate(_annotations(split), start=1):
        name, description = entry["id"], entry["description"]
        boxed = _regions(description, entry["regions"])
        samples = [Sample(f"{name}-des", "des", "des", QUESTION, description, answer_regions=boxed)]
        for number, asked in enumerate(entry["questions"], start=1):
            regions = (
                _regions(asked[role], [region for region in asked["regions"] if region["role"] == role])
                for role in ROLES
            )
            texts = (asked["type"], asked["question"], asked["answer"])
            samples.append(Sample(f"{name}-vqa-{number}", "vqa", *texts, *regions))
        photograph = partial(_photograph, entry["file"], entry["distortion"])
        where = f"mini.json {split} {number}"
        made.append(Entry(name, where, entry["file"], description, TEXT_LICENSE, photograph, tuple(samples)))
    return made


def wheel_file(path: str) -> Path:
    """Find a photograph, such as `skimage/data/coffee.png`, in an installed wheel, without importing the package.

    Raises:
        ImportError: If the wheel is not installed.
    """
    folder, inside = path.split("/", 1)
    return package_folder(folder, f"photograph {path!r} needs the package {_WHEELS[folder].source}") / inside


def wheel_rights(path: str) -> ImageSet:
    """Return the source's name and the licence of its photographs."""
    return _WHEELS[path.split("/", 1)[0]]


def _annotations(split: Split) -> list[dict[str, Any]]:
    entries = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["split"] == split]


def _regions(text: str, entries: list[dict[str, Any]]) -> tuple[Region, ...]:
    return locate(text, [(entry["phrase"], to_boxes(entry["boxes"])) for entry in entries])


def _photograph(file: str, distortion: dict[str, Any] | None) -> Photograph:
    raw = wheel_file(file).read_bytes()
    source, license, redistributable = wheel_rights(file)
    distortions: tuple[Distortion, ...] = ()
    encoded = bake(raw, name=file, max_side=MAX_SIDE)
    if distortion is not None:
        name, severity, xyxy = distortion["name"], distortion["severity"], tuple(distortion["box"])
        image = shrink(decode(raw, name=file), MAX_SIDE)
        encoded = encode(distort(image, name, severity=severity, xyxy=xyxy))._replace(changes=encoded.changes)
        distortions = (Distortion(name, severity),)
    sha256 = hashlib.sha256(raw).hexdigest()
    return Photograph(*encoded[:3], sha256, source, license, distortions, file, redistributable, encoded.changes)
