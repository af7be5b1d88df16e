"""Every page that shows what others wrote, in one browser: nothing of it runs, nothing leaves, text stays text."""

import importlib.util
import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import giqa_metrics
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.regions import locate
from giqa_datasets.review.items import open_review
from giqa_datasets.review.server import make_app
from giqa_metrics.models import ServerPredictor
from giqa_metrics.runs.score import Options, score_run
from tests.giqa_datasets.review.conftest import BOXES, records


pytest.importorskip("gradio", reason="gradio is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from giqa_metrics.app import serve  # noqa: E402
from giqa_metrics.app.examples import Example  # noqa: E402
from giqa_metrics.app.page import make_page  # noqa: E402
from giqa_metrics.app.subject import Subject  # noqa: E402


pytestmark = pytest.mark.slow
expect = sync_api.expect
expect.set_options(timeout=60_000)  # on a busy machine

ABROAD = "http://evil.example/"
RUNS = "window.owned=1"
HOSTILE = (
    f"""<img src="{ABROAD}" onerror="{RUNS}"><script>{RUNS}</script><svg onload="{RUNS}"></svg>"""
    f"""<style>@import "{ABROAD}";</style>${{{RUNS}}}{{{{7*7}}}}'"--></textarea><b onfocus={RUNS} autofocus>"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set whose texts, names and rights are hostile, and a run on it with a report."""
    root = tmp_path_factory.mktemp("hostile")
    record = next(records())
    answer = f"The {HOSTILE} is sharp. {HOSTILE}"
    region = locate(answer, [(HOSTILE, np.array(BOXES[0][1]))])
    des = replace(record.samples[0], question=f"{HOSTILE}?", answer=answer, answer_regions=region)
    rights = replace(record.photograph, source=HOSTILE, license=HOSTILE)
    build_folder(root / "set", "folder", {"test": [replace(record, photograph=rights, samples=(des,))]})
    (root / "run").mkdir()
    (root / "run" / "config.yaml").write_text(yaml.safe_dump({"model": HOSTILE, "data": str(root / "set")}))
    told = {"id": des.id, "prediction": f"{HOSTILE} [{HOSTILE}](<0, 399>) [{HOSTILE}](<9"}
    (root / "run" / "predictions.jsonl").write_text(json.dumps(told) + "\n")
    score_run(root / "run", options=Options(similarity="exact", resamples=0))
    return root


@pytest.fixture
def visit(browser):
    """Open a page; in the end nothing may have run in it, nor been asked of another host."""
    pages, asked = [], []

    def open_page(url):
        page = browser.new_page()
        page.set_default_timeout(60_000)
        pages.append(page)
        origin = "/".join(url.split("/")[:3])
        page.on(
            "request", lambda request: request.url.startswith((origin, "data:", "blob:")) or asked.append(request.url)
        )
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        assert page.evaluate("window.owned") is None
        assert page.locator(f"[src='{ABROAD}'], [onload], [onerror], [onfocus]").count() == 0
        page.close()
    assert asked == []


def test_the_report(folder, visit):
    page = visit((folder / "run" / "report.html").as_uri())
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("article")).to_contain_text(HOSTILE)
    page.locator("article mark").first.hover()


def test_the_page_of_a_review(folder, visit):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(open_review(folder / "set"), token=None), log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    page = visit(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    page.locator("#name").fill("ann")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text(HOSTILE)
    expect(page.locator("#grounded")).to_contain_text(f"[{HOSTILE}](<")
    expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
    server.should_exit = True
    thread.join(60)
    listener.close()


def test_the_page_of_the_app(visit, server, answer, photograph, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    server.rule = lambda asked: answer(f"{HOSTILE} [{HOSTILE}](<0, 399>) [{HOSTILE}](<9")
    predictor = ServerPredictor("m", server.url, concurrency=1, max_new_tokens=9, timeout=60, retries=0)
    subject = Subject(HOSTILE, "giqa", HOSTILE, HOSTILE, HOSTILE)
    shown = make_page(predictor, subject, [Example(HOSTILE, photograph.image, "data:,")])
    page = visit(serve.launch(shown, host="127.0.0.1", port=0))
    expect(page.locator("#header")).to_contain_text(HOSTILE)
    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": photograph.image}
    )
    expect(page.locator("figure svg")).to_be_visible()
    page.get_by_role("button", name="Describe").click()
    expect(page.locator(".said .answer .phrase")).to_have_text(HOSTILE)
    shown.close(verbose=False)


def test_the_page_of_a_space(visit):
    file = Path(giqa_metrics.__file__).parent / "spaces" / "giqa_grounding" / "app.py"
    spec = importlib.util.spec_from_file_location("space_page", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, url, _ = module.app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    page = visit(url)
    page.get_by_label("Prediction", exact=True).fill(f"{HOSTILE} [{HOSTILE}](<0, 399>)")
    page.get_by_label("Reference", exact=True).fill(f"[{HOSTILE}](<0, 399>)")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".value.string", has_text=HOSTILE[:20]).last).to_be_attached()  # in folded JSON
    page.get_by_label("Reference", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_test_id("toast-text")).to_contain_text("expected a box in the reference")
    module.app.close(verbose=False)
