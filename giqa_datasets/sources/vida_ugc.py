"""ViDA-UGC as its users get it: texts with boxes inside, and the metadata that they were written from.

    train/images/  train/train_metadata.json  train/ViDA-qwen2/ViDA-D(...)/assess.jsonl and so on: `vida_texts.FILES`
    val/images/    val/ViDA-Bench/: `vida_bench.py`

An entry is a photograph with all its rows. A row whose boxes contradict the metadata is dropped. `combined.json` has
the same rows without their kinds, and is not read. The validation photographs are ViDA-UGC-Bench: the split `test`.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path

from pydantic import ValidationError

from giqa_datasets.console import printable
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, Refused, checked_name, without
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import fault_of, numbered_lines
from giqa_datasets.image_stores import Folder
from giqa_datasets.records import Photograph, Sample
from giqa_datasets.sources import vida_bench
from giqa_datasets.sources.vida_metadata import VidaMetadata
from giqa_datasets.sources.vida_photographs import base_name
from giqa_datasets.sources.vida_texts import FILES, Conversation, samples_of


TEXTS = "train/ViDA-qwen2/ViDA-*/*.jsonl"
logger = logging.getLogger(__name__)


def entries(root: Path, drop: DropSink) -> dict[str, list[Entry]]:
    """List the photographs of each split that is there, in the order of its rows; what was not expected is logged.

    A photograph of both, by its name or its bytes, is one of the test split alone; `giqa check` compares looks.

    Raises:
        FileNotFoundError: If neither `train` nor `val` is there, or `train` holds no texts.
        ValueError: If a file is another's.
    """
    found = {"train": root / "train", "test": root / "val"}
    there = {split: folder for split, folder in found.items() if folder.is_dir()}
    if not there:
        raise MissingFileError(f"expected the folders train and val of ViDA-UGC in {root}, found neither")
    test = vida_bench.entries(root, drop) if "test" in there else []
    train = _train(root, drop, {base_name(entry.file) for entry in test}) if "train" in there else []
    refuse = partial(_refuse_known, frozenset(_sha256_of(root / entry.file for entry in test)))
    splits = {"train": list(without(train, refuse)), "test": test}
    return {split: listed for split, listed in splits.items() if listed}


def _sha256_of(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with suppress(OSError), path.open("rb") as file:  # one that cannot be read is dropped when it is its turn
            yield hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_known(known: Container[str], photograph: Photograph) -> None:
    if photograph.sha256 in known:
        raise Refused("in_test", photograph.file)


def _train(root: Path, drop: DropSink, taken: set[str]) -> list[Entry]:
    path = root / "train" / "train_metadata.json"
    metadata = VidaMetadata(path if path.is_file() else None, drop)
    samples: dict[str, dict[str, Sample]] = {}  # by photograph and id
    n_rows: Counter[str] = Counter()
    for kind, where, row in _rows(root, drop):
        n_rows[kind] += 1
        try:
            name = _photograph_of(row)
            if name in taken:
                raise Refused("in_test", name)
            objects = metadata.objects.get(name)
            of_photograph = samples.setdefault(name, {})
            for sample in samples_of(row, kind, name, objects):
                if of_photograph.setdefault(sample.id, sample) is not sample:
                    raise Refused("duplicate", sample.id)
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))
    _log(root / "train", n_rows, metadata, samples)
    made, images = [], Folder(root)
    for name in dict.fromkeys((*samples, *metadata.told)):
        of_photograph = samples.get(name, {})
        if of_photograph:
            made.append(metadata.entry(images, f"train/images/{name}", tuple(of_photograph.values())))
        elif name not in taken:
            drop(Drop(name, "source", "no_row", "no text of this photograph was left"))
    return made


def _rows(root: Path, drop: DropSink) -> Iterator[tuple[str, str, Conversation]]:
    """The kind of each row of the texts, its place, and itself; a malformed one goes to `drop`."""
    paths = sorted(root.glob(TEXTS))
    kinds = {path: path.stem.replace("-", "_") for path in paths}
    if not any(kind in FILES for kind in kinds.values()):
        raise MissingFileError(f"expected texts of ViDA-UGC in {root}, {TEXTS}, found none; combined.json is not read")
    for path, kind in kinds.items():
        if kind not in FILES:
            logger.warning("%s is none of the known files of texts, and is not read", path)
            continue
        fault, fits = "", False
        for number, (_, raw) in enumerate(numbered_lines(path), start=1):
            where = f"{path.name} row {number}"
            try:
                row = Conversation.model_validate_json(raw)
            except ValidationError as error:
                fault = fault or f"row {number}: {fault_of(error)}"
                drop(Drop(where, "source", "malformed_row", fault_of(error)))
                continue
            fits = True
            yield kind, where, row
        if fault and not fits:
            raise InputError(f"expected conversations in {path}, got none: {fault}")


def _photograph_of(row: Conversation) -> str:
    images = [row.image] if isinstance(row.image, str) else row.image or []
    if len(images) != 1:
        raise Refused("other_image", f"expected one photograph, got {len(images)}")
    return _name_of(images[0])


@lru_cache(1 << 14)
def _name_of(image: str) -> str:
    return checked_name(base_name(image))


def _log(folder: Path, n_rows: Counter[str], metadata: VidaMetadata, named: Iterable[str]) -> None:
    """Say what is not as the set's page and papers have it."""
    files = {path.name for path in (folder / "images").glob("*")}
    rows, told = set(named), set(metadata.told)
    differences = {
        "files of texts are missing": [kind for kind in FILES if not n_rows[kind]],
        "photographs have rows and no metadata, so their boxes were held against nothing": rows - told,
        "photographs have rows and no file in train/images": rows - files,
        "photographs in train/images have no row": files - rows,
    }
    for what, found in differences.items():
        if found:
            logger.warning("%s: %d %s: %s", folder, len(found), what, printable(", ".join(sorted(found)[:5])))
    logger.warning("%s: %s", folder, ", ".join(f"{n} rows of {kind}" for kind, n in n_rows.items()))
