"""What of a data set folder goes to the Hub: its shards, its card, and where everything comes from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from giqa_datasets import __version__
from giqa_datasets.builders.dataset_folder import shards_digest
from giqa_datasets.builders.pixels import without_pixels
from giqa_datasets.check import Examined, examine_dataset
from giqa_datasets.progress import Progress, no_progress
from giqa_datasets.publish.hub import Release


_FILES = ("README.md", "eval.yaml")
_FOLDERS = ("annotations", "data", "provenance")


def is_dataset(path: Path) -> bool:
    """Whether a path is a data set folder, by its shape."""
    return (path / "data").is_dir()


def hash_files(folder: Path, *, progress: Progress = no_progress) -> dict[str, bytes]:
    """The sha256 of each file of a data set folder that is published, by its path in the repo."""
    sums = {}
    files = _files(folder)
    for path in progress(files, len(files), "hash files"):
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").digest()
    return sums


def unfit(folder: Path, sums: Mapping[str, bytes], *, progress: Progress = no_progress) -> Examined | None:
    """Read a data set folder to its end as `giqa check` does, unless this machine did and found nothing.

    Args:
        folder: A data set folder.
        sums: Of its files; by them a folder is known again, so a changed one is read again.
        progress: Wraps the row groups.

    Returns:
        What was found; None if everything holds.
    """
    mark = _mark(sums)
    if mark.exists():
        return None
    examined = examine_dataset(folder, progress=progress)
    if examined.findings:
        return examined
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return None


def dataset_release(
    folder: Path, sums: Mapping[str, bytes], work: Path, *, progress: Progress = no_progress
) -> tuple[Release, list[str]]:
    """List what a data set folder's repo shall hold: all of it, but for the pixels that others may not pass on.

    Args:
        folder: A data set folder that holds what it says.
        sums: Of its files.
        work: An empty folder for the shards that lose pixels.
        progress: Wraps the shards.

    Returns:
        The release, and a sentence for each source whose rows go without their pixels.

    Raises:
        ValueError: If a shard is damaged.
    """
    shareable = without_pixels(folder, work, progress)
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    files |= {f"data/{name}": path for name, path in shareable.shards.items()}
    if shareable.absent:
        files["README.md"] = _card(folder, list(shareable.shards.values()))
    same = {path: digest for path, digest in sums.items() if files[path] == folder / path}
    withheld = [
        f"without their pixels: {absent.rows:,} rows of {absent.images:,} images of {source} ({image_license}), "
        "which is not marked redistributable"
        for (source, image_license), absent in shareable.absent.items()
    ]
    return Release("dataset", folder.resolve().name, files, owns=_is_ours, sums=same), withheld


def _card(folder: Path, shards: list[Path]) -> bytes:
    """The folder's card, with the sum of the shards that are published."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return card.replace(shards_digest((folder / "data").iterdir()), shards_digest(shards)).encode()


def _is_ours(path: str) -> bool:
    """Whether a file of a data set repo is a release's: shards of an older one would be loaded with the new."""
    return path in _FILES or path.startswith(tuple(f"{name}/" for name in _FOLDERS))


def _files(folder: Path) -> list[Path]:
    """The files of a data set folder that are published; a link is none of them."""
    inner = sorted(path for name in _FOLDERS for path in (folder / name).glob("*"))
    listed = [*(folder / name for name in _FILES), *inner]
    return [path for path in listed if path.is_file() and not path.is_symlink()]


def _mark(sums: Mapping[str, bytes]) -> Path:
    """Where it is noted that a folder of these files holds what it says."""
    from huggingface_hub.constants import HF_HOME

    said = repr((__version__, sorted(sums.items())))
    return Path(HF_HOME, "giqa", "checked", hashlib.sha256(said.encode()).hexdigest())
