"""The module that `evaluate.load("giqa_grounding")` loads; the metric itself is `giqa_metrics.grounding`."""

import datasets
import evaluate

from giqa_metrics.grounding import giqa_grounding  # From: giqa


class GiqaGrounding(evaluate.Metric):
    """mIoU, Tag-Recall, precision and F1 of grounded text; README.md is the card."""

    def _info(self):
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="arXiv 2411.17237",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def add_batch(self, *, predictions=None, references=None, **inputs):
        """Add texts; None is no answer. (evaluate tells the types by the first row, where None would be refused.)"""
        predictions, references = ([text or "" for text in texts] for texts in (predictions, references))
        super().add_batch(predictions=predictions, references=references, **inputs)

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
