"""The whole annotation pipeline, stage after stage (protocol sections 3 and 4)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from giqa_datasets.pipeline.ask import ask
from giqa_datasets.pipeline.detect import detect
from giqa_datasets.pipeline.drops import DropSink
from giqa_datasets.pipeline.fuse import fuse
from giqa_datasets.pipeline.models import Asker, Detector, Tagger, Verifier
from giqa_datasets.pipeline.refine import refine
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.records import Record


class Models(NamedTuple):
    """The four models that the stages ask."""

    tagger: Tagger
    detector: Detector
    verifier: Verifier
    asker: Asker


def annotate(records: Iterable[Record], models: Models, drop: DropSink, *, seed: int = 0) -> Iterator[Record]:
    """Turn plain descriptions into grounded samples; every record comes out, with or without samples."""
    stream = tags(records, models.tagger, drop)
    stream = detect(stream, models.detector, drop)
    stream = refine(stream, models.verifier, drop)
    stream = fuse(stream, drop, seed=seed)
    return ask(stream, models.asker, drop, seed=seed)


def offline_models() -> Models:
    """The models that need no server and no hub (extra `demo`).

    Raises:
        ImportError: If one of their packages is not installed.
    """
    from giqa_datasets.pipeline.backends.classic_verifier import ClassicVerifier
    from giqa_datasets.pipeline.backends.coco_detector import CocoDetector
    from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger
    from giqa_datasets.pipeline.backends.template_asker import TemplateAsker

    return Models(SpacyTagger(), CocoDetector(), ClassicVerifier(), TemplateAsker())
