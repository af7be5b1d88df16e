"""Speed and memory of `giqa_grounding`, beside what people write instead; README.md says what is measured."""

import os


os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before numpy

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import peers
from workload import SAMPLES, Sample, samples

from giqa_datasets import parse
from giqa_datasets.batches import batches
from giqa_datasets.defaults import RESAMPLES
from giqa_datasets.formats import box_format
from giqa_datasets.text_scan import scan, scan_replies
from giqa_metrics.grounding import (
    CHUNK,
    IOU_THRESHOLD,
    SIMILARITY_THRESHOLD,
    aggregate,
    grounding_stats,
    lines_of,
    meet,
    settings_of,
)


Texts = Sequence[tuple[str, str]]

OURS = "giqa_grounding"
PEERS = {  # and how many times faster we want to be
    "plain Python, greedy": (peers.plain, 4),
    "pycocotools IoU, scipy assignment": (peers.pycocotools_scipy, 5),
    "hotcoco IoU and assignment": (peers.hotcoco, 5),
}
TOLERANCE = 1e-9
GROWTH_MB = 50
BOOTSTRAP_MB = 500
PARTS = ["speed", "memory", "bootstrap", "score"]
LINES_FACTOR = 2  # how many times faster than plain Python, which writes nothing, the lines of scores.jsonl are made
FORMATS_FACTOR = 1  # how many times faster than plain Python, which reads giqa alone, other box formats are scored
OTHER_FORMATS = ["giqa_decimal", "qwen2_vl", "ferret", "qwen3_vl"]  # one of each kind: text, markers, brackets, JSON
SCORE_SECONDS, SCORE_MB = 120, 1000  # of the command, at the size of GIQA-160K

# VmHWM, because ru_maxrss begins at the peak of the process that started this one
PEAK = 'int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6'
STREAM = f"""
import json, sys
from itertools import islice
from pathlib import Path
from giqa_metrics.grounding import aggregate, grounding_stats

with open(sys.argv[1], encoding="utf-8") as lines:
    texts = (tuple(json.loads(line)) for line in islice(lines, int(sys.argv[2])))
    assert aggregate(grounding_stats(texts, similarity="exact"))["n_samples"] == int(sys.argv[2])
print({PEAK})
"""
RESAMPLE = f"""
import sys, time
from pathlib import Path
import numpy as np
from giqa_metrics.resampling import intervals
from giqa_metrics.grounding import GroundingStats, aggregate

table, images = np.load(sys.argv[1]), np.load(sys.argv[2]).tolist()
start = time.process_time()
found = intervals(table, images, lambda sums: aggregate(GroundingStats.of(sums)))
print(time.process_time() - start, {PEAK}, found["miou"])
"""


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of the workload (default: %(default)s)")
    parser.add_argument("--peer-samples", type=int, default=20_000, help="the first of them, for the peers' speed")
    parser.add_argument("--rounds", type=int, default=5, help="medians are over them")
    parser.add_argument("--memory-samples", type=int, nargs=2, default=(10_000, 1_000_000), metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if {"speed", "bootstrap"} & {*options.only}:
        drawn = list(samples(options.samples, seed=options.seed))
        texts = [(sample.prediction, sample.reference) for sample in drawn]
    if "speed" in options.only:
        values(texts)
        speed(texts, texts[: options.peer_samples], options.rounds)
        lines(texts[: options.peer_samples], options.rounds)
        formats(texts[: options.peer_samples // 4], options.rounds)
    if "memory" in options.only:
        memory(*options.memory_samples, seed=options.seed)
    if "bootstrap" in options.only:
        bootstrap(texts, [sample.image for sample in drawn])
    if "score" in options.only:
        score(options.samples, seed=options.seed)


def ours(texts: Texts) -> dict[str, Any]:
    """Raw text to scores."""
    return aggregate(grounding_stats(texts, similarity="exact"))


def values(texts: Texts) -> None:
    """Print everyone's values.

    Raises:
        AssertionError: If those of plain Python are not ours.
    """
    scores = ours(texts)
    mine = peers.Scores(*(scores[name] for name in peers.Scores._fields))
    print(f"{len(texts):,} samples")
    row = "{:36}{:>10}{:>13}{:>12}{:>13}".format
    print(row("values", *peers.Scores._fields))
    print(row(OURS, *(f"{value:.6g}" for value in mine)))
    for name, (score, _) in PEERS.items():
        theirs = score(texts)
        print(row(name, *(f"{value:.6g}" for value in theirs)))
        if score is peers.plain:
            apart = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
            assert apart <= TOLERANCE, f"expected plain Python's values, got {mine} and {theirs}"
            print(f"  identical: at most {apart:.1g} apart")


def speed(texts: Texts, part: Texts, rounds: int) -> None:
    """Print samples per CPU-second: ours on all texts, each peer's on a part, in turns."""
    rates: dict[str, list[float]] = {name: [] for name in (OURS, *PEERS)}
    for _ in range(rounds):
        for name, (score, _) in PEERS.items():
            rates[OURS].append(_rate(ours, texts))
            rates[name].append(_rate(score, part))
    print(f"\nmedians of {rounds} rounds in turns; peers on the first {len(part):,} samples")
    row = "{:36}{:>24}{:>8}{:>8}  {}".format
    print(row("speed, one thread", "samples per CPU-second", "ours/it", "target", ""))
    own = median(rates[OURS])
    print(row(OURS, f"{own:,.0f}", "", "", "").rstrip())
    for name, (_, target) in PEERS.items():
        rate = median(rates[name])
        print(row(name, f"{rate:,.0f}", f"{own / rate:.2f}", target, _verdict(own / rate >= target)))


def lines(part: Texts, rounds: int) -> None:
    """Print samples per CPU-second of what `giqa score` makes of the boxes: sums and a line of JSON per sample."""
    rates: dict[str, list[float]] = {OURS: [], "plain Python": []}
    for _ in range(rounds):
        rates[OURS].append(_rate(_lines, part))
        rates["plain Python"].append(_rate(peers.plain, part))
    own, plain = median(rates[OURS]), median(rates["plain Python"])
    print(f"\nlines of scores.jsonl, {sum(map(len, _lines(part))) / len(part):,.0f} characters a sample")
    print(
        f"{own:,.0f} samples per CPU-second, plain Python {plain:,.0f} writing nothing: {own / plain:.2f} times, "
        f"target {LINES_FACTOR}, {_verdict(own / plain >= LINES_FACTOR)}"
    )


def _lines(texts: Texts) -> list[str]:
    """What `giqa score` keeps of the boxes of each sample."""
    settings = settings_of("exact", IOU_THRESHOLD, SIMILARITY_THRESHOLD, "paper")
    made = []
    for chunk in batches(texts, CHUNK):
        predictions, references = zip(*chunk, strict=True)
        made += lines_of(meet(scan_replies(predictions), scan(references), settings, count=len(chunk)))
    return made


def formats(part: Texts, rounds: int) -> None:
    """Print samples per CPU-second of predictions in other box formats, beside plain Python reading giqa."""
    translated = {name: [(_translated(text, name), reference) for text, reference in part] for name in OTHER_FORMATS}
    rates: dict[str, list[float]] = {name: [] for name in ("plain Python", *OTHER_FORMATS)}
    for _ in range(rounds):
        rates["plain Python"].append(_rate(peers.plain, part))
        for name, texts in translated.items():
            rates[name].append(_rate(partial(grounding_stats, similarity="exact", box_format=name), texts))
    plain = median(rates["plain Python"])
    print(f"\nother box formats, {len(part):,} samples; plain Python reads giqa, {plain:,.0f} samples per CPU-second")
    for name in OTHER_FORMATS:
        own = median(rates[name])
        verdict = _verdict(own / plain >= FORMATS_FACTOR)
        print(f"{name:36}{own:24,.0f}{own / plain:8.2f}{FORMATS_FACTOR:8}  {verdict}")


def _translated(text: str, name: str) -> str:
    """A prediction in another format; one that the format cannot write stays as it is."""
    found = parse(text)
    try:
        return box_format(name).write(found.plain, found.regions)
    except ValueError:
        return text


def score(count: int, *, seed: int) -> None:
    """Print what `giqa score` and `giqa check` cost in fresh processes, on a set without pixels."""
    with tempfile.TemporaryDirectory() as folder:
        run = write_set(Path(folder), count, seed=seed)
        environment = os.environ | {"HF_HOME": str(Path(folder) / "home"), "HF_HUB_OFFLINE": "1"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        loaded = f"import datasets; datasets.load_dataset({str(run.parent / 'set')!r})"
        subprocess.run([sys.executable, "-c", loaded], check=True, env=environment, capture_output=True)
        options = ["--data", str(run.parent / "set"), "--similarity", "lexical"]
        scored = _command(["score", str(run), *options], environment)
        checked = _command(["check", str(run)], environment)
        size = (run / "scores.jsonl").stat().st_size / 1e6
    print(f"\ngiqa score, {count:,} samples without pixels, lexical similarity, {RESAMPLES:,} resamples, no judge")
    limit = SCORE_SECONDS * count / SAMPLES
    print(f"score: {scored[0]:7.1f} CPU-seconds, target <= {limit:.0f}, {_verdict(scored[0] <= limit)}")
    print(f"check: {checked[0]:7.1f} CPU-seconds, target <= scoring, {_verdict(checked[0] <= scored[0])}")
    print(f"peak:  {scored[1]:7.1f} MB, target <= {SCORE_MB}, {_verdict(scored[1] <= SCORE_MB)}")
    print(f"check: {checked[1]:7.1f} MB; scores.jsonl {size:,.0f} MB")


def write_set(folder: Path, count: int, *, seed: int) -> Path:
    """Write a data set without pixels in `set` and a run on it in `run`, which is returned."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run, data = folder / "run", folder / "set" / "data"
    run.mkdir(parents=True)
    data.mkdir(parents=True)
    kinds = ("des", "yes_no", "what", "des", "yes_no")
    writer = None
    with (run / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for chunk in batches(enumerate(samples(count, seed=seed)), 5000):
            rows = [_row(f"{index:06}", kinds[index % len(kinds)], sample) for index, sample in chunk]
            for row, (index, sample) in zip(rows, chunk, strict=True):
                verdict = ("Yes. ", "No. ")[index % 2] if row["question_type"] == "yes_no" else ""
                file.write(json.dumps({"id": row["id"], "prediction": verdict + sample.prediction}) + "\n")
            table = pa.Table.from_pylist(rows)
            writer = writer or pq.ParquetWriter(data / "test-00000-of-00001.parquet", table.schema)
            writer.write_table(table)
    if writer is not None:
        writer.close()
    return run


def _row(identifier: str, kind: str, sample: Sample) -> dict[str, Any]:
    """A row of a data set without pixels."""
    text = parse(sample.reference)
    return {
        "id": identifier,
        "width": 640,
        "height": 480,
        "task": "des" if kind == "des" else "vqa",
        "question_type": kind,
        "question": "What is blurred?",
        "answer": ("Yes. " if kind == "yes_no" else "") + sample.reference,
        "regions": [
            {"phrase": region.phrase, "role": "answer", "boxes": region.boxes.astype(np.float32).tolist()}
            for region in text.regions
        ],
        "distortions": [{"name": "gaussian_blur", "severity": 2}],
        "image_sha256": f"{sample.image:064x}",
    }


def _command(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU-seconds and peak memory in MB of the command."""
    script = f"""
import sys, time
from pathlib import Path
from giqa_metrics.cli import main

sys.argv[1:] = {arguments!r}
try:
    main()
finally:
    print("cost", time.process_time(), {PEAK})
"""
    child = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    costs = [line.split()[1:] for line in child.stdout.splitlines() if line.startswith("cost ")]
    if child.returncode or not costs:
        sys.exit(f"giqa {' '.join(arguments)} ended with {child.returncode}")
    return float(costs[0][0]), float(costs[0][1])


def memory(few: int, many: int, *, seed: int) -> None:
    """Print how a fresh process's peak memory grows with the samples that it reads from a file, line by line."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(sample[:2]) + "\n" for sample in samples(many, seed=seed))
        print(f"\nmemory, samples from a file of {file.stat().st_size / 1e6:,.0f} MB, line by line")
        for count in (few, many):
            peaks.append(float(_fresh_process(STREAM, file, count)))
            print(f"peak with {count:9,} samples: {peaks[-1]:6.1f} MB")
    growth = peaks[1] - peaks[0]
    print(f"growth: {growth:.1f} MB, target < {GROWTH_MB}, {_verdict(growth < GROWTH_MB)}")


def bootstrap(texts: Texts, images: Sequence[int]) -> None:
    """Print what confidence intervals cost, beside the scoring, in a fresh process that holds the statistics alone."""
    scoring = len(texts) / _rate(ours, texts)
    settings = settings_of("exact", IOU_THRESHOLD, SIMILARITY_THRESHOLD, "paper")
    tables = []
    for chunk in batches(texts, CHUNK):
        predictions, references = zip(*chunk, strict=True)
        tables.append(meet(scan_replies(predictions), scan(references), settings, count=len(chunk)).table)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "table.npy", Path(folder) / "images.npy"
        np.save(files[0], np.concatenate(tables))
        np.save(files[1], images)
        seconds, megabytes, interval = _fresh_process(RESAMPLE, *files).split(maxsplit=2)
    share, peak = float(seconds) / scoring, float(megabytes)
    print(f"\nbootstrap over the images of {len(texts):,} samples; miou {interval}")
    print(f"time / time of scoring: {share:.2f}, target <= 1, {_verdict(share <= 1)}")
    print(f"peak: {peak:.1f} MB, target < {BOOTSTRAP_MB}, {_verdict(peak < BOOTSTRAP_MB)}")


def _fresh_process(script: str, *arguments: object) -> str:
    """What a Python script prints."""
    child = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _rate(score: Callable[[Texts], Any], texts: Texts) -> float:
    """Samples per CPU-second."""
    gc.collect()
    start = time.process_time()
    score(texts)
    return len(texts) / (time.process_time() - start)


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"


if __name__ == "__main__":
    main()
