"""Blind words: the description that does best as everybody's, and answers dealt to other photographs."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_metrics import giqa_description
from giqa_metrics.runs import baselines
from giqa_metrics.runs.baselines import constant_description, dealt
from giqa_metrics.runs.score import Options, compute


EXACT = Options(similarity="exact", resamples=0)
PARTS = ["The sky is dark", "the cup is sharp", "and the image is noisy", "with vivid colors", "so it looks dull"]


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(PARTS, k=rng.randint(1, 5))) + "." for _ in range(count)]


def bleu_of(answer: str, references: list[str]) -> float:
    return giqa_description([answer] * len(references), references)["bleu4"]


@pytest.mark.parametrize("seed", range(8))
def test_the_constant_description_is_the_best_of_all_tried_one_by_one(seed):
    references = texts(12, seed)
    scores = [bleu_of(text, references[:k] + references[k + 1 :]) for k, text in enumerate(references)]
    best = constant_description(references, range(12))
    assert scores[best] == pytest.approx(max(scores))
    assert max(scores) > min(scores)


def test_of_a_photographs_references_only_the_first_is_tried():
    # The second of photograph 0 would match the first word for word
    references = [
        "The cup is dark.",
        "The cup is dark.",
        "The sky is far too noisy.",
        "The sky is far too noisy, and dark.",
    ]
    assert constant_description(references, [0, 0, 1, 2]) in (2, 3)


def test_one_photograph_has_no_other_that_its_description_could_be_tried_on():
    assert constant_description(["The cup is dark.", "It is."], ["a", "a"]) is None
    assert constant_description([], []) is None


def test_of_many_references_some_are_tried(monkeypatch):
    references = texts(200, 0)
    best = bleu_of(references[constant_description(references, range(200))], references)
    monkeypatch.setattr(baselines, "MANY", 40)
    some = constant_description(references, range(200))
    assert some % 5 == 0
    assert bleu_of(references[some], references) > 0.9 * best


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 9))
def test_every_answer_is_dealt_once_and_none_to_its_own_photograph(images, seed):
    places = dealt(images, seed)
    most = max(map(images.count, images), default=0)
    assert (places is None) == (not images or 2 * most > len(images))
    if places is not None:
        assert sorted(places) == list(range(len(images)))
        assert all(images[place] != image for place, image in zip(places, images, strict=True))
        assert places == dealt(images, seed)


def test_another_seed_deals_otherwise():
    assert len({tuple(dealt(range(9), seed)) for seed in range(20)}) > 10


@pytest.mark.slow
def test_the_run_stands_beside_its_own_answers_on_other_photographs(bench, bench_rows, make_run):
    described = [row for row in bench_rows if row["task"] == "des"]
    folder = make_run()
    summary = compute(folder, str(bench), options=EXACT).summary["des"]
    truths, images = [row["answer"] for row in described], [row["image_sha256"] for row in described]
    assert summary["giqa_description"]["bleu4"] == 100
    moved = summary["baselines"]["answers of other photographs"]["giqa_description"]
    expected = giqa_description([truths[place] for place in dealt(images, 0)], truths)
    assert (moved["bleu4"], moved["n_samples"]) == (expected["bleu4"], len(truths))
    fixed = summary["baselines"]["constant description"]["giqa_description"]
    assert 0 < moved["bleu4"] < fixed["bleu4"] < 20
    assert fixed["n_samples"] == len(truths) - 1  # not on its own photograph
    other = compute(folder, str(bench), options=EXACT._replace(seed=1)).summary["des"]["baselines"]
    assert other["answers of other photographs"] != summary["baselines"]["answers of other photographs"]
    assert other["constant description"] == summary["baselines"]["constant description"]


@pytest.mark.slow
def test_a_judge_is_asked_about_some_of_many_blind_words(bench, make_run, monkeypatch):
    class Judge:
        name = "counting"

        def judge(self, batch):
            return [1] * len(batch)

    monkeypatch.setattr("giqa_metrics.runs.score.MANY", 10)
    summary = compute(make_run(), str(bench), options=EXACT, judge=Judge()).summary["des"]
    for name in ("constant description", "answers of other photographs"):
        assert summary["baselines"][name]["giqa_description"]["llm_score"] == 25
    assert summary["giqa_description"]["llm_score"] == 25
