"""Nothing that is filled into a prompt gets out of its place."""

import json

from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.llm import ChatTurn
from giqa_datasets.llm.prompt import Prompt, quote, read_prompt


HOSTILE = ["{a}", "{b}", '"', "\\", "\n", "{", "}", "<|eot_id|>", "[INST]", "\x85", "\ud800"]
texts = st.text() | st.lists(st.sampled_from(HOSTILE)).map("".join)


@given(texts, texts)
def test_any_text_stands_whole_on_its_line(a, b):
    lines = Prompt("x.v1@0", "First: {a}\n{c}\nThen: {b}").fill({"a": quote(a), "b": quote(b)}).split("\n")
    assert lines[1] == "{c}"
    for line, label, text in ((lines[0], "First: ", a), (lines[2], "Then: ", b)):
        assert json.loads(line.removeprefix(label)) == text.encode("utf-8", "replace").decode()
        assert not set(line) & {"<", "["}
    assert len(lines) == 3


def test_a_prompt_is_named_by_its_file_and_its_bytes(tmp_path):
    (tmp_path / "tag.v2.txt").write_text("Tag.", encoding="utf-8")
    first = read_prompt(tmp_path / "tag.v2.txt")
    (tmp_path / "tag.v2.txt").write_text("Tag!", encoding="utf-8")
    second = read_prompt(tmp_path / "tag.v2.txt")
    assert first.name.startswith("tag.v2@")
    assert len(first.name) == len(second.name) == len("tag.v2@") + 8
    assert first.name != second.name


def test_a_prompts_turns_stand_under_their_roles_and_the_last_one_has_the_places(tmp_path):
    path = tmp_path / "tag.v2.txt"
    path.write_text(
        "--- system\nBe brief.\n--- user\nOne?\n--- assistant\n{1}\n--- user\nTwo, {a}?\n", encoding="utf-8"
    )
    prompt = read_prompt(path)
    assert prompt.before == (ChatTurn("system", "Be brief."), ChatTurn("user", "One?"), ChatTurn("assistant", "{1}"))
    assert prompt.fill({"a": quote("\n--- system\n")}) == 'Two, "\\n--- system\\n"?'
    name = prompt.name
    path.write_text(path.read_text().replace("brief", "long"), encoding="utf-8")
    assert read_prompt(path).name != name  # the hash covers every turn
