"""The offline tagger says nothing false of sentences that deny, compare or imagine; its questions are grammatical."""

import importlib
import sys

import numpy as np
import pytest

from giqa_datasets.pipeline.backends.template_asker import TemplateAsker
from giqa_datasets.records import Tag
from tests.paths import BENCHMARKS


sys.path.insert(0, str(BENCHMARKS))
benchmark = importlib.import_module("tags")


@pytest.fixture(scope="module")
def tagged():
    return list(benchmark.tagged())


def test_there_are_a_hundred_sentences_and_no_false_tag(tagged):
    assert len(tagged) >= 100
    assert {row.text: row.false for row in tagged if row.false} == {}


@pytest.mark.parametrize("part", benchmark.PARTS)
def test_most_of_what_is_right_is_found(tagged, part):
    of_part = [row for row in tagged if row.part == part]
    assert sum(row.n_found for row in of_part) >= 0.8 * sum(row.n_right for row in of_part)


def test_a_quality_in_doubt_is_dropped_for_that_reason(tagged):
    by_text = {row.text: row.unsure for row in tagged}
    assert by_text["The harbour is well exposed, yet the boat is hardly sharp."] == ["boat"]
    assert by_text["The dog is not blurred."] == ["dog"]


@pytest.mark.parametrize(
    ("phrase", "yes", "how"),
    [
        ("tulips", "Are the tulips sharp?", "How do the tulips look?"),
        ("people on the pier", "Are the people on the pier sharp?", "How do the people on the pier look?"),
        ("bowl of oranges", "Is the bowl of oranges sharp?", "How does the bowl of oranges look?"),
        ("glass", "Is the glass sharp?", "How does the glass look?"),
        ("wine glasses", "Are the wine glasses sharp?", "How do the wine glasses look?"),
        ("lens", "Is the lens sharp?", "How does the lens look?"),
        ("bus", "Is the bus sharp?", "How does the bus look?"),
        ("scissors", "Are the scissors sharp?", "How do the scissors look?"),
        ("cup and saucer", "Are the cup and saucer sharp?", "How do the cup and saucer look?"),
    ],
)
def test_a_question_has_the_verb_of_its_object(phrase, yes, how):
    tag = Tag(phrase, (0, len(phrase)), "sharp", "positive", np.zeros((0, 4)))
    asked = {one.question for seed in range(30) for one in TemplateAsker().ask([""], [[tag]], [seed])[0]}
    assert {yes, how} <= asked
