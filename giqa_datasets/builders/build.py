"""A set from its sources to a folder that `load_dataset` reads: missing annotations are made, then all is written."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from giqa_datasets.builders.eval_yaml import BENCHMARKS
from giqa_datasets.builders.giqa_bench import Benchmark, Incomplete, benchmark_files, card_fields
from giqa_datasets.builders.sets import Entries, SetRequest, entries_of
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.columns import SplitCounts
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder, refuse_existing
from giqa_datasets.defaults import OFFLINE
from giqa_datasets.drops import FAULT, Drop
from giqa_datasets.entries import Entry
from giqa_datasets.errors import InputError
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.pipeline.annotation_folder import SETTINGS, read_settings
from giqa_datasets.pipeline.annotation_run import Engine, Outcome, annotate_into, annotated, begun, images_together
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.pipeline.fuse import ungrounded
from giqa_datasets.pipeline.model_choice import PRESETS, Choice
from giqa_datasets.records import Record, Sample
from giqa_datasets.review.corrections import REJECTED, corrected, corrections, voted_on
from giqa_datasets.review.rounds import Round, read_rounds


UNGROUNDED = "kept without a box"  # the funnel's row of these descriptions
_MODELS = ("llm", "detector", "verifier")  # the settings that name one


class Built(NamedTuple):
    """The outcome of a build."""

    counts: dict[str, SplitCounts]  # by split
    left_out: Sequence[Drop]  # entries, objects, boxes and questions
    short: list[str]  # what a benchmark's draft lacks, a sentence each
    n_faults: int  # records that a model failed at, which are left out


def annotate_set(
    entries: Entries,
    folder: Path,
    choice: Choice,
    *,
    again: bool = True,
    engine: Engine | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """Annotate a set's entries into a folder; see `annotate_into`."""
    left_out = entries.left_out
    return annotate_into(folder, entries.all, choice, again=again, left_out=left_out, engine=engine, progress=progress)


def build_set(
    request: SetRequest,
    out: Path,
    annotations: Path,
    choice: Choice | None = None,
    *,
    box_format: str = "giqa",
    keep_ungrounded: bool = False,
    review: Path | None = None,
    draft: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Built:
    """Write a data set folder.

    Args:
        request: The set and its sources.
        out: The folder to make.
        annotations: An annotation folder; entries that it lacks are annotated into it first, and those at which a
            model failed are left out: `annotate_set` tries them again.
        choice: The models; by default those with which the annotations were begun, else the set's own.
        box_format: Format of the boxes in `prompt` and `completion`.
        keep_ungrounded: Keep the descriptions without a box, so that experts can draw some.
        review: The rounds of a review of the set, `FOLDER.review`: samples are written as the reviewers left them.
        draft: Write an incomplete benchmark out of a review.
        overwrite: Replace an existing data set folder.
        progress: Wraps the rows.

    Raises:
        FileExistsError: As `build_folder`.
        FileNotFoundError: If a file of a source is missing.
        ImportError: If a package is not installed.
        Incomplete: If a benchmark is incomplete and no draft.
        OSError: If a model cannot be had.
        ValueError: If the request is wrong, the annotations were made by another choice, or no sample was left.
    """
    format_named(box_format)
    refuse_existing(out, overwrite=overwrite)
    reviewed = request.root if request.name in BENCHMARKS else None
    if draft and not reviewed:
        raise InputError(f"expected --draft with a benchmark out of a reviewed folder alone, got {request.name}")
    if review and request.name in BENCHMARKS:
        raise InputError(f"{request.name} takes no --review: it is made of the reviewed folder itself")
    rounds = read_rounds(review) if review else []
    if review and not voted_on(rounds):
        raise InputError(f"expected votes in {review}, found none")
    entries = entries_of(request, progress)
    benchmark = Benchmark.of_review(reviewed, entries.compared) if reviewed else None
    outcome, settings, splits = Outcome([], entries.left_out), None, entries.splits
    if not all(entry.samples for entry in entries.all):
        choice = choice or begun(annotations) or default_choice(request.name)
        if request.seed is not None:
            choice = replace(choice, rules=replace(choice.rules, seed=request.seed))
        outcome = annotate_set(entries, annotations, choice, again=False, progress=progress)
        outcome = outcome._replace(drops=list(map(_stated_drop, outcome.drops)))
        settings = _stated(read_settings(annotations / SETTINGS))
        splits = {split: images_together(annotations, of_split) for split, of_split in splits.items()}
    made = _Made(request.name, annotations, outcome, settings, benchmark, keep_ungrounded, draft, rounds)
    records = {split: made.records(of_split, split, progress) for split, of_split in splits.items()}
    counts = build_folder(out, request.name, records, made.say, box_format=box_format, overwrite=overwrite)
    return Built(counts, outcome.drops, made.short, outcome.n_faults)


@dataclass
class _Made:
    """The records of a set, and the provenance that their folder states once they were read."""

    name: str
    annotations: Path
    outcome: Outcome
    settings: Mapping[str, Any] | None
    benchmark: Benchmark | None
    keep_ungrounded: bool
    draft: bool
    rounds: Sequence[Round]  # of the review that corrects it; may be empty
    short: list[str] = field(default_factory=list)
    _n_out: int = 0
    _n_ungrounded: int = 0
    _n_samples: int = 0
    _n_rejected: int = 0
    _late: Counter[str] = field(default_factory=Counter)

    @cached_property
    def _voted(self) -> dict[str, str]:
        return voted_on(self.rounds)

    def records(self, entries: Sequence[Entry], split: str, progress: Progress) -> Iterator[Record]:
        listed = progress(entries, len(entries), f"{self.name} {split}")
        sample = self._ungrounded if self.keep_ungrounded or self.rounds else None
        records = self._counted(annotated(self.annotations, listed, self._drop, sample=sample))
        return corrected(records, self.rounds, self._reject) if self.rounds else records

    def say(self, counts: Mapping[str, SplitCounts]) -> Provenance:
        """The folder's provenance; raise Incomplete if a benchmark is incomplete and no draft."""
        review = self.benchmark or (corrections(self.rounds) if self.rounds else None)
        fields = card_fields(self.name, counts, review)
        self.short = fields["short"]
        if counts and self.short and not self.draft:
            raise Incomplete(self.name, self.short)
        files = benchmark_files(self.name, counts, review)
        funnel = self._funnel() if self.settings is not None else ()
        return Provenance(self.outcome.drops, funnel, self.settings, fields, files)

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass the records on, but for those whose image stands elsewhere in the set under another file's name."""
        seen: dict[int, str] = {}  # the file of each image, by the hash of its bytes, which the writer needs anyway
        last = None
        for record in records:
            photograph = record.photograph
            key = hash(photograph.image)
            if key in seen and key != last:
                same = f"{photograph.file} becomes the same image as {seen[key]}, whose rows stand elsewhere"
                self._drop(Drop(record.id, "source", "same_image", same))
                continue
            seen.setdefault(key, photograph.file)
            last = key
            self._n_out += 1
            self._n_samples += len(record.samples)
            yield record

    def _drop(self, left_out: Drop) -> None:
        self.outcome.drops.append(left_out)
        self._late[left_out.reason] += 1

    def _reject(self, left_out: Drop) -> None:
        self.outcome.drops.append(left_out)
        self._n_rejected += left_out.reason == REJECTED

    def _ungrounded(self, record: Record) -> Sample | None:
        sample = ungrounded(record)
        if not self.keep_ungrounded and sample.id not in self._voted:
            return None
        self._n_ungrounded += 1
        return sample

    def _funnel(self) -> list[Row]:
        kept = [Row(UNGROUNDED, "descriptions", n, n, {}) for n in [self._n_ungrounded] if n]
        n_in = self._n_out + self._late.total()
        built = Row("build", "descriptions", n_in, self._n_out, dict(sorted(self._late.items())))
        rejected = {REJECTED: self._n_rejected} if self._n_rejected else {}
        left = self._n_samples - self._n_rejected
        reviewed = [Row("review", "samples", self._n_samples, left, rejected)] if self.rounds else []
        return [*self.outcome.funnel, *kept, built, *reviewed]


def _stated(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without the folders of this machine: of a model's folder, only the name."""
    return {name: _without_place(said) if name in _MODELS else said for name, said in settings.items()}


def _without_place(model: str) -> str:
    return Path(model).absolute().name if Path(model).is_absolute() or model.startswith((".", "~")) else model


def _stated_drop(drop: Drop) -> Drop:
    """A drop without a model's error, which may tell of this machine and of its server."""
    return replace(drop, what="drops.jsonl of the annotations says with what") if drop.reason == FAULT else drop


def default_choice(name: str) -> Choice:
    """Return the models that annotate a set by default: the paper's for its own set."""
    return PRESETS["paper" if name == "giqa-160k" else OFFLINE]
