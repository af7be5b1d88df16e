"""The page of the Space giqa_description: one description against one reference."""

import gradio as gr

from giqa_datasets.errors import InputError
from giqa_metrics import giqa_description
from giqa_metrics.spaces.page import box_formats, page


def score(prediction, reference, box_format, tokenize):
    """Scores a description of image quality, boxes stripped; LLM-Score needs a judge, and this page has none."""
    if not reference.strip():
        raise InputError("expected a reference, got an empty text")
    return giqa_description([prediction], [reference], box_format=box_format, tokenize=tokenize)


inputs = [
    gr.Textbox(label="Prediction", lines=3),
    gr.Textbox(label="Reference", lines=3),
    box_formats(),
    gr.Radio(["coco", "13a"], value="coco", label="Tokenisation"),
]
examples = [
    ["The tower is very sharp today.", "The [tower](<35, 319>) is very sharp today.", "giqa", "coco"],
    ["The [tower](<35, 319>) is sharp, the sky noisy.", "The tower is sharp, but the sky is noisy.", "giqa", "13a"],
]
app = page("giqa_description", score, inputs, examples)

if __name__ == "__main__":
    app.launch()
