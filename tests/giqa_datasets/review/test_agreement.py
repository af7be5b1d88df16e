import random
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.review.agreement import agreement, alpha, match
from giqa_datasets.review.states import State, Vote


# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: observers A to D, units 1 to 12
OBSERVERS = ["123321412...", "1233224125..", ".33323422513", "12332441251."]
# Wikipedia, "Krippendorff's alpha", the computational example: coders A to C, units 1 to 15
CODERS = ["*****34121133*3", "1*213343*******", "**21344*21133*4"]

QUESTIONS = {"what": "What is there?", "yes_no": "Is it sharp?", "des": "Describe it."}
LEFT, RIGHT, WIDE = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0], [0.0, 0.0, 0.8, 1.0]


def units_of(rows, missing):
    return [[value for value in column if value not in missing] for column in zip(*rows, strict=True)]


def state(name="s", kind="what", answer="A cat and a dog.", **boxes):
    """A sample whose words have these boxes."""
    regions = [
        {"phrase": word, "role": "answer", "span": (answer.index(word), answer.index(word) + len(word)), "boxes": own}
        for word, own in boxes.items()
    ]
    task = "des" if kind == "des" else "vqa"
    texts = {"question": QUESTIONS[kind], "answer": answer, "regions": regions}
    return State.model_validate({"id": name, "image": "0" * 64, "task": task, "question_type": kind} | texts)


def vote(of, annotator, verdict="rewrite"):
    said = {"annotator": annotator, "round": 1, "verdict": verdict, "note": "", "at": "2026-01-31T12:00:00Z"}
    return Vote.model_validate(of.model_dump() | said)


def round_of(*votes):
    """Votes as they are read: by annotator and sample."""
    by_annotator = {}
    for each in votes:
        by_annotator.setdefault(each.annotator, {})[each.id] = each
    return by_annotator


def by_hand(units):
    """Alpha from the coincidence matrix, as the paper defines it."""
    values = sorted({value for unit in units for value in unit}, key=str)
    places = {value: k for k, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))
    for unit in units:
        for one, other in permutations(range(len(unit)), 2):
            coincidences[places[unit[one]], places[unit[other]]] += 1 / (len(unit) - 1)
    n_of = coincidences.sum(axis=1)
    n = n_of.sum()
    off = ~np.eye(len(values), dtype=bool)
    expected = (np.outer(n_of, n_of) * off).sum() / (n * (n - 1)) if n else 0
    return 1 - (coincidences * off).sum() / n / expected if expected else None


@pytest.mark.parametrize(
    ("units", "published"), [(units_of(OBSERVERS, "."), 0.743), (units_of(CODERS, "*"), 0.691)], ids=["2011", "wiki"]
)
def test_alpha_is_that_of_the_published_examples(units, published):
    assert round(alpha(units), 3) == published


UNITS = st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=8)


@given(UNITS)
def test_alpha_is_that_of_the_coincidence_matrix(units):
    assert alpha(units) == pytest.approx(by_hand(units), abs=1e-9)


@given(UNITS, st.randoms())
def test_alpha_knows_no_order_of_units_or_values(units, rng):
    shuffled = [rng.sample(unit, len(unit)) for unit in rng.sample(units, len(units))]
    assert alpha(shuffled) == alpha(units)


@pytest.mark.parametrize("units", [[], [[]], [["a"], ["b"]], [["a", "a"], ["a", "a", "a"]]], ids=str)
def test_alpha_does_not_exist_without_pairs_or_with_one_value_everywhere(units):
    assert alpha(units) is None


def test_alpha_of_values_that_chance_would_give_is_near_0():
    rng = random.Random(0)
    assert abs(alpha([rng.choices("abc", k=3) for _ in range(20_000)])) < 0.01


def test_boxes_are_matched_within_their_phrase_and_by_falling_overlap():
    ann = state(cat=[LEFT, RIGHT], dog=[LEFT])
    bob = state(cat=[WIDE], dog=[RIGHT])
    ious, n_unmatched = match(ann, bob)
    assert ious == pytest.approx([0.5 / 0.8])  # LEFT lies in WIDE; RIGHT shares 0.3 of 1.0 with it, and is left
    assert n_unmatched == 3


def test_a_phrase_of_the_question_is_none_of_the_answers():
    said = {"phrase": "cat", "span": (2, 5), "boxes": [LEFT]}
    texts = {"question": "A cat?", "answer": "A cat."}
    one, other = (
        State.model_validate(state().model_dump() | texts | {"regions": [said | {"role": role}]})
        for role in ("question", "answer")
    )
    assert match(one, other) == ([], 2)


CORNERS = st.tuples(*[st.integers(0, 6)] * 2).filter(lambda ends: ends[0] != ends[1]).map(sorted)
BOXES = st.lists(st.builds(lambda x, y: [x[0] / 6, y[0] / 6, x[1] / 6, y[1] / 6], CORNERS, CORNERS), max_size=4)


@given(BOXES, BOXES, st.randoms())
@pytest.mark.slow
def test_matching_knows_no_order_of_annotators_or_boxes(ann, bob, rng):
    one, other = (state(**({"cat": boxes} if boxes else {})) for boxes in (ann, bob))
    turned = [state(**({"cat": rng.sample(boxes, len(boxes))} if boxes else {})) for boxes in (bob, ann)]
    ious, n_unmatched = match(one, other)
    again, n_again = match(*turned)
    assert sorted(again) == sorted(ious)
    assert n_again == n_unmatched
    assert len(ious) <= min(len(ann), len(bob))
    assert 2 * len(ious) + n_unmatched == len(ann) + len(bob)


@given(BOXES)
def test_boxes_that_are_the_same_agree_perfectly(boxes):
    own = state(**({"cat": boxes} if boxes else {}))
    assert match(own, own) == ([1.0] * len(boxes), 0)


def worked_round():
    """Three annotators, and by hand what they agree on."""
    begin = {
        each.id: each
        for each in (
            state("open", cat=[LEFT]),
            state("yes", "yes_no", "Yes, it is."),
            state("no", "yes_no", "No."),
            state("text", "des", "A cat.", cat=[LEFT]),
            state("once"),
            state("never"),
        )
    }
    votes = [
        vote(begin["open"], "ann", "accept"),
        vote(state("open", cat=[WIDE]), "bob"),
        vote(begin["open"], "cid", "reject"),
        vote(begin["yes"], "ann", "accept"),
        vote(state("yes", "yes_no", "YES"), "bob"),
        vote(state("yes", "yes_no", "No, not at all."), "cid"),
        vote(begin["no"], "ann", "accept"),
        vote(begin["no"], "bob", "accept"),
        vote(state("text", "des", "A cat."), "ann"),
        vote(begin["text"], "cid", "accept"),
        vote(begin["once"], "ann", "reject"),
    ]
    return begin, votes


def test_agreement_is_that_computed_by_hand():
    begin, votes = worked_round()
    found = agreement(begin, round_of(*votes))
    assert (found.n_annotators, found.n_samples) == (3, 4)
    assert (found.n_matched, found.n_unmatched) == (1, 1)
    assert found.mean_iou == pytest.approx(0.5 / 0.8)
    assert found.matched_fraction == 0.5
    verdicts = [
        ["accept", "rewrite", "reject"],
        ["accept", "rewrite", "rewrite"],
        ["accept"] * 2,
        ["rewrite", "accept"],
    ]
    assert found.verdicts == pytest.approx(by_hand(verdicts))
    assert found.yes_no == pytest.approx(by_hand([["yes", "yes", "no"], ["no", "no"]]))
    assert found.answers is None  # every open answer is the same
    assert found.to_discuss == {
        "open": ("verdicts differ",),
        "yes": ("verdicts differ", "answers differ"),
        "text": ("verdicts differ", "boxes unmatched"),
    }


@pytest.mark.parametrize(
    ("other", "reasons"),
    [
        (state(answer="a cat,  AND a dog!", cat=[LEFT]), ()),
        (state(answer="A cat and a dog, and a third.", cat=[LEFT]), ("answers differ",)),
        (state(cat=[[0.0, 0.0, 0.2, 1.0]]), ("box IoU under 0.5",)),
        (state(cat=[[0.0, 0.0, 0.25, 1.0]]), ()),
        (state(cat=[RIGHT]), ("boxes unmatched",)),
        (state(cat=[LEFT, RIGHT]), ("boxes unmatched",)),
        (state(dog=[LEFT]), ("boxes unmatched",)),
        (State.model_validate(state(cat=[LEFT]).model_dump() | {"question": "Where is it?"}), ("questions differ",)),
    ],
)
def test_a_sample_is_to_be_discussed_for_what_differs(other, reasons):
    own = state(cat=[LEFT])
    found = agreement({"s": own}, round_of(vote(own, "ann"), vote(other, "bob")))
    assert found.to_discuss == ({"s": reasons} if reasons else {})


def test_what_was_not_voted_on_twice_gives_no_numbers():
    own = state(cat=[LEFT])
    for votes in ({}, {"ann": {}}, round_of(vote(own, "ann", "accept"))):
        found = agreement({"s": own}, votes)
        assert (found.n_annotators, found.n_samples, found.n_matched, found.n_unmatched) == (0, 0, 0, 0)
        assert (found.mean_iou, found.matched_fraction, found.verdicts, found.yes_no, found.answers) == (None,) * 5
        assert found.to_discuss == {}


def random_round(rng):
    """Some samples, and annotators who change them."""
    answers = {"what": ["A cat.", "A dog.", "cat and dog"], "yes_no": ["Yes.", "No.", "Yes, a cat."]}
    lines = [0, 0.25, 0.5, 0.75, 1]

    def version(name, kind):
        answer = rng.choice(answers[kind])
        words = [word for word in ("cat", "dog") if word in answer]
        boxes = [[x1, y1, x2, y2] for x1, y1, x2, y2 in product(lines, repeat=4) if x1 < x2 and y1 < y2]
        return state(name, kind, answer, **{word: rng.sample(boxes, rng.randint(1, 3)) for word in words})

    begin = {f"s{k}": version(f"s{k}", rng.choice(list(answers))) for k in range(rng.randint(1, 5))}
    votes = [
        vote(version(name, own.question_type), annotator, rng.choice(["rewrite", "rewrite", "reject"]))
        for name, own in begin.items()
        for annotator in ("ann", "bob", "cid")
        if rng.random() < 0.8
    ]
    return begin, votes


@pytest.mark.parametrize("seed", range(40))
def test_agreement_knows_no_order_and_no_names(seed):
    rng = random.Random(seed)
    begin, votes = random_round(rng)
    found = agreement(begin, round_of(*votes))
    names = dict(zip(["ann", "bob", "cid"], rng.sample(["xen", "yan", "abe"], 3), strict=True))
    shuffled = [each.model_copy(update={"annotator": names[each.annotator]}) for each in rng.sample(votes, len(votes))]
    turned = {name: begin[name] for name in rng.sample(list(begin), len(begin))}
    assert agreement(turned, round_of(*shuffled)) == found
    for value in (found.mean_iou, found.matched_fraction):
        assert value is None or 0 <= value <= 1
    for value in (found.verdicts, found.yes_no, found.answers):
        assert value is None or value <= 1


@pytest.mark.parametrize("seed", range(20))
def test_those_who_vote_the_same_agree_perfectly(seed):
    begin, votes = random_round(random.Random(seed))
    ann = {each.id: each for each in votes if each.annotator == "ann"}
    same = {
        name: {key: each.model_copy(update={"annotator": name}) for key, each in ann.items()}
        for name in ("ann", "bob")
    }
    found = agreement(begin, same)
    assert found.to_discuss == {}
    assert found.n_unmatched == 0
    assert {found.mean_iou, found.matched_fraction} <= {None, 1.0}
    assert {found.verdicts, found.yes_no, found.answers} <= {None, 1.0}
    assert found.n_samples == len(ann)
