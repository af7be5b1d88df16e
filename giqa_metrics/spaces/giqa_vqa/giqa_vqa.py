"""The module that `evaluate.load("giqa_vqa")` loads; the metric itself is `giqa_metrics.vqa`."""

import evaluate

from giqa_metrics.spaces import text_metric  # From: giqa
from giqa_metrics.vqa import giqa_vqa  # From: giqa


class GiqaVqa(text_metric.TextMetric, evaluate.Metric):
    """Accuracy of short answers about image quality; README.md is the card."""

    inputs = ("predictions", "references", "questions", "question_types")

    def _compute(
        self,
        predictions,
        references,
        questions,
        question_types,
        box_format="giqa",
        judge=None,
        per_sample=False,
        **others,  # evaluate.combine hands over what its other modules ask for
    ):
        return giqa_vqa(
            predictions,
            references,
            questions,
            question_types,
            box_format=box_format,
            judge=judge,
            per_sample=per_sample,
        )
