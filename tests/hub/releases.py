"""What is published in these tests, how, and what of it a Hub then holds."""

import hashlib
import io
import random
import subprocess
import sys
from pathlib import Path

from PIL import Image

from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.records import Photograph, Record, Sample

from .repos import Commit, Repo


REPO = "datasets/org/set"
SIZE_WH = (64, 48)
FILES = {"README.md": "---\nlicense: mit\n---\nCard.\n", "data/a.parquet": "a" * 1000, "data/b.parquet": "b"}
NEW = FILES | {"data/b.parquet": "c"}


def photograph(number: int) -> bytes:
    """Noise, in a file of its own."""
    image = Image.frombytes("RGB", SIZE_WH, random.Random(number).randbytes(SIZE_WH[0] * SIZE_WH[1] * 3))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def record(number: int, *, may: bool = True) -> Record:
    """A photograph with a description and two questions."""
    raw, source = photograph(number), "free" if may else "kept"
    sha256 = hashlib.sha256(raw).hexdigest()
    about = Photograph(raw, *SIZE_WH, sha256, source, "mit" if may else "research only", (), f"{number}.png", may)
    samples = (
        Sample(f"{number}-des", "des", "des", "Describe it.", f"Photograph {number} is noise."),
        Sample(f"{number}-yes", "vqa", "yes_no", "Is it noisy?", "Yes."),
        Sample(f"{number}-how", "vqa", "how", "How is it?", "Noisy."),
    )
    return Record(str(number), about, "It is noise.", "cc0-1.0", samples=samples)


def write(folder: Path, **splits: list[Record]) -> Path:
    build_folder(folder, "folder", splits, overwrite=True)
    return folder


def on_hub(hub) -> dict[str, bytes]:
    return {path: raw for path, raw in hub.files(REPO).items() if path != ".gitattributes"}


def local(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tree(hub, repo="datasets/org/set", revision="main"):
    return {path: raw.decode() for path, raw in hub.files(repo, revision).items() if path != ".gitattributes"}


def commits(hub, repo="datasets/org/set"):
    return [commit.title for commit in hub.repos[repo].commit("main").history()]


def committed(hub, files: dict[str, bytes], title: str = "giqa publish x", key: str = REPO) -> Commit:
    """Put files into a repo of the Hub."""
    repo = hub.repos.setdefault(key, Repo("datasets", "org/set"))
    main = repo.commit("main")
    repo.refs["refs/heads/main"] = Commit({**main.files, **files}, main, title)
    return repo.commit("main")


def sent(hub) -> bytes:
    return b"".join(asked.body for asked in hub.requests) + b"".join(hub.storage.values())


def start(hub, home: Path, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "giqa_metrics.cli", *map(str, arguments)]
    return subprocess.Popen(command, env=hub.environ(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def giqa_in(hub, work: Path, *arguments: object) -> subprocess.CompletedProcess:
    """The command in a process that knows this Hub alone."""
    command = [sys.executable, "-m", "giqa_metrics.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=work, env=hub.environ(work.parent / "home"), capture_output=True, text=True, check=False
    )
