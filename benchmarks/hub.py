"""Publishing, streaming and publishing again, beside `Dataset.push_to_hub`; README.md says what is measured.

The Hub is that of the tests, in this process. Every client is a process of its own with the real libraries.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pyarrow.parquet import ParquetFile
from workload import samples

from giqa_datasets.dataset_folder.columns import features
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.images import open_baked
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.sources import mini
from giqa_datasets.text import parse, render


sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hub.repos import Answer, Asked, Refused
from tests.hub.server import REPO, REV, Hub, route


SIZE = 400, 300  # pixels of an image, about 40 KB
N_WORDS = 60  # of a description, about as in giqa-bench-mini
N_INSERTED = 10  # rows, in the middle
FASTER, FIRST_ROW_BYTES, TEXT_SHARE, EDIT_SHARE = 2, 40e6, 0.01, 0.1  # the targets

# What is not timed: imports, and reading the rows into push_to_hub's own format
BEGIN = """
import json, resource, sys, tempfile, time
from pathlib import Path
folder, repo, options = json.loads(sys.argv[1])
from datasets import load_dataset
from huggingface_hub import HfApi
import giqa_datasets.check
from giqa_datasets.publish import dataset, hub, plan, remote
HfApi().whoami()
def cpu():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
def timed(run):
    began = time.perf_counter(), cpu()
    run()
    return time.perf_counter() - began[0], cpu() - began[1]
"""
OURS = """
def publish():
    with tempfile.TemporaryDirectory() as work:
        sums = dataset.hash_files(Path(folder))
        assert dataset.unfit(Path(folder), sums) is None
        release, _ = dataset.dataset_release(Path(folder), sums, Path(work))
        hub.publish(plan.plan(remote.look(repo, "dataset"), release))
print(json.dumps(timed(publish)))
"""
PEER = """
if __name__ == "__main__":  # of which num_proc starts more
    rows = load_dataset(folder, split="train")
    print(json.dumps(timed(lambda: rows.push_to_hub(repo, **options))))
"""
FIRST_ROW = """
import os
print(json.dumps(timed(lambda: next(iter(load_dataset(repo, split="train", streaming=True, **options))))), flush=True)
os._exit(0)  # threads that go on reading may crash the interpreter's end
"""
TEXTS = """
def read():
    rows = load_dataset(repo, split="train", streaming=True, **options)
    rows = rows.select_columns([name for name in rows.column_names if name != "image"])
    assert all(row["answer"] for row in rows)
print(json.dumps(timed(read)))
"""

PUBLISH, PUSH = "giqa publish", "push_to_hub"
PUBLISHERS: dict[str, tuple[str, dict[str, Any]]] = {
    PUBLISH: (OURS, {}),
    f"{PUBLISH}, checked first": (OURS, {}),
    PUSH: (PEER, {}),
    f"{PUSH}, embedding nothing": (PEER, {"embed_external_files": False}),
    f"{PUSH}, two processes": (PEER, {"num_proc": 2}),
}


class CountingHub(Hub):
    """The Hub of the tests, over LFS or Xet; `n_read` bytes of large files were read, `seconds` went into answers.

    Over Xet the content goes into the folder `store`, and the Hub hears its sum alone: what is published so must have
    been published over LFS before.
    """

    def __init__(self, store: Path) -> None:
        super().__init__()
        self.store, self.is_xet, self.n_read, self.seconds = store, False, 0, 0.0

    def environ(self, home: Path) -> dict[str, str]:
        known = super().environ(home)
        return {name: value for name, value in known.items() if name != "HF_HUB_DISABLE_XET" or not self.is_xet}

    def answer(self, asked: Asked) -> Answer:
        began = time.perf_counter()
        answer = super().answer(asked)
        self.seconds += time.perf_counter() - began
        if asked.at == "storage" and asked.method == "GET":
            self.n_read += len(answer.raw)
        return answer

    @property
    def n_sent(self) -> int:
        """Bytes of all bodies that came."""
        return sum(asked.size for asked in self.requests)

    @property
    def n_stored(self) -> int:
        """Bytes that came over Xet: blocks of chunks, and what holds which."""
        written = [*self.store.glob("xet/xorbs/xorbs/*"), *self.store.glob("xet/xorbs/shards/*.mdb")]
        return sum(path.stat().st_size for path in written)

    def run(self, home: Path, script: str, folder: Path | None, repo: str, **options: Any) -> tuple[float, float]:
        """Seconds and CPU-seconds of a script in a fresh process."""
        home.mkdir(parents=True, exist_ok=True)
        file = home / "client.py"
        file.write_text(BEGIN + script)
        child = [sys.executable, file, json.dumps([folder and str(folder), repo, options])]
        done = subprocess.run(child, env=self.environ(home), cwd=home, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        seconds, cpu = json.loads(done.stdout)
        return seconds, cpu


@route("GET", f"{REPO}/xet-write-token/{REV}", writes=True)
def xet_write_token(hub: Hub, asked: Asked, repo: Any, commit: Any) -> Answer:
    """Where hf_xet shall write: into a folder, as into the real Hub's storage; a hub of another test has none."""
    if not isinstance(hub, CountingHub):
        raise Refused(404, "no such route")
    return Answer({"accessToken": "none", "exp": int(time.time()) + 3600, "casUrl": f"local://{hub.store}"})


class Options(NamedTuple):
    """What is measured, on how much."""

    work: Path
    records: list[Record]
    repeat: int


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rows-per-image", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="medians are over them")
    options = parser.parse_args()
    names = ("datasets", "huggingface_hub", "hf_xet", "pyarrow")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        records = list(make_records(options.images, options.rows_per_image))
        build(work / "set", records)
        n_rows = sum(len(record.samples) for record in records)
        print(f"{n_rows:,} rows, {len(records):,} images of {_megabytes(records):.1f} MB in all")
        for part in options.part:
            hub = CountingHub(work / "store")
            PARTS[part](hub, Options(work, records, options.repeat))
            hub.stop()
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def make_records(n_images: int, rows_per_image: int = 1, *, seed: int = 0) -> Iterator[Record]:
    """Crops of the mini set's photographs, each with a little noise of its own, and texts of the workload."""
    rng = np.random.default_rng(seed)
    photographs = [entry.photograph() for split in ("train", "test") for entry in mini.hand_made(split)]
    photographs = [each for each in photographs if min(each.width, each.height) > SIZE[1]]
    texts = samples(n_images * rows_per_image, seed=seed, n_words=N_WORDS)
    for number in range(n_images):
        of = photographs[number % len(photographs)]
        raw = crop(open_baked(of.image), rng)
        digest, name = hashlib.sha256(raw).hexdigest(), f"{seed}/{number}"
        made = Photograph(raw, *SIZE, digest, of.source, of.license, file=f"{name}.jpg", redistributable=True)
        asked = tuple(make_sample(f"{name}/{row}", row, next(texts).reference) for row in range(rows_per_image))
        yield Record(name, made, "", mini.TEXT_LICENSE, samples=asked)


def crop(photograph: Image.Image, rng: np.random.Generator) -> bytes:
    """A random part of a photograph, at `SIZE`, with noise, as JPEG."""
    width = int(min(photograph.width, photograph.height * SIZE[0] / SIZE[1]) * rng.uniform(0.5, 1))
    height = width * SIZE[1] // SIZE[0]
    x, y = rng.integers(photograph.width - width + 1), rng.integers(photograph.height - height + 1)
    pixels = np.asarray(photograph.resize(SIZE, box=(x, y, x + width, y + height)), np.int16)
    noisy = pixels + rng.integers(-2, 3, (*pixels.shape[:2], 1), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_sample(id: str, row: int, text: str) -> Sample:
    """A description, or an answer to a question."""
    said = parse(text)
    grounded = parse(render(said.plain, said.regions))  # a box that stands there twice is written once
    task, kind = ("vqa", "how") if row else ("des", "des")
    return Sample(id, task, kind, mini.QUESTION, grounded.plain, answer_regions=grounded.regions)


def build(folder: Path, records: list[Record]) -> None:
    """Write a data set folder as `giqa build` does."""
    build_folder(folder, "folder", {"train": records})


def publish(hub: CountingHub, options: Options) -> None:
    """Publish the set, all in turns, each time from a fresh process to an empty Hub."""
    runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in PUBLISHERS}
    for number in range(options.repeat + 1):
        for name, (script, more) in PUBLISHERS.items():
            home = options.work / "homes" / name
            if name.endswith("first"):
                shutil.rmtree(home, ignore_errors=True)
            hub.reset()
            hub.seconds = 0
            seconds, cpu = hub.run(home, script, options.work / "set", "org/set", **more)
            if number:  # the first run fills the caches of all later ones
                runs[name].append((seconds, seconds - hub.seconds, cpu, hub.n_sent / 1e6))
    hub.reset()
    medians = {name: [median(column) for column in zip(*rows, strict=True)] for name, rows in runs.items()}
    print(
        f"\npublish over LFS: medians of {options.repeat} in turns, then push_to_hub's over them; net: of the client"
    )
    row = "{:32}{:>9}{:>7}{:>7}{:>9}{:>11}{:>7}{:>7}".format
    print(row("", "seconds", "net", "CPU-s", "MB sent", "x seconds", "x net", "x CPU"))
    for name, (*times, sent) in medians.items():
        ratios = [f"{theirs / own:.2f}" for theirs, own in zip(medians[PUSH], times, strict=False)]
        print(row(name, *(f"{value:.2f}" for value in times), f"{sent:.1f}", *ratios))
    ratio = medians[PUSH][0] / medians[PUBLISH][0]
    print(f"{PUBLISH}: {ratio:.2f} times as fast as {PUSH}, target {FASTER}, {_verdict(ratio >= FASTER)}")


def stream(hub: CountingHub, options: Options) -> None:
    """Read the first row, and all texts, of what was published; the bytes are those that the Hub was asked for."""
    folder, home = options.work / "set", options.work / "homes/stream"
    columns = [name for name in features() if name != "image"]
    hub.run(home, OURS, folder, "org/ours")
    hub.run(home, PEER, folder, "org/pushed")
    hub.run(home, PEER, folder, "org/shards", num_shards=20)
    reads: list[tuple[str, str, str, dict[str, Any]]] = [
        ("first row", PUBLISH, FIRST_ROW, {}),
        ("first row", PUSH, FIRST_ROW, {}),
        ("first row", f"{PUSH}, num_shards=20", FIRST_ROW, {}),
        ("all texts", f"{PUBLISH}, annotations", TEXTS, {"name": "annotations"}),
        ("all texts", f"{PUSH}, select_columns", TEXTS, {}),
        ("all texts", f"{PUSH}, columns=", TEXTS, {"columns": columns}),
    ]
    texts = sum(_column_bytes(shard, columns) for shard in (folder / "data").iterdir())
    print(f"\nstream: what is read of the shards; the columns of texts are {texts / 1e6:.2f} MB of ours")
    row = "{:12}{:30}{:>10}{:>10}{:>8}{:>9}".format
    print(row("", "", "MB stored", "MB read", "share", "seconds"))
    for what, whose, script, more in reads:
        repo = "org/ours" if whose.startswith(PUBLISH) else "org/shards" if "num_shards" in whose else "org/pushed"
        stored = sum(len(raw) for path, raw in hub.files(f"datasets/{repo}").items() if path.endswith(".parquet"))
        hub.n_read = 0
        shutil.rmtree(home)
        seconds, _ = hub.run(home, script, None, repo, **more)
        share = hub.n_read / stored
        print(row(what, whose, f"{stored / 1e6:.1f}", f"{hub.n_read / 1e6:.2f}", f"{share:.2%}", f"{seconds:.2f}"))
        if whose.startswith(PUBLISH):
            met = share < TEXT_SHARE if more else hub.n_read <= FIRST_ROW_BYTES
            target = f"under {TEXT_SHARE:.0%}" if more else f"at most {FIRST_ROW_BYTES / 1e6:.0f} MB"
            print(f"  target {target}, {_verdict(met)}")


def edit(hub: CountingHub, options: Options) -> None:
    """Publish, insert rows in the middle, build and publish again: what travels the second time."""
    middle = len(options.records) // 2
    new = list(make_records(N_INSERTED, seed=1))
    folders = options.work / "set", options.work / "edited"
    build(folders[1], [*options.records[:middle], *new, *options.records[middle:]])
    print(f"\nedit: {len(new)} rows inserted in the middle, with images of {_megabytes(new):.2f} MB")
    row = "{:15}{:28}{:>10}{:>10}{:>8}".format
    print(row("", "", "MB first", "MB again", "share"))
    for whose, script in ((PUBLISH, OURS), (PUSH, PEER)):
        for way in ("LFS", "Xet", "Xet, from another machine"):
            hub.is_xet = way != "LFS"
            home, sent = options.work / "homes/edit", []
            shutil.rmtree(hub.store, ignore_errors=True)
            hub.repos.clear()
            for folder in folders:
                hub.requests.clear()
                before = hub.n_stored
                hub.run(home, script, folder, "org/set")
                sent.append(hub.n_sent + hub.n_stored - before)
                if way.endswith("machine"):  # what was sent is asked of the storage
                    shutil.rmtree(hub.store / "xet/shard-cache")
            share = sent[1] / sent[0]
            print(row(whose, way, f"{sent[0] / 1e6:.1f}", f"{sent[1] / 1e6:.2f}", f"{share:.1%}"))
            if whose == PUBLISH and hub.is_xet:
                print(f"  target under {EDIT_SHARE:.0%}, {_verdict(share < EDIT_SHARE)}")


PARTS = {"publish": publish, "stream": stream, "edit": edit}


def _column_bytes(shard: Path, columns: list[str]) -> int:
    """What columns take in a shard, without what its end says of them."""
    metadata = ParquetFile(shard).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)


def _megabytes(records: list[Record]) -> float:
    return sum(len(record.photograph.image) for record in records) / 1e6


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"


if __name__ == "__main__":
    main()
