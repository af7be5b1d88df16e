"""Grounded image quality assessment: the text format, the annotation pipeline and the data set builders."""

from giqa_datasets.errors import GiqaError
from giqa_datasets.text import GroundedText, Malformed, Region, parse, render, strip


__version__ = "0.1.0"

__all__ = ["GiqaError", "GroundedText", "Malformed", "Region", "__version__", "parse", "render", "strip"]
