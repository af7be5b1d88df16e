import numpy as np
import pytest
from PIL import Image

from giqa_datasets.distortions import DISTORTIONS, distort
from giqa_datasets.images import decode
from giqa_datasets.pipeline.backends.classic_verifier import brightness, noise, sharpness
from giqa_datasets.sources.mini import wheel_file


BOX = (0.3, 0.03, 0.59, 0.37)  # the astronaut's head; in the other picture, a part of the cup


@pytest.fixture(scope="module", params=["astronaut", "coffee"])
def picture(request) -> Image.Image:
    path = f"skimage/data/{request.param}.png"
    return decode(wheel_file(path).read_bytes(), name=path)


def crop(image):
    x1, y1, x2, y2 = BOX
    return image.crop(
        (round(x1 * image.width), round(y1 * image.height), round(x2 * image.width), round(y2 * image.height))
    )


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("xyxy", [BOX, (0, 0, 0.2, 0.2), (0.7, 0.6, 1, 1), (0.5, 0.5, 0.51, 0.505)])
def test_pixels_outside_the_box_never_change(picture, name, severity, xyxy):
    before = np.asarray(picture)
    after = np.asarray(distort(picture, name, severity=severity, xyxy=xyxy))
    assert after.shape == before.shape
    height, width = before.shape[:2]
    outside = np.ones((height, width), dtype=bool)
    x1, y1, x2, y2 = xyxy
    outside[round(y1 * height) : round(y2 * height), round(x1 * width) : round(x2 * width)] = False
    assert (after[outside] == before[outside]).all()


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("severity", range(1, 6))
def test_pixels_inside_the_box_change(picture, name, severity):
    after = np.asarray(crop(distort(picture, name, severity=severity, xyxy=BOX))).astype(int)
    assert (after != np.asarray(crop(picture))).any(axis=-1).mean() > 0.3


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_higher_severity_moves_further_from_the_original(picture, name):
    before = np.asarray(crop(picture)).astype(int)
    moved = [
        np.abs(np.asarray(crop(distort(picture, name, severity=severity, xyxy=BOX))) - before).mean()
        for severity in range(1, 6)
    ]
    assert moved == sorted(moved)
    assert len(set(moved)) == 5


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_same_seed_gives_the_same_pixels(picture, name):
    first, second = (distort(picture, name, severity=3, xyxy=BOX, seed=7) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_another_seed_gives_other_noise(picture):
    first, second = (distort(picture, "gaussian_noise", severity=3, xyxy=BOX, seed=seed) for seed in (0, 1))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_image_given_stays_as_it_is(picture, name):
    before = picture.tobytes()
    distort(picture, name, severity=5, xyxy=BOX)
    assert picture.tobytes() == before


@pytest.mark.parametrize("severity", range(1, 6))
def test_blur_lowers_sharpness(picture, severity):
    assert sharpness(crop(distort(picture, "gaussian_blur", severity=severity, xyxy=BOX))) < sharpness(crop(picture))


@pytest.mark.parametrize("severity", range(1, 6))
def test_noise_raises_noise(picture, severity):
    assert noise(crop(distort(picture, "gaussian_noise", severity=severity, xyxy=BOX))) > noise(crop(picture))


@pytest.mark.parametrize("severity", range(1, 6))
def test_darken_lowers_and_overexpose_raises_brightness(picture, severity):
    before = brightness(crop(picture))
    assert brightness(crop(distort(picture, "darken", severity=severity, xyxy=BOX))) < before
    assert brightness(crop(distort(picture, "overexpose", severity=severity, xyxy=BOX))) > before


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "RGB"])
@pytest.mark.parametrize("name", DISTORTIONS)
def test_any_mode_becomes_rgb(picture, mode, name):
    small = picture.resize((40, 30)).convert(mode)
    assert distort(small, name, severity=2, xyxy=BOX).mode == "RGB"


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_box_of_one_pixel_is_a_box(name):
    image = Image.new("RGB", (10, 10), (90, 120, 60))
    assert distort(image, name, severity=5, xyxy=(0.5, 0.5, 0.6, 0.6)).size == (10, 10)


@pytest.mark.parametrize("name", ["", "blur", "Darken", "missing_block"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"^expected a distortion out of .*darken.*, got '{name}'$"):
        distort(Image.new("RGB", (10, 10)), name, severity=1, xyxy=BOX)


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5])
def test_an_unknown_severity_is_refused(severity):
    with pytest.raises(ValueError, match=f"^expected a severity from 1 to 5, got {severity}$"):
        distort(Image.new("RGB", (10, 10)), "darken", severity=severity, xyxy=BOX)


@pytest.mark.parametrize(
    "xyxy",
    [
        (0.5, 0.1, 0.2, 0.9),  # reversed in x
        (0.1, 0.9, 0.2, 0.5),  # reversed in y
        (0.5, 0.1, 0.5, 0.9),  # no width
        (0.51, 0.1, 0.52, 0.9),  # thinner than a pixel
        (1.1, 0.1, 1.5, 0.9),  # beside the image
        (-0.5, -0.5, -0.1, -0.1),
    ],
)
def test_a_box_without_a_pixel_of_the_image_is_refused(xyxy):
    with pytest.raises(ValueError, match=r"^expected a box that holds at least one pixel"):
        distort(Image.new("RGB", (10, 10)), "darken", severity=1, xyxy=xyxy)


def test_a_box_of_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        distort(Image.new("RGB", (10, 10)), "darken", severity=1, xyxy=(0.1, 0.1, float("nan"), 0.9))
