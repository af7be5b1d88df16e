"""The module that `evaluate.load("giqa_defects")` loads; the metric itself is `giqa_metrics.defects`."""

import evaluate

from giqa_metrics.defects import giqa_defects  # From: giqa
from giqa_metrics.spaces import text_metric  # From: giqa


class GiqaDefects(text_metric.TextMetric, evaluate.Metric):
    """Which defects, where, and how bad: average precision, classes and severities; README.md is the card."""

    def _compute(
        self,
        predictions,
        references,
        box_format="giqa",
        image_sizes=None,
        input_sizes=None,
        objects=None,
        candidates=None,
        concerns=None,
        images=None,
        preset="giqa",
        iou_threshold=0.5,
        per_sample=False,
        **others,  # evaluate.combine hands over what its other modules ask for
    ):
        return giqa_defects(
            predictions,
            references,
            box_format=box_format,
            image_sizes=image_sizes,
            input_sizes=input_sizes,
            objects=objects,
            candidates=candidates,
            concerns=concerns,
            images=images,
            preset=preset,
            iou_threshold=iou_threshold,
            per_sample=per_sample,
        )
