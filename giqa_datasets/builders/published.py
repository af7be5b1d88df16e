"""What is published of other people's sets in numbers, beside which a build's own are printed."""

from collections.abc import Iterable, Mapping

from giqa_datasets.builders.giqa_160k import beside_paper
from giqa_datasets.dataset_folder.columns import SplitCounts
from giqa_datasets.drops import Drop


COCO = 1_012  # photographs of Q-Instruct's that are COCO's, by its paper
# By set: a split with images, rows, boxes or a question type
PUBLISHED = {
    # The README of the set, and its benchmark's files; its paper counts 11,534 photographs of both splits
    "vida-ugc": {
        "train images": 11_848,
        "train rows": 534_000,
        "test images": 476,
        "test boxes": 1_704,
        "test mcq": 2_567,
    },
    "vida-ugc-2k": {"test images": 2_000, "test boxes": 7_700},  # of benchmark_2k_cleaned.json
    "x-aigd": {"train images": 918, "test images": 2_419},
    "synthscars": {"train rows": 11_236, "train boxes": 23_935, "test rows": 1_000, "test boxes": 2_674},
}


def beside_published(
    name: str, counts: Mapping[str, SplitCounts], left_out: Iterable[Drop] = ()
) -> list[tuple[str, int, int]]:
    """Return the name of each number, the published value and ours; none of a set of which none is published."""
    if name == "giqa-160k":
        coco = {drop.what for drop in left_out if drop.reason == "coco"}
        return [*beside_paper(counts), ("images of COCO left out", COCO, len(coco))]
    return [
        (what, published, _count(counts.get(split, SplitCounts()), of))
        for what, published in PUBLISHED.get(name, {}).items()
        for split, of in [what.split()]
    ]


def _count(counts: SplitCounts, of: str) -> int:
    known = {
        "images": len(counts.images),
        "rows": counts.rows.total(),
        "boxes": sum(map(len, counts.objects.values())),
    }
    return known[of] if of in known else counts.rows[of]
