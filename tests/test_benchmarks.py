"""The benchmark's plain Python is a second implementation of the box metrics: both must give the same values."""

import importlib.util
import random
import subprocess
import sys

import pytest

from giqa_datasets import parse
from giqa_metrics import giqa_grounding
from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


N = 300


def piece(name: str):
    """Load a file of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


peers, workload = piece("peers"), piece("workload")


def texts(seed: int) -> tuple[list[str], list[str]]:
    predictions, references, _ = zip(*workload.samples(N, seed=seed), strict=True)
    return list(predictions), list(references)


@pytest.mark.parametrize("seed", range(4))
def test_two_implementations_agree_on_every_sample(seed):
    predictions, references = texts(seed)
    rows = giqa_grounding(predictions, references, similarity="exact", per_sample=True)["per_sample"]
    for row, *pair in zip(rows, predictions, references, strict=True):
        theirs = peers.plain_sample(*pair)
        ours = row["miou"], row["miou_strict"], row["tag_recall"], len(row["malformed"])
        assert ours == pytest.approx(theirs, abs=1e-9), pair


def test_two_implementations_agree_where_ties_abound():
    """Two names on one box: which of them is taken first moves what is left for the others."""
    rng = random.Random(0)

    def text() -> str:
        boxes = [(rng.randrange(3), rng.randrange(3), rng.randrange(3, 6), rng.randrange(3, 6)) for _ in range(8)]
        return " ".join(str(workload.Phrase(rng.choice("abcdefgh"), [rng.choice(boxes)])) for _ in range(10))

    predictions, references = [text() for _ in range(N)], [text() for _ in range(N)]
    rows = giqa_grounding(predictions, references, similarity="exact", per_sample=True)["per_sample"]
    for row, *pair in zip(rows, predictions, references, strict=True):
        theirs = peers.plain_sample(*pair)
        assert (row["miou"], row["tag_recall"]) == pytest.approx((theirs.miou, theirs.tag_recall), abs=1e-9), pair


def test_two_implementations_agree_on_the_means():
    predictions, references = texts(0)
    ours = giqa_grounding(predictions, references, similarity="exact")
    theirs = peers.plain(zip(predictions, references, strict=True))
    for name, value in theirs._asdict().items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_optimal_matching_finds_no_less():
    pairs = list(zip(*texts(0), strict=True))
    greedy, optimal = peers.plain(pairs), peers.pycocotools_scipy(pairs)
    assert optimal.miou_strict >= greedy.miou_strict
    assert optimal.tag_recall >= greedy.tag_recall
    assert optimal.n_malformed == greedy.n_malformed


def test_the_workload_is_what_its_readme_says():
    samples = list(workload.samples(N))
    assert samples == list(workload.samples(2 * N))[:N]
    assert len(set(workload.LABELS)) == workload.N_LABELS
    words = [len(sample.reference.split()) for sample in samples]
    assert 100 < sum(words) / N < 140
    assert {len(peers.PHRASE.findall(sample.reference)) for sample in samples} == {1, 2, 3, 4}
    kinds = {broken.kind for sample in samples for broken in parse(sample.prediction).malformed}
    assert kinds == {"unclosed", "out_of_range", "reversed", "not_a_box"}


def test_the_command_prints_a_table_and_finds_the_values_identical(tmp_path):
    small = ["--samples", str(N), "--peer-samples", "50", "--rounds", "1", "--memory-samples", "50", "100"]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "metrics.py", *small], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "identical: at most" in done.stdout
    assert done.stdout.count("target <") == 6  # growth, bootstrap (2), scoring (3)
    speed = done.stdout.split("speed, one thread")[1]
    assert all(f"\n{name}" in speed for name in ("giqa_grounding", "plain Python", "pycocotools", "hotcoco"))
