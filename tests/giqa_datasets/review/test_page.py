"""The review page in a real browser."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from giqa_datasets.review.server import make_app
from giqa_datasets.review.votes import append_vote, read_votes


pytestmark = pytest.mark.slow


sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
expect = sync_api.expect
expect.set_options(timeout=60_000)  # on a busy machine

EDGE = 6  # pixels around the picture
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \u202etfel\u202c \u200fx"
)
SERVE = """
import sys
from pathlib import Path
from giqa_datasets.review.items import open_review
from giqa_datasets.review.server import serve
opened = open_review(Path(sys.argv[1]))
serve(opened, port=int(sys.argv[2]), announce=lambda said: print(said, file=sys.stderr, flush=True))
"""


@pytest.fixture
def start():
    """Serve an application from this process: its address."""
    servers = []

    def run(app):
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        servers.append((server, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield run
    for server, thread, listener in servers:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def url(review, start):
    return start(make_app(review, token=None))


@pytest.fixture
def visit(browser):
    """Open the page in a browser of its own, and begin under a name; nothing may be asked of another host, or fail."""
    contexts, asked, wrong = [], [], []

    def open_page(url, name=None):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append((url, request.url)))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: "Content Security" in message.text and wrong.append(message.text))
        page.goto(url)
        expect(page.locator("#name")).to_be_focused()
        if name is not None:
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            expect(page.locator("#position")).to_have_text(re.compile("Sample . of 6"))
            expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [address for url, address in asked if not address.startswith(url.partition("#")[0])] == []
    assert wrong == []


def keys(page, *names):
    for name in names:
        page.keyboard.press(name)


def go(page, number):
    """Open a sample by its place in the list."""
    page.locator("#samples button").nth(number - 1).click()
    expect(page.locator("#position")).to_have_text(f"Sample {number} of 6")
    expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")


def pull(page, start, end):
    """Drag with the mouse from one place of the picture to another, both as shares of its sides."""
    area = page.locator("#stage").bounding_box()
    wide, high = area["width"] - 2 * EDGE, area["height"] - 2 * EDGE
    (x1, y1), (x2, y2) = ((area["x"] + EDGE + x * wide, area["y"] + EDGE + y * high) for x, y in (start, end))
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    page.mouse.move(x2, y2)
    page.mouse.up()


def select(page, role, words):
    """Select words in a text."""
    page.locator(f"#{role}").focus()
    page.evaluate(
        "([role, words]) => { const field = document.getElementById(role); const at = field.value.indexOf(words);"
        " field.setSelectionRange(at, at + words.length); }",
        [role, words],
    )


def saved(page):
    expect(page.locator("#saved")).to_have_text("Saved")


def kept(review, annotator="ann"):
    return read_votes(review.path, review.round)[annotator]


def boxes(vote, phrase, role="answer"):
    (found,) = (region.boxes for region in vote.regions if (region.phrase, region.role) == (phrase, role))
    return [pytest.approx(box, abs=0.006) for box in found]


def test_what_is_drawn_tied_and_written_is_there_after_a_reload(url, visit, review):
    page = visit(url, "ann")
    go(page, 2)
    select(page, "answer", "sharp")
    keys(page, "Control+b")
    expect(page.locator("#next")).to_contain_text("drag a box around “sharp”")
    pull(page, (0.1, 0.2), (0.3, 0.6))
    expect(page.locator("#grounded")).to_contain_text("the [red square](<105, 294>) is [sharp](<82, 225>).")
    keys(page, "e", "Control+Home")
    page.keyboard.type("Oh 😀, ")
    saved(page)
    page.reload()
    expect(page.locator("#position")).to_have_text("Sample 2 of 6")
    expect(page.locator("#answer")).to_have_value("Oh 😀, Yes, the red square is sharp.")
    expect(page.locator("#grounded")).to_contain_text(
        "Oh 😀, Yes, the [red square](<105, 294>) is [sharp](<82, 225>)."
    )
    expect(page.locator(".marks").nth(1).locator("mark")).to_have_text(["red square", "sharp"])
    vote = kept(review)["alpha-vqa-1"]
    assert (vote.verdict, vote.answer) == ("rewrite", "Oh 😀, Yes, the red square is sharp.")
    assert boxes(vote, "sharp") == [(0.1, 0.2, 0.3, 0.6)]
    assert [region.span for region in vote.regions if region.role == "answer"] == [(15, 25), (29, 34)]


def test_what_the_source_says_is_listed_and_shown_where_it_is(review, start, visit):
    first, *others = review.images
    said = [first._replace(objects=[("severe noise", (0.1, 0.2, 0.5, 0.6))]), *others]
    page = visit(start(make_app(replace(review, images=said), token=None)), "ann")
    dashed = "Konva.stages[0].find((shape) => shape.dash?.()?.length && !shape.draggable()).length"
    expect(page.locator("#objects li")).to_have_text(["severe noise"])
    before = page.evaluate(dashed)
    page.locator("#objects li").hover()
    page.wait_for_function(f"{dashed} === {before + 1}")
    page.mouse.move(5, 5)
    page.wait_for_function(f"{dashed} === {before}")
    go(page, 4)
    expect(page.locator("#said")).to_be_hidden()


def test_a_box_is_moved_and_resized_by_the_mouse(url, visit, review):
    page = visit(url, "ann")
    keys(page, "1")
    pull(page, (0.5, 0.5), (0.5, 0.5))  # a click, which selects the box
    pull(page, (0.5, 0.5), (0.6, 0.45))
    saved(page)
    assert boxes(kept(review)["alpha-des"], "red square") == [(0.35, 0.2, 0.85, 0.7)]
    handles = {(0.35, 0.2): (0.3, 0.1), (0.85, 0.4): (0.9, 0.4), (0.6, 0.7): (0.6, 0.9), (0.3, 0.9): (0.2, 0.8)}
    for place, (handle, end) in enumerate(handles.items()):
        pull(page, handle, end)
        assert page.evaluate("sample.undo.length") == place + 2
    saved(page)
    assert boxes(kept(review)["alpha-des"], "red square") == [(0.2, 0.1, 0.9, 0.8)]
    pull(page, (0.5, 0.5), (2, 2))  # no further than the picture's edge
    saved(page)
    assert boxes(kept(review)["alpha-des"], "red square") == [(0.3, 0.3, 1.0, 1.0)]


def test_a_box_corrected_in_a_description_is_offered_for_the_same_words_in_its_questions(url, visit, review):
    page = visit(url, "ann")
    hint = page.locator("#next")
    go(page, 2)
    expect(hint).not_to_contain_text("Press d")  # nothing was corrected yet
    go(page, 1)
    keys(page, "1", "Tab", "ArrowRight", "ArrowRight")
    saved(page)
    page.reload()  # what was corrected in another session counts, too
    go(page, 2)
    expect(hint).to_contain_text("You corrected the boxes of “red square” in the description. Press d")
    keys(page, "d")
    saved(page)
    moved = [(0.26, 0.25, 0.76, 0.75)]
    vote = kept(review)["alpha-vqa-1"]
    assert [boxes(vote, "red square", role) for role in ("question", "answer")] == [moved, moved]
    go(page, 3)  # of the cat, which was not touched
    expect(hint).not_to_contain_text("Press d")
    go(page, 5)  # of another picture
    expect(hint).not_to_contain_text("Press d")


def test_undo_goes_back_over_words_phrases_and_boxes_alike(url, visit, review):
    page = visit(url, "ann")
    go(page, 2)
    grounded = page.locator("#grounded p").nth(1)
    steps = ["Yes, the [red square](<105, 294>) is sharp."]
    expect(grounded).to_have_text(steps[0])
    keys(page, "2", "Tab", "ArrowRight", "ArrowRight")
    steps.append("Yes, the [red square](<105, 295>) is sharp.")
    expect(grounded).to_have_text(steps[-1])
    pull(page, (0.0, 0.0), (0.12, 0.12))
    steps.append("Yes, the [red square](<105, 295>, <0, 42>) is sharp.")
    expect(grounded).to_have_text(steps[-1])
    keys(page, "e", "Control+End")
    page.keyboard.type(" Indeed.")
    steps.append(f"{steps[-1]} Indeed.")
    expect(grounded).to_have_text(steps[-1])
    select(page, "answer", "red square")
    keys(page, "Delete")
    steps.append("Yes, the  is sharp. Indeed.")
    expect(grounded).to_have_text(steps[-1])
    for text in reversed(steps[:-1]):
        keys(page, "Control+z")
        expect(grounded).to_have_text(text)
    saved(page)
    assert kept(review)["alpha-vqa-1"].verdict == "accept"  # nothing differs from the beginning
    for text in steps[1:]:
        keys(page, "Control+Shift+z")
        expect(grounded).to_have_text(text)
    saved(page)
    assert kept(review)["alpha-vqa-1"].verdict == "rewrite"


def test_the_keyboard_alone_is_enough(url, visit, review):
    page = visit(url, "ann")
    hint = page.locator("#next")
    expect(hint).to_contain_text("All right? Press a.")
    keys(page, "?")
    expect(page.locator("#keys")).to_be_visible()
    keys(page, "Escape", "a")  # alpha-des
    expect(page.locator("#position")).to_have_text("Sample 2 of 6")
    keys(page, "r")  # alpha-vqa-1
    expect(page.locator("#position")).to_have_text("Sample 3 of 6")
    keys(page, "2", "b")
    expect(hint).to_contain_text("arrow keys")
    keys(page, "Alt+ArrowLeft", "Alt+ArrowUp", "Shift+ArrowRight", "Shift+Alt+ArrowDown")
    keys(page, "Shift+Tab", "Delete")
    saved(page)
    vote = kept(review)["alpha-vqa-2"]
    assert boxes(vote, "cat") == [(0.0, 0.1, 0.2, 0.4), (0.41, 0.41, 0.615, 0.66)]
    keys(page, "n")
    page.keyboard.type("a note")
    keys(page, "Escape", "q", "Control+End", "ArrowLeft", "ArrowLeft", "Control+b")
    expect(hint).to_contain_text("drag a box around “see”")
    keys(page, "Delete", "g", "a")
    expect(page.locator("#position")).to_have_text("Sample 4 of 6")
    saved(page)
    assert (kept(review)["alpha-vqa-2"].note, kept(review)["alpha-vqa-2"].verdict) == ("a note", "rewrite")
    for number in (5, 6):
        keys(page, "a")
        expect(page.locator("#position")).to_have_text(f"Sample {number} of 6")
    keys(page, "a")
    expect(hint).to_contain_text("you are done")
    expect(page.locator("#count")).to_have_text("6 of 6")
    keys(page, "k", "k")
    expect(page.locator("#position")).to_have_text("Sample 4 of 6")
    keys(page, "ArrowRight")
    expect(page.locator("#position")).to_have_text("Sample 5 of 6")
    saved(page)
    verdicts = [kept(review)[name].verdict for name in review.begin]
    assert verdicts == ["accept", "reject", "rewrite", "accept", "accept", "accept"]


def test_tab_leaves_the_picture_after_the_last_box(url, visit):
    page = visit(url, "ann")
    keys(page, "1", "Tab", "Tab", "Tab")
    assert page.evaluate("[find(chosen).boxes.length, box]") == [2, 1]
    keys(page, "Tab")
    assert page.evaluate("document.activeElement.id") != "stage"


def test_a_new_question_is_asked_of_the_picture(url, visit, review):
    page = visit(url, "ann")
    keys(page, "+")
    expect(page.locator("#position")).to_have_text("Sample 4 of 7")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("What is red?")
    keys(page, "Tab")
    page.keyboard.type("The square.")
    select(page, "answer", "square")
    keys(page, "Control+b", "b")
    page.locator("#type").select_option("which")
    saved(page)
    page.reload()
    expect(page.locator("#position")).to_have_text("Sample 4 of 7")
    expect(page.locator("#grounded")).to_have_text("What is red?The [square](<168, 231>).")
    vote = kept(review)["alpha-new-ann-1"]
    assert (vote.verdict, vote.question_type, vote.answer) == ("new", "which", "The square.")


def test_a_new_question_that_was_never_written_is_no_sample(url, visit):
    page = visit(url, "ann")
    keys(page, "+")
    expect(page.locator("#position")).to_have_text("Sample 4 of 7")
    keys(page, "Escape", "j")
    expect(page.locator("#position")).to_have_text("Sample 4 of 6")
    expect(page.locator("#samples button")).to_have_count(6)


def test_a_rejected_sample_is_taken_back_in(url, visit, review):
    page = visit(url, "ann")
    keys(page, "n")
    page.keyboard.type("why not")
    expect(page.locator("#saved")).to_contain_text("saved with your vote")
    for key, verdict in (("r", "reject"), ("Control+z", "accept"), ("Control+Shift+z", "reject"), ("a", "accept")):
        go(page, 2)
        go(page, 1)
        keys(page, key)
        saved(page)
        assert (kept(review)["alpha-des"].verdict, kept(review)["alpha-des"].note) == (verdict, "why not")


def test_a_text_without_words_is_not_saved(url, visit, review):
    page = visit(url, "ann")
    page.locator("#answer").fill(" ")
    expect(page.locator("#saved")).to_have_text("Not saved yet: the answer needs words.")
    keys(page, "Escape", "a")
    expect(page.locator("#position")).to_have_text("Sample 1 of 6")
    keys(page, "Control+z")
    expect(page.locator("#phrases li")).to_have_count(2)
    keys(page, "a")
    saved(page)
    assert kept(review)["alpha-des"].verdict == "accept"


def test_phrases_stay_with_their_words(url, visit):
    page = visit(url, "ann")
    edits = [
        ("red ", "", ["square", "cat"]),  # inside a phrase
        ("square is", "one was", ["red", "cat"]),  # over its end
        ("The red", "A dark", ["square", "cat"]),  # over its beginning
        ("red square", "red circle", ["red circle", "cat"]),  # all of it, but for what stays
        ("square is sharp, the cat", "x", ["red"]),  # over two
        ("The ", "The very ", ["red square", "cat"]),  # before it
    ]
    for words, typed, phrases in edits:
        select(page, "answer", words)
        page.keyboard.insert_text(typed) if typed else page.keyboard.press("Delete")
        expect(page.locator("#phrases bdi")).to_have_text(phrases)
        expect(page.locator(".marks").nth(1).locator("mark")).to_have_text(phrases)
        keys(page, "Escape", "Control+z")
        expect(page.locator("#answer")).to_have_value("The red square is sharp, the cat behind it is blurred.")


def test_two_annotators_at_once_lose_nothing_and_see_nothing_of_each_other(url, visit, review):
    ann, bob = visit(url, "ann"), visit(url, "bob")
    for number in range(1, 7):
        for page, name in ((ann, "ann"), (bob, "bob")):
            keys(page, "e", "Control+End")
            page.keyboard.type(f" {name} {number}")
            keys(page, "Escape")
        for page in (ann, bob):
            keys(page, "j")
    for page, name, other in ((ann, "ann", "bob"), (bob, "bob", "ann")):
        saved(page)
        answers = [vote.answer for vote in kept(review, name).values()]
        assert answers == [f"{state.answer} {name} {at}" for at, state in enumerate(review.begin.values(), start=1)]
        assert f" {other} " not in page.content() + str(page.evaluate("[...opened.values()].map((one) => one.now)"))


def test_a_killed_server_loses_the_gesture_in_hand_at_most(folder, review, visit):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def serve():
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder), str(port)], stderr=subprocess.PIPE, text=True
        )
        assert f"http://127.0.0.1:{port}/" in process.stderr.readline()
        return process

    server = serve()
    try:
        page = visit(f"http://127.0.0.1:{port}/", "ann")
        keys(page, "1")
        pull(page, (0.02, 0.5), (0.2, 0.9))
        saved(page)
        server.send_signal(signal.SIGKILL)
        server.wait(10)
        assert len(boxes(kept(review)["alpha-des"], "red square")) == 2
        pull(page, (0.8, 0.5), (0.98, 0.9))
        expect(page.locator("#saved")).to_contain_text("Not saved: The server does not answer.")
        keys(page, "Escape", "Escape", "j")  # the next sample was fetched before
        expect(page.locator("#position")).to_have_text("Sample 2 of 6")
        keys(page, "a")
        expect(page.locator("#next")).to_contain_text("does not answer")
        server.stderr.close()
        server = serve()
        expect(page.locator("#position")).to_have_text("Sample 3 of 6")
        saved(page)
        assert len(boxes(kept(review)["alpha-des"], "red square")) == 3
        assert kept(review)["alpha-vqa-1"].verdict == "accept"
    finally:
        server.kill()
        server.wait(10)
        server.stderr.close()


def test_hostile_text_is_shown_as_text(review, vote_on, start, visit):
    at = len("The ")
    region = {"phrase": HOSTILE, "role": "answer", "span": (at, at + len(HOSTILE)), "boxes": [(0.1, 0.1, 0.5, 0.5)]}
    answer = f"The {HOSTILE} is bad.{' long' * 3_900}"
    begin = review.begin["alpha-des"]
    append_vote(review, vote_on(begin, "ann", "rewrite", answer=answer, regions=[region], note=HOSTILE))
    page = visit(start(make_app(review, token=None)), "ann")  # opens the first without a vote
    go(page, 1)
    keys(page, "1")
    expect(page.locator("#answer")).to_have_value(answer)
    expect(page.locator("#note")).to_have_value(HOSTILE)
    expect(page.locator("mark")).to_have_text(HOSTILE)
    expect(page.locator("#phrases bdi")).to_have_text(HOSTILE)
    expect(page.locator("#grounded")).to_contain_text(f"[{HOSTILE}](<")
    page.locator("#answer").fill(HOSTILE * 1_000)
    expect(page.locator("#saved")).to_contain_text("Not saved: answer: string should have at most")
    page.locator("#answer").fill(f"{HOSTILE} [a](<9, 3>)")
    expect(page.locator("#grounded.alarm")).to_contain_text("expected text without boxes")
    assert page.evaluate("document.querySelectorAll('#app script, #app img').length") == 0
    assert page.title() == "GIQA review"


def test_a_name_that_is_none_gets_a_sentence(url, visit):
    page = visit(url)
    expect(page.locator("#welcome")).to_contain_text("what was said of their quality")
    page.keyboard.type("../ann")
    keys(page, "Enter")
    expect(page.locator("#refused")).to_contain_text("expected a name of 1 to 40 letters")


def test_a_name_of_another_browser_asks_for_its_key(url, visit, review):
    visit(url, "ann")
    page = visit(url)
    expect(page.locator("#key")).to_be_hidden()
    keys(page, *"ann", "Enter")
    expect(page.locator("#refused")).to_contain_text("give its key, which stands in server/keys.jsonl")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(json.loads((review.path / "server" / "keys.jsonl").read_text())["key"])
    keys(page, "Enter")
    expect(page.locator("#who")).to_have_text("round 1 · ann")
    page.reload()
    expect(page.locator("#who")).to_have_text("round 1 · ann")


def test_the_token_is_shown_once_and_leaves_the_address(review, start, visit):
    url = start(make_app(review, token="right"))
    page = visit(url)
    page.keyboard.type("ann")
    keys(page, "Enter")
    expect(page.locator("#refused")).to_contain_text("expected the address with its token")
    page = visit(f"{url}#token=right", "ann")
    assert "right" not in page.url
    page.reload()
    expect(page.locator("#position")).to_have_text("Sample 1 of 6")


def test_it_fits_a_laptop(url, visit):
    page = visit(url, "ann")
    for width, height in ((1280, 720), (1440, 900), (900, 700)):
        page.set_viewport_size({"width": width, "height": height})
        # The page draws itself anew a moment after its window has another size
        page.wait_for_function(
            """([width, height, names]) => {
              const page = document.documentElement;
              const places = names.map((name) => document.querySelector(name).getBoundingClientRect());
              return page.scrollWidth === width && page.scrollHeight === height
                && places.every((place) => place.left >= 0 && place.right <= width && place.bottom <= height);
            }""",
            arg=[width, height, ["#stage", "#grounded", "#accept", "#reject"]],
        )
