"""Nothing that is filled into a prompt gets out of its place."""

import json

from hypothesis import given
from hypothesis import strategies as st

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
