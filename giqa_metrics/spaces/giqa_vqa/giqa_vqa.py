"""The module that `evaluate.load("giqa_vqa")` loads; the metric itself is `giqa_metrics.vqa`."""

import datasets
import evaluate

from giqa_metrics.vqa import giqa_vqa  # From: giqa


class GiqaVqa(evaluate.Metric):
    """Accuracy of short answers about image quality; README.md is the card."""

    def _info(self):
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="arXiv 2411.17237",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Value("string"),
                    "questions": datasets.Value("string"),
                    "question_types": datasets.Value("string"),
                }
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
