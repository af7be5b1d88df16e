"""A metric on the Hub as `giqa publish` puts it there, loaded by the real evaluate."""

from importlib.metadata import version
from pathlib import Path

import pytest

import giqa_metrics
from giqa_metrics import METRICS
from giqa_metrics.publish.space import refused_tag


pytestmark = pytest.mark.slow


SPACES = Path(giqa_metrics.__file__).parent / "spaces"
PUBLISH = """
from pathlib import Path
from giqa_datasets.publish.hub import publish as commit
from giqa_datasets.publish.plan import plan
from giqa_datasets.publish.remote import look
from giqa_metrics.publish.space import space_release
published = commit(plan(look(repo, "space"), space_release(Path(folder), repo, sdk=sdk)))
published._asdict()
"""
LOAD = "import evaluate; evaluate.load(repo).name"


@pytest.fixture
def publish(client):
    """Publish one of our metrics; what came of it."""
    return lambda repo, sdk="static": client(PUBLISH, folder=SPACES / Path(repo).name, repo=repo, sdk=sdk)


def asked_for(hub) -> list[str]:
    """The revisions and files that were asked for, in order."""
    return [a.path.rpartition("/resolve/")[2] for a in hub.requests if a.method == "HEAD"]


@pytest.mark.parametrize("name", METRICS)
def test_evaluate_loads_what_was_published_and_the_cards_example_runs(hub, client, publish, tmp_path, name):
    publish(f"org/{name}")
    assert hub.files(f"spaces/org/{name}")[f"{name}.py"] == (SPACES / name / f"{name}.py").read_bytes()
    hub.requests.clear()
    card = tmp_path / "README.md"
    card.write_bytes(hub.files(f"spaces/org/{name}")["README.md"])
    example = "import doctest; tuple(doctest.testfile(card, module_relative=False, encoding='utf-8'))"
    failed, attempted = client(example, card=card)
    assert (failed, attempted) == (0, 4)
    assert set(asked_for(hub)) == {f"v{version('evaluate')}/{name}.py", f"main/{name}.py"}


def test_a_static_space_becomes_one_with_an_app_and_back(hub, publish):
    first = publish("org/giqa_vqa")
    assert next(a for a in hub.requests if a.route == "create_repo").json["sdk"] == "static"
    static = hub.files("spaces/org/giqa_vqa")
    assert set(static) == {".gitattributes", "giqa_vqa.py", "README.md", "requirements.txt", "index.html"}
    assert publish("org/giqa_vqa") == first | {"is_new": False}
    publish("org/giqa_vqa", "gradio")
    assert set(hub.files("spaces/org/giqa_vqa")) == {*static, "app.py"} - {"index.html"}
    publish("org/giqa_vqa")
    assert hub.files("spaces/org/giqa_vqa") == static
    assert len(list(hub.repos["spaces/org/giqa_vqa"].commit("main").history())) == 4


def test_without_giqa_evaluate_says_what_to_install(client, publish, raised):
    publish("new/giqa_vqa")  # and never loaded: evaluate would fall back on what it has
    hide = "import sys; from unittest.mock import patch; hidden = patch.dict(sys.modules, giqa_metrics=None)"
    with pytest.raises(raised, match=r"\['giqa_metrics'\] using 'pip install giqa' for instance"):
        client(f"{hide}; import evaluate; hidden(evaluate.load)('new/giqa_vqa').name")
    assert client(LOAD, repo="new/giqa_vqa") == "giqa_vqa"


def test_a_tag_of_evaluates_version_hides_what_is_published_later(hub, client, publish):
    publish("org/giqa_vqa")
    tag = f"v{version('evaluate')}"
    assert refused_tag(tag)
    client("api.create_tag(repo, tag=tag, repo_type='space')", repo="org/giqa_vqa", tag=tag)
    hub.requests.clear()
    assert client(LOAD, repo="org/giqa_vqa") == "giqa_vqa"
    assert set(asked_for(hub)) == {f"{tag}/giqa_vqa.py"}
