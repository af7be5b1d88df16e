"""What the pages of the Spaces share: a form, the scores as JSON, and a refusal as its one sentence."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from giqa_datasets.errors import GiqaError
from giqa_datasets.formats import FORMATS


def page(name: str, score: Callable[..., dict[str, Any]], inputs: Sequence[Any], examples: list[list[Any]]):
    """Make the page of a metric; `score` takes the values of `inputs`, and its docstring stands under the title."""

    def show(*values):
        try:
            return score(*values)
        except GiqaError as error:
            raise gr.Error(escape(str(error), quote=False), print_exception=False) from error  # shown as HTML

    return gr.Interface(
        show,
        list(inputs),
        gr.JSON(label="Scores", max_height=None),
        examples,
        title=name,
        description=score.__doc__,
        api_name="score",
        cache_examples=False,
        flagging_mode="never",
    )


def box_formats() -> gr.Dropdown:
    """Offer the box formats that ask for no image."""
    return gr.Dropdown(
        [name for name, its in FORMATS.items() if not its.needs], value="giqa", label="Boxes of the prediction"
    )
