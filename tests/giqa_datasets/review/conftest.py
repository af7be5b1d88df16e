"""A small data set folder to review, built by the real builder: three photographs, six samples."""

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from giqa_datasets.builders.giqa_bench import card_fields
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.regions import locate
from giqa_datasets.review.items import open_review
from giqa_datasets.review.states import Vote


ANSWER = "The red square is sharp, the cat behind it is blurred."
BOXES = [("red square", [[0.25, 0.25, 0.75, 0.75]]), ("cat", [[0.0, 0.1, 0.2, 0.4], [0.55, 0.1, 0.95, 0.45]])]
QUESTIONS = [
    ("yes_no", "Is the red square sharp?", "Yes, the red square is sharp."),
    ("why", "Why is the cat hard to see?", "Because the cat is out of focus."),
]


def regions(text):
    return locate(text, [(phrase, np.array(boxes)) for phrase, boxes in BOXES if phrase in text])


def picture(seed):
    """A red square on noise, 160 x 120."""
    pixels = np.random.default_rng(seed).integers(0, 90, (120, 160, 3), dtype=np.uint8)
    pixels[30:90, 40:120] = (210, 40, 40)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    raw = buffer.getvalue()
    return Photograph(raw, 160, 120, hashlib.sha256(raw).hexdigest(), "test", "cc0-1.0")


def records():
    for seed, name in enumerate(["alpha", "beta", "gamma"]):
        question = "Describe the quality of this image. Note positions as [label](<x, y>)."
        samples = [Sample(f"{name}-des", "des", "des", question, ANSWER, (), regions(ANSWER))]
        for number, (kind, asked, answer) in enumerate(QUESTIONS[: 2 - seed], start=1):
            name_of = f"{name}-vqa-{number}"
            samples.append(Sample(name_of, "vqa", kind, asked, answer, regions(asked), regions(answer)))
        yield Record(name, picture(seed), ANSWER, "cc0-1.0", samples=tuple(samples))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "candidates"
    build_folder(
        out,
        "giqa-bench",
        {"test": records()},
        lambda counts: Provenance(fields=card_fields("giqa-bench", counts, None)),
    )
    return out


@pytest.fixture
def folder(tmp_path, built):
    """A fresh data set folder with pixels, and no review beside it yet."""
    return Path(shutil.copytree(built, tmp_path / built.name))


@pytest.fixture
def review(folder):
    """Round 1 of its review."""
    return open_review(folder)


@pytest.fixture(scope="session")
def vote_on():
    """Make a vote out of a state: `vote_on(state, "ann", "rewrite", answer="A cat.", regions=[])`."""

    def vote(state, annotator, verdict="accept", *, round=1, note="", at="2026-01-31T12:00:00Z", **changes):
        said = {"annotator": annotator, "round": round, "verdict": verdict, "note": note, "at": at}
        return Vote.model_validate(state.model_dump() | changes | said)

    return vote
