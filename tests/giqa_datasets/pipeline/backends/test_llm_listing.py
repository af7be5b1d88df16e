"""What is a list of entries and what is none: nothing vanishes, and nothing is made up."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.llm import Fault, Reply
from giqa_datasets.pipeline.backends.llm_asker import QUESTIONS, read_questions
from giqa_datasets.pipeline.backends.llm_listing import read_reply
from giqa_datasets.pipeline.backends.llm_tagger import EFFECTS, OBJECTS, read_tags
from giqa_datasets.pipeline.protocols import Failure
from giqa_datasets.records import QUESTION_TYPES
from tests.paths import DATA


ROWS = json.loads((DATA / "llm_replies.json").read_text(encoding="utf-8"))
NAMES = ("objects", "questions", "phrase", "quality", "effect", "type", "question", "answer", "none", "why")
MARKS = ["{", "}", "[", "]", ",", ":", '"', "|", "\n", "1. ", "- ", "|---|", "```json", "</think>", "Yes", "yes/no"]
PIECES = [*MARKS, *map(json.dumps, NAMES), "null", "1e999", "NaN", "\ud800", "\\ud800", "\u2028"]
texts = st.text() | st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
whole = st.text(st.characters(codec="utf-8")).map(str.strip)
lists = st.lists(st.tuples(whole.filter(bool), whole, st.sampled_from(sorted(EFFECTS))))


def read(row):
    if row["list"] == "questions":
        pairs = read_questions(row["reply"])
        return pairs and [[pair.question_type, pair.question, pair.answer] for pair in pairs]
    entries = OBJECTS.read(row["reply"])
    return entries and [list(entry.values()) for entry in entries]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['list']}: {row['why']}" for row in ROWS])
def test_a_reply_is_read_whole_or_not_at_all(row):
    assert read(row) == row["expected"]


@given(texts, texts)
def test_reading_never_raises_and_gives_nothing_but_whole_entries(description, reply):
    for listing in (OBJECTS, QUESTIONS):
        for entry in listing.read(reply) or []:
            assert list(entry) == list(listing.fields)
            assert all(text == text.strip() == text.encode().decode() for text in entry.values())
    for tag in read_tags(description, reply) or []:
        assert tag.span == (0, 0) or description[slice(*tag.span)] == tag.phrase
    read_questions(reply)


@given(lists)
def test_what_is_written_as_json_is_read_back(entries):
    rows = [dict(zip(OBJECTS.fields, entry, strict=True)) for entry in entries]
    expected = [row | {"effect": EFFECTS[row["effect"]]} for row in rows]
    for ensure_ascii in (True, False):
        assert OBJECTS.read(json.dumps({"objects": rows}, ensure_ascii=ensure_ascii)) == expected
        assert OBJECTS.read(f"So:\n```json\n{json.dumps(rows, ensure_ascii=ensure_ascii)}\n```") == expected


def test_a_reply_cut_anywhere_is_no_shorter_list():
    (whole,) = [row["reply"] for row in ROWS if row["why"] == "the schema's own object" and row["list"] == "objects"]
    assert OBJECTS.read(whole)
    assert [OBJECTS.read(whole[:length]) for length in range(len(whole))] == [None] * len(whole)


def test_a_long_hostile_reply_is_read_in_no_time():
    for piece in ("{", "[{", '{"', "[ ", "| ", "|---", "- ", "1. |\n", "{" + " " * 50):
        assert OBJECTS.read(piece * 20_000) is None


def test_the_schema_asks_for_what_is_read():
    assert OBJECTS.schema.name == "objects"
    assert OBJECTS.schema.schema == {
        "type": "object",
        "properties": {
            "objects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "phrase": {"type": "string"},
                        "quality": {"type": "string"},
                        "effect": {"type": "string", "enum": ["negative", "none", "positive"]},
                    },
                    "required": ["phrase", "quality", "effect"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["objects"],
        "additionalProperties": False,
    }
    types = QUESTIONS.schema.schema["properties"]["questions"]["items"]["properties"]["type"]["enum"]
    assert set(types) == set(QUESTION_TYPES) - {"des"}


def test_a_failure_says_what_came():
    assert read_reply(Fault("ReadTimeout"), str.split) == Failure("fault", "ReadTimeout")
    assert read_reply(Reply("a b", False), str.split) == ["a", "b"]
    assert read_reply(Reply("", False), str.split) == []
    assert read_reply(Reply("a b", True), str.split) == Failure("unreadable_reply", "a b")
    assert read_reply(Reply("\ud800" * 300, False), lambda _: None) == Failure("unreadable_reply", "?" * 200)
