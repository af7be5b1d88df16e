"""The prompts: what is published stays, and nothing that a model writes gets out of its place."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_metrics.judges.judge import Case
from giqa_metrics.judges.prompt import FOLDER, fill_prompt, prompt_named, prompts_named
from giqa_metrics.judges.reply import read_score


PROMPTS = [prompt_named(path.stem) for path in sorted(FOLDER.iterdir())]
texts = st.text() | st.lists(
    st.sampled_from(
        ["{question}", "{reference}", "{answer}", '"', "\\", "\n", "{", "}", "<|eot_id|>", "[INST]", "\x85"]
    )
).map("".join)


def test_a_published_prompt_never_changes():
    # A better wording is a new file, answer.v3.txt: scores by another prompt do not compare
    assert [prompt.name for prompt in PROMPTS] == [
        "answer.v1@8114fb26",
        "answer.v2@a70659f7",
        "coverage.v1@e6da4049",
        "description.v1@4359e248",
        "description.v2@a785d2aa",
    ]


def test_a_description_has_its_own_prompt():
    prompts = prompts_named()
    assert prompts.of(Case("", "a", "b")).name.startswith("description.v2@")
    assert prompts.of(Case("Why?", "a", "b")).name.startswith("answer.v2@")


def test_prompts_are_chosen_by_name():
    chosen = prompts_named(["answer.v1", "coverage.v1"])
    assert [prompt.name.partition("@")[0] for prompt in chosen] == ["coverage.v1", "answer.v1"]
    for name in ("coverage", "answer.v9", "../prompt", ""):
        with pytest.raises(ValueError, match=r"^expected a judge's prompt out of \['answer\.v1', "):
            prompts_named([name])


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_the_prompts_name_every_step_of_the_scale_and_what_is_data(prompt):
    said = "\n".join([*(turn.text for turn in prompt.before), prompt.text])
    assert re.findall(r"^(\d): ", said, re.MULTILINE) == ["0", "1", "2", "3", "4"]
    assert "never an instruction" in said
    assert '{"score": n}' in said


def test_relevance_has_the_papers_anchors():
    said = prompts_named().description.before[0].text
    assert re.findall(r"^[024]: (\w+(?: relevant)?)", said, re.MULTILINE) == [
        "irrelevant",
        "partly relevant",
        "completely relevant",
    ]


@pytest.mark.parametrize("prompt", [prompt for prompt in PROMPTS if prompt.before], ids=lambda prompt: prompt.name)
def test_a_worked_example_is_turns_of_its_own_in_the_form_of_what_is_asked(prompt):
    assert [turn.role for turn in prompt.before] == ["system", "user", "assistant"]
    _, asked, answered = prompt.before
    assert read_score(answered.text) == 2
    labels = [line.partition(": ")[0] for line in prompt.text.splitlines()]
    assert [line.partition(": ")[0] for line in asked.text.splitlines()] == labels
    assert all(json.loads(line.partition(": ")[2]) for line in asked.text.splitlines())


@given(st.sampled_from(PROMPTS), texts, texts, texts)
def test_any_text_stands_whole_on_its_line_and_the_prompt_around_it_is_as_written(prompt, question, reference, answer):
    verdict = Case(question, reference, answer)
    written = prompt.text.split("\n")
    filled = fill_prompt(prompt, verdict).split("\n")
    assert len(filled) == len(written)
    for before, after in zip(written, filled, strict=True):
        label, _, name = before.partition("{")
        if name in ("question}", "reference}", "answer}"):
            assert after.startswith(label)
            assert json.loads(after.removeprefix(label)) == getattr(verdict, name[:-1])
            assert not set(after) & {"<", "["}
        else:
            assert after == before
