"""`giqa_defects` of a run: its part of the scoring, of sets that say what is wrong in a photograph."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from giqa_datasets.boxes import Ints
from giqa_datasets.defect_classes import defect_class
from giqa_datasets.errors import InputError
from giqa_datasets.text_scan import Scan, scan
from giqa_metrics import defects
from giqa_metrics.defects.answers import NamedBoxes, by_class, options_in, read_boxes, samples_from
from giqa_metrics.defects.scores import BY_CLASS, BY_CONCERN, DefectStats, Tally, aggregate, joined
from giqa_metrics.defects.tally import tally
from giqa_metrics.resampling import intervals
from giqa_metrics.runs.baselines import blind_defects, constant
from giqa_metrics.stats import Table


METRIC = "giqa_defects"
COLUMN = "objects"  # of the sets whose phrases are defects
_CONCERN = re.compile(r"-mcq-([a-z]+)-")  # in the id of a multiple-choice question
_ROW = *DefectStats.names(), "concern", "predicted", "reference", "right", "pairs"


def classes_of(dataset: Any) -> set[str] | None:
    """The classes of a set's objects; None where it does not say what is wrong in a photograph."""
    if COLUMN not in dataset.column_names:
        return None
    column = pc.struct_field(dataset.data.column(COLUMN), "category")
    words = column.combine_chunks().flatten().unique().to_pylist()
    return {*map(defect_class, filter(None, words))}


def are_named(parts: Sequence[Tally], classes: set[str]) -> bool:
    """Whether references name these classes, and not other things, or state levels or choices."""
    told = DefectStats.names().index("n_levels"), DefectStats.names().index("n_choices")
    return any(
        part.numbers[:, told].any() or {part.classes[at] for at in part.groups["n_reference"][1]} & classes
        for part in parts
    )


def tally_part(
    rows: Sequence[dict[str, Any]], references: Scan, box_format: str, *, exact: bool
) -> tuple[Tally, list[dict[str, Any]]]:
    """Count the answers of some rows, with `exact` against references that were read before the grid.

    Returns:
        The sums, and what `scores.jsonl` keeps of each sample.
    """
    asked = [row if row["question_type"] == "mcq" else None for row in rows]
    samples = samples_from(
        [row["prediction"] for row in rows],
        [row["answer"] for row in rows],
        box_format=box_format,
        image_sizes=[(row["width"], row["height"]) for row in rows],
        input_sizes=[row["input_size"] for row in rows],
        candidates=[row and options_in(row["question"]) for row in asked],
        concerns=[row and _concern_of(row["id"]) for row in asked],
    )
    read = read_boxes(samples)
    counted = tally(samples, read._replace(reference=by_class(references)) if exact else read, per_sample=True)
    said = zip(DefectStats.dicts(counted.numbers), samples.concerns, counted.lines, strict=True)
    return counted._replace(lines=[]), [its | {"concern": concern} | line for its, concern, line in said]


def _concern_of(identifier: str) -> str | None:
    found = _CONCERN.search(identifier)
    return found and found[1]


def summarise(
    parts: Sequence[Tally], images: Sequence[str], *, box_format: str, exact: bool, resamples: int, seed: int
) -> dict[str, Any]:
    """The scores of a task with their intervals."""
    whole = joined(parts)
    scores = partial(aggregate, whole)
    result = scores(whole.sums())
    result["signature"] = defects.signature_of(box_format=box_format, references="exact" if exact else "text")
    bounds = partial(intervals, scores=scores, resamples=resamples, seed=seed)
    result["intervals"] = bounds(*_by_image(whole, images)) if resamples else {}
    return result


def _by_image(whole: Tally, images: Sequence[str]) -> tuple[Table, range]:
    """The table of a tally with a row for each image: of many classes, one for each sample would not fit."""
    places = {image: at for at, image in enumerate(dict.fromkeys(images))}
    of = np.array([places[image] for image in images], np.int64)
    numbers = np.zeros((len(places), whole.numbers.shape[1]))
    np.add.at(numbers, of, whole.numbers)
    groups = {name: (of[sample], group) for name, (sample, group) in whole.groups.items()}
    return whole._replace(numbers=numbers, groups=groups).table(), range(len(places))


def blind_scores(references: Sequence[tuple[Scan, int]], *, exact: bool) -> dict[str, dict[str, Any]]:
    """The scores of blind answers about boxes, by the baseline's name; references come in parts of so many samples."""
    named = [(by_class(part), count) for part, count in references]
    signature = defects.signature_of(box_format="giqa", references="exact" if exact else "text")
    found = {}
    for title, answer in blind_defects([part for part, _ in named]).items():
        said = by_class(scan([answer]))
        parts = []
        for part, count in named:
            nothing = samples_from([None] * count, [None] * count)
            keys = scan([])
            read = NamedBoxes(constant(said, count), part, keys, keys, np.arange(count), {})
            parts.append(tally(nothing, read))
        whole = joined(parts)
        found[title] = aggregate(whole, whole.sums()) | {"signature": signature}
    return found


def tally_of(rows: Sequence[dict[str, Any]]) -> Tally:
    """Put together again what `scores.jsonl` holds of samples.

    Raises:
        ValueError: If a row is none that `giqa score` wrote.
    """
    try:
        classes = sorted({it["class"] for row in rows for side in ("predicted", "reference") for it in row[side]})
        concerns = sorted({row["concern"] for row in rows if row["concern"]})
        said = [
            [(at, it["class"]) for at, row in enumerate(rows) for it in row["predicted"]],
            [(at, it["class"]) for at, row in enumerate(rows) for it in row["reference"]],
            [(at, row["predicted"][place]["class"]) for at, row in enumerate(rows) for place in row["right"]],
            [(at, row["concern"]) for at, row in enumerate(rows) if row["concern"] and row["n_choices"]],
            [(at, row["concern"]) for at, row in enumerate(rows) if row["concern"] and row["n_choices_right"]],
        ]
    except (LookupError, TypeError) as error:
        raise InputError(f"expected rows with {', '.join(_ROW)}: score the run again") from error
    groups: dict[str, tuple[Ints, Ints]] = {}
    for name, pairs in zip((*BY_CLASS, *BY_CONCERN), said, strict=True):
        names = classes if name in BY_CLASS else concerns
        numbers = np.array([(at, names.index(each)) for at, each in pairs], np.int64).reshape(-1, 2)
        groups[name] = numbers[:, 0], numbers[:, 1]
    return Tally(DefectStats.table(rows), groups, classes, concerns, None, [])
