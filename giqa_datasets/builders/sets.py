"""The sets of `giqa annotate` and `giqa build` by name, with the entries of each split."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from giqa_datasets.builders.giqa_160k import giqa_160k
from giqa_datasets.builders.giqa_bench import Compared
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.licence_gate import images_of
from giqa_datasets.dataset_folder.shards import open_shards, refuse
from giqa_datasets.dataset_folder.write import set_name, shards_digest
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, Refused, read_once, unique, without
from giqa_datasets.errors import InputError
from giqa_datasets.image_stores import copies_of, read_manifest
from giqa_datasets.records import Photograph
from giqa_datasets.review import last_round
from giqa_datasets.sources import folder, mini, synthscars, tiny, vida_ugc, vida_ugc_2k, x_aigd
from giqa_datasets.sources.vida_photographs import name_in_set


class SetRequest(NamedTuple):
    """The sources of a set; each set has fields that it takes, and refuses to do without them."""

    name: str  # a key of `SETS`
    root: Path | None = None  # a folder of photographs with descriptions, or a reviewed data set folder
    q_pathway: Path | None = None  # the folder of Q-Instruct's `cleaned_labels.json`
    dq_495k: Path | None = None  # DataDepictQA's folder
    images: Sequence[Path] = ()  # folders with copies of the upstream images
    manifest: Path | None = None  # the sha256 of each upstream image, by which copies are found under any name
    exclude: Sequence[Path] = ()  # data set folders whose images may not occur
    seed: int | None = None  # of a set whose entries are drawn; None is 0
    limit: int | None = None  # of entries in each split
    boxes: str | None = None  # the frame of the boxes in a folder's metadata, or a file of boxes
    redistributable: bool = False  # the photographs of a folder that say nothing else
    kinds: Sequence[str] = ()  # what `type` or `qtype` of a description of Q-Pathway contains


class Entries(NamedTuple):
    """The entries of a set by split, the drops of its sources, and the data sets with which it shares no image."""

    splits: dict[str, list[Entry]]
    left_out: list[Drop]
    compared: Sequence[Compared] = ()

    @property
    def all(self) -> list[Entry]:
        """The entries of all splits, one after the other."""
        return [entry for entries in self.splits.values() for entry in entries]


def entries_of(request: SetRequest, progress: Progress = no_progress) -> Entries:
    """List the entries of a set.

    Raises:
        FileNotFoundError: If a file of a source is missing.
        ValueError: If there is no such set, it lacks a source, or a file of a source is another's.
    """
    if request.name not in SETS:
        raise InputError(f"expected a data set out of {sorted(SETS)}, got {request.name!r}")
    made = SETS[request.name]
    unwanted = [option for field, option in _OPTIONS.items() if field not in made.takes and getattr(request, field)]
    if unwanted:
        raise InputError(f"{request.name} takes no {' and no '.join(unwanted)}")
    left_out: list[Drop] = []
    splits = made.entries(request, left_out.append, progress)
    listed = {split: list(islice(entries, request.limit)) for split, entries in splits.items()}
    compared: list[Compared] = []
    if request.exclude:
        refuse = _Excluded(request.exclude, progress)
        compared = refuse.compared
        listed = {split: list(without(entries, refuse)) for split, entries in listed.items()}
    kept = {id(entry) for entry in unique(chain.from_iterable(listed.values()), left_out.append)}
    listed = {split: [entry for entry in entries if id(entry) in kept] for split, entries in listed.items()}
    once = read_once(entry for entries in listed.values() for entry in entries)
    return Entries({split: list(islice(once, len(entries))) for split, entries in listed.items()}, left_out, compared)


def options_given(request: SetRequest) -> list[str]:
    """List the command's options that a request holds."""
    named = _OPTIONS | {"exclude": "--exclude", "seed": "--seed", "limit": "--limit"}
    return [option for field, option in named.items() if getattr(request, field) != SetRequest._field_defaults[field]]


class _Excluded:
    """Refuses the photographs of other data sets, by bytes, by look, or by name where both took it from one set."""

    def __init__(self, folders: Sequence[Path], progress: Progress) -> None:
        from giqa_datasets.near_duplicates import lookalikes_of

        self._known = [lookalikes_of(folder, progress) for folder in folders]
        self._names = {name: folder for folder in reversed(folders) for name in _names_in_sets(folder)}
        self.compared = [
            Compared(
                name=_name_of(folder),
                sha256=shards_digest((folder / "data").iterdir()),
                images=len(known),
                unseen=known.n_unseen,
            )
            for folder, known in zip(folders, self._known, strict=True)
        ]

    def __call__(self, photograph: Photograph) -> None:
        name = name_in_set(photograph.source, photograph.file)
        if name in self._names:
            said = f"{photograph.file}: {name[1]!r} of {name[0]} as in {self._names[name].name}"
            raise Refused("excluded_image", said)
        for known in self._known:
            if match := known.find(photograph.sha256, photograph.image):
                raise Refused("excluded_image", f"{photograph.file}: {match}")


def _names_in_sets(folder: Path) -> set[tuple[str, str]]:
    """The names of a data set's images in the sets that they were taken from, so far as its manifest has them."""
    manifest = folder / "provenance" / "images.jsonl"
    files = read_manifest(manifest) if manifest.exists() else {}
    source_of: dict[str, str] = {}
    for shard in open_shards(folder / "data", refuse):
        with shard.file:
            source_of |= {sha256: source for (source, *_), sha256 in images_of(shard)}
    named = (name_in_set(source_of.get(sha256, ""), file) for file, sha256 in files.items())
    return set(filter(None, named))


def _name_of(folder: Path) -> str:
    """The name of the set in a data set folder, from its card or else the folder's name."""
    card = folder / "README.md"
    said = set_name(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    return said or folder.resolve().name


def _folder(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    root = _root(request, "a folder of photographs with a metadata.jsonl")
    told = {"boxes": request.boxes} if request.boxes else {}
    return {"train": folder.entries(root, drop, redistributable=request.redistributable, **told)}


def _giqa_mini(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    return {"train": mini.entries("train"), "test": mini.entries("test")}


def _giqa_bench(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    """The samples that experts made of candidates; only a test split."""
    return {"test": last_round.entries(_root(request, "a data set folder that was reviewed with giqa review"))}


def _giqa_bench_mini(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    """The mini set's hand-made samples, or those that experts made of candidates; only a test split."""
    return {"test": mini.hand_made("test") if request.root is None else last_round.entries(request.root)}


def _giqa_tiny(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, Iterator[Entry]]:
    """Crops with one block that a broken decoder left, of different photographs in each split."""
    return {split: tiny.entries(split, seed=request.seed or 0) for split in tiny.COUNTS}


def _giqa_160k(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    if request.q_pathway is None or request.dq_495k is None:
        raise InputError(
            "expected --q-pathway and --dq-495k, the folders of the upstream sets "
            f"(a data set folder of that name is ./{request.name})"
        )
    copies = copies_of(request.images, request.manifest, progress)
    return giqa_160k(request.q_pathway, request.dq_495k, drop, copies=copies, kinds=request.kinds)


def _vida_ugc(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    return vida_ugc.entries(_root(request, "ViDA-UGC's folder, with train and val in it"), drop)


def _vida_ugc_2k(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    """A benchmark, so only a test split."""
    return {"test": vida_ugc_2k.entries(_root(request, "the folder of benchmark_2k_cleaned.json"), drop)}


def _x_aigd(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    return x_aigd.entries(_root(request, "X-AIGD's folder, with data in it"), drop)


def _synthscars(request: SetRequest, drop: DropSink, progress: Progress) -> dict[str, list[Entry]]:
    return synthscars.entries(_root(request, "SynthScars' folder, with train and test in it"), drop)


def _root(request: SetRequest, what: str) -> Path:
    if request.root is None:
        raise InputError(f"expected {what}, got none")
    return request.root


class _Set(NamedTuple):
    entries: Callable[[SetRequest, DropSink, Progress], Mapping[str, Iterable[Entry]]]  # lists them by split
    takes: frozenset[str] = frozenset()  # the fields of a request that it uses
    keeps_files: bool = False  # copies of upstream files, made fit, are all that rows without pixels need


SETS = {
    "folder": _Set(_folder, frozenset({"root", "boxes", "redistributable"}), keeps_files=True),
    "giqa-160k": _Set(
        _giqa_160k, frozenset({"q_pathway", "dq_495k", "images", "manifest", "kinds"}), keeps_files=True
    ),
    "giqa-bench": _Set(_giqa_bench, frozenset({"root"}), keeps_files=True),
    "giqa-bench-mini": _Set(_giqa_bench_mini, frozenset({"root"})),
    "giqa-mini": _Set(_giqa_mini),
    "giqa-tiny": _Set(_giqa_tiny),
    "synthscars": _Set(_synthscars, frozenset({"root"}), keeps_files=True),
    "vida-ugc": _Set(_vida_ugc, frozenset({"root"}), keeps_files=True),
    "vida-ugc-2k": _Set(_vida_ugc_2k, frozenset({"root"}), keeps_files=True),
    "x-aigd": _Set(_x_aigd, frozenset({"root"})),
}
# The command's names of a request's fields
_OPTIONS = {"root": "FOLDER", "q_pathway": "--q-pathway", "dq_495k": "--dq-495k"}
_OPTIONS |= {"images": "--images", "manifest": "--manifest", "kinds": "--kinds"}
_OPTIONS |= {"boxes": "--boxes", "redistributable": "--redistributable"}
