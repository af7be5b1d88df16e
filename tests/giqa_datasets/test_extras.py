"""Optional packages, and models of strangers: nothing that comes with one is run."""

import re

import pytest

from giqa_datasets.extras import loading, pretrained
from tests.paths import ROOT


LOADS = re.compile(r"\.from_pretrained\(|\btorch\.load\(|\bnp\.load\(|\bpickle\.loads?\(|\bjoblib\b|allow_pickle")
# Where one may stand: the one loader, and what Ray's workers send each other
ALLOWED = {"giqa_datasets/extras.py": 2, "giqa_datasets/pipeline/ray_engine.py": 1}


def test_models_are_loaded_in_one_place():
    found = {}
    for package in ("giqa_datasets", "giqa_metrics"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if count := len(LOADS.findall(path.read_text(encoding="utf-8"))):
                found[path.relative_to(ROOT).as_posix()] = count
    assert found == ALLOWED


def test_pickled_weights_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "training_args.bin").write_bytes(b"")  # what a trainer leaves beside them
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    said = r"holds pickled weights \(pytorch_model\.bin\), which could run code"
    with pytest.raises(OSError, match=said), loading("no model"):
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
        with pytest.raises(OSError, match="no model"), loading("no model"):
            pretrained(kind, str(tmp_path), has_weights=has_weights)
    assert not (tmp_path / "ran").exists()
