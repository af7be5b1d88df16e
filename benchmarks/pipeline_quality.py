"""How good the offline pipeline is: its boxes beside COCO's, and IQA-Filter where the right answer is known."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from coco_folder import Scene
from PIL import Image

from giqa_datasets.batches import seed_of
from giqa_datasets.boxes import Boxes, area, intersection, iou, to_boxes
from giqa_datasets.distortions import distort
from giqa_datasets.images import bake, decode
from giqa_datasets.pipeline.backends.coco_detector import coco_class
from giqa_datasets.pipeline.backends.quality_words import quality_of
from giqa_datasets.pipeline.protocols import Verifier
from giqa_datasets.pipeline.refine import verdicts
from giqa_datasets.records import Photograph, Record, Sample, Tag
from giqa_datasets.regions import locate
from giqa_datasets.sources import mini


NO_BOXES = np.zeros((0, 4))

DESCRIPTIONS = Path(__file__).parent / "data" / "descriptions.jsonl"

MIN_IOU = 0.5  # from which a box is right
CROWD_SHARE = 0.5  # of a box inside a crowd box, from which it is neither right nor wrong, as in COCO's evaluation
SHARP = ("sharp", "clear", "crisp")  # what the templates say of an object
RASTER = 200  # points a side on which areas are compared

MIN_SIDE_PX = 48  # of a box that is distorted, or compared with one
SEVERITIES = (0, 2, 4)  # 0 is the photograph as it is
DAMAGE = {"gaussian_blur": "blurred", "gaussian_noise": "noisy", "darken": "dark", "overexpose": "overexposed"}
PLACES = 100  # tried for a box that does not meet the distorted one


class Sums(NamedTuple):
    """What a photograph adds to the scores."""

    right: float  # boxes
    boxes: float
    references: float
    area: float  # sum of the IoU of the areas
    names: float  # that the description and the reference have in common


class Verdicts(NamedTuple):
    """How often IQA-Filter was right."""

    kept: int
    to_keep: int
    refused: int
    to_refuse: int


class Trial(NamedTuple):
    """Boxes of one kind in a photograph; the first is to be distorted and meets none of the others."""

    scene: Scene
    name: str
    boxes: Boxes


def describe(scene: Scene, *, seed: int = 0) -> Record:
    """Describe a photograph: a caption, if it has any, then a sentence for every kind of object that has a box."""
    rng = np.random.default_rng(seed_of(scene.id, seed))
    caption = [rng.choice(scene.captions).strip().rstrip(".") + "."] if scene.captions else []
    templates = [f"The {name} is {rng.choice(SHARP)}." for name in sorted(scene.boxes)]
    return Record(scene.id, scene.photograph, " ".join([*caption, *templates]), "unknown")


def named(description: str) -> set[str]:
    """The categories that a text names, as the detector reads names.

    Example:
        >>> sorted(named("Two men. The wine glass is sharp."))
        ['person', 'wine glass']
    """
    heads = (description[: word.end()] for word in re.finditer(r"\w+", description))
    return {name for head in heads if (name := coco_class(head)) is not None}


def described(folder: Path) -> dict[str, list[Record]]:
    """Read the sixty descriptions with their boxes and the photographs, by half: `build` and `measure`.

    Raises:
        FileNotFoundError: If the folder lacks one of the photographs.
    """
    files = {path.name: path for path in folder.rglob("*.jpg")}
    halves: dict[str, list[Record]] = {}
    for line in DESCRIPTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, text = row["file"], row["description"]
        if name not in files:
            raise FileNotFoundError(f"photograph {name!r} is not in {folder}")
        raw = files[name].read_bytes()
        photograph = Photograph(*bake(raw, name=name), hashlib.sha256(raw).hexdigest(), "described", "unknown")
        boxed = locate(text, [(region["phrase"], to_boxes(region["boxes"])) for region in row["regions"]])
        sample = Sample(name, "des", "des", mini.QUESTION, text, answer_regions=boxed)
        halves.setdefault(row["half"], []).append(Record(name, photograph, text, "unknown", samples=(sample,)))
    return halves


def judged(record: Record, reference: Record) -> tuple[int, int, int]:
    """How many boxes are right, how many stand at words that a person boxed, and how many there are.

    A box is right if it has IoU >= 0.5 with one of these words' boxes that no other box has.
    """
    right = with_reference = 0
    for tag in record.tags:
        for region in reference.samples[0].answer_regions:
            if tag.span[0] < region.span[1] and region.span[0] < tag.span[1]:
                right += int(matched(tag.boxes, region.boxes).sum())
                with_reference += len(tag.boxes)
                break
    return right, with_reference, sum(len(tag.boxes) for tag in record.tags)


def matched(found: Boxes, references: Boxes) -> np.ndarray:
    """Which boxes are right, shape (N,): matched one to one with the references, greedily by falling IoU."""
    overlaps = iou(found, references)
    right, taken = np.zeros(len(found), dtype=bool), np.zeros(len(references), dtype=bool)
    for flat in np.argsort(-overlaps, axis=None, kind="stable"):
        i, j = divmod(flat, len(references))
        if overlaps[i, j] >= MIN_IOU and not right[i] and not taken[j]:
            right[i] = taken[j] = True
    return right


def grounded(record: Record) -> dict[str, Boxes]:
    """Boxes by category; one that two phrases share counts once."""
    names = {name for tag in record.tags if (name := coco_class(tag.phrase)) is not None}
    return {
        name: np.unique(np.concatenate([tag.boxes for tag in record.tags if coco_class(tag.phrase) == name]), axis=0)
        for name in names
    }


def score(record: Record, scene: Scene) -> Sums:
    """Compare a record's boxes with those of the categories that its description names.

    Crowd boxes are neither found nor missed, and a box inside one is neither right nor wrong.
    """
    found = grounded(record)
    names = named(record.description) | set(found)
    rows = []
    for name in sorted(names):
        boxes, references = found.get(name, NO_BOXES), scene.boxes.get(name, NO_BOXES)
        right = matched(boxes, references)
        inside = intersection(boxes, scene.crowds.get(name, NO_BOXES)) >= CROWD_SHARE * area(boxes)[:, None]
        counted = right | ~inside.any(axis=1)
        rows.append((right.sum(), counted.sum(), len(references), area_iou(boxes, references), len(references) > 0))
    return Sums(*np.sum(rows, axis=0, dtype=np.float64).tolist()) if rows else Sums(0, 0, 0, 0, 0)


def area_iou(a: Boxes, b: Boxes) -> float:
    """IoU of the areas that two sets of boxes cover together, whoever's box is whose; 0 where both are empty."""
    masks = np.zeros((2, RASTER, RASTER), dtype=bool)
    for mask, boxes in zip(masks, (a, b), strict=True):
        for x1, y1, x2, y2 in np.rint(boxes * RASTER).astype(int):
            mask[y1:y2, x1:x2] = True
    return float(masks.all(axis=0).sum() / max(masks.any(axis=0).sum(), 1))


def scores(sums: Sequence[float]) -> dict[str, float | None]:
    """Precision, recall, F1 and area IoU of the sums over photographs; None where nothing is to be divided by."""
    right, boxes, references, areas, names = map(float, sums)
    return {
        "precision": right / boxes if boxes else None,
        "recall": right / references if references else None,
        "f1": 2 * right / (boxes + references) if boxes + references else None,
        "area_iou": areas / names if names else None,
    }


class Agreeable:
    """Verifies whatever it is asked: refinement without its filter."""

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> list[bool]:
        """Say yes."""
        return [True] * len(crops)


NO_MERGE = {"merge_area": 0.0, "merge_coverage": inf}


def variants(verifier: Verifier) -> dict[str, tuple[Verifier, dict[str, Any]]]:
    """Refinement with and without its halves: what `refine` is given."""
    return {
        "raw": (Agreeable(), NO_MERGE),
        "filter": (verifier, NO_MERGE),
        "merge": (Agreeable(), {}),
        "filter and merge": (verifier, {}),
    }


def trials_of_one_kind(scenes: Sequence[Scene], *, seed: int = 0) -> Iterator[Trial]:
    """Yield the kinds of object with a large box that meets not all the others; which is distorted is drawn."""
    for scene in scenes:
        rng = np.random.default_rng(seed_of(scene.id, seed))
        for name in sorted(scene.boxes):
            boxes = _large(scene, scene.boxes[name])
            for first in boxes[rng.permutation(len(boxes))]:
                others = boxes[intersection(first[None], boxes)[0] == 0]
                if len(others):
                    yield Trial(scene, name, np.concatenate([first[None], others]))
                    break


def trials_elsewhere(scenes: Sequence[Scene], *, seed: int = 0) -> Iterator[Trial]:
    """Yield every name's largest box, and one of its size in another place of the photograph, drawn."""
    for scene in scenes:
        rng = np.random.default_rng(seed_of(scene.id, seed))
        for name in sorted(scene.boxes):
            boxes = _large(scene, scene.boxes[name])
            for largest in boxes[np.argsort(-area(boxes))[:1]]:
                wh = largest[2:] - largest[:2]
                corners = rng.random((PLACES, 2)) * (1 - wh)
                places = _large(scene, np.concatenate([corners, corners + wh], axis=1))
                apart = places[intersection(largest[None], places)[0] == 0]
                if len(apart):
                    yield Trial(scene, name, np.stack([largest, apart[0]]))


def _large(scene: Scene, boxes: Boxes) -> Boxes:
    """Boxes of at least 48 pixels a side, put on whole pixels: what is distorted is then what the filter crops.

    They end a quarter of a pixel inside, where the distortion rounds and the filter widens to the same pixels.
    """
    size = np.array([scene.photograph.width, scene.photograph.height] * 2)
    box_px = np.rint(boxes * size)
    kept = box_px[(box_px[:, 2:] - box_px[:, :2] >= MIN_SIDE_PX).all(axis=1)]
    return (kept + np.array([0.25, 0.25, -0.25, -0.25])) / size


def mini_scenes() -> list[Scene]:
    """The mini set's undistorted photographs with their hand-made boxes."""
    return [
        Scene(
            record.id,
            record.photograph,
            {region.phrase: region.boxes for region in record.samples[0].answer_regions},
            crowds={},
            captions=[],
        )
        for split in ("train", "test")
        for record in (entry.load() for entry in mini.hand_made(split))
        if not record.photograph.distortions
    ]


def filter_verdicts(
    trials: Sequence[Trial], verifier: Verifier, *, seed: int = 0
) -> dict[tuple[str, int, str], Verdicts]:
    """How often IQA-Filter keeps and refuses what it should, by distortion, severity and what the tag says.

    A tag that names the damage is true of the distorted box, one that says the opposite is true of the others.
    """
    counts: dict[tuple[str, int, str], np.ndarray] = {}
    for scene, name, boxes in trials:
        image = decode(scene.photograph.image, name=scene.id)
        for distortion, word in DAMAGE.items():
            for severity in SEVERITIES:
                damaged = _damaged(image, distortion, severity, boxes[0], seed_of(scene.id, seed))
                for quality in (word, quality_of(word).opposite):
                    tag = Tag(name, (0, len(name)), quality, "none", boxes)
                    kept = np.array([verdict is True for verdict in verdicts(damaged, tag, verifier)])
                    right = (np.arange(len(boxes)) == 0) == (quality == word)
                    row = np.array([(kept & right).sum(), right.sum(), (~kept & ~right).sum(), (~right).sum()])
                    counts[distortion, severity, quality] = counts.get((distortion, severity, quality), 0) + row
    return {key: Verdicts(*row.tolist()) for key, row in counts.items()}


def _damaged(image: Image.Image, distortion: str, severity: int, box: Boxes, seed: int) -> Image.Image:
    """Distort one box; severity 0 leaves it as it is."""
    return distort(image, distortion, severity=severity, xyxy=tuple(box), seed=seed) if severity else image
