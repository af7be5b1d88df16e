"""The module that `evaluate.load("giqa_description")` loads; the metric itself is `giqa_metrics.description`."""

import evaluate

from giqa_metrics.description import giqa_description  # From: giqa
from giqa_metrics.spaces import text_metric  # From: giqa


class GiqaDescription(text_metric.TextMetric, evaluate.Metric):
    """BLEU@4 and LLM-Score of quality descriptions, boxes stripped; README.md is the card."""

    def _compute(
        self,
        predictions,
        references,
        box_format="giqa",
        judge=None,
        tokenize="coco",
        per_sample=False,
        **others,  # evaluate.combine hands over what its other modules ask for
    ):
        return giqa_description(
            predictions, references, box_format=box_format, judge=judge, tokenize=tokenize, per_sample=per_sample
        )
