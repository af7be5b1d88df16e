"""The box format that a family of models writes of its own accord, by the `model_type` of its transformers config.

A family without one learns GIQA's own. So does LLaVA here, although it can be asked for boxes: the paper trains it on
GIQA text, and its `model_type` is shared by models that never saw a box.
"""

import logging
from pathlib import Path

from giqa_metrics.models.box_format_file import NAME


NATIVE = {
    "internvl": "internvl",
    "kosmos-2": "kosmos2",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
}

logger = logging.getLogger(__name__)


def native_format(model_type: str) -> str:
    """Give the name of the box format that models of a type know, `giqa` where none is known.

    Example:
        >>> native_format("qwen3_vl"), native_format("llava")
        ('qwen3_vl', 'giqa')
    """
    return NATIVE.get(model_type, "giqa")


def hint_at_native(model: str, model_type: str | None, box_format: str, *, given: str | None) -> None:
    """Log that a model's family writes boxes in a format of its own, where nobody said which one the model writes.

    Args:
        model: Its folder, or its name.
        model_type: Of its transformers config, where that is known.
        box_format: What its boxes are read as.
        given: What the user said of it.
    """
    native = native_format(model_type or "")
    if box_format == "giqa" != native and given is None and not (Path(model) / NAME).is_file():
        hint = "hint: unless it was trained on GIQA, a %s writes boxes as --box-format %s; this run says giqa"
        logger.warning(hint, model_type, native)
