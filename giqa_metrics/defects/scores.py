"""Sums over answers that name defects, and the scores that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.boxes import Floats, Ints
from giqa_metrics.stats import Stats, Table, ratio


BY_CLASS = "n_predicted", "n_reference", "n_right"
BY_CONCERN = "n_choices", "n_choices_right"


@dataclass(frozen=True, slots=True)
class DefectStats(Stats):
    """Sums over samples; beside them, a `Tally` has those of each class and concern.

    Attributes:
        n_samples: Answers.
        n_predicted: Predicted boxes.
        n_reference: Reference boxes.
        n_unknown: Predicted boxes of a class that `defect_classes.json` does not know, or of none.
        n_malformed: Malformed boxes in the predictions.
        n_foreign: Those of them in another family's form.
        n_thoughts_cut: Predictions of which thoughts were cut.
        n_tokens_cut: Tokens of chat templates that were cut off predictions.
        n_pairs: Pairs of boxes that meet, whatever their class.
        n_same_class: Those of one class.
        n_rated: Pairs whose reference has a severity.
        n_same_severity: Those of one severity.
        iou: Sum of the pairs' IoU.
        n_keys_predicted: Predicted key defects, of the samples whose reference states a level, as all of these.
        n_keys_right: Those that are key defects of the reference.
        n_keys_reference: Key defects of the references.
        n_keys_found: Those that are predicted as such.
        n_levels: Samples whose reference states a level.
        n_levels_right: Predictions that state the same.
        n_levels_unreadable: Predictions that state none.
        n_choices: Multiple-choice questions.
        n_choices_right: Those answered right.
        n_choices_unreadable: Those whose answer names no option.
    """

    n_samples: int = 0
    n_predicted: int = 0
    n_reference: int = 0
    n_unknown: int = 0
    n_malformed: int = 0
    n_foreign: int = 0
    n_thoughts_cut: int = 0
    n_tokens_cut: int = 0
    n_pairs: int = 0
    n_same_class: int = 0
    n_rated: int = 0
    n_same_severity: int = 0
    iou: float = 0.0
    n_keys_predicted: int = 0
    n_keys_right: int = 0
    n_keys_reference: int = 0
    n_keys_found: int = 0
    n_levels: int = 0
    n_levels_right: int = 0
    n_levels_unreadable: int = 0
    n_choices: int = 0
    n_choices_right: int = 0
    n_choices_unreadable: int = 0


class Tally(NamedTuple):
    """What adds up over N samples.

    Attributes:
        numbers: Shape (N, S), the columns of `DefectStats`.
        groups: By each name of `BY_CLASS` and `BY_CONCERN`, an entry for each thing that is counted: its sample, and
            its place in `classes` or `concerns`, shape (K,) each.
        classes: Of either side, sorted.
        concerns: Of the multiple-choice questions, sorted.
        ap50: The challenge's own, which follows the order of the file; None for the preset `giqa`.
        lines: Of each sample, the objects and pairs of `per_sample`; empty where nobody asked.
    """

    numbers: Table
    groups: dict[str, tuple[Ints, Ints]]
    classes: list[str]
    concerns: list[str]
    ap50: float | None
    lines: list[dict[str, Any]]

    @property
    def widths(self) -> list[int]:
        """How many columns each of `groups` has in `table`."""
        return [len(self.classes)] * len(BY_CLASS) + [len(self.concerns)] * len(BY_CONCERN)

    def table(self) -> Table:
        """Every sample's sums, shape (N, S + 3 C + 2 D) for C classes and D concerns."""
        count = len(self.numbers)
        parts = [
            np.bincount(sample * width + group, minlength=count * width).reshape(count, width)
            for (sample, group), width in zip(self.groups.values(), self.widths, strict=True)
        ]
        return np.concatenate([self.numbers, *parts], axis=1)

    def sums(self) -> Floats:
        """The sum of `table` over the samples, without the table."""
        parts = [
            np.bincount(group, minlength=width)
            for (_, group), width in zip(self.groups.values(), self.widths, strict=True)
        ]
        return np.concatenate([self.numbers.sum(axis=0), *parts])


def aligned(tallies: Sequence[Tally]) -> list[Tally]:
    """Give tallies the same columns: the classes and concerns of all of them."""
    columns = [(each.classes, each.concerns) for each in tallies]
    names = [sorted({*chain(*its)}) for its in zip(*columns, strict=True)]

    def widened(tally: Tally) -> Tally:
        places = [np.searchsorted(new, old) for new, old in zip(names, (tally.classes, tally.concerns), strict=True)]
        groups = {key: (sample, places[key in BY_CONCERN][of]) for key, (sample, of) in tally.groups.items()}
        return tally._replace(groups=groups, classes=names[0], concerns=names[1])

    return [*map(widened, tallies)]


def joined(tallies: Sequence[Tally]) -> Tally:
    """Parts of the samples, one after the other, as one; the preset `vida` has no parts."""
    first, *_ = parts = aligned(tallies)
    starts = np.cumsum([0, *(len(part.numbers) for part in parts)]).tolist()
    groups = {
        key: (
            np.concatenate([start + part.groups[key][0] for start, part in zip(starts, parts, strict=False)]),
            np.concatenate([part.groups[key][1] for part in parts]),
        )
        for key in first.groups
    }
    numbers, lines = np.concatenate([part.numbers for part in parts]), [*chain(*(part.lines for part in parts))]
    return first._replace(numbers=numbers, groups=groups, lines=lines)


def aggregate(tally: Tally, sums: Floats) -> dict[str, Any]:
    """Turn sums over any of the samples (see `Tally.table`) into scores, 0-1; one that does not exist is None.

    Boxes of one confidence are one point of the curve, so a class's average precision is its precision times its
    recall; `ap50` is the mean over the classes of either side. The challenge's cannot be had from sums: with the
    preset `vida` there are its bounds, `ap50_low` where every miss comes first and `ap50_high` where every hit does;
    and no key defect at all is an accuracy of 0 there.
    """
    fixed, *groups = np.split(sums, np.cumsum([tally.numbers.shape[1], *tally.widths[:-1]]))
    stats, is_vida = DefectStats.of(fixed), tally.ap50 is not None
    by_class = np.stack(groups[: len(BY_CLASS)], axis=1).astype(int).tolist()
    by_concern = np.stack(groups[len(BY_CLASS) :], axis=1).astype(int).tolist()
    classes = {name: _of_class(*its) for name, its in zip(tally.classes, by_class, strict=True) if its[0] or its[1]}
    concerns = {
        name: {"accuracy": right / asked, "n_choices": asked}
        for name, (asked, right) in zip(tally.concerns, by_concern, strict=True)
        if asked
    }
    n_written = stats.n_predicted + (0 if is_vida else stats.n_malformed)
    lowest, highest = (_mean([its[name] or 0.0 for its in classes.values()]) for name in ("ap50", "recall"))
    first = {"ap50_low": lowest, "ap50_high": highest} if is_vida else {"ap50": lowest}
    return {
        **first,
        "box_precision": ratio(stats.n_pairs, n_written),
        "box_recall": ratio(stats.n_pairs, stats.n_reference),
        "box_f1": ratio(2 * stats.n_pairs, n_written + stats.n_reference) if stats.n_reference else None,
        "box_iou": ratio(stats.iou, stats.n_pairs),
        "class_accuracy": ratio(stats.n_same_class, stats.n_pairs),
        "severity_accuracy": ratio(stats.n_same_severity, stats.n_rated),
        "key_accuracy": ratio(stats.n_keys_right, stats.n_keys_predicted or (is_vida and stats.n_levels)),
        "key_recall": ratio(stats.n_keys_found, stats.n_keys_reference),
        "level_accuracy": ratio(stats.n_levels_right, stats.n_levels),
        "choice_accuracy": ratio(stats.n_choices_right, stats.n_choices),
        **{name: getattr(stats, name) for name in DefectStats.names() if name != "iou"},
        "classes": classes,
        "concerns": concerns,
    }


def _of_class(n_predicted: int, n_reference: int, n_right: int) -> dict[str, Any]:
    """The scores of one class, of which there is a box on one side at least."""
    precision, recall = ratio(n_right, n_predicted), ratio(n_right, n_reference)
    return {
        "ap50": (precision or 0.0) * (recall or 0.0),
        "precision": precision,
        "recall": recall,
        "f1": 2 * n_right / (n_predicted + n_reference),
        "n_predicted": n_predicted,
        "n_reference": n_reference,
        "n_right": n_right,
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
