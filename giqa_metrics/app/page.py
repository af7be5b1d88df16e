"""The page: its components, and the functions behind its buttons.

Any fault of a photograph or a model is one sentence on the page, and does not affect the next question. A visitor's
upload is kept in memory, for their own session.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from giqa_datasets.errors import GiqaError
from giqa_datasets.formats import Sizes, box_format
from giqa_datasets.private_interfaces import event_values, into_gradio_cache
from giqa_metrics.app import view
from giqa_metrics.app.examples import Example
from giqa_metrics.app.subject import Subject
from giqa_metrics.models import Predictor, Question


STATIC = Path(__file__).parent / "static"
MASKS = "masks"  # the folder of masks, among uploads
KEPT = 3600  # seconds that a mask stays on the disk; the rest goes when the app ends
LABEL = 60  # characters of a phrase in the list of masks
ALL = -1  # the mask of all phrases
GO_TO_QUESTION = '() => document.querySelector("#question textarea").focus()'
GO_TO_ANSWER = '() => document.querySelector("#stage").scrollIntoView({ block: "nearest" })'


def make_page(predictor: Predictor, subject: Subject, examples: Sequence[Example]) -> gr.Blocks:
    """Make the page of a model."""
    spoken = box_format(subject.box_format)

    def show(picture: view.Picture | None, exchange: view.Exchange | None = None, fault: str = "") -> list[Any]:
        """Give the values of `shown`."""
        phrases = exchange.answer.regions if exchange else ()
        names = [(f"{number + 1}. {region.phrase[:LABEL]}", number) for number, region in enumerate(phrases)]
        return [
            picture,
            exchange,
            view.render_stage(picture, exchange, fault),
            view.render_details(exchange, subject.box_format),
            gr.Row(visible=bool(phrases)),
            gr.Dropdown([("all boxes", ALL), *names], value=ALL),
            save_mask(picture, exchange, ALL) if picture and exchange and phrases else None,
        ]

    def save_mask(picture: view.Picture, exchange: view.Exchange, phrase: int) -> str:
        png = view.mask_png(exchange, picture.size, None if phrase == ALL else phrase)
        name = "mask.png" if phrase == ALL else f"mask-{phrase + 1}.png"
        return str(into_gradio_cache(png, name, str(Path(mask_file.GRADIO_CACHE) / MASKS)))

    def open_upload(picture: view.Picture | None, raw: bytes) -> list[Any]:
        try:
            return show(view.open_picture(raw))
        except GiqaError as error:
            return show(picture, fault=str(error))

    def open_example(event: gr.EventData) -> list[Any]:
        return show(view.open_picture(examples[event_values(event)["number"]].image))

    def ask(picture: view.Picture | None, question: str) -> list[Any]:
        if picture is None or not question.strip():
            return show(picture, fault="Choose a photograph first." if picture is None else "Write a question first.")
        try:
            (answer,) = predictor.answer([[Question("upload", picture.raw, question)]])
            sizes = Sizes(picture.size, answer.input_size)
            return show(picture, view.read_exchange(question, answer.text(), sizes, subject.box_format))
        except GiqaError as error:
            return show(picture, fault=" ".join(str(error).split()))

    def describe(picture: view.Picture | None) -> list[Any]:
        return ask(picture, subject.describe)

    def ask_about(exchange: view.Exchange | None, event: gr.EventData) -> Any:
        sent = event_values(event)
        try:
            written = view.question_about(exchange, sent["link"], sent["box"], spoken) if exchange else None
        except GiqaError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error  # shown as HTML
        return gr.skip() if written is None else written

    page: gr.Blocks = gr.Blocks(title="GIQA", analytics_enabled=False, delete_cache=(KEPT, KEPT))
    with page:
        gr.HTML(view.render("header.html.jinja", subject=subject), apply_default_css=False, elem_id="header")
        opened, said = gr.State(), gr.State()
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                upload = gr.UploadButton(
                    "Choose a photograph", file_types=["image"], type="binary", elem_id="photograph"
                )
                strip = gr.HTML(
                    view.render("examples.html.jinja", examples=examples),
                    js_on_load=(STATIC / "examples.js").read_text(encoding="utf-8"),
                    apply_default_css=False,
                    visible=bool(examples),
                    elem_id="strip",
                )
                describes = gr.Button("Describe its quality", variant="primary")
                question = gr.Textbox(
                    subject.question,
                    label="Or ask a question",
                    placeholder="Is the cup sharp?",
                    max_lines=5,
                    elem_id="question",
                )
                asks = gr.Button("Ask")
            with gr.Column(scale=3, min_width=280):
                stage = gr.HTML(
                    view.render_stage(None),
                    js_on_load=(STATIC / "stage.js").read_text(encoding="utf-8"),
                    apply_default_css=False,
                    elem_id="stage",
                )
                with gr.Row(visible=False, elem_id="masks") as masks:
                    mask_of = gr.Dropdown([("all boxes", ALL)], value=ALL, label="Mask of")
                    mask_file = gr.DownloadButton("Download mask")
                with gr.Accordion("What the model wrote, and what was read of it", open=False):
                    details = gr.HTML(
                        view.render_details(None, subject.box_format), apply_default_css=False, elem_id="details"
                    )

        shown = [opened, said, stage, details, masks, mask_of, mask_file]
        # One question at a time, of all visitors; and only the page calls them
        quiet: Any = {"api_visibility": "private", "show_progress_on": stage}
        model: Any = {**quiet, "concurrency_id": "model", "concurrency_limit": 1}
        upload.upload(open_upload, [opened, upload], shown, **quiet)
        strip.pick(open_example, None, shown, **quiet)
        describes.click(describe, opened, shown, **model).then(None, js=GO_TO_ANSWER)
        gr.on([asks.click, question.submit], ask, [opened, question], shown, **model).then(None, js=GO_TO_ANSWER)
        mask_of.input(save_mask, [opened, said, mask_of], mask_file, api_visibility="private")
        stage.about(ask_about, said, question, api_visibility="private").success(None, js=GO_TO_QUESTION)
    return page
