"""giqa_description: BLEU@4 against sacreBLEU, words against Stanford's own tokeniser, and the judge's arithmetic."""

import json

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from giqa_datasets import strip
from giqa_metrics import giqa_description, ptb_tokenizer
from giqa_metrics.description import DescriptionStats, aggregate, table_of
from giqa_metrics.ptb_tokenizer import ptb_tokens
from tests.paths import DATA


# Output of Stanford CoreNLP 3.4.1 as pycocoevalcap 1.2 calls it (-preserveLines -lowerCase), its punctuation removed
PTB = json.loads((DATA / "ptb_tokens.json").read_text(encoding="utf-8"))
PREDICTIONS = [
    "The [tower](<35, 319>) is sharp, and its colours aren't washed out.",
    "A noisy picture: the [dog](<142, 309>)'s fur is lost.",
    "Too dark.",
]
REFERENCES = [
    "The [tower](<14, 319>) is sharp and its colours are not washed out at all.",
    "A noisy picture of a dog; the [fur](<142, 309>) of the dog is lost.",
    "The picture is much too dark.",
]
words = st.lists(
    st.sampled_from(["the", "a", "cup", "table", "is", "very", "sharp", "dark", ",", "."]), max_size=12
).map(" ".join)


@pytest.mark.parametrize("row", PTB, ids=lambda row: row["why"])
def test_words_are_those_of_the_image_captioning_tool_set(row):
    assert ptb_tokens(row["text"]) == row["tokens"]


@given(st.text())
def test_any_text_has_words_without_white_space(text):
    assert all(token.split() == [token] for token in ptb_tokens(text))


PIECES = [
    "a",
    "1.",
    "a.",
    "a-",
    "n't",
    "'s",
    "don't ",
    "isn",
    '"(',
    "Too dark. ",
    ".",
    "-",
    "+",
    "a+",
    "..a",
    "a@",
    "http://",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_a_long_run_of_anything_is_split(piece):
    # A second at most in linear time; minutes in quadratic time
    tokens = ptb_tokens(piece * (100_000 // len(piece)))
    assert all(token.split() == [token] for token in tokens)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_bleu_is_sacrebleus_on_the_same_words(pairs):
    ours, theirs = ([" ".join(ptb_tokens(text)) for text in side] for side in zip(*pairs, strict=True))
    expected = sacrebleu.corpus_bleu(ours, [theirs], tokenize="none", smooth_method="none", force=True).score
    scores = giqa_description([text for text, _ in pairs], [text for _, text in pairs])
    assert scores["bleu4"] == pytest.approx(expected, abs=1e-6)


def test_bleu_of_the_corpus_is_not_the_mean_of_its_sentences():
    expected = sacrebleu.corpus_bleu(
        [" ".join(ptb_tokens(strip(text))) for text in PREDICTIONS],
        [[" ".join(ptb_tokens(strip(text))) for text in REFERENCES]],
        tokenize="none",
        smooth_method="none",
        force=True,
    ).score
    assert 0 < expected < 100
    assert giqa_description(PREDICTIONS, REFERENCES)["bleu4"] == pytest.approx(expected, abs=1e-6)


def test_13a_is_sacrebleus_own_tokenisation():
    plain = [strip(text) for text in PREDICTIONS], [[strip(text) for text in REFERENCES]]
    expected = sacrebleu.corpus_bleu(*plain, tokenize="13a", smooth_method="none", force=True).score
    scores = giqa_description(PREDICTIONS, REFERENCES, tokenize="13a")
    assert scores["bleu4"] == pytest.approx(expected, abs=1e-6)
    assert scores["bleu4"] != giqa_description(PREDICTIONS, REFERENCES)["bleu4"]


HARD = [
    "no.",
    "5",
    "2.5x",
    "can't",
    "o'er",
    "a.b.",
    "http://x.",
    "cannot",
    "n't",
    "x-",
    "(",
    "’s",  # noqa: RUF001
    "\x1f",
    "\x85",
    "#a",
    "<b>",
]


@given(st.text() | st.lists(st.sampled_from(HARD)).map(" ".join))
def test_words_split_one_by_one_are_those_of_the_whole_text(text):
    whole = ptb_tokenizer._tokens(text.lower().replace("\u2019", "'"))
    assert ptb_tokens(text) == [*whole]


@given(st.lists(st.tuples(words, words), min_size=1, max_size=4), st.sampled_from(["coco", "13a"]))
def test_every_rows_counts_are_sacrebleus(pairs, tokenize):
    answers, truths = zip(*pairs, strict=True)
    table = table_of(answers, truths, tokenize=tokenize)
    for row, pair in zip(DescriptionStats.dicts(table), pairs, strict=True):
        mine, theirs = (" ".join(ptb_tokens(text)) if tokenize == "coco" else text for text in pair)
        metric = BLEU(tokenize="none" if tokenize == "coco" else "13a", smooth_method="none", force=True)
        found = metric.corpus_score([mine], [[theirs]])
        assert [row[f"matches_{n}"] for n in range(1, 5)] == found.counts
        assert [row[f"total_{n}"] for n in range(1, 5)] == found.totals
        assert (row["n_words"], row["n_reference_words"]) == (found.sys_len, found.ref_len)


@given(st.lists(words.filter(lambda text: len(ptb_tokens(text)) >= 4), min_size=1, max_size=4))
def test_identity_is_one_hundred(texts):
    assert giqa_description(texts, texts)["bleu4"] == 100.0
    assert giqa_description(texts, texts, tokenize="13a")["bleu4"] == 100.0


def test_boxes_are_stripped_from_both_sides_and_names_stay():
    grounded = ["The [tower](<35, 319>) is very sharp, the [sky](<0, 99>, <5, 24>) is not."]
    plain = ["The tower is very sharp, the sky is not."]
    other = ["The [tower](<0, 21>) is very sharp, the [sky](<3) is not."]
    scores = [
        giqa_description(a, b) for a, b in ((grounded, grounded), (plain, grounded), (grounded, plain), (other, plain))
    ]
    assert [score["bleu4"] for score in scores] == [100.0] * 4
    assert giqa_description(["The is very sharp, the is not."], grounded)["bleu4"] < 100


def test_predictions_are_stripped_of_the_declared_format():
    prediction, reference = ["A very sharp [cup](<0.10, 0.10, 0.50, 0.50>) here."], ["A very sharp cup here."]
    assert giqa_description(prediction, reference, box_format="giqa_decimal")["bleu4"] == 100.0


def test_case_and_punctuation_do_not_count_for_coco_words():
    assert giqa_description(["the Cup is VERY sharp"], ["The cup is: very sharp!"])["bleu4"] == 100.0
    assert giqa_description(["the Cup is VERY sharp"], ["The cup is: very sharp!"], tokenize="13a")["bleu4"] < 100


@pytest.mark.parametrize("empty", [None, "", "   "], ids=repr)
def test_no_answer_scores_zero_and_not_an_error(empty):
    assert giqa_description([empty], ["The cup is sharp here."])["bleu4"] == 0.0
    assert giqa_description([empty, "The cup is sharp here."], ["The cup is sharp here."] * 2)["bleu4"] > 0


def test_without_a_judge_llm_score_does_not_exist():
    scores = giqa_description(PREDICTIONS, REFERENCES)
    assert (scores["llm_score"], scores["n_judge_failures"], scores["n_samples"]) == (None, 0, 3)


def test_llm_score_is_the_mean_of_0_to_4_on_100(fake_judge):
    scores = giqa_description(PREDICTIONS, REFERENCES, judge=fake_judge([4, 0, 3]))
    assert scores["llm_score"] == pytest.approx(100 * 7 / 12)
    assert scores["n_judge_failures"] == 0


def test_the_judge_reads_texts_without_boxes_and_no_question(fake_judge):
    judge = fake_judge([4, 4, 4])
    giqa_description(PREDICTIONS, REFERENCES, judge=judge)
    pairs = zip(REFERENCES, PREDICTIONS, strict=True)
    assert judge.asked == [("", strip(reference), strip(prediction)) for reference, prediction in pairs]


@pytest.mark.parametrize("failure", [None, 7, -1, 5, 2.5, 3.0, "3", True, False, float("nan")], ids=repr)
def test_a_reply_that_is_no_integer_from_0_to_4_is_counted_and_left_out(fake_judge, failure):
    scores = giqa_description(PREDICTIONS, REFERENCES, judge=fake_judge([4, failure, 2]))
    assert (scores["llm_score"], scores["n_judge_failures"]) == (75.0, 1)


def test_a_judge_that_always_fails_leaves_no_score(fake_judge):
    scores = giqa_description(PREDICTIONS, REFERENCES, judge=fake_judge([None] * 3))
    assert (scores["llm_score"], scores["n_judge_failures"]) == (None, 3)


def test_a_judge_that_answers_too_few_is_refused(fake_judge):
    with pytest.raises(ValueError, match="expected 3 scores from judge 'fake', got 1"):
        giqa_description(PREDICTIONS, REFERENCES, judge=fake_judge([4]))


@pytest.mark.parametrize(
    ("arguments", "options", "fact"),
    [
        (([], []), {}, "0 and 0"),
        ((["a"], ["a", "b"]), {}, "1 and 2"),
        ((["a"], ["a"]), {"tokenize": "intl"}, "'intl'"),
        ((["a"], ["a"]), {"box_format": "kosmos"}, "'kosmos'"),
    ],
)
def test_errors_are_one_sentence_that_says_what_came(arguments, options, fact):
    with pytest.raises(ValueError, match="expected") as error:
        giqa_description(*arguments, **options)
    assert fact in str(error.value)
    assert "\n" not in str(error.value)


def test_the_signature_names_what_moves_the_number(fake_judge):
    start = giqa_description(PREDICTIONS, REFERENCES)["signature"]
    assert start.startswith(
        "giqa_description|reply:v2|format:giqa|bleu:corpus-4|tok:coco+nfc+char|smooth:none|judge:none"
    )
    others = ({"tokenize": "13a"}, {"box_format": "giqa_decimal"}, {"judge": fake_judge([1, 2, 3])})
    assert len({start, *(giqa_description(PREDICTIONS, REFERENCES, **other)["signature"] for other in others)}) == 4


def test_bleu_counts_a_known_pair():
    # 5 of 6 words, 4 of 5 pairs, 3 of 4 triples, 2 of 3 quadruples: (1/3) ** (1/4)
    scores = giqa_description(["the cup is very sharp here"], ["the cup is very sharp there"])
    assert scores["bleu4"] == pytest.approx(100 * (1 / 3) ** 0.25)


@pytest.mark.parametrize("tokenize", ["coco", "13a"])
def test_statistics_of_the_rows_add_up_to_the_scores(fake_judge, tokenize):
    judge = fake_judge([4, None, 3])
    scores = giqa_description(PREDICTIONS, REFERENCES, judge=judge, tokenize=tokenize, per_sample=True)
    rows, signature = scores.pop("per_sample"), scores.pop("signature")
    assert f"|tok:{tokenize}+nfc+char|" in signature
    assert aggregate(DescriptionStats.of(DescriptionStats.table(rows).sum(axis=0))) == pytest.approx(scores)
    assert 0 < scores["bleu4"] < 100
