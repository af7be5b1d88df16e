"""Q-Pathway: descriptions of the quality of 19K photographs, out of Q-Instruct's `cleaned_labels.json`.

The file holds Q-Instruct's questions as well, and descriptions of COCO images; GIQA-160K uses only the descriptions
of the other images. They lie beside it, as its users get them: `q-instruct-images.tar`, or the folders `spaq_koniq`
and `livefb_liveitw_aigc` out of it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from giqa_datasets.drops import DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, checked_name
from giqa_datasets.errors import InputError
from giqa_datasets.image_stores import ImageStore, images_under
from giqa_datasets.sources.rows import Turn, answer, make_entry
from giqa_datasets.sources.rows import entries as entries_of


FILE = "cleaned_labels.json"
TEXT_LICENSE = "in conflict: apache-2.0 (the Hub), S-Lab License 1.0, non-commercial (the code repository)"
KINDS = ("desc", "pathway")  # ours: what `type` or `qtype` of a description row contains, in any case

# The image set by the image's path, first match first, with its own terms, where we know them. The names within a
# folder are those that the sets give their files.
SETS = (
    (r"spaq_koniq/\d{5}\.jpg", ImageSet("spaq", "research and education only")),
    (r"spaq_koniq/\d{6,11}\.jpg", ImageSet("koniq-10k", "unknown, free to the research community")),
    (r"livefb_liveitw_aigc/t?\d{1,4}\.(bmp|jpg)", ImageSet("live-itw", "unknown")),
    (r"livefb_liveitw_aigc/([^/]*__[^/]*|(out_of_focus|motion)\d{4}\.jpg)", ImageSet("live-fb", "unknown")),
    (r"livefb_liveitw_aigc/[\w.]+_(normal|lowstep|lowcorr|highcorr)_\d+\.jpg", ImageSet("agiqa-3k", "mit")),
    (r"livefb_liveitw_aigc/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.\w+", ImageSet("imagerewarddb", "unknown")),
)
# Names of none of these sets, but for those of COCO's photographs, which lie in the same folders
OTHERS = (
    (r"spaq_koniq/.*", ImageSet("spaq or koniq-10k", "unknown")),
    (r"livefb_liveitw_aigc/.*", ImageSet("live-fb, live-itw, agiqa-3k or imagerewarddb", "unknown")),
)

_COCO = re.compile(r"(^|/)(coco|(train|val|test|unlabeled)20\d\d/|\d{12}\.\w+$)", re.IGNORECASE)


class _Row(BaseModel):
    image: str
    type: object = None
    qtype: object = None
    conversations: list[Turn]


def entries(
    root: Path, drop: DropSink, *, images: ImageStore | None = None, kinds: Sequence[str] = KINDS
) -> list[Entry]:
    """List the descriptions in the file's order, those of an image side by side.

    Questions are passed over; everything else left out goes to `drop`. A row is a description if its `type` or its
    `qtype` contains one of `kinds`, in any case; by default the images are under `root`, or in the tars in it.

    Raises:
        FileNotFoundError: If `cleaned_labels.json` is missing.
        ValueError: If it is another file, or holds no description, or a tar in `root` is not valid.
    """
    path = root / FILE
    seen: Counter[str] = Counter()

    def make(raw: object) -> Entry | None:
        row = _Row.model_validate(raw)
        kind = f"{row.type}/{row.qtype}"
        seen[kind] += 1
        if not _is_description(kind, kinds):
            return None
        name = checked_name(row.image)
        return make_entry(
            name, answer(row.conversations), store, prefix="q-pathway", rights=rights(name), text_license=TEXT_LICENSE
        )

    store = images_under(root) if images is None else images
    made = entries_of(path, make, drop)
    if not any(_is_description(kind, kinds) for kind in seen):
        said = ", ".join(f"{kind!a:.80} {number}" for kind, number in seen.most_common(20))
        raise InputError(
            f"expected rows in {path} whose type or qtype contains {' or '.join(map(ascii, kinds))}, got {said}; "
            "--kinds names other values"
        )
    return made


def rights(name: str) -> ImageSet:
    """Find the image set of an image by its path.

    Raises:
        Refused: If it is a COCO image, or of no set that Q-Pathway uses.

    Example:
        >>> rights("spaq_koniq/10004473376.jpg").source
        'koniq-10k'
    """
    is_coco = _COCO.search(name) is not None
    for pattern, found in SETS if is_coco else (*SETS, *OTHERS):
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return found
    raise Refused("coco" if is_coco else "unknown_set", name)


def _is_description(kind: str, kinds: Sequence[str]) -> bool:
    return any(word.lower() in kind.lower() for word in kinds)
