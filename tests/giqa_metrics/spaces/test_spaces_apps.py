"""The pages of the Spaces, started for real on this machine: the functions' numbers, and refusals as one sentence."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from html import unescape
from pathlib import Path

import pytest
import yaml

import giqa_metrics
from giqa_metrics import METRICS, giqa_defects, giqa_description, giqa_grounding, giqa_vqa


gradio = pytest.importorskip("gradio", reason="gradio is not installed")
pytestmark = pytest.mark.slow

SPACES = Path(giqa_metrics.__file__).parent / "spaces"
PATIENCE = 300  # seconds; all pages start at once
PREDICTION, REFERENCE = "The [cup](<3, 254>) is <b>, the [saucer](<9", "A blurred [cup](<5, 254>)."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Each page's address, once it answers."""
    folder = tmp_path_factory.mktemp("apps")
    pages = {}
    try:
        for name in METRICS:
            port = free_port()
            settings = {
                "GRADIO_ANALYTICS_ENABLED": "False",
                "GRADIO_SERVER_NAME": "127.0.0.1",
                "GRADIO_SERVER_PORT": str(port),
            }
            with (folder / f"{name}.log").open("w") as log:
                app = subprocess.Popen(
                    [sys.executable, SPACES / name / "app.py"],
                    cwd=folder,
                    env=os.environ | settings,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            pages[f"http://127.0.0.1:{port}/"] = (name, app)
        end = time.monotonic() + PATIENCE
        for url, (name, app) in pages.items():
            while not answers(url):
                log = (folder / f"{name}.log").read_text()
                assert app.poll() is None, log
                assert time.monotonic() < end, log
                time.sleep(0.2)
        yield {name: url for url, (name, _) in pages.items()}
    finally:
        for _, app in pages.values():
            app.terminate()
            app.wait()


@pytest.fixture
def ask(urls):
    """Press Submit on a page: its name and the form's values to what it shows."""
    from gradio_client import Client

    return lambda name, *values: Client(urls[name], verbose=False).predict(*values, api_name="/score")


@pytest.mark.parametrize("similarity", ["minilm", "lexical"])
def test_grounding_shows_the_functions_numbers(ask, similarity):
    options = {"similarity": similarity, "iou_threshold": 0.8, "similarity_threshold": 0.3}
    expected = giqa_grounding([PREDICTION], [REFERENCE], box_format="giqa", per_sample=True, **options)
    assert ask("giqa_grounding", PREDICTION, REFERENCE, "giqa", similarity, 0.8, 0.3) == expected


def test_description_shows_the_functions_numbers(ask):
    expected = giqa_description(["A [cup](<0.1, 0.1, 0.9, 0.9>)."], [REFERENCE], box_format="giqa_decimal")
    assert ask("giqa_description", "A [cup](<0.1, 0.1, 0.9, 0.9>).", REFERENCE, "giqa_decimal", "coco") == expected


@pytest.mark.parametrize("kind", ["yes_no", "which"])
def test_vqa_shows_the_functions_numbers(ask, kind):
    expected = giqa_vqa(["No, it is blurred."], ["No."], ["Is it sharp?"], [kind])
    assert ask("giqa_vqa", "Is it sharp?", kind, "No, it is blurred.", "No.", "giqa") == expected


def test_defects_shows_the_functions_numbers(ask):
    texts = "[Slight noise](<0, 253>), [haze](<0, 21>)", "[severe noise](<0, 254>)"
    expected = giqa_defects(*([text] for text in texts), iou_threshold=0.7, per_sample=True)
    assert ask("giqa_defects", *texts, "giqa", 0.7) == expected


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "giqa_grounding",
            (PREDICTION, "a <b>dog</b>", "giqa", "lexical", 0.5, 0.5),
            "expected a box in the reference, as in [dog](<142, 309>), got 'a <b>dog</b>'",
        ),
        ("giqa_description", ("A cup.", " ", "giqa", "coco"), "expected a reference, got an empty text"),
        (
            "giqa_vqa",
            ("Is it sharp?", "yes_no", "Yes.", "Perhaps.", "giqa"),
            "expected a Yes/No reference to say Yes or No, got 'Perhaps.'",
        ),
        (
            "giqa_defects",
            ("[noise](<0, 21>)", "a <b>dog</b>", "giqa", 0.5),
            "expected a defect in the reference, as in [severe noise](<142, 309>), got 'a <b>dog</b>'",
        ),
    ],
    ids=METRICS,
)
def test_a_bad_input_gets_one_sentence(ask, name, values, sentence):
    with pytest.raises(Exception, match="expected a") as refused:
        ask(name, *values)
    said = unescape(str(refused.value))
    assert said.startswith(sentence)
    assert "\n" not in said


@pytest.mark.parametrize("name", METRICS)
def test_the_card_starts_the_page_with_the_gradio_it_was_tested_with(name):
    head = yaml.safe_load((SPACES / name / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert (SPACES / name / head["app_file"]).is_file()
    assert (head["sdk"], head["sdk_version"].split(".")[0]) == ("gradio", gradio.__version__.split(".")[0])


@pytest.mark.parametrize("name", METRICS)
def test_a_page_asks_nobody_else(urls, name, browser):
    """It loads, runs its first example, and shows the scores, from this machine alone."""
    asked, errors = [], []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(urls[name])
    is_filled = "document.querySelector('textarea').value !== ''"
    for _ in range(PATIENCE):  # a click before the page has come to life is lost
        page.locator("tbody tr").first.click()
        page.wait_for_timeout(1000)
        if page.evaluate(is_filled):
            break
    page.get_by_role("button", name="Submit").click()
    page.get_by_text('"signature"').wait_for(timeout=PATIENCE * 1000)
    page.close()
    assert [url for url in asked if not url.startswith((urls[name], "data:", "blob:"))] == []
    assert errors == []
