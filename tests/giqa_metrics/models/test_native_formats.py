"""The families whose box format is known, and what is said of the others."""

import pytest

from giqa_datasets.formats import FORMATS
from giqa_metrics.models.native_formats import NATIVE, hint_at_native, native_format


OUTSIDE = {"mplug_owl2", "internvl_chat", "kimi_vl", "deepseek_vl_v2", "minicpmv"}  # of their authors' own code


def test_every_family_is_one_of_transformers_and_its_format_one_of_ours():
    theirs = pytest.importorskip("transformers.models.auto.configuration_auto").CONFIG_MAPPING_NAMES
    assert set(NATIVE) - set(theirs) == OUTSIDE
    assert set(NATIVE.values()) <= set(FORMATS)


def test_a_family_of_which_no_format_is_known_is_told_from_one_that_learns_giqas():
    assert (native_format("llava"), native_format("smolvlm"), native_format("")) == ("giqa", None, None)


@pytest.mark.parametrize(
    ("model_type", "hint"),
    [
        ("glm4v_moe", "hint: unless it was trained on GIQA, a glm4v_moe writes boxes as --box-format glm_v; "),
        ("smolvlm", "hint: no box format of a smolvlm is known, and giqa doctor finds out which it writes; "),
    ],
)
def test_the_hint_says_what_is_known(model_type, hint, tmp_path, caplog):
    told = {"box_format": "giqa", "given": None}
    hint_at_native(str(tmp_path), model_type, **told)
    assert caplog.messages == [hint + "this run says giqa"]
    hint_at_native(str(tmp_path), "llava", **told)
    hint_at_native(str(tmp_path), None, **told)
    hint_at_native(str(tmp_path), model_type, box_format="giqa", given="giqa")
    hint_at_native(str(tmp_path), model_type, box_format="ferret", given=None)
    (tmp_path / "box_format.json").write_text("{}")
    hint_at_native(str(tmp_path), model_type, **told)
    assert len(caplog.messages) == 1
