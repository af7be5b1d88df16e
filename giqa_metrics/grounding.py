"""giqa_grounding: mIoU, Tag-Recall and what spurious boxes cost (protocol section 7). Text to statistics to scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from giqa_datasets.batches import batches
from giqa_datasets.boxes import to_boxes
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Sizes
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.grid import SIDE
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText
from giqa_datasets.text_scan import Ints, Scan, gather, scan
from giqa_metrics.inputs import require_samples, sizes_of
from giqa_metrics.matching import DIGITS, Floats, Pairs, falling, greedy, objects, pairs
from giqa_metrics.signature import signature
from giqa_metrics.similarity import Compare, Similarity, similarity_named
from giqa_metrics.stats import Stats, Table


SCORES = ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
CHUNK = 2000  # samples scored at once: the arrays of many more leave the processor's cache
Preset = Literal["paper", "glamm"]
SIMILARITY = {"paper": "minilm", "glamm": "bert"}  # each preset's own
Exact = Sequence[Region | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class GroundingStats(Stats):
    """Sums over samples.

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


class Settings(NamedTuple):
    """How samples are scored.

    Attributes:
        box_format: How the predictions write boxes.
        similarity: Compares names.
        iou_threshold: Of Tag-Recall.
        similarity_threshold: Of Tag-Recall.
        preset: `paper` or `glamm`.
    """

    box_format: str
    similarity: Similarity
    iou_threshold: float
    similarity_threshold: float
    preset: Preset


def giqa_grounding(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    image_sizes: Sequence[Sequence[int]] | None = None,
    input_sizes: Sequence[Sequence[int]] | None = None,
    similarity: str | Compare | None = None,
    iou_threshold: float = 0.5,
    similarity_threshold: float = 0.5,
    preset: Preset = "paper",
    exact_references: Sequence[Exact] | None = None,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score the boxes of predictions against those of references.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text, cells or decimals, as many.
        box_format: How the predictions write boxes; declared, never guessed.
        image_sizes: (width, height) of each original image, for formats that count in pixels or in a padded square.
        input_sizes: (width, height) of each resized image that the model saw, for formats that count in its pixels;
            without them they follow from the original sizes by the processor's rule.
        similarity: See `similarity_named`; None is the preset's own, `minilm` or, for `glamm`, `bert`.
        iou_threshold: Of Tag-Recall, in [0, 1].
        similarity_threshold: Of Tag-Recall, in [0, 1].
        preset: `paper`, or `glamm`, the reading of GLaMM's public evaluation: a threshold is reached when equalled,
            Tag-Recall is micro, and a sample's matching, by falling IoU whatever the names, ends at its first pair
            whose names are not alike.
        exact_references: The references' regions before the grid, instead of the text's cells: `Region`s, or rows of
            the data set's column `regions`, of which those in the answer count.
        per_sample: Add the key `per_sample`, a list of dicts in input order.

    Returns:
        miou, miou_strict, tag_recall, tag_recall_micro, precision, f1 (0-1 or None), n_samples, n_counted,
        n_predicted, n_reference, n_malformed and signature.

    Raises:
        ValueError: If there is no sample, the lengths differ, the format or the preset is unknown, or the format needs
            sizes that are not given.

    Example:
        >>> scores = giqa_grounding(["[tower](<14, 319>)"], ["[tower](<35, 319>)"], similarity="exact")
        >>> round(scores["miou"], 3), scores["tag_recall"], scores["signature"].split("|")[0]
        (0.747, 1.0, 'giqa_grounding')
    """
    require_samples(predictions=predictions, references=references)
    if exact_references is not None and len(exact_references) != len(references):
        raise InputError(f"expected {len(references)} exact references, got {len(exact_references)}")
    settings = _settings(box_format, similarity, iou_threshold, similarity_threshold, preset)
    sizes = sizes_of(box_format, len(predictions), image_sizes, input_sizes)
    total, rows = GroundingStats(), []
    for start in range(0, len(predictions), CHUNK):
        chunk = slice(start, start + CHUNK)
        texts = _read(predictions[chunk], sizes[chunk], box_format) if per_sample else []
        predicted = _gather(texts) if per_sample else _scan(predictions[chunk], sizes[chunk], box_format)
        exact = None if exact_references is None else exact_references[chunk]
        table = _score(predicted, _scan_references(references[chunk], exact), settings)
        total += GroundingStats.of(table.sum(axis=0))
        rows += _rows(table, texts) if per_sample else []
    result = aggregate(total, preset=preset) | {"signature": _signature(settings, exact_references is not None)}
    return result | {"per_sample": rows} if per_sample else result


def grounding_stats(
    samples: Iterable[tuple[str | None, str | None]],
    *,
    box_format: str = "giqa",
    similarity: str | Compare | None = None,
    iou_threshold: float = 0.5,
    similarity_threshold: float = 0.5,
    preset: Preset = "paper",
) -> GroundingStats:
    """Score a stream of (prediction, reference) in the memory of one chunk; what two streams give adds up.

    Options are those of `giqa_grounding`; a format that needs sizes cannot be streamed.

    Example:
        >>> tower = ("[tower](<14, 319>)", "[tower](<35, 319>)")
        >>> stats = grounding_stats([tower], similarity="exact") + grounding_stats([tower], similarity="exact")
        >>> stats.n_samples, aggregate(stats)["tag_recall"]
        (2, 1.0)
    """
    settings = _settings(box_format, similarity, iou_threshold, similarity_threshold, preset)
    if format_named(box_format).needs:
        raise InputError(f"box format {box_format!r} needs sizes, which a stream has not: use giqa_grounding")
    total = GroundingStats()
    for chunk in batches(samples, CHUNK):
        predictions, references = zip(*chunk, strict=True)
        predicted = _scan(predictions, [Sizes()] * len(chunk), box_format)
        total += GroundingStats.of(_score(predicted, _scan_references(references), settings).sum(axis=0))
    return total


def aggregate(stats: GroundingStats, *, preset: Preset = "paper") -> dict[str, Any]:
    """Turn sums into scores, all in [0, 1]; a score that does not exist is None.

    Without a box in any prediction, well-formed or malformed, there is nothing to score (the paper's N/A).
    """
    if stats.n_predicted + stats.n_malformed == 0:
        scores: dict[str, float | None] = dict.fromkeys(SCORES)
    else:
        recall = _ratio(stats.n_recalled, stats.n_reference)
        precision = stats.n_recalled / stats.n_predicted if stats.n_predicted else 0.0
        scores = {
            "miou": _ratio(stats.miou, stats.n_counted),
            "miou_strict": _ratio(stats.miou_strict, stats.n_counted),
            "tag_recall": recall if preset == "glamm" else _ratio(stats.tag_recall, stats.n_counted),
            "tag_recall_micro": recall,
            "precision": precision,
            "f1": None if recall is None else 2 * precision * recall / ((precision + recall) or 1.0),
        }
    counts = {
        name: getattr(stats, name) for name in ("n_samples", "n_counted", "n_predicted", "n_reference", "n_malformed")
    }
    return {**scores, **counts}


def _settings(
    box_format: str,
    similarity: str | Compare | None,
    iou_threshold: float,
    similarity_threshold: float,
    preset: Preset,
) -> Settings:
    """Check the options and load what they name."""
    if preset not in SIMILARITY:
        raise InputError(f"expected a preset out of {sorted(SIMILARITY)}, got {preset!r}")
    for name, threshold in (("iou", iou_threshold), ("similarity", similarity_threshold)):
        if not 0 <= threshold <= 1:
            raise InputError(f"expected {name}_threshold in [0, 1], got {threshold!r}")
    format_named(box_format)
    compare = similarity_named(SIMILARITY[preset] if similarity is None else similarity)
    return Settings(box_format, compare, iou_threshold, similarity_threshold, preset)


def _signature(settings: Settings, is_exact: bool) -> str:
    """Name everything that can move the scores."""
    is_glamm = settings.preset == "glamm"
    above = ">=" if is_glamm else ">"
    return signature(
        "giqa_grounding",
        format=settings.box_format,
        grid=f"{SIDE}x{SIDE}",
        decode="centres",
        references="exact" if is_exact else "cells",
        match="greedy-until-names-differ" if is_glamm else "greedy",
        iou=f"{above}{settings.iou_threshold}",
        names=f"{settings.similarity.name}{above}{settings.similarity_threshold}",
        **({"preset": "glamm"} if is_glamm else {}),
    )


def _read(predictions: Sequence[str | None], sizes: Sequence[Sizes], box_format: str) -> list[GroundedText]:
    """Read predictions in any format."""
    read = format_named(box_format).read
    return [read(text or "", size) for text, size in zip(predictions, sizes, strict=True)]


def _gather(texts: Sequence[GroundedText]) -> Scan:
    """Lay out what was read."""
    return gather([text.regions for text in texts], [len(text.malformed) for text in texts])


def _scan(predictions: Sequence[str | None], sizes: Sequence[Sizes], box_format: str) -> Scan:
    """Boxes of predictions; those in the format `giqa` are read all at once."""
    if box_format == "giqa":
        return scan([text or "" for text in predictions], forms=("cells",))
    return _gather(_read(predictions, sizes, box_format))


def _scan_references(references: Sequence[str | None], exact: Sequence[Exact] | None = None) -> Scan:
    """Boxes of references."""
    if exact is None:
        return scan([text or "" for text in references])
    return gather([_answer_regions(regions) for regions in exact], [0] * len(exact))


def _answer_regions(regions: Exact) -> list[Region]:
    """Read a row of the column `regions`; the spans are not kept there, and matching does not need them."""
    return [
        region if isinstance(region, Region) else Region(region["phrase"], (0, 0), to_boxes(region["boxes"]))
        for region in regions
        if isinstance(region, Region) or region["role"] == "answer"
    ]


def _score(predicted_boxes: Scan, reference_boxes: Scan, settings: Settings) -> Table:
    """Score a chunk of N samples: a row each, with the columns of `GroundingStats`."""
    count = len(predicted_boxes.n_malformed)
    predicted, reference, names = objects(predicted_boxes, reference_boxes)
    n_predicted, n_reference = (np.bincount(side.sample, minlength=count) for side in (predicted, reference))
    found = pairs(predicted, reference, count)
    likeness = settings.similarity.likeness(names, predicted.name[found.predicted], reference.name[found.reference])
    match = _match_as_glamm if settings.preset == "glamm" else _match
    matched, recalled = match(found, likeness, settings)
    n_matched, n_recalled = (np.bincount(found.sample[these], minlength=count) for these in (matched, recalled))
    overlap = np.bincount(found.sample[matched], weights=found.iou[matched], minlength=count)
    columns = {
        "n_samples": np.ones(count),
        "n_counted": n_reference > 0,
        "n_predicted": n_predicted,
        "n_reference": n_reference,
        "n_malformed": predicted_boxes.n_malformed,
        "n_recalled": n_recalled,
        "miou": overlap / np.maximum(n_matched, 1),
        "miou_strict": overlap / np.maximum(n_reference, 1),
        "tag_recall": n_recalled / np.maximum(n_reference, 1),
    }
    return np.stack([columns[name] for name in GroundingStats.names()], axis=1)


def _match(found: Pairs, likeness: Floats, settings: Settings) -> tuple[Ints, Ints]:
    """Match for mIoU, and again among the pairs above both thresholds for Tag-Recall; indices of pairs."""
    order = falling(found, likeness)
    close = (found.iou.round(DIGITS) > settings.iou_threshold) & (likeness > settings.similarity_threshold)
    return greedy(found, order), greedy(found, order[close[order]])


def _match_as_glamm(found: Pairs, likeness: Floats, settings: Settings) -> tuple[Ints, Ints]:
    """Match once, by IoU alone; a sample's matches are recalled up to the first one below a threshold.

    After eval/gcg/evaluate.py of mbzuai-oryx/groundingLMM, `find_best_matches`; ties, there by the order of the
    input, go to the first reference and then to the first prediction as `Objects` are sorted.
    """
    matched = greedy(found, falling(found))
    iou, alike = found.iou[matched].round(DIGITS), likeness[matched]
    fails = (iou < settings.iou_threshold) | (alike < settings.similarity_threshold)
    place = np.arange(len(matched))
    first_fail = np.full(found.sample.max(initial=-1) + 1, len(matched))
    np.minimum.at(first_fail, found.sample[matched[fails]], place[fails])
    return matched, matched[place < first_fail[found.sample[matched]]]


def _rows(table: Table, texts: Sequence[GroundedText]) -> list[dict[str, Any]]:
    """Each sample's numbers, its means None where its reference holds no object, and what was parsed."""
    rows = []
    for sums, text in zip(table, texts, strict=True):
        stats = asdict(GroundingStats.of(sums))
        means = {} if stats["n_counted"] else dict.fromkeys(("miou", "miou_strict", "tag_recall"))
        found = {(region.phrase.strip(), tuple(box)): None for region in text.regions for box in region.boxes.tolist()}
        parsed = {
            "predicted": [{"phrase": phrase, "box": list(box)} for phrase, box in found],
            "malformed": [broken.kind for broken in text.malformed],
        }
        rows.append(stats | means | parsed)
    return rows


def _ratio(part: float, whole: int) -> float | None:
    """A mean, or None where there is nothing to average."""
    return part / whole if whole else None
