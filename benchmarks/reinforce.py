"""What reinforcement adds to the tiny model of the demo, beside supervised steps; README.md says what was measured.

`giqa demo` first, then `python benchmarks/reinforce.py giqa-demo`: about half an hour on 2 cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.package_files import shipped


HALF, WHOLE = "tiny-llava-sft/checkpoint-1000", "tiny-llava-sft"
COLUMNS = ("miou", "tag_recall", "bleu4")


class Course(NamedTuple):
    """A training: its name, the model that it begins with, the command, and its keys."""

    name: str
    start: str
    verb: str
    keys: dict[str, Any]


def courses(steps: int) -> list[Course]:
    """List what is compared; `steps` of reinforcement, and half as many again of supervision."""
    grpo, sft = {"max_steps": steps}, {"max_steps": steps * 3 // 2, "learning_rate": 5e-4}
    boxes = {"reward_funcs": "giqa_metrics.rewards.overlap"}
    return [
        Course("half-way, grounding", HALF, "grpo", grpo),
        Course("half-way, overlap alone", HALF, "grpo", grpo | boxes),
        Course("half-way, supervised", HALF, "sft", sft),
        Course("finished, grounding", WHOLE, "grpo", grpo),
    ]


def run(folder: Path, *command: object) -> str:
    """Run a command of this environment in a folder; its output is shown only if it fails."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TQDM_DISABLE": "1"}
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def scored(folder: Path, model: str, name: str) -> Path:
    """Predict and score the held-out crops, and return the run."""
    out = folder / "runs" / name.replace(", ", "-").replace(" ", "-")
    run(folder, "giqa", "predict", "--model", model, "--data", "giqa-tiny", "--out", out)
    run(folder, "giqa", "score", out, "--similarity", "exact")
    return out


def compared(folder: Path, before: Path, after: Path) -> dict[str, Any]:
    """Compare the descriptions' scores of two runs, by their names."""
    found = json.loads(run(folder, "giqa", "compare", before, after, "--format", "json"))
    return {each["score"]: each for each in found if each["task"] == "des"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score, compare, and print a line for each course."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the folder of giqa demo")
    parser.add_argument("--steps", type=int, default=200)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("giqa-tiny", "tiny-llava-sft"):
            (folder / inner).symlink_to((asked.demo / inner).resolve())
        (folder / "recipes").symlink_to(shipped("recipes"))
        starts = {start: scored(folder, start, start.replace("/", "-")) for start in (HALF, WHOLE)}
        print(
            f"{'':32}{'CPU-s':>8}"
            + "".join(f"{score:>12}" for score in COLUMNS)
            + f"{'change':>10}  95 % interval      p (Holm)"
        )
        for start, before in starts.items():
            its = compared(folder, before, starts[WHOLE])
            print(f"{start:32}{'':8}" + "".join(f"{its[score]['a']:>12.3f}" for score in COLUMNS), flush=True)
        for number, course in enumerate(courses(asked.steps)):
            begin = os.times()
            keys = [text for key, value in course.keys.items() for text in (f"--{key}", value)]
            config = "recipes/tiny/grpo.yaml" if course.verb == "grpo" else "recipes/tiny/sft_full.yaml"
            model = f"model-{number}"
            run(
                folder,
                *("trl", course.verb, "--config", config, "--model_name_or_path", course.start),
                *("--output_dir", model, *keys),
            )
            spent = os.times()
            seconds = spent.children_user + spent.children_system - begin.children_user - begin.children_system
            found = compared(folder, starts[course.start], scored(folder, model, course.name))
            miou = found["miou"]
            low, high = miou["difference"]["interval"]
            scores = "".join(f"{found[score]['b']:>12.3f}" for score in COLUMNS)
            print(
                f"{course.name:32}{seconds:>8.0f}{scores}"
                f"{miou['b'] - miou['a']:>+10.3f}  {low:+.3f} to {high:+.3f}{miou['p_holm']:>10.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
