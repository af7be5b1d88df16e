"""A data set folder in the forms that other trainers, evaluations and annotation tools read; a file for each."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.write import whole_folder
from giqa_datasets.errors import ExistingFileError, InputError
from giqa_datasets.exports.coco import write_coco
from giqa_datasets.exports.hf_objects import write_hf_objects
from giqa_datasets.exports.label_studio import write_label_studio
from giqa_datasets.exports.llava import write_llava
from giqa_datasets.exports.ms_swift import write_ms_swift
from giqa_datasets.exports.photographs import ExportedPhotograph, LeftOut, Read, photographs
from giqa_datasets.exports.vlmevalkit import write_vlmevalkit


EXPORTS: dict[str, Callable[[Path, Read], None]] = {
    "coco": write_coco,
    "hf-objects": write_hf_objects,
    "label-studio": write_label_studio,
    "llava": write_llava,
    "ms-swift": write_ms_swift,
    "vlmevalkit": write_vlmevalkit,
}


class Exported(NamedTuple):
    """What was written, and what was not."""

    splits: dict[str, tuple[int, int]]  # photographs and rows
    left_out: Counter[LeftOut]  # rows


def export(folder: Path, to: str, out: Path, *, own_use: bool = False, progress: Progress = no_progress) -> Exported:
    """Write a data set folder in another form; `out` appears whole, or not at all.

    Args:
        folder: A data set folder.
        to: A name out of `EXPORTS`.
        out: The folder to make.
        own_use: Whether photographs that are not redistributable are among them; the folder must then stay here.
        progress: Shows how far it is, in row groups.

    Raises:
        FileExistsError: If `out` exists.
        ValueError: If there is no such form, the folder is no valid data set, or nothing of it may leave.
    """
    if to not in EXPORTS:
        raise InputError(f"expected --to one of {', '.join(EXPORTS)}, got {to!r}")
    if out.exists():
        raise ExistingFileError(f"expected a new folder, {out} exists")
    splits: dict[str, tuple[int, int]] = {}
    left_out: Counter[LeftOut] = Counter()

    def read() -> Iterator[ExportedPhotograph]:
        splits.clear()
        left_out.clear()
        for photograph in photographs(folder, left_out, own_use=own_use, progress=progress):
            n_photographs, n_rows = splits.get(photograph.split, (0, 0))
            splits[photograph.split] = n_photographs + 1, n_rows + len(photograph.rows)
            yield photograph

    with whole_folder(out.absolute(), overwrite=False) as partial:
        EXPORTS[to](partial, read)
        if not splits:
            raise InputError(
                f"expected photographs that may leave {folder}, got none: {'; '.join(sentences(left_out))}"
            )
    return Exported(splits, left_out)


def sentences(left_out: Counter[LeftOut]) -> list[str]:
    """Say of each source how many rows were left out, and why."""
    return [f"{rows:,} rows of {each.source} ({each.image_license}), {each.reason}" for each, rows in left_out.items()]
