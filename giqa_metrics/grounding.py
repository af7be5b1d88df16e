"""giqa_grounding: mIoU, Tag-Recall and what spurious boxes cost (protocol section 7). Text to statistics to scores."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.batches import batches
from giqa_datasets.boxes import Floats, Ints
from giqa_datasets.errors import InputError
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.grid import SIDE, cells_to_boxes
from giqa_datasets.names import Names
from giqa_datasets.regions import Region
from giqa_datasets.reply import VERSION
from giqa_datasets.text import GroundedText, Kind
from giqa_datasets.text_scan import Scan, gather, scan, scan_replies
from giqa_metrics.inputs import regions_of, samples_of, sizes_of, sizes_read
from giqa_metrics.matching import DIGITS, Objects, Pairs, falling, greedy, objects, pairs
from giqa_metrics.signature import signature
from giqa_metrics.similarity import Compare, Similarity, similarity_named
from giqa_metrics.stats import Stats, Table, ratio


SCORES = ("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1")
COUNTS = (
    "n_samples",
    "n_counted",
    "n_predicted",
    "n_reference",
    "n_malformed_reference",
    "n_malformed",
    "n_foreign",
    "n_thoughts_cut",
    "n_tokens_cut",
)
RULES = "v2"  # of what the scores count: v2 charges precision for malformed boxes, see CHANGELOG.md
CHUNK = 2000  # samples scored at once: the arrays of many more leave the processor's cache
ROW_DIGITS = 6  # of an IoU in a row
IOU_THRESHOLD = SIMILARITY_THRESHOLD = 0.5  # of Tag-Recall
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
        n_malformed_reference: Malformed boxes in the references, which are left out.
        n_malformed: Malformed boxes in the predictions.
        n_foreign: Those of them in another family's form.
        n_thoughts_cut: Predictions of which thoughts were cut.
        n_tokens_cut: Tokens of chat templates that were cut off predictions.
        n_recalled: Reference objects matched under Tag-Recall's two thresholds.
        miou: Sum of the samples' mIoU.
        miou_strict: Sum of the samples' strict mIoU.
        tag_recall: Sum of the samples' Tag-Recall.
    """

    n_samples: int = 0
    n_counted: int = 0
    n_predicted: int = 0
    n_reference: int = 0
    n_malformed_reference: int = 0
    n_malformed: int = 0
    n_foreign: int = 0
    n_thoughts_cut: int = 0
    n_tokens_cut: int = 0
    n_recalled: int = 0
    miou: float = 0.0
    miou_strict: float = 0.0
    tag_recall: float = 0.0


class Settings(NamedTuple):
    """How samples are scored.

    Attributes:
        similarity: Compares names.
        iou_threshold: Of Tag-Recall.
        similarity_threshold: Of Tag-Recall.
        preset: `paper` or `glamm`.
    """

    similarity: Similarity
    iou_threshold: float
    similarity_threshold: float
    preset: Preset


class Met(NamedTuple):
    """What met what in a chunk of samples.

    Attributes:
        table: The sums, a row per sample, with the columns of `GroundingStats`.
        predicted: Predicted objects.
        reference: Reference objects.
        names: Their names.
        pairs: Pairs that overlap.
        likeness: Of the names of each pair.
        matched: Indices of the pairs that mIoU matches.
        recalled: Indices of the pairs that Tag-Recall matches.
        malformed: The kinds of malformed boxes, by sample.
    """

    table: Table
    predicted: Objects
    reference: Objects
    names: Names
    pairs: Pairs
    likeness: Floats
    matched: Ints
    recalled: Ints
    malformed: dict[int, list[Kind]]


def giqa_grounding(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    image_sizes: Sequence[Sequence[int]] | None = None,
    input_sizes: Sequence[Sequence[int]] | None = None,
    similarity: str | Compare | None = None,
    iou_threshold: float = IOU_THRESHOLD,
    similarity_threshold: float = SIMILARITY_THRESHOLD,
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
            without them they follow from the original sizes by the processor's rule. Of all answers, or of none.
        similarity: See `similarity_named`; None is the preset's own, `minilm` or, for `glamm`, `bert`.
        iou_threshold: Of Tag-Recall, in [0, 1].
        similarity_threshold: Of Tag-Recall, in [0, 1].
        preset: `paper`, or `glamm`, the reading of GLaMM's public evaluation: a threshold is reached when equalled,
            Tag-Recall is micro, and a sample's matching, by falling IoU whatever the names, ends at its first pair
            whose names are not alike.
        exact_references: The references' regions before the grid, instead of the text's cells: `Region`s, or rows of
            the data set's column `regions`, of which those in the answer count.
        per_sample: Add the key `per_sample`, a list of dicts in input order; see `lines_of`.

    Returns:
        miou, miou_strict, tag_recall, tag_recall_micro, precision, f1 (0-1 or None), n_samples, n_counted,
        n_predicted, n_reference, n_malformed_reference, n_malformed, n_foreign (those in another family's form),
        n_thoughts_cut, n_tokens_cut and signature.

    Raises:
        ValueError: If there is no sample, the lengths differ, the format or the preset is unknown, or the format needs
            sizes that are not given, or are given for a part of the answers.

    Example:
        >>> scores = giqa_grounding(["[tower](<14, 319>)"], ["[tower](<35, 319>)"], similarity="exact")
        >>> round(scores["miou"], 3), scores["tag_recall"], scores["signature"].split("|")[0]
        (0.747, 1.0, 'giqa_grounding')
    """
    predictions, references = samples_of(predictions=predictions, references=references)
    regions = None
    if exact_references is not None:
        regions = regions_of("exact_references", exact_references, len(references))
    sizes = sizes_of(box_format, predictions, image_sizes, input_sizes)
    whose = sizes_read(box_format, predictions, [size.input for size in sizes])
    settings = settings_of(similarity, iou_threshold, similarity_threshold, preset)
    total, forms = GroundingStats(), set[str]()
    rows: list[dict[str, Any]] = []
    for start in range(0, len(predictions), CHUNK):
        chunk = slice(start, start + CHUNK)
        exact = None if regions is None else regions[chunk]
        read = scan_replies(predictions[chunk], box_format, sizes[chunk])
        truths = read_references(references[chunk], exact)
        forms |= forms_of(truths)
        met = meet(read, truths, settings, count=len(references[chunk]))
        total += GroundingStats.of(met.table.sum(axis=0))
        rows += map(json.loads, lines_of(met)) if per_sample else []
    result = aggregate(total, preset=preset)
    result["signature"] = signature_of(
        settings, box_format=box_format, forms={"exact"} if exact_references is not None else forms, sizes=whose
    )
    return result | {"per_sample": rows} if per_sample else result


def grounding_stats(
    samples: Iterable[tuple[str | None, str | None]],
    *,
    box_format: str = "giqa",
    similarity: str | Compare | None = None,
    iou_threshold: float = IOU_THRESHOLD,
    similarity_threshold: float = SIMILARITY_THRESHOLD,
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
    settings = settings_of(similarity, iou_threshold, similarity_threshold, preset)
    if format_named(box_format).needs:
        raise InputError(f"box format {box_format!r} needs sizes, which a stream has not: use giqa_grounding")
    total = GroundingStats()
    for chunk in batches(samples, CHUNK):
        predictions, references = samples_of(
            predictions=[prediction for prediction, _ in chunk], references=[reference for _, reference in chunk]
        )
        read = scan_replies(predictions, box_format)
        met = meet(read, read_references(references), settings, count=len(chunk))
        total += GroundingStats.of(met.table.sum(axis=0))
    return total


def aggregate(stats: GroundingStats, *, preset: Preset = "paper") -> dict[str, Any]:
    """Turn sums into scores, all in [0, 1]; a score that does not exist is None.

    Without a box in any prediction, well-formed or malformed, mIoU, Tag-Recall (the paper's N/A) and precision do not
    exist; the strict scores count what was not found as 0. A malformed box is a spurious box, and costs precision.
    """
    n_written = stats.n_predicted + stats.n_malformed
    miou, tag_recall = ratio(stats.miou, stats.n_counted), ratio(stats.tag_recall, stats.n_counted)
    recall, precision = ratio(stats.n_recalled, stats.n_reference), ratio(stats.n_recalled, n_written)
    scores = {
        "miou": miou if n_written else None,
        "miou_strict": ratio(stats.miou_strict, stats.n_counted),
        "tag_recall": (recall if preset == "glamm" else tag_recall) if n_written else None,
        "tag_recall_micro": recall,
        "precision": precision,
        "f1": ratio(2 * stats.n_recalled, n_written + stats.n_reference) if stats.n_reference else None,
    }
    counts = {name: getattr(stats, name) for name in COUNTS}
    return {**scores, **counts}


def settings_of(
    similarity: str | Compare | None, iou_threshold: float, similarity_threshold: float, preset: Preset
) -> Settings:
    """Check the options and load what they name."""
    if preset not in SIMILARITY:
        raise InputError(f"expected a preset out of {sorted(SIMILARITY)}, got {preset!r}")
    for name, threshold in (("iou", iou_threshold), ("similarity", similarity_threshold)):
        if not 0 <= threshold <= 1:
            raise InputError(f"expected {name}_threshold in [0, 1], got {threshold!r}")
    compare = similarity_named(SIMILARITY[preset] if similarity is None else similarity)
    return Settings(compare, iou_threshold, similarity_threshold, preset)


def forms_of(references: Scan) -> set[str]:
    """Name the forms in which references write their boxes, `cells` and `decimals`; empty where there is no box."""
    if references.is_on_grid or not len(references.boxes):
        return {"cells"} if len(references.boxes) else set()
    on_grid = (references.boxes == cells_to_boxes(references.cells)).all(axis=1)
    return {"cells" if is_cell else "decimals" for is_cell in np.unique(on_grid).tolist()}


def signature_of(settings: Settings, *, box_format: str, forms: Set[str], sizes: str | None = None) -> str:
    """Name everything that can move the scores; `forms` are those of the references, or `exact`, `sizes` whose."""
    is_glamm = settings.preset == "glamm"
    above = ">=" if is_glamm else ">"
    return signature(
        "giqa_grounding",
        rules=RULES,
        reply=VERSION,
        format=box_format,
        **({"sizes": sizes} if sizes else {}),
        grid=f"{SIDE}x{SIDE}",
        decode="centres",
        references="mixed" if len(forms) > 1 else next(iter(forms), "none"),
        match="greedy-until-names-differ" if is_glamm else "greedy",
        iou=f"{above}{settings.iou_threshold}",
        names=f"{settings.similarity.name}{above}{settings.similarity_threshold}",
        **({"preset": "glamm", "repeats": "kept", "ties": "as-written"} if is_glamm else {}),
    )


def read_references(references: Sequence[str | None], exact: Sequence[Sequence[Region]] | None = None) -> Scan:
    """Read references, or lay out their regions before the grid."""
    if exact is None:
        return scan([text or "" for text in references])
    return gather([GroundedText("", "", tuple(regions), ()) for regions in exact])


def meet(read: Scan, references: Scan, settings: Settings, *, count: int) -> Met:
    """Match a chunk of N samples, and sum up."""
    is_glamm = settings.preset == "glamm"
    predicted, reference, names = objects(read, references, repeats=is_glamm)
    n_predicted, n_reference = (np.bincount(side.sample, minlength=count) for side in (predicted, reference))
    found = pairs(predicted, reference, count)
    likeness = settings.similarity.likeness(names, predicted.name[found.predicted], reference.name[found.reference])
    matched, recalled = (_match_as_glamm if is_glamm else _match)(found, likeness, settings)
    n_matched, n_recalled = (np.bincount(found.sample[these], minlength=count) for these in (matched, recalled))
    overlap = np.bincount(found.sample[matched], weights=found.iou[matched], minlength=count)

    def spread(numbers: dict[int, int]) -> Floats:
        column = np.zeros(count)
        column[list(numbers)] = list(numbers.values())
        return column

    columns = {
        "n_samples": np.ones(count),
        "n_counted": n_reference > 0,
        "n_predicted": n_predicted,
        "n_reference": n_reference,
        "n_malformed_reference": spread({sample: len(kinds) for sample, kinds in references.malformed.items()}),
        "n_malformed": spread({sample: len(kinds) for sample, kinds in read.malformed.items()}),
        "n_foreign": spread({sample: kinds.count("foreign") for sample, kinds in read.malformed.items()}),
        "n_thoughts_cut": spread(read.n_thoughts),
        "n_tokens_cut": spread(read.n_tokens),
        "n_recalled": n_recalled,
        "miou": overlap / np.maximum(n_matched, 1),
        "miou_strict": overlap / np.maximum(n_reference, 1),
        "tag_recall": n_recalled / np.maximum(n_reference, 1),
    }
    table = np.stack([columns[name] for name in GroundingStats.names()], axis=1)
    return Met(table, predicted, reference, names, found, likeness, matched, recalled, read.malformed)


def _match(found: Pairs, likeness: Floats, settings: Settings) -> tuple[Ints, Ints]:
    """Match for mIoU, and again among the pairs above both thresholds for Tag-Recall; indices of pairs."""
    order = falling(found, likeness)
    close = (found.iou.round(DIGITS) > settings.iou_threshold) & (likeness > settings.similarity_threshold)
    return greedy(found, order), greedy(found, order[close[order]])


def _match_as_glamm(found: Pairs, likeness: Floats, settings: Settings) -> tuple[Ints, Ints]:
    """Match once, by IoU alone; a sample's matches are recalled up to the first one below a threshold.

    After eval/gcg/evaluate.py of mbzuai-oryx/groundingLMM, `find_best_matches`; ties go to the first reference and
    then to the first prediction, in reading order, and a box that is written twice is two. `compute_miou` there gives
    ties to the first prediction, which matches the same pairs in another order.
    """
    matched = greedy(found, falling(found))
    iou, alike = found.iou[matched].round(DIGITS), likeness[matched]
    fails = (iou < settings.iou_threshold) | (alike < settings.similarity_threshold)
    place = np.arange(len(matched))
    first_fail = np.full(found.sample.max(initial=-1) + 1, len(matched))
    np.minimum.at(first_fail, found.sample[matched[fails]], place[fails])
    return matched, matched[place < first_fail[found.sample[matched]]]


def lines_of(met: Met) -> list[str]:
    """Say of each sample what was counted, a JSON object each, put together without a dict in between.

    An object holds the numbers of `GroundingStats`, its three means null where the reference holds no object;
    `predicted` and `reference`, the objects that count, as `{"phrase", "box"}` with normalised xyxy; `pairs`, which of
    the predicted objects met which of the reference ones (their places in these lists), as `{"predicted", "reference",
    "iou", "likeness", "matched", "recalled"}`: `matched` for mIoU, `recalled` for Tag-Recall; and `malformed`, the
    kinds of the malformed boxes (see `giqa_datasets.text.Kind`).
    """
    names = met.names.spell(np.arange(len(met.names.keys)))
    phrases = np.array([f'{{"phrase": {_quoted(name)}, "box": ' for name in names], dtype=object)
    met_as = np.zeros(len(met.likeness), dtype=np.int64)
    met_as[met.matched] += 2
    met_as[met.recalled] += 1
    kept = np.flatnonzero(met_as)
    found = Pairs(*(column[kept] for column in met.pairs))  # type: ignore[arg-type]
    samples = np.arange(len(met.table) + 1)
    ends = [np.searchsorted(side.sample, samples) for side in (met.predicted, met.reference, found)]
    predicted, reference = (
        (phrases[side.name] + _box_texts(side)).tolist() for side in (met.predicted, met.reference)
    )
    pairs = [
        f'{{"predicted": {p}, "reference": {r}, "iou": {iou}, "likeness": {alike}, {flags}}}'
        for p, r, iou, alike, flags in zip(
            (found.predicted - ends[0][found.sample]).tolist(),
            (found.reference - ends[1][found.sample]).tolist(),
            map(_number, found.iou.round(ROW_DIGITS).tolist()),
            map(_number, met.likeness[kept].tolist()),
            _MET_AS[met_as[kept]].tolist(),
            strict=True,
        )
    ]
    kinds = dict.fromkeys(range(len(met.table)), "") | {
        sample: ", ".join(map(_quoted, its)) for sample, its in met.malformed.items()
    }
    (p, r, k) = (end.tolist() for end in ends)
    return [
        f'{{{head}, "predicted": [{", ".join(predicted[p1:p2])}], "reference": [{", ".join(reference[r1:r2])}], '
        f'"pairs": [{", ".join(pairs[k1:k2])}], "malformed": [{broken}]}}'
        for head, p1, p2, r1, r2, k1, k2, broken in zip(
            _heads(met.table), p, p[1:], r, r[1:], k, k[1:], kinds.values(), strict=False
        )
    ]


def _heads(table: Table) -> Iterator[str]:
    """Write each row's numbers as JSON, without the braces."""
    counts, means = table[:, :_MEANS].astype(np.int64).T.tolist(), table[:, _MEANS:].T.tolist()
    values = zip(*(map(_number, mean) for mean in means), strict=True)
    for written, n_counted, of_row in zip(map(_counts, *counts), counts[_COUNTED], values, strict=True):
        yield written + (_MEANS_FORM % of_row if n_counted else _NO_MEANS)


@lru_cache(1 << 14)
def _counts(*counts: int) -> str:
    """Write a row's counts, of which there are few different ones."""
    return ", ".join(f'"{name}": {count}' for name, count in zip(GroundingStats.names(), counts, strict=False))


_MEANS = -3  # where they begin among a row's numbers
_MEANS_FORM = "".join(f', "{name}": %s' for name in GroundingStats.names()[_MEANS:])
_NO_MEANS = _MEANS_FORM.replace("%s", "null")
_COUNTED = GroundingStats.names().index("n_counted")
_quoted = encode_basestring  # as JSON writes a text
_number = lru_cache(1 << 16)(float.__repr__)  # as JSON writes a float; few of them differ
_MET_AS = np.array(
    [
        f'"matched": {matched}, "recalled": {recalled}'
        for matched in ("false", "true")
        for recalled in ("false", "true")
    ],
    dtype=object,
)


_ON_GRID = np.full(SIDE**4, "", dtype=object)  # the text of a box by its cells, as far as one was written
_IS_WRITTEN = np.zeros(SIDE**4, dtype=np.bool_)


def _box_texts(side: Objects) -> npt.NDArray[np.object_]:
    """Write each box as JSON, with the brace that closes its object."""
    if not side.is_on_grid:
        return np.array([f"{box}}}" for box in side.boxes.tolist()], dtype=object)
    place = side.cells[:, 0] * SIDE**2 + side.cells[:, 1]
    for at in np.flatnonzero(~_IS_WRITTEN[place]).tolist():
        _ON_GRID[place[at]] = f"{side.boxes[at].tolist()}}}"
    _IS_WRITTEN[place] = True
    texts: npt.NDArray[np.object_] = _ON_GRID[place]
    return texts
