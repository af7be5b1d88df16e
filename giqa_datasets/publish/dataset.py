"""The files of a data set folder that are published: its shards, its card, and its provenance."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from giqa_datasets import __version__
from giqa_datasets.builders.giqa_bench import COMPARED, CORRECTIONS
from giqa_datasets.check import Examined, examine_dataset
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.dataset_folder.parquet import write_annotations
from giqa_datasets.dataset_folder.write import shards_digest
from giqa_datasets.errors import InputError
from giqa_datasets.image_stores import read_changes
from giqa_datasets.images import CHANGES
from giqa_datasets.pipeline.annotation_folder import DROPS, FUNNEL, SETTINGS
from giqa_datasets.publish.plan import Release, Sum
from giqa_datasets.sources.folder import SOURCE as FOLDER


_FILES = ("README.md", "eval.yaml")
_FOLDERS = ("annotations", "data", "provenance")
_PROVENANCE = ("images.jsonl", "sources.jsonl", DROPS, FUNNEL, SETTINGS, COMPARED.name, CORRECTIONS.name)
_HOW = ": giqa build --redistributable marks all photographs of a folder, the column redistributable single ones"
_OF_REVIEW = re.compile(r"review(/round-[0-9]{1,4}(/begin\.jsonl|/votes(/[A-Za-z0-9_-]{1,40}\.jsonl)?)?)?")


def is_dataset(path: Path) -> bool:
    """Tell whether a path is a data set folder, by its shape."""
    return (path / "data").is_dir()


def hash_files(folder: Path, *, progress: Progress = no_progress) -> dict[str, Sum]:
    """Hash the files of a data set folder that are published, by their paths in the repo.

    Raises:
        OSError: If one cannot be read.
        ValueError: If there is a link, which may lead anywhere, or something in provenance/ that no build writes.
    """
    folders = [folder / name for name in _FOLDERS]
    listed = [folder / name for name in _FILES] + sorted(path for inner in folders for path in inner.rglob("*"))
    for path in (*folders, *listed):
        if path.is_symlink():
            raise InputError(f"expected no links in a data set folder, got {str(path)!a}")
    for path in (folder / "provenance").rglob("*"):
        name = path.relative_to(folder / "provenance").as_posix()
        if name not in _PROVENANCE and not _OF_REVIEW.fullmatch(name):
            raise InputError(f"expected {', '.join(_PROVENANCE)} and a review in provenance/ alone, got {name!a}")
    files = [path for path in listed if path.is_file()]
    return {path.relative_to(folder).as_posix(): Sum.of(path) for path in progress(files, len(files), "hash files")}


def unfit(folder: Path, sums: Mapping[str, Sum], *, progress: Progress = no_progress) -> Examined | None:
    """Return the findings of `giqa check`; None if there are none, or this machine knows these files to have none."""
    mark = _mark(sums)
    if mark.exists():
        return None
    examined = examine_dataset(folder, progress=progress)
    if examined.findings:
        return examined
    with suppress(OSError):  # without a note it is read again
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return None


def dataset_release(
    folder: Path, sums: Mapping[str, Sum], work: Path, *, progress: Progress = no_progress
) -> tuple[Release, list[str]]:
    """List the files of a data set folder's repo: all, without the pixels that others may not pass on.

    The folder has no findings, and `work` is an empty folder for the shards that lose pixels. With the release comes a
    sentence for each source whose rows go without their pixels, and for each kind of change of the original files.

    Raises:
        ValueError: If a shard is damaged.
    """
    shareable = without_pixels(folder, work, progress)
    files: dict[str, Path | bytes] = {path: folder / path for path in sums}
    files |= {f"data/{name}": path for name, path in shareable.shards.items()}
    if shareable.absent:
        card = (folder / "README.md").read_text(encoding="utf-8")
        old, new = (shards_digest(shards) for shards in ((folder / "data").iterdir(), shareable.shards.values()))
        files["README.md"] = card.replace(old, new).encode()
        (work / "annotations").mkdir()  # written again, or what they may hide would leave
        write_annotations(folder / "data", work / "annotations")
        files |= {f"annotations/{path.name}": path for path in (work / "annotations").iterdir()}
    for path, known in sums.items():  # what was written again was read again
        known.require(folder / path)
    same = {path: known for path, known in sums.items() if files[path] == folder / path}
    remarks = [
        f"without their pixels: {absent.rows:,} rows of {absent.images:,} images of {source} ({image_license}), "
        f"which is not marked redistributable{_HOW if source == FOLDER else ''}"
        for (source, image_license), absent in shareable.absent.items()
    ]
    changes = read_changes(folder / "provenance" / "images.jsonl")
    changed = Counter(chain.from_iterable(changes.values()))
    remarks += [f"{change}: of {changed[change]:,} images" for change in CHANGES if changed[change]]
    return Release("dataset", folder.resolve().name, files, owns=_is_ours, sums=same), remarks


def _is_ours(path: str) -> bool:
    """Tell whether a file belongs to a release: old shards would be loaded with the new ones."""
    return path in _FILES or path.startswith(tuple(f"{name}/" for name in _FOLDERS))


def _mark(sums: Mapping[str, Sum]) -> Path:
    """The file that notes that this machine examined these files and found no fault."""
    from huggingface_hub.constants import HF_HOME

    said = repr((__version__, sorted((path, known.sha256) for path, known in sums.items())))
    return Path(HF_HOME, "giqa", "checked", hashlib.sha256(said.encode()).hexdigest())
