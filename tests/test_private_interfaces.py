"""Every private interface that we lean on is where it was, and does what we lean on; the failing test names it."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from giqa_datasets import private_interfaces
from tests.paths import ROOT


pytestmark = pytest.mark.slow


def test_huggingface_hub_makes_a_client_whose_time_can_be_set():
    with private_interfaces.hub_client() as client:
        client.timeout = 3.0
        assert client.timeout.read == 3.0


def test_huggingface_hub_tells_a_repos_name():
    assert private_interfaces.is_repo_id("org/name")
    assert not private_interfaces.is_repo_id("org/na me")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_huggingface_hub_finds_a_cards_yaml_in_three_groups(newline):
    card = newline.join(["---", "license: mit", "---", "# Text", ""])
    found = private_interfaces.card_front_matter().search(card)
    assert "".join(found.groups()[:3]) == found.group() == card[: found.end()]
    assert found[2] == "license: mit"


def test_datasets_loads_by_a_bare_name_what_lies_in_its_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "test.parquet")
    shards = {"test": [str(tmp_path / "test.parquet")]}
    private_interfaces.fill_dataset_cache("MyToy", "mark", shards)
    entry = private_interfaces.dataset_cache("MyToy", "mark")
    assert entry.parts[-4:] == ("my_toy", "default", "0.0.0", "mark")
    assert [path.name for path in entry.glob("*.arrow")] == ["my_toy-test.arrow"]
    assert (entry / "dataset_info.json").is_file()


def test_evaluate_loads_by_a_bare_name_what_lies_in_its_cache(tmp_path, monkeypatch):
    import evaluate.config

    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path[:])  # where evaluate adds the folder, for later loads to look in
    entry = private_interfaces.metric_cache("some_metric", "0" * 64)
    assert entry == tmp_path / "evaluate_modules" / "metrics" / "evaluate-metric--some_metric" / ("0" * 64)


def test_transformers_says_whether_a_model_has_a_file(tmp_path):
    (tmp_path / "processor_config.json").write_text("{}")
    assert private_interfaces.is_in_model(str(tmp_path), "processor_config.json")
    assert not private_interfaces.is_in_model(str(tmp_path), "tokenizer.json")


def test_transformers_tells_an_adapter(tmp_path):
    assert not private_interfaces.is_adapter(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    assert private_interfaces.is_adapter(str(tmp_path))


@pytest.mark.parametrize(("trainer", "name"), [("sft", "sft_full"), ("grpo", "grpo")])
def test_trl_and_accelerate_read_a_recipe(trainer, name):
    parser, launcher, resolve = private_interfaces.trl_parsers(trainer)
    recipe = ROOT / "recipes" / "tiny" / f"{name}.yaml"
    here = ("--use_cpu", "true", "--bf16", "false", "--fp16", "false", "--tf32", "false")
    script, _, model, *_, unknown, _ = parser.parse_args_and_config(
        ["--config", str(recipe), *here], return_remaining_strings=True, separate_remaining_strings=True
    )
    assert script.dataset_name == "giqa-tiny"
    assert model.model_name_or_path
    launcher.parse_args([*resolve(unknown), "script.py"])


def test_trl_collates_pictures_and_text_with_the_settings_that_a_check_gives():
    settings = {"pad_to_multiple_of": None, "dataset_text_field": "text", "assistant_only_loss": False}
    collator = private_interfaces.sft_collator(processor=None, max_length=9, completion_only_loss=True, **settings)
    assert callable(collator)
    assert collator.max_length == 9  # type: ignore[attr-defined]


def test_gradio_gives_what_a_page_sent():
    gradio = pytest.importorskip("gradio")
    assert private_interfaces.event_values(gradio.EventData(None, {"number": 3})) == {"number": 3}


def test_gradio_keeps_a_file_where_it_serves_it(tmp_path):
    pytest.importorskip("gradio")
    path = private_interfaces.into_gradio_cache(b"png", "mask.png", str(tmp_path))
    assert path.name == "mask.png"
    assert tmp_path in path.parents
    assert path.read_bytes() == b"png"
