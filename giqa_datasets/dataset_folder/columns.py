"""The row of every GIQA data set: its columns as written and as read back, and counts of rows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from giqa_datasets.files import said
from giqa_datasets.records import QuestionType, Record, Task, rows


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


class Columns(BaseModel):
    """The columns of a row without its image, none of them null."""

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


def features() -> Any:
    """Return the columns of every GIQA data set, as `datasets.Features`."""
    from datasets import Features, Image, List, Value

    turn = List({"role": Value("string"), "content": Value("string")})
    return Features(
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
        }
    )


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
