"""What of a metric's folder goes to its Space: which files, what its card says, and a page that works alone."""

import difflib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import giqa_metrics
from giqa_metrics import METRICS, giqa_vqa
from giqa_metrics.publish.space import is_space, refused_tag, space_release


SPACES = Path(giqa_metrics.__file__).parent / "spaces"
CARD = """---
title: my_metric
sdk: static
license: mit
---

# my_metric

A <script>document.title = "run"</script> and an ![image](http://images.example/a.png).
[A](https://a.example/) and [b](javascript:alert).

```python
import evaluate
evaluate.load( 'my_metric' ), evaluate.load("my_metric_too"), load("my_metric")
```
"""
every_metric = pytest.mark.parametrize("name", METRICS)
each_sdk = pytest.mark.parametrize("sdk", ["static", "gradio"])


@pytest.fixture
def folder(tmp_path) -> Path:
    """A metric that is not ours, with files that belong to no Space."""
    folder = tmp_path / "my_metric"
    (folder / "__pycache__").mkdir(parents=True)
    for path in ("my_metric.py", "app.py", "__init__.py", "index.html", ".env", "notes.txt", "__pycache__/a.pyc"):
        (folder / path).write_text(f"# {path}\n", encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def front_matter(release) -> dict:
    return yaml.safe_load(release.files["README.md"].decode().split("---\n")[1])


@every_metric
@each_sdk
def test_a_space_has_its_script_its_card_its_requirements_and_its_page(name, sdk):
    page = {"static": "index.html", "gradio": "app.py"}[sdk]
    release = space_release(SPACES / name, f"org/{name}", sdk=sdk)
    assert (release.kind, release.name, release.sdk) == ("space", name, sdk)
    assert set(release.files) == {f"{name}.py", "README.md", "requirements.txt", page}
    made = {"README.md", "index.html"}
    for path in set(release.files) - made:
        assert release.files[path] == (SPACES / name / path).read_bytes()


@every_metric
def test_the_front_matter_of_a_static_space_names_its_page_and_keeps_the_rest(name):
    before = yaml.safe_load((SPACES / name / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    del before["sdk_version"]
    release = space_release(SPACES / name, f"org/{name}")
    assert front_matter(release) == before | {"sdk": "static", "app_file": "index.html"}


@every_metric
def test_the_front_matter_of_a_gradio_space_is_the_cards(name):
    before = yaml.safe_load((SPACES / name / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert front_matter(space_release(SPACES / name, f"org/{name}", sdk="gradio")) == before


@every_metric
def test_nothing_else_of_the_card_changes_but_the_call(name):
    before = (SPACES / name / "README.md").read_text(encoding="utf-8").splitlines()
    after = space_release(SPACES / name, f"org/{name}", sdk="gradio").files["README.md"].decode().splitlines()
    start = "---", "sdk", "app_file"
    changed = [line[2:] for line in difflib.ndiff(before, after) if line[:2] in ("- ", "+ ")]
    assert [line for line in changed if not line.startswith(start)] == [
        f'>>> metric = evaluate.load("{name}")',
        f'>>> metric = evaluate.load("org/{name}")',
    ]


def test_only_a_call_of_this_metric_becomes_one_of_the_space(folder):
    card = space_release(folder, "org/my_metric").files["README.md"].decode()
    assert """evaluate.load( 'org/my_metric' ), evaluate.load("my_metric_too"), load("my_metric")""" in card


def test_files_that_belong_to_no_space_stay_at_home(folder):
    assert set(space_release(folder, "org/my_metric").files) == {"my_metric.py", "README.md", "index.html"}
    assert b"# index.html" not in space_release(folder, "org/my_metric").files["index.html"]
    gradio = space_release(folder, "org/my_metric", sdk="gradio")
    assert set(gradio.files) == {"my_metric.py", "README.md", "app.py"}
    assert front_matter(gradio) == {"title": "my_metric", "sdk": "gradio", "license": "mit", "app_file": "app.py"}


@each_sdk
def test_what_the_other_kind_of_space_had_goes(folder, sdk):
    release = space_release(folder, "org/my_metric", sdk=sdk)
    paths = ["app.py", "index.html", "requirements.txt", "style.css", ".gitattributes", "other.py"]
    assert [path for path in paths if release.owns(path)] == paths[:3]
    assert all(map(release.owns, release.files))


@each_sdk
def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(folder, sdk, tmp_path):
    first = space_release(folder, "org/my_metric", sdk=sdk).files
    other = shutil.copytree(folder, tmp_path / "elsewhere" / "my_metric", copy_function=shutil.copyfile)
    assert space_release(other, "org/my_metric", sdk=sdk).files == first
    (other / "README.md").write_bytes(CARD.replace("\n", "\r\n").encode())
    assert space_release(other, "org/my_metric", sdk=sdk).files == first


@pytest.mark.parametrize(
    "path",
    ["giqa_metrics/spaces/giqa_vqa", "giqa_metrics/spaces/giqa_vqa/", "giqa_metrics/spaces/giqa_vqa/../giqa_vqa"],
)
def test_a_folder_may_be_given_in_other_ways(path, monkeypatch):
    whole = space_release(SPACES / "giqa_vqa", "org/giqa_vqa")
    monkeypatch.chdir(SPACES.parents[1])
    assert is_space(Path(path))
    assert space_release(Path(path), "org/giqa_vqa").files == whole.files
    monkeypatch.chdir(SPACES / "giqa_vqa")
    assert is_space(Path())
    assert space_release(Path(), "org/giqa_vqa").files == whole.files


def test_what_is_no_space(folder, tmp_path):
    (tmp_path / "giqa-set" / "data").mkdir(parents=True)
    (tmp_path / "giqa-set" / "README.md").write_text(CARD, encoding="utf-8")
    assert is_space(folder)
    assert not is_space(tmp_path / "giqa-set")
    assert not is_space(folder / "my_metric.py")
    assert not is_space(tmp_path / "missing")
    assert not is_space(folder.rename(tmp_path / "other_name"))


@pytest.mark.parametrize(
    ("change", "repo", "sdk", "sentence"),
    [
        pytest.param("my_metric.py", "org/my_metric", "static", "my_metric.py and README.md, got", id="script"),
        pytest.param("README.md", "org/my_metric", "static", "my_metric.py and README.md, got", id="card"),
        pytest.param("app.py", "org/my_metric", "gradio", "a Gradio Space, app.py, in", id="app"),
        pytest.param("", "org/metric", "static", "ORG/my_metric, .*got 'org/metric'", id="another name"),
        pytest.param("", "my_metric", "static", "ORG/my_metric, .*got 'my_metric'", id="no organisation"),
        pytest.param("# my_metric\n", "org/my_metric", "static", "README.md to begin with YAML", id="no head"),
        pytest.param("---\n- a\n---\n", "org/my_metric", "static", "README.md to begin with YAML", id="a list"),
        pytest.param("---\na: [\n---\n", "org/my_metric", "static", "README.md to be UTF-8 with YAML", id="bad YAML"),
        pytest.param("---\na: \udcff\n---\n", "org/my_metric", "static", "README.md to be UTF-8", id="no UTF-8"),
    ],
)
def test_what_cannot_be_published_is_one_sentence(folder, change, repo, sdk, sentence):
    if change.endswith((".py", ".md")):
        (folder / change).unlink()
    elif change:
        (folder / "README.md").write_bytes(change.encode("utf-8", "surrogateescape"))
    with pytest.raises((FileNotFoundError, ValueError), match=sentence) as refused:
        space_release(folder, repo, sdk=sdk)
    assert str(refused.value).startswith("expected")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["my_metric.py", "README.md", "requirements.txt"])
def test_a_link_is_not_followed_to_the_hub(folder, tmp_path, path):
    (tmp_path / "secret").write_text(CARD, encoding="utf-8")
    (folder / path).unlink(missing_ok=True)
    (folder / path).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=f"expected a file at .*{path}, got a link to .*secret"):
        space_release(folder, "org/my_metric")


@pytest.mark.parametrize("tag", ["v0.4.6", "v1.2.3", "v10.20.30.dev0"])
def test_a_tag_that_evaluate_would_prefer_is_refused(tag):
    assert refused_tag(tag) == (
        f"expected no version, because evaluate.load prefers a tag of its own version to main, got {tag!r}"
    )


@pytest.mark.parametrize("tag", ["giqa-0.2.0", "0.2.0", "v1", "paper", "xv1.2.3"])
def test_any_other_tag_may_be(tag):
    assert refused_tag(tag) is None


@pytest.fixture
def show(browser, tmp_path):
    """Open a page of a release from disk: its Playwright page and every address it asked for, itself first."""
    pages = []

    def open_it(release, **options):
        file = tmp_path / "page" / "index.html"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(release.files["index.html"])
        page, asked = browser.new_page(**options), []
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page, asked

    yield open_it
    for page in pages:
        page.close()


@every_metric
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_readable_anywhere_and_asks_nobody(show, name, width, scheme):
    release = space_release(SPACES / name, f"org/{name}")
    page, asked = show(release, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert len(asked) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    darkness = [sum(map(int, re.findall(r"\d+", colour))) < 3 * 128 for colour in (ink, paper)]
    assert darkness == ([True, False] if scheme == "light" else [False, True])
    assert page.locator("h1").all_inner_texts() == [name]
    load = page.locator("pre").first
    assert load.inner_text() == f'import evaluate\n\nmetric = evaluate.load("org/{name}")'
    assert load.bounding_box()["y"] < 200
    assert page.locator("p.note").inner_text().startswith("It needs the Python package")


def test_html_in_a_card_is_text_and_its_images_are_links(folder, show):
    page, asked = show(space_release(folder, "org/my_metric"))
    assert len(asked) == 1
    assert page.title() == "my_metric"
    assert page.locator("script").count() == 0
    assert '<script>document.title = "run"</script>' in page.locator("main").inner_text()
    links = [link.get_attribute("href") for link in page.locator("a").all()]
    assert links == ["http://images.example/a.png", "https://a.example/"]
    assert page.locator("p.note").count() == 0


@pytest.mark.slow
def test_the_app_of_a_gradio_space_runs_on_what_was_published(tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed")
    from gradio_client import Client

    release = space_release(SPACES / "giqa_vqa", "org/giqa_vqa", sdk="gradio")
    for path, content in release.files.items():
        (tmp_path / path).write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SERVER_PORT": str(port)}
    command = [sys.executable, "-u", front_matter(release)["app_file"]]
    app = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        log = []
        while not any(f":{port}" in line for line in log):  # it says so once it answers
            log.append(app.stdout.readline())
            assert log[-1], "".join(log)
        asked = ("Is it sharp?", "yes_no", "No, it is blurred.", "No.", "giqa")
        scores = Client(f"http://127.0.0.1:{port}/", verbose=False).predict(*asked, api_name="/score")
    finally:
        app.terminate()
        app.wait()
    assert scores == giqa_vqa(["No, it is blurred."], ["No."], ["Is it sharp?"], ["yes_no"])
