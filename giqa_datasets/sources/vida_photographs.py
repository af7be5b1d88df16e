"""The photographs of ViDA-UGC and its predecessor: whose they are, by the first part of their names."""

from pathlib import PurePosixPath
from typing import NamedTuple

from giqa_datasets.entries import ImageSet
from giqa_datasets.sources import q_pathway


_KNOWN = {found.source: found for _, found in q_pathway.SETS}
# The first part of a name, with the set; what follows is the name that the set itself gives the file
PREFIXES = {
    "KONIQ10k_": _KNOWN["koniq-10k"],
    "SPAQ_": _KNOWN["spaq"],
    "LIVEitw_": _KNOWN["live-itw"],
    "LIVEfb_": _KNOWN["live-fb"],
    "Portrait_": ImageSet("portrait", "unknown"),
    "ICME2021_": ImageSet("icme2021", "unknown"),
    "yfcc-": ImageSet("yfcc100m", "unknown, each photograph's own"),
    "mirflickr_": ImageSet("mirflickr", "unknown, each photograph's own"),
    "DPED_": ImageSet("dped", "unknown"),
    "DOVER_": ImageSet("dover", "unknown"),
    "DIV2K_": ImageSet("div2k", "academic research only"),
    "TAOLive_": ImageSet("taolive", "unknown"),
    "CVQAD_": ImageSet("cvqad", "unknown"),
    "AIGC_": ImageSet("aigc", "unknown"),
}
OTHERS = ImageSet("vida-ugc", "unknown")


class Original(NamedTuple):
    """A photograph in the set that it was taken from."""

    rights: ImageSet
    name: str


def original(name: str) -> Original:
    """Tell the set of a photograph, and its name there.

    Example:
        >>> original("KONIQ10k_10004473376.jpg")[1], original("Lecture_4.png").rights.source
        ('10004473376.jpg', 'vida-ugc')
    """
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return Original(PREFIXES.get(prefix, OTHERS), name.removeprefix(prefix))


def name_in_set(source: str, file: str) -> tuple[str, str] | None:
    """Return the set of a photograph and its name there, the same for each collection that took it from there.

    None for a source whose names mean nothing elsewhere, such as a folder of someone's own.

    Example:
        >>> name_in_set("spaq", "val/images/SPAQ_00002.jpg") == name_in_set("spaq", "spaq_koniq/00002.jpg")
        True
    """
    is_known = any(rights.source == source for rights in PREFIXES.values())
    return (source, original(base_name(file)).name) if is_known else None


def base_name(image: str) -> str:
    """Return the name of an image, whatever folder of its authors' machine stands before it."""
    return PurePosixPath(image.replace("\\", "/")).name
