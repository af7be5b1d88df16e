"""The box format that a family of models writes of its own accord, by the `model_type` of its transformers config.

A family without one learns GIQA's own. So does LLaVA here, although it can be asked for boxes: the paper trains it on
GIQA text, and its `model_type` is shared by models that never saw a box.
"""

NATIVE = {
    "internvl": "internvl",
    "kosmos-2": "kosmos2",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
}


def native_format(model_type: str) -> str:
    """Give the name of the box format that models of a type know, `giqa` where none is known.

    Example:
        >>> native_format("qwen3_vl"), native_format("llava")
        ('qwen3_vl', 'giqa')
    """
    return NATIVE.get(model_type, "giqa")
