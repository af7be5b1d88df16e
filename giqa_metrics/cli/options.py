"""Options of several verbs of the `giqa` command."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ModelPreset(StrEnum):
    """The models that annotate."""

    offline = "offline"
    paper = "paper"


class OutputFormat(StrEnum):
    """The form in which a result is printed."""

    human = "human"
    json = "json"


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
Processor = Annotated[
    str | None,
    typer.Option(
        help="with --server: the folder or Hub id of its model, whose image processor tells how images are resized"
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="images at once, halved where memory ends; or requests to the server at once")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="longest answer in tokens")]
Printed = Annotated[OutputFormat, typer.Option("--format", help="what to print")]

Root = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="photographs with descriptions, for SET folder; a reviewed data set folder, for a benchmark; "
        "another's set as its users get it",
    ),
]
QPathway = Annotated[Path | None, typer.Option(help="the folder of Q-Instruct's cleaned_labels.json, for giqa-160k")]
Dq495k = Annotated[Path | None, typer.Option("--dq-495k", help="DataDepictQA's folder, for giqa-160k")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help="for giqa-160k: a row of Q-Pathway is a description if its type or qtype contains this word; "
        "may be repeated; default: desc and pathway",
    ),
]
Images = Annotated[list[Path] | None, typer.Option(help="a folder with copies of upstream images; may be repeated")]
Manifest = Annotated[
    Path | None, typer.Option(help="images.jsonl of a built set: finds the copies by sha256, under any name")
]
Boxes = Annotated[
    str | None,
    typer.Option(
        metavar="FRAME|FILE",
        help="for SET folder: the numbers of boxes in its metadata are corners (from 0 to 1; the default), pixels "
        "(x1 y1 x2 y2) or xywh (pixels, too); or a file of boxes, of COCO or Label Studio",
    ),
]
Describe = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="for SET folder: let this model first describe the photographs without a line in its metadata.jsonl",
    ),
]
Exclude = Annotated[
    list[Path] | None,
    typer.Option(help="a data set folder whose images, and their look-alikes, stay out; may be repeated"),
]
Models = Annotated[
    ModelPreset | None,
    typer.Option(help="offline, or the paper's; default: the paper's for giqa-160k, offline for the others"),
]
Seed = Annotated[int | None, typer.Option(help="seed of all random choices; default: 0")]
Limit = Annotated[int | None, typer.Option(min=1, help="take the first so many records of each split")]
