"""The policy of an inspection: rules over the regions that a model named, and verdicts if it named none.

A policy is a YAML file; `policy.yaml` beside this file is the default.
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
from giqa_datasets.word_borders import is_border
from giqa_metrics.inspection.defect_words import KINDS


MAX_BYTES = 2**20  # of a policy
DEFAULT = Path(__file__).with_suffix(".yaml")


class Verdict(StrEnum):
    """The verdict on a photograph."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    FAIL = "FAIL"

    @classmethod
    def worst(cls, verdicts: "Sequence[Verdict]") -> "Verdict":
        """Return the worst of some verdicts; PASS if there are none."""
        return max(verdicts, key=list(cls).index, default=cls.PASS)


def _verdict(value: object) -> Verdict:
    """Read a verdict, in any case."""
    if not isinstance(value, str) or value.upper() not in list(Verdict):
        raise InputError(f"expected pass, review or fail, got {value!r:.80}")
    return Verdict(value.upper())


def _kinds(value: object) -> object:
    """Read kinds of defects; the word `any` stands for all."""
    if value == "any":
        return KINDS
    if not isinstance(value, list | tuple) or not value or (wrong := [kind for kind in value if kind not in KINDS]):
        got = wrong[0] if isinstance(value, list | tuple) and value else value
        raise InputError(f"expected any, or a list out of {', '.join(KINDS)}, got {got!r:.80}")
    return tuple(value)


_Verdict = Annotated[Verdict, BeforeValidator(_verdict)]


class _Part(BaseModel):
    """A part of a policy: an unknown key is refused, so that no rule is lost by a typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Area(_Part):
    """The least share of the photograph, in [0, 1]."""

    at_least: float = Field(ge=0, le=1)


class Rule(_Part):
    """A verdict for the regions that match.

    A region matches if it has one of the `defects`, which are kinds (a policy's `any` is all kinds), and if one of the
    `objects` stands in its phrase, as whole words in any case. None is any object, or any defect and none. The union
    of the matching regions' boxes must cover `area`.
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
        """Tell whether a region matches."""
        if self.defects is not None and set(self.defects).isdisjoint(defects):
            return False
        return self.objects is None or any(_has_words(phrase, name) for name in self.objects)


class Policy(_Part):
    """Rules, and verdicts on photographs that they cannot judge, which do not pass unless the policy says so.

    Attributes:
        rules: All apply, and the worst verdict holds.
        malformed: If the answer holds a malformed box.
        no_box: If the answer holds no box, and is not in `intact`.
        intact: Whole answers without a box that find no defect, in any case.
        unplaced: If the answer names a defect in a sentence without a box.
        unknown_language: If a region's words are in no language that the lexicon of defects knows.
        unreadable: If the photograph cannot be read.
    """

    rules: tuple[Rule, ...] = Field(min_length=1)
    malformed: _Verdict = Verdict.REVIEW
    no_box: _Verdict = Verdict.REVIEW
    intact: tuple[str, ...] = ()
    unplaced: _Verdict = Verdict.REVIEW
    unknown_language: _Verdict = Verdict.REVIEW
    unreadable: _Verdict = Verdict.REVIEW

    def is_intact(self, answer: str) -> bool:
        """Tell whether an answer is in `intact`."""
        return _folded(answer) in map(_folded, self.intact)


class Reason(NamedTuple):
    """A reason for a verdict, also for PASS."""

    rule: str  # `rule 1`, or the policy's key: `no_box`
    verdict: Verdict  # the one that it asks for
    why: str  # in words


def read_policy(path: Path | None) -> Policy:
    """Read a policy; None is the default one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no policy; the fault is named.

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
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # an impossible date is a ValueError
        raise InputError(f"{path} is no YAML: {error}") from error


def covered(xyxy: Boxes) -> float:
    """Return the share of the photograph that boxes, shape (N, 4), normalised, cover together, in [0, 1].

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
    """A key that occurs twice in one mapping of a YAML text, of which PyYAML would drop the first."""
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
    """A text for comparison: without case, white space and the last full stop."""
    return " ".join(text.split()).rstrip(".").casefold()


def _has_words(phrase: str, name: str) -> bool:
    phrase = phrase.casefold()
    words = r"\s+".join(map(re.escape, name.casefold().split()))
    return any(all(is_border(phrase, at) for at in found.span(1)) for found in re.finditer(rf"(?=({words}))", phrase))
