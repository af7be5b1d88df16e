"""The mini set: real photographs out of installed wheels, described and boxed by hand.

Text and boxes (`mini.json`) are ours and ship with the package. Pixels are read from the wheels of mvtb-data,
scikit-image and scikit-learn; some photographs get one seeded local distortion in a known box. The `test` photographs
share no scene with the `train`
ones.
"""

import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from giqa_datasets.boxes import to_boxes
from giqa_datasets.distortions import distort
from giqa_datasets.images import Encoded, bake, decode, encode, shrink
from giqa_datasets.records import Distortion, Photograph, Record, Sample
from giqa_datasets.text import Region, locate


Split = Literal["train", "test"]

MAX_SIDE = 1024  # pixels; a few of the photographs are 8 megapixels large
TEXT_LICENSE = "apache-2.0"
QUESTION = "Describe the quality of this image in detail. Note positions as [label](<x, y>)."

# Per wheel, by the folder it installs: the source's name, and the licence that the wheel states for its photographs.
_WHEELS = {
    "mvtbdata": ("mvtb-data", "mit"),
    "skimage": ("scikit-image", "cc0-1.0"),
    "sklearn": ("scikit-learn", "cc-by-2.0"),
}


def read(split: Split) -> Iterator[Record]:
    """Yield the photographs with their plain descriptions, for the pipeline to ground.

    Raises:
        ImportError: If a wheel that holds the photographs is not installed.
    """
    for entry in _entries(split):
        yield Record(entry["id"], _photograph(entry), entry["description"], TEXT_LICENSE)


def read_hand_made(split: Split) -> Iterator[Record]:
    """Yield the photographs with the descriptions, questions and boxes that were made by looking at them.

    Raises:
        ImportError: If a wheel that holds the photographs is not installed.
    """
    for entry in _entries(split):
        samples = [
            Sample(
                id=f"{entry['id']}-des",
                task="des",
                question_type="des",
                question=QUESTION,
                answer=entry["description"],
                answer_regions=_regions(entry["description"], entry["regions"]),
            )
        ]
        for number, asked in enumerate(entry["questions"], start=1):
            by_role = {
                role: [region for region in asked["regions"] if region["role"] == role]
                for role in ("question", "answer")
            }
            samples.append(
                Sample(
                    id=f"{entry['id']}-vqa-{number}",
                    task="vqa",
                    question_type=asked["type"],
                    question=asked["question"],
                    answer=asked["answer"],
                    question_regions=_regions(asked["question"], by_role["question"]),
                    answer_regions=_regions(asked["answer"], by_role["answer"]),
                )
            )
        yield Record(entry["id"], _photograph(entry), entry["description"], TEXT_LICENSE, samples=tuple(samples))


def wheel_file(path: str) -> Path:
    """Find a photograph inside an installed wheel, without importing the package.

    Args:
        path: Relative to site-packages: `skimage/data/coffee.png`.

    Raises:
        ImportError: If the wheel is not installed.
    """
    folder, inside = path.split("/", 1)
    spec = find_spec(folder)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f'photograph {path!r} needs the package {_WHEELS[folder][0]}: pip install "giqa[demo]"')
    return Path(spec.submodule_search_locations[0]) / inside


def wheel_rights(path: str) -> tuple[str, str]:
    """The source's name and the licence of its photographs."""
    return _WHEELS[path.split("/", 1)[0]]


def _entries(split: Split) -> list[dict[str, Any]]:
    """Read the hand-made annotations of one split."""
    entries = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["split"] == split]


def _regions(text: str, entries: list[dict[str, Any]]) -> tuple[Region, ...]:
    """Find each entry's phrase in the text."""
    return locate(text, [(entry["phrase"], to_boxes(entry["boxes"])) for entry in entries])


def _photograph(entry: dict[str, Any]) -> Photograph:
    """Read the pixels and apply the entry's distortion."""
    raw = wheel_file(entry["file"]).read_bytes()
    source, licence = wheel_rights(entry["file"])
    distortion = entry["distortion"]
    encoded: Encoded
    if distortion is None:
        encoded = bake(raw, name=entry["file"], max_side=MAX_SIDE)
    else:
        image = shrink(decode(raw, name=entry["file"]), MAX_SIDE)
        encoded = encode(
            distort(image, distortion["name"], severity=distortion["severity"], xyxy=tuple(distortion["box"]))
        )
    return Photograph(
        *encoded,
        sha256=hashlib.sha256(raw).hexdigest(),
        source=source,
        license=licence,
        distortions=() if distortion is None else (Distortion(distortion["name"], distortion["severity"]),),
    )
