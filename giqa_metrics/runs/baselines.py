"""Blind baselines: what a model that sees nothing would score on the same references."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from giqa_datasets.boxes import Boxes, iou
from giqa_datasets.grid import SIDE, cells_to_boxes
from giqa_datasets.text_scan import Scan
from giqa_metrics.defects.answers import split_name
from giqa_metrics.description import best_constant


MANY = 500  # different samples that look at all boxes of the grid; references that are tried as a constant description
CANDIDATES = 50
GRID = 4  # the baseline of a grid has GRID x GRID boxes
VERDICTS = {"always Yes": "Yes.", "always No": "No."}


def blind_boxes(references: Sequence[Scan]) -> dict[str, str]:
    """Write the answers that hold blind boxes: one text per baseline, given to every sample.

    Boxes carry the name that most references hold, so that Tag-Recall is not lost on the name alone. The constant
    box is the one of the grid's 44,100 that fits these very references best, see `best_constant_cells`.

    Args:
        references: As they were read, a part after the other.

    Returns:
        Answer by the baseline's name; none where the references hold no box.
    """
    phrases: Counter[str] = Counter()
    for part in references:
        named = np.unique(np.stack([part.text, part.name], axis=1), axis=0)[:, 1]  # once a sample
        names, counts = np.unique(named, return_counts=True)
        phrases.update(dict(zip(part.names.spell(names), counts.tolist(), strict=True)))
    if not phrases:
        return {}
    name = min(phrases, key=lambda phrase: (-phrases[phrase], phrase))
    boxes = [each for part in references for each in _by_sample(part)]
    baselines = {
        "whole image": [(0, SIDE * SIDE - 1)],
        f"grid of {GRID} x {GRID} boxes": _grid_cells(),
        "best constant box": [best_constant_cells(boxes)],
    }
    return {
        title: f"[{name}]({', '.join(f'<{first}, {last}>' for first, last in cells)})"
        for title, cells in baselines.items()
    }


def blind_defects(references: Sequence[Scan]) -> dict[str, str]:
    """Write the answers that name a defect without looking: one text per baseline, given to every sample.

    One calls the whole image of low clarity; the other puts the class that most references hold where one box fits
    its boxes best, see `best_constant_cells`. Each has the severity that is most frequent.

    Args:
        references: As `giqa_metrics.defects.answers.by_class` names them, a part after the other.

    Returns:
        Answer by the baseline's name; none where the references hold no box.
    """
    said = [[split_name(name) for name in part.names.spell(part.name)] for part in references]
    holding = Counter[str]()
    for part, names in zip(references, said, strict=True):
        classes = [category for category, _ in names]
        holding.update(category for category, _ in set(zip(classes, part.text.tolist(), strict=True)))
    if not holding:
        return {}
    frequent = min(holding, key=lambda category: (-holding[category], category))
    boxes = []
    for part, names in zip(references, said, strict=True):
        its = np.array([category == frequent for category, _ in names], np.bool_)
        boxes += _by_sample(part._replace(text=part.text[its], boxes=part.boxes[its]))
    baselines = {
        "whole image, low clarity": ("low clarity", (0, SIDE * SIDE - 1)),
        "most frequent class, best constant box": (frequent, best_constant_cells(boxes)),
    }
    severity = Counter(severity for names in said for _, severity in names).most_common(1)[0][0]
    return {
        title: f"[{f'{severity} {category}'.strip()}](<{first}, {last}>)"
        for title, (category, (first, last)) in baselines.items()
    }


def constant(answer: Scan, count: int) -> Scan:
    """Give every one of `count` samples the boxes of one text.

    Example:
        >>> from giqa_datasets.text_scan import scan
        >>> constant(scan(["[dog](<0, 21>)"]), 2).text.tolist()
        [0, 1]
    """
    n_boxes = len(answer.text)
    return answer._replace(
        text=np.repeat(np.arange(count), n_boxes),
        name=np.tile(answer.name, count),
        cells=np.tile(answer.cells, (count, 1)),
        boxes=np.tile(answer.boxes, (count, 1)),
    )


def frequent_answers(truths: Sequence[str], question_types: Sequence[str]) -> list[str]:
    """Give every question the answer that its type has most often; of equally many, the first one.

    Args:
        truths: The right answers, plain texts.
        question_types: One for each.

    Example:
        >>> frequent_answers(["Noise.", "Blur.", "Blur.", "No."], ["what", "what", "what", "yes_no"])
        ['Blur.', 'Blur.', 'Blur.', 'No.']
    """
    counts: dict[str, Counter[str]] = {}
    for truth, kind in zip(truths, question_types, strict=True):
        counts.setdefault(kind, Counter())[truth] += 1
    frequent = {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}
    return [frequent[kind] for kind in question_types]


def constant_description(references: Sequence[str], images: Sequence[Hashable]) -> int | None:
    """Find the reference that does best as the answer to every other photograph: the one with the highest BLEU@4.

    A photograph has one reference in this, its first; of more than `MANY` photographs, `MANY`, evenly spaced, are
    tried, each against the other ones of them.

    Args:
        references: Plain texts.
        images: The photograph of each.

    Returns:
        Its index; None where there is but one photograph.

    Example:
        >>> constant_description(["The cup is dark.", "A cup.", "The cup is dark, too."], ["a", "a", "b"])
        0
    """
    firsts: dict[Hashable, int] = {}
    for place, image in enumerate(images):
        firsts.setdefault(image, place)
    if len(firsts) < 2:
        return None
    tried = list(firsts.values())[:: -(-len(firsts) // MANY)]
    return tried[best_constant([references[place] for place in tried])]


def dealt(images: Sequence[Hashable], seed: int) -> list[int] | None:
    """Deal the answers to samples of other photographs: each answer once, none to its own photograph.

    Photographs are put in a random order, and every sample takes the answer that stands as many samples on as the
    most that a photograph has.

    Args:
        images: The photograph of each sample.
        seed: Of the order.

    Returns:
        Of each sample, whose answer it takes; None where a photograph has more than half of the samples, so that it
        cannot be done.

    Example:
        >>> dealt(["a", "a", "b", "b"], seed=0)
        [2, 3, 0, 1]
    """
    count = Counter(images)
    most = max(count.values(), default=0)
    if not images or 2 * most > len(images):
        return None
    rank = dict(zip(count, np.random.default_rng(seed).permutation(len(count)).tolist(), strict=True))
    order = np.argsort([rank[image] for image in images], kind="stable")
    taken = np.empty_like(order)
    taken[order] = np.roll(order, -most)
    return [int(place) for place in taken]


def best_constant_cells(boxes: Sequence[Boxes]) -> tuple[int, int]:
    """Find the cell pair whose box has the highest mean IoU, per sample the best over its boxes.

    Of more than `MANY` different samples, `MANY` say which `CANDIDATES` boxes are compared on all of them.

    Args:
        boxes: Per sample, shape (N, 4) with N >= 1.

    Example:
        >>> best_constant_cells([cells_to_boxes(np.array([[21, 84]]))])
        (21, 84)
    """
    # Every rectangle of the grid, and every distinct sample once
    first, last = np.divmod(np.arange(SIDE**4), SIDE**2)
    pairs = np.stack([first, last], axis=1)[(first % SIDE <= last % SIDE) & (first // SIDE <= last // SIDE)]
    weights = Counter(each.tobytes() for each in boxes)
    distinct = [(np.frombuffer(raw).reshape(-1, 4), weight) for raw, weight in weights.items()]
    rectangles, total = cells_to_boxes(pairs), np.zeros(len(pairs))
    for each, weight in distinct[:: -(-len(distinct) // MANY)]:
        total += weight * iou(rectangles, each).max(axis=1)
    best = int(total.argmax())
    if len(distinct) > MANY:
        every = np.concatenate([each for each, _ in distinct])
        starts = np.cumsum([0, *(len(each) for each, _ in distinct[:-1])])
        weighed = np.array([weight for _, weight in distinct])
        some = np.sort(np.argsort(-total, kind="stable")[:CANDIDATES])
        fits = [np.maximum.reduceat(iou(rectangles[at : at + 1], every)[0], starts) @ weighed for at in some.tolist()]
        best = int(some[np.argmax(fits)])
    best_first, best_last = pairs[best].tolist()
    return best_first, best_last


def _by_sample(part: Scan) -> list[Boxes]:
    """The boxes of each sample that has any."""
    return np.split(part.boxes, np.flatnonzero(np.diff(part.text)) + 1) if len(part.text) else []


def _grid_cells() -> list[tuple[int, int]]:
    """Cell pairs of a grid of equal boxes."""
    step = SIDE // GRID
    corners = [row * step * SIDE + column * step for row in range(GRID) for column in range(GRID)]
    return [(corner, corner + (step - 1) * (SIDE + 1)) for corner in corners]
