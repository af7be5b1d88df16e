"""The verb app: a model's page on this machine."""

import os
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from giqa_datasets.defaults import MAX_NEW_TOKENS
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.extras import require
from giqa_datasets.loopback import LOOPBACK
from giqa_metrics.cli.options import MaxNewTokens, Processor, Server
from giqa_metrics.cli.output import print_lines


PATIENCE = 120  # seconds for each of two tries: somebody is waiting
TINY = Path("giqa-demo", "tiny-llava-sft")  # where `giqa demo` leaves it


def app(
    model: Annotated[
        str | None,
        typer.Option(help="a folder or Hub id, or a server's name for its model; default: what giqa demo trained"),
    ] = None,
    server: Server = None,
    processor: Processor = None,
    box_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="how the model writes boxes, or a file of giqa doctor; default: as its folder says, else giqa",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="where the page is served; whoever reaches it may ask")] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is a free one")] = 7860,
    max_new_tokens: MaxNewTokens = MAX_NEW_TOKENS,
) -> None:
    """Serve a page: upload a photograph, ask a model about it, and see the boxes of its answer."""
    from giqa_metrics.app.examples import examples
    from giqa_metrics.app.subject import subject_of
    from giqa_metrics.models import LocalPredictor, Predictor, ServerPredictor
    from giqa_metrics.models.box_format_file import format_of
    from giqa_metrics.models.server import require_fit

    model = model or _default_model(server)
    name = format_of(model, box_format)
    require_fit(name, server, processor)
    with tempfile.TemporaryDirectory(prefix="giqa-app-") as folder:  # uploads and masks go with it
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}  # read as gradio is imported
        require("the app needs gradio", "app", "gradio")
        from giqa_metrics.app.page import make_page
        from giqa_metrics.app.serve import launch

        predictor: Predictor
        if server is None:
            predictor = LocalPredictor(model, batch_size=1, max_new_tokens=max_new_tokens)
        else:
            predictor = ServerPredictor(
                model,
                server,
                concurrency=1,
                max_new_tokens=max_new_tokens,
                timeout=PATIENCE,
                retries=1,
                processor=processor,
            )
        subject = subject_of(model, name)
        page = make_page(predictor, subject, examples(crops=bool(subject.note)))
        print_lines(launch(page, host=host, port=port))
        print_lines("Ctrl+C ends it.", err=True)
        try:
            threading.Event().wait()
        finally:
            page.close(verbose=False)


def _default_model(server: str | None) -> str:
    """Name the tiny model of giqa demo.

    Raises:
        ValueError: If there is a server, whose name for its model is wanted.
        FileNotFoundError: If giqa demo was not run here.
    """
    if server is not None:
        raise InputError("expected --model, the name by which the server knows its model, got none")
    if not TINY.is_dir():
        raise MissingFileError(
            f"expected a model: run `giqa demo` here, which trains the tiny one in {TINY}, or name one with --model"
        )
    return str(TINY)
