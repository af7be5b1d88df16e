"""The box format that a family of models writes of its own accord, by the `model_type` of its transformers config.

Three answers: a format; `giqa` where the paper trains the family on GIQA text; none where no form is known, or none is
text (Molmo's points). LLaVA is of the second kind, although it can be asked for boxes: its `model_type` is shared by
models that never saw a box.
"""

import logging
from pathlib import Path

from giqa_metrics.models.box_format_file import NAME


NATIVE = {
    "llava": "giqa",
    "llava_next": "giqa",
    "mplug_owl2": "giqa",
    "florence2": "florence2",
    "glm46v": "glm_v",
    "glm4v": "glm_v",
    "glm4v_moe": "glm_v",
    "internvl": "internvl",
    "internvl_chat": "internvl",  # its authors' own code, as are kimi_vl, deepseek_vl_v2 and minicpmv
    "kosmos-2": "kosmos2",
    "paligemma": "paligemma",
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
    "qwen3_5": "qwen3_vl",
    "qwen3_5_moe": "qwen3_vl",
    "qwen4_exp": "qwen3_vl",
    "kimi_vl": "kimi_vl",
    "deepseek_vl_v2": "deepseek_vl2",
    "minicpmv": "minicpm_v",
    # Second-hand: others say so of Gemma, its authors do not
    "gemma3": "gemini",
    "gemma4": "gemini",
    "gemma4_unified": "gemini",
}

logger = logging.getLogger(__name__)


def native_format(model_type: str) -> str | None:
    """Give the name of the box format that models of a type know, None where none is known.

    Example:
        >>> native_format("qwen3_vl"), native_format("llava"), native_format("smolvlm")
        ('qwen3_vl', 'giqa', None)
    """
    return NATIVE.get(model_type)


def hint_at_native(model: str, model_type: str | None, box_format: str, *, given: str | None) -> None:
    """Log that a model's family writes boxes in a format of its own, or that none is known of it.

    Nothing is logged where somebody said which one the model writes, or its type is not known.

    Args:
        model: Its folder, or its name.
        model_type: Of its transformers config, where that is known.
        box_format: What its boxes are read as.
        given: What the user said of it.
    """
    if model_type is None or box_format != "giqa" or given is not None or (Path(model) / NAME).is_file():
        return
    native = native_format(model_type)
    if native is None:
        hint = "hint: no box format of a %s is known, and giqa doctor finds out which it writes; this run says giqa"
        logger.warning(hint, model_type)
    elif native != "giqa":
        hint = "hint: unless it was trained on GIQA, a %s writes boxes as --box-format %s; this run says giqa"
        logger.warning(hint, model_type, native)
