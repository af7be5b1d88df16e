"""Metrics for grounded image quality assessment: boxes, descriptions, short answers and defects."""

from pathlib import Path
from typing import TYPE_CHECKING

from giqa_datasets.lazy import lazy_names


if TYPE_CHECKING:
    import evaluate

    from giqa_metrics.defects import giqa_defects
    from giqa_metrics.description import giqa_description
    from giqa_metrics.grounding import giqa_grounding
    from giqa_metrics.inspection import Policy, inspect_photographs
    from giqa_metrics.judges import open_judge
    from giqa_metrics.runs.score import score_run as score
    from giqa_metrics.vqa import giqa_vqa
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Policy": "inspection",
            "giqa_defects": "defects",
            "giqa_description": "description",
            "giqa_grounding": "grounding",
            "giqa_vqa": "vqa",
            "inspect_photographs": "inspection",
            "open_judge": "judges",
            "score": "runs.score:score_run",
        },
    )

__all__ = [
    "METRICS",
    "Policy",
    "giqa_defects",
    "giqa_description",
    "giqa_grounding",
    "giqa_vqa",
    "inspect_photographs",
    "load",
    "open_judge",
    "score",
]

METRICS = ("giqa_grounding", "giqa_description", "giqa_vqa", "giqa_defects")


def load(name: str) -> "evaluate.EvaluationModule":
    """Load one of the `METRICS` as an `evaluate` module, from the installed package: no network, no set-up.

    Raises:
        ValueError: If there is no metric of that name.
    """
    import evaluate

    from giqa_datasets.errors import InputError

    if name not in METRICS:
        raise InputError(f"expected a metric out of {METRICS}, got {name!r}")
    return evaluate.load(str(Path(__file__).parent / "spaces" / name))
