"""Predicted objects to reference objects, one to one, over many samples at once (protocol section 7).

An object is one box with one name. Samples are the unit of meaning and chunks of them the unit of work: every array
here runs over the objects, or the pairs of objects, of all samples of a chunk.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes, Flags, Floats, Ints, paired_iou
from giqa_datasets.grid import SIDE, Cells
from giqa_datasets.names import WIDTH, Names, distinct, joined, order_of
from giqa_datasets.text_scan import Scan


COARSE = 200  # steps a side
TIE_DIGITS = 3  # further down, where what breaks a tie of IoU stays below what is none
DIGITS = 9  # IoU and similarity are rounded to it, so that a threshold or a tie does not hang on the last bit


class Objects(NamedTuple):
    """The objects of many samples: by sample, then smaller cell pair, exact corners, and alphabet; or as they stand.

    Attributes:
        sample: Shape (N,), rising.
        name: Shape (N,), which of the names that both sides share.
        cells: Shape (N, 2), the box on the grid.
        boxes: Shape (N, 4), normalised xyxy.
        is_on_grid: Whether every box is that of its cells.
    """

    sample: Ints
    name: Ints
    cells: Cells
    boxes: Boxes
    is_on_grid: bool


class Pairs(NamedTuple):
    """Pairs of a predicted and a reference object of one sample that overlap: by sample, reference and prediction.

    Attributes:
        sample: Shape (K,).
        predicted: Shape (K,), index of the predicted object.
        reference: Shape (K,), index of the reference object.
        iou: Shape (K,), above 0.
    """

    sample: Ints
    predicted: Ints
    reference: Ints
    iou: Floats


def objects(predicted: Scan, reference: Scan, *, repeats: bool = False) -> tuple[Objects, Objects, Names]:
    """Find the objects of both sides: the same name with the same box counts once a sample.

    Args:
        predicted: One side.
        reference: The other side, the same samples.
        repeats: Count every box that is written, and keep them in reading order.

    Returns:
        Predicted objects, reference objects, and the names they share.
    """
    names, place = distinct(joined(predicted.names, reference.names))
    split = len(predicted.names.keys)
    sides = (predicted, place[:split]), (reference, place[split:])
    if repeats:
        mine, theirs = (
            Objects(side.text, its[side.name], side.cells, side.boxes, side.is_on_grid) for side, its in sides
        )
    else:
        mine, theirs = (_distinct(side, its, names) for side, its in sides)
    return mine, theirs, names


def _distinct(side: Scan, place: Ints, names: Names) -> Objects:
    """Sort one side's boxes and drop what is there twice."""
    name = place[side.name]
    count = len(names.keys)
    key = (side.text * (SIDE**4 + len(side.boxes)) + _box_rank(side)) * count + name
    order = _stable(key)
    ranked = key[order]
    is_new = np.diff(ranked, prepend=-1) != 0
    first = _alphabetical(order[is_new], ranked[is_new] // count, name, names)
    return Objects(
        side.text[first],
        name[first],
        side.cells.take(first, axis=0),
        side.boxes.take(first, axis=0),
        side.is_on_grid,
    )


def _alphabetical(objects: Ints, box: Ints, name: Ints, names: Names) -> Ints:
    """Put objects that share a box of a sample in the order of their names; they are few."""
    is_next = np.append(np.diff(box) == 0, False)
    shared = np.flatnonzero(is_next | np.roll(is_next, 1))
    spelling = names.keys[name[objects[shared]], :-1].view(f"S{WIDTH}").ravel()
    objects[shared] = objects[shared[np.lexsort((spelling, box[shared]))]]
    return objects


def _box_rank(side: Scan) -> Ints:
    """A number per box, the same for the same box, in the order of cell pairs and then of exact corners."""
    by_cells: Ints = side.cells[:, 0] * SIDE**2 + side.cells[:, 1]
    if side.is_on_grid:
        return by_cells
    order = np.lexsort((*side.boxes.T[::-1], by_cells))
    steps = np.any(np.diff(side.boxes[order], axis=0, prepend=-1), axis=1)
    rank = np.empty_like(by_cells)
    rank[order] = np.cumsum(steps)
    return rank


def pairs(predicted: Objects, reference: Objects, n_samples: int) -> Pairs:
    """List the pairs with IoU above 0."""
    p, r = couples(predicted.sample, reference.sample, n_samples)
    near = np.flatnonzero(_may_overlap(predicted.boxes, reference.boxes, p, r))
    p, r = p[near], r[near]
    iou = paired_iou(predicted.boxes.take(p, axis=0), reference.boxes.take(r, axis=0))
    kept = np.flatnonzero(iou)
    return Pairs(reference.sample[r[kept]], p[kept], r[kept], iou[kept])


def couples(predicted: Ints, reference: Ints, n_samples: int) -> tuple[Ints, Ints]:
    """List every predicted with every reference object of its sample: indices, by reference and prediction.

    Args:
        predicted: The sample of each predicted object, rising.
        reference: The sample of each reference object, rising.
        n_samples: More than the highest.
    """
    n_predicted = np.bincount(predicted, minlength=n_samples)
    begin = np.cumsum(n_predicted) - n_predicted
    partners = n_predicted[reference]  # of each reference object
    r = np.repeat(np.arange(len(partners)), partners)
    p = np.arange(len(r)) + np.repeat(begin[reference] - (np.cumsum(partners) - partners), partners)
    return p, r


def _may_overlap(a: Boxes, b: Boxes, p: Ints, r: Ints) -> Flags:
    """Whether box p[k] of the one and box r[k] of the other might overlap: true if they do, and seldom otherwise.

    Corners are rounded outwards to bytes, so that the columns of all pairs fit the processor's nearest cache.
    """
    low_a, low_b = (np.floor(boxes[:, :2].T * COARSE).astype(np.uint8) for boxes in (a, b))
    high_a, high_b = (np.ceil(boxes[:, 2:].T * COARSE).astype(np.uint8) for boxes in (a, b))
    near = np.ones(len(p), dtype=np.bool_)
    for axis in range(2):
        near &= low_a[axis].take(p) < high_b[axis].take(r)
        near &= low_b[axis].take(r) < high_a[axis].take(p)
    return near


def falling(pairs: Pairs, likeness: Floats | None = None) -> Ints:
    """Order of the pairs by falling IoU, then falling likeness, then as they stand."""
    key = -np.rint(pairs.iou * 10**DIGITS).astype(np.int64)
    if likeness is not None:
        key = key * (4 * 10**DIGITS) - np.rint(likeness * 10**DIGITS).astype(np.int64)
    return _stable(key)


def _stable(key: Ints) -> Ints:
    """A stable argsort of numbers with a sign."""
    return order_of(key.view(np.uint64) ^ np.uint64(1 << 63))


def greedy(pairs: Pairs, order: Ints) -> Ints:
    """Match one to one: take the pairs in order, each unless one of its objects is taken.

    In rounds: a pair that comes first for both of its objects is taken whatever else happens, so all such pairs are
    taken at once. The outcome is that of one pair after another.

    Returns:
        Indices of the pairs that match, in order.
    """
    predicted, reference = pairs.predicted[order], pairs.reference[order]
    first_predicted, first_reference = (
        np.empty(side.max(initial=-1) + 1, np.int64) for side in (predicted, reference)
    )
    free_predicted, free_reference = (np.ones(len(side), np.bool_) for side in (first_predicted, first_reference))
    matched = []
    left = np.arange(len(order))
    while len(left):
        p, r = predicted[left], reference[left]
        first_predicted[p[::-1]] = left[::-1]  # of an index that repeats, the last assignment holds
        first_reference[r[::-1]] = left[::-1]
        taken = (first_predicted[p] == left) & (first_reference[r] == left)
        matched.append(left[taken])
        free_predicted[p[taken]] = free_reference[r[taken]] = False
        left = left[free_predicted[p] & free_reference[r]]
    return order[np.sort(np.concatenate(matched))] if matched else order


def largest_total(pairs: Pairs, likeness: Floats) -> Ints:
    """Match one to one so that each sample's sum of IoU is as large as it can be, and of equal ones that of likeness.

    A pair whose objects are in no other pair matches whatever else happens; the others go through scipy's assignment,
    a sample at a time.

    Args:
        pairs: By sample.
        likeness: Of each pair, shape (K,), 0 to 3.

    Returns:
        Indices of the pairs that match, rising.
    """
    from scipy.optimize import linear_sum_assignment

    partners = [np.bincount(side)[side] for side in (pairs.predicted, pairs.reference)]
    is_alone = (partners[0] == 1) & (partners[1] == 1)
    tangled = np.flatnonzero(~is_alone)
    starts = np.flatnonzero(np.diff(pairs.sample[tangled], prepend=-1))
    predicted, reference = (_from_first(side[tangled], starts) for side in (pairs.predicted, pairs.reference))
    weight = (pairs.iou.round(DIGITS) + likeness * 10.0 ** -(DIGITS + TIE_DIGITS))[tangled]
    matched = [np.flatnonzero(is_alone)]
    for start, end in pairwise([*starts.tolist(), len(tangled)]):
        p, r, its = predicted[start:end], reference[start:end], weight[start:end]
        table = np.zeros((p.max() + 1, r.max() + 1))
        table[p, r] = its
        row, column = linear_sum_assignment(table, maximize=True)
        place = np.full(table.shape, -1)
        place[p, r] = tangled[start:end]
        chosen = place[row, column]
        matched.append(chosen[chosen >= 0])
    return np.sort(np.concatenate(matched))


def _from_first(objects: Ints, starts: Ints) -> Ints:
    """Number objects from the lowest of their part; parts begin at `starts`."""
    if not len(starts):
        return objects
    low = np.minimum.reduceat(objects, starts)
    numbers: Ints = objects - np.repeat(low, np.diff(np.append(starts, len(objects))))
    return numbers
