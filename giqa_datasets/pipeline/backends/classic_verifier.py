"""Classic no-reference measures that answer "Is the image quality blurred?": the offline stand-in for Q-Instruct."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from giqa_datasets.pipeline.backends.quality_words import Measure, quality_of


# A measure is high from the first number on, low up to the second one. Values between them are both: only a
# contradiction is refused. Ours, chosen on the mini set; benchmarks/pipeline.py measures them there and on any folder
# in COCO's format.
LIMITS: dict[Measure, tuple[float, float]] = {
    "sharpness": (15.0, 600.0),
    "noise": (6.0, 9.0),
    "brightness": (70.0, 95.0),
    "clipping": (0.05, 0.15),
    "saturation": (0.15, 0.5),
}


class ClassicVerifier:
    """Answers from sharpness, noise, brightness and saturation; a quality it cannot measure is never refused."""

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> list[bool]:
        """Answer "Is the image quality <quality>?" for each crop."""
        return [_fits(crop, quality) for crop, quality in zip(crops, qualities, strict=True)]


def _fits(crop: Image.Image, quality: str) -> bool:
    word = quality_of(quality)
    if word is None or word.measure is None:
        return True
    low, high = LIMITS[word.measure]
    value = MEASURES[word.measure](crop)
    return value >= low if word.wants == "high" else value <= high


def sharpness(crop: Image.Image) -> float:
    """Return the variance of the Laplacian of the grey values 0-255 (Pech-Pacheco et al. 2000)."""
    from scipy import ndimage

    return float(ndimage.laplace(_grey(crop)).var())


def noise(crop: Image.Image) -> float:
    """Return the standard deviation of the noise in grey values 0-255 (Immerkaer 1996)."""
    from scipy import ndimage

    grey = _grey(crop)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(ndimage.convolve(grey, kernel)).mean())


def brightness(crop: Image.Image) -> float:
    """Return the mean luma, 0-255."""
    return float(_grey(crop).mean())


def clipping(crop: Image.Image) -> float:
    """Return the share of the pixels whose luma is 250 or more, 0-1."""
    return float((_grey(crop) >= 250).mean())


def saturation(crop: Image.Image) -> float:
    """Return the mean HSV saturation, 0-1."""
    return float(np.asarray(crop.convert("HSV"), np.float64)[..., 1].mean() / 255)


MEASURES: dict[Measure, Callable[[Image.Image], float]] = {
    "sharpness": sharpness,
    "noise": noise,
    "brightness": brightness,
    "clipping": clipping,
    "saturation": saturation,
}


def _grey(crop: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(crop.convert("L"), np.float64)
