"""The ViDA challenge's own reading and average precision, quirks and all.

No box has a confidence, so its curve follows the order of the file: all boxes of the image that first has one, then of
the next. Its number changes when lines change places. Its other quirks: answers about regions count as answers about
the whole image; a block has one name; classes compare as they are written, in descriptions in lower case; a prediction
whose best reference box is taken is wrong even if another is free; a box without area counts as a wrong one.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from giqa_datasets.boxes import Flags, Ints, paired_iou
from giqa_datasets.defect_classes import class_and_severity
from giqa_datasets.errors import InputError
from giqa_datasets.regions import Box
from giqa_datasets.text import parse
from giqa_datasets.text_scan import Scan, scan_replies
from giqa_metrics.defects.answers import NamedBoxes, Samples, key_part, laid_out, name_of
from giqa_metrics.defects.objects import key_objects
from giqa_metrics.matching import DIGITS, Objects, couples


PER_MILLE = 1000
_NAME = r"<\|object_ref_start\|>([^<]*)<\|object_ref_end\|>"
_BOX = r"<\|box_start\|>\((\d{1,6}),(\d{1,6})\),\((\d{1,6}),(\d{1,6})\)<\|box_end\|>"
_EACH_BOX = re.compile(_BOX)
_BLOCK = re.compile(rf"^([A-Za-z0-9 -]+):\s*{_NAME}((?:{_BOX})+)", re.MULTILINE)
_PHRASE = re.compile(_NAME + _BOX)
_COUNTED = re.compile(rf"There (?:is|are) (?:one|two|three|\d+)\s*{_PHRASE.pattern}")

Named = tuple[str, Box]  # severity and class as `name_of` joins them, and a box that may have no area


def read_blocks(answer: str) -> list[Named]:
    r"""Read an answer about an image or a region: a block for each class, `Low clarity:` and one name with its boxes.

    Example:
        >>> end = "<|object_ref_end|><|box_start|>(0,0),(500,250)<|box_end|>.<|im_end|>"
        >>> read_blocks(f"Low clarity:\n<|object_ref_start|>Moderate low clarity{end}")
        [('moderate\x00Low clarity', (0.0, 0.0, 0.5, 0.25))]
    """
    return [
        (name_of(block[1].strip(), class_and_severity(block[2])[1]), _box(numbers))
        for block in _BLOCK.finditer(answer)
        for numbers in _EACH_BOX.findall(block[3])
    ]


def read_description(text: str) -> list[Named]:
    """Read a description: names with one box each, first those of `There is one ...`, every one once.

    A name's first word is its severity, whatever it is, the others are its class, in lower case.
    """
    found = [match.groups() for pattern in (_COUNTED, _PHRASE) for match in pattern.finditer(text)]
    split = [(*phrase.strip().partition(" ")[::2], _box(numbers)) for phrase, *numbers in found]
    return list(
        dict.fromkeys((name_of(_lower(rest), class_and_severity(first)[1]), box) for first, rest, box in split)
    )


def read_keys(text: str) -> list[Named]:
    """Read the key defects of a description: those before the first full stop of the last line but one."""
    lines = text.strip().split("\n")
    return read_description(lines[-2].split(".")[0]) if len(lines) > 1 else []


def read_boxes(samples: Samples) -> NamedBoxes:
    """Read samples as the challenge's scorer does: all boxes of an image together, in the order described above.

    Raises:
        ValueError: If there are descriptions and other answers, or the answers are declared to be in another format.
    """
    count, is_description = len(samples.replies), bool(samples.described)
    if samples.box_format != "qwen2_vl":
        raise InputError(f"preset 'vida' reads box_format 'qwen2_vl', got {samples.box_format!r}")
    known = [at for at in range(count) if samples.references[at] or (samples.objects and samples.objects[at])]
    if is_description and known != samples.described:
        raise InputError("preset 'vida' scores descriptions alone or other answers alone, got both")
    said = [(read_description if is_description else read_blocks)(answer.text) for answer in samples.answers]
    boxed = [image for image, its in zip(samples.images, said, strict=True) if its]
    units = {image: unit for unit, image in enumerate(dict.fromkeys([*boxed, *samples.images]))}
    first = {image: count - 1 - at for at, image in enumerate(reversed(samples.images))}

    def pooled(texts: Iterable[Sequence[Named]]) -> Scan:
        of_unit: list[list[Named]] = [[] for _ in units]
        for image, its in zip(samples.images, texts, strict=True):
            of_unit[units[image]] += its
        return laid_out(of_unit)

    true = [_truth(samples, at) for at in range(count)]
    keys = [_truth(samples, at, keys=True) if is_description else [] for at in range(count)]
    return NamedBoxes(
        pooled(said),
        pooled(true),
        pooled(read_keys(answer.text) if is_description else [] for answer in samples.answers),
        pooled(keys),
        np.array([first[image] for image in units]),
        scan_replies(samples.replies, samples.box_format).malformed,
    )


def _truth(samples: Samples, at: int, *, keys: bool = False) -> list[Named]:
    """A sample's reference boxes, or the key defects among them, their classes as they are written."""
    if samples.objects is not None:
        objects = key_objects(samples.objects[at]) if keys else samples.objects[at]
        rows = [(it.category_raw, it.severity, it.box) for it in objects]
    else:
        found = parse(key_part(samples.references[at]) if keys else samples.references[at])
        rows = [(*_split(region.phrase), tuple(box)) for region in found.regions for box in region.boxes.tolist()]
    normalised = _lower if samples.described else str
    return [(name_of(normalised(category), severity), box) for category, severity, box in rows]


def _split(phrase: str) -> tuple[str, str]:
    """Class as it is written, and severity, of a reference's phrase."""
    severity = class_and_severity(phrase)[1]
    return (phrase.strip().partition(" ")[2] if severity else phrase), severity


def _lower(category: str) -> str:
    return category.lower().replace("_", " ").strip()


def _box(numbers: Sequence[str]) -> Box:
    x1, y1, x2, y2 = (int(number) / PER_MILLE for number in numbers)
    return x1, y1, x2, y2


def hits(predicted: Objects, reference: Objects, threshold: float) -> Ints:
    """Find the predicted boxes that are right.

    One after the other claims the box of its class and image with which its IoU is highest, of equal ones the first.
    It is right if that IoU reaches the threshold and nothing right has claimed the box before.

    Args:
        predicted: By image and, within one, in the order of the file; `name` is a number for each class.
        reference: The same images.
        threshold: Of the IoU.

    Returns:
        Their indices, rising.
    """
    n_images = int(max(predicted.sample.max(initial=-1), reference.sample.max(initial=-1))) + 1
    p, r = couples(predicted.sample, reference.sample, n_images)
    is_same = predicted.name[p] == reference.name[r]
    p, r = p[is_same], r[is_same]
    iou = paired_iou(predicted.boxes[p], reference.boxes[r]).round(DIGITS)
    best = np.lexsort((r, -iou, p))
    best = best[np.diff(p[best], prepend=-1) != 0]
    best = best[iou[best] >= threshold]
    _, first = np.unique(r[best], return_index=True)
    return np.sort(p[best[first]])


def mean_average_precision(predicted: Objects, reference: Objects, right: Ints) -> float:
    """The mean over the classes of either side; 0 where one side has no box. `right` is what `hits` found."""
    is_right = np.zeros(len(predicted.name), np.bool_)
    is_right[right] = True
    each = [
        average_precision(is_right[predicted.name == category], int((reference.name == category).sum()))
        for category in np.union1d(predicted.name, reference.name).tolist()
    ]
    return float(np.mean(each)) if each else 0.0


def average_precision(is_right: Flags, n_reference: int) -> float:
    """Area under precision over recall at all points (VOC 2010), of predictions in their order; 0 without reference.

    Example:
        >>> average_precision(np.array([True, False]), 1), average_precision(np.array([False, True]), 1)
        (1.0, 0.5)
    """
    precision = np.cumsum(is_right) / np.arange(1, len(is_right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[is_right].sum() / n_reference) if n_reference else 0.0
