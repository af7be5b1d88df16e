"""The whole annotation pipeline, stage after stage (protocol sections 3 and 4)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from giqa_datasets.defaults import MERGE_AREA, MERGE_COVERAGE
from giqa_datasets.drops import DropSink
from giqa_datasets.pipeline.detect import detect
from giqa_datasets.pipeline.fuse import fuse
from giqa_datasets.pipeline.protocols import Models
from giqa_datasets.pipeline.questions import ask
from giqa_datasets.pipeline.refine import refine
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.records import Record


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds and the seed of the stages."""

    merge_area: float = MERGE_AREA  # T_a of Box-Merge, a share of the image
    merge_coverage: float = MERGE_COVERAGE  # T_o of Box-Merge, in [0, 1]
    seed: int = 0  # of every random choice


Step = Callable[[Iterable[Record], Models, DropSink, Rules], Iterator[Record]]


def read_text(records: Iterable[Record], models: Models, drop: DropSink, rules: Rules) -> Iterator[Record]:
    """Run stage 1, which needs the description only."""
    return tags(records, models.tagger, drop)


def find_objects(records: Iterable[Record], models: Models, drop: DropSink, rules: Rules) -> Iterator[Record]:
    """Run stages 2 and 3, which need the photograph."""
    found = detect(records, models.detector, drop)
    return refine(found, models.verifier, drop, merge_area=rules.merge_area, merge_coverage=rules.merge_coverage)


def write_samples(records: Iterable[Record], models: Models, drop: DropSink, rules: Rules) -> Iterator[Record]:
    """Run stage 4 and the questions."""
    return ask(fuse(records, drop, seed=rules.seed), models.asker, drop, seed=rules.seed)


STEPS: tuple[Step, ...] = (read_text, find_objects, write_samples)  # between them records may change machines


def annotate(records: Iterable[Record], models: Models, drop: DropSink, rules: Rules = Rules()) -> Iterator[Record]:
    """Turn plain descriptions into grounded samples; only a record that a model fails at is dropped."""
    stream = iter(records)
    for step in STEPS:
        stream = step(stream, models, drop, rules)
    return stream
