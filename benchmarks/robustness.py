"""What strangers send, kills, faults, crowds and a million samples: tried and lost; README.md says what is measured.

Servers are on loopback: the tests' Hub, their scripted model, and the review's and the app's own pages.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

SEED = 0
LIMIT = 3 << 30  # bytes that a command may take for a million samples
LINEAR = 3.0  # how many times longer a text of twice the length may take


class Row(NamedTuple):
    """A line of the table."""

    what: str
    tried: int
    lost: list[str]  # a name each
    note: str = ""


class Sizes(NamedTuple):
    """How much is tried."""

    strings: int  # a format
    kills: int  # a command
    samples: int
    reported: int
    votes: int  # a reviewer


FULL, QUICK = Sizes(1_000_000, 10_000, 1_000_000, 10_000, 50), Sizes(2_000, 3, 2_000, 100, 3)


def main() -> None:
    options = _options()
    sizes = Sizes(*(getattr(options, name) for name in Sizes._fields))
    print(f"seed {options.seed}; {', '.join(f'{name} {size:,}' for name, size in sizes._asdict().items())}")
    print(f"\n{'':58}{'tried':>12}{'lost':>6}")
    n_lost = 0
    with tempfile.TemporaryDirectory() as work:
        os.environ |= {"GIQA_TESTS": work, "HF_HOME": str(Path(work) / "home"), "HF_HUB_OFFLINE": "1"}
        for name in options.only:
            folder = Path(work) / name
            folder.mkdir()
            for row in PARTS[name](folder, sizes, options.seed):
                print(f"{name + ': ' + row.what:58}{row.tried:>12,}{len(row.lost):>6}  {row.note}", flush=True)
                print("".join(f"    {lost}\n" for lost in row.lost[:10]), end="", flush=True)
                n_lost += len(row.lost)
    sys.exit(bool(n_lost))


def strings(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Texts that break readers, read as each format: nothing raises, and what is read holds together."""
    from giqa_datasets.formats import FORMATS, box_format
    from tests.giqa_datasets import texts

    for name in FORMATS:
        read, rng, lost = box_format(name).read, random.Random(seed), []
        found = wrong = 0
        began = time.process_time()
        for _ in range(sizes.strings):
            text = _hostile(rng, texts.PIECES, texts.WHOLE)
            try:
                grounded = read(text, texts.SIZES)
                texts.assert_consistent(grounded)
            except Exception as error:
                lost.append(f"{text!r}: {error!r}")
                continue
            found, wrong = found + len(grounded.regions), wrong + len(grounded.malformed)
        seconds = time.process_time() - began
        note = f"{found:,} regions, {wrong:,} malformed, {seconds:.0f} s"
        yield Row(f"{name}, random texts", sizes.strings, lost, note)
    yield _linear(sizes)


def _hostile(rng: random.Random, pieces: list[str], whole: list[str]) -> str:
    """Pieces of all formats in any order, or an answer in one with a hole that they fill."""
    filled = "".join(rng.choices(pieces, k=rng.randrange(25)))
    if rng.random() < 0.5:
        return filled
    text, at = rng.choice(whole), rng.randrange(260)
    return text[:at] + filled + text[at + rng.randrange(12) :]


def _linear(sizes: Sizes) -> Row:
    """A piece said over and over, and twice as often: it takes twice as long."""
    from giqa_datasets.formats import FORMATS, box_format
    from tests.giqa_datasets import texts

    length = 20_000 if sizes.strings > QUICK.strings else 4_000

    def seconds(name: str, text: str) -> float:
        began = time.process_time()
        box_format(name).read(text, texts.SIZES)
        return time.process_time() - began

    lost, worst, tried = [], 0.0, 0
    for name in FORMATS:
        for piece in texts.PIECES:
            short = piece * (length // len(piece))
            tried += 1
            ratios = []
            while not ratios or (min(ratios) > LINEAR and len(ratios) < 3):
                ratios.append(seconds(name, short * 2) / max(seconds(name, short), 0.005))
            worst = max(worst, min(ratios))
            lost += [f"{name}: {piece!r}"] * (min(ratios) > LINEAR)
    return Row("texts twice as long, all formats", tried, lost, f"at most {worst:.1f} times the time")


def kills(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Commands killed at each thing that they do to a file, and run again."""
    from robustness_kills import commands, kill_everywhere

    for command, begins_with in commands(folder):
        outcomes = dict(kill_everywhere(command, begins_with, sizes.kills))
        lost = [f"{command.name}, change {at}: {what}" for at, what in outcomes.items() if what]
        yield Row(command.name, len(outcomes), lost)


def hub(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """A publisher that is killed at each request, and a Hub that fails at each, in each way."""
    from robustness_servers import failing_hub, killed_publisher

    yield Row("publisher killed at a request", *killed_publisher(folder / "killed", sizes.kills))
    yield Row("Hub fails at a request", *failing_hub(folder / "failing", sizes.kills))


def faults(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """A model's server that fails at each request, in each way."""
    from robustness_servers import FAULTS, failing_model

    for verb in ("predict", "score"):
        for kind in FAULTS:
            yield Row(f"{verb}, {kind}", *failing_model(folder, verb, kind, sizes.kills))


def crowds(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Twenty people at once on the review's page, and twenty photographs on the app's."""
    from robustness_servers import PEOPLE, photographs, reviewers

    yield Row(f"votes of {PEOPLE} reviewers at once", *reviewers(folder, sizes.votes))
    yield Row(f"photographs of {PEOPLE} visitors at once", *photographs(folder))


def large(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Score and check under a limit of memory."""
    from metrics import write_set

    run = write_set(folder, sizes.samples, seed=seed)
    options = ["--data", str(run.parent / "set"), "--similarity", "lexical"]
    for arguments in (["score", str(run), *options], ["check", str(run)]):
        began = time.perf_counter()
        command = [sys.executable, "-m", "giqa_metrics.cli", *arguments]
        limited = lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))  # noqa: E731
        done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        lines = sum(1 for _ in (run / "scores.jsonl").open("rb"))
        lost = [done.stderr[-300:]] if done.returncode else [] if lines == sizes.samples else [f"{lines} lines"]
        note = f"{time.perf_counter() - began:.0f} s, at most {peak:,.0f} MiB of {LIMIT >> 20:,}"
        yield Row(f"{arguments[0]}, samples", sizes.samples, lost, note)


def report(folder: Path, sizes: Sizes, seed: int) -> Iterator[Row]:
    """A report with a picture for each of many samples."""
    from robustness_servers import large_report

    yield Row("samples of one report", *large_report(folder, sizes.reported))


Part = Callable[[Path, Sizes, int], Iterator[Row]]
PARTS: dict[str, Part] = {part.__name__: part for part in (strings, kills, hub, faults, crowds, large, report)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a minute for all, to see that it runs")
    parser.add_argument("--seed", type=int, default=SEED)
    for name in Sizes._fields:
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_args()
    for name, size in (QUICK if options.quick else FULL)._asdict().items():
        if getattr(options, name) is None:
            setattr(options, name, size)
    return options


if __name__ == "__main__":
    main()
