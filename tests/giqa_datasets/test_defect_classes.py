"""One name for every class of defects: what the sets, the pipeline and `giqa inspect` call the same."""

import json

import pytest

from giqa_datasets.defect_classes import DEFECT_CLASSES, SEVERITIES, class_and_severity, defect_class, severity
from giqa_datasets.distortions import DISTORTIONS
from giqa_datasets.pipeline.backends.quality_words import quality_words
from giqa_metrics.inspection.defect_words import KINDS
from tests.paths import ROOT


TABLE = json.loads((ROOT / "giqa_datasets" / "defect_classes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("key", TABLE)
def test_a_spelling_stands_once_and_in_plain_lower_case(key):
    spellings = [spelling for name, others in TABLE[key].items() for spelling in (name, *others)]
    assert len(spellings) == len(set(spellings))
    assert all(spelling == " ".join(spelling.lower().replace("-", " ").split()) for spelling in spellings)


def test_every_spelling_is_read_in_any_case_and_with_any_space():
    for name, others in TABLE["classes"].items():
        for spelling in (name, *others):
            forms = (
                spelling,
                spelling.title(),
                spelling.replace(" ", "_"),
                f" {spelling.upper()}. ",
                f"An issue({spelling})",
            )
            assert {defect_class(form) for form in forms} == {name}, spelling
    for name, others in TABLE["severities"].items():
        assert {severity(each) for form in (name, *others) for each in (form, f"{form.title()}.")} == {name}


@pytest.mark.parametrize(
    ("raw", "is_read_as"),
    [
        ("low-level-Edge_Shape", "low-level-edge_shape"),
        ("  Lens   flare ", "lens flare"),
        ("Noise (lens flare)", "noise (lens flare)"),
        ("", ""),
        ("()", "()"),
        ("噪点", "噪点"),
    ],
)
def test_an_unknown_class_keeps_its_words(raw, is_read_as):
    assert defect_class(raw) == is_read_as


def test_a_phrase_without_a_severity_or_without_a_class_has_none():
    assert class_and_severity("severe  edge Aliasing effect") == ("edge aliasing effect", "severe")
    assert class_and_severity("strongly lit") == ("strongly lit", "")
    assert class_and_severity("Minor") == ("", "minor")
    assert class_and_severity("") == ("", "")


def test_our_own_words_map_where_they_mean_the_same():
    known = {kind: defect_class(kind) for kind in KINDS if defect_class(kind) in DEFECT_CLASSES}
    assert known == {
        "motion_blur": "motion blur",
        "compression": "compression",
        "banding": "banding effect",
        "noise": "noise",
        "overexposure": "overexposure",
        "darkness": "underexposure",
    }
    praise = [word for word, its in quality_words().items() if its.effect == "positive"]
    assert praise
    assert not [word for word in praise if defect_class(word) in DEFECT_CLASSES]
    assert {defect_class(word) for word in ("grainy", "blocky", "out of focus", "dark", "burnt out")} == {
        "noise",
        "blocking artifacts",
        "out of focus blur",
        "underexposure",
        "overexposure",
    }
    assert {name for name in DISTORTIONS if defect_class(name) in DEFECT_CLASSES} == {
        "gaussian_noise",
        "darken",
        "overexpose",
    }
    assert SEVERITIES == ("minor", "moderate", "severe")
