"""The page of the Space giqa_vqa: one answer against one reference."""

import gradio as gr

from giqa_datasets.records import QUESTION_TYPES
from giqa_metrics import giqa_vqa
from giqa_metrics.spaces.page import box_formats, page


def score(question, question_type, prediction, reference, box_format):
    """Scores a short answer about image quality; open questions need a judge, and this page has none."""
    return giqa_vqa([prediction], [reference], [question], [question_type], box_format=box_format)


inputs = [
    gr.Textbox(label="Question"),
    gr.Dropdown([kind for kind in QUESTION_TYPES if kind != "des"], value="yes_no", label="Type of the question"),
    gr.Textbox(label="Prediction"),
    gr.Textbox(label="Reference"),
    box_formats(),
]
examples = [
    ["Is the [cup](<5, 254>) sharp?", "yes_no", "No, it is blurred.", "No.", "giqa"],
    ["Is the [table](<0, 399>) sharp?", "yes_no", "Perhaps.", "Yes.", "giqa"],
]
app = page("giqa_vqa", score, inputs, examples)

if __name__ == "__main__":
    app.launch()
