"""Metadata of JPEG and PNG files, cut out without encoding again: a picture's place, time, owner and camera.

A file is hostile: a walk looks at each byte once, and ends in `ValueError` at a file that is not whole.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from PIL import Image

from giqa_datasets.errors import InputError


PROFILE = "colour profile"
TRAILER = "bytes after the image"

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffed zero, fill byte or restart, so scan data has none
_KEPT_MARKERS = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8})
_COLOUR_SEGMENTS = {(0xE0, b"JFIF\0"): 18, (0xEE, b"Adobe"): 16}  # the size of each without anything else
_SEGMENTS = {  # by marker and begin
    (0xE1, b"Exif\0"): "EXIF",
    (0xE1, b"http://ns.adobe.com/x"): "XMP",
    (0xE2, b"ICC_PROFILE\0"): PROFILE,
    (0xE2, b"MPF\0"): "index of further pictures",
    (0xED, b"Photoshop 3.0\0"): "IPTC",
    (0xFE, b""): "comment",
}
_KEPT_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT pHYs bKGD".split())
_CHUNKS = {b"eXIf": "EXIF", b"iCCP": PROFILE, b"iTXt": "text", b"tEXt": "text", b"tIME": "time", b"zTXt": "text"}
# Tags of EXIF 2.32, of Windows, and of TIFF for what JPEG has in segments
_PRIVATE = {0x010E: "ImageDescription", 0x013B: "Artist", 0x8298: "Copyright", 0x8825: "GPS", 0x9286: "UserComment"}
_PRIVATE |= {0x927C: "MakerNote", 0xA420: "ImageUniqueID", 0xA430: "CameraOwnerName", 0xA431: "BodySerialNumber"}
_PRIVATE |= {0xA435: "LensSerialNumber", 0x9C9B: "XPTitle", 0x9C9C: "XPComment", 0x9C9D: "XPAuthor"}
_PRIVATE |= {0x9C9E: "XPKeywords", 0x9C9F: "XPSubject", 0x02BC: "XMP", 0x83BB: "IPTC", 0x8649: "Photoshop's block"}
_EXIF_IFD = 0x8769


def cut_metadata(raw: bytes, *, keep_profile: bool) -> tuple[bytes, tuple[str, ...]]:
    """Cut out of a JPEG or PNG file all that its pixels do not need, and what trails after its end.

    The pixels of the two files are the same; with `keep_profile` an ICC profile stays. Time is linear in the bytes.

    Returns:
        The file that is left, and the names of what was cut out, without repeats.

    Raises:
        ValueError: If it is neither, or not whole.
    """
    if raw.startswith(b"\xff\xd8"):
        spans = _jpeg_spans(raw)
    elif raw.startswith(b"\x89PNG\r\n\x1a\n"):
        spans = _png_spans(raw)
    else:
        raise InputError("expected a JPEG or PNG file")
    pieces: list[bytes] = []
    names: dict[str, None] = {}
    end = 0
    for name, start, stop in spans:
        if name != PROFILE or not keep_profile:
            pieces.append(raw[end:start])
            names[name] = None
            end = stop
    return b"".join([*pieces, raw[end:]]) if names else raw, tuple(names)


def private_tags(image: Image.Image) -> list[str]:
    """Name the metadata of an opened image that may tell a place, a person or a device."""
    keys = {"comment": "comment", "exif": "EXIF", "photoshop": "IPTC", "xmp": "XMP", "XML:com.adobe.xmp": "XMP"}
    found = [name for key, name in keys.items() if image.info.get(key)]
    with suppress(Exception):  # Pillow may raise anything on hostile tags
        exif = image.getexif()
        tags = exif.keys() | exif.get_ifd(_EXIF_IFD).keys()
        found += [name for tag, name in _PRIVATE.items() if tag in tags]
    return found


def _jpeg_spans(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """The spans of a JPEG file that its image does not need (ITU-T T.81, annex B), each after its name."""
    end, is_scan, has_scan = 2, False, False
    while found := _MARKER.search(raw, end):
        start, code = found.start(), raw[found.end() - 1]
        if start > end and not is_scan:
            yield "stray bytes", end, start
        if code == 0xD9 and has_scan:
            if found.end() < len(raw):
                yield TRAILER, found.end(), len(raw)
            return
        end = found.end() + int.from_bytes(raw[found.end() : found.end() + 2], "big")
        if code in (0x01, 0xD8, 0xD9) or end < found.end() + 2 or end > len(raw):
            break
        content = raw[found.end() + 2 : min(end, found.end() + 32)]
        size = _COLOUR_SEGMENTS.get((code, content[:5]))
        if size not in (None, end - start):  # it holds a thumbnail or something unknown
            break
        if size is None and code not in _KEPT_MARKERS:
            yield _name_of(code, content), start, end
        is_scan = code == 0xDA
        has_scan |= is_scan
    raise InputError("expected a whole JPEG file")


def _name_of(code: int, content: bytes) -> str:
    names = (name for (marker, begin), name in _SEGMENTS.items() if code == marker and content.startswith(begin))
    return next(names, f"APP{code - 0xE0}" if 0xE0 <= code < 0xF0 else f"segment {code:#x}")


def _png_spans(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """The spans of a PNG file that its image does not need (PNG specification, third edition), each after its name."""
    end = 8
    while end + 12 <= len(raw):
        start, kind = end, raw[end + 4 : end + 8]
        end += 12 + int.from_bytes(raw[start : start + 4], "big")
        if end > len(raw):
            break
        if kind == b"IEND":
            if end < len(raw):
                yield TRAILER, end, len(raw)
            return
        if kind not in _KEPT_CHUNKS:
            yield _CHUNKS.get(kind, "unknown chunk"), start, end
    raise InputError("expected a whole PNG file")
