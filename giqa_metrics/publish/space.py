"""A metric's folder as a Space on the Hub: the script that `evaluate.load` fetches, the card, and a page.

From the Space `org/name` evaluate fetches only `name.py`, so folder, script and Space share a name. The published card
loads the metric from the Space, as its readers can.
"""

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from markdown_it import MarkdownIt

from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.package_files import templates
from giqa_datasets.publish.plan import Release


Sdk = Literal["static", "gradio"]
_PAGES: dict[Sdk, str] = {"static": "index.html", "gradio": "app.py"}
_CARD = re.compile(r"---\n(.*?\n)---\n(.*)", re.DOTALL)
_VERSION = re.compile(r"v\d*\.\d*\.\d*")  # as evaluate.loading tells one from a branch


def is_space(folder: Path) -> bool:
    """Tell whether a folder is a metric's: `<name>/<name>.py` with a card beside it."""
    folder = folder.resolve()
    return (folder / f"{folder.name}.py").is_file() and (folder / "README.md").is_file()


def space_release(folder: Path, repo: str, *, sdk: Sdk = "static") -> Release:
    """List the files of a metric's Space: script, card, requirements and page.

    Args:
        folder: `<name>/` with `<name>.py` and `README.md`, the card with its front matter; `requirements.txt` if the
            script needs packages; `app.py` if the page is Gradio's.
        repo: The Space, `org/<name>`.
        sdk: The page: `static` an `index.html` that is made of the card, `gradio` the folder's `app.py`.

    Returns:
        The contents of the files; the same for the same folder and Space.

    Raises:
        FileNotFoundError: If it is no metric's folder, or lacks Gradio's page.
        ValueError: If the Space has another name, the card has no front matter, or a file is a link.
    """
    folder = folder.resolve()
    name, page = folder.name, _PAGES[sdk]
    if not is_space(folder):
        raise MissingFileError(f"expected a metric's folder with {name}.py and README.md, got {folder}")
    if not re.fullmatch(rf"[^/]+/{re.escape(name)}", repo):
        raise InputError(f"expected a Space ORG/{name}, because evaluate.load asks it for {name}.py, got {repo!r}")
    if sdk == "gradio" and not (folder / page).is_file():
        raise MissingFileError(f"expected the page of a Gradio Space, {page}, in {folder}")
    ours = [f"{name}.py", "README.md", "requirements.txt", *(["app.py"] if sdk == "gradio" else [])]
    files = {path: _content(folder / path) for path in ours if (folder / path).is_file()}
    card = _on_the_hub(_read(files["README.md"], folder / "README.md"), repo, sdk)
    files["README.md"] = f"---\n{card.head}---\n{card.body}".encode()
    if sdk == "static":
        files[page] = _html(card, repo, files.get("requirements.txt", b"").decode()).encode()
    owned = {*ours, *_PAGES.values()}
    return Release("space", name, files, owns=owned.__contains__, sdk=sdk)


def refused_tag(tag: str) -> str | None:
    """Say why a Space must have no tag or branch of that name; None if it may.

    Example:
        >>> refused_tag("v0.2.0")
        "expected no version, because evaluate.load prefers a tag of its own version to main, got 'v0.2.0'"
    """
    if not _VERSION.match(tag):
        return None
    return f"expected no version, because evaluate.load prefers a tag of its own version to main, got {tag!r}"


class _Card(NamedTuple):
    head: str
    body: str

    @property
    def about(self) -> Any:
        return yaml.safe_load(self.head)


def _content(path: Path) -> bytes:
    """A file's bytes, if it is no link, which may lead anywhere."""
    if path.is_symlink():
        raise InputError(f"expected a file at {path}, got a link to {path.readlink()}")
    return path.read_bytes()


def _read(content: bytes, path: Path) -> _Card:
    try:
        parts = _CARD.fullmatch(content.decode().replace("\r\n", "\n"))
        card = _Card(*parts.groups()) if parts else _Card("", "")
        about = card.about
    except (ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"expected {path} to be UTF-8 with YAML between lines of ---, got {reason}") from error
    if not isinstance(about, dict):
        raise InputError(f"expected {path} to begin with YAML between lines of ---, got none")
    return card


def _on_the_hub(card: _Card, repo: str, sdk: Sdk) -> _Card:
    """The card of the Space: the front matter names the page, the code loads the metric from the Space."""
    load = rf"""(evaluate\.load\(\s*)(["']){re.escape(repo.rpartition("/")[2])}\2"""
    replaced = "sdk|app_file|sdk_version" if sdk == "static" else "sdk|app_file"
    head = re.sub(rf"^({replaced}):.*\n", "", card.head, flags=re.MULTILINE)
    body = re.sub(load, lambda call: f"{call[1]}{call[2]}{repo}{call[2]}", card.body)
    return _Card(f"{head}sdk: {sdk}\napp_file: {_PAGES[sdk]}\n", body)


def _html(card: _Card, repo: str, requirements: str) -> str:
    """The card as one page that sends no request to another host."""
    environment = templates(Path(__file__).parent, is_html=True)
    markdown = MarkdownIt("js-default").disable("image")  # an image is a link then, and HTML is text
    body = re.sub(r"\A\s*# .*\n", "", card.body)  # the page has a title of its own
    return environment.get_template("space.html.jinja").render(
        repo=repo,
        title=card.about.get("title", repo),
        description=card.about.get("description", ""),
        needs=[line for line in requirements.splitlines() if line.strip() and not line.startswith("#")],
        card=re.sub(r"\s+</code></pre>", "</code></pre>", markdown.render(body)),  # a doctest ends with an empty line
    )
