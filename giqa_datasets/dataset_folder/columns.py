"""The row of every GIQA data set: its columns as written and as read back, and counts of rows."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from giqa_datasets.files import said
from giqa_datasets.objects import OPTIONAL
from giqa_datasets.records import QUESTION_TYPES, QuestionType, Record, Task, rows


Source = tuple[str, ...]  # the upstream set of a row, and the licences of its pixels and its text: the columns SOURCE
SOURCE = ("source", "image_license", "text_license")


class Rights(NamedTuple):
    """The source and the terms of a row; all but the last are columns."""

    source: str  # the upstream set
    image_license: str  # of the pixels
    text_license: str  # of the text
    redistributable: bool  # the pixels' own terms let others pass them on


class SetRow(NamedTuple):
    """A row of a data set, with three facts that no column has."""

    columns: dict[str, Any]  # by name; an `image` without bytes is written as null
    files: Sequence[str]  # the upstream names of its image
    redistributable: bool  # the pixels' own terms let others pass them on
    changes: tuple[str, ...] = ()  # of its image's original file, `images.CHANGES`


@dataclass(slots=True)
class SplitCounts:
    """The counts of a split."""

    rows: Counter[str] = field(default_factory=Counter)  # by question type
    n_yes: int = 0  # Yes/No questions that are answered Yes
    files: dict[str, str] = field(default_factory=dict)  # sha256 of each original image by its upstream name
    rights: Counter[Rights] = field(default_factory=Counter)  # rows by source and licences
    changes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of original images, by their sha256
    # Classes of the objects of each image, by its sha256; without images in a set that has no such column
    objects: dict[str, list[str]] = field(default_factory=dict)

    @property
    def images(self) -> set[str]:
        """The sha256 of the distinct original images."""
        return set(self.files.values())

    def add(self, row: SetRow) -> None:
        """Count a row."""
        columns = row.columns
        self.rows[columns["question_type"]] += 1
        self.n_yes += columns["question_type"] == "yes_no" and columns["answer"].lower().startswith("yes")
        self.files |= dict.fromkeys(row.files, columns["image_sha256"])
        if "objects" in columns:
            self.objects[columns["image_sha256"]] = columns["objects"]["category"]
        if row.changes:
            self.changes[columns["image_sha256"]] = row.changes
        source, pixels, text = (columns[name] for name in SOURCE)
        self.rights[Rights(source, pixels, text, row.redistributable)] += 1


_Name = Annotated[str, Field(pattern=r"^\P{C}+$")]  # some letters, none that a terminal would obey


class _Region(BaseModel):
    phrase: str
    role: Literal["question", "answer"]
    boxes: list[list[float]] = Field(min_length=1)


class _Asked(BaseModel):
    role: Literal["user"]
    content: str = Field(min_length=1)


class _Answered(BaseModel):
    role: Literal["assistant"]
    content: str = Field(min_length=1)


class _Distortion(BaseModel):
    name: str
    severity: int


class _Mask(BaseModel):
    size: list[int]
    counts: str


class _Objects(BaseModel):
    id: list[str]
    bbox: list[list[float]]
    area: list[float]
    category: list[str]
    category_raw: list[str]
    severity: list[str]
    severity_level: list[int]
    quality: list[str]
    mos: list[float]
    significance: list[int]
    position: list[str]
    description: list[str]
    scope: list[str]
    segmentation: list[_Mask]
    region: list[int]


class Columns(BaseModel):
    """The columns of a row without its image; only `objects.OPTIONAL` may be null, of which some sets have none."""

    id: _Name
    width: int
    height: int
    task: Task
    question_type: QuestionType
    question: str
    answer: str
    regions: list[_Region]
    prompt: Annotated[list[_Asked], Field(min_length=1, max_length=1)]
    completion: Annotated[list[_Answered], Field(min_length=1, max_length=1)]
    source: _Name
    distortions: list[_Distortion]
    image_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    image_license: _Name
    text_license: _Name
    objects: _Objects | None = None
    mos: float | None = None
    level: str | None = None


def features(names: Container[str] = ()) -> Any:
    """Return the columns of every GIQA data set, as `datasets.Features`.

    Those of `objects.OPTIONAL` are among them if `names` has one.
    """
    from datasets import Features, Image, List, Value

    turn = List({"role": Value("string"), "content": Value("string")})
    text, whole, real = List(Value("string")), List(Value("int32")), List(Value("float32"))
    known = Features(
        {
            "id": Value("string"),
            "image": Image(),
            "width": Value("int32"),
            "height": Value("int32"),
            "task": Value("string"),
            "question_type": Value("string"),
            "question": Value("string"),
            "answer": Value("string"),
            "regions": List(
                {"phrase": Value("string"), "role": Value("string"), "boxes": List(List(Value("float32"), length=4))}
            ),
            "prompt": turn,
            "completion": turn,
            "source": Value("string"),
            "distortions": List({"name": Value("string"), "severity": Value("int32")}),
            "image_sha256": Value("string"),
            "image_license": Value("string"),
            "text_license": Value("string"),
            "objects": {
                "id": text,
                "bbox": List(List(Value("float32"), length=4)),
                "area": real,
                "category": text,
                "category_raw": text,
                "severity": text,
                "severity_level": whole,
                "quality": text,
                "mos": real,
                "significance": whole,
                "position": text,
                "description": text,
                "scope": text,
                "segmentation": List({"size": whole, "counts": Value("string")}),
                "region": whole,
            },
            "mos": Value("float32"),
            "level": Value("string"),
        }
    )
    has_objects = any(name in names for name in OPTIONAL)
    return known if has_objects else Features({name: known[name] for name in known if name not in OPTIONAL})


def question_types(counts: Mapping[str, SplitCounts]) -> list[str]:
    """List the paper's question types, and what other ones the splits have."""
    others = {kind for split in counts.values() for kind in split.rows if kind} - {*QUESTION_TYPES}
    return [*QUESTION_TYPES, *sorted(others)]


def set_rows(records: Iterable[Record], *, box_format: str) -> Iterator[SetRow]:
    """Yield the rows of records; `box_format` as in `rows`."""
    for record in records:
        photograph = record.photograph
        for row in rows(record, box_format=box_format):
            yield SetRow(row, (photograph.file or record.id,), photograph.redistributable, photograph.changes)


def pixels_of(row: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of a row's image; None if it has none."""
    image: Mapping[str, bytes | None] | None = row["image"]
    return image["bytes"] if image else None


def faults_of_shape(error: ValidationError) -> Iterator[str]:
    """Say which columns of a row hold values of another type or range."""
    for fault in error.errors():
        yield f"{said(fault)}, got {fault['input']!r:.100}"
