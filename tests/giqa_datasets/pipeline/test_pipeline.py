import io
import re
from collections import Counter
from dataclasses import replace
from itertools import count, islice
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from giqa_datasets import parse, strip
from giqa_datasets.batches import batches, seed_of
from giqa_datasets.defaults import MERGE_AREA, MERGE_COVERAGE
from giqa_datasets.drops import Drop
from giqa_datasets.pipeline.detect import detect
from giqa_datasets.pipeline.fuse import fuse
from giqa_datasets.pipeline.protocols import Asked
from giqa_datasets.pipeline.questions import ask
from giqa_datasets.pipeline.refine import merge_boxes, refine
from giqa_datasets.pipeline.stages import Rules, annotate
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.questions import question_pool
from giqa_datasets.records import Record, Tag, rows


DESCRIPTION = "The cat is sharp, the old dog is blurred."
SQUARE = [0.25, 0.25, 0.75, 0.75]  # the bright part of the photograph
LEFT, RIGHT = [0.0, 0.0, 0.125, 0.125], [0.875, 0.875, 1.0, 1.0]


def tag(phrase, boxes=(), *, quality="sharp", effect="positive", text=DESCRIPTION):
    start = text.index(phrase)
    return Tag(phrase, (start, start + len(phrase)), quality, effect, np.array(boxes, dtype=float).reshape(-1, 4))


@pytest.fixture
def record(photograph):
    """A record with a description alone."""
    return Record("one", photograph, DESCRIPTION, "cc0-1.0")


@pytest.fixture
def drops():
    return []


def reasons(drops):
    return [(drop.stage, drop.reason, drop.what) for drop in drops]


class FakeTagger:
    """Finds the phrases it was given."""

    def __init__(self, *found):
        self.found = found

    def tag(self, descriptions):
        return [list(self.found) for _ in descriptions]


class FakeDetector:
    """Finds phrases where it was told, and remembers what it was asked."""

    def __init__(self, **boxes):
        self.boxes = boxes
        self.asked = []

    def detect(self, images, phrases):
        self.asked += [(image.size, list(wanted)) for image, wanted in zip(images, phrases, strict=True)]
        return [[self._boxes(phrase) for phrase in wanted] for wanted in phrases]

    def _boxes(self, phrase):
        boxes = self.boxes.get(phrase.replace(" ", "_"))
        return None if boxes is None else np.array(boxes, dtype=float).reshape(-1, 4)


class FakeVerifier:
    """Says yes to bright crops, and remembers what it was asked."""

    def __init__(self, verdict=lambda crop: np.asarray(crop).min() > 200):
        self.verdict = verdict
        self.asked = []

    def verify(self, crops, qualities):
        self.asked += [(crop.size, quality) for crop, quality in zip(crops, qualities, strict=True)]
        return [bool(self.verdict(crop)) for crop in crops]


class FakeAsker:
    """Asks what it was told to, and remembers of what."""

    def __init__(self, *asked):
        self.asked = list(asked)
        self.descriptions = []

    def ask(self, descriptions, tags, seeds):
        self.descriptions += descriptions
        return [list(self.asked) for _ in descriptions]


class DrawingAsker:
    """Draws its questions from the seed."""

    def ask(self, descriptions, tags, seeds):
        return [
            [
                Asked("yes_no", f"Is the {found[int(index)].phrase} {k}?", ("Yes.", "No.")[k % 2])
                for k, index in enumerate(np.random.default_rng(seed).integers(len(found), size=4))
            ]
            for found, seed in zip(tags, seeds, strict=True)
        ]


# Stage 1: tags


def test_words_that_are_no_object_and_tags_without_a_quality_are_dropped(record, drops):
    text = "The cat, the whole Image, the dog, the background and its blur."
    tagger = FakeTagger(
        tag("cat", text=text),
        tag("whole Image", text=text),
        tag("dog", quality="", text=text),
        tag("background", text=text),
        tag("blur", quality="", text=text),
    )
    (out,) = tags([replace(record, description=text)], tagger, drops.append)
    assert [kept.phrase for kept in out.tags] == ["cat", "background"]
    assert reasons(drops) == [
        ("tags", "no_object", "whole Image"),
        ("tags", "no_quality", "dog"),
        ("tags", "no_object", "blur"),
    ]
    assert {drop.id for drop in drops} == {"one"}


def test_an_object_that_is_described_by_a_word_that_is_none_stays(record, drops):
    text = "The image sensor and the photograph album are sharp."
    (out,) = tags(
        [replace(record, description=text)],
        FakeTagger(tag("image sensor", text=text), tag("photograph album", text=text)),
        drops.append,
    )
    assert [kept.phrase for kept in out.tags] == ["image sensor", "photograph album"]
    assert drops == []


def test_a_lamp_is_an_object_and_light_is_none(record, drops):
    text = "The traffic light and both Street Lights are sharp, and so is the soft light."
    found = [tag(phrase, text=text) for phrase in ("traffic light", "Street Lights", "soft light")]
    (out,) = tags([replace(record, description=text)], FakeTagger(*found), drops.append)
    assert [kept.phrase for kept in out.tags] == ["traffic light", "Street Lights"]
    assert reasons(drops) == [("tags", "no_object", "soft light")]


def test_a_tag_needs_a_place_of_its_own_in_the_description(record, drops):
    found = [
        tag("old dog"),
        replace(tag("dog"), span=tag("old dog").span),
        replace(tag("dog"), span=(DESCRIPTION.index("dog"), DESCRIPTION.index("dog") + 3)),
        replace(tag("cat"), phrase="kitten", span=(0, 0)),
    ]
    (out,) = tags([record], FakeTagger(*found), drops.append)
    assert [kept.phrase for kept in out.tags] == ["old dog"]
    assert reasons(drops) == [
        ("tags", "not_in_description", "dog"),
        ("tags", "overlapping", "dog"),
        ("tags", "not_in_description", "kitten"),
    ]


# Stage 2: detection


def test_the_detector_is_prompted_with_the_phrases_on_the_decoded_photograph(record, drops):
    detector = FakeDetector(cat=[LEFT], old_dog=[RIGHT])
    (out,) = detect([replace(record, tags=(tag("cat"), tag("old dog")))], detector, drops.append)
    assert detector.asked == [((64, 48), ["cat", "old dog"])]
    assert [found.boxes.tolist() for found in out.tags] == [[LEFT], [RIGHT]]
    assert drops == []


def test_a_phrase_without_a_word_and_one_that_is_not_found_have_reasons_of_their_own(record, drops):
    detector = FakeDetector(cat=[])
    (out,) = detect([replace(record, tags=(tag("cat"), tag("old dog")))], detector, drops.append)
    assert out.tags == ()
    assert reasons(drops) == [("detect", "not_found", "cat"), ("detect", "unknown_word", "old dog")]


def test_a_photograph_that_is_broken_is_named(record, drops):
    broken = replace(record, photograph=replace(record.photograph, image=b"no image"), tags=(tag("cat"),))
    assert list(detect([broken], FakeDetector(), drops.append)) == []
    assert [(drop.id, drop.stage, drop.reason) for drop in drops] == [("one", "detect", "broken_image")]


def test_a_grey_photograph_reaches_the_models_as_rgb(record, drops):
    buffer = io.BytesIO()
    Image.new("L", (64, 48)).save(buffer, "PNG")
    modes = []

    class ModeDetector(FakeDetector):
        def detect(self, images, phrases):
            modes.extend(image.mode for image in images)
            return super().detect(images, phrases)

    grey = replace(record, photograph=replace(record.photograph, image=buffer.getvalue()), tags=(tag("cat"),))
    list(detect([grey], ModeDetector(), drops.append))
    assert modes == ["RGB"]


def test_a_record_without_tags_goes_through_every_stage(record, drops):
    models = SimpleNamespace(tagger=FakeTagger(), detector=FakeDetector(), verifier=FakeVerifier(), asker=FakeAsker())
    (out,) = annotate([record], models, drops.append)
    assert (out.tags, out.samples) == ((), ())
    assert reasons(drops) == [("fuse", "no_boxed_object", DESCRIPTION)]


# Stage 3: IQA-Filter


def test_the_filter_is_asked_only_where_one_phrase_got_several_boxes(record, drops):
    verifier = FakeVerifier()
    found = (tag("cat", [SQUARE, LEFT], quality="clear"), tag("old dog", [RIGHT], quality="blurred"))
    (out,) = refine([replace(record, tags=found)], verifier, drops.append)
    assert verifier.asked == [((32, 24), "clear"), ((8, 6), "clear")]
    # the dog's only box would have been refused, had the filter been asked
    assert [kept.boxes.tolist() for kept in out.tags] == [[SQUARE], [RIGHT]]
    assert reasons(drops) == [("refine", "box_refused", "cat")]


def test_the_filter_is_not_asked_where_every_phrase_got_one_box(record, drops):
    verifier = FakeVerifier()
    found = (tag("cat", [LEFT]), tag("old dog", [RIGHT]))
    (out,) = refine([replace(record, tags=found)], verifier, drops.append)
    assert [kept.boxes.tolist() for kept in out.tags] == [[LEFT], [RIGHT]]
    assert (verifier.asked, drops) == ([], [])


def test_a_tag_whose_boxes_are_all_refused_is_dropped(record, drops):
    found = (tag("cat", [LEFT, RIGHT]), tag("old dog", [SQUARE, LEFT]))
    (out,) = refine([replace(record, tags=found)], FakeVerifier(), drops.append)
    assert [(kept.phrase, kept.boxes.tolist()) for kept in out.tags] == [("old dog", [SQUARE])]
    assert Counter((drop.reason, drop.what) for drop in drops) == {
        ("box_refused", "cat"): 2,
        ("all_boxes_refused", "cat"): 1,
        ("box_refused", "old dog"): 1,
    }


def test_a_box_of_which_nothing_readable_is_said_is_dropped_with_a_reason_of_its_own(record, drops):
    class Mumbling:
        def verify(self, crops, qualities):
            return [True, None, False][: len(crops)]

    (out,) = refine([replace(record, tags=(tag("cat", [LEFT, RIGHT, SQUARE]),))], Mumbling(), drops.append)
    assert [kept.boxes.tolist() for kept in out.tags] == [[LEFT]]
    assert [(drop.reason, drop.boxes) for drop in drops] == [
        ("box_refused", (tuple(SQUARE),)),
        ("unreadable_verdict", (tuple(RIGHT),)),
    ]


def test_refused_boxes_are_not_merged_into_the_kept_ones(record, drops):
    touching = [0.25, 0.1, 0.75, 0.25]  # above the bright part, and dark
    (out,) = refine([replace(record, tags=(tag("cat", [touching, SQUARE]),))], FakeVerifier(), drops.append)
    assert out.tags[0].boxes.tolist() == [SQUARE]


def test_kept_boxes_are_merged(record, drops):
    halves = [[0.25, 0.25, 0.5, 0.75], [0.5, 0.25, 0.75, 0.75]]
    (out,) = refine([replace(record, tags=(tag("cat", halves),))], FakeVerifier(), drops.append)
    assert out.tags[0].boxes.tolist() == [SQUARE]
    assert drops == [Drop("one", "refine", "box_merged", "cat", (tuple(halves[1]),))]


def test_a_box_thinner_than_a_pixel_still_has_a_crop(record, drops):
    thin = [0.5, 0.5, 0.501, 0.501]
    verifier = FakeVerifier()
    list(refine([replace(record, tags=(tag("cat", [thin, SQUARE]),))], verifier, drops.append))
    assert verifier.asked[0] == ((1, 1), "sharp")


# Stage 3: Box-Merge


def merged_by_definition(boxes, merge_area, merge_coverage):
    """The protocol's words, on plain numbers.

    Over pairs i < j, if `(area(i) < T_a and the boxes touch) or coverage(i, j) > T_o`, then i becomes the union and j
    goes, else j moves on.
    """

    def area(a):
        return (a[2] - a[0]) * (a[3] - a[1])

    def meet(a, b):
        return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]

    def covers(a, b):
        shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
        return shared / min(area(a), area(b)) > merge_coverage

    boxes = [list(box) for box in boxes]
    alive = [True] * len(boxes)
    for i in range(len(boxes)):
        for j in range(i + 1, len(boxes)):
            a, b = boxes[i], boxes[j]
            if alive[i] and alive[j] and ((area(a) < merge_area and meet(a, b)) or covers(a, b)):
                boxes[i] = [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
                alive[j] = False
    return [box for box, lives in zip(boxes, alive, strict=True) if lives]


# Corners on a coarse grid, so that boxes often share an edge or lie in one another; its numbers are exact
coarse = st.lists(st.integers(0, 16), min_size=2, max_size=2, unique=True).map(sorted)
coarse_box = st.tuples(coarse, coarse).map(lambda xy: [xy[0][0] / 16, xy[1][0] / 16, xy[0][1] / 16, xy[1][1] / 16])


def merged(boxes, *thresholds, **named):
    return merge_boxes(boxes, *thresholds, **named)[0]


@given(
    st.lists(coarse_box, min_size=1, max_size=7),
    st.sampled_from([0, 1 / 16, MERGE_AREA, 2]),
    st.sampled_from([0, 0.5, MERGE_COVERAGE, 1]),
)
def test_merging_follows_the_definition(boxes, merge_area, merge_coverage):
    assert merged(np.array(boxes), merge_area, merge_coverage).tolist() == merged_by_definition(
        boxes, merge_area, merge_coverage
    )


def test_the_thresholds_are_the_papers():
    assert (MERGE_AREA, MERGE_COVERAGE) == (0.256, 0.95)


def test_pairs_are_taken_in_order_and_not_again():
    first, second, third = [0, 0, 0.125, 0.125], [0.25, 0, 0.375, 0.125], [0.125, 0, 0.25, 0.125]
    # the third joins the first; the second, which touches the union now, was looked at before
    assert merged(np.array([first, second, third])).tolist() == [[0, 0, 0.25, 0.125], second]
    assert merged(np.array([first, third, second])).tolist() == [[0, 0, 0.375, 0.125]]


def test_the_area_that_counts_is_that_of_the_first_box():
    small, large = [0.5, 0, 0.625, 0.125], [0.0, 0.0, 0.5, 1.0]
    assert merged(np.array([small, large])).tolist() == [[0, 0, 0.625, 1]]
    assert merged(np.array([large, small])).tolist() == [large, small]


def test_both_thresholds_are_strict():
    quarter, beside = [0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5]
    assert len(merged(np.array([quarter, beside]), merge_area=0.25)) == 2
    assert len(merged(np.array([quarter, beside]), merge_area=0.2501)) == 1
    half = [0.25, 0, 0.75, 0.5]  # shares half of the first
    assert len(merged(np.array([quarter, half]), merge_area=0, merge_coverage=0.5)) == 2
    assert len(merged(np.array([quarter, half]), merge_area=0, merge_coverage=0.4999)) == 1


def test_merging_one_box_or_none_changes_nothing():
    assert merged(np.array([SQUARE])).tolist() == [SQUARE]
    assert merged(np.zeros((0, 4))).shape == (0, 4)


def test_merging_leaves_the_boxes_given_as_they_are():
    boxes = np.array([LEFT, [0.125, 0, 0.25, 0.125]])
    before = boxes.copy()
    merged(boxes)
    assert (boxes == before).all()


# Stage 4: fusion


@pytest.mark.parametrize(
    "description",
    [
        DESCRIPTION,
        "  The cat is sharp ,\r\n\tand the old dog\u00a0is  blurred.  \n",
        "Das Kätzchen (\U0001f408) — cat — naïve; old dog…",
        "cat, old dog: see [1] and (2), x < y > z, 100 %. Note positions as [label](<x, y>).",
        "catold dog",
    ],
)
def test_fusion_keeps_the_description_byte_for_byte(record, drops, description):
    found = (tag("cat", [LEFT, RIGHT], text=description), tag("old dog", [SQUARE], text=description))
    (out,) = fuse([replace(record, description=description, tags=found)], drops.append)
    (sample,) = out.samples
    (row,) = rows(out)
    assert sample.answer == description
    assert strip(row["answer"]).encode() == description.encode()
    assert [region.phrase for region in parse(row["answer"]).regions] == ["cat", "old dog"]
    assert [region["boxes"] for region in row["regions"]] == [[LEFT, RIGHT], [SQUARE]]
    assert drops == []


def test_a_description_is_a_sample_with_a_question_of_the_pool(record, drops):
    (out,) = fuse([replace(record, tags=(tag("cat", [LEFT]),))], drops.append)
    (sample,) = out.samples
    assert (sample.id, sample.task, sample.question_type) == ("one-des", "des", "des")
    assert sample.question in question_pool()


def test_the_pool_has_15_different_questions_with_the_papers_endings():
    pool = question_pool()
    assert len(set(pool)) == len(pool) == 15
    endings = [re.search(r"(Note positions as \[label\]\(<x, y>\)\.|Mention positions\.|)$", text)[1] for text in pool]
    assert set(endings) == {"Note positions as [label](<x, y>).", "Mention positions.", ""}
    assert all(strip(text) == text and not parse(text).malformed for text in pool)


def test_many_records_get_every_question_of_the_pool(record, drops):
    found = replace(record, tags=(tag("cat", [LEFT]),))
    fused = fuse((replace(found, id=str(number)) for number in range(400)), drops.append)
    assert {out.samples[0].question for out in fused} == set(question_pool())


def test_tags_that_overlap_are_not_groundable(record, drops):
    (out,) = fuse([replace(record, tags=(tag("old dog", [LEFT]), tag("dog", [RIGHT])))], drops.append)
    assert out.samples == ()
    assert [(drop.stage, drop.reason) for drop in drops] == [("fuse", "not_groundable")]


def test_a_description_with_boxes_of_its_own_is_not_groundable(record, drops):
    description = "The [cat](<1, 44>) and the old dog."
    found = (tag("old dog", [LEFT], text=description),)
    (out,) = fuse([replace(record, description=description, tags=found)], drops.append)
    assert out.samples == ()
    assert [(drop.stage, drop.reason) for drop in drops] == [("fuse", "not_groundable")]


# Questions


@pytest.fixture
def described(record, drops):
    """A record with two boxed objects and its description."""
    (out,) = fuse([replace(record, tags=(tag("cat", [LEFT]), tag("old dog", [SQUARE])))], drops.append)
    return out


def asked(described, drops, *pairs):
    (out,) = ask([described], FakeAsker(*pairs), drops.append)
    return out.samples[1:]


def test_boxes_go_into_the_question_if_it_names_an_object_and_else_into_the_answer(described, drops):
    samples = asked(
        described,
        drops,
        Asked("how", "How is the cat?", "Sharper than the old dog."),
        Asked("what", "What is blurred?", "The old dog."),
    )
    assert [([r.phrase for r in s.question_regions], [r.phrase for r in s.answer_regions]) for s in samples] == [
        (["cat"], []),
        ([], ["old dog"]),
    ]
    assert [sample.id for sample in samples] == ["one-vqa-1", "one-vqa-2"]
    assert {sample.task for sample in samples} == {"vqa"}
    assert samples[0].question_regions[0].boxes.tolist() == [LEFT]


def test_a_phrase_may_begin_a_sentence_or_stand_inside_one(photograph, drops):
    text = "Trees are sharp. The old Dog is dark, another dog is bright."
    found = (tag("Trees", [LEFT], text=text), tag("Dog", [RIGHT], text=text), tag("dog", [SQUARE], text=text))
    record = Record("one", photograph, text, "cc0-1.0", tags=found)
    (record,) = fuse([record], drops.append)
    pairs = [Asked("how", "How do the trees look?", "Sharp."), Asked("how", "How does the dog look?", "Bright.")]
    (out,) = ask([record], FakeAsker(*pairs), drops.append)
    assert [[(r.phrase, r.boxes.tolist()) for r in sample.question_regions] for sample in out.samples[1:]] == [
        [("trees", [LEFT])],
        [("dog", [SQUARE])],
    ]
    assert drops == []


def test_a_pair_that_names_no_boxed_object_is_dropped(described, drops):
    samples = asked(
        described,
        drops,
        Asked("what", "What is the weather like?", "Dull."),
        Asked("how", "How are the cats of the catalogue?", "Fine."),  # no whole word
        Asked("how", "How is the cat?", "Sharp."),
    )
    assert [sample.question for sample in samples] == ["How is the cat?"]
    assert reasons(drops) == [
        ("ask", "names_no_object", "What is the weather like? Dull."),
        ("ask", "names_no_object", "How are the cats of the catalogue? Fine."),
    ]


def test_the_longer_of_two_phrases_wins_where_they_overlap(record, drops):
    text = "The dog and the dog house are sharp."
    found = (tag("dog", [LEFT], text=text), tag("dog house", [SQUARE], text=text))
    (fused,) = fuse([replace(record, description=text, tags=found)], drops.append)
    (sample,) = asked(fused, drops, Asked("how", "How is the dog house?", "Sharp."))
    assert [region.phrase for region in sample.question_regions] == ["dog house"]


def test_a_pair_with_markup_of_its_own_is_dropped(described, drops):
    assert not asked(
        described,
        drops,
        Asked("how", "How is the [cat](<1, 44>)?", "Sharp."),
        Asked("how", "How is the cat?", "Sharp [there](<1, 44>)."),
    )
    assert len(drops) == 2


@pytest.mark.parametrize("yes", range(4))
@pytest.mark.parametrize("no", range(4))
def test_half_of_the_yes_no_answers_are_yes(described, drops, yes, no):
    pairs = [Asked("yes_no", f"Is the cat {k}?", "Yes.") for k in range(yes)]
    pairs += [Asked("yes_no", f"Is the old dog {k}?", "No.") for k in range(no)]
    samples = asked(described, drops, *pairs, Asked("how", "How is the cat?", "Yes and no."))
    answers = Counter(sample.answer for sample in samples if sample.question_type == "yes_no")
    assert answers["Yes."] == answers["No."] == min(yes, no)
    assert [(drop.stage, drop.reason) for drop in drops] == [("ask", "unbalanced")] * abs(yes - no)
    assert samples[-1].question_type == "how"  # open questions are not balanced
    assert [sample.id for sample in samples] == [f"one-vqa-{k}" for k in range(1, len(samples) + 1)]


def test_answers_are_balanced_after_the_keyword_filter(described, drops):
    samples = asked(
        described,
        drops,
        Asked("yes_no", "Is it sharp?", "Yes."),  # names no object
        Asked("yes_no", "Is the cat blurred?", "No."),
    )
    assert samples == ()
    assert [drop.reason for drop in drops] == ["names_no_object", "unbalanced"]


@pytest.mark.parametrize(("yes", "no"), [("Yes", "No"), ("yes.", "no."), ("YES", "NO"), ("Yes, it is.", "No, never.")])
def test_a_models_yes_and_no_are_recognised_as_it_writes_them(described, drops, yes, no):
    samples = asked(
        described, drops, Asked("yes_no", "Is the cat sharp?", yes), Asked("yes_no", "Is the cat blurred?", no)
    )
    assert [sample.answer for sample in samples] == [yes, no]


def test_nothing_is_asked_of_a_record_without_a_description(record, described, drops):
    asker = FakeAsker(Asked("how", "How is the cat?", "Sharp."))
    plain, grounded = ask([replace(record, id="two"), described], asker, drops.append)
    assert asker.descriptions == [DESCRIPTION]
    assert (len(plain.samples), len(grounded.samples)) == (0, 2)


# The whole pipeline


@pytest.fixture
def fakes():
    tagger = FakeTagger(tag("cat"), tag("old dog", quality="blurred"))
    detector = FakeDetector(cat=[LEFT], old_dog=[SQUARE, LEFT])
    return SimpleNamespace(tagger=tagger, detector=detector, verifier=FakeVerifier(), asker=DrawingAsker())


def annotated(records, models, *, seed=0):
    return {record.id: list(rows(record)) for record in annotate(records, models, lambda drop: None, Rules(seed=seed))}


@pytest.fixture
def many(record):
    return [replace(record, id=f"photo-{number}") for number in range(70)]  # more than a batch


def test_the_same_seed_gives_the_same_samples(many, fakes):
    assert annotated(many, fakes) == annotated(many, fakes)


def test_another_seed_gives_other_samples(many, fakes):
    assert annotated(many, fakes) != annotated(many, fakes, seed=1)


def test_the_order_of_the_records_does_not_change_a_records_samples(many, fakes):
    assert annotated(many, fakes) == annotated(many[::-1], fakes)


def test_a_records_samples_do_not_depend_on_its_neighbours(many, fakes):
    assert annotated(many[3:4], fakes)["photo-3"] == annotated(many, fakes)["photo-3"]


def test_records_come_out_in_the_order_they_went_in(many, fakes):
    assert list(annotated(many, fakes)) == [record.id for record in many]


def test_the_pipeline_reads_no_further_than_a_few_batches(record, fakes):
    endless = (replace(record, id=str(number)) for number in count())
    assert [out.id for out in islice(annotate(endless, fakes, lambda drop: None), 3)] == ["0", "1", "2"]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_size_of_a_batch_changes_nothing(many, fakes, size):
    stream = tags(many, fakes.tagger, lambda drop: None, batch_size=size)
    stream = detect(stream, fakes.detector, lambda drop: None, batch_size=size)
    stream = fuse(refine(stream, fakes.verifier, lambda drop: None), lambda drop: None)
    stream = ask(stream, fakes.asker, lambda drop: None, batch_size=size)
    assert {record.id: list(rows(record)) for record in stream} == annotated(many, fakes)


def test_batches_hold_every_item_once_in_order():
    assert [item for batch in batches(range(10), 4) for item in batch] == list(range(10))
    assert list(batches([], 4)) == []


def test_seeds_differ_by_record_and_by_seed():
    seeds = {seed_of(f"photo-{number}", seed) for number in range(100) for seed in range(3)}
    assert len(seeds) == 300
    assert seed_of("coffee", 0) == 11565209102963183147  # the same on every machine
