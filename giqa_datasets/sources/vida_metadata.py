"""ViDA-UGC's metadata: what is wrong in a photograph, as `train_metadata.json` and the truth of the benchmark say it.

Boxes are thousandths of the photograph's sides, 0 and 1000 included. Values that are none of the known ones stay as
words, and are counted.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from giqa_datasets.console import printable
from giqa_datasets.defect_classes import DEFECT_CLASSES, SEVERITIES, defect_class, severity
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, Samples
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of
from giqa_datasets.formats import Size
from giqa_datasets.image_stores import Folder
from giqa_datasets.objects import Defect, from_thousandths, scope_of
from giqa_datasets.sources.region_sets import Assessment, read_assessed
from giqa_datasets.sources.rows import load_rows
from giqa_datasets.sources.vida_photographs import base_name, original


QUALITIES = ("bad", "poor", "fair", "good", "excellent")
SOURCE = "vida-ugc"  # begins the ids
TEXT_LICENSE = "none stated; Pi-Lab License 1.0, non-commercial, as the project's page has it"
SIGNIFICANCES = ("unimportant", "minor", "normal", "important", "essential")  # 1 to 5
logger = logging.getLogger(__name__)
_QUALITY = re.compile(r"(?:the quality is )?(\w+)\.?", re.IGNORECASE)
_SIGNIFICANCE = re.compile(r"(?:this region is )?(\w+)(?: to the overall quality)?\.?", re.IGNORECASE)


_Text = Annotated[str, BeforeValidator(lambda said: "" if said is None else said)]


class _Distortion(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    id: _Text = ""
    distortion: str
    coordinates: tuple[int, int, int, int]  # x1 y1 x2 y2
    severity: _Text = ""
    region_quality_scores: _Text = ""
    region_importance_score: _Text = ""
    position: _Text = ""
    manifestation: _Text = Field("", alias="visual manifestation")
    impact: _Text = Field("", alias="perception impact")


class Told(BaseModel):
    """What a row says of a photograph."""

    image: str
    mos: float | None = None
    level: _Text = ""
    distortions: list[object] = []


class VidaMetadata:
    """The photographs of a metadata file by name, and what was not as expected."""

    def __init__(self, path: Path | None, drop: DropSink) -> None:
        """Read a file, or none; an object that is not valid goes to `drop`.

        Raises:
            ValueError: If it is no list of photographs.
        """
        self.told: dict[str, Told] = {}
        self.objects: dict[str, tuple[Defect, ...]] = {}  # their boxes are x1 y1 x2 y2 in thousandths
        self.stray: Counter[str] = Counter()
        for number, raw in enumerate(load_rows(path) if path else (), start=1):
            where = f"{path and path.name} row {number}"
            try:
                told = Told.model_validate(raw)
            except ValidationError as error:
                drop(Drop(where, "source", "malformed_row", fault_of(error)))
                continue
            name = base_name(told.image)
            if name in self.told:
                drop(Drop(where, "source", "duplicate", name))
                continue
            self.told[name] = told
            self.objects[name] = tuple(self.read_objects(told.distortions, f"{where} {name}", drop))
        if self.stray:
            said = printable(", ".join(f"{n} {value}" for value, n in self.stray.most_common(20)))
            logger.warning("%s: %d values are none of the known ones: %s", path, len(self.stray), said)

    def entry(self, images: Folder, file: str, samples: Samples) -> Entry:
        """Make the entry of a photograph with all its samples; one that the file does not have has no objects."""
        name = base_name(file)
        told = self.told.get(name, Told(image=name))
        said = Assessment(partial(in_pixels, self.objects.get(name, ())), told.mos, told.level)
        photograph = partial(read_assessed, images, file, original(name).rights, said)
        return Entry(f"{SOURCE}/{file}", file, file, "", TEXT_LICENSE, photograph, samples)

    def read_objects(self, distortions: Iterable[object], where: str, drop: DropSink) -> Iterator[Defect]:
        """Yield the objects of a list; one that is not valid goes to `drop`."""
        for raw in distortions:
            try:
                said = _Distortion.model_validate(raw)
                from_thousandths(said.coordinates, (1000, 1000))
            except ValidationError as error:
                drop(Drop(where, "source", "malformed_object", fault_of(error)))
            except InputError as error:
                drop(Drop(where, "source", "malformed_object", str(error)))
            else:
                yield self._object(said)

    def _object(self, said: _Distortion) -> Defect:
        category, how = defect_class(said.distortion), severity(said.severity)
        quality = _word(_QUALITY, said.region_quality_scores, QUALITIES)
        significance = _word(_SIGNIFICANCE, said.region_importance_score, SIGNIFICANCES)
        self._count("class", said.distortion, is_known=category in DEFECT_CLASSES)
        self._count("severity", said.severity, is_known=how in SEVERITIES)
        self._count("quality", said.region_quality_scores, is_known=bool(quality))
        self._count("significance", said.region_importance_score, is_known=bool(significance))
        return Defect(
            said.id,
            said.coordinates,
            0,
            category,
            said.distortion,
            how,
            SEVERITIES.index(how) + 1 if how in SEVERITIES else -1,
            quality,
            significance=SIGNIFICANCES.index(significance) + 1 if significance else 0,
            position=said.position,
            description=" ".join(filter(None, (said.manifestation, said.impact))),
        )

    def _count(self, what: str, said: str, *, is_known: bool) -> None:
        if said and not is_known:
            self.stray[f"{what} {said!r:.60}"] += 1


def in_pixels(objects: Iterable[Defect], size: Size) -> Iterable[Defect]:
    """Bring objects from thousandths to pixels."""
    for each in objects:
        box = from_thousandths([int(edge) for edge in each.bbox], size)
        yield each._replace(bbox=box, area=box[2] * box[3], scope=scope_of(box, size))


def _word(sentence: re.Pattern[str], said: str, known: tuple[str, ...]) -> str:
    """The word of a sentence, or "" if it is none of the known ones."""
    found = sentence.fullmatch(said.strip())
    return found[1].lower() if found and found[1].lower() in known else ""
