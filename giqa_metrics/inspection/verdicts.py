"""What a model says of a photograph, against a policy: regions, reasons and one verdict."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from giqa_datasets.batches import batches as cut
from giqa_datasets.boxes import Boxes
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Sizes
from giqa_datasets.llm.prompt import without_surrogates
from giqa_datasets.questions import question_in
from giqa_datasets.reply import read
from giqa_metrics.inspection.defect_words import KINDS, is_readable, read_defects
from giqa_metrics.inspection.masks import mask
from giqa_metrics.inspection.photographs import Photo, PhotoSource, as_source, read_photo
from giqa_metrics.inspection.policy import Policy, Reason, Verdict, covered, read_policy
from giqa_metrics.models import Answer, Predictor, Question, open_predictor
from giqa_metrics.models.box_format_file import format_of
from giqa_metrics.models.server import require_fit
from giqa_metrics.models.tiny_model import describe_question


ROUNDING = 1e-9  # of a share
NO_ANSWER = "no_answer"  # the reason's rule where the model gave none
MAX_BOXES = 1000  # of an answer (ours); one with more is no description of a photograph


@dataclass(frozen=True, slots=True, eq=False)
class JudgedRegion:
    """A phrase of the answer with its boxes.

    Attributes:
        phrase: The object's name.
        boxes: Shape (N, 4), normalised xyxy of the upright photograph.
        defects: Kinds of defects that the text names of it.
        says: The words of the text about it.
        verdict: The worst of the rules that it is part of.
    """

    phrase: str
    boxes: Boxes
    defects: tuple[str, ...]
    says: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What was found of a photograph.

    Attributes:
        photo: Its name.
        verdict: The worst of the reasons'.
        reasons: Which rules of the policy were met.
        regions: In the order of the answer.
        prediction: The model's answer; None if the photograph cannot be read.
        n_malformed: What of the answer was meant as a box and is none.
        size_wh: (width, height) of the upright photograph; None if it cannot be read.
        image_sha256: Of its file; None if there is none.
    """

    photo: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    regions: tuple[JudgedRegion, ...]
    prediction: str | None
    n_malformed: int
    size_wh: tuple[int, int] | None
    image_sha256: str | None

    @property
    def defects(self) -> tuple[str, ...]:
        """The kinds of defects that have a box."""
        found = {kind for region in self.regions for kind in region.defects}
        return tuple(kind for kind in KINDS if kind in found)

    def mask(self, defect: str) -> Image.Image:
        """Draw where a defect is: white rectangles on black, mode L, of the upright photograph's size.

        Raises:
            ValueError: If the photograph cannot be read.
        """
        if self.size_wh is None:
            raise InputError(f"expected a photograph, got {self.photo!r}, which cannot be read")
        return mask(_together(region for region in self.regions if defect in region.defects), self.size_wh)


class Inquiry(NamedTuple):
    """What the model is asked, and how its answers are read and judged."""

    question: str
    box_format: str
    policy: Policy


class Inspected(NamedTuple):
    """An inspection, and the photograph that it is of."""

    inspection: Inspection
    photograph: Photo


def inspect_photographs(
    photographs: Sequence[Path | str | bytes | Image.Image],
    model: str | Predictor,
    *,
    server: str | None = None,
    processor: str | None = None,
    policy: Policy | None = None,
    question: str | None = None,
    box_format: str | None = None,
    batch_size: int = BATCH_SIZE,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Progress = no_progress,
) -> list[Inspection]:
    """Ask a model about photographs, greedy, and judge its answers by a policy.

    Args:
        photographs: Paths of files, their bytes, or images.
        model: See `giqa_metrics.runs.predict.predict`; or a model that is open already.
        server: See there.
        processor: See there.
        policy: None is the default one.
        question: What is asked about each; None asks to describe it.
        box_format: How the model writes boxes: a format's name or a file that `giqa doctor` wrote; None takes the
            file in the model's folder, or `giqa`.
        batch_size: Photographs at once; of an open model, its own.
        max_new_tokens: Longest answer in tokens; of an open model, its own.
        progress: Wraps the inspections as they come.

    Returns:
        An inspection for each, in their order.

    Raises:
        FileNotFoundError: If a path leads to nothing.
        ImportError: If torch, transformers or peft is not installed, or the server's client.
        OSError: If the model or server cannot be had, or answers about none of the first photographs.
        ValueError: If an option is not fit.
    """
    sources = [as_source(photograph, number) for number, photograph in enumerate(photographs, start=1)]
    named = {source.name: source for source in sources}
    asked = settle_inquiry(
        model, server, policy or read_policy(None), question=question, given=box_format, processor=processor
    )
    if isinstance(model, str):
        model = open_predictor(
            model, server, batch_size=batch_size, max_new_tokens=max_new_tokens, processor=processor
        )
    found = progress(inspections(list(named.values()), model, asked), len(named), "inspect")
    by_name = {inspected.inspection.photo: inspected.inspection for inspected in found}
    return [by_name[source.name] for source in sources]


def settle_inquiry(
    model: str | Predictor,
    server: str | None,
    policy: Policy,
    *,
    question: str | None,
    given: str | None,
    processor: str | None = None,
) -> Inquiry:
    """Settle how a model is asked and read: its hint shows the box format, a question of the user's stays as it is.

    Raises:
        ValueError: If the box format is none, or none that a server's text can hold.
    """
    name = format_of(model if isinstance(model, str) else None, given)
    require_fit(name, server, processor)
    describe = describe_question(model if isinstance(model, str) else None)
    return Inquiry(question or question_in(name, describe), name, policy)


def inspections(
    sources: Sequence[PhotoSource], predictor: Predictor, asked: Inquiry, *, done: Collection[str] = ()
) -> Iterator[Inspected]:
    """Inspect photographs, in the order of the answers; those that cannot be read are not asked about.

    Batches are a function of the sources and the batch size alone, so that a photograph is answered beside the same
    ones whether or not some are done.

    Args:
        sources: Names are unique.
        predictor: The model.
        asked: See `Inquiry`.
        done: Names that are not yielded.
    """
    waiting: dict[str, Photo] = {}
    unreadable: list[Inspected] = []

    def batches() -> Iterator[list[Question]]:
        for chunk in cut(sources, predictor.batch_size):
            samples = []
            for source in chunk if any(source.name not in done for source in chunk) else []:
                photograph = read_photo(source)
                if photograph.raw is None or photograph.fault:
                    unreadable.append(Inspected(_unreadable(source.name, photograph, asked.policy), photograph))
                else:
                    waiting[source.name] = photograph
                    samples.append(Question(source.name, photograph.raw, asked.question))
            if samples:
                yield samples

    def found() -> Iterator[Inspected]:
        for answer in predictor.answer(batches()):
            photograph = waiting.pop(answer.id)
            yield Inspected(judge(answer, photograph, asked), photograph)
            while unreadable:
                yield unreadable.pop()
        yield from unreadable

    yield from (inspected for inspected in found() if inspected.inspection.photo not in done)


def judge(answer: Answer, photograph: Photo, asked: Inquiry) -> Inspection:
    """Read an answer and hold it against the policy. Never raises because of the answer."""
    policy = asked.policy
    if answer.prediction is None:
        reason = Reason(NO_ANSWER, Verdict.REVIEW, f"no answer {answer.fault}"[:300])
        size, sha256 = photograph.size_wh, photograph.sha256
        return Inspection(answer.id, Verdict.REVIEW, (reason,), (), None, 0, size, sha256)
    text = without_surrogates(answer.prediction)
    answered = read(text, asked.box_format, Sizes(photograph.size_wh, answer.input_size)).answer
    n_boxes = sum(len(region.boxes) for region in answered.regions)
    reasons: list[Reason] = []
    regions: list[JudgedRegion] = []
    if n_boxes > MAX_BOXES:
        reasons.append(Reason("malformed", policy.malformed, f"{n_boxes:,} boxes, which is over {MAX_BOXES:,}"))
    else:
        found = read_defects(answered)
        regions = [
            JudgedRegion(region.phrase, region.boxes, said.defects, said.text, Verdict.PASS)
            for region, said in zip(answered.regions, found.of_regions, strict=True)
        ]
        regions, reasons = _by_rules(regions, policy)
        for said in found.elsewhere[:1]:
            why = f"{', '.join(said.defects)} without a box: {said.text[:200]!r}"
            reasons.append(Reason("unplaced", policy.unplaced, why))
        names = {region.phrase for region in regions}
        silent = (region.says for region in regions if not region.defects)  # a defect was read
        unread = [says for says in silent if not is_readable(says, names, answered.plain)]
        if unread:
            why = f"words in no known language: {unread[0][:200]!r}"
            reasons.append(Reason("unknown_language", policy.unknown_language, why))
        if not n_boxes and not policy.is_intact(answered.plain):
            reasons.append(Reason("no_box", policy.no_box, f"no box in the answer {answered.plain[:200]!r}"))
    if answered.malformed:
        kinds = ", ".join(sorted({wrong.kind for wrong in answered.malformed}))
        reasons.append(Reason("malformed", policy.malformed, f"{len(answered.malformed)} malformed boxes ({kinds})"))
    return Inspection(
        answer.id,
        Verdict.worst([reason.verdict for reason in reasons]),
        tuple(reasons),
        tuple(regions),
        text,
        len(answered.malformed),
        photograph.size_wh,
        photograph.sha256,
    )


def _by_rules(regions: Sequence[JudgedRegion], policy: Policy) -> tuple[list[JudgedRegion], list[Reason]]:
    """Hold regions against each rule; a region has the worst verdict of those that it is part of."""
    verdicts = [Verdict.PASS] * len(regions)
    reasons: list[Reason] = []
    for number, rule in enumerate(policy.rules, start=1):
        matching = [k for k, region in enumerate(regions) if rule.matches(region.phrase, region.defects)]
        share = covered(_together(regions[k] for k in matching))
        if not matching or (rule.area is not None and share < rule.area.at_least - ROUNDING):
            continue
        for k in matching:
            verdicts[k] = Verdict.worst([verdicts[k], rule.verdict])
        what = "; ".join(_said(regions[k]) for k in matching)
        reasons.append(Reason(f"rule {number}", rule.verdict, f"{what[:200]} on {share:.1%} of the photograph"))
    judged = [
        JudgedRegion(region.phrase, region.boxes, region.defects, region.says, verdict)
        for region, verdict in zip(regions, verdicts, strict=True)
    ]
    return judged, reasons


def _said(region: JudgedRegion) -> str:
    """A region in few words."""
    return repr(region.phrase) + (f" ({', '.join(region.defects)})" if region.defects else "")


def _together(regions: Iterable[JudgedRegion]) -> Boxes:
    """The boxes of some regions, shape (N, 4)."""
    return np.concatenate([np.zeros((0, 4)), *(region.boxes for region in regions)])


def _unreadable(name: str, photograph: Photo, policy: Policy) -> Inspection:
    """What there is to say of a photograph that cannot be read."""
    reason = Reason("unreadable", policy.unreadable, str(photograph.fault))
    return Inspection(name, policy.unreadable, (reason,), (), None, 0, None, photograph.sha256)
