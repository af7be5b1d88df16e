"""What a photograph may show: rules over the regions that a model named, and what to do where it named none.

A policy is a YAML file; `policy.yaml` beside this file is the one that holds where none is given.
"""

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from giqa_datasets.boxes import Boxes
from giqa_datasets.errors import GiqaError, InputError, MissingFileError
from giqa_datasets.files import fault_of
from giqa_metrics.inspection.defect_words import KINDS


MAX_BYTES = 2**20  # of a policy
DEFAULT = Path(__file__).with_suffix(".yaml")


class Verdict(StrEnum):
    """What becomes of a photograph."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    FAIL = "FAIL"

    @classmethod
    def worst(cls, verdicts: "Sequence[Verdict]") -> "Verdict":
        """The worst of some; PASS where there is none."""
        return max(verdicts, key=list(cls).index, default=cls.PASS)


def _verdict(value: object) -> Verdict:
    """Read a verdict, in any case."""
    if not isinstance(value, str) or value.upper() not in list(Verdict):
        raise InputError(f"expected pass, review or fail, got {value!r:.80}")
    return Verdict(value.upper())


def _kinds(value: object) -> object:
    """Read kinds of defects; the word `any` is all of them."""
    if value == "any":
        return KINDS
    if not isinstance(value, list | tuple) or not value or (wrong := [kind for kind in value if kind not in KINDS]):
        got = wrong[0] if isinstance(value, list | tuple) and value else value
        raise InputError(f"expected any, or a list out of {', '.join(KINDS)}, got {got!r:.80}")
    return tuple(value)


_Verdict = Annotated[Verdict, BeforeValidator(_verdict)]


class _Part(BaseModel):
    """A part of a policy: a key that it does not know is refused, so that no rule is lost by a slip of the pen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Area(_Part):
    """How much of the photograph, as a share in [0, 1]."""

    at_least: float = Field(ge=0, le=1)


class Rule(_Part):
    """Gives a verdict where regions match it.

    Attributes:
        verdict: FAIL or REVIEW.
        defects: Kinds of defects, one of which a region must have; a policy's `any` is all kinds.
        objects: Names, one of which must stand in a region's phrase: whole words, in any case. None is any object,
            even one without a defect if `defects` is None too.
        area: What the union of the matching regions' boxes must cover.
    """

    verdict: _Verdict
    defects: Annotated[tuple[str, ...] | None, BeforeValidator(_kinds)] = None
    objects: Annotated[tuple[Annotated[str, Field(pattern=r"\w")], ...], Field(min_length=1)] | None = None
    area: Area | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if self.verdict is Verdict.PASS:
            raise InputError("expected the verdict fail or review, for what no rule names passes; got pass")
        if self.defects is None and self.objects is None:
            raise InputError("expected a rule with defects or objects, got neither")
        return self

    def matches(self, phrase: str, defects: Sequence[str]) -> bool:
        """Whether a region is one of those that the rule is about."""
        if self.defects is not None and set(self.defects).isdisjoint(defects):
            return False
        return self.objects is None or any(_has_words(phrase, name) for name in self.objects)


class Policy(_Part):
    """Rules, and what becomes of a photograph that they cannot judge: nothing of it passes unless the policy says so.

    Attributes:
        rules: All are looked at, the worst verdict holds.
        malformed: Where the answer holds something that was meant as a box and is none.
        no_box: Where the answer holds no box, and is none of `intact`.
        intact: Answers without a box that say that all is well, whole, in any case.
        unplaced: Where the answer names a defect in a sentence without a box.
        unreadable: Where the photograph cannot be read.
    """

    rules: tuple[Rule, ...] = Field(min_length=1)
    malformed: _Verdict = Verdict.REVIEW
    no_box: _Verdict = Verdict.REVIEW
    intact: tuple[str, ...] = ()
    unplaced: _Verdict = Verdict.REVIEW
    unreadable: _Verdict = Verdict.REVIEW

    def is_intact(self, answer: str) -> bool:
        """Whether an answer is one of those that say that all is well."""
        return _folded(answer) in map(_folded, self.intact)


class Reason(NamedTuple):
    """Why a photograph does not pass, or would not have.

    Attributes:
        rule: `rule 1`, or the policy's key: `no_box`.
        verdict: What it asks for.
        why: In words.
    """

    rule: str
    verdict: Verdict
    why: str


def read_policy(path: Path | None) -> Policy:
    """Read a policy; None is the default one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no policy; what is wrong is named.

    Example:
        >>> read_policy(None).rules[0].verdict.value
        'FAIL'
    """
    import yaml

    path = path or DEFAULT
    if not path.is_file():
        raise MissingFileError(f"expected a policy at {path}, found none")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"expected a policy of at most {MAX_BYTES:,} bytes, got {path.stat().st_size:,} in {path}")
    try:
        text = path.read_text(encoding="utf-8")
        if repeated := _repeated_key(text):
            raise InputError(f"{path}: the key {repeated!r:.80} stands twice in one place")
        return Policy.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise InputError(f"{path}: {fault_of(error).replace('value error, ', '')}") from error
    except GiqaError:
        raise
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # a date that there is not is a ValueError
        raise InputError(f"{path} is no YAML: {error}") from error


def covered(xyxy: Boxes) -> float:
    """Share of the photograph that boxes cover together, in [0, 1].

    Args:
        xyxy: Shape (N, 4), normalised corners.

    Example:
        >>> covered(np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 1.0]]))
        0.5
    """
    xs, ys = np.unique(xyxy[:, ::2]), np.unique(xyxy[:, 1::2])
    is_inside = np.zeros((max(len(ys) - 1, 0), max(len(xs) - 1, 0)), dtype=bool)
    left, right = np.searchsorted(xs, xyxy[:, 0]), np.searchsorted(xs, xyxy[:, 2])
    top, bottom = np.searchsorted(ys, xyxy[:, 1]), np.searchsorted(ys, xyxy[:, 3])
    for x1, y1, x2, y2 in zip(left, top, right, bottom, strict=True):
        is_inside[y1:y2, x1:x2] = True
    return float((np.diff(ys)[:, None] * np.diff(xs)[None, :] * is_inside).sum())


def _repeated_key(text: str) -> str | None:
    """Give a key that stands twice in one mapping of a YAML text, of which PyYAML would drop the first."""
    import yaml

    nodes: list[Any] = [yaml.compose(text, yaml.SafeLoader)]
    seen: set[int] = set()  # an alias may lead back
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = Counter(str(key.value) for key, _ in node.value)
            if keys and keys.most_common(1)[0][1] > 1:
                return keys.most_common(1)[0][0]
            nodes += [value for _, value in node.value]
        else:
            nodes += node.value
    return None


def _folded(text: str) -> str:
    """A text without what does not matter when it is compared: case, white space, the last full stop."""
    return " ".join(text.split()).rstrip(".").casefold()


def _has_words(phrase: str, name: str) -> bool:
    """Whether a phrase holds a name, as whole words."""
    words = r"\s+".join(map(re.escape, name.casefold().split()))
    return re.search(rf"(?<!\w){words}(?!\w)", phrase.casefold()) is not None
