import json
from dataclasses import replace

import pytest

from giqa_datasets.pipeline.backends.classic_verifier import ClassicVerifier
from giqa_datasets.pipeline.backends.coco_detector import CocoDetector
from giqa_datasets.pipeline.backends.region_detector import RegionDetector
from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger
from giqa_datasets.pipeline.backends.template_asker import TemplateAsker
from giqa_datasets.pipeline.model_choice import PRESETS, Choice, OpenModels
from giqa_datasets.pipeline.stages import Rules


CHOICES = [
    Choice(),
    PRESETS["paper"],
    Choice("m", "http://127.0.0.1:1/v1", "d", "v", 0.1, 0.2, Rules(0.3, 0.4, 5), "cpu"),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_settings_are_read_back_but_for_where_models_run(choice):
    settings = json.loads(json.dumps(choice.settings()))
    assert Choice.of_settings(settings) == replace(choice, llm_url=None, device=None)


@pytest.mark.parametrize("missing", ["llm", "verifier", "merge_area", "seed"])
def test_settings_that_lack_something_are_refused_by_its_name(missing):
    settings = Choice().settings()
    del settings[missing]
    with pytest.raises(ValueError, match=f"got none for '{missing}'"):
        Choice.of_settings(settings)


def test_every_prompt_pool_and_list_of_words_is_versioned():
    assert {
        "tag.v1.txt",
        "tag.v2.txt",
        "ask.v1.txt",
        "ask.v2.txt",
        "verify.v1.txt",
        "des_questions.v1.txt",
        "no_objects.v3.txt",
        "quality_words.json",
        "clause_words.json",
        "coco_words.json",
    } <= set(Choice().settings()["files"])


@pytest.mark.parametrize(
    "change",
    [
        {"box_threshold": 1.1},
        {"text_threshold": -0.1},
        {"rules": Rules(merge_area=2)},
        {"rules": Rules(merge_coverage=float("nan"))},
    ],
)
def test_a_threshold_is_a_share(change):
    with pytest.raises(ValueError, match=r"expected \w+ from 0 to 1, got"):
        replace(Choice(), **change)


def test_a_server_needs_the_name_of_its_model():
    with pytest.raises(ValueError, match=r"expected an LLM by the name under which http://127\.0\.0\.1:1/v1 knows it"):
        Choice(llm_url="http://127.0.0.1:1/v1")


def test_the_offline_models_are_opened_once_each():
    models = OpenModels(Choice())
    kinds = {"tagger": SpacyTagger, "detector": RegionDetector, "verifier": ClassicVerifier, "asker": TemplateAsker}
    for role, kind in kinds.items():
        assert isinstance(getattr(models, role), kind)
        assert getattr(models, role) is getattr(models, role)


def test_the_offline_detector_is_named_and_its_rules_are_switched_off_by_a_word():
    assert Choice().settings()["detector"] == Choice(detector="offline").settings()["detector"] == "coco+regions"
    assert "region_words.json" in Choice().settings()["files"]
    assert isinstance(OpenModels(Choice(detector="coco")).detector, CocoDetector)


def test_a_model_that_cannot_be_had_is_named_when_it_is_asked_for(tmp_path):
    models = OpenModels(Choice(llm="no/llm", detector=str(tmp_path), verifier="no/verifier"))
    for role, name in (("tagger", "no/llm"), ("detector", str(tmp_path)), ("verifier", "no/verifier")):
        with pytest.raises(OSError, match=name):
            getattr(models, role)


def test_a_language_model_runs_on_the_device_of_the_choice(tiny_llama):
    models = OpenModels(Choice(llm=str(tiny_llama), device="meta"))
    assert models.tagger._backend._network.device.type == "meta"  # type: ignore[attr-defined]
    assert models.asker._backend is models.tagger._backend  # type: ignore[attr-defined]
