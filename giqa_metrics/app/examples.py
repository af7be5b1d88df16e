"""Photographs to begin with: of the mini set, or for the tiny model the crops that it knows."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from giqa_datasets.images import data_uri, decode, encode, shrink
from giqa_datasets.sources import mini, tiny


PHOTOGRAPHS = ("coffee", "chelsea", "butterfly", "china", "flower", "rocket", "tags", "tomato_124")  # read quickly
SIDE = 160  # pixels of a thumbnail


class Example(NamedTuple):
    """A photograph to try: its name, its file, and a small copy as a data URI."""

    name: str
    image: bytes
    uri: str


def examples(*, crops: bool) -> list[Example]:
    """List photographs of the mini set, or crops of the tiny one; none if a wheel that holds them is missing."""
    try:
        found = list(_crops() if crops else _photographs())
    except ImportError:
        return []
    small = (encode(shrink(decode(image, name=name), SIDE)).image for name, image in found)
    return [Example(name, image, data_uri(copy)) for (name, image), copy in zip(found, small, strict=True)]


def _photographs() -> Iterator[tuple[str, bytes]]:
    by_id = {entry.id: entry for entry in mini.entries("test")}
    for name in PHOTOGRAPHS:
        yield name.replace("_", " "), by_id[name].photograph().image


def _crops() -> Iterator[tuple[str, bytes]]:
    for number, entry in enumerate(islice(tiny.entries("test"), len(PHOTOGRAPHS)), start=1):
        yield f"crop {number}", entry.photograph().image
