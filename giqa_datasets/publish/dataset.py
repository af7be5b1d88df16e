"""What of a data set folder goes to the Hub: its shards, its card, and where everything comes from."""

import hashlib
from pathlib import Path

from giqa_datasets import __version__
from giqa_datasets.builders.dataset_folder import shards_digest
from giqa_datasets.builders.pixels import without_pixels
from giqa_datasets.check import Examined, examine_dataset
from giqa_datasets.progress import Progress, no_progress
from giqa_datasets.publish.hub import Release


BESIDE = ("eval.yaml",)  # what may stand beside README.md, data/ and provenance/


def is_dataset(path: Path) -> bool:
    """Whether a path is a data set folder, by its shape."""
    return (path / "data").is_dir()


def unfit(folder: Path, *, progress: Progress = no_progress) -> Examined | None:
    """Read a data set folder to its end as `giqa check` does, unless this machine did and found nothing.

    A folder is known again by the sha256 of all its files, so a changed one is read again.

    Returns:
        What was found; None if everything holds.
    """
    mark = _mark(folder, progress)
    if mark.exists():
        return None
    examined = examine_dataset(folder, progress=progress)
    if examined.findings:
        return examined
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return None


def dataset_release(folder: Path, work: Path, *, progress: Progress = no_progress) -> tuple[Release, list[str]]:
    """List what a data set folder's repo shall hold: all of it, but for the pixels that others may not pass on.

    Args:
        folder: A data set folder that holds what it says.
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
    files["README.md"] = _card(folder, list(shareable.shards.values()))
    withheld = [
        f"without their pixels: {absent.rows:,} rows of {absent.images:,} images of {source} ({image_license}), "
        "which is not marked redistributable"
        for (source, image_license), absent in shareable.absent.items()
    ]
    return Release("dataset", folder.resolve().name, files, owns=_is_ours), withheld


def _card(folder: Path, shards: list[Path]) -> bytes:
    """The folder's card, with the sum of the shards that are published."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return card.replace(shards_digest((folder / "data").iterdir()), shards_digest(shards)).encode()


def _is_ours(path: str) -> bool:
    """Whether a file of a data set repo is a release's: shards of an older one would be loaded with the new."""
    return path in ("README.md", *BESIDE) or path.startswith(("data/", "provenance/"))


def _files(folder: Path) -> list[Path]:
    """The files of a data set folder that are published; a link is none of them."""
    inner = sorted(path for name in ("data", "provenance") for path in (folder / name).glob("*"))
    listed = [folder / "README.md", *(folder / name for name in BESIDE), *inner]
    return [path for path in listed if path.is_file() and not path.is_symlink()]


def _mark(folder: Path, progress: Progress) -> Path:
    """Where it is noted that a folder of this content holds what it says."""
    from huggingface_hub.constants import HF_HOME

    digest = hashlib.sha256(__version__.encode())
    files = _files(folder)
    for path in progress(files, len(files), "hash files"):
        with path.open("rb") as file:
            digest.update(path.relative_to(folder).as_posix().encode() + hashlib.file_digest(file, "sha256").digest())
    return Path(HF_HOME, "giqa", "checked", digest.hexdigest())
