"""giqa-160k: the rebuild of the paper's training set out of Q-Pathway and DQ-495K (protocol section 5)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from giqa_datasets.dataset_folder.columns import SplitCounts
from giqa_datasets.drops import DropSink
from giqa_datasets.entries import Entry
from giqa_datasets.image_stores import FirstOf, ImageStore, images_under
from giqa_datasets.sources import dq_495k, q_pathway


# The paper's counts, protocol section 5
PAPER = {
    "images": 42_960,
    "samples": 167_657,
    "descriptions": 66_689,
    "Yes/No, Yes": 25_242,
    "Yes/No, No": 25_242,
    "What/Which/Why/How": 50_484,
}


def giqa_160k(
    q_pathway_root: Path,
    dq_495k_root: Path,
    drop: DropSink,
    *,
    copies: Sequence[ImageStore] = (),
    kinds: Sequence[str] = (),
) -> dict[str, list[Entry]]:
    """List the descriptions of Q-Pathway, then those of DQ-495K's train files, as one train split.

    Images that are not under the two roots are read from `copies`; `kinds` are Q-Pathway's, by default its own.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is another's.
    """
    q_images = FirstOf(images_under(q_pathway_root), *copies)
    return {
        "train": [
            *q_pathway.entries(q_pathway_root, drop, images=q_images, kinds=kinds or q_pathway.KINDS),
            *dq_495k.entries(dq_495k_root, drop, images=FirstOf(images_under(dq_495k_root), *copies)),
        ]
    }


def beside_paper(counts: Mapping[str, SplitCounts], numbers: Mapping[str, int] = PAPER) -> list[tuple[str, int, int]]:
    """Return the name of each number, the paper's value and ours, of the rows by split."""
    ours = count_samples(counts)
    return [(name, paper, ours[name]) for name, paper in numbers.items()]


def count_samples(counts: Mapping[str, SplitCounts]) -> dict[str, int]:
    """Count images and samples of all splits, under the names of the paper's numbers."""
    rows = sum((split.rows for split in counts.values()), start=Counter[str]())
    yes = sum(split.n_yes for split in counts.values())
    return {
        "images": len(set().union(*(split.images for split in counts.values()))),
        "samples": rows.total(),
        "descriptions": rows["des"],
        "Yes/No": rows["yes_no"],
        "Yes/No, Yes": yes,
        "Yes/No, No": rows["yes_no"] - yes,
        "What/Which/Why/How": sum(rows[kind] for kind in ("what", "which", "why", "how")),
        **{kind.capitalize(): rows[kind] for kind in ("what", "which", "why", "how")},
    }
