"""What an answer says, by the rule that `read_yes_no` documents."""

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from giqa_metrics.yes_no import read_yes_no
from tests.paths import DATA


ROWS = json.loads((DATA / "yes_no.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["why"])
def test_the_table_of_answers(row):
    assert read_yes_no(row["answer"]) == row["expected"]


def test_the_table_is_long_enough():
    assert len(ROWS) >= 120


@given(st.text())
def test_any_text_is_yes_no_or_unreadable(text):
    assert read_yes_no(text) in ("yes", "no", None)


@given(st.sampled_from(["yes", "no"]), st.text())
def test_an_answer_that_begins_with_the_word_says_it_whatever_follows(word, rest):
    assume(not rest.lstrip()[:1].isdigit())  # "No. 5" is a number
    assume(not re.match(r"\W*(?:yes|no)", rest, re.IGNORECASE))  # "Yes. No." is both
    assert read_yes_no(f"{word.title()}. {rest}") == word


@given(st.text(alphabet="abcdf .,!?\n"))
def test_a_text_without_the_words_is_unreadable(text):
    assert read_yes_no(text) is None


def test_a_letter_that_folds_to_s_does_not_turn_yes_into_no():
    assert read_yes_no("Ye\u017f.") != "no"
