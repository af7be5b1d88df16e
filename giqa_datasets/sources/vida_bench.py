"""ViDA-UGC-Bench, the validation part of ViDA-UGC: its photographs with as much of the truth as is there.

    val/ViDA-Bench/release/benchmark.json      {id, image, width, height}
    val/ViDA-Bench/release/reg-p_ques.json     {id, image, question}
    val/ViDA-Bench/release/mcq.json            {id, concern, image, question, candidates}
    val/ViDA-Bench/ground_truth/               bench_metadata.json, reg-p_bench.json, mcq.json with `correct_ans`

The truth was not given out. Its boxes are public in whycantfindaname/doi-vllms, `test_dist_info_v2.json` in
data/meta_json/benchmark-v1/test, which may lie there in place of `bench_metadata.json`. A question without its truth
is dropped. The question of detection is ours, and the form of its answer the set's own: `region_sets.py`.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, Refused, checked_name
from giqa_datasets.files import fault_of
from giqa_datasets.image_stores import Folder
from giqa_datasets.records import Sample
from giqa_datasets.sources.region_sets import detection, write_objects
from giqa_datasets.sources.rows import load_rows
from giqa_datasets.sources.vida_metadata import VidaMetadata, in_pixels
from giqa_datasets.sources.vida_photographs import base_name
from giqa_datasets.sources.vida_texts import DETECTION, PERCEPTION, grounded, sample_id


BENCH = Path("val", "ViDA-Bench")
TRUTHS = ("bench_metadata.json", "test_dist_info_v2.json")
NO_DISTORTION = "No distortion"  # a class of `reg-p_bench.json`


class _Image(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    id: str = Field("", pattern=r"^[\w .:-]*$")
    image: str


class _Question(_Image):
    question: str


class _Truth(_Image):
    distortions: list[dict[str, object]]


class _Choice(_Image):
    question: str
    concern: str = Field(pattern=r"^\w+$")
    candidates: list[str]
    correct_ans: str | None = None


_Kind = TypeVar("_Kind", bound=_Image)


def entries(root: Path, drop: DropSink) -> list[Entry]:
    """List the photographs in the order of `benchmark.json`, then those of the truth; one without any is dropped.

    Raises:
        ValueError: If a file is no list of rows.
    """
    release, truth = root / BENCH / "release", root / BENCH / "ground_truth"
    metadata = VidaMetadata(_first_of(*(truth / name for name in TRUTHS)), drop)
    samples: defaultdict[str, dict[str, Sample]] = defaultdict(dict)  # by photograph and id
    for name, sample in chain(_perceptions(release, truth, metadata, drop), _choices(release, truth, drop)):
        if samples[name].setdefault(sample.id, sample) is not sample:
            drop(Drop(sample.id, "source", "duplicate", sample.question))
    images, made = Folder(root), []
    listed = [base_name(row.image) for _, row in _rows(release / "benchmark.json", _Image, drop)]
    for name in dict.fromkeys((*listed, *metadata.told, *samples)):
        others = tuple(samples[name].values())
        if name in metadata.told:
            asked = partial(detection, id=sample_id(name, DETECTION, "0"), others=others)
            made.append(metadata.entry(images, f"val/images/{name}", asked))
        elif others:
            made.append(metadata.entry(images, f"val/images/{name}", others))
        else:
            drop(Drop(name, "source", "no_truth", f"nothing in {truth.name} is about this photograph"))
    return made


def _perceptions(release: Path, truth: Path, metadata: VidaMetadata, drop: DropSink) -> Iterator[tuple[str, Sample]]:
    """What is wrong in a region of a photograph."""
    truths = {row.id: row for _, row in _rows(truth / "reg-p_bench.json", _Truth, drop)}
    for where, row in _rows(release / "reg-p_ques.json", _Question, drop):
        name = base_name(row.image)
        try:
            known = truths.get(row.id)
            if known is None or base_name(known.image) != name:
                raise Refused("no_truth", f"{name}: {row.question}")
            asked = grounded(row.question, name)
            said = (each for each in known.distortions if each.get("distortion") != NO_DISTORTION)
            objects = in_pixels(metadata.read_objects(said, where, drop), (1000, 1000))
            text, regions, _ = write_objects(list(objects), (1000, 1000))
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))
            continue
        identifier = sample_id(name, PERCEPTION, row.id)
        yield name, Sample(identifier, "vqa", "what", asked.plain, text, asked.regions, regions)


def _choices(release: Path, truth: Path, drop: DropSink) -> Iterator[tuple[str, Sample]]:
    """Multiple choice; the id tells what it is about."""
    path = _first_of(truth / "mcq.json", release / "mcq.json")
    for where, row in _rows(path, _Choice, drop):
        name = base_name(row.image)
        if row.correct_ans not in row.candidates:
            drop(Drop(where, "source", "no_truth", f"{name}: {row.question}"))
            continue
        letters = [f"{chr(ord('A') + k)}. {words}" for k, words in enumerate(row.candidates)]
        try:
            asked = grounded("\n".join([row.question, *letters]), name)
            answer = grounded(letters[row.candidates.index(row.correct_ans)], name)
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))
            continue
        identifier = sample_id(name, "mcq", f"{row.concern}-{row.id}")
        yield name, Sample(identifier, "vqa", "mcq", *asked[:1], *answer[:1], asked.regions, answer.regions)


def _rows(path: Path | None, kind: type[_Kind], drop: DropSink) -> Iterator[tuple[str, _Kind]]:
    """The rows of a file with their places; a malformed one goes to `drop`."""
    for number, raw in enumerate(load_rows(path) if path and path.is_file() else (), start=1):
        where = f"{path and path.name} row {number}"
        try:
            row = kind.model_validate(raw)
            checked_name(base_name(row.image))
            yield where, row
        except ValidationError as error:
            drop(Drop(where, "source", "malformed_row", fault_of(error)))
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))


def _first_of(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
