"""SynthScars: generated pictures, sentences about what is wrong in them, and a mask for each sentence.

    {train,test}/images/*  {train,test}/annotations/{train,test}.json

A file is a list of {ID: {img_file_name, caption, refs: [{sentence, explanation, segmentation: [[x0, y0, x1, ...]]}]}}.
A sentence stands in its caption, and becomes a phrase with the box around its mask. Its readers read no classes: all
objects are "artifact".
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, RootModel

from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, check_text, checked_name
from giqa_datasets.errors import MissingFileError
from giqa_datasets.image_stores import Folder
from giqa_datasets.questions import question_pool
from giqa_datasets.records import Photograph, Sample
from giqa_datasets.regions import Region
from giqa_datasets.sources.polygons import Outline, outlined
from giqa_datasets.sources.region_sets import Assessment, corners_of, read_assessed
from giqa_datasets.sources.rows import entries as entries_of


SPLITS = ("train", "test")
RIGHTS = ImageSet("synthscars", "apache-2.0", redistributable=True)
TEXT_LICENSE = "apache-2.0"
CATEGORY = "artifact"

Span = tuple[int, int]


class _Ref(BaseModel):
    sentence: str
    explanation: str | None = None
    segmentation: list[list[float]] | None = None


class _Annotation(BaseModel):
    img_file_name: str
    caption: str
    refs: list[_Ref]


class _Row(RootModel[dict[str, _Annotation]]):
    pass


class _Described(NamedTuple):
    """A caption, and the objects that its sentences are about."""

    id: str
    caption: str
    outlines: list[Outline]
    spans: list[Span]  # of each outline's sentence


def entries(root: Path, drop: DropSink) -> dict[str, list[Entry]]:
    """List the pictures of each split that is there; one that was annotated twice is one entry with two samples.

    Raises:
        FileNotFoundError: If neither split is there.
        ValueError: If a file is another's.
    """
    found = {split: _annotations(root / split) for split in SPLITS}
    there = {split: path for split, path in found.items() if path}
    if not there:
        raise MissingFileError(f"expected train/annotations/train.json of SynthScars in {root}, found none")
    return {split: _of_split(root, split, path, drop) for split, path in there.items()}


def _annotations(folder: Path) -> Path | None:
    names = ("annotations", "annoations")  # its README has the second
    return next(
        (path for name in names for path in [folder / name / f"{folder.name}.json"] if path.is_file()),
        None,
    )


def _of_split(root: Path, split: str, path: Path, drop: DropSink) -> list[Entry]:
    described: dict[str, list[_Described]] = {}  # by picture
    ids: set[str] = set()

    def collect(raw: object) -> None:
        for key, row in _Row.model_validate(raw).root.items():
            name, identifier = checked_name(f"{split}/images/{row.img_file_name}"), checked_name(key)
            if identifier in ids:
                raise Refused("duplicate", identifier)
            ids.add(identifier)
            described.setdefault(name, []).append(_describe(f"synthscars/{split}/{identifier}", row, drop))

    entries_of(path, collect, drop)
    images, made = Folder(root), []
    for name, of_picture in described.items():
        outlines = tuple(outline for each in of_picture for outline in each.outlines)
        photograph = partial(read_assessed, images, name, RIGHTS, Assessment(partial(outlined, outlines)))
        samples = partial(_samples, described=tuple(of_picture))
        made.append(Entry(of_picture[0].id, name, name, "", TEXT_LICENSE, photograph, samples))
    return made


def _describe(identifier: str, row: _Annotation, drop: DropSink) -> _Described:
    """Read an annotation; a reference without a sentence or a mask goes to `drop`. Raises Refused for a wrong text."""
    check_text(row.caption, row.img_file_name)
    described = _Described(identifier, row.caption, [], [])
    taken: dict[str, Span] = {}
    for number, ref in enumerate(row.refs, start=1):
        flats = [flat for flat in ref.segmentation or () if flat]
        is_mask = bool(flats) and all(len(flat) >= 6 and len(flat) % 2 == 0 for flat in flats)
        start = row.caption.find(ref.sentence) if ref.sentence.strip() else -1
        span = (start, start + len(ref.sentence))
        overlaps = [each for each in taken.values() if each != span and each[0] < span[1] and span[0] < each[1]]
        reason = "no_sentence" if start < 0 else "no_mask" if not is_mask else "overlap" if overlaps else None
        if reason or "[" in ref.sentence or "]" in ref.sentence:
            drop(Drop(f"{identifier}:{number}", "source", reason or "markup_in_sentence", ref.sentence[:200]))
            continue
        taken[ref.sentence] = span
        described.spans.append(span)
        polygons = tuple(tuple(zip(flat[::2], flat[1::2], strict=True)) for flat in flats)
        named = (CATEGORY, "", ref.explanation or "")
        described.outlines.append(Outline(f"{identifier}:{number}", polygons, *named))
    return described


def _samples(photograph: Photograph, *, described: Sequence[_Described]) -> tuple[Sample, ...]:
    objects, size, first, samples = photograph.objects or (), (photograph.width, photograph.height), 0, []
    for each in described:
        own = range(first, first + len(each.spans))
        spans = sorted(set(each.spans))
        places = [-1] * len(objects)
        for k in own:
            places[k] = spans.index(each.spans[k - first])
        regions = tuple(
            Region(each.caption[slice(*span)], span, corners_of([objects[k] for k in own if places[k] == at], size))
            for at, span in enumerate(spans)
        )
        name = f"{each.id}-des"
        question = question_pool()[0]
        samples.append(Sample(name, "des", "des", question, each.caption, (), regions, object_regions=tuple(places)))
        first += len(each.spans)
    return tuple(samples)
