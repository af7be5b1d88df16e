"""The module that `evaluate.load("giqa_grounding")` loads; the metric itself is `giqa_metrics.grounding`."""

import evaluate

from giqa_metrics.grounding import giqa_grounding  # From: giqa
from giqa_metrics.spaces import text_metric  # From: giqa


class GiqaGrounding(text_metric.TextMetric, evaluate.Metric):
    """mIoU, Tag-Recall, precision and F1 of grounded text; README.md is the card."""

    def _compute(
        self,
        predictions,
        references,
        box_format="giqa",
        image_sizes=None,
        input_sizes=None,
        similarity=None,
        iou_threshold=0.5,
        similarity_threshold=0.5,
        preset="paper",
        exact_references=None,
        per_sample=False,
        **others,  # evaluate.combine hands over what its other modules ask for
    ):
        return giqa_grounding(
            predictions,
            references,
            box_format=box_format,
            image_sizes=image_sizes,
            input_sizes=input_sizes,
            similarity=similarity,
            iou_threshold=iou_threshold,
            similarity_threshold=similarity_threshold,
            preset=preset,
            exact_references=exact_references,
            per_sample=per_sample,
        )
