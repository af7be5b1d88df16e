"""Grounded image quality assessment: the text format, the annotation pipeline and the data set builders."""

from typing import TYPE_CHECKING

from giqa_datasets.lazy import lazy_names


if TYPE_CHECKING:
    from giqa_datasets.errors import GiqaError
    from giqa_datasets.formats import FORMATS, Sizes, box_format
    from giqa_datasets.regions import Region
    from giqa_datasets.reply import GroundedReply, read
    from giqa_datasets.text import GroundedText, Malformed, parse, render, strip
else:
    __getattr__ = lazy_names(
        __name__,
        {
            **dict.fromkeys(("FORMATS", "Sizes", "box_format"), "formats"),
            **dict.fromkeys(("GroundedText", "Malformed", "parse", "render", "strip"), "text"),
            "GiqaError": "errors",
            "GroundedReply": "reply",
            "Region": "regions",
            "read": "reply",
        },
    )

__version__ = "0.1.0"

__all__ = [
    "FORMATS",
    "GiqaError",
    "GroundedReply",
    "GroundedText",
    "Malformed",
    "Region",
    "Sizes",
    "__version__",
    "box_format",
    "parse",
    "read",
    "render",
    "strip",
]
