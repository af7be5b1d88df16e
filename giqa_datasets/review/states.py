"""The lines of JSON of a review: a sample as it stands, and an annotator's vote on it.

A validated line can be rendered as grounded text, and so can every merge of such lines. Spans count characters (code
points) of the plain text. Every line is treated as hostile.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from giqa_datasets import text
from giqa_datasets.errors import InputError
from giqa_datasets.records import QuestionType, Task
from giqa_datasets.regions import ROLES, Box, Region, Role, regions_of


SAME = 0.5  # ours: from this IoU on, two boxes are of one object
MAX_BOXES = 1_000  # of a sample
MAX_TEXT = 20_000  # characters
MIN_SIDE = 1e-6  # of a box, as a share of the image's

_Share = Annotated[float, Field(strict=True, ge=0, le=1)]  # NaN is neither
_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_Place = Annotated[int, Field(strict=True, ge=0)]
_Id = Annotated[str, Field(pattern=r"^\P{C}{1,200}$")]  # some letters, none that a terminal would obey


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DrawnRegion(_Line):
    """A phrase of a sample's question or answer, and its boxes: normalised xyxy, before the grid."""

    phrase: str
    role: Role
    span: tuple[_Place, _Place]
    boxes: Annotated[tuple[tuple[_Share, _Share, _Share, _Share], ...], Field(min_length=1, max_length=MAX_BOXES)]

    @field_validator("boxes")
    @classmethod
    def _have_area(cls, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        for box in boxes:
            if not (box[2] - box[0] >= MIN_SIDE and box[3] - box[1] >= MIN_SIDE):
                raise _fault(f"expected boxes x1, y1, x2, y2 that have an area, got {list(box)}")
        return boxes

    @model_validator(mode="after")
    def _span_fits(self) -> Self:
        if self.span[1] - self.span[0] != len(self.phrase):
            raise _fault(f"expected a span as long as the phrase {self.phrase!r:.100}, got {list(self.span)}")
        return self


class State(_Line):
    """A sample: plain texts without markup, and their regions, which are put into reading order."""

    id: _Id
    image: str = Field(pattern="^[0-9a-f]{64}$")
    task: Task
    question_type: QuestionType
    question: _Text
    answer: _Text
    regions: tuple[DrawnRegion, ...]

    @field_validator("regions")
    @classmethod
    def _in_order(cls, regions: tuple[DrawnRegion, ...]) -> tuple[DrawnRegion, ...]:
        return tuple(sorted(regions, key=lambda region: (ROLES.index(region.role), region.span)))

    @model_validator(mode="after")
    def _texts_fit(self) -> Self:
        if (self.task == "des") != (self.question_type == "des"):
            raise _fault(f"expected a question type of the task {self.task!r}, got {self.question_type!r}")
        if sum(len(region.boxes) for region in self.regions) > MAX_BOXES:
            raise _fault(f"expected at most {MAX_BOXES:,} boxes in a sample")
        try:
            for role, plain in zip(ROLES, (self.question, self.answer), strict=True):
                if not plain.strip():
                    raise InputError(f"expected some text in the {role}")
                text.render(plain, ())  # must read as itself, whatever regions a merge puts into it
            grounded_texts(self)
        except ValueError as error:
            raise _fault(str(error)) from error
        return self


class Vote(State):
    """An annotator's verdict on a sample, and their version of it."""

    annotator: str
    round: Annotated[int, Field(strict=True, ge=1)]
    verdict: Literal["accept", "rewrite", "reject", "new"]
    note: _Text
    at: str

    @field_validator("annotator")
    @classmethod
    def _is_a_name(cls, annotator: str) -> str:
        try:
            return check_name(annotator)
        except ValueError as error:
            raise _fault(str(error)) from error

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, at: str) -> str:
        try:
            is_time = re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(Z|\+00:00)", at) and datetime.fromisoformat(at)
        except ValueError:
            is_time = None
        if not is_time:
            raise _fault(f"expected a time in UTC such as '2026-01-31T12:00:00Z', got {at!r:.100}")
        return at


def check_name(annotator: str) -> str:
    """Return an annotator's name if it is valid, as it becomes a file's name.

    Raises:
        ValueError: If it is not 1 to 40 letters, digits, - and _.
    """
    if not re.fullmatch("[A-Za-z0-9_-]{1,40}", annotator):
        raise InputError(f"expected a name of 1 to 40 letters, digits, - and _, got {annotator!r:.100}")
    return annotator


def check_vote(vote: Vote, begin: Mapping[str, State], image_ids: Mapping[str, str]) -> None:
    """Check that a valid vote fits its round's samples, by id, and the ids of the review's images, by sha256.

    Raises:
        ValueError: If it does not.
    """
    beginning = begin.get(vote.id)
    if beginning is None:
        expected = f"{image_ids.get(vote.image)}-new-{vote.annotator}-"
        number = vote.id.removeprefix(expected)
        if vote.image not in image_ids:
            raise InputError(f"sample {vote.id!r}: expected an image of the review, got {vote.image!r}")
        if not vote.id.startswith(expected) or not re.fullmatch(r"[1-9][0-9]{0,5}", number):
            raise InputError(f"expected a sample of the round, or a new one such as '{expected}1', got {vote.id!r}")
        if vote.verdict not in ("new", "reject"):
            raise InputError(f"sample {vote.id!r}: expected 'new', or 'reject' to withdraw it, got {vote.verdict!r}")
        return
    if (vote.image, vote.task) != (beginning.image, beginning.task):
        raise InputError(f"sample {vote.id!r}: expected its own image and task, got {vote.image!r} and {vote.task!r}")
    is_same = content(vote) == content(beginning)
    if vote.verdict == "new":
        raise InputError(f"sample {vote.id!r}: expected a verdict on a sample that was there before, got 'new'")
    if vote.verdict == "accept" and not is_same:
        raise InputError(f"sample {vote.id!r}: expected 'rewrite' where texts or boxes were changed, got 'accept'")
    if vote.verdict == "rewrite" and is_same:
        raise InputError(f"sample {vote.id!r}: expected 'accept' where nothing was changed, got 'rewrite'")


def content(state: State) -> tuple[object, ...]:
    """Return the parts of a sample that an annotator may change; they compare equal in any order of boxes."""
    regions = ((region.role, region.span, tuple(sorted(region.boxes))) for region in state.regions)
    return state.question_type, state.question, state.answer, frozenset(regions)


def stored(state: State) -> State:
    """Return a state as a data set's columns have it, with boxes in float32."""
    regions = [
        region.model_copy(update={"boxes": tuple(map(tuple, np.array(region.boxes, np.float32).tolist()))})
        for region in state.regions
    ]
    return state.model_copy(update={"regions": tuple(regions)})


def grounded_texts(state: State) -> tuple[str, str]:
    """Return the question and the answer as grounded text, in the canonical form.

    Raises:
        ValueError: If a region does not fit its text; never for a validated state.
    """
    question = text.render(state.question, grounding(state, "question"))
    return question, text.render(state.answer, grounding(state, "answer"))


def grounding(state: State, role: Role) -> tuple[Region, ...]:
    """Return the regions of the question or of the answer."""
    return regions_of(region for region in state.regions if region.role == role)


def _fault(what: str) -> PydanticCustomError:
    """An error whose message pydantic leaves as it is."""
    return PydanticCustomError("giqa", "{what}", {"what": f"{what:.500}"})
