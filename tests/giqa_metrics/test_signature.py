"""A signature names what can move a score: two numbers that can differ never share one."""

from functools import partial

import numpy as np
import pytest

from giqa_datasets.grid import SIDE
from giqa_metrics import giqa_description, giqa_grounding
from giqa_metrics.grounding import CHUNK
from giqa_metrics.signature import qualified


CELLS, DECIMALS, NONE = "The [cup](<42, 210>).", "The [cup](<0.10, 0.10, 0.50, 0.50>).", "The cup."


def alike(a, b, floor=0.0):
    return np.full((len(a), len(b)), floor)


class Alike:
    def __call__(self, a, b):
        return alike(a, b)


class Judge:
    name = ""

    def judge(self, batch):
        return [2] * len(batch)


def part(scores, name):
    return dict(each.split(":", 1) for each in scores["signature"].split("|")[1:])[name]


@pytest.mark.parametrize(
    ("references", "form"),
    [
        ([CELLS, NONE], "cells"),
        ([DECIMALS, NONE], "decimals"),
        ([CELLS, DECIMALS], "mixed"),
        ([f"{CELLS} {DECIMALS}"], "mixed"),
        ([CELLS] * CHUNK + [DECIMALS], "mixed"),
        ([NONE, None], "none"),
        ([f"{CELLS} [a [b](<3"], "cells"),
    ],
    ids=["cells", "decimals", "mixed", "in one text", "in another chunk", "none", "broken"],
)
def test_the_references_forms_are_those_found(references, form):
    scores = giqa_grounding([CELLS] * len(references), references, similarity="exact")
    assert part(scores, "references") == form


def test_every_cell_box_is_one_of_cells_however_its_text_is_read():
    boxes = [
        f"[x](<{top * SIDE + left}, {bottom * SIDE + right}>)"
        for top in range(0, SIDE, 3)
        for left in range(SIDE)
        for bottom in range(top, SIDE, 5)
        for right in range(left, SIDE, 3)
    ]
    for broken in ("", " [y](<3"):
        scores = giqa_grounding([CELLS], [" ".join(boxes) + broken], similarity="exact")
        assert part(scores, "references") == "cells"


def test_a_users_similarity_is_named_by_module_and_qualified_name():
    here = __name__
    assert part(giqa_grounding([CELLS], [CELLS], similarity=alike), "names") == f"{here}.alike>0.5"
    assert qualified(Alike()) == f"{here}.Alike"
    assert qualified(Alike().__call__) == f"{here}.Alike.__call__"
    assert qualified(partial(alike, floor=0.2)) != qualified(partial(alike, floor=0.3))
    one = lambda a, b: alike(a, b)  # noqa: E731
    other = lambda a, b: alike(a, b, 1.0)  # noqa: E731
    assert qualified(one) != qualified(other)
    assert "|" not in qualified(partial(alike, "a|b"))


def test_a_users_judge_is_named_by_itself_or_by_its_class():
    judge = Judge()
    assert part(giqa_description([CELLS], [CELLS], judge=judge), "judge") == f"{__name__}.Judge"
    judge.name = "mine@2"
    assert part(giqa_description([CELLS], [CELLS], judge=judge), "judge") == "mine@2"
