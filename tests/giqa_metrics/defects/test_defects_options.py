"""What giqa_defects is given: options and objects that are none get one sentence, and the signature names them."""

import pytest

from giqa_metrics import giqa_defects


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": "coco"}, r"expected a preset out of \['giqa', 'vida'\], got 'coco'"),
        ({"iou_threshold": 0}, r"expected iou_threshold in \(0, 1\], got 0"),
        ({"objects": [{"bbox": [], "category": []}]}, "objects have boxes in pixels: expected image_sizes, got none"),
        ({"images": ["a", "b"]}, "expected 1 images, got 2"),
        (
            {"candidates": [["Minor", "Severe"]]},
            r"expected a reference out of \['Minor', 'Severe'\], got 'noise' at 0",
        ),
        ({"candidates": ["AB"]}, "expected a list of texts in candidates at 0, got 'AB'"),
        ({"concerns": [3]}, "expected a text in concerns, got 3 at 0"),
    ],
)
def test_options_are_refused_in_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        giqa_defects(["noise"], ["noise"], **options)


@pytest.mark.parametrize(
    "its",
    [
        {"bbox": [[0, 0, 5, 5]], "category": []},
        {"bbox": [[0, 0, 5, 5]]},
        {"bbox": [[0, 0, 5, 5]], "category": [3]},
        {"bbox": [[0, 0, 0, 5]], "category": ["noise"]},
        {"bbox": [[0, 0, 500, 5]], "category": ["noise"]},
        {"bbox": [[0, 0, float("nan"), 5]], "category": ["noise"]},
        {"bbox": [[0, 0, 5]], "category": ["noise"]},
        [{"category": "noise"}],
        [3],
        3,
    ],
)
def test_objects_that_are_none_are_refused_by_their_place(its):
    with pytest.raises(ValueError, match=r"inside \(100, 100\), in objects at 1, got"):
        giqa_defects(["", ""], ["", ""], objects=[None, its], image_sizes=[(100, 100)] * 2)


def test_the_signature_names_what_moves_the_number():
    text = ["[noise](<0, 21>)"]
    ours, theirs = (giqa_defects(text, text, **options)["signature"] for options in ({}, {"iou_threshold": 0.7}))
    assert ours.startswith("giqa_defects|rules:v1|reply:v2|format:giqa|references:text|classes:14|ap:one-point|")
    assert ("|iou:>=0.5|" in ours, "|iou:>=0.7|" in theirs) == (True, True)
