"""The benchmark of the prompts: the frozen set is right, and right, wrong and unreadable answers get their scores."""

import hashlib
import importlib
import json
import sys

import pytest

from giqa_datasets.pipeline.backends.llm_asker import read_questions
from giqa_datasets.pipeline.backends.llm_tagger import OBJECTS
from giqa_datasets.pipeline.tags import NO_OBJECTS
from tests.paths import BENCHMARKS, DATA


sys.path.insert(0, str(BENCHMARKS))
prompts = importlib.import_module("prompts")

ROWS = [json.loads(line) for line in (DATA / "tagged_descriptions.jsonl").open(encoding="utf-8")]
BY_TEXT = {row["description"]: row for row in ROWS}


def text_of(asked) -> str:
    (line,) = [line for line in asked.prompt.splitlines() if line.startswith("Description: ")]
    return json.loads(line.removeprefix("Description: "))


def kind_of(asked) -> str | None:
    first = asked.prompt.splitlines()[0]
    return json.loads(first.removeprefix("Type: ")) if first.startswith("Type: ") else None


@pytest.fixture
def oracle(server, answer):
    """A model that knows the frozen set."""

    def rule(asked):
        row, kind = BY_TEXT[text_of(asked)], kind_of(asked)
        if kind is None:
            return answer(json.dumps({"objects": row["objects"]}))
        return answer(json.dumps({"questions": [each for each in row["questions"] if each["type"] == kind]}))

    server.rule = rule


def run(capsys, server, *more: str) -> dict[str, list[list[str]]]:
    """The printed rows of each model: of tags, then of questions."""
    prompts.main(["--model", "org/llm", "--server", server.url, *more])
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(("org/llm", "offline")):
            rows.setdefault(line.split(":")[0].split()[0], []).append(line[34:].split())
    return rows


def test_the_set_is_frozen():
    # A better one is a new file: scores on two sets do not compare
    raw = (DATA / "tagged_descriptions.jsonl").read_bytes()
    assert (len(ROWS), len(BY_TEXT)) == (40, 40)
    assert hashlib.sha256(raw).hexdigest()[:8] == "a726b7b0"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["description"][:30])
def test_every_description_has_tags_at_their_places_and_questions_about_them(row):
    assert OBJECTS.read(json.dumps({"objects": row["objects"]})) == row["objects"]
    places = [row["description"].find(each["phrase"]) for each in row["objects"]]
    assert places == sorted(places)
    assert -1 not in places
    assert not {each["phrase"].split()[-1].lower() for each in row["objects"]} & NO_OBJECTS
    pairs = read_questions(json.dumps({"questions": row["questions"]}))
    verdicts = [pair.answer for pair in pairs if pair.question_type == "yes_no"]
    assert verdicts == (["Yes.", "No."] if row["objects"] else [])
    judged = [each["phrase"].lower() for each in row["objects"] if each["quality"]]
    assert all(any(phrase in f"{pair.question} {pair.answer}".lower() for phrase in judged) for pair in pairs)


def test_a_model_that_knows_the_set_is_right_throughout(capsys, server, oracle):
    (tags, questions), baseline = (rows := run(capsys, server))["org/llm"], rows["offline"]
    assert tags == ["0", *["1.000"] * 6]
    failed, pairs, named, yes, found = questions
    assert (failed, named, yes) == ("0", "1.000", "0.500")
    assert 76 < int(pairs) < 114
    assert 0.5 < float(found) < 1  # the open types are drawn, and the set has one for each description
    assert 0.3 < float(baseline[0][1]) < 0.9  # the offline tagger, by itself
    assert baseline[1][0] == "0"


def test_wrong_tags_cost_precision_recall_and_agreement(capsys, server, answer):
    described = prompts.read_set()[0]  # "man in the blue coat" and "street"
    objects = [
        {"phrase": "man", "quality": "sharp", "effect": "negative"},
        {"phrase": "street", "quality": "noisy", "effect": "negative"},
        {"phrase": "picture", "quality": "fine", "effect": "none"},  # no object: the stage drops it
        {"phrase": "well", "quality": "lit", "effect": "none"},
        {"phrase": "elephant", "quality": "grey", "effect": "none"},  # not there: dropped too
    ]
    server.rule = lambda asked: answer(json.dumps({"objects": objects}) if kind_of(asked) is None else "None.")
    tags, questions = run(capsys, server, "--limit", "1")["org/llm"]
    assert [tag.phrase for tag in described.tags] == ["man in the blue coat", "street"]
    assert tags == ["0", "0.333", "0.500", "0.667", "1.000", "0.500", "0.500"]
    assert questions == ["1", "0", "0.000", "0.000", "0.000"]


def test_a_model_that_cannot_be_read_fails_everywhere(capsys, server, answer):
    server.rule = lambda asked: answer("Sorry.")
    tags, questions = run(capsys, server, "--limit", "5")["org/llm"]
    assert tags == ["5", *["0.000"] * 6]
    assert questions == ["4", "0", "0.000", "0.000", "0.000"]  # one description has no object


def test_a_server_needs_a_model(capsys):
    with pytest.raises(SystemExit, match="2"):
        prompts.main(["--server", "http://127.0.0.1:1/v1"])
    assert "--server needs --model" in capsys.readouterr().err
