"""The page of the Space giqa_grounding: one prediction against one reference."""

import gradio as gr

from giqa_datasets.errors import InputError
from giqa_metrics import giqa_grounding
from giqa_metrics.spaces.page import box_formats, page


def score(prediction, reference, box_format, similarity, iou_threshold, similarity_threshold):
    """Scores the boxes in grounded text against those of a reference; objects are matched one to one by IoU."""
    scores = giqa_grounding(
        [prediction],
        [reference],
        box_format=box_format,
        similarity=similarity,
        iou_threshold=iou_threshold,
        similarity_threshold=similarity_threshold,
        per_sample=True,
    )
    if not scores["n_counted"]:
        raise InputError(f"expected a box in the reference, as in [dog](<142, 309>), got {reference!r}")
    return scores


inputs = [
    gr.Textbox(label="Prediction", lines=3),
    gr.Textbox(label="Reference", lines=3),
    box_formats(),
    gr.Dropdown(["minilm", "lexical"], value="minilm", label="Similarity of names"),
    gr.Slider(0, 0.95, value=0.5, step=0.05, label="IoU above"),
    gr.Slider(0, 0.95, value=0.5, step=0.05, label="Similarity above"),
]
examples = [
    ["The [cup](<3, 254>) is blurred, the [saucer](<9", "The [cup](<5, 254>) is blurred.", "giqa", "minilm", 0.5, 0.5],
    ["[candle](<33, 354>)", "[candles](<33, 354>, <22, 324>)", "giqa", "lexical", 0.5, 0.5],
    ["[tower](<0.75, 0.05, 1.00, 0.80>)", "A sharp [tower](<35, 319>).", "giqa_decimal", "lexical", 0.5, 0.5],
]
app = page("giqa_grounding", score, inputs, examples)

if __name__ == "__main__":
    app.launch()
