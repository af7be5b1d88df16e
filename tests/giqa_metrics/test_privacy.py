"""Through no door does a photograph leave with the name of its owner, not even one of a stranger's data set."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from giqa_datasets.builders.build import annotate_set
from giqa_datasets.builders.sets import SetRequest, entries_of
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.pipeline.explain import explain
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.review.items import open_review
from giqa_datasets.review.server import make_app
from giqa_metrics.app import view
from giqa_metrics.inspection import inspect_photographs
from giqa_metrics.models import ServerPredictor
from giqa_metrics.runs.predict import predict
from tests.command import giqa


OWNER = b"SOMEBODY-OF-HOME-STREET"


@pytest.fixture(scope="module")
def owned() -> bytes:
    """A JPEG with its owner in EXIF, XMP, a comment and behind its end."""
    exif = Image.Exif()
    exif[0x013B] = OWNER.decode()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, xmp=OWNER, comment=OWNER)
    return buffer.getvalue() + OWNER


@pytest.fixture
def foreign(owned, tmp_path):
    """A data set folder that another program wrote, with the files as they were."""
    photograph = Photograph(owned, 80, 60, "0" * 64, "theirs", "cc0-1.0", redistributable=True)
    sample = Sample("a-des", "des", "des", "How is it?", "It is sharp.")
    record = Record("a", photograph, "It is sharp.", "cc0-1.0", samples=(sample,))
    build_folder(tmp_path / "foreign", "folder", {"test": [record]})
    assert OWNER in (tmp_path / "foreign" / "data" / "test-00000-of-00001.parquet").read_bytes()
    return tmp_path / "foreign"


def holds_owner(*contents: bytes) -> bool:
    """Look for the owner in bytes, and in what they hold as data URIs."""
    found = [base64.b64decode(uri) for raw in contents for uri in re.findall(rb"base64,([A-Za-z0-9+/=]+)", raw)]
    return any(OWNER in raw for raw in (*contents, *found))


def files(folder) -> list[bytes]:
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert written
    return written


def sent_to(server) -> list[bytes]:
    assert server.asked
    return [json.dumps(asked.body).encode() for asked in server.asked]


def test_a_server_that_predicts_on_a_foreign_set_and_the_report(foreign, server, answer, tmp_path):
    server.rule = lambda asked: answer("It is sharp.")
    options = {"server": server.url, "batch_size": 1, "max_new_tokens": 9, "limit": None}
    predict("org/vlm", str(foreign), tmp_path / "run", **options)
    assert not holds_owner(*sent_to(server))
    assert giqa("score", tmp_path / "run", "--similarity", "lexical").code == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert not holds_owner(*files(tmp_path / "run"))


def test_a_server_that_inspects_and_the_pictures_of_it(owned, server, answer, tmp_path):
    server.rule = lambda asked: answer("It is sharp.")
    model = ServerPredictor("org/vlm", server.url, concurrency=1, max_new_tokens=9)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(owned)
    inspect_photographs([tmp_path / "photos" / "a.jpg", owned, Image.open(io.BytesIO(owned))], model)
    assert len(server.asked) == 3
    assert not holds_owner(*sent_to(server))
    options = ("--model", "org/vlm", "--server", server.url, "--out", tmp_path / "inspected")
    giqa("inspect", tmp_path / "photos", *options)
    assert not holds_owner(*files(tmp_path / "inspected"))


def test_the_page_of_a_review(foreign):
    review = open_review(foreign)
    here = "http://127.0.0.1:8000"
    client = TestClient(make_app(review, token=None), base_url=here, headers={"origin": here})
    answer = client.get(f"/images/{review.images[0].sha256}")
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (80, 60)
    assert not holds_owner(answer.content)


def test_the_page_of_the_app(owned):
    picture = view.open_picture(owned)
    assert not holds_owner(picture.raw, picture.uri.encode())


def test_the_pictures_that_explain_a_record(owned, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(owned)
    line = {"file_name": "a.jpg", "description": "The cup is sharp."}
    (tmp_path / "photos" / "metadata.jsonl").write_text(json.dumps(line))
    entries = entries_of(SetRequest("folder", tmp_path / "photos"))
    annotate_set(entries, tmp_path / "annotations", Choice())
    explain("a", tmp_path / "annotations", entries.all)
    assert list(tmp_path.rglob("explain/*.png"))
    assert not holds_owner(*files(tmp_path / "annotations"))


def test_what_is_built_and_published_and_its_check(owned, foreign, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(owned)
    line = {"file_name": "a.jpg", "description": "It is sharp.", "regions": [], "redistributable": True}
    (tmp_path / "photos" / "metadata.jsonl").write_text(json.dumps(line))
    assert giqa("build", "folder", tmp_path / "photos", "--out", tmp_path / "set").code == 0
    assert not holds_owner(*files(tmp_path / "set"))
    assert giqa("check", tmp_path / "set").code == 0
    code, stdout, _ = giqa("check", foreign)
    assert code == 1
    assert "test 'a-des'" in stdout
    for name in ("EXIF", "XMP", "comment", "bytes after the image", "Artist"):
        assert name in stdout
