"""What is no list of texts is one sentence, the same from all three metrics and all their doors."""

import numpy as np
import pandas as pd
import pytest

from giqa_datasets import Region
from giqa_metrics import giqa_defects, giqa_description, giqa_grounding, giqa_vqa, load
from giqa_metrics.inputs import sizes_of, sizes_read


TEXT = "The [cup](<3, 254>) is blurred."


def grounding(**texts):
    return giqa_grounding(**texts, similarity="exact")


def vqa(**texts):
    return giqa_vqa(**texts, questions=["What?"], question_types=["what"])


def through(name: str, **options):
    def compute(**texts):
        return load(name).compute(**texts, **options)

    return compute


def added(name: str, **options):
    def compute(**texts):
        module = load(name)
        module.add_batch(**texts)
        return module.compute(**options)

    return compute


ASKED = {"questions": ["What?"], "question_types": ["what"]}
DOORS = {
    "giqa_grounding": grounding,
    "giqa_description": giqa_description,
    "giqa_vqa": vqa,
    "giqa_defects": giqa_defects,
    "evaluate giqa_grounding": through("giqa_grounding", similarity="exact"),
    "evaluate giqa_description": through("giqa_description"),
    "evaluate giqa_vqa": through("giqa_vqa", **ASKED),
    "add_batch": added("giqa_grounding", similarity="exact"),
}
WRONG = {
    "a text": (TEXT, f"expected a list of texts in predictions, got {TEXT!r}"),
    "bytes": (b"Yes.", "expected a list of texts in predictions, got b'Yes.'"),
    "a number": (7, "expected a list of texts in predictions, got 7"),
    "an object": ({"a": 1}, "expected a list of texts in predictions, got {'a': 1}"),
    "False in it": ([False], "expected a text in predictions, got False at 0"),
    "a number in it": ([7], "expected a text in predictions, got 7 at 0"),
    "bytes in it": ([b"Yes."], "expected a text in predictions, got b'Yes.' at 0"),
    "a list in it": ([[TEXT]], "expected a text in predictions, got ['The [cup](<3, 254>) is blurred.'] at 0"),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(("values", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_no_list_of_texts_is_named_by_its_place(door, values, sentence):
    with pytest.raises(ValueError, match="expected a") as error:
        door(predictions=values, references=[TEXT])
    assert str(error.value) == sentence
    with pytest.raises(ValueError, match="in references, got"):
        door(predictions=[TEXT], references=values)


@pytest.mark.parametrize("door", [grounding, giqa_description, vqa, giqa_defects])
def test_no_column_is_no_list(door):
    with pytest.raises(ValueError, match="expected a list of texts in references, got None"):
        door(predictions=[TEXT], references=None)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT], ids=str)
def test_what_pandas_has_for_nothing_is_no_answer(door, missing):
    nothing = door(predictions=[None], references=[TEXT])
    assert door(predictions=[missing], references=[TEXT]) == nothing
    assert door(predictions=pd.Series([missing], dtype=object), references=[TEXT]) == nothing


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_columns_of_other_libraries_are_lists(door):
    expected = door(predictions=[TEXT], references=[TEXT])
    for values in (pd.Series([TEXT]), np.array([TEXT]), np.array([TEXT], dtype=object), (TEXT,)):
        assert door(predictions=values, references=values) == expected


def test_one_sample_is_held_to_be_texts_too():
    module = load("giqa_grounding")
    with pytest.raises(ValueError, match="expected a text in prediction, got 7 at 0"):
        module.add(prediction=7, reference=TEXT)
    module = load("giqa_grounding")
    module.add(prediction=None, reference=TEXT)
    assert module.compute(similarity="exact")["n_samples"] == 1


def test_a_question_cannot_be_missing():
    with pytest.raises(ValueError, match="expected a text in questions, got None at 0"):
        giqa_vqa(["Yes."], ["Yes."], [None], ["yes_no"])  # type: ignore[list-item]


BOX = [0.1, 0.2, 0.3, 0.4]
ROW = {"phrase": "cup", "role": "answer", "boxes": [BOX]}


@pytest.mark.parametrize(
    "regions",
    [
        [Region("cup", (0, 3), np.array([BOX]))],
        np.array([ROW], dtype=object),
        [ROW | {"boxes": np.array([BOX])}],
        [ROW | {"boxes": pd.Series([np.array(BOX, dtype=np.float32)]).to_numpy()}],
        pd.DataFrame([{"regions": [ROW, ROW | {"role": "question"}]}])["regions"][0],
    ],
    ids=["regions", "numpy", "an array of boxes", "an array of arrays", "pandas"],
)
def test_regions_may_come_as_libraries_give_them(regions):
    scores = giqa_grounding([TEXT], [""], similarity="exact", exact_references=pd.Series([regions]))
    assert scores["n_reference"] == 1


@pytest.mark.parametrize(
    ("exact", "sentence"),
    [
        (None, None),
        ("cup", "expected a list of lists of regions in exact_references, got 'cup'"),
        ([ROW], "expected a list of regions in exact_references at 0"),
        ([["cup"]], "expected regions with phrase, role and boxes in exact_references, got 'cup' at 0"),
        ([[{"phrase": "cup", "boxes": [BOX]}]], "expected regions with phrase, role and boxes in exact_references"),
        ([[ROW | {"boxes": 7}]], "expected regions with phrase, role and boxes in exact_references"),
        ([[ROW | {"boxes": [BOX[:3]]}]], "exact_references at 0: expected boxes of shape (N, 4), got (1, 3)"),
        ([[ROW], [ROW]], "expected 1 exact_references, got 2"),
    ],
    ids=str,
)
def test_regions_of_another_shape_are_one_sentence(exact, sentence):
    options = {"similarity": "exact", "exact_references": exact}
    if sentence is None:
        assert giqa_grounding([TEXT], [TEXT], **options)["n_reference"] == 1
        return
    with pytest.raises(ValueError, match=r"expected|got") as error:
        giqa_grounding([TEXT], [TEXT], **options)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("sizes", [7, "640x480", [640, 480], [(640,)], [(0, 480)], [("640", "480")]], ids=str)
def test_sizes_of_another_shape_are_one_sentence(sizes):
    with pytest.raises(ValueError, match="image_sizes"):
        sizes_of("shikra", ["a"], sizes)


def test_sizes_may_come_as_libraries_give_them():
    for sizes in (np.array([[640, 480]]), pd.Series([np.array([640, 480])]), [[640, 480]]):
        assert sizes_of("shikra", ["a"], sizes)[0].image == (640, 480)
    assert sizes_of("qwen2_5_vl", ["a"], [(640, 480)], pd.Series([float("nan")]))[0].input is None


def test_sizes_of_some_answers_alone_are_refused():
    two, sizes = ["[cup](<3, 254>)", "[cup](<5, 254>)"], [(560, 420), None]
    with pytest.raises(ValueError, match=r"expected its size with every answer or with none, got it with 1 of 2$"):
        giqa_grounding(two, two, box_format="pixels", image_sizes=[(640, 480)] * 2, input_sizes=sizes)
    assert sizes_read("pixels", ["a", None], sizes) == "given"
    assert sizes_read("giqa", two, sizes) is None
