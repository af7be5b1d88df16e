"""The page of the Space giqa_defects: one answer against one reference."""

import gradio as gr

from giqa_datasets.errors import InputError
from giqa_metrics import giqa_defects
from giqa_metrics.spaces.page import box_formats, page


def score(prediction, reference, box_format, iou_threshold):
    """Scores the defects that an answer names, each with its box, class and severity, against those of a reference."""
    scores = giqa_defects(
        [prediction], [reference], box_format=box_format, iou_threshold=iou_threshold, per_sample=True
    )
    if not scores["n_reference"] and not scores["n_levels"]:
        raise InputError(f"expected a defect in the reference, as in [severe noise](<142, 309>), got {reference!r}")
    return scores


inputs = [
    gr.Textbox(label="Prediction", lines=3),
    gr.Textbox(label="Reference", lines=3),
    box_formats(),
    gr.Slider(0.05, 0.95, value=0.5, step=0.05, label="IoU from"),
]
examples = [
    ["[Slight noise](<0, 253>), [blocking artifact](<0, 21>)", "[Severe noise](<0, 254>)", "giqa", 0.5],
    ["Nothing.\nThe quality of the image is good.", "A cup.\nThe quality of the image is fair.", "giqa", 0.5],
]
app = page("giqa_defects", score, inputs, examples)

if __name__ == "__main__":
    app.launch()
