"""What adds up over answers that name defects: boxes that meet, by class, key defects, levels, options."""

from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.boxes import Flags, Floats, Ints
from giqa_datasets.defect_classes import DEFECT_CLASSES, SEVERITIES, defect_class
from giqa_datasets.text_scan import Scan
from giqa_metrics.defects import vida
from giqa_metrics.defects.answers import NamedBoxes, Samples, level_of, option_of, split_name
from giqa_metrics.defects.scores import DefectStats, Tally
from giqa_metrics.matching import DIGITS, Objects, Pairs, falling, greedy, largest_total, objects, pairs


IOU_THRESHOLD = 0.5  # from which two boxes meet
KEY_IOU = 0.5  # above which a key defect is found
ROW_DIGITS = 6  # of an IoU in a row


class Sides(NamedTuple):
    """The boxes of both sides, `name` a place in `classes`.

    Attributes:
        predicted: Of the answers.
        reference: Of the references.
        severities: Each object's place in `SEVERITIES`, -1 for none, shape (N,); of the answers, of the references.
        classes: Sorted.
    """

    predicted: Objects
    reference: Objects
    severities: tuple[Ints, Ints]
    classes: list[str]


def sides_of(predicted: Scan, reference: Scan, *, repeats: bool = False) -> Sides:
    """Find the objects of both sides: the same class, severity and box counts once, or as often as it is written."""
    *both, names = objects(predicted, reference, repeats=repeats)
    said = [split_name(name) for name in names.spell(np.arange(len(names.keys)))]
    classes = {category: at for at, category in enumerate(sorted({category for category, _ in said}))}
    category = np.array([classes[each] for each, _ in said], np.int64)
    severity = np.array([SEVERITIES.index(each) if each else -1 for _, each in said], np.int64)
    mine, theirs = (side._replace(name=category[side.name]) for side in both)
    return Sides(mine, theirs, (severity[both[0].name], severity[both[1].name]), list(classes))


def tally(
    samples: Samples,
    read: NamedBoxes,
    *,
    is_vida: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
    per_sample: bool = False,
) -> Tally:
    """Match the boxes of N samples as they were read, look at their levels and options, and count."""
    n_units, n_samples = len(read.sample), len(samples.replies)

    def spread(units: Ints, weights: Floats | None = None) -> Floats:
        column = np.zeros(n_samples)
        column[read.sample] = np.bincount(units, weights=weights, minlength=n_units)
        return column

    boxes = sides_of(read.predicted, read.reference, repeats=is_vida)
    predicted, reference, (said, true), classes = boxes
    found = pairs(predicted._replace(boxes=predicted.boxes.clip(0, 1)), reference, n_units)
    close = _those(found, found.iou.round(DIGITS) >= iou_threshold)
    met = _those(found, largest_total(found, _likeness(boxes, found)))
    met = _those(met, met.iou.round(DIGITS) >= iou_threshold)
    if is_vida:
        right = vida.hits(predicted, reference, iou_threshold)
    else:
        alike = _those(close, _is_same(close, predicted.name, reference.name))
        right = alike.predicted[greedy(alike, falling(alike))]
    is_rated = true[met.reference] >= 0
    is_unknown = np.array([defect_class(category) not in DEFECT_CLASSES for category in classes], np.bool_)
    columns = {
        "n_samples": np.ones(n_samples),
        "n_predicted": spread(predicted.sample),
        "n_reference": spread(reference.sample),
        "n_unknown": spread(predicted.sample[is_unknown[predicted.name]]),
        "n_pairs": spread(met.sample),
        "n_same_class": spread(met.sample[_is_same(met, predicted.name, reference.name)]),
        "n_rated": spread(met.sample[is_rated]),
        "n_same_severity": spread(met.sample[is_rated & _is_same(met, said, true)]),
        "iou": spread(met.sample, met.iou),
        **{name: spread(units) for name, units in _keys(read, n_units).items()},
        **_read(samples, read),
        **_levels(samples, is_vida=is_vida),
        **_choices(samples),
    }
    asked = np.flatnonzero((columns["n_choices"] > 0) & (np.array(samples.concerns) != ""))
    concerns, concern = np.unique([samples.concerns[at] for at in asked.tolist()], return_inverse=True)
    is_right = columns["n_choices_right"][asked] > 0
    groups = {
        "n_predicted": (read.sample[predicted.sample], predicted.name),
        "n_reference": (read.sample[reference.sample], reference.name),
        "n_right": (read.sample[predicted.sample[right]], predicted.name[right]),
        "n_choices": (asked, concern),
        "n_choices_right": (asked[is_right], concern[is_right]),
    }
    return Tally(
        np.stack([columns[name] for name in DefectStats.names()], axis=1),
        groups,
        classes,
        concerns.tolist(),
        vida.mean_average_precision(predicted, reference, right) if is_vida else None,
        _lines(boxes, met, right, read.sample, n_samples) if per_sample else [],
    )


def _those(found: Pairs, kept: Ints | Flags) -> Pairs:
    """Some of the pairs."""
    return Pairs(found.sample[kept], found.predicted[kept], found.reference[kept], found.iou[kept])


def _is_same(found: Pairs, predicted: Ints, reference: Ints) -> Flags:
    """Whether the two objects of each pair have the same number."""
    same: Flags = predicted[found.predicted] == reference[found.reference]
    return same


def _likeness(boxes: Sides, found: Pairs) -> Floats:
    """What breaks ties between pairs: the class, then the severity."""
    same_class = _is_same(found, boxes.predicted.name, boxes.reference.name)
    return (2 * same_class + _is_same(found, *boxes.severities)).astype(np.float64)


def _keys(read: NamedBoxes, n_units: int) -> dict[str, Ints]:
    """Count key defects: the unit of each."""
    predicted, reference, _, _ = sides_of(read.predicted_keys, read.reference_keys)
    found = pairs(predicted, reference, n_units)
    found = _those(found, found.iou.round(DIGITS) > KEY_IOU)
    found = _those(found, _is_same(found, predicted.name, reference.name))
    return {
        "n_keys_predicted": predicted.sample,
        "n_keys_right": predicted.sample[np.unique(found.predicted)],
        "n_keys_reference": reference.sample,
        "n_keys_found": reference.sample[np.unique(found.reference)],
    }


def _read(samples: Samples, read: NamedBoxes) -> dict[str, Floats]:
    """Count what reading the replies told."""
    kinds = [read.malformed.get(at, []) for at in range(len(samples.replies))]
    columns = {
        "n_malformed": map(len, kinds),
        "n_foreign": (its.count("foreign") for its in kinds),
        "n_thoughts_cut": (answer.n_thoughts for answer in samples.answers),
        "n_tokens_cut": (answer.n_tokens for answer in samples.answers),
    }
    return {name: np.fromiter(numbers, np.float64, len(kinds)) for name, numbers in columns.items()}


def _levels(samples: Samples, *, is_vida: bool) -> dict[str, Floats]:
    """Count levels; the challenge's compare letter by letter."""
    columns = {name: np.zeros(len(samples.replies)) for name in ("n_levels", "n_levels_right", "n_levels_unreadable")}
    for at in samples.described:
        said, true = level_of(samples.answers[at].text), level_of(samples.references[at])
        is_right = said == true if is_vida else said.lower() == true.lower()
        for column, number in zip(columns.values(), (1, is_right, not said), strict=True):
            column[at] = number
    return columns


def _choices(samples: Samples) -> dict[str, Floats]:
    """Count chosen options."""
    names = "n_choices", "n_choices_right", "n_choices_unreadable"
    columns = {name: np.zeros(len(samples.replies)) for name in names}
    for at, options in enumerate(samples.candidates):
        if options is None:
            continue
        said, true = option_of(samples.answers[at].text, options), option_of(samples.references[at], options)
        for column, number in zip(columns.values(), (1, said == true, said is None), strict=True):
            column[at] = number
    return columns


def _lines(boxes: Sides, met: Pairs, right: Ints, sample: Ints, n_samples: int) -> list[dict[str, Any]]:
    """Each sample's objects of both sides, those that are right, and the pairs that meet by their places there."""
    lines: list[dict[str, Any]] = [
        {"predicted": [], "reference": [], "right": [], "pairs": []} for _ in range(n_samples)
    ]
    places: list[list[int]] = []
    for key, side, severities in zip(("predicted", "reference"), boxes[:2], boxes.severities, strict=True):
        places.append([])
        for unit, name, said, box in zip(side.sample, side.name, severities, side.boxes.tolist(), strict=True):
            its = lines[sample[unit]][key]
            places[-1].append(len(its))
            its.append({"class": boxes.classes[name], "severity": SEVERITIES[said] if said >= 0 else "", "box": box})
    for at in right.tolist():
        lines[sample[boxes.predicted.sample[at]]]["right"].append(places[0][at])
    for unit, mine, theirs, iou in zip(*(column.tolist() for column in met), strict=True):
        pair = {"predicted": places[0][mine], "reference": places[1][theirs], "iou": round(iou, ROW_DIGITS)}
        lines[sample[unit]]["pairs"].append(pair)
    return lines
