"""The annotation run in this process, with models of our own: what a run leaves, however often it was stopped."""

import io
import json
import random
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from giqa_datasets.batches import seed_of
from giqa_datasets.drops import Drop
from giqa_datasets.entries import Entry, ImageSet, Refused, load, read_photograph
from giqa_datasets.image_stores import Folder
from giqa_datasets.pipeline.annotation_run import WINDOW, annotate_into, annotate_window, annotated
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.pipeline.protocols import Asked, Failure
from giqa_datasets.pipeline.stages import Rules
from giqa_datasets.records import Photograph, Record, Tag, rows


pytestmark = pytest.mark.slow


CHOICE = Choice()
FAULTS = ("tagraise", "tagfault", "detectraise", "refineraise", "askraise", "askfault")  # what a later run tries again
STAGES = dict(zip(FAULTS, ("tags", "tags", "detect", "refine", "ask", "ask"), strict=True))
NONSENSE = ("tagnonsense", "asknonsense")
OTHERS = ("fine", "plain", "quiet", "lost", "broken")
KINDS = FAULTS + NONSENSE + OTHERS


def text_of(kind, number):
    """What a record of a kind says; the models read the kind out of it."""
    if kind == "quiet":
        return f"Nothing is said here of {number}."
    return f"The {kind} cat {number} is sharp, the dog {number} is blurred; the cup, the bird and the image."


class Models:
    """All four models; `works` tells whether the kinds of faults fail, `batched` whether results tell of the batch."""

    def __init__(self, *, works=False, batched=False):
        self.works, self.batched = works, batched
        self.asked = Counter()

    def models(self):
        return SimpleNamespace(tagger=self, detector=self, verifier=self, asker=self)

    def _fail(self, kind, text):
        if not self.works and kind in text:
            raise RuntimeError(f"{kind}: out of luck")

    def tag(self, descriptions):
        self.asked.update(descriptions)
        found = []
        for description in descriptions:
            self._fail("tagraise", description)
            if "tagfault" in description and not self.works:
                found.append(Failure("fault", "server gone"))
            elif "tagnonsense" in description:
                found.append(Failure("unreadable_reply", "Sure!\n"))
            else:
                found.append(list(self._tags(description, len(descriptions))))
        return found

    def _tags(self, description, size):
        for match in re.finditer(r"(?:\w+ cat|dog) \d+|cup|bird|image", description):
            quality = "" if match[0] == "bird" and "1" in description else f"as in {match[0]}"
            quality += f", of {size}" if self.batched and quality else ""
            yield Tag(match[0], match.span(), quality, "negative", np.zeros((0, 4)))
        yield Tag("ghost", (0, 0), "faint", "none", np.zeros((0, 4)))

    def detect(self, images, phrases):
        np.asarray(images[0]).sum()
        return [
            [self._boxes(np.asarray(image), phrase, len(images)) for phrase in wanted]
            for image, wanted in zip(images, phrases, strict=True)
        ]

    def _boxes(self, pixels, phrase, size):
        self._fail("detectraise", phrase)
        if phrase == "bird" or "plain" in phrase:
            return None
        rng = np.random.default_rng([seed_of(phrase, 1), int(pixels.sum()), size if self.batched else 0])
        count = 0 if phrase == "cup" and rng.random() < 0.5 else int(rng.integers(2, 5))
        corners = np.sort(rng.random((count, 2, 2)), axis=1)
        return corners.reshape(-1, 4)

    def verify(self, crops, qualities):
        self._fail("refineraise", qualities[0])
        return [crop.width % 3 != 0 for crop in crops]

    def ask(self, descriptions, tags, seeds):
        asked = []
        for description, found, seed in zip(descriptions, tags, seeds, strict=True):
            self._fail("askraise", description)
            if "askfault" in description and not self.works:
                asked.append(Failure("fault", "server gone"))
            elif "asknonsense" in description:
                asked.append(Failure("unreadable_reply", "?"))
            else:
                end = f" of {len(descriptions)}" if self.batched else ""
                phrases = [tag.phrase for tag in found]
                drawn = np.random.default_rng(seed).choice(phrases, 3)
                asked.append(
                    [
                        *(Asked("yes_no", f"Is the {phrase} good{end}?", "Yes.") for phrase in drawn[:2]),
                        Asked("yes_no", f"Is the {drawn[2]} bad?", "No."),
                        Asked("what", "What is this?", "Nothing."),
                        Asked("what", "What is bad?", f"The {drawn[0]}."),
                    ]
                )
        return asked


def picture(number=0, kind="PNG", size=(16, 12)):
    """An image file of its own colour."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def cut_jpeg(number):
    """A photograph with a good header, whose end is missing."""
    return picture(number, "JPEG", (200, 200))[:9000]


def rotten_jpeg(number):
    """A photograph of which nothing is missing, but which makes no sense from its middle on."""
    whole = picture(number, "JPEG", (200, 200))
    return whole[:9000] + b"\xff\xda" * 50 + whole[9100:]


def as_photograph(raw, number):
    """The photograph of a file, whatever is behind its header."""
    size = Image.open(io.BytesIO(raw)).size
    return Photograph(raw, *size, f"{number:064}", "test", "cc0-1.0", file=str(number))


def no_photograph():
    raise Refused("missing_image", "expected 'it', found none")


def entry_of(kind, number):
    """An entry of a kind."""
    raw = cut_jpeg(number) if kind == "broken" else picture(number)
    name = f"r{number}"
    photograph = no_photograph if kind == "lost" else partial(as_photograph, raw, number)
    return Entry(name, f"row {number}", f"{number}.img", text_of(kind, number), "cc0-1.0", photograph)


def entries_of(*kinds):
    return [entry_of(kind, number) for number, kind in enumerate(kinds)]


MIXED = entries_of(*random.Random(0).choices([*KINDS, "fine", "fine"], k=WINDOW + 9))
IN_BATCHES = [entry for entry in MIXED if "raise" not in entry.description]  # no batch of theirs falls apart
FINE = entries_of(*["fine"] * 12)


def engine_of(models):
    """An engine that runs in this process with models of our own."""
    return lambda windows, choice: (
        made for window in windows for made in annotate_window(window, models.models(), choice)
    )


class Stopped(Exception):
    """A run that was stopped."""


def stopping(engine, after):
    """An engine that stops after so many lines."""

    def stops(windows, choice):
        for number, made in enumerate(engine(windows, choice)):
            if number == after:
                raise Stopped
            yield made
        raise Stopped

    return stops


def shuffled(engine, seed):
    """An engine whose lines come in any order."""

    def mixes(windows, choice):
        made = list(engine(windows, choice))
        random.Random(seed).shuffle(made)
        yield from made

    return mixes


def never(windows, choice):
    raise AssertionError("nothing is left to do")
    yield


def contents(folder):
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines_of(folder, name="records.jsonl"):
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def whole(folder, entries, models=None, **options):
    """The folder of a run that nothing stopped."""
    annotate_into(folder, entries, CHOICE, engine=engine_of(models or Models()), **options)
    return contents(folder)


# A run that goes on


def test_a_run_leaves_four_files_and_a_second_one_does_nothing(tmp_path):
    entries = [entry for entry in MIXED if not any(kind in entry.description for kind in FAULTS)]
    entries = [entry for entry in entries if entry.photograph is not no_photograph]
    once = whole(tmp_path / "a", entries)
    assert set(once) == {"settings.json", "records.jsonl", "drops.jsonl", "funnel.json"}
    annotate_into(tmp_path / "a", entries, CHOICE, engine=never)
    assert contents(tmp_path / "a") == once


def test_a_run_that_stops_after_any_number_of_lines_ends_with_the_same_bytes(tmp_path):
    engine = engine_of(Models(batched=True))
    once = whole(tmp_path / "whole", IN_BATCHES, Models(batched=True))
    assert re.search(rb", of [3-6]\d\W", once["records.jsonl"])
    for after in range(len(IN_BATCHES)):
        folder = tmp_path / str(after)
        with pytest.raises(Stopped):
            annotate_into(folder, IN_BATCHES, CHOICE, engine=stopping(engine, after))
        annotate_into(folder, IN_BATCHES, CHOICE, engine=engine)
        assert contents(folder) == once, f"stopped after {after} lines"
        shutil.rmtree(folder)


def test_a_last_line_that_was_cut_anywhere_is_made_again(tmp_path):
    entries = entries_of("fine", "askfault", "quiet", "tagnonsense")
    once = whole(tmp_path / "whole", entries)
    lines = once["records.jsonl"].splitlines(keepends=True)
    last = len(lines[-2]) + len(lines[-1])
    folder, engine = tmp_path / "cut", engine_of(Models())
    for size in range(len(once["records.jsonl"]) - last, len(once["records.jsonl"])):
        folder.mkdir()
        (folder / "settings.json").write_bytes(once["settings.json"])
        (folder / "records.jsonl").write_bytes(once["records.jsonl"][:size])
        annotate_into(folder, entries, CHOICE, engine=engine)
        assert contents(folder) == once, f"cut at byte {size}"
        shutil.rmtree(folder)


@given(
    stops=st.lists(st.integers(0, len(IN_BATCHES)), max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    seed=st.integers(0, 9),
)
def test_lines_in_any_order_and_stops_at_any_time_end_with_the_same_bytes(stops, cuts, seed):
    engine = engine_of(Models(batched=True))
    with tempfile.TemporaryDirectory() as root:
        once = whole(Path(root) / "whole", IN_BATCHES, Models(batched=True))
        folder = Path(root) / "stopped"
        for number, after in enumerate(stops):
            with pytest.raises(Stopped):
                annotate_into(folder, IN_BATCHES, CHOICE, engine=stopping(shuffled(engine, seed + number), after))
            records = folder / "records.jsonl"
            size = records.stat().st_size
            with records.open("ab") as file:
                file.truncate(max(0, size - sum(cuts[: number + 1])))
        annotate_into(folder, IN_BATCHES, CHOICE, engine=shuffled(engine, seed))
        assert contents(folder) == once


def test_a_run_that_was_killed_while_it_wrote_its_last_files_ends_with_the_same_bytes(tmp_path):
    once = whole(tmp_path / "whole", FINE)
    for name in ("records.jsonl", "drops.jsonl", "funnel.json"):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "whole", folder)
        lines = once["records.jsonl"].splitlines(keepends=True)
        (folder / "records.jsonl").write_bytes(b"".join(reversed(lines)))  # not in order yet
        for missing in ("drops.jsonl", "funnel.json"):
            (folder / missing).unlink()
        (folder / f".{name}.1234.giqa-partial").write_bytes(once[name][:70])
        annotate_into(folder, FINE, CHOICE, engine=never)
        assert contents(folder) == once


def test_a_changed_description_is_annotated_again_and_nothing_else_is(tmp_path):
    changed = [*FINE]
    changed[4] = replace(FINE[4], description="The new cat 7 is sharp.")
    whole(tmp_path / "a", FINE)
    models = Models()
    annotate_into(tmp_path / "a", changed, CHOICE, engine=engine_of(models))
    assert contents(tmp_path / "a") == whole(tmp_path / "b", changed)
    annotate_into(tmp_path / "a", changed, CHOICE, engine=never)


@pytest.mark.parametrize("limits", [(3, 73), (64, 73), (65, 73), (10, 3, 73), (73, 5, 73), (1, 2, 64, 66, 73)])
def test_a_limit_that_changes_between_runs_leaves_no_trace(tmp_path, limits):
    once = whole(tmp_path / "whole", MIXED)
    for limit in limits:
        annotate_into(tmp_path / "a", MIXED[:limit], CHOICE, engine=engine_of(Models()))
    assert contents(tmp_path / "a") == once


def test_a_lower_limit_loses_no_line_and_counts_its_own_alone(tmp_path):
    once = whole(tmp_path / "a", MIXED)
    few = whole(tmp_path / "few", MIXED[:7])
    annotate_into(tmp_path / "a", MIXED[:7], CHOICE, engine=engine_of(Models()))
    now = contents(tmp_path / "a")
    assert now["records.jsonl"] == once["records.jsonl"]
    assert {name: now[name] for name in ("drops.jsonl", "funnel.json")} == {
        name: few[name] for name in ("drops.jsonl", "funnel.json")
    }


def test_entries_in_another_order_give_the_lines_in_that_order(tmp_path):
    whole(tmp_path / "a", FINE)
    annotate_into(tmp_path / "a", FINE[::-1], CHOICE, engine=never)
    assert contents(tmp_path / "a") == whole(tmp_path / "b", FINE[::-1])


# Models that fail


def test_what_a_model_failed_at_is_tried_again_and_ends_as_if_it_had_never_failed(tmp_path):
    outcome = annotate_into(tmp_path / "a", MIXED, CHOICE, engine=engine_of(Models()))
    failed = {entry.id for entry in MIXED if any(kind in entry.description for kind in FAULTS)}
    assert {drop.id for drop in outcome.drops if drop.reason == "fault"} == failed
    assert outcome.n_faults == len(failed) > 5
    outcome = annotate_into(tmp_path / "a", MIXED, CHOICE, engine=engine_of(Models(works=True)))
    assert outcome.n_faults == 0
    assert contents(tmp_path / "a") == whole(tmp_path / "b", MIXED, Models(works=True))


def test_an_unreadable_reply_is_not_asked_for_again(tmp_path):
    entries = entries_of("fine", *NONSENSE, "fine")
    once = whole(tmp_path / "a", entries)
    annotate_into(tmp_path / "a", entries, CHOICE, engine=never)
    assert contents(tmp_path / "a") == once
    reasons = {(drop["id"], drop["stage"]) for drop in lines_of(tmp_path / "a", "drops.jsonl") if "unr" in str(drop)}
    assert reasons == {("r1", "tags"), ("r2", "ask")}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("place", [0, 3, 7, 8, 11])
def test_a_record_that_a_model_fails_at_costs_itself_alone(tmp_path, kind, place):
    whole(tmp_path / "fine", FINE)
    annotate_into(
        tmp_path / "a",
        [entry_of(kind, place) if number == place else entry for number, entry in enumerate(FINE)],
        CHOICE,
        engine=engine_of(Models()),
    )
    fine, found = lines_of(tmp_path / "fine"), lines_of(tmp_path / "a")
    assert found[:place] + found[place + 1 :] == fine[:place] + fine[place + 1 :]
    faults = [drop for drop in found[place]["drops"] if drop["reason"] == "fault"]
    assert [drop["stage"] for drop in faults] == [STAGES[kind]]
    assert bool(found[place]["samples"]) == kind.startswith("ask")


class Wrong(Models):
    """Gives one thing too few or too many for a batch."""

    def __init__(self, method, change):
        super().__init__()
        self.method, self.change = method, change

    def tag(self, descriptions):
        return self._wrong("tag", super().tag(descriptions))

    def detect(self, images, phrases):
        return self._wrong("detect", super().detect(images, phrases))

    def ask(self, descriptions, tags, seeds):
        return self._wrong("ask", super().ask(descriptions, tags, seeds))

    def _wrong(self, method, results):
        return results if method != self.method else results + results[:1] if self.change > 0 else results[:-1]


@pytest.mark.parametrize("method", ["tag", "detect", "ask"])
@pytest.mark.parametrize("change", [1, -1])
def test_a_model_that_gives_too_few_or_too_many_results_gives_none(tmp_path, method, change):
    with pytest.raises(OSError, match="expected 1 results of a model, got"):
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=engine_of(Wrong(method, change)))


class WrongInside(Models):
    """Gives too few boxes or verdicts for one record."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def detect(self, images, phrases):
        found = super().detect(images, phrases)
        return [
            boxes[:-1] if self.method == "detect" and "dog 3" in wanted else boxes
            for boxes, wanted in zip(found, phrases, strict=True)
        ]

    def verify(self, crops, qualities):
        found = super().verify(crops, qualities)
        return found[:-1] if self.method == "verify" and "dog 3" in qualities[0] else found


@pytest.mark.parametrize("method", ["detect", "verify"])
def test_a_model_that_gives_too_few_results_for_one_record_costs_that_record_alone(tmp_path, method):
    outcome = annotate_into(tmp_path / "a", FINE, CHOICE, engine=engine_of(WrongInside(method)))
    assert [drop.id for drop in outcome.drops if drop.reason == "fault"] == ["r3"]


class Nowhere(Models):
    """Finds one phrase where no box can be."""

    def __init__(self, *xyxy):
        super().__init__()
        self.xyxy = xyxy

    def _boxes(self, pixels, phrase, size):
        return np.array([self.xyxy]) if phrase == "dog 3" else super()._boxes(pixels, phrase, size)


@pytest.mark.parametrize("xyxy", [(np.nan, 0, 1, 1), (0, 0, np.inf, 1), (0.6, 0, 0.2, 1), (-0.5, 0, 2, 1)])
def test_a_box_that_is_none_is_no_box(tmp_path, xyxy):
    annotate_into(tmp_path / "a", FINE, CHOICE, engine=engine_of(Nowhere(*xyxy)))

    def refuse(name):
        raise AssertionError(name)

    for name in ("records.jsonl", "drops.jsonl"):
        for line in (tmp_path / "a" / name).read_text(encoding="utf-8").splitlines():
            json.loads(line, parse_constant=refuse)
    for record in annotated(tmp_path / "a", FINE, [].append):
        assert [*rows(record)]
        for sample in record.samples:
            for region in (*sample.question_regions, *sample.answer_regions):
                assert ((region.boxes >= 0) & (region.boxes <= 1)).all()
                assert (region.boxes[:, :2] < region.boxes[:, 2:]).all()


def test_a_run_in_which_every_record_fails_says_the_first_reason_and_keeps_what_was_there(tmp_path):
    kinds = ["tagfault", "tagraise", *["detectraise"] * 80]
    models = Models()
    with pytest.raises(OSError, match=r"^no record came through; what the first one ran into: server gone$"):
        annotate_into(tmp_path / "a", entries_of(*kinds), CHOICE, engine=engine_of(models))
    assert len(lines_of(tmp_path / "a")) == 82
    outcome = annotate_into(tmp_path / "a", entries_of(*kinds), CHOICE, engine=engine_of(Models(works=True)))
    assert outcome.n_faults == 0
    assert contents(tmp_path / "a") == whole(tmp_path / "b", entries_of(*kinds), Models(works=True))


def test_a_run_after_another_in_which_every_record_fails_keeps_what_was_there(tmp_path):
    whole(tmp_path / "a", FINE)
    before = lines_of(tmp_path / "a")
    entries = [*FINE, *(entry_of("tagfault", number) for number in range(12, 20))]
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert outcome.n_faults == 8
    assert lines_of(tmp_path / "a")[:12] == before
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models(works=True)))
    assert contents(tmp_path / "a") == whole(tmp_path / "b", entries, Models(works=True))


def test_many_records_that_fail_at_the_start_do_not_keep_the_others_from_being_annotated(tmp_path):
    entries = entries_of(*["tagraise"] * WINDOW, *["fine"] * 5)
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert outcome.n_faults == WINDOW
    assert sum(bool(line["samples"]) for line in lines_of(tmp_path / "a")) == 5


# Photographs that are broken, missing or changed


@pytest.mark.parametrize("place", [0, 3, 11])
@pytest.mark.parametrize(
    "broken",
    [
        cut_jpeg,
        rotten_jpeg,
    ],
)
def test_a_broken_photograph_costs_its_record_alone(tmp_path, broken, place):
    whole(tmp_path / "fine", FINE)
    entries = [*FINE]
    entries[place] = replace(FINE[place], photograph=partial(as_photograph, broken(100 + place), place))
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    fine, found = lines_of(tmp_path / "fine"), lines_of(tmp_path / "a")
    assert found[:place] + found[place + 1 :] == fine[:place] + fine[place + 1 :]
    assert found[place]["samples"] == []
    assert [(drop.stage, drop.reason) for drop in outcome.drops if drop.id == f"r{place}"][-1] == (
        "detect",
        "broken_image",
    )
    assert outcome.n_faults == 0


@pytest.mark.parametrize(
    "broken",
    [
        cut_jpeg,
        rotten_jpeg,
    ],
)
def test_a_broken_photograph_alone_in_its_batch_is_broken_and_no_fault(tmp_path, broken):
    entries = [
        *entries_of(*["fine"] * 8),
        replace(entry_of("fine", 8), photograph=partial(as_photograph, broken(200), 8)),
    ]
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert [drop["reason"] for drop in lines_of(tmp_path / "a")[-1]["drops"] if drop["stage"] == "detect"] == [
        "broken_image"
    ]
    annotate_into(tmp_path / "a", entries, CHOICE, engine=never)


def test_a_photograph_that_cannot_be_read_does_not_put_its_neighbours_to_the_models_again(tmp_path):
    entries = entries_of("fine", "lost", "fine")
    once = whole(tmp_path / "a", entries)
    models = Models()
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(models))
    assert contents(tmp_path / "a") == once
    assert models.asked.total() == 0


class Unopened:
    """Models that cannot be had."""

    def __getattr__(self, name):
        raise OSError(f"no {name} is to be had")


@pytest.mark.parametrize("n_fine", [0, 3, WINDOW])
def test_photographs_that_cannot_be_read_need_no_model(tmp_path, n_fine):
    entries = entries_of(*["fine"] * n_fine, "lost")
    once = whole(tmp_path / "a", entries)
    annotate_into(
        tmp_path / "a",
        entries,
        CHOICE,
        engine=lambda windows, choice: (
            made for window in windows for made in annotate_window(window, Unopened(), choice)
        ),
    )
    assert contents(tmp_path / "a") == once


def test_a_photograph_that_is_lost_after_its_annotation_is_counted_once(tmp_path):
    whole(tmp_path / "a", FINE[:3])
    entries = [replace(FINE[0], photograph=no_photograph), *FINE[1:5]]
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert outcome.funnel[0].n_in == 5


def test_a_photograph_that_is_lost_when_its_description_changes_leaves_no_old_samples(tmp_path):
    whole(tmp_path / "a", FINE[:3])
    entries = [replace(FINE[0], photograph=no_photograph, description="The new cat 7 is sharp."), *FINE[1:3]]
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert outcome.funnel[0].n_in == 3


def test_a_photograph_that_is_back_is_annotated(tmp_path):
    entries = entries_of("fine", "lost", "fine")
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert [(drop.id, drop.reason) for drop in outcome.drops if drop.stage == "source"] == [("row 1", "missing_image")]
    entries[1] = entry_of("fine", 1)
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    assert contents(tmp_path / "a") == whole(tmp_path / "b", entries)


def test_photographs_that_cannot_be_read_are_left_out_in_the_order_of_the_entries(tmp_path):
    kinds = ["lost" if number % 7 == 0 else "fine" for number in range(WINDOW + 20)]
    first = [Drop("row -1", "source", "empty_description", "")]
    entries = entries_of(*kinds)
    once = whole(tmp_path / "a", entries, left_out=first)
    lost = [drop["id"] for drop in lines_of(tmp_path / "a", "drops.jsonl") if drop["stage"] == "source"]
    assert lost == ["row -1", *(f"row {number}" for number in range(0, WINDOW + 20, 7))]
    engine = shuffled(engine_of(Models()), 3)
    annotate_into(tmp_path / "b", entries, CHOICE, engine=engine, left_out=first)
    assert contents(tmp_path / "b") == once


@pytest.mark.parametrize("name", ["a b.png", "käse.png", "猫.png", 'a"b.png', "screenshot 3.04\u202fPM.png"])
def test_a_photograph_of_any_name_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(picture())
    read = read_photograph(Folder(tmp_path), name, ImageSet("test", "cc0-1.0"))
    assert (read.width, read.height) == (16, 12)


# The funnel


def check_funnel(folder, n_entries):
    """The rows add up, follow from one another, and count what was left out."""
    rows = {(row["stage"], row["unit"]): row for row in json.loads((folder / "funnel.json").read_bytes())}
    for row in rows.values():
        assert row["n_in"] == row["n_out"] + sum(row["left_out"].values())
        assert min(row["n_in"], row["n_out"], *row["left_out"].values(), 0) == 0
    counted = Counter()
    for (stage, _), row in rows.items():
        for reason, count in row["left_out"].items():
            its_stage, colon, its_reason = reason.partition(": ")
            counted[(its_stage, its_reason) if colon else (stage, reason)] += count
    listed = Counter((drop["stage"], drop["reason"]) for drop in lines_of(folder, "drops.jsonl"))
    assert counted == listed
    assert rows["source", "descriptions"]["n_in"] == n_entries
    assert rows["source", "descriptions"]["n_out"] == rows["fuse", "descriptions"]["n_in"]
    assert rows["tags", "objects"]["n_out"] == rows["detect", "objects"]["n_in"]
    assert rows["detect", "objects"]["n_out"] == rows["refine", "objects"]["n_in"]
    lines = lines_of(folder)
    samples = Counter(sample["task"] for line in lines for sample in line["samples"])
    assert samples["des"] == rows["fuse", "descriptions"]["n_out"]
    assert samples["vqa"] == rows["ask", "questions"]["n_out"]
    assert sum(len(line["tags"]) for line in lines) == rows["refine", "objects"]["n_out"]
    found = sum(len(tag["found"]) for line in lines for tag in line["tags"])
    refused = [drop["what"] for line in lines for drop in line["drops"] if drop["reason"] == "all_boxes_refused"]
    found += sum(
        drop["reason"] == "box_refused" and drop["what"] in refused
        for line in lines
        for drop in line["drops"]
        if drop["stage"] == "refine" and drop["what"] in refused
    )
    if not any("cup" in what for what in refused):  # the other phrases have their record's number
        assert rows["refine", "boxes"]["n_in"] == found


@given(kinds=st.lists(st.sampled_from(KINDS), max_size=24), n_twice=st.integers(0, 3))
def test_the_funnel_adds_up_and_counts_what_is_listed(kinds, n_twice):
    entries = entries_of("fine", *kinds)
    entries += [replace(entry, where=f"again {number}") for number, entry in enumerate(entries[:n_twice])]
    with tempfile.TemporaryDirectory() as root:
        whole(Path(root), entries)
        check_funnel(Path(root), len(entries))


def test_entries_with_samples_of_their_own_are_counted_and_not_annotated(tmp_path):
    whole(tmp_path / "a", FINE)
    with_samples = [*annotated(tmp_path / "a", FINE[:4], [].append)]
    ready = [Entry.of(record) for record in with_samples]
    entries = [*ready, *FINE[4:]]
    outcome = annotate_into(tmp_path / "b", entries, CHOICE, engine=engine_of(Models()))
    assert (outcome.funnel[0].n_in, outcome.funnel[0].n_out) == (12, 12)
    assert [line["id"] for line in lines_of(tmp_path / "b")] == [entry.id for entry in FINE[4:]]
    assert [record.id for record in annotated(tmp_path / "b", entries, [].append)] == [entry.id for entry in FINE]
    annotate_into(tmp_path / "c", ready, CHOICE, engine=never)
    assert (tmp_path / "c" / "records.jsonl").read_bytes() == b""
    assert list(annotated(tmp_path / "nowhere", FINE, [].append)) == []


# What comes out again


def same(xyxy, others):
    return xyxy.shape == others.shape and xyxy.tobytes() == others.tobytes()


def test_what_comes_out_is_what_was_annotated_to_the_last_bit(tmp_path):
    entries = [entry for entry in MIXED if "detectraise" not in entry.description]
    made = {}

    class Watched(Models):
        def ask(self, descriptions, tags, seeds):
            made.update(zip(descriptions, tags, strict=True))
            return super().ask(descriptions, tags, seeds)

    whole(tmp_path / "a", entries, Watched())
    drops = []
    records = list(annotated(tmp_path / "a", entries, drops.append))
    assert len(records) == sum(bool(line["samples"]) for line in lines_of(tmp_path / "a")) > 20
    for record in records:
        des = record.samples[0]
        assert (des.id, des.answer) == (f"{record.id}-des", record.description)
        for region, tag in zip(des.answer_regions, made[record.description], strict=True):
            assert (region.phrase, region.span) == (tag.phrase, tag.span)
            assert same(region.boxes, tag.boxes)
    by_id = {entry.id: entry for entry in entries}
    for record in records:
        loaded = by_id[record.id].load()
        assert record.photograph == loaded.photograph
        assert (record.description, record.text_license) == (loaded.description, loaded.text_license)
    assert drops == []


@given(
    boxes=st.lists(
        st.tuples(*[st.floats(0, 1, allow_subnormal=True)] * 4).filter(
            lambda box: box[0] < box[2] and box[1] < box[3]
        ),
        min_size=1,
        max_size=1,
    ),
    end=st.text(st.characters(exclude_characters="[]()<>{}|\r", codec="utf-8"), max_size=9),
)
def test_any_box_and_any_letter_come_out_as_they_went_in(boxes, end):
    class Boxes(Models):
        def _tags(self, description, size):
            yield Tag("cat", (4, 7), f"sharp{end}", "positive", np.zeros((0, 4)))

        def _boxes(self, pixels, phrase, size):
            return np.array(boxes)

        def ask(self, descriptions, tags, seeds):
            return [[Asked("what", f"What of the cat{end}?", f"It is sharp{end}.")] for _ in descriptions]

    description = f"The cat is sharp{end}."
    entry = replace(entry_of("fine", 1), description=description)
    with tempfile.TemporaryDirectory() as root:
        drops = []
        annotate_into(Path(root), [entry], CHOICE, engine=engine_of(Boxes()))
        (line,) = lines_of(Path(root))
        assert line["tags"][0]["quality"] == f"sharp{end}"
        assert np.array(line["tags"][0]["found"]).tobytes() == np.array(boxes).tobytes()
        for record in annotated(Path(root), [entry], drops.append):
            assert record.samples[0].answer == description
            assert same(record.samples[0].answer_regions[0].boxes, np.array(boxes))
        annotate_into(Path(root), [entry], CHOICE, engine=never)


def test_half_a_surrogate_pair_of_a_model_costs_no_other_record(tmp_path):
    class Half(Models):
        def ask(self, descriptions, tags, seeds):
            return [
                [Asked("what", f"What of the {found[0].phrase}\ud83d?", "It\udc08.")] if "7" in description else []
                for description, found in zip(descriptions, tags, strict=True)
            ]

    whole(tmp_path / "a", FINE, Half())
    asked = [record for record in annotated(tmp_path / "a", FINE, [].append) if len(record.samples) > 1]
    assert [record.samples[1].answer for record in asked] == ["It?."]
    annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)


def test_a_photograph_that_changed_after_its_annotation_is_left_out_by_name(tmp_path):
    whole(tmp_path / "a", FINE)
    entries = [*FINE]
    entries[2] = replace(FINE[2], photograph=partial(as_photograph, picture(99), 99))
    entries[5] = replace(FINE[5], photograph=no_photograph)
    drops = []
    records = list(annotated(tmp_path / "a", entries, drops.append))
    assert [record.id for record in records] == [entry.id for entry in FINE if entry.id not in ("r2", "r5")]
    assert [(drop.id, drop.stage, drop.reason) for drop in drops] == [
        ("r2", "source", "changed_image"),
        ("row 5", "source", "missing_image"),
    ]


def test_a_photograph_that_changed_is_annotated_again(tmp_path):
    whole(tmp_path / "a", FINE)
    entries = [*FINE]
    entries[2] = replace(FINE[2], photograph=partial(as_photograph, picture(99), 99))
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    drops = []
    records = list(annotated(tmp_path / "a", entries, drops.append))
    assert drops == []
    assert len(records) == len(FINE)


def test_an_id_that_occurs_twice_is_dropped_once_and_comes_out_once(tmp_path):
    again = replace(entry_of("fine", 40), id="r3", where="other row 40")
    entries = [*FINE, again]
    outcome = annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    twice = [drop for drop in outcome.drops if drop.stage == "source"]
    assert twice == [Drop("other row 40", "source", "duplicate", "r3")]
    assert [line["id"] for line in lines_of(tmp_path / "a")] == [entry.id for entry in FINE]
    assert lines_of(tmp_path / "a")[3]["description"] == FINE[3].description
    assert outcome.funnel[0].left_out == {"duplicate": 1}


@pytest.mark.parametrize("number", [3, 40])
def test_an_id_that_occurs_twice_is_built_once_and_left_out_once(tmp_path, number):
    again = replace(entry_of("fine", number), id="r3", where="other row", description=FINE[3].description)
    entries = [*FINE, again]
    annotate_into(tmp_path / "a", entries, CHOICE, engine=engine_of(Models()))
    drops = []
    records = list(annotated(tmp_path / "a", entries, drops.append))
    assert [record.id for record in records] == [entry.id for entry in FINE]
    assert drops == []


# Folders that are not as they should be


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"llm": "m"}, "llm"),
        ({"detector": "d", "verifier": "v"}, "detector, verifier"),
        ({"box_threshold": 0.5, "text_threshold": 0.1}, "box_threshold, text_threshold"),
        ({"rules": Rules(0.1, 0.2, 3)}, "merge_area, merge_coverage, seed"),
    ],
)
def test_other_settings_are_refused_by_name_and_change_nothing(tmp_path, change, names):
    once = whole(tmp_path / "a", FINE)
    with pytest.raises(ValueError, match=rf"begun with other settings \({names}\); "):
        annotate_into(tmp_path / "a", FINE, replace(CHOICE, **change), engine=never)
    assert contents(tmp_path / "a") == once


@pytest.mark.parametrize("change", [{"llm_url": "http://127.0.0.1:1/v1"}, {"device": "cpu"}])
def test_where_a_model_runs_is_no_setting(tmp_path, change):
    served = replace(CHOICE, llm="m")
    annotate_into(tmp_path / "a", FINE, served, engine=engine_of(Models()))
    annotate_into(tmp_path / "a", FINE, replace(served, **change), engine=never)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "expected JSON in .*settings.json"),
        (b"{", "expected JSON in .*settings.json"),
        (b"\xff\xfe\x00", "expected JSON in .*settings.json"),
        (b"[]", "expected a JSON object in .*settings.json, got list"),
        (b"null", "expected a JSON object in .*settings.json, got NoneType"),
        (b"{}", "begun with other settings .box_threshold, detector, llm"),
        (b'{"lr": 0.1}', "begun with other settings .box_threshold, detector, llm"),
    ],
)
def test_damaged_settings_are_refused_and_stay(tmp_path, raw, says):
    once = whole(tmp_path / "a", FINE)
    (tmp_path / "a" / "settings.json").write_bytes(raw)
    with pytest.raises(ValueError, match=says):
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)
    assert contents(tmp_path / "a") == once | {"settings.json": raw}


@pytest.mark.parametrize("change", [{"giqa": "9.0"}, {"files": {"ask.v9.txt": "0" * 8}}])
def test_what_another_version_annotated_is_used_and_not_gone_on_with(tmp_path, change):
    whole(tmp_path / "a", FINE[:5])
    path = tmp_path / "a" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change), encoding="utf-8")
    before = contents(tmp_path / "a")
    annotate_into(tmp_path / "a", FINE[:5], CHOICE, engine=never)
    assert contents(tmp_path / "a") == before
    with pytest.raises(ValueError, match=rf"begun with other settings \({next(iter(change))}\); "):
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)
    assert contents(tmp_path / "a") == before


@pytest.mark.parametrize(
    "raw",
    [
        b'{"my": "data"}\n',
        b'{"my": "data"}',
    ],
)
def test_records_of_something_else_are_refused_and_stay(tmp_path, raw):
    (tmp_path / "records.jsonl").write_bytes(raw)
    with pytest.raises(ValueError, match=r"expected .*settings\.json beside .*, found none"):
        annotate_into(tmp_path, FINE, CHOICE, engine=never)
    assert (tmp_path / "records.jsonl").read_bytes() == raw


def test_records_without_settings_are_refused_and_stay(tmp_path):
    once = whole(tmp_path / "a", FINE)
    (tmp_path / "a" / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"expected .*settings\.json beside .*, found none"):
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)
    del once["settings.json"]
    assert contents(tmp_path / "a") == once


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("mine", encoding="utf-8")
    with pytest.raises(OSError, match="a"):
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)
    assert (tmp_path / "a").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["drops.jsonl", "funnel.json", "settings.json"])
def test_a_folder_of_something_else_loses_no_file(tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises((OSError, ValueError)):
        annotate_into(tmp_path, FINE, CHOICE, engine=engine_of(Models()))
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda line: b"\n", " line 5: invalid JSON"),
        (lambda line: line[:40] + b"\n", " line 5: invalid JSON"),
        (lambda line: b"[]\n", " line 5: expected an object, got list"),
        (lambda line: line.replace(b'"file"', b'"flie"', 1), "[^{}]*: file: field required"),
        (lambda line: line.replace(b'"id"', b'"extra": 1, "id"', 1), "[^{}]*: extra: extra inputs"),
        (lambda line: line.replace(b'"r4"', b'"\xff"', 1), " line 5: "),
        (lambda line: bytes(len(line) - 1) + b"\n", " line 5: invalid JSON"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named_and_everything_stays(tmp_path, damage, says):
    once = whole(tmp_path / "a", FINE)
    lines = once["records.jsonl"].splitlines(keepends=True)
    lines[4] = damage(lines[4])
    (tmp_path / "a" / "records.jsonl").write_bytes(b"".join(lines))
    for call in (
        lambda: annotate_into(tmp_path / "a", FINE, CHOICE, engine=never),
        lambda: list(annotated(tmp_path / "a", FINE, [].append)),
    ):
        with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'a' / 'records.jsonl'}") + says) as raised:
            call()
        assert "\n" not in str(raised.value)
    assert contents(tmp_path / "a") == once | {"records.jsonl": b"".join(lines)}


def test_a_blank_end_of_the_records_is_no_record(tmp_path):
    once = whole(tmp_path / "a", FINE)
    with (tmp_path / "a" / "records.jsonl").open("ab") as file:
        file.write(bytes(300))  # what a file system may leave after the power went
    annotate_into(tmp_path / "a", FINE, CHOICE, engine=never)
    assert contents(tmp_path / "a") == once


def test_two_runs_into_one_folder_leave_one_that_can_be_read(tmp_path):
    engine = engine_of(Models())
    refused = []

    def with_another(windows, choice):
        for number, made in enumerate(shuffled(engine, 1)(windows, choice)):
            if number == 3:
                try:
                    annotate_into(tmp_path / "a", FINE, CHOICE, engine=engine)
                except (OSError, ValueError) as error:
                    refused.append(error)
            yield made

    try:
        annotate_into(tmp_path / "a", FINE, CHOICE, engine=with_another)
    except (OSError, ValueError) as error:
        refused.append(error)
    annotate_into(tmp_path / "a", FINE, CHOICE, engine=engine)
    assert contents(tmp_path / "a") == whole(tmp_path / "b", FINE)


def test_what_the_sources_read_is_what_the_entries_say(tmp_path):
    drops = []
    records = list(load(MIXED, drops.append))
    assert [record.id for record in records] == [entry.id for entry in MIXED if entry.photograph is not no_photograph]
    assert len(records) + len(drops) == len(MIXED)
    assert all(isinstance(record, Record) for record in records)
