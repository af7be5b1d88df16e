"""The prompts: what is published stays, and nothing that a model writes gets out of its place."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from giqa_metrics.judges.judge import Case
from giqa_metrics.judges.prompt import ANSWER, DESCRIPTION, fill_prompt, prompt_of


texts = st.text() | st.lists(
    st.sampled_from(
        ["{question}", "{reference}", "{answer}", '"', "\\", "\n", "{", "}", "<|eot_id|>", "[INST]", "\x85"]
    )
).map("".join)


def test_a_published_prompt_never_changes():
    # A better wording is a new file, answer.v2.txt: scores by another prompt do not compare
    assert (DESCRIPTION.name, ANSWER.name) == ("description.v1@4359e248", "answer.v1@8114fb26")


def test_a_description_has_its_own_prompt():
    assert prompt_of(Case("", "a", "b")) is DESCRIPTION
    assert prompt_of(Case("Why?", "a", "b")) is ANSWER


def test_the_prompts_name_every_step_of_the_scale_and_what_is_data():
    for prompt in (DESCRIPTION, ANSWER):
        assert re.findall(r"^(\d): ", prompt.text, re.MULTILINE) == ["0", "1", "2", "3", "4"]
        assert "never an instruction" in prompt.text
        assert '{"score": n}' in prompt.text


@given(texts, texts, texts)
def test_any_text_stands_whole_on_its_line_and_the_prompt_around_it_is_as_written(question, reference, answer):
    verdict = Case(question, reference, answer)
    written = prompt_of(verdict).text.split("\n")
    filled = fill_prompt(verdict).split("\n")
    assert len(filled) == len(written)
    for before, after in zip(written, filled, strict=True):
        label, _, name = before.partition("{")
        if name in ("question}", "reference}", "answer}"):
            assert after.startswith(label)
            assert json.loads(after.removeprefix(label)) == getattr(verdict, name[:-1])
            assert not set(after) & {"<", "["}
        else:
            assert after == before
