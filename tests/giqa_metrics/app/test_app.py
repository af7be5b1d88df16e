"""The demo app in a real browser, in front of a scripted server over HTTP and of a tiny LLaVA in this machine."""

import base64
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from giqa_datasets import extras
from giqa_datasets.formats import Sizes, box_format
from giqa_datasets.sources import mini, tiny
from giqa_metrics.inspection.masks import mask
from giqa_metrics.models import ServerPredictor


pytest.importorskip("gradio", reason="gradio is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from giqa_metrics.app import serve  # noqa: E402
from giqa_metrics.app.examples import examples  # noqa: E402
from giqa_metrics.app.page import make_page  # noqa: E402
from giqa_metrics.app.subject import subject_of  # noqa: E402
from giqa_metrics.app.view import LONGEST  # noqa: E402
from tests.paths import ROOT  # noqa: E402


pytestmark = pytest.mark.slow
expect = sync_api.expect
expect.set_options(timeout=60_000)  # on a busy machine

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "app.md").read_text(encoding="utf-8"), flags=re.DOTALL)
CUPS = "The [cups](<0, 168>, <231, 399>) are sharp, the [table](<0, 399>) is not."
OWNED = "document.title='owned'"
HOSTILE = f"""<img src=x onerror="{OWNED}"><script>{OWNED}</script>${{{OWNED}}}{{{{this}}}}`"'&amp;"""


def png(size=(64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it holds 900 million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def archive() -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        file.writestr("photograph.png", png())
    return buffer.getvalue()


@pytest.fixture
def start(server, monkeypatch, tmp_path):
    """Serve a page from this process in front of the scripted server: its address."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    pages = []

    def run(box_format="giqa", photographs=(), timeout=60):
        options = {"concurrency": 1, "max_new_tokens": 9, "timeout": timeout, "retries": 0}
        predictor = ServerPredictor("org/vlm", server.url, **options)
        pages.append(make_page(predictor, subject_of("org/vlm", box_format), photographs))
        return serve.launch(pages[-1], host="127.0.0.1", port=0)

    yield run
    for page in pages:
        page.close(verbose=False)


@pytest.fixture
def visit(browser):
    """Open an address in a browser of its own; no other host may be asked, and no script may fail."""
    contexts, asked, wrong = [], [], []

    def open_page(url, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append((url, request.url)))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.goto(url)
        expect(page.locator(".said")).to_be_attached()  # its script has run
        expect(page.get_by_role("button", name="Choose a photograph")).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [address for url, address in asked if not address.startswith((url, "data:", "blob:"))] == []
    assert wrong == []


def upload(page, raw=None, name="photo.png", kind="image/png"):
    file = {"name": name, "mimeType": kind, "buffer": png() if raw is None else raw}
    page.locator("input[type=file]").set_input_files(file)


def describe(page):
    expect(page.locator("figure svg")).to_be_visible()
    page.get_by_role("button", name="Describe").click()
    expect(page.locator(".said .answer")).to_be_visible()


@pytest.fixture
def described(start, visit, server, answer):
    """A page on which an answer stands: the answer, and the box format it is in, to the page."""

    def run(text=CUPS, box_format="giqa", raw=None, **options):
        server.rule = lambda asked: answer(text)
        page = visit(start(box_format), **options)
        upload(page, raw)
        describe(page)
        return page

    return run


def boxes(page, name):
    return page.locator(f"g[aria-label^='{name}']")


def lit(page):
    return page.locator("#stage .on").evaluate_all("all => all.map(one => one.ariaLabel ?? one.textContent)")


def download(page, name) -> Path:
    """Download the mask, as soon as it is the one of that name."""
    for _ in range(100):
        with page.expect_download() as got:
            page.get_by_role("button", name="Download mask").click()
        if got.value.suggested_filename == name:
            return got.value.path()
    raise AssertionError(f"{name} never came")


def fault(page):
    return page.get_by_role("alert")


IS_MARKED = """() => {
  const here = document.activeElement;
  const halo = here.querySelector(".halo");
  const { outlineStyle, boxShadow } = getComputedStyle(here);
  const isRinged = outlineStyle === "solid" || boxShadow.includes("rgb(11, 99, 206)");
  return isRinged || getComputedStyle(halo).strokeWidth === "9px";
}"""
CONTRAST = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = () => {
    const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((level) => level / 255)
      .map((level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const paint = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return luminance(); };
  const under = [];
  for (let each = element; each; each = each.parentElement) under.unshift(getComputedStyle(each).backgroundColor);
  const [ground] = under.map(paint).slice(-1);
  const text = paint(getComputedStyle(element).color);
  return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
}"""


def prompt_of(asked) -> str:
    return asked.body["messages"][0]["content"][1]["text"]


def image_of(asked) -> bytes:
    return base64.b64decode(asked.body["messages"][0]["content"][0]["image_url"]["url"].partition(";base64,")[2])


def test_a_phrase_and_its_boxes_light_up_together(described, server):
    page = described()
    assert prompt_of(server.asked[0]) == mini.QUESTION
    assert image_of(server.asked[0]) == png()
    expect(page.locator(".said .answer .text")).to_have_text("The cups are sharp, the table is not.")
    cups = ["cups, box 1 of 2", "cups, box 2 of 2"]
    for name in (*cups, "table, box 1 of 1"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    page.get_by_role("button", name="cups", exact=True).hover()
    assert lit(page) == [*cups, "cups"]
    page.get_by_role("button", name="cups, box 2 of 2").hover()
    assert lit(page) == [cups[1], "cups"]
    page.get_by_role("button", name="table", exact=True).hover()
    assert lit(page) == ["table, box 1 of 1", "table"]
    page.get_by_role("heading", name="Grounded image quality").hover()
    assert lit(page) == []


@pytest.mark.parametrize("name", ["qwen3_vl", "shikra"])
def test_a_click_on_a_box_writes_a_question_about_it_in_the_models_format(described, server, name):
    read = box_format("giqa").read(CUPS)
    spoken, sizes = box_format(name), Sizes((64, 48))
    page = described(spoken.write(read.plain, read.regions, sizes), box_format=name)
    page.get_by_role("button", name="cups, box 2 of 2").click()
    question = page.get_by_label("ask a question")
    expect(question).to_be_focused()
    question.press("Enter")
    expect(page.locator(".said .question .text")).to_have_text("How is the quality of the cups?")
    expect(page.get_by_role("button", name="cups, box 1 of 1, in the question")).to_be_visible()
    (asked,) = spoken.read(prompt_of(server.asked[-1]), sizes).regions
    np.testing.assert_allclose(asked.boxes, read.regions[0].boxes[1:], atol=0.01)
    page.locator(".answer .phrase", has_text="cups").click()
    expect(question).not_to_have_value(prompt_of(server.asked[-1]))
    (asked,) = spoken.read(question.input_value(), sizes).regions
    np.testing.assert_allclose(asked.boxes, read.regions[0].boxes, atol=0.01)


def test_everything_works_by_keyboard(start, visit, server, answer, tmp_path):
    (tmp_path / "photo.png").write_bytes(png())
    server.rule = lambda asked: answer(CUPS)
    page = visit(start())
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Choose a photograph")).to_be_focused()
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "photo.png")
    expect(page.locator("figure svg")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Describe")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".said .answer")).to_be_visible()
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText"))
        assert page.evaluate(IS_MARKED), reached[-1]
    assert reached[2:8] == ["table, box 1 of 1", "cups, box 1 of 2", "cups, box 2 of 2", "cups", "table", "Mask of"]
    boxes(page, "cups").last.focus()
    assert lit(page) == ["cups, box 2 of 2", "cups"]
    page.keyboard.press("Enter")
    question = page.get_by_label("ask a question")
    expect(question).to_have_value("How is the quality of the [cups](<231, 399>)?")
    expect(question).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".said .question .text")).to_have_text("How is the quality of the cups?")


def test_the_mask_has_the_photographs_size_and_the_boxes_pixels(described):
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone that was held upright
    Image.open(io.BytesIO(png())).save(turned, "JPEG", exif=exif)
    page = described(raw=turned.getvalue())
    cups, table = (region.boxes for region in box_format("giqa").read(CUPS).regions)
    choice = page.get_by_label("Mask of")
    for name, file, xyxy in (
        ("1. cups", "mask-1.png", cups),
        ("all boxes", "mask.png", np.concatenate([cups, table])),
    ):
        choice.click()
        page.get_by_role("option", name=name).click()
        path = download(page, file)
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (48, 64))
            np.testing.assert_array_equal(image, mask(xyxy, (48, 64)))


def test_what_was_written_and_what_was_read_of_it_is_shown(described):
    text = f"{CUPS} A [dog](<9, 3>) and a [cat](<3"
    page = described(text)
    expect(page.locator(".said .hint")).to_contain_text("2 boxes could not be read.")
    page.get_by_role("button", name="What the model wrote").click()
    expect(page.locator("#details pre").last).to_have_text(text)
    rows = page.locator("#details tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_text(re.compile(r"cups\s*0.025, 0.025, 0.425, 0.425\s*0, 168"))
    expect(page.locator("#details .malformed")).to_have_text(
        ["Malformed, reversed: <9, 3>", "Malformed, unclosed: [cat](<3"]
    )


def test_an_answer_without_boxes_has_no_mask(described, server, answer):
    page = described()
    expect(page.get_by_role("button", name="Download mask")).to_be_visible()
    for text in ("", "All is sharp."):
        server.rule = lambda asked, text=text: answer(text)
        describe(page)
        expect(page.locator(".said .answer .text")).to_have_text(text or "empty")
        expect(page.locator(".said .hint")).to_have_text("No box was read from this answer.")
        expect(page.get_by_role("button", name="Download mask")).to_be_hidden()


def test_markup_in_an_answer_is_text(described):
    text = f"{HOSTILE} the [{HOSTILE}](<0, 399>) and [{'x' * 300}](<0, 9"
    page = described(text)
    expect(page.locator(".said .answer .phrase")).to_have_text(HOSTILE)
    expect(page.locator("g.box")).to_have_attribute("aria-label", f"{HOSTILE}, box 1 of 1")
    page.get_by_role("button", name="What the model wrote").click()
    expect(page.locator("#details pre").last).to_have_text(text)
    page.get_by_label("Mask of").click()
    expect(page.get_by_role("option").last).to_have_text(re.compile(re.escape("1. <img src=x onerror=")))
    page.keyboard.press("Escape")
    page.locator("g.box").click()
    expect(page.get_by_label("ask a question")).to_have_value(f"How is the quality of the [{HOSTILE}](<0, 399>)?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".said .question .phrase")).to_have_text(HOSTILE)
    assert page.title() == "GIQA"
    assert page.locator("#stage img, #details img, #stage script, #details script").count() == 0


def test_a_phrase_that_the_format_cannot_write_is_not_asked_about(described):
    label = '<b>{"bbox_2d": [1, 2, 3, 4]}'
    page = described(json.dumps([{"bbox_2d": [0, 0, 900, 900], "label": label}]), box_format="qwen3_vl")
    page.locator("g.box").click()
    said = page.get_by_test_id("toast-text")
    expect(said).to_have_text(re.compile(f"^expected text without boxes.*{re.escape(label)}"))
    expect(page.get_by_label("ask a question")).to_have_value("")


def test_an_endless_answer_is_cut_and_says_so(described):
    page = described("[x](<0, 9>) " * 9_000)
    page.get_by_role("button", name="What the model wrote").click()
    expect(page.locator("#details .fault")).to_contain_text(f"longer than {LONGEST:,} characters")
    expect(page.locator("#details tbody tr")).to_have_count(LONGEST // len("[x](<0, 9>) "))


def test_what_is_no_photograph_is_refused_in_a_sentence_and_the_page_lives_on(
    start, visit, server, answer, monkeypatch, tmp_path
):
    monkeypatch.setattr(serve, "LARGEST", 100 * 1024)
    server.rule = lambda asked: answer(CUPS)
    url = start()
    page = visit(url)
    name = f"../../{HOSTILE.replace('/', '')}.png"
    page.get_by_role("button", name="Describe").click()
    expect(fault(page)).to_have_text("Choose a photograph first.")
    refused = {bomb(): "900000000 pixels", archive(): "in no format that Pillow knows", png()[:-99]: "truncated"}
    for raw, said in refused.items():
        upload(page, raw, name)
        expect(fault(page)).to_contain_text(said)
        expect(fault(page)).to_have_text(re.compile("^image 'upload' cannot be read: [^\n]+$"))
    for raw, kind, said in (
        (archive(), "application/zip", "Invalid file type: photograph. Only image allowed."),
        (png((400, 300)), "image/png", 'File(s) exceed the maximum allowed size of 100.0 Kb: "photograph"'),
    ):
        upload(page, raw, name, kind)
        expect(page.get_by_test_id("toast-text").last).to_have_text(said)
    assert page.locator("img").count() == 0
    assert server.asked == []
    upload(page)
    describe(page)
    expect(fault(page)).to_have_count(0)
    assert page.title() == "GIQA"
    assert {path.name for path in (tmp_path / "uploads").rglob("*") if path.is_file()} == {"photograph", "mask.png"}


def test_a_server_that_dies_mid_answer_is_a_sentence_and_the_next_question_works(described, server, answer):
    page = described()
    question = page.get_by_label("ask a question")
    question.fill("Is it sharp?")
    for dead, said in (
        ({"keep_back": 30}, "RemoteProtocolError"),
        ({"status": 500, "body": b"<b>oh</b>"}, "HTTP 500, '<b>oh</b>'"),
        ({"body": b"<html>"}, "no chat completion"),
    ):
        server.script = [answer("lost", **dead)]
        question.press("Enter")
        expect(fault(page)).to_have_text(f"sample 'upload' got no answer from 'org/vlm' at {server.url}: {said}")
        expect(page.locator("g.box")).to_have_count(0)
        expect(page.get_by_role("button", name="Download mask")).to_be_hidden()
        question.press("Enter")
        expect(page.locator("g.box")).to_have_count(3)
        expect(fault(page)).to_have_count(0)
    server.stop()
    question.press("Enter")
    expect(fault(page)).to_contain_text("cannot be reached")


def test_a_server_that_hangs_is_a_sentence(start, visit, server, answer):
    server.rule = lambda asked: answer(hangs=True)
    page = visit(start(timeout=1))
    upload(page)
    expect(page.locator("figure svg")).to_be_visible()
    page.get_by_role("button", name="Describe").click()
    expect(fault(page)).to_have_text(f"sample 'upload' got no answer from 'org/vlm' at {server.url}: ReadTimeout")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_runs_over_the_edge_and_all_can_be_read(described, scheme):
    page = described(f"{CUPS} {'x' * 200} [{'y' * 200}](<0, 21>)", width=375, color_scheme=scheme)
    page.get_by_role("button", name="What the model wrote").click()
    expect(page.locator("#details pre").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for text in (
        "#header p",
        ".said .hint",
        ".said .text",
        ".said .phrase",
        "#details h3",
        "#details td",
        "button.primary",
    ):
        for each in page.locator(text).all():
            assert each.evaluate(CONTRAST) >= 4.5, text  # as WCAG asks


def test_the_browser_is_told_to_ask_nobody_else(start, browser, server):
    url = start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    said = page.evaluate("url => fetch(url, {method: 'POST', mode: 'no-cors', body: '{}'}).catch(String)", server.url)
    context.close()
    assert "Failed to fetch" in said
    assert server.asked == []


def test_another_name_of_this_machine_and_its_files_are_refused(start, tmp_path):
    url = start()

    def status(path, **headers):
        try:
            return urllib.request.urlopen(urllib.request.Request(f"{url}{path}", headers=headers)).status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("") == 200
    assert status("", Host="evil.example") == 400
    (tmp_path / "secret.txt").write_text("secret")
    assert status(f"gradio_api/file={tmp_path / 'secret.txt'}") == 403
    assert status("gradio_api/file=/etc/passwd") == 403
    assert status(f"gradio_api/file={ROOT / 'README.md'}") == 403


def post_upload(url, raw, **headers):
    """Send a file as the page does: the status."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + raw + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Origin": url.rstrip("/")} | headers
    try:
        return urllib.request.urlopen(urllib.request.Request(f"{url}gradio_api/upload", body, headers)).status
    except urllib.error.HTTPError as error:
        return error.code


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_another_pages_upload_is_refused_and_leaves_nothing(start, tmp_path):
    url = start()
    for origin in ("http://evil.example", "null", "", "http://localhost:3000"):
        assert post_upload(url, png(), Origin=origin) == 403
    assert post_upload(url, b"", **{"Content-Length": str(serve.LARGEST * 2)}) == 413
    assert files(tmp_path / "uploads") == []


def test_uploads_that_nobody_opens_make_room_for_others(start, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "MOST", 4)
    url = start()
    for number in range(9):
        assert post_upload(url, png((number + 8, 8))) == 200
        assert len(files(tmp_path / "uploads")) <= 4
    assert len(files(tmp_path / "uploads")) == 4


def test_an_upload_is_deleted_soon(start, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "WAIT", 0)
    url = start()
    assert post_upload(url, png()) == 200
    for _ in range(6000):  # it goes after the answer
        if not files(tmp_path / "uploads"):
            break
        time.sleep(0.01)
    assert files(tmp_path / "uploads") == []


def test_an_example_is_a_photograph_to_begin_with(start, visit, server, answer):
    server.rule = lambda asked: answer(CUPS)
    photographs = examples(crops=False)
    page = visit(start(photographs=photographs))
    page.get_by_role("button", name="coffee").click()
    describe(page)
    assert image_of(server.asked[0]) == photographs[0].image
    page.get_by_role("button", name="chelsea").click()
    expect(page.locator("g.box")).to_have_count(0)
    expect(page.locator("figure svg")).to_have_attribute("viewBox", "0 0 451 300")


def test_without_the_wheels_there_are_no_examples(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda name: False)
    assert [examples(crops=crops) for crops in (True, False)] == [[], []]


def test_what_cannot_be_served_is_one_sentence(giqa, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # the command sets it, and this is taken back
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for options, said in (
            ((), "expected a model: run `giqa demo` here, which trains the tiny one in giqa-demo/tiny-llava-sft"),
            (("--server", "http://127.0.0.1:1/v1"), "expected --model, the name by which the server knows its model"),
            (
                ("--model", "m", "--server", "http://127.0.0.1:1/v1", "--box-format", "qwen2_5_vl"),
                "run the model without",
            ),
            (("--model", "m", "--server", "http://127.0.0.1:1/v1", "--box-format", "boxy"), "expected a box format"),
            (
                ("--model", "m", "--server", "http://127.0.0.1:1/v1", "--port", taken.getsockname()[1]),
                "see --host and --port",
            ),
        ):
            ran = giqa("app", *options)
            assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
            assert said in ran.err


@pytest.fixture(scope="module")
def work(tmp_path_factory, tiny_llava):
    """A folder with what `giqa demo` leaves there: a tiny LLaVA, here an untrained one."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(tiny_llava, folder / "giqa-demo" / "tiny-llava-sft")
    return folder


@pytest.fixture
def run(work, programs, tmp_path):
    """Run `giqa app` as a process of its own: options to the process, whose first line is the address."""
    processes = []

    def begin(*options, **variables):
        command = ["giqa", "app", *map(str, options), "--port", "0"]
        environment = os.environ | {"PATH": programs, "TMPDIR": str(tmp_path)} | variables
        processes.append(subprocess.Popen(command, cwd=work, env=environment, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait(120)


def test_the_command_serves_the_demos_model_asks_nobody_and_leaves_nothing(run, visit, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        there = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        asking = {"HTTP_PROXY": there, "HTTPS_PROXY": there, "ALL_PROXY": there, "NO_PROXY": "127.0.0.1"}
        process = run("--max-new-tokens", 6, **asking)
        page = visit(process.stdout.readline().strip())
        expect(page.locator("#header .note")).to_contain_text("This is the tiny model of giqa demo")
        expect(page.get_by_label("ask a question")).to_have_value(tiny.VQA_QUESTION)
        page.get_by_role("button", name="crop 2").click()
        describe(page)
        page.get_by_role("button", name="What the model wrote").click()
        expect(page.locator("#details pre").first).to_have_text(tiny.DES_QUESTION)
        page.close()
        process.send_signal(signal.SIGINT)
        assert (process.wait(120), process.stdout.read()) == (130, "")
        assert list(tmp_path.glob("giqa-app-*")) == []
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waits there
            proxy.accept()


def test_the_pages_commands_run(run, server):
    lines = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
    first, *others = [options for command, verb, *options in lines if (command, verb) == ("giqa", "app")]
    assert (first, len(others)) == ([], 2)  # the first is the test above
    begun = [run(*(server.url if option.startswith("http") else option for option in each)) for each in others]
    for process in begun:
        assert urllib.request.urlopen(process.stdout.readline().strip()).status == 200
