"""How sure a score is: images are left out and not samples, as SciPy finds it, and p-values mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.defaults import RESAMPLES
from giqa_metrics import giqa_grounding
from giqa_metrics.grounding import GroundingStats, aggregate
from giqa_metrics.resampling import LEVEL, differences, holm, intervals
from giqa_metrics.stats import Stats


def mean(sums) -> dict:
    """Of the first column; the second counts. None where nothing is counted."""
    return {"mean": float(sums[0] / sums[1]) if sums[1] else None, "n": int(sums[1])}


def table_of(values) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return np.stack([values, np.ones_like(values)], axis=1)


def normal(count: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, scale, count)


def width(interval) -> float:
    return interval[1] - interval[0]


# Intervals


def test_the_seed_deals_images_into_parts_where_they_are_more_than_the_resamples():
    table = table_of(normal(30))
    first, again, other = (intervals(table, range(30), mean, resamples=10, seed=seed)["mean"] for seed in (7, 7, 8))
    assert first == again != other
    assert intervals(table, range(30), mean, seed=1) == intervals(table, range(30), mean, seed=0)


@pytest.mark.parametrize("resamples", [20, 200, 1000])
def test_fewer_resamples_than_images_give_about_the_same_interval(resamples):
    table = table_of(np.random.default_rng(0).beta(2, 3, 3000))
    every = intervals(table, range(3000), mean, resamples=3000)["mean"]
    some = [intervals(table, range(3000), mean, resamples=resamples, seed=seed)["mean"] for seed in range(8)]
    assert np.mean([width(each) for each in some]) == pytest.approx(width(every), rel=0.15)


def test_defaults_are_a_thousand_resamples_at_95_percent():
    table = table_of(normal(30))
    assert (RESAMPLES, LEVEL) == (1000, 0.95)
    assert intervals(table, range(30), mean) == intervals(table, range(30), mean, resamples=1000, level=0.95)


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_of_ordinary_data_holds_the_point(seed):
    values = normal(40, seed)
    low, high = intervals(table_of(values), range(40), mean, resamples=300)["mean"]
    assert low < values.mean() < high


def test_a_higher_level_gives_a_wider_interval():
    table = table_of(normal(50))
    ninety, ninety_nine = (intervals(table, range(50), mean, level=level)["mean"] for level in (0.9, 0.99))
    assert ninety_nine[0] < ninety[0] < ninety[1] < ninety_nine[1]


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_is_near_scipys_bias_corrected_and_accelerated_bootstrap(level):
    from scipy.stats import bootstrap

    hits, tries = np.random.default_rng(3).binomial(12, 0.2, 300), np.random.default_rng(4).integers(5, 20, 300)
    ours = intervals(np.stack([hits, tries], axis=1).astype(float), range(300), mean, level=level)["mean"]
    known = bootstrap(
        (hits, tries),
        lambda hits, tries, axis: hits.sum(axis=axis) / tries.sum(axis=axis),
        paired=True,
        method="BCa",
        n_resamples=4000,
        confidence_level=level,
        random_state=1,
    )
    assert ours == pytest.approx(tuple(known.confidence_interval), abs=0.12 * known.standard_error)


def test_the_interval_is_students_on_the_logit_scale():
    from scipy.special import expit, logit
    from scipy.stats import sem, t

    values = np.random.default_rng(3).beta(8, 2, 12)
    share = values.mean()
    center, error = logit(share), sem(values) / (share * (1 - share))
    expected = expit(t.interval(0.9, 11, center, error))
    assert intervals(table_of(values), range(12), mean, level=0.9)["mean"] == pytest.approx(tuple(expected))
    of_a_hundred = intervals(table_of(100 * values), range(12), mean, top=100, level=0.9)["mean"]
    assert of_a_hundred == pytest.approx(tuple(100 * expected))


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcd")), min_size=1, max_size=12), st.integers(1, 5))
def test_an_interval_holds_its_score_and_stays_in_range(samples, resamples):
    values, groups = zip(*samples, strict=True)
    found = intervals(table_of(values), groups, mean, resamples=resamples)["mean"]
    if min(len(set(groups)), resamples) == 1:
        assert found is None
    else:
        assert 0 <= found[0] <= np.mean(values) * (1 + 1e-12)
        assert np.mean(values) * (1 - 1e-12) <= found[1] <= 1


@pytest.mark.parametrize("count", [2, 3, 28])
def test_a_score_at_an_end_has_the_binomial_bound(count):
    # Were the truth at the bound, one set in twenty would look like this
    low, high = intervals(table_of(np.zeros(count)), range(count), mean)["mean"]
    assert (low, (1 - high) ** count) == (0, pytest.approx(0.05))
    low, high = intervals(table_of(np.ones(count)), range(count), mean)["mean"]
    assert (low**count, high) == (pytest.approx(0.05), 1)
    in_parts = intervals(table_of(np.ones(30)), range(30), mean, resamples=5)["mean"]
    assert in_parts[0] ** 30 == pytest.approx(0.05)


def test_values_that_are_all_equal_leave_no_doubt():
    assert intervals(table_of([0.5] * 9), range(9), mean)["mean"] == pytest.approx((0.5, 0.5))


def test_images_that_do_not_bear_on_a_score_give_no_confidence_in_it():
    values = np.random.default_rng(0).beta(2, 2, 5)
    alone = intervals(table_of(values), range(5), mean)["mean"]
    among = intervals(np.concatenate([table_of(values), np.zeros((50, 2))]), range(55), mean)["mean"]
    assert width(among) == pytest.approx(width(alone), rel=0.12)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcdef")), min_size=2, max_size=20), st.integers(2, 4))
def test_repeating_every_sample_inside_its_image_leaves_the_interval(samples, times):
    values, groups = map(list, zip(*samples, strict=True))
    once = intervals(table_of(values), groups, mean, resamples=60)["mean"]
    often = intervals(table_of(values * times), groups * times, mean, resamples=60)["mean"]
    assert once is None or often == pytest.approx(once, abs=1e-12)
    assert (once is None) == (often is None) == (len({*groups}) == 1)


def test_samples_of_one_image_that_are_alike_make_the_interval_wider_than_independent_ones_would():
    values = np.repeat(normal(25), 16)
    images = np.repeat(np.arange(25), 16)
    by_image = intervals(table_of(values), images.tolist(), mean)["mean"]
    by_sample = intervals(table_of(values), range(400), mean)["mean"]
    # Sixteen times as many samples that say nothing new: four times as wide
    assert width(by_image) / width(by_sample) == pytest.approx(4, rel=0.15)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcd")), min_size=2, max_size=12))
def test_the_order_of_samples_inside_their_images_changes_nothing(samples):
    values, groups = zip(*sorted(samples, key=lambda sample: sample[1]), strict=True)
    turned = sorted(samples[::-1], key=lambda sample: sample[1])
    before = intervals(table_of(values), groups, mean, resamples=50)["mean"]
    after = intervals(table_of([value for value, _ in turned]), groups, mean, resamples=50)["mean"]
    assert after == (before if before is None else pytest.approx(before, abs=1e-12))


def test_images_may_have_any_names():
    table = table_of(normal(4))
    numbered = intervals(table, [0, 1, 2, 3], mean)
    for groups in (["a", "b", "c", "d"], [("a", 1), ("a", 2), None, 0.5], np.array([9, 7, 3, 1])):
        assert intervals(table, groups, mean) == numbered


def test_one_image_has_no_interval():
    assert intervals(table_of(normal(9)), ["one"] * 9, mean) == {"mean": None}
    assert intervals(table_of([0.5]), ["one"], mean) == {"mean": None}


def test_no_samples_have_no_interval():
    assert intervals(np.zeros((0, 2)), [], mean) == {"mean": None}


def test_counts_have_no_interval():
    assert intervals(table_of(normal(9)), range(9), mean).keys() == {"mean"}


def test_a_score_that_does_not_exist_has_no_interval():
    table = np.zeros((5, 2))
    assert intervals(table, range(5), mean) == {"mean": None}


def test_a_score_that_one_image_alone_has_has_no_interval():
    table = np.array([[0.5, 1.0], [0, 0], [0, 0], [0, 0]])
    assert intervals(table, range(4), mean) == {"mean": None}


@pytest.mark.parametrize("groups", [[], [0], range(4)])
def test_a_sample_without_an_image_is_an_error(groups):
    with pytest.raises(ValueError, match=f"^expected a group for each of 3 samples, got {len(groups)}$"):
        intervals(table_of(normal(3)), groups, mean)


def test_intervals_of_giqa_grounding_hold_its_scores():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 8, (60, 4))
    references = [f"[dog](<{y * 20 + x}, {(y + 6) * 20 + x + 6}>) [cat](<0, 21>)" for x, y, *_ in cells]
    predictions = [f"[dog](<{y * 20 + x}, {(y + 6) * 20 + x + 6}>)" for x, y in cells[:, :2] + cells[:, 2:] // 3]
    scores = giqa_grounding(predictions, references, similarity="exact", per_sample=True)
    table = GroundingStats.table(scores["per_sample"])

    def of(sums):
        return aggregate(GroundingStats.of(sums))

    assert of(table.sum(axis=0)) == pytest.approx({name: scores[name] for name in of(table[0])})
    found = intervals(table, [index // 2 for index in range(60)], of, resamples=200)
    assert found.keys() == {"miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1"}
    assert all(low < scores[name] < high for name, (low, high) in found.items())
    nothing = giqa_grounding([None] * 60, references, similarity="exact", per_sample=True)
    table = GroundingStats.table(nothing["per_sample"])
    found = intervals(table, range(60), of, resamples=20)
    strict = dict.fromkeys(("miou_strict", "tag_recall_micro", "f1"), pytest.approx((0.0, 1 - 0.05 ** (1 / 60))))
    assert found == dict.fromkeys(("miou", "tag_recall", "precision")) | strict


# Differences


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcdef")), min_size=1, max_size=12))
def test_identical_runs_do_not_differ(samples):
    values, groups = zip(*samples, strict=True)
    found = differences(table_of(values), table_of(values), groups, mean, resamples=50)["mean"]
    interval = (0.0, 0.0) if len(set(groups)) > 1 else None
    assert (found.a, found.interval, found.p_value) == (found.b, interval, 1.0)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from("abcdef")), min_size=2, max_size=12),
    st.integers(0, 5),
)
def test_turning_the_runs_round_turns_the_difference_round(samples, seed):
    a, b, groups = zip(*samples, strict=True)
    options = {"resamples": 99, "seed": seed}
    there = differences(table_of(a), table_of(b), groups, mean, **options)["mean"]
    back = differences(table_of(b), table_of(a), groups, mean, **options)["mean"]
    assert (back.a, back.b, back.p_value) == (there.b, there.a, there.p_value)
    if len(set(groups)) == 1:
        assert back.interval is there.interval is None
    else:
        assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=1e-12)


def test_a_clear_difference_has_the_smallest_p_value_and_an_interval_far_from_zero():
    a, b = normal(60, 1, 0.1), normal(60, 2, 0.1) + 0.5
    found = differences(table_of(a), table_of(b), range(60), mean)["mean"]
    assert (found.a, found.b) == pytest.approx((a.mean(), b.mean()))
    assert found.p_value == 1 / 1001
    assert 0.4 < found.interval[0] < b.mean() - a.mean() < found.interval[1] < 0.6


def test_the_interval_of_a_difference_stays_where_differences_can_be():
    a, b = table_of(np.array([1.0, 0, 0])), table_of(np.array([1.0, 1, 1]))
    low, high = differences(a, b, range(3), mean)["mean"].interval
    assert 0 < 2 / 3 < high == 1
    low, high = differences(100 * b, a, range(3), lambda sums: {"mean": sums[0] / 3}, top=100.0)["mean"].interval
    assert -100 == low < high


def test_a_difference_within_one_image_alone_is_no_evidence():
    # A hundred samples, all of one image: swapped together, they always differ as much
    a, b = table_of(np.zeros(100)), table_of(np.ones(100))
    alone = differences(a, b, ["one"] * 100, mean)["mean"]
    assert (alone.interval, alone.p_value) == (None, 1.0)
    assert differences(a, b, range(100), mean)["mean"].p_value == 1 / 1001


def test_p_values_of_runs_that_are_equally_good_are_about_uniform():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(200):
        skill = rng.normal(size=30)  # of the images: both runs share it
        a, b = (table_of(skill + rng.normal(size=30)) for _ in range(2))
        found.append(differences(a, b, range(30), mean, resamples=99, seed=seed)["mean"].p_value)
    shares = [np.mean(np.array(found) <= level) for level in (0.05, 0.25, 0.5, 0.75)]
    assert shares == pytest.approx([0.05, 0.25, 0.5, 0.75], abs=0.1)
    assert min(found) >= 1 / 100


def test_swaps_in_which_a_score_does_not_exist_make_no_difference_less_likely():
    # Each run has a score for one image, another one. Swapping one image leaves a run without any; of the swaps in
    # which both have one, none or both images swapped, every one differs as much
    a, b = np.array([[0.5, 1.0], [0, 0]]), np.array([[0, 0], [0.7, 1.0]])
    assert differences(a, b, ["one", "two"], mean)["mean"].p_value == 1.0


def test_images_and_not_samples_are_swapped():
    # Every sample eight times inside its image says nothing new
    a, b = normal(12, 1), normal(12, 2) + 0.4
    once = differences(table_of(a), table_of(b), range(12), mean)["mean"]
    groups = [*range(12)] * 8
    often = differences(table_of(np.tile(a, 8)), table_of(np.tile(b, 8)), groups, mean)["mean"]
    assert often.p_value == once.p_value
    assert often.interval == pytest.approx(once.interval)
    by_sample = differences(table_of(np.tile(a, 8)), table_of(np.tile(b, 8)), range(96), mean)["mean"]
    assert by_sample.p_value < once.p_value


def test_pairing_makes_the_interval_narrower_than_the_two_runs_own():
    skill = normal(50, 0, 1.0)
    a, b = table_of(skill), table_of(skill + 0.1 + normal(50, 1, 0.05))
    paired = width(differences(a, b, range(50), mean)["mean"].interval)
    assert paired < width(intervals(a, range(50), mean)["mean"]) / 5


def test_the_same_seed_gives_the_same_difference():
    a, b = table_of(normal(20, 1)), table_of(normal(20, 2))
    first, again, other = (differences(a, b, range(20), mean, seed=seed)["mean"] for seed in (1, 1, 2))
    assert first == again
    assert first.p_value != other.p_value


def test_a_score_that_one_run_does_not_have_is_no_difference():
    a, b = np.zeros((6, 2)), table_of(normal(6))
    for one, other in ((a, b), (b, a), (a, a)):
        assert differences(one, other, range(6), mean) == {"mean": None}


@pytest.mark.parametrize(("first", "second", "n_groups"), [(3, 4, 3), (4, 3, 3), (3, 4, 4), (3, 3, 4), (3, 3, 0)])
def test_runs_over_different_samples_are_an_error(first, second, n_groups):
    with pytest.raises(ValueError, match=r"^expected a group for each of \d samples, got \d$"):
        differences(table_of(normal(first)), table_of(normal(second)), range(n_groups), mean)


@pytest.mark.parametrize("seed", range(5))
def test_holms_correction_is_the_closed_test_of_bonferroni(seed):
    # A hypothesis falls where Bonferroni's test rejects every set of hypotheses that it is in
    p = np.random.default_rng(seed).uniform(size=5) ** 3
    sets = [[k for k in range(5) if bits >> k & 1] for bits in range(1, 32)]
    closed = [max(min(1, len(its) * p[its].min()) for its in sets if k in its) for k in range(5)]
    assert holm(p.tolist()) == pytest.approx(closed)


def test_holms_correction_of_nothing_is_nothing():
    assert holm([]) == []


def test_the_floor_is_the_lowest_p_value_that_the_swaps_can_give():
    a, b = table_of(np.zeros(40)), table_of(np.ones(40))
    found = differences(a, b, range(40), mean, resamples=199)["mean"]
    assert found.p_value == found.floor == 1 / 200
    assert differences(a, a, range(40), mean, resamples=199)["mean"].floor == 1 / 200


# Sums


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6))
def test_a_table_of_rows_is_the_sum_of_their_statistics(rows):
    made = [GroundingStats(n_samples=1, n_recalled=hits, miou=share / 8) for hits, share in rows]
    names = GroundingStats.names()
    table = GroundingStats.table([{name: getattr(stats, name) for name in names} for stats in made])
    assert table.shape == (len(rows), len(names))
    assert GroundingStats.of(table.sum(axis=0)) == sum(made, GroundingStats())


def test_a_score_that_does_not_exist_adds_nothing():
    row = dict.fromkeys(GroundingStats.names(), 1) | {"miou": None}
    assert GroundingStats.of(GroundingStats.table([row])[0]).miou == 0.0
    assert isinstance(GroundingStats(), Stats)
