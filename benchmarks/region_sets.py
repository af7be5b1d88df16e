"""ViDA-UGC made up in its real size and shape: what building it costs beside plain pyarrow, and how much memory.

python benchmarks/region_sets.py                      rows per CPU-second, on 200 photographs of 1 MB
python benchmarks/region_sets.py --photographs 12000  the whole set: 12 GB are read, and as many written
"""

import argparse
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from giqa_datasets.batches import batches
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest, entries_of
from giqa_datasets.dataset_folder.columns import features
from giqa_datasets.dataset_folder.parquet import ROW_GROUP
from giqa_datasets.defect_classes import DEFECT_CLASSES
from giqa_datasets.objects import OPTIONAL
from giqa_datasets.records import rows


PER_PHOTOGRAPH = {  # 45 rows, as 534,000 of 11,848 photographs
    "D/assess": 1,
    "D/brief_assess": 1,
    "D/dist_assess": 4,
    "G/dist_detect": 1,
    "G/ref-grounding": 4,
    "G/reg-perception": 6,
    "P/mcq": 16,
    "P/qa": 10,
    "P/score": 2,
}
BOXES = 4  # of a photograph
MOST, SOME = 1000, 450  # photographs, and rows with an image each, that plain pyarrow is tried on
WORDS = (
    "The texture of the wall is lost, and fine lines run into each other; nothing in it can be told apart any more."
)


def main() -> None:
    """Print rows per CPU-second and the peak of memory, beside plain pyarrow's where all rows fit into memory."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--photographs", type=int, default=200)
    asked.add_argument("--folder", type=Path, help="where the set is made and built; default: a temporary one")
    said = asked.parse_args()
    features()  # imports the datasets library, which is no part of the work
    with tempfile.TemporaryDirectory(dir=said.folder) as made:
        root = Path(made)
        make(root / "vida", said.photographs)
        request = SetRequest("vida-ugc", root / "vida")
        built, took = timed(lambda: build_set(request, root / "set", root / "none"))
        n_rows = built.counts["train"].rows.total()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # Linux counts KiB
        stored, given = (
            sum(path.stat().st_size for path in folder.iterdir())
            for folder in (root / "set" / "data", root / "vida" / "train" / "images")
        )
        print(f"{said.photographs:,} photographs, {n_rows:,} rows; stored {stored / given:.2f} times the photographs")
        print(f"giqa build vida-ugc: {n_rows / took:,.0f} rows per CPU-second, at most {peak:.2f} GiB of memory")
        if said.photographs <= MOST:
            held = [row for entry in entries_of(request).splits["train"] for row in rows(entry.load())]
            some = held[:SOME]
            _, with_images = timed(lambda: write_plain(some, root / "plain.parquet"))
            _, without = timed(lambda: write_plain([row | {"image": None} for row in held], root / "plain.parquet"))
            print(f"plain pyarrow, an image in each row: {len(some) / with_images:,.0f} rows per CPU-second")
            print(f"plain pyarrow, no images at all: {n_rows / without:,.0f} rows per CPU-second")


def make(root: Path, count: int) -> None:
    """Write a made-up ViDA-UGC: photographs of 1 MB that do not compress, 45 rows and four objects for each."""
    (root / "train" / "images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (930, 1240, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=90)
    raw = bytearray(buffer.getvalue())
    place = len(raw) // 2
    for number in range(count):
        raw[place : place + 8] = bytes(1 + int(digit) for digit in f"{number:08d}")  # no marker of JPEG's
        (root / "train" / "images" / f"SPAQ_{number:05d}.jpg").write_bytes(raw)
    told = [objects_of(number) for number in range(count)]
    (root / "train" / "train_metadata.json").write_text(json.dumps([said for _, said in told]))
    for name, per_photograph in PER_PHOTOGRAPH.items():
        path = root / "train" / "ViDA-qwen2" / f"ViDA-{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for boxes, said in told:
                file.writelines(
                    json.dumps(conversation(name, boxes, said["image"], k)) + "\n" for k in range(per_photograph)
                )


def objects_of(number: int) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """The marked-up phrases of a photograph's objects and their boxes, and its line of metadata."""
    rng = np.random.default_rng(number)
    corners = np.sort(rng.choice(1001, (BOXES, 2, 2), replace=True), axis=1)
    corners[:, 1] += corners[:, 0] == corners[:, 1]
    distortions, marked = [], []
    for k, ((x1, y1), (x2, y2)) in enumerate(corners.tolist()):
        x1, y1 = min(x1, 999), min(y1, 999)
        x2, y2 = min(max(x2, x1 + 1), 1000), min(max(y2, y1 + 1), 1000)
        name = DEFECT_CLASSES[(number + k) % 10]
        phrase, box = f"<|object_ref_start|>Severe {name}<|object_ref_end|>", f"({x1},{y1}),({x2},{y2})"
        marked.append((phrase, f"<|box_start|>{box}<|box_end|>"))
        said = {"id": str(k), "distortion": name.capitalize(), "coordinates": [x1, y1, x2, y2], "severity": "Severe"}
        said |= {"visual manifestation": f"{WORDS} {k}", "perception impact": WORDS, "position": "at the bricks"}
        distortions.append(said | {"region_quality_scores": "The quality is poor."})
    image = f"SPAQ_{number:05d}.jpg"
    return marked, {"image": image, "mos": 2.0, "level": "poor", "distortions": distortions}


def conversation(kind: str, marked: list[tuple[str, str]], image: str, k: int) -> dict[str, Any]:
    """A row of a file of texts."""
    every = [name + box for name, box in marked]
    _, box = marked[k % len(marked)]
    question, answer = {
        "D/assess": ("Describe the quality of this image.", f"{WORDS} ".join(every) + f". {WORDS}"),
        "D/brief_assess": ("Describe it in brief.", WORDS),
        "D/dist_assess": (f"How bad is the distortion in {box}?", f"{WORDS} {k}"),
        "G/dist_detect": ("Which distortions are there?", ":\n" + "\n".join(every) + "."),
        "G/ref-grounding": (f"Where is this: {WORDS} {k}", box),
        "G/reg-perception": (f"What distortion affects this region {box}? {k}", "No distortion affects this region."),
        "P/mcq": (f"How severe is it, {k}?\nA. Minor\nB. Moderate\nC. Severe\nD. Not visible", "C. Severe"),
        "P/qa": (f"Is brick {k} sharp?", "No, it is not."),
        "P/score": (f"How would you rate it, {k}?", "The quality of the image is poor."),
    }[kind]
    turns = [{"from": "human", "value": f"<image>{question}"}, {"from": "gpt", "value": answer}]
    return {"id": k, "image": image, "conversations": turns}


def write_plain(held: list[dict[str, Any]], path: Path) -> None:
    """What one writes who has the rows: pyarrow's own defaults, in groups of the same size."""
    schema = features(OPTIONAL).arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for group in batches(held, ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU-seconds."""
    began = time.process_time()
    result = run()
    return result, time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
