"""giqa-bench: the requirements of a benchmark that experts made (protocol section 6), and the proof of each.

Beside its rows, `provenance/review/` has all rounds without the annotators' names, and `provenance/compared.jsonl` the
data sets with which it shares no image. A set that reviewers corrected for training has `provenance/corrections.json`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError

from giqa_datasets.builders.eval_yaml import BENCHMARKS, benchmark_eval_yaml
from giqa_datasets.builders.giqa_160k import beside_paper, count_samples
from giqa_datasets.builders.published import beside_published
from giqa_datasets.dataset_folder.columns import Columns, SplitCounts
from giqa_datasets.dataset_folder.parquet import annotations_of
from giqa_datasets.dataset_folder.shards import open_shards, refuse
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of, read_lines
from giqa_datasets.review.agreement import Agreement, agreement
from giqa_datasets.review.corrections import Corrections
from giqa_datasets.review.items import review_path, state_of
from giqa_datasets.review.rounds import Round, anonymous, is_scripted, read_rounds, round_files
from giqa_datasets.review.states import State, content, stored


REVIEW = Path("provenance", "review")  # in a data set folder
COMPARED = Path("provenance", "compared.jsonl")
CORRECTIONS = Path("provenance", "corrections.json")
MIN_ANNOTATORS = 3  # of each sample
# GIQA-Bench in the paper
PAPER = {
    "images": 100,
    "samples": 250,
    "descriptions": 100,
    "Yes/No, Yes": 35,
    "Yes/No, No": 55,
    "What": 30,
    "Why": 18,
    "How": 12,
}
# Least numbers of giqa-bench-mini, ours; Yes and No balanced as the paper's
MINI = {"images": 24, "descriptions": 24, "Yes/No": 24, "What/Which/Why/How": 18}
_WHOLE = re.compile(r"(?i:(the |this |an? )?(image|picture|photo|photograph|shot))|[\W\d_]*")


class Compared(BaseModel):
    """A data set whose images are not in the benchmark."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of its shards
    images: int = Field(ge=0)  # those of which the benchmark has no file with the same bytes
    unseen: int = Field(ge=0)  # those of them without pixels, which cannot be compared by their looks


class Benchmark(NamedTuple):
    """The making of a benchmark: the rounds of its review, anonymous, and the sets that it shares no image with."""

    rounds: Sequence[Round]
    compared: Sequence[Compared]

    @classmethod
    def of_review(cls, folder: Path, compared: Sequence[Compared]) -> Self:
        """Read the review of a data set folder, without the annotators' names; raises as `read_rounds`."""
        return cls(anonymous(read_rounds(review_path(folder))), compared)

    @property
    def is_scripted(self) -> bool:
        """True if programs voted; their agreement means nothing."""
        return any(is_scripted(annotator) for _, votes in self.rounds for annotator in votes)

    @property
    def n_annotators(self) -> int:
        """The number of annotators who voted in any round."""
        return len({annotator for _, votes in self.rounds for annotator in votes})

    def agreements(self) -> Iterator[tuple[int, Agreement]]:
        """Yield the agreement in each round, by its number, if two annotators voted on the same sample."""
        for number, (begin, votes) in enumerate(self.rounds, start=1):
            found = agreement(begin, votes)
            if found.n_samples:
                yield number, found


class Incomplete(InputError):
    """An incomplete benchmark; `short` says what it lacks, a sentence each."""

    def __init__(self, name: str, short: Sequence[str]) -> None:
        """Take the set's name and the sentences."""
        super().__init__(f"{name} is short of {len(short)} things: {'; '.join(short)}")
        self.short = short


def read_benchmark(folder: Path) -> Benchmark | None:
    """Read the making of the benchmark in a data set folder; None if it has no review.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If one is not valid.
    """
    if not (folder / REVIEW).is_dir():
        return None
    if not (folder / COMPARED).is_file():
        raise InputError(f"expected {COMPARED} beside {REVIEW}, found none")
    return Benchmark(read_rounds(folder / REVIEW), [line for _, line in read_lines(folder / COMPARED, Compared)])


def read_review(folder: Path) -> Benchmark | Corrections | None:
    """Read what reviewers did to a data set folder, of a benchmark or of another set; None if it has no review.

    Raises as `read_benchmark`.
    """
    path = folder / CORRECTIONS
    if not path.is_file():
        return read_benchmark(folder)
    try:
        return Corrections.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: {fault_of(error)}") from error


def card_fields(
    name: str, counts: Mapping[str, SplitCounts], review: Benchmark | Corrections | None
) -> dict[str, Any]:
    """Return the fields of a set's card that not every set has; `review` is as of `read_review`."""
    benchmark = review if isinstance(review, Benchmark) else None
    return {
        "beside_paper": beside_paper(counts, PAPER) if name == "giqa-bench" else beside_paper(counts),
        "beside_published": beside_published(name, counts),
        "benchmark": benchmark,
        "corrections": review if isinstance(review, Corrections) else None,
        "short": short_of(name, counts, benchmark) if benchmark else [],
    }


def benchmark_files(
    name: str, counts: Mapping[str, SplitCounts], review: Benchmark | Corrections | None
) -> dict[str, str]:
    """Return the texts of a folder that not every set has, by path, as `read_review` reads them."""
    files = {}
    if name in BENCHMARKS:
        views = {"des" if kind == "des" else "vqa" for split in counts.values() for kind in split.rows}
        files["eval.yaml"] = benchmark_eval_yaml(name, views)
    if isinstance(review, Benchmark):
        files |= {f"{REVIEW}/{path}": text for path, text in round_files(review.rounds).items()}
        files[str(COMPARED)] = "".join(f"{each.model_dump_json()}\n" for each in review.compared)
    elif review:
        files[str(CORRECTIONS)] = review.model_dump_json(indent=2) + "\n"
    return files


def unlike_review(data: Path, benchmark: Benchmark) -> Iterator[str]:
    """Yield the split and the id of each row that differs from the last round of its review."""
    samples = benchmark.rounds[-1].begin
    for shard in open_shards(data, refuse):
        with shard.file:
            for values in annotations_of(shard.path).to_pylist():
                due = samples.get(values["id"])
                try:
                    row = state_of(Columns.model_validate(values))
                except ValueError:  # a text or a box that no review may have
                    due = None
                if due is None or (row.image, content(row)) != (due.image, content(stored(due))):
                    yield f"{shard.split} {values['id']!r}"


def short_of(name: str, counts: Mapping[str, SplitCounts], benchmark: Benchmark) -> list[str]:
    """Say what a benchmark lacks, a sentence each."""
    wrong = (row for row in beside_paper(counts, PAPER) if row[1] != row[2])
    as_paper = (f"{what}: expected {paper}, as in the paper, got {here}" for what, paper, here in wrong)
    composition = as_paper if name == "giqa-bench" else _short_of_mini(counts)
    samples = list(benchmark.rounds[-1].begin.values())
    return [*composition, *_short_of_votes(benchmark), *_short_of_boxes(samples), *_shared(name, benchmark)]


def _short_of_mini(counts: Mapping[str, SplitCounts]) -> Iterator[str]:
    ours = count_samples(counts)
    for what, least in MINI.items():
        if ours[what] < least:
            yield f"{what}: expected {least} at least, got {ours[what]}"
    n_yes = round(ours["Yes/No"] * PAPER["Yes/No, Yes"] / (PAPER["Yes/No, Yes"] + PAPER["Yes/No, No"]))
    if ours["Yes/No, Yes"] != n_yes:
        yield f"Yes/No, Yes: expected {n_yes} of {ours['Yes/No']}, as in the paper, got {ours['Yes/No, Yes']}"


def _short_of_votes(benchmark: Benchmark) -> Iterator[str]:
    rounds = benchmark.rounds
    if n_open := sum(map(len, rounds[-1].votes.values())):
        yield f"votes: expected all to be merged by giqa review --merge, got {n_open} new ones in round {len(rounds)}"
    voters: dict[str, set[str]] = {name: set() for name in rounds[-1].begin}
    for _, votes in rounds:
        for annotator, of_one in votes.items():
            for name in of_one.keys() & voters:
                voters[name] |= set() if is_scripted(annotator) else {annotator}
    few = [name for name, found in voters.items() if len(found) < MIN_ANNOTATORS]
    if few:
        programs = ", programs not counted" if benchmark.is_scripted else ""
        yield (
            f"annotators: expected {MIN_ANNOTATORS} on each sample, got fewer on {len(few)}, such as {few[0]!r} with "
            f"{len(voters[few[0]])}{programs}"
        )


def _short_of_boxes(samples: Iterable[State]) -> Iterator[str]:
    without, nameless = [], []
    for sample in samples:
        roles = {region.role for region in sample.regions}
        if not ("answer" in roles if sample.task == "des" else roles):
            without.append(sample.id)
        nameless += [(region.phrase, sample.id) for region in sample.regions if _WHOLE.fullmatch(region.phrase)]
    if without:
        yield f"boxes: expected some in each sample, got none in {len(without)}: {without[0]!r} first"
    if nameless:
        phrase, name = nameless[0]
        yield (
            f"objects: expected each box on an object that the text names, got {len(nameless)} on other words, "
            f"such as {phrase!r} in {name!r}"
        )


def _shared(name: str, benchmark: Benchmark) -> Iterator[str]:
    if name == "giqa-bench" and "giqa-160k" not in {each.name for each in benchmark.compared}:
        yield "images: expected --exclude with the folder of giqa-160k, whose images it must not share, got none"
    for each in benchmark.compared:
        if each.unseen:
            yield (
                f"images: expected {each.name} with pixels, to look for what looks like its images, got "
                f"{each.unseen} of {each.images} without"
            )
