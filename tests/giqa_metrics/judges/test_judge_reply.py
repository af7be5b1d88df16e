"""What is a score and what is none; a wrong score is worse than a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_metrics.judges.reply import read_score


READ = {
    '{"score": 0}': 0,
    '{"score": 4}': 4,
    ' \n{\n  "score" :\t2\n}\n': 2,
    '```json\n{"score": 3}\n```': 3,
    '```\n{"score": 3}\n```': 3,
    'Here is my verdict: {"score": 1}. The noise is missing.': 1,
    'It names 2 of the 3 objects.\n\n{"score": 3}': 3,
    '<think>Score: 1? No, {"score": 2}.</think>\n\n{"score": 3}': 3,
    '{"reason": "No noise, and no word of the sky.", "score": 3}': 3,
    '{"score": 3, "top": 5, "missing": ["noise"], "parts": {"noise": 0}}': 3,
    '{"score": "3"}': 3,
    '{"score": 3.0}': 3,
    '{"score": 3e0}': 3,
    '{"result": {"score": 3}}': 3,
    '[{"score": 3}]': 3,
    '{"score": 3} {"score": 3}': 3,
    '{"score": 3} {}': 3,
    '{"score": 3, "score": 3.0}': 3,
    'Score: 3\n{"score": 3}': 3,
    '{"score": 3}, that is 3 out of 4': 3,
    '{"reason": "A { and a } in {quotes}", "score": 3}': 3,
    "3": 3,
    " 3.\n": 3,
    "**3**": 3,
    "3/4": 3,
    "3 / 4.": 3,
    "3 out of 4": 3,
    "3 of 4": 3,
    "Score: 3": 3,
    "score = 3": 3,
    "SCORE 3": 3,
    "The score is 3.": 3,
    "Final score: 3/4": 3,
    "**Score:** 3 out of 4": 3,
    "# Score\nscore: 0": 0,
    "Score: 3. The noise is missing.": 3,
    "Score: 3\n\nThe description leaves out the noise.": 3,
    "The description leaves out the noise.\n\n> Score: 3": 3,
}
REFUSED = [
    "",
    " ",
    "good",
    "three",
    "score 10 of 100: wrong",
    "score: 10",
    "3 out of 5",
    "3/5",
    "3/40",
    "3 of 4 objects",
    "It names 3 out of 4 objects.",
    "3.5",
    "Score: 3.5",
    "Score: 3,5",
    "Score: 3½",
    "Score: 3²",
    "3½",
    "between 2 and 3",
    "2-3",
    "2 or 3",
    "Score: 2\nScore: 3",
    "Score: 3\nScore: 3",
    "Score: 3 out of five",
    "Score: 3 or 2",
    "Score: 3, or rather two",
    "Score: 3. The reference names 4 objects.",
    "1. Sharpness\n2. Noise\n3",
    "-1",
    "Score: -1",
    "+3",
    "5",
    "Score: 5",
    "00",
    "03",
    "٣",
    "\uff13",
    "3e0",
    "0x3",
    "true",
    "nan",
    "9" * 5000,
    '"3"',
    "3 4",
    "*3*4*",
    '{"score": "3/4"}',
    '{"score": "three"}',
    '{"score": ""}',
    '{"score": "\uff13"}',
    '{"score": "-3"}',
    '{"score": 1e999}',
    '{"score": -0.5}',
    '{"score": 3.5}',
    '{"score": 03}',
    '{"score": 5}',
    '{"score": -1}',
    '{"score": true}',
    '{"score": null}',
    '{"score": NaN}',
    '{"score": [3]}',
    '{"score": {"score": 3}}',
    '{"score": ' + "9" * 5000 + "}",
    '{"score": 3, "score": 1}',
    '{"score": 3, "parts": {"score": 2}}',
    '{"score": 3, "parts": {"score": null}}',
    '{"score": 3} {here}',
    '{"score": 3} {"score": 1}',
    '{"score": 3}, or 3.5 of 4',
    '{"score": 3}, that is score 13 of 40',
    '{"Score": 3}',
    "{'score': 3}",
    '{"rating": 3}',
    '{"score": 3',
    '"score": 3}',
    '{"score": 3}}',
    'Score: 2\n{"score": 3}',
    '{"score": 3}, that is a score of 2',
    'I would say 2 out of 4: {"score": 3}',
    '<think>{"score": 3}</think>',
    "<think>Score: 3 {",
]


@pytest.mark.parametrize(("reply", "score"), READ.items(), ids=map(repr, READ))
def test_a_score_that_is_stated_clearly_is_read(reply, score):
    assert read_score(reply) == score


@pytest.mark.parametrize("reply", REFUSED, ids=lambda reply: repr(reply)[:40])
def test_whatever_else_a_judge_says_is_no_score(reply):
    assert read_score(reply) is None


PIECES = ["score", "Score:", " ", "3", "/", "4", ".", "{", "}", '"score"', ":", "\n", "out of", "-", "*", "</think>"]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_reply_is_a_score_from_0_to_4_or_none(reply):
    score = read_score(reply)
    assert score is None or (type(score) is int and 0 <= score <= 4)


@given(st.integers(-1000, 1000), st.sampled_from(['{{"score": {}}}', "{}", "{}.", "Score: {}", "{}/4", "{} out of 4"]))
def test_no_number_outside_0_to_4_becomes_one_inside(number, form):
    assert read_score(form.format(number)) == (number if 0 <= number <= 4 else None)


@pytest.mark.parametrize(
    "piece",
    [
        *PIECES,
        "the ",
        "score is ",
        'score: {"score": ',
        "3 ",
        "\uff13",
        "\x1c",
        "score 3/",
        "9",
        "9.",
        '{"score": 3},',
        '{"a": [',
    ],
)
@pytest.mark.slow
def test_a_megabyte_of_anything_is_read(piece):
    # Instant in linear time; in quadratic time this would not come to an end
    for end in ("", "3", "x", "}"):
        for start in ("", "Score: 3\n", '{"score": 3}', "{"):
            read_score(start + piece * (1_000_000 // len(piece)) + end)
