"""The module that `evaluate.load("giqa_description")` loads; the metric itself is `giqa_metrics.description`."""

import datasets
import evaluate

from giqa_metrics.description import giqa_description  # From: giqa


class GiqaDescription(evaluate.Metric):
    """BLEU@4 and LLM-Score of quality descriptions, boxes stripped; README.md is the card."""

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
        judge=None,
        tokenize="coco",
        per_sample=False,
        **others,  # evaluate.combine hands over what its other modules ask for
    ):
        return giqa_description(
            predictions, references, box_format=box_format, judge=judge, tokenize=tokenize, per_sample=per_sample
        )
