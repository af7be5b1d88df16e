"""How often a 95 % interval holds the score of the population that its photographs were drawn from, for every score.

A population is made once, of photographs with all their samples; its own scores are the truth. Sets of photographs are
drawn from it, and each gets the intervals that `giqa score` would print.
"""

import argparse
from random import Random
from typing import Any, NamedTuple

import numpy as np
from workload import NAMES, samples

from giqa_datasets.batches import batches
from giqa_datasets.text_scan import scan, scan_replies
from giqa_metrics import description, vqa
from giqa_metrics.description import DescriptionStats
from giqa_metrics.grounding import CHUNK, IOU_THRESHOLD, SIMILARITY_THRESHOLD, meet, settings_of
from giqa_metrics.judges.judge import TOP
from giqa_metrics.resampling import intervals
from giqa_metrics.runs.score import TOPS, scores_of
from giqa_metrics.stats import Table


IMAGES = (28, 100, 1000)
POPULATION = 5000  # photographs
SAMPLES = 20_000  # of the workload, some four a photograph
LOW, HIGH = 0.93, 0.97  # where coverage should lie

ADJECTIVES = "clear blurry sharp bright dark vivid dull rich soft noisy grainy balanced harsh natural".split()  # noqa: SIM905
SENTENCES = [
    "The overall quality of this image is {a}.",
    "The {n} in the middle is {a} and its texture details are {b}.",
    "The lighting is {a}, and the colors are {b}.",
    "The background is {a}, which makes the {n} look {b}.",
    "The focus is on the {n}, but the {m} is slightly {a}.",
    "There is {a} noise in the {n}, and the contrast is {b}.",
    "The composition is {a} with the {n} placed next to the {m}.",
    "Some details of the {m} are lost because of {a} exposure.",
]
OPEN = {"what": 0.4, "which": 0.1, "why": 0.3, "how": 0.2}  # shares of the open questions
N_QUESTIONS = 1.2  # a photograph, of Yes/No and of open ones each, as in GIQA-160K


class Population(NamedTuple):
    """Photographs: sums of their samples, shape (G, S), the metric they are of, and which of its scores are shown."""

    metric: str
    sums: Table
    shown: list[str]


def main() -> None:
    """Print the coverage of every score's interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, help="of a set (default: %(default)s)")
    parser.add_argument("--sets", type=int, default=2000, help="drawn of each size (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sizes = "".join(f"{f'{count:,} images':>16}" for count in options.images)
    print(f"{options.sets:,} sets of each size: coverage of the 95 % interval, and its median width")
    print(f"{'score':<18}{'truth':>8}{sizes}")
    for make in (boxes, descriptions, questions):
        population = make(options.seed)
        truth = scores_of(population.metric, preset="paper")(population.sums.sum(axis=0))
        columns = [coverage(population, truth, count, options.sets, options.seed) for count in options.images]
        for name in population.shown:
            cells = "".join(f"{held:>8.3f}{width:>8.3f}" for held, width in (column[name] for column in columns))
            print(f"{name:<18}{truth[name]:>8.3f}{cells}", flush=True)


def coverage(
    population: Population, truth: dict[str, Any], count: int, n_sets: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Draw sets of so many photographs: by score, the share of intervals that hold the truth, and the median width.

    A set in which a score has no interval counts neither way.
    """
    rng = np.random.default_rng(seed)
    scores = scores_of(population.metric, preset="paper")
    found = []
    for _ in range(n_sets):
        drawn = population.sums[rng.integers(0, len(population.sums), count)]
        found.append(intervals(drawn, range(count), scores, top=TOPS[population.metric]))
    out = {}
    for name in population.shown:
        bounds = np.array([each[name] for each in found if each[name] is not None])
        held = (bounds[:, 0] <= truth[name]) & (truth[name] <= bounds[:, 1])
        out[name] = float(held.mean()), float(np.median(bounds[:, 1] - bounds[:, 0]))
    return out


def boxes(seed: int) -> Population:
    """The workload of the other benchmarks, its photographs' samples together."""
    drawn = list(samples(SAMPLES, seed=seed, n_words=20))
    settings = settings_of("lexical", IOU_THRESHOLD, SIMILARITY_THRESHOLD, "paper")
    tables = []
    for chunk in batches(drawn, CHUNK):
        predicted, reference = (
            scan_replies([one.prediction for one in chunk]),
            scan([one.reference for one in chunk]),
        )
        tables.append(meet(predicted, reference, settings, count=len(chunk)).table)
    table, image = np.concatenate(tables), np.array([one.image for one in drawn])
    sums = np.stack([np.bincount(image, weights=column) for column in table.T], axis=1)
    return Population(
        "giqa_grounding", sums, ["miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1"]
    )


def descriptions(seed: int) -> Population:
    """A description a photograph, in which a model says each sentence of the reference with the same chance.

    That chance is the photograph's own, one in twenty on average. The judge's 0 to 4 is binomial, by another such
    chance, one in two on average.
    """
    rng, judge = Random(seed), np.random.default_rng(seed)
    answers, truths = [], []
    for _ in range(POPULATION):
        said = [_sentence(rng) for _ in range(rng.randint(3, 7))]
        chance = rng.betavariate(0.5, 9.5)
        answer = [one if rng.random() < chance else _sentence(rng) for one in said]
        answers.append(" ".join(answer[: rng.randint(len(answer) - 1, len(answer))]))
        truths.append(" ".join(said))
    sums = description.table_of(answers, truths)
    names = DescriptionStats.names()
    sums[:, names.index("n_judged")] = 1
    sums[:, names.index("judge_score")] = judge.binomial(TOP, judge.beta(2, 2, POPULATION))
    return Population("giqa_description", sums, ["bleu4", "llm_score"])


def questions(seed: int) -> Population:
    """Questions in random numbers (Poisson), right with their photograph's own chance, two thirds on average."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(3, 1.5, POPULATION)
    columns: dict[str, Any] = dict.fromkeys(vqa.VqaStats.names(), np.zeros(POPULATION))
    columns["n_yes_no"] = rng.poisson(N_QUESTIONS, POPULATION)
    columns["correct"] = rng.binomial(columns["n_yes_no"], chance)
    for kind, share in OPEN.items():
        columns[f"n_{kind}"] = rng.poisson(N_QUESTIONS * share, POPULATION)
        columns[f"score_{kind}"] = rng.binomial(TOP * columns[f"n_{kind}"], chance) / TOP
    columns["n_open"] = columns["n_judged"] = sum(columns[f"n_{kind}"] for kind in OPEN)
    columns["score"] = sum(columns[f"score_{kind}"] for kind in OPEN)
    columns["n_samples"] = columns["n_yes_no"] + columns["n_open"]
    sums = np.stack([columns[name] for name in vqa.VqaStats.names()], axis=1).astype(np.float64)
    shown = ["accuracy_yes_no", "accuracy_open", "accuracy", *(f"accuracy_{kind}" for kind in OPEN)]
    return Population("giqa_vqa", sums, shown)


def _sentence(rng: Random) -> str:
    first, second = rng.choices(ADJECTIVES, k=2)
    return rng.choice(SENTENCES).format(a=first, b=second, n=rng.choice(NAMES), m=rng.choice(NAMES))


if __name__ == "__main__":
    main()
