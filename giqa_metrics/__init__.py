"""Metrics for grounded image quality assessment: boxes, descriptions and short answers."""

from pathlib import Path
from typing import TYPE_CHECKING

from giqa_metrics.description import description
from giqa_metrics.grounding import grounding
from giqa_metrics.vqa import vqa


if TYPE_CHECKING:
    import evaluate

__all__ = ["METRICS", "description", "grounding", "load", "vqa"]

METRICS = ("giqa_grounding", "giqa_description", "giqa_vqa")


def load(name: str) -> "evaluate.EvaluationModule":
    """Load one of the `METRICS` as an `evaluate` module, from the installed package: no network, no set-up.

    Raises:
        ValueError: If there is no metric of that name.
    """
    import evaluate

    if name not in METRICS:
        raise ValueError(f"expected a metric out of {METRICS}, got {name!r}")
    return evaluate.load(str(Path(__file__).parent / "spaces" / name))
