"""giqa_defects: which defects a model names, where, and how bad it says they are. Texts to statistics to scores."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from giqa_datasets.defect_classes import DEFECT_CLASSES
from giqa_datasets.errors import InputError
from giqa_datasets.reply import VERSION
from giqa_metrics.defects import vida
from giqa_metrics.defects.answers import read_boxes, samples_from
from giqa_metrics.defects.scores import DefectStats, aggregate, joined
from giqa_metrics.defects.tally import IOU_THRESHOLD, KEY_IOU, tally
from giqa_metrics.signature import signature


CHUNK = 4000  # samples counted at once
RULES = "v1"  # of what the scores count
Preset = Literal["giqa", "vida"]


def giqa_defects(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    image_sizes: Sequence[Sequence[int]] | None = None,
    input_sizes: Sequence[Sequence[int]] | None = None,
    objects: Sequence[Any] | None = None,
    candidates: Sequence[Sequence[str] | None] | None = None,
    concerns: Sequence[str | None] | None = None,
    images: Sequence[Any] | None = None,
    preset: Preset = "giqa",
    iou_threshold: float = IOU_THRESHOLD,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score answers that name defects and their boxes: `[Moderate low clarity](<0, 254>)`.

    A phrase is a severity, if any, and a class, in any spelling of `giqa_datasets/defect_classes.json`. An answer may
    also state the image's level in its last line (`the quality of the image is fair`), with its key defects in the
    first sentence of the line before; or choose one of several options.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text; for a multiple-choice question the right option's letter or words. None holds nothing.
        box_format: How the predictions write boxes; declared, never guessed.
        image_sizes: (width, height) of each original image, for formats that need them and for `objects`.
        input_sizes: (width, height) of each resized image that the model saw, for formats that count in its pixels.
        objects: Rows of the data set's column `objects`, instead of the references' boxes: a dict of lists or a list
            of dicts with `bbox` (x, y, width, height in pixels) and `category`, and perhaps `category_raw`,
            `severity` and `significance`; None for a sample without.
        candidates: The options of each multiple-choice question; None for a sample that is none.
        concerns: What each multiple-choice question is about.
        images: The image of each sample, for `vida`; without them each sample has its own.
        preset: `giqa`, or `vida`, the ViDA challenge's own average precision; see `giqa_metrics.defects.vida`.
        iou_threshold: From which IoU two boxes meet, in (0, 1].
        per_sample: Add the key `per_sample`: of each sample its `DefectStats`, the objects `predicted` and
            `reference`, the places of those that are `right`, and the `pairs` that meet whatever their class.

    Returns:
        ap50, box_precision, box_recall, box_f1, box_iou, class_accuracy, severity_accuracy, key_accuracy, key_recall,
        level_accuracy, choice_accuracy (0-1 or None), the counts of `DefectStats`, classes and concerns (a dict of
        scores and counts for each) and signature; with `vida` ap50_low and ap50_high too, ap50's bounds in any order.

    Raises:
        ValueError: If there is no sample, lengths differ, the format or the preset is unknown, sizes are missing, an
            object has no class or no box, or a reference is none of its candidates.

    Example:
        >>> scores = giqa_defects(["[Minor noise](<0, 254>) and [haze](<0, 21>)"], ["[severe noise](<0, 254>)"])
        >>> scores["ap50"], scores["classes"]["noise"]["ap50"], scores["class_accuracy"], scores["severity_accuracy"]
        (0.5, 1.0, 1.0, 0.0)
    """
    if preset not in ("giqa", "vida"):
        raise InputError(f"expected a preset out of ['giqa', 'vida'], got {preset!r}")
    if not 0 < iou_threshold <= 1:
        raise InputError(f"expected iou_threshold in (0, 1], got {iou_threshold!r}")
    samples = samples_from(
        predictions,
        references,
        box_format=box_format,
        image_sizes=image_sizes,
        input_sizes=input_sizes,
        objects=objects,
        candidates=candidates,
        concerns=concerns,
        images=images,
    )
    is_vida = preset == "vida"
    count = partial(tally, is_vida=is_vida, iou_threshold=iou_threshold, per_sample=per_sample)
    if is_vida:
        counted = count(samples, vida.read_boxes(samples))
    else:
        counted = joined([count(part, read_boxes(part)) for part in samples.parts(CHUNK)])
    result = aggregate(counted, counted.sums())
    if counted.ap50 is not None:
        result["ap50"] = counted.ap50
    result["signature"] = signature_of(
        box_format=box_format,
        references="text" if objects is None else "objects",
        preset=preset,
        iou_threshold=iou_threshold,
    )
    if per_sample:
        numbers = DefectStats.dicts(counted.numbers)
        result["per_sample"] = [its | line for its, line in zip(numbers, counted.lines, strict=True)]
    return result


def signature_of(
    *, box_format: str, references: str, preset: Preset = "giqa", iou_threshold: float = IOU_THRESHOLD
) -> str:
    """Name everything that can move the scores; `references` is `text`, `objects`, or `exact` for regions."""
    is_vida = preset == "vida"
    return signature(
        "giqa_defects",
        rules=RULES,
        reply=VERSION,
        format=box_format,
        references=references,
        classes="as-written" if is_vida else len(DEFECT_CLASSES),
        ap="file-order" if is_vida else "one-point",
        match="largest-total",
        iou=f">={iou_threshold}",
        keys=f">{KEY_IOU}",
        **({"preset": "vida", "boxes": "of-an-image"} if is_vida else {}),
    )
