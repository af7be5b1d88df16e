"""A name on a loopback Hub: asked for once where it has none or hangs up, and then the cache's copy is loaded."""

import pytest

from .releases import REPO, committed
from .repos import Repo


pytestmark = pytest.mark.slow

BEGIN = """
from giqa_datasets.loading import loading
from giqa_metrics.runs.files import load_split
from huggingface_hub import hf_hub_download
def fetched(name):
    with loading("encoder", name, others=["minilm"]):
        return open(hf_hub_download(name, "config.json")).read()
0
"""


@pytest.fixture
def fetched(hub, client):
    """Fetch a file of a model within its loading."""
    client(BEGIN)
    hub.repos["models/org/encoder"] = Repo("models", "org/encoder")
    committed(hub, {"config.json": b"{}"}, key="models/org/encoder")
    return lambda name: client("fetched(name)", name=name)


def test_a_name_that_the_hub_has_not_is_asked_for_once(hub, fetched, raised):
    assert fetched("org/encoder") == "{}"
    hub.requests.clear()
    with pytest.raises(raised, match=r"encoder 'org/encodr' .* the Hub has none, .*; nearest: 'org/encoder'$"):
        fetched("org/encodr")
    assert [asked.route for asked in hub.requests] == ["info"]


@pytest.mark.parametrize("how", ["drop", "cut"])
def test_a_hub_that_hangs_up_is_asked_once_and_the_cached_copy_is_loaded(hub, fetched, raised, how):
    assert fetched("org/encoder") == "{}"
    hub.requests.clear()
    hub.fail("", how, 99)
    assert fetched("org/encoder") == "{}"
    with pytest.raises(raised, match=r"'minilm/none' .*: the Hub cannot be reached"):
        fetched("minilm/none")
    assert len(hub.requests) == 2


def test_a_set_that_was_loaded_before_is_loaded_from_a_hub_that_hangs_up(hub, client, giqa, folder):
    client(BEGIN)
    giqa("publish", folder, "org/set")
    rows = client("len(load_split('org/set', None, 'test'))")
    hub.requests.clear()
    hub.fail("", "drop", 99)
    assert client("len(load_split('org/set', None, 'test'))") == rows
    assert [asked.path for asked in hub.requests] == [f"/api/{REPO}"]
