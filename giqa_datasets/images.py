"""Image files from outside, treated as hostile: decoded once, upright, RGB, of a bounded size."""

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from giqa_datasets.errors import InputError


JPEG_QUALITY = 95  # of the images that must be encoded again
MAX_PIXELS = 64_000_000  # ours; a decompression bomb is refused before it is decoded
# Formats of photographs. Pillow knows more, among them EPS, for which it runs another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")


class Encoded(NamedTuple):
    """An encoded image file and the size of its image."""

    image: bytes
    width: int
    height: int


def decode(raw: bytes | None, *, name: str) -> Image.Image:
    """Decode a file to RGB with its EXIF orientation applied; transparency is put on white.

    Raises:
        ValueError: If there are no bytes, they are no image of one of the `FORMATS`, broken or truncated, or hold more
            than `MAX_PIXELS`.
    """
    if raw is None:
        raise InputError(f"image {name!r} came without its pixels")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the check below is the stricter one
            image: Image.Image = Image.open(io.BytesIO(raw))
        if image.format not in FORMATS:
            raise InputError(f"expected a format out of {', '.join(FORMATS)}, got {image.format}")
        if image.width * image.height > MAX_PIXELS:
            raise InputError(f"expected at most {MAX_PIXELS:,} pixels, got {image.width}x{image.height}")
        image.load()
        image = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise InputError(f"image {name!r} cannot be read: it is in no format that Pillow knows") from error
    except Exception as error:  # a decoder may raise anything on a hostile file
        raise InputError(f"image {name!r} cannot be read: {error}") from error
    if image.mode.startswith("I;16"):  # convert() would clip 16 bits to 8 instead of scaling them
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info.clear()  # comments and the like would be saved with it
    return image


def encode(image: Image.Image) -> Encoded:
    """Encode as JPEG, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return Encoded(buffer.getvalue(), *image.size)


def bake(raw: bytes, *, name: str, max_side: int | None = None, verify: bool = True) -> Encoded:
    """Make a file fit for the data set: one upright RGB (or grey) image of a bounded size. Raises as `decode`.

    A fit file keeps its bytes; any other is encoded again as JPEG, of an animation the first picture. `max_side` is in
    pixels; with `verify` a fit file is decoded to its end, else only its header is read.
    """
    size = _fit_size(raw)
    if size is None or (max_side is not None and max(size) > max_side):
        return encode(shrink(decode(raw, name=name), max_side))
    if verify:
        decode(raw, name=name)
    return Encoded(raw, *size)


def _fit_size(raw: bytes) -> tuple[int, int] | None:
    """(width, height) of a file that is fit as it is, by its header; else None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(raw))
        is_fit = (
            image.format in ("JPEG", "PNG")
            and image.mode in ("RGB", "L")
            and "transparency" not in image.info
            and not getattr(image, "is_animated", False)
            and image.width * image.height <= MAX_PIXELS
            and image.getexif().get(0x0112, 1) == 1  # the EXIF orientation tag
        )
    except Exception:  # `decode` names the fault
        return None
    return image.size if is_fit else None


@contextmanager
def whole_images() -> Iterator[None]:
    """After an error, forget the open images: Pillow raises once, and gives half an image from then on."""
    try:
        yield
    except BaseException:
        open_baked.cache_clear()
        raise


@lru_cache(maxsize=16)
def open_baked(raw: bytes) -> Image.Image:
    """Open a file of `bake` as RGB, to be read only: all callers with the same file share one image.

    Its pixels are decoded when they are first read, and once, since the last few images are kept.

    Raises:
        OSError: When they are first read, if the file is broken.
    """
    image: Image.Image = Image.open(io.BytesIO(raw))
    return image if image.mode == "RGB" else image.convert("RGB")


def shrink(image: Image.Image, max_side: int | None) -> Image.Image:
    """Scale down so that the longest side is at most `max_side` pixels; a smaller image stays as it is."""
    if max_side is None or max(image.size) <= max_side:
        return image
    out = image.copy()
    out.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return out


def data_uri(image: bytes) -> str:
    """Write a PNG or JPEG file as an address that holds it."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
