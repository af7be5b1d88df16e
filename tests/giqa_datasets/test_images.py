import io
import random
import struct
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, features

from giqa_datasets import images
from giqa_datasets.images import bake, decode, encode, shrink


ORIENTATION = 0x0112  # the EXIF tag
# Orientation -> what turns the stored pixels upright (EXIF 2.3, section 4.6.4)
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)


def file_of(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def oriented(pixels, orientation, form="PNG"):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return file_of(Image.fromarray(pixels), form, exif=exif)


def smooth(mode="RGB"):
    """A gradient that survives JPEG."""
    return Image.radial_gradient("L").resize((64, 48)).convert("RGB").convert(mode)


def animation():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    return file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])


def test_pixels_of_a_plain_file_are_unchanged(pixels):
    decoded = decode(file_of(Image.fromarray(pixels), "PNG"), name="x")
    assert decoded.mode == "RGB"
    assert (np.asarray(decoded) == pixels).all()


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(pixels, orientation):
    decoded = decode(oriented(pixels, orientation), name="x")
    assert (np.asarray(decoded) == UPRIGHT[orientation](pixels)).all()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_exif_orientation_is_baked_in(pixels, orientation, form):
    baked = bake(oriented(pixels, orientation, form), name="x")
    with Image.open(io.BytesIO(baked.image)) as stored:
        assert stored.getexif().get(ORIENTATION, 1) == 1
        assert stored.size == (baked.width, baked.height) == UPRIGHT[orientation](pixels).shape[1::-1]


def test_transparency_is_put_on_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)])
    decoded = np.asarray(decode(file_of(image, "PNG"), name="x")).astype(int)
    np.testing.assert_allclose(decoded[0], [[255, 0, 0], [255, 255, 255], [127, 127, 127]], atol=1)


def test_grey_with_transparency_is_put_on_white():
    image = Image.new("LA", (2, 1))
    image.putdata([(7, 255), (7, 0)])
    assert np.asarray(decode(file_of(image, "PNG"), name="x"))[0].tolist() == [[7, 7, 7], [255, 255, 255]]


def test_a_colour_that_stands_for_transparency_is_put_on_white():
    image = Image.new("RGB", (2, 1), (9, 9, 9))
    image.putpixel((1, 0), (200, 0, 0))
    decoded = decode(file_of(image, "PNG", transparency=(200, 0, 0)), name="x")
    assert np.asarray(decoded)[0].tolist() == [[9, 9, 9], [255, 255, 255]]


def test_a_palette_becomes_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert np.asarray(decode(file_of(image, "PNG"), name="x"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_a_transparent_palette_entry_is_put_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    decoded = decode(file_of(image, "PNG", transparency=1), name="x")
    assert np.asarray(decoded)[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_cmyk_becomes_rgb():
    decoded = np.asarray(decode(file_of(smooth("CMYK"), "JPEG", quality=95), name="x")).astype(int)
    assert np.abs(decoded - np.asarray(smooth())).mean() < 3


def test_bilevel_becomes_black_and_white():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert np.asarray(decode(file_of(image, "PNG"), name="x"))[0].tolist() == [[0] * 3, [255] * 3]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight_and_not_white(form):
    deep = np.linspace(0, 65535, 24 * 36).astype(np.uint16).reshape(24, 36)
    decoded = np.asarray(decode(file_of(Image.fromarray(deep), form), name="x")).astype(int)
    assert decoded.shape == (24, 36, 3)
    assert np.abs(decoded - (deep // 257)[..., None]).max() <= 1


def test_the_first_frame_of_an_animation_is_taken():
    decoded = decode(animation(), name="x")
    assert decoded.size == (20, 10)
    assert np.asarray(decoded)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_name(pixels, form, share):
    raw = file_of(Image.fromarray(pixels), form)
    with pytest.raises(ValueError, match=r"^image 'cats/cat\.jpg' cannot be read: "):
        decode(raw[: int(len(raw) * share)], name="cats/cat.jpg")


@pytest.mark.parametrize("raw", [b"", b"\0", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused_by_name(raw):
    for read in (decode, bake):
        with pytest.raises(ValueError, match=r"^image 'cat\.jpg' cannot be read: "):
            read(raw, name="cat.jpg")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_a_damaged_file_gives_an_image_or_a_value_error(form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    rng = random.Random(0)
    raw = file_of(smooth(), form)
    for _ in range(150):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(min(len(raw), 300))] = rng.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd metadata
            with suppress(ValueError):
                decode(bytes(damaged), name="x")


def test_a_decompression_bomb_is_refused(pixels, monkeypatch):
    raw = file_of(Image.fromarray(pixels), "PNG")
    monkeypatch.setattr(images, "MAX_PIXELS", 24 * 36)
    assert decode(raw, name="x").size == (36, 24)
    monkeypatch.setattr(images, "MAX_PIXELS", 24 * 36 - 1)
    with pytest.raises(ValueError, match=r"'x'.*expected at most 863 pixels, got 36x24"):
        decode(raw, name="x")
    with pytest.raises(ValueError, match="expected at most 863 pixels"):
        bake(raw, name="x", max_side=8)


@pytest.mark.parametrize("side", [9_000, 40_000, 2**31 - 1])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    raw = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match=r"^image 'bomb.png' cannot be read: [^\n]*pixels"):
        decode(raw, name="bomb.png")


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L")])
@pytest.mark.parametrize("max_side", [None, 64, 1000])
def test_a_file_that_fits_keeps_its_bytes(form, mode, max_side):
    raw = file_of(smooth(mode), form)
    assert bake(raw, name="x", max_side=max_side) == (raw, 64, 48)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(file_of(smooth("RGBA"), "PNG"), id="rgba"),
        pytest.param(file_of(smooth("P"), "PNG"), id="palette"),
        pytest.param(file_of(smooth(), "PNG", transparency=(1, 2, 3)), id="transparent-colour"),
        pytest.param(file_of(smooth("CMYK"), "JPEG"), id="cmyk"),
        pytest.param(file_of(smooth(), "BMP"), id="bmp"),
        pytest.param(file_of(smooth(), "WEBP"), id="webp"),
        pytest.param(file_of(smooth(), "TIFF"), id="tiff"),
        pytest.param(animation(), id="gif"),
        pytest.param(oriented(np.asarray(smooth()), 6, "JPEG"), id="rotated"),
    ],
)
def test_any_other_file_becomes_a_jpeg_that_fits(raw):
    baked = bake(raw, name="x")
    with Image.open(io.BytesIO(baked.image)) as stored:
        assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", (baked.width, baked.height))
    error = np.asarray(decode(baked.image, name="x")).astype(int) - np.asarray(decode(raw, name="x"))
    assert np.abs(error).mean() < 3
    assert bake(baked.image, name="x") == baked


@pytest.mark.parametrize(
    ("size_wh", "expected"), [((200, 100), (50, 25)), ((100, 200), (25, 50)), ((50, 50), (50, 50))]
)
def test_the_longest_side_is_at_most_max_side(size_wh, expected):
    baked = bake(file_of(Image.new("RGB", size_wh), "PNG"), name="x", max_side=50)
    assert (baked.width, baked.height) == expected
    assert decode(baked.image, name="x").size == expected


def test_shrinking_leaves_the_image_given_as_it_is(pixels):
    image = Image.fromarray(pixels)
    assert shrink(image, 10).size == (10, 7)
    assert image.size == (36, 24)


def test_an_image_is_never_enlarged(pixels):
    image = Image.fromarray(pixels)
    assert shrink(image, 1000).size == shrink(image, None).size == (36, 24)


@pytest.mark.parametrize("form", ["GIF", "JPEG"])
def test_what_is_encoded_again_holds_no_metadata(form):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"  # ImageDescription
    exif[ORIENTATION] = 6
    raw = file_of(smooth(), form, comment=b"taken at home", **({"exif": exif} if form == "JPEG" else {}))
    assert b"taken at home" in raw
    assert b"taken at home" not in bake(raw, name="x").image


def test_encoding_is_deterministic(pixels):
    assert encode(Image.fromarray(pixels)) == encode(Image.fromarray(pixels))


def test_a_format_for_which_another_program_would_run_is_refused():
    """Pillow gives EPS to Ghostscript, whatever the file is called."""
    eps = file_of(smooth(), "EPS")
    with pytest.raises(ValueError, match=r"'a\.jpg' cannot be read: expected a format out of AVIF.* got EPS"):
        decode(eps, name="a.jpg")
