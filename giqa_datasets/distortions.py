"""Seeded local distortions of a photograph inside a known box, so that a test knows the right answer.

Names and the five severities follow KADID-10k's habit (Lin et al. 2019); the strengths are ours.
"""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from giqa_datasets.errors import InputError


Pixels = npt.NDArray[np.float64]


def distort(
    image: Image.Image, name: str, *, severity: int, xyxy: tuple[float, float, float, float], seed: int = 0
) -> Image.Image:
    """Distort one box of an image and leave every pixel outside it as it was.

    Args:
        image: Any mode; the result is RGB.
        name: A key of `DISTORTIONS`.
        severity: 1 (just visible) to 5 (ruined).
        xyxy: The box, normalised corners in [0, 1].
        seed: Of random distortions.

    Raises:
        ValueError: If the name or the severity is unknown, or the box holds no pixel.
    """
    if name not in DISTORTIONS:
        raise InputError(f"expected a distortion out of {sorted(DISTORTIONS)}, got {name!r}")
    if severity not in range(1, 6):
        raise InputError(f"expected a severity from 1 to 5, got {severity!r}")
    out = image.convert("RGB")
    width, height = out.size
    x1, y1, x2, y2 = xyxy
    left, right = (min(max(round(x * width), 0), width) for x in (x1, x2))
    top, bottom = (min(max(round(y * height), 0), height) for y in (y1, y2))
    box_px = (left, top, right, bottom)
    if box_px[0] >= box_px[2] or box_px[1] >= box_px[3]:
        raise InputError(f"expected a box that holds at least one pixel, got {xyxy!r} on {width}x{height}")
    rng = np.random.default_rng(seed)
    out.paste(DISTORTIONS[name](out.crop(box_px), severity, rng), box_px[:2])
    return out


def _to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _blur(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    return crop.filter(ImageFilter.GaussianBlur((1.0, 2.0, 3.5, 5.5, 8.0)[severity - 1]))


def _noise(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(crop, np.float64)
    return _to_image(pixels + rng.normal(0, (8, 14, 24, 38, 56)[severity - 1], pixels.shape))


def _darken(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    return _to_image(np.asarray(crop, np.float64) * (0.75, 0.55, 0.4, 0.25, 0.12)[severity - 1])


def _overexpose(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    return _to_image(np.asarray(crop, np.float64) * (1.3, 1.6, 2.0, 2.6, 3.5)[severity - 1] + 10 * severity)


def _pixelate(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    side = (3, 5, 8, 12, 18)[severity - 1]
    small = crop.resize((max(1, crop.width // side), max(1, crop.height // side)), Image.Resampling.BOX)
    return small.resize(crop.size, Image.Resampling.NEAREST)


def _jpeg(crop: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=(30, 18, 11, 7, 4)[severity - 1])
    return Image.open(buffer).convert("RGB")


DISTORTIONS: dict[str, Callable[[Image.Image, int, np.random.Generator], Image.Image]] = {
    "gaussian_blur": _blur,
    "gaussian_noise": _noise,
    "darken": _darken,
    "overexpose": _overexpose,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
