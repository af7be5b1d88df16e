"""Texts that break readers, and what holds for the reading of any text; for the tests of formats and replies."""

import numpy as np
from hypothesis import strategies as st

from giqa_datasets import FORMATS, Region, Sizes, box_format


SIZES = Sizes(image=(400, 200))
PLAIN = "The tower and the dogs are sharp."
TOWER = np.array([[0.125, 0.375, 0.475, 0.775]])
DOGS = np.array([[0.025, 0.025, 0.075, 0.075], [0.525, 0.025, 0.975, 0.975]])
REGIONS = [Region("tower", (4, 9), TOWER), Region("dogs", (18, 22), DOGS)]
PIECES = [
    *"[]{}<>()`,;:.-+\"'\\0123456789eE \n\té²",
    *("dog", "the", "0.5", "100", "[1, 2, 3, 4]", "[0.1,0.2,0.5,0.6]", "[", "[[", "]]", "], [", ";", "nan", "1e999"),
    *("<phrase>", "</phrase>", "<object>", "</object>", "<patch_index_0044>", "<patch_index_0863>", "<patch_index_"),
    *("</delimiter_of_multi_objects/>", "<grounding>", "</s>", "<ref>", "</ref>", "<box>", "</box>", "<ref>dog</ref>"),
    *("```json\n", "```", '{"bbox_2d": [', '"bbox_2d"', '"label": "', '"label"', '"}', '{"bbox_2d": [1, 2, 3, 4]'),
    *('"label": "dog"}', '{"bbox_2d": [100, 20, 300, 40], "label": "dog"}', "[dog](<142, 309>)", "\\ud800", '{"'),
    *("(1,2),(3,4)", "(", ")", "<box>1 2 3 4</box>", "<box>(1,2),(3,4)</box>", "<|box_start|>", "<|box_end|>"),
    *("<|object_ref_start|>dog<|object_ref_end|>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|begin_of_box|>"),
    *(
        "<|end_of_box|>",
        "<loc_12>",
        "<loc0012>",
        "<loc_1><loc_2><loc_3><loc_4>",
        "<loc0001><loc0002><loc0003><loc0004>",
    ),
    *("<loc", "<seg012>", '"box_2d": [1, 2, 3, 4]', '"bbox": [1, 2, 3, 4], "name": "dog"', '{"a": {', "}}", "]}"),
    *("<object><patch_index_0044><patch_index_0863></object>", "<box>[[1, 2, 3, 4]]</box>", "<phrase> dog</phrase>"),
]
shuffled = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
WHOLE = sorted({box_format(name).write(PLAIN, REGIONS, SIZES) for name in FORMATS})
broken = st.tuples(st.sampled_from(WHOLE), st.integers(0, 260), st.integers(0, 12), shuffled).map(
    lambda case: case[0][: case[1]] + case[3] + case[0][case[1] + case[2] :]
)


def assert_consistent(grounded):
    """What holds for the reading of any string."""
    end = 0
    for found in grounded.regions:
        assert end <= found.span[0] < found.span[1] <= len(grounded.plain)
        assert grounded.plain[slice(*found.span)] == found.phrase
        assert found.phrase.strip()
        assert found.boxes.shape == (len(found.boxes), 4)
        assert len(found.boxes) >= 1
        assert ((found.boxes >= 0) & (found.boxes <= 1)).all()
        assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
        end = found.span[1]
    end = 0
    for wrong in grounded.malformed:
        assert end <= wrong.span[0] < wrong.span[1] <= len(grounded.text)
        end = wrong.span[1]
    ends = [0, *(stop for _, stop in grounded.markup)]
    starts = [*(start for start, _ in grounded.markup), len(grounded.text)]
    assert sorted([*ends, *starts]) == [n for pair in zip(ends, starts, strict=True) for n in pair]
    kept = "".join(grounded.text[end:start] for end, start in zip(ends, starts, strict=True))
    assert grounded.plain.startswith(kept)  # labels that the prose lacks follow
