"""Image files from outside, treated as hostile: decoded once, upright, sRGB, of a bounded size, without metadata."""

import base64
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from giqa_datasets.errors import InputError
from giqa_datasets.files import write_whole
from giqa_datasets.image_metadata import PROFILE, cut_metadata, private_tags


JPEG_QUALITY = 95  # of the images that must be encoded again
MAX_PIXELS = 64_000_000  # ours; a decompression bomb is refused before it is decoded
# Formats of photographs. Pillow knows more, among them EPS, for which it runs another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
SAME_LEVELS = 3  # by which a colour under a profile may differ from sRGB's and still be called the same; ours

Change = Literal["metadata taken out", "colours converted to sRGB", "broken colour profile taken out"]
CHANGES: tuple[Change, ...] = get_args(Change)
_ORIENTATION, _PHOTOMETRIC, _BITS, _SAMPLE_FORMAT, _LARGEST_SAMPLE = 274, 262, 258, 339, 341  # TIFF's tags


class Encoded(NamedTuple):
    """An encoded image file, the size of its image, and what was changed in the original file."""

    image: bytes
    width: int
    height: int
    changes: tuple[Change, ...] = ()


def decode(raw: bytes | None, *, name: str) -> Image.Image:
    """Decode a file to upright 8-bit sRGB: orientation applied, transparency on white, deep grey scaled by its white.

    Raises:
        ValueError: If there are no bytes, they are no image of one of the `FORMATS`, broken or truncated, hold more
            than `MAX_PIXELS`, or grey levels of which the file does not say which is white.
    """
    if raw is None:
        raise InputError(f"image {name!r} came without its pixels")
    try:
        image = _open(raw)
        if image.format not in FORMATS:
            raise InputError(f"expected a format out of {', '.join(FORMATS)}, got {image.format}")
        if image.width * image.height > MAX_PIXELS:
            raise InputError(f"expected at most {MAX_PIXELS:,} pixels, got {image.width}x{image.height}")
        image.load()
        transform, _ = _profile_of(image)
        tags = getattr(image, "tag_v2", {})
        image = ImageOps.exif_transpose(image)
        if image.mode[0] in "IF":
            image = _scaled_grey(image, tags)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        if transform is not None:
            image = transform.apply(image.convert(transform.input_mode))
        image = image if image.mode == "RGB" else image.convert("RGB")
    except UnidentifiedImageError as error:
        raise InputError(f"image {name!r} cannot be read: it is in no format that Pillow knows") from error
    except Exception as error:  # a decoder may raise anything on a hostile file
        raise InputError(f"image {name!r} cannot be read: {error}") from error
    image.info.clear()  # comments and the like would be saved with it
    return image


def encode(image: Image.Image) -> Encoded:
    """Encode as JPEG, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return Encoded(buffer.getvalue(), *image.size)


def write_image(path: Path, image: Image.Image, **options: Any) -> None:
    """Write a JPEG or a PNG whole, by the end of its name, or leave the old one; `options` are Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, {".jpg": "JPEG", ".png": "PNG"}[path.suffix], **options)
    write_whole(path, buffer.getvalue())


def bake(raw: bytes, *, name: str, max_side: int | None = None, verify: bool = True) -> Encoded:
    """Make a file fit for the data set: one upright sRGB (or grey) image of a bounded size. Raises as `decode`.

    A fit JPEG or PNG keeps its bytes but for its metadata; any other file is encoded again as JPEG, of an animation
    the first picture. `max_side` is in pixels; with `verify` a fit file is decoded, else only its header is.
    """
    fit, changes = _without_metadata(raw)
    if fit is None or (max_side is not None and max(fit.width, fit.height) > max_side):
        return encode(shrink(decode(raw, name=name), max_side))._replace(changes=changes)
    if verify:
        decode(fit.image, name=name)
    return fit


def faults_of_baked(raw: bytes) -> list[str]:
    """Say what of a readable file is not as `bake` leaves it: its mode, its orientation, its colours, its metadata."""
    image = _open(raw)
    transform, told = _profile_of(image)
    faults = [] if image.mode in ("RGB", "L") else [f"expected an image in RGB or L, got {image.mode!r}"]
    if transform is not None:
        faults.append("expected the colours of sRGB, got those of another profile")
    try:
        _, names = cut_metadata(raw, keep_profile=told is None)
    except ValueError as error:
        return [*faults, str(error)]
    if names and (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
        faults.append(f"expected an upright image, got the EXIF orientation {orientation!r}")
    if names:
        carried = dict.fromkeys((*names, *private_tags(image)))
        faults.append(f"expected an image without metadata, got {', '.join(carried)}")
    return faults


def _open(raw: bytes) -> Image.Image:
    """Read an image's header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` has the stricter check
        return Image.open(io.BytesIO(raw))


def _without_metadata(raw: bytes) -> tuple[Encoded | None, tuple[Change, ...]]:
    """Cut the metadata out of a fit file; None for one that must be encoded again. With it come the file's changes."""
    try:
        image = _open(raw)
        transform, told = _profile_of(image)
        plain: bytes | None = None
        try:
            plain, names = cut_metadata(raw, keep_profile=told is None)
        except InputError:  # another format, or not whole
            names = tuple(private_tags(image))
        has_more = set(names) - {PROFILE}
        changes = tuple(change for change in CHANGES if change == told or (change == CHANGES[0] and has_more))
        is_fit = (
            transform is None
            and image.mode in ("RGB", "L")
            and "transparency" not in image.info
            and (image.format == "MPO" or not getattr(image, "is_animated", False))
            and image.width * image.height <= MAX_PIXELS
            and not (names and image.getexif().get(_ORIENTATION) in range(2, 9))
        )
    except Exception:  # `decode` names the fault
        return None, ()
    return Encoded(plain, *image.size, changes) if plain is not None and is_fit else None, changes


def _profile_of(image: Image.Image) -> tuple[ImageCms.ImageCmsTransform | None, Change | None]:
    """The transform of an opened image's colours to sRGB, None if they are sRGB's by its profile or for want of one.

    With it comes the change that it makes.
    """
    profile = image.info.get("icc_profile")
    mode = "CMYK" if image.mode == "CMYK" else "L" if image.mode[0] in "1LIF" and image.mode != "LAB" else "RGB"
    return _to_srgb(profile, mode) if profile else (None, None)


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, Change | None]:
    """See `_profile_of`; the mode is L, RGB or CMYK."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    srgb = ImageCms.createProfile("sRGB")
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), srgb, mode, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None, "broken colour profile taken out"
    levels = np.indices((6, 6, 6), np.uint8).T.reshape(1, -1, 3) * 51
    some = Image.fromarray(levels).convert(mode)
    away = np.asarray(transform.apply(some)).astype(int) - np.asarray(some.convert("RGB"))
    is_same = mode != "CMYK" and np.abs(away).max() <= SAME_LEVELS
    return (None, None) if is_same else (transform, "colours converted to sRGB")


def _scaled_grey(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Grey levels of more than 8 bits, scaled by what the file, in TIFF by its tags, says is white.

    Raises:
        ValueError: If it does not say so, or a level lies outside.
    """
    levels, (white,) = np.asarray(image), tags.get(_LARGEST_SAMPLE, (None,))
    is_unsigned = image.mode != "F" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1
    if is_unsigned:
        white = 2 ** tags.get(_BITS, (16,))[0] - 1  # Pillow scales those of other formats to 16 bits
        levels = levels.view(np.uint32) if levels.dtype == np.int32 else levels
    elif white is None and image.mode == "F":
        white = 1
    if white is None or not (levels.min() >= 0 and levels.max() <= white):  # also if one is not a number
        until = "a white that the file states" if white is None else f"{white:g}"
        raise InputError(f"expected grey levels from 0 to {until}, got {levels.min():g} to {levels.max():g}")
    grey = np.rint(levels * np.float32(255 / white)).astype(np.uint8)
    return Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey)


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
