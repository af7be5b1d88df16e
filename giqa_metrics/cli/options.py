"""Options that several verbs of the `giqa` command take: which model, and where it runs."""

from typing import Annotated

import typer


Model = Annotated[
    str, typer.Option(help="a folder or Hub id: any transformers image-text-to-text model, or a PEFT adapter of one")
]
Server = Annotated[
    str | None,
    typer.Option(
        help="an OpenAI-compatible server, such as vllm serve, that knows the model by its name; "
        "its key is in GIQA_PREDICT_API_KEY; default: run the model here"
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="images at once, halved where memory ends; or requests to the server at once")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="longest answer in tokens")]
