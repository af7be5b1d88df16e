"""What the scripts share, named through this module: evaluate takes a script's first metric for its own."""

import datasets
import evaluate

from giqa_metrics.inputs import texts_of


class TextMetric(evaluate.Metric):
    """A metric of texts, described by its docstring; README.md is the card."""

    inputs = ("predictions", "references")

    def _info(self):
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="arXiv 2411.17237",
            features=datasets.Features({name: datasets.Value("string") for name in self.inputs}),
        )

    def add_batch(self, *, predictions=None, references=None, **inputs):
        """Add texts; None is no answer. (evaluate tells the types by the first row, where None would be refused.)"""
        columns = {"predictions": predictions, "references": references} | inputs
        super().add_batch(**{name: [text or "" for text in texts_of(name, columns[name])] for name in columns})

    def add(self, *, prediction=None, reference=None, **inputs):
        """Add one sample; None is no answer."""
        texts = {"prediction": prediction, "reference": reference} | inputs
        super().add(**{name: texts_of(name, [text])[0] or "" for name, text in texts.items()})
