"""giqa_vqa: the arithmetic of the three accuracies, what is refused, and what a judge may do wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_metrics import giqa_vqa
from giqa_metrics.vqa import VqaStats, aggregate


def closed(predictions, references, **options) -> dict:
    return giqa_vqa(
        predictions, references, ["Is it sharp?"] * len(references), ["yes_no"] * len(references), **options
    )


def opened(predictions, references, **options) -> dict:
    return giqa_vqa(
        predictions, references, ["What is wrong?"] * len(references), ["what"] * len(references), **options
    )


@given(st.lists(st.booleans(), min_size=90, max_size=90), st.lists(st.integers(0, 4), min_size=60, max_size=60))
@pytest.mark.slow
def test_the_total_is_the_mean_of_90_yes_no_and_60_open_answers(fake_judge, is_right, judged):
    truths = ["Yes." if index % 18 < 7 else "No." for index in range(90)]
    said = [truth if right else "Perhaps." for truth, right in zip(truths, is_right, strict=True)]
    kinds = ["yes_no"] * 90 + ["what"] * 30 + ["why"] * 18 + ["how"] * 12
    scores = giqa_vqa(said + ["Noise."] * 60, truths + ["Blur."] * 60, ["?"] * 150, kinds, judge=fake_judge(judged))
    yes, words = sum(is_right) / 90, sum(judged) / 240
    assert scores["accuracy_yes_no"] == pytest.approx(yes)
    assert scores["accuracy_open"] == pytest.approx(words)
    assert scores["accuracy"] == pytest.approx((90 * yes + 60 * words) / 150)
    assert (scores["n_samples"], scores["n_yes_no"], scores["n_open"]) == (150, 90, 60)
    assert scores["n_unreadable"] == 90 - sum(is_right)
    assert scores["n_judge_failures"] == 0


def test_identity_is_one(fake_judge):
    assert closed(["Yes.", "No."], ["Yes.", "No."])["accuracy"] == 1.0
    assert opened(["Noise."], ["Noise."], judge=fake_judge([4]))["accuracy"] == 1.0


def test_an_unreadable_answer_is_wrong_and_counted():
    scores = closed(["Maybe.", None, "", "Yes."], ["Yes.", "No.", "No.", "Yes."])
    assert (scores["accuracy_yes_no"], scores["n_unreadable"]) == (0.25, 3)


def test_a_wrong_answer_is_wrong_and_not_unreadable():
    scores = closed(["No."], ["Yes."])
    assert (scores["accuracy_yes_no"], scores["n_unreadable"]) == (0.0, 0)


def test_boxes_do_not_stand_in_the_way():
    scores = closed(["Yes, the [cup](<5, 254>) is."], ["[Yes](<5, 254>)."])
    assert scores["accuracy_yes_no"] == 1.0


def test_the_answers_are_read_in_the_declared_format(fake_judge):
    judge = fake_judge([3])
    opened(["The [cup](<0.10, 0.10, 0.50, 0.50>)."], ["The [cup](<42, 210>)."], box_format="giqa_decimal", judge=judge)
    assert judge.asked == [("What is wrong?", "The cup.", "The cup.")]


def test_without_a_judge_open_answers_have_no_score_and_no_total():
    scores = giqa_vqa(["Yes.", "Noise."], ["Yes.", "Noise."], ["?", "?"], ["yes_no", "how"])
    assert (scores["accuracy_yes_no"], scores["accuracy_open"], scores["accuracy"]) == (1.0, None, None)
    assert (scores["n_open"], scores["n_judge_failures"]) == (1, 0)


def test_without_open_questions_the_total_needs_no_judge():
    scores = closed(["Yes.", "No."], ["Yes.", "Yes."])
    assert (scores["accuracy"], scores["accuracy_open"]) == (0.5, None)


def test_without_yes_no_questions_that_accuracy_does_not_exist(fake_judge):
    scores = opened(["Noise."], ["Blur."], judge=fake_judge([1]))
    assert (scores["accuracy_yes_no"], scores["accuracy_open"], scores["accuracy"]) == (None, 0.25, 0.25)


def test_the_judge_reads_question_reference_and_answer_without_boxes_and_yes_no_never(fake_judge):
    judge = fake_judge([2])
    scores = giqa_vqa(
        ["The [tower](<35, 319>).", "Yes.", None],
        ["The [roof](<35, 319>).", "Yes.", "Noise."],
        ["What is in [it](<0, 399>)?", "Is it sharp?", "What is wrong?"],
        ["what", "yes_no", "which"],
        judge=judge,
    )
    assert judge.asked == [("What is in it?", "The roof.", "The tower.")]
    assert (scores["n_judged"], scores["accuracy_open"]) == (2, 0.25)  # an empty answer is 0, unasked


@pytest.mark.parametrize("empty", [None, "", " \n", "<think>Noise, or", "<|im_end|>"], ids=repr)
def test_an_empty_answer_is_0_and_the_judge_is_not_asked(fake_judge, empty):
    judge = fake_judge([4])
    scores = opened([empty, "Noise."], ["Blur.", "Noise."], judge=judge)
    assert (scores["accuracy_open"], scores["n_judged"], len(judge.asked)) == (0.5, 2, 1)
    alone = fake_judge([])
    assert opened([empty], ["Blur."], judge=alone)["accuracy_open"] == 0
    assert alone.asked == []


@pytest.mark.parametrize(("n_failures", "score"), [(1, 0.5), (2, 0.5), (3, None), (4, None)])
def test_open_answers_have_a_score_if_half_of_them_were_judged(fake_judge, n_failures, score):
    said = [2] * (4 - n_failures) + [None] * n_failures
    scores = opened(["a", "b", "c", "d"], ["a"] * 4, judge=fake_judge(said))
    assert (scores["accuracy_open"], scores["accuracy"], scores["accuracy_what"]) == (score,) * 3
    assert (scores["n_judged"], scores["n_judge_failures"]) == (4 - n_failures, n_failures)


@pytest.mark.parametrize("three", [np.int64(3), np.uint8(3), np.int8(3)], ids=repr)
def test_a_judge_may_answer_in_numpys_integers(fake_judge, three):
    scores = opened(["a", "b"], ["a", "b"], judge=fake_judge([three, np.bool_(True)]))
    assert (scores["accuracy_open"], scores["n_judge_failures"]) == (0.75, 1)


@pytest.mark.parametrize("failure", [None, 7, -1, 5, 2.5, 3.0, "3", True, False, float("nan")], ids=repr)
def test_a_reply_that_is_no_integer_from_0_to_4_is_counted_and_left_out(fake_judge, failure):
    scores = opened(["a", "b", "c"], ["a", "b", "c"], judge=fake_judge([4, failure, 2]), per_sample=True)
    assert scores["n_judge_failures"] == 1
    assert scores["accuracy_open"] == scores["accuracy"] == 0.75
    assert [row["accuracy"] for row in scores["per_sample"]] == [1.0, None, 0.5]
    assert [row["n_judge_failures"] for row in scores["per_sample"]] == [0, 1, 0]


def test_a_judge_that_always_fails_leaves_no_accuracy(fake_judge):
    scores = opened(["a", "b"], ["a", "b"], judge=fake_judge([None, None]))
    assert (scores["accuracy_open"], scores["accuracy"], scores["n_judge_failures"]) == (None, None, 2)


def test_a_judge_that_answers_too_few_is_refused(fake_judge):
    with pytest.raises(ValueError, match="expected 2 scores from judge 'fake', got 1"):
        opened(["a", "b"], ["a", "b"], judge=fake_judge([4]))


def test_scores_of_samples_come_in_input_order(fake_judge):
    scores = giqa_vqa(
        ["Noise.", "Yes.", "Blur.", "Perhaps."],
        ["Noise.", "Yes.", "Blur.", "No."],
        ["?"] * 4,
        ["what", "yes_no", "why", "yes_no"],
        judge=fake_judge([1, 4]),
        per_sample=True,
    )
    assert [row["accuracy"] for row in scores["per_sample"]] == [0.25, 1.0, 1.0, 0.0]
    assert [row["n_yes_no"] for row in scores["per_sample"]] == [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["des", "yes/no", "", "YES_NO", "where"])
def test_an_unknown_question_type_is_refused(kind):
    with pytest.raises(ValueError, match=f"got '{kind}'"):
        giqa_vqa(["Yes."], ["Yes."], ["?"], [kind])


@pytest.mark.parametrize("reference", ["Perhaps.", "", None, "It is either yes or no."])
def test_a_yes_no_reference_that_says_neither_is_refused(reference):
    with pytest.raises(ValueError, match="at 1"):
        closed(["Yes.", "Yes."], ["Yes.", reference])


@pytest.mark.parametrize("lengths", [(0, 0, 0, 0), (2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)])
def test_lengths_that_differ_are_refused_in_one_sentence(lengths):
    texts = [["Yes."] * length for length in lengths[:3]]
    with pytest.raises(ValueError, match="expected as many") as error:
        giqa_vqa(*texts, ["yes_no"] * lengths[3])
    assert f"{lengths[0]}, {lengths[1]}, {lengths[2]} and {lengths[3]}" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_box_format_is_refused():
    with pytest.raises(ValueError, match="'kosmos'"):
        closed(["Yes."], ["Yes."], box_format="kosmos")


def test_the_signature_names_what_moves_the_number(fake_judge):
    plain = closed(["Yes."], ["Yes."])["signature"]
    assert plain.startswith("giqa_vqa|reply:v2|format:giqa|yes_no:clause-v2|judge:none|v:")
    assert plain != closed(["Yes."], ["Yes."], box_format="giqa_decimal")["signature"]
    assert "judge:fake" in opened(["a"], ["a"], judge=fake_judge([1]))["signature"]


def test_statistics_of_the_rows_add_up_to_the_scores(fake_judge):
    scores = giqa_vqa(
        ["Noise.", "Yes.", "Blur.", "Perhaps.", "Dark.", "By night."],
        ["Noise.", "Yes.", "Blur.", "No.", "Bright.", "By day."],
        ["?"] * 6,
        ["what", "yes_no", "why", "yes_no", "what", "how"],
        judge=fake_judge([1, 4, None, 3]),
        per_sample=True,
    )
    rows, signature = scores.pop("per_sample"), scores.pop("signature")
    assert signature.startswith("giqa_vqa|")
    assert aggregate(VqaStats.of(VqaStats.table(rows).sum(axis=0))) == pytest.approx(scores)
    assert (scores["accuracy_what"], scores["accuracy_why"], scores["accuracy_how"]) == (0.25, 1.0, 0.75)
    assert scores["accuracy_which"] is None


def test_multiple_choice_is_passed_over(fake_judge):
    texts, kinds = (["Yes.", "Noise."], ["yes_no", "what"])
    alone = giqa_vqa(texts, texts, ["?"] * 2, kinds, judge=fake_judge([3]))
    beside = giqa_vqa(["A.", *texts], ["B. Blur", *texts], ["?"] * 3, ["mcq", *kinds], judge=fake_judge([3]))
    assert beside == alone
