"""giqa_grounding: mIoU, Tag-Recall and what spurious boxes cost (protocol section 7). Text to statistics to scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Boxes, iou, to_boxes
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.grid import SIDE, boxes_to_cells
from giqa_datasets.text import GroundedText, Region, parse
from giqa_metrics.inputs import require_samples
from giqa_metrics.signature import signature
from giqa_metrics.similarity import Compare, Matrix, similarity_named


DIGITS = 9  # IoU and similarity are rounded to it, so that a threshold or a tie does not hang on the last bit


@dataclass(frozen=True, slots=True)
class GroundingStats:
    """Sums over samples: the statistics of a concatenation are the sum of the statistics.

    Attributes:
        n_samples: Pairs of prediction and reference.
        n_counted: Samples whose reference holds an object; the means are over these.
        n_predicted: Predicted objects.
        n_reference: Reference objects.
        n_malformed: Malformed boxes in the predictions.
        n_recalled: Reference objects matched under Tag-Recall's two thresholds.
        miou: Sum of the samples' mIoU.
        miou_strict: Sum of the samples' strict mIoU.
        tag_recall: Sum of the samples' Tag-Recall.
    """

    n_samples: int = 0
    n_counted: int = 0
    n_predicted: int = 0
    n_reference: int = 0
    n_malformed: int = 0
    n_recalled: int = 0
    miou: float = 0.0
    miou_strict: float = 0.0
    tag_recall: float = 0.0

    def __add__(self, other: "GroundingStats") -> "GroundingStats":
        """Add sums."""
        return GroundingStats(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


class Objects(NamedTuple):
    """The distinct objects of one text, one box with one name each, in an order that does not depend on the text's.

    Attributes:
        names: N names.
        boxes: Shape (N, 4), normalised xyxy.
    """

    names: list[str]
    boxes: Boxes


class Match(NamedTuple):
    """A predicted object and the reference object it was matched to, by their places in `Objects`."""

    predicted: int
    reference: int


def objects(regions: Sequence[Region]) -> Objects:
    """List the distinct objects of a text: the same name with the same box counts once."""
    distinct = {(region.phrase.strip(), tuple(box)) for region in regions for box in region.boxes.tolist()}
    if not distinct:
        return Objects([], np.zeros((0, 4)))
    names = [name for name, _ in distinct]
    boxes = np.array([box for _, box in distinct])
    # The order of ties: smaller cell pair first, then exact corners, then name
    cells = boxes_to_cells(boxes)
    order = sorted(range(len(names)), key=lambda k: (*cells[k].tolist(), *boxes[k].tolist(), names[k]))
    return Objects([names[k] for k in order], boxes[order])


def match(overlap: Matrix, likeness: Matrix, allowed: npt.NDArray[np.bool_]) -> list[Match]:
    """Match one to one, greedily by falling IoU.

    Ties go to the higher likeness, then to the first reference, then to the first prediction.

    Args:
        overlap: IoU, shape (P, R).
        likeness: Similarity of the names, shape (P, R).
        allowed: Pairs that may match, shape (P, R).
    """
    predicted, reference = np.nonzero(allowed)
    order = np.lexsort((predicted, reference, -likeness[predicted, reference], -overlap[predicted, reference]))
    taken_predicted: set[int] = set()
    taken_reference: set[int] = set()
    matches = []
    for p, r in zip(predicted[order].tolist(), reference[order].tolist(), strict=True):
        if p not in taken_predicted and r not in taken_reference:
            taken_predicted.add(p)
            taken_reference.add(r)
            matches.append(Match(p, r))
    return matches


def sample(
    predicted: Objects,
    reference: Objects,
    likeness: Matrix,
    *,
    n_malformed: int = 0,
    iou_threshold: float = 0.5,
    similarity_threshold: float = 0.5,
) -> GroundingStats:
    """Score one sample.

    Args:
        predicted: P objects.
        reference: R objects.
        likeness: Similarity of their names, shape (P, R).
        n_malformed: Malformed boxes of the prediction.
        iou_threshold: Tag-Recall counts pairs strictly above it.
        similarity_threshold: Tag-Recall counts pairs strictly above it.
    """
    n_predicted, n_reference = len(predicted.names), len(reference.names)
    base = GroundingStats(n_samples=1, n_predicted=n_predicted, n_malformed=n_malformed)
    if n_reference == 0:
        return base
    exact = iou(predicted.boxes, reference.boxes)
    overlap, likeness = exact.round(DIGITS), likeness.round(DIGITS)
    matched = [float(exact[pair]) for pair in match(overlap, likeness, overlap > 0)]
    recalled = len(match(overlap, likeness, (overlap > iou_threshold) & (likeness > similarity_threshold)))
    return base + GroundingStats(
        n_counted=1,
        n_reference=n_reference,
        n_recalled=recalled,
        miou=sum(matched) / len(matched) if matched else 0.0,
        miou_strict=sum(matched) / n_reference,
        tag_recall=recalled / n_reference,
    )


def aggregate(stats: GroundingStats) -> dict[str, Any]:
    """Turn sums into scores, all in [0, 1]; a score that does not exist is None.

    Without a box in any prediction, well-formed or malformed, there is nothing to score (the paper's N/A).
    """
    if stats.n_predicted + stats.n_malformed == 0:
        scores: dict[str, float | None] = dict.fromkeys(
            ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
        )
    else:
        recall = _ratio(stats.n_recalled, stats.n_reference)
        precision = stats.n_recalled / stats.n_predicted if stats.n_predicted else 0.0
        scores = {
            "miou": _ratio(stats.miou, stats.n_counted),
            "miou_strict": _ratio(stats.miou_strict, stats.n_counted),
            "tag_recall": _ratio(stats.tag_recall, stats.n_counted),
            "tag_recall_micro": recall,
            "precision": precision,
            "f1": None if recall is None else 2 * precision * recall / ((precision + recall) or 1.0),
        }
    counts = {
        name: getattr(stats, name) for name in ("n_samples", "n_counted", "n_predicted", "n_reference", "n_malformed")
    }
    return {**scores, **counts}


def giqa_grounding(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    similarity: str | Compare = "minilm",
    iou_threshold: float = 0.5,
    similarity_threshold: float = 0.5,
    exact_references: Sequence[Sequence[Region | Mapping[str, Any]]] | None = None,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score the boxes of predictions against those of references.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text, cells or decimals, as many.
        box_format: How the predictions write boxes; declared, never guessed.
        similarity: See `similarity_named`.
        iou_threshold: Of Tag-Recall, in [0, 1).
        similarity_threshold: Of Tag-Recall, in [0, 1).
        exact_references: The references' regions before the grid, instead of the text's cells: `Region`s, or rows of
            the data set's column `regions`, of which those in the answer count.
        per_sample: Add the key `per_sample`, a list of dicts in input order.

    Returns:
        miou, miou_strict, tag_recall, tag_recall_micro, precision, f1 (0-1 or None), n_samples, n_counted,
        n_predicted, n_reference, n_malformed and signature.

    Raises:
        ValueError: If there is no sample, the lengths differ, or the format is unknown.

    Example:
        >>> scores = giqa_grounding(["[tower](<14, 319>)"], ["[tower](<35, 319>)"], similarity="exact")
        >>> round(scores["miou"], 3), scores["tag_recall"], scores["signature"].split("|")[0]
        (0.747, 1.0, 'giqa_grounding')
    """
    require_samples(predictions=predictions, references=references)
    if exact_references is not None and len(exact_references) != len(references):
        raise ValueError(f"expected {len(references)} exact references, got {len(exact_references)}")
    read = format_named(box_format).read
    name, compare = similarity_named(similarity)
    parsed = [read(text or "") for text in predictions]
    predicted = [objects(text.regions) for text in parsed]
    reference = [objects(parse(text or "").regions) for text in references]
    if exact_references is not None:
        reference = [objects(_answer_regions(regions)) for regions in exact_references]
    likeness = _likeness(predicted, reference, compare)
    stats = [
        sample(
            mine,
            theirs,
            alike,
            n_malformed=len(text.malformed),
            iou_threshold=iou_threshold,
            similarity_threshold=similarity_threshold,
        )
        for mine, theirs, alike, text in zip(predicted, reference, likeness, parsed, strict=True)
    ]
    result = aggregate(sum(stats, GroundingStats())) | {
        "signature": signature(
            "giqa_grounding",
            format=box_format,
            grid=f"{SIDE}x{SIDE}",
            decode="centres",
            references="cells" if exact_references is None else "exact",
            match="greedy",
            iou=f">{iou_threshold}",
            names=f"{name}>{similarity_threshold}",
        )
    }
    if per_sample:
        result["per_sample"] = [_sample_row(*each) for each in zip(stats, predicted, parsed, strict=True)]
    return result


def _answer_regions(regions: Sequence[Region | Mapping[str, Any]]) -> list[Region]:
    """Read a row of the column `regions`; the spans are not kept there, and matching does not need them."""
    return [
        region if isinstance(region, Region) else Region(region["phrase"], (0, 0), to_boxes(region["boxes"]))
        for region in regions
        if isinstance(region, Region) or region["role"] == "answer"
    ]


def _likeness(predicted: Sequence[Objects], reference: Sequence[Objects], compare: Compare) -> list[Matrix]:
    """Similarity of the names of every sample, each distinct name compared once."""
    ours = sorted({name for each in predicted for name in each.names})
    theirs = sorted({name for each in reference for name in each.names})
    matrix = np.asarray(compare(ours, theirs), dtype=np.float64).reshape(len(ours), len(theirs))
    row = {name: index for index, name in enumerate(ours)}
    column = {name: index for index, name in enumerate(theirs)}
    return [
        matrix[np.ix_([row[name] for name in mine.names], [column[name] for name in other.names])]
        for mine, other in zip(predicted, reference, strict=True)
    ]


def _sample_row(stats: GroundingStats, predicted: Objects, text: GroundedText) -> dict[str, Any]:
    """One sample's scores, None where its reference holds no object, and what was parsed."""
    counted = stats.n_counted > 0
    return {
        "miou": stats.miou if counted else None,
        "miou_strict": stats.miou_strict if counted else None,
        "tag_recall": stats.tag_recall if counted else None,
        "n_predicted": stats.n_predicted,
        "n_reference": stats.n_reference,
        "n_recalled": stats.n_recalled,
        "predicted": [
            {"phrase": name, "box": box} for name, box in zip(predicted.names, predicted.boxes.tolist(), strict=True)
        ],
        "malformed": [broken.kind for broken in text.malformed],
    }


def _ratio(part: float, whole: int) -> float | None:
    """A mean, or None where there is nothing to average."""
    return part / whole if whole else None
