"""The paper's own table agrees with itself and with our arithmetic."""

from fractions import Fraction

import pytest

from giqa_metrics import giqa_vqa
from giqa_metrics.runs.paper import COMPOSITION, NOTE, SOURCE, is_giqa_bench, table5


BENCH = [kind for kind, count in COMPOSITION.items() for _ in range(count)]
N_YES_NO, N_OPEN, TOP = 90, 60, 4
TRUNCATED = {"LLaVA-v1.5-13B", "Grounding-IQA (LLaVA-v1.5-7B)"}  # 35/90 is printed .3888, 70/90 .7777
every_row = pytest.mark.parametrize("row", table5(), ids=lambda row: row.method)


def right_answers(row) -> int:
    return round(row.vqa["accuracy_yes_no"] * N_YES_NO)


def judged_points(row) -> int:
    return round(row.vqa["accuracy_open"] * N_OPEN * TOP)


def test_sixteen_methods_in_the_papers_four_groups():
    rows = table5()
    assert len({row.method for row in rows}) == len(rows) == 16
    assert [row.group for row in rows] == ["General"] * 4 + ["Ground"] * 4 + ["IQA"] * 4 + ["Ours"] * 4


@every_row
def test_a_row_holds_a_number_or_none_under_our_names(row):
    assert list(row.des) == ["miou", "tag_recall", "bleu4", "llm_score"]
    assert list(row.vqa) == ["miou", "tag_recall", "accuracy_yes_no", "accuracy_open", "accuracy"]
    boxes = [scores[name] for scores in (row.des, row.vqa) for name in ("miou", "tag_recall")]
    assert (boxes == [None] * 4) == (row.group in ("General", "IQA"))
    assert all(type(value) is float and 0 < value < 1 for value in [*boxes, *row.vqa.values()] if value is not None)


@every_row
def test_the_llm_score_is_a_mean_of_100_judgements(row):
    assert (row.des["llm_score"] * TOP).is_integer()


@every_row
def test_the_printed_accuracies_are_fractions_of_90_and_240(row):
    yes_no, opened = Fraction(right_answers(row), N_YES_NO), Fraction(judged_points(row), N_OPEN * TOP)
    printed = int(yes_no * 10_000) if row.method in TRUNCATED else round(yes_no * 10_000)
    assert printed == round(row.vqa["accuracy_yes_no"] * 10_000)
    assert round(opened * 10_000) == round(row.vqa["accuracy_open"] * 10_000)


@every_row
def test_the_total_weighs_samples_equally_to_the_last_printed_decimal(row):
    total = Fraction(right_answers(row) * TOP + judged_points(row), (N_YES_NO + N_OPEN) * TOP)
    assert round(total * 10_000) == round(row.vqa["accuracy"] * 10_000)


@every_row
def test_our_function_gives_the_papers_accuracies(row, fake_judge):
    right, points = right_answers(row), judged_points(row)
    references = ["Yes."] * 35 + ["No."] * 55
    answers = references[:right] + ["Neither."] * (N_YES_NO - right)
    low, more = divmod(points, N_OPEN)
    judge = fake_judge([low + 1] * more + [low] * (N_OPEN - more))
    scores = giqa_vqa(
        answers + ["noise"] * N_OPEN,
        references + ["Noise."] * N_OPEN,
        ["?"] * len(BENCH[100:]),
        BENCH[100:],
        judge=judge,
    )
    assert scores["accuracy_yes_no"] == pytest.approx(row.vqa["accuracy_yes_no"], abs=1e-4)
    assert round(scores["accuracy_open"], 4) == row.vqa["accuracy_open"]
    assert round(scores["accuracy"], 4) == row.vqa["accuracy"]


def test_giqa_bench_is_known_by_its_composition():
    assert len(BENCH) == 250
    assert COMPOSITION["yes_no"] == N_YES_NO
    assert is_giqa_bench(reversed(BENCH))
    assert not is_giqa_bench(BENCH[1:])
    assert not is_giqa_bench([*BENCH, "which"])
    assert not is_giqa_bench([])


def test_the_table_says_where_it_comes_from_and_what_it_is_not():
    assert "2411.17237" in SOURCE
    assert "other images than yours" in NOTE
