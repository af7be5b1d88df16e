"""DQ-495K: degraded KADIS-700K photographs with GPT-4V's texts, out of DataDepictQA's two non-reference detail sets.

One file has photographs with one distortion, one with several; some photographs are left intact. The names and
severities are known, because DataDepictQA put the distortions in itself.
"""

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from giqa_datasets.drops import DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused
from giqa_datasets.image_stores import ImageStore, images_under
from giqa_datasets.records import Distortion
from giqa_datasets.sources.rows import Turn, answer, make_entry
from giqa_datasets.sources.rows import entries as entries_of


Split = Literal["train", "test"]

# Under DataDepictQA's root, to which the rows' image paths are relative too
FILES: dict[Split, tuple[str, str]] = {
    "train": (
        "KADIS700K/A_sd_detail/metas/train_A_sd_detail_20k.json",
        "KADIS700K/A_md_detail/metas/train_A_md_detail_8k.json",
    ),
    "test": (
        "KADIS700K/A_sd_detail/metas/test_A_sd_detail_200.json",
        "KADIS700K/A_md_detail/metas/test_A_md_detail_100.json",
    ),
}
RIGHTS = ImageSet("dq-495k", "unknown, free to the research community")  # KADIS-700K's; it states no formal licence
TEXT_LICENSE = "apache-2.0"  # as the Hub says of DataDepictQA; the text is GPT-4V's


class _Row(BaseModel):
    image_A: str
    task_type: Literal["quality_single_A_noref"]
    distortion_name: str | None = None
    severity: int = 0
    distortion_names: list[str] | None = None
    severities: list[int] | Literal[0] = 0  # 0 where the photograph is intact
    conversations: list[Turn] | None = None  # train
    answer: str | None = None  # test


def entries(root: Path, drop: DropSink, *, split: Split = "train", images: ImageStore | None = None) -> list[Entry]:
    """List the descriptions of single distortions, then those of several, in the files' order.

    `root` is DataDepictQA's folder, which holds `KADIS700K`; by default the images are under it, or in the tars in it.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If one of them is another file, or a tar in `root` is not valid.
    """
    store = images_under(root) if images is None else images
    return [entry for file in FILES[split] for entry in entries_of(root / file, partial(_entry, store), drop)]


def _entry(images: ImageStore, raw: object) -> Entry:
    row = _Row.model_validate(raw)
    text = row.answer if row.conversations is None else answer(row.conversations)
    if text is None:
        raise Refused("malformed_row", "expected conversations or an answer, got neither")
    known = _distortions(row)
    return make_entry(
        row.image_A, text, images, prefix="dq-495k", rights=RIGHTS, text_license=TEXT_LICENSE, distortions=known
    )


def _distortions(row: _Row) -> tuple[Distortion, ...]:
    """The row's distortions in the order in which they were put in; none if the photograph is intact."""
    names = row.distortion_names or ([] if row.distortion_name is None else [row.distortion_name])
    severities = row.severities or ([] if row.severity == 0 else [row.severity])
    named = len(names) == len(severities) and all(name and name.isprintable() for name in names)
    if not named or not all(1 <= severity <= 5 for severity in severities):
        raise Refused(
            "malformed_distortions", f"expected a severity from 1 to 5 for each of {names}, got {severities}"
        )
    return tuple(Distortion(name, severity) for name, severity in zip(names, severities, strict=True))
