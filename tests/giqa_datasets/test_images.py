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
    assert bake(raw, name="x", max_side=max_side) == (raw, 64, 48, ())


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
    assert bake(baked.image, name="x") == baked._replace(changes=())


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


# Colours


def profile_of(space, *tags, kind=b"scnr"):
    """An ICC profile (ICC.1:2001-04): a header, a table of tags, and their contents."""
    begin = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, said in tags:
        table += name + struct.pack(">II", begin + len(content), len(said))
        content += said + bytes(-len(said) % 4)
    pcs = b"Lab " if space == b"CMYK" else b"XYZ "
    header = (
        struct.pack(">I4xI", begin + len(content), 0x02400000) + kind + space + pcs + bytes(12) + b"acsp" + bytes(28)
    )
    header += struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return header + bytes(128 - len(header)) + table + content


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def described(space, *tags, **options):
    text = b"made here\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = ((b"desc", desc), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(0.9642, 1, 0.8249)), *tags)
    return profile_of(space, *tags, **options)


def cmyk_profile():
    """Inks of our own: one of 16 corners of the cube, and between them a straight line, in L*a*b*."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T
    lightness = 255 * np.prod(1 - corners * (0.3, 0.4, 0.1, 0.9), axis=1)
    table = np.stack([lightness, *(np.full(16, 128),) * 2], axis=1).astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    return described(b"CMYK", (b"A2B0", b"mft1\0\0\0\0\4\3\2\0" + matrix + ramp * 4 + table + ramp * 3), kind=b"prtr")


ADOBE = described(
    b"RGB ",
    (b"rXYZ", xyz(0.60974, 0.31111, 0.01947)),
    (b"gXYZ", xyz(0.20528, 0.62567, 0.06087)),
    (b"bXYZ", xyz(0.14919, 0.06322, 0.74457)),
    *((name, gamma(563 / 256)) for name in (b"rTRC", b"gTRC", b"bTRC")),
)
GREY_GAMMA = described(b"GRAY", (b"kTRC", gamma(1.75)))
CMYK = cmyk_profile()
CONVERTED, BROKEN = "colours converted to sRGB", "broken colour profile taken out"


def from_adobe(levels):
    """Adobe RGB (1998) to sRGB (IEC 61966-2-1) by their formulas, both under D65."""
    linear = (levels / 255) ** (563 / 256)
    to_xyz = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    to_rgb = [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
    return encoded_srgb(linear @ np.transpose(to_xyz) @ np.transpose(to_rgb))


def encoded_srgb(linear):
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_other_colours_become_those_of_srgb_whatever_the_orientation(pixels, form, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lossless = {"lossless": True} if form == "WEBP" else {}
    raw = file_of(Image.fromarray(pixels), form, icc_profile=ADOBE, exif=exif, **lossless)
    expected = UPRIGHT[orientation](from_adobe(pixels.astype(float)))
    assert np.abs(np.asarray(decode(raw, name="x")) - expected).max() <= 2
    assert np.abs(np.asarray(decode(raw, name="x")).astype(int) - UPRIGHT[orientation](pixels)).max() > 20
    baked = bake(raw, name="x")
    assert CONVERTED in baked.changes
    with Image.open(io.BytesIO(baked.image)) as stored:
        assert "icc_profile" not in stored.info


def test_a_jpeg_of_other_colours_is_encoded_again():
    baked = bake(file_of(smooth(), "JPEG", icc_profile=ADOBE, quality=95), name="x")
    expected = from_adobe(np.asarray(smooth()).astype(float))
    assert np.abs(np.asarray(decode(baked.image, name="x")) - expected).mean() < 2
    assert baked.changes == (CONVERTED,)


def test_grey_under_a_profile_becomes_the_grey_of_srgb():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    raw = file_of(ramp, "PNG", icc_profile=GREY_GAMMA)
    decoded = np.asarray(decode(raw, name="x"))[0, :, 0]
    assert np.abs(decoded - encoded_srgb((np.arange(256) / 255) ** 1.75)).max() <= 2
    assert bake(raw, name="x").changes == (CONVERTED,)


def test_inks_under_a_profile_become_its_colours():
    black = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    raw = file_of(black, "TIFF", icc_profile=CMYK)
    level = np.asarray(decode(raw, name="x"))[0, 0].astype(int)
    assert np.ptp(level) <= 2
    assert np.abs(level - np.asarray(decode(file_of(black, "TIFF"), name="x"))[0, 0]).max() <= 60
    half = Image.new("CMYK", (8, 8), (0, 0, 255, 0))  # yellow ink is a light grey here
    inked = np.asarray(decode(file_of(half, "TIFF", icc_profile=CMYK), name="x"))[0, 0].astype(int)
    assert np.ptp(inked) <= 2
    assert inked.min() > 180
    assert bake(raw, name="x").changes == (CONVERTED,)


def test_transparency_under_a_profile_is_put_on_white():
    image = Image.new("RGBA", (2, 1), (0, 200, 0, 255))
    image.putpixel((1, 0), (0, 200, 0, 0))
    decoded = np.asarray(decode(file_of(image, "PNG", icc_profile=ADOBE), name="x"))[0]
    assert np.abs(decoded[0] - from_adobe(np.array([0.0, 200, 0]))).max() <= 2
    assert decoded[1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "profile", [b"no profile", ADOBE[:200], CMYK, GREY_GAMMA], ids=["bytes", "torn", "cmyk", "grey"]
)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_profile_that_cannot_be_the_files_is_taken_out_and_said(form, profile):
    raw = file_of(smooth(), form, icc_profile=profile)
    baked = bake(raw, name="x")
    assert tuple(baked) == (file_of(smooth(), form), 64, 48, (BROKEN,))
    assert (np.asarray(decode(raw, name="x")) == np.asarray(decode(baked.image, name="x"))).all()


# Grey levels of more than 8 bits


def tiff(levels, *, bits, sample_format=1, photometric=1, largest=None):
    """A minimal TIFF of one strip (TIFF 6.0), little-endian."""
    height, width = levels.shape
    data = levels.tobytes()
    kind = {1: 4, 2: 9, 3: 11}[sample_format]
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format)]
    tags += [] if largest is None else [(341, kind, largest)]
    form = {3: "<HHIHxx", 4: "<HHII", 9: "<HHIi", 11: "<HHIf"}
    listed = b"".join(struct.pack(form[kind], tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + listed + bytes(4)


def pgm(levels, maxval):
    height, width = levels.shape
    return b"P5\n%d %d\n%d\n" % (width, height, maxval) + levels.astype(">u2").tobytes()


def pfm(levels):
    height, width = levels.shape
    return b"Pf\n%d %d\n-1.0\n" % (width, height) + levels[::-1].astype("<f4").tobytes()


RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)
WHOLE_RAMPS = {
    "PGM, 16 bits": pgm((RAMP * 65535).round(), 65535),
    "PGM, 10 bits": pgm((RAMP * 1023).round(), 1023),
    "PGM, maxval 300": pgm((RAMP * 300).round(), 300),
    "PFM": pfm(RAMP),
    "PNG, 16 bits": file_of(Image.fromarray((RAMP * 65535).astype(np.uint16)), "PNG"),
    "TIFF, 16 bits": tiff((RAMP * 65535).astype("<u2"), bits=16),
    "TIFF, 16 bits, white is zero": tiff(((1 - RAMP) * 65535).astype("<u2"), bits=16, photometric=0),
    "TIFF, 32 bits": tiff((RAMP * (2**32 - 1)).astype("<u4"), bits=32),
    "TIFF, 32 bits signed, white said": tiff((RAMP * 4095).astype("<i4"), bits=32, sample_format=2, largest=4095),
    "TIFF, float": tiff(RAMP.astype("<f4"), bits=32, sample_format=3),
    "TIFF, float, white said": tiff((RAMP * 250).astype("<f4"), bits=32, sample_format=3, largest=250.0),
    "TIFF, float, white is zero": tiff((1 - RAMP).astype("<f4"), bits=32, sample_format=3, photometric=0),
}
NO_WHITE = {
    "float to 255": tiff((RAMP * 255).astype("<f4"), bits=32, sample_format=3),
    "float below zero": tiff((RAMP - 0.5).astype("<f4"), bits=32, sample_format=3),
    "not a number": tiff(np.where(RAMP > 0.5, np.nan, RAMP).astype("<f4"), bits=32, sample_format=3),
    "infinite": pfm(np.where(RAMP > 0.5, np.inf, RAMP)),
    "signed": tiff((RAMP * 255).astype("<i4"), bits=32, sample_format=2),
    "signed, 16 bits": tiff((RAMP * 255).astype("<i2"), bits=16, sample_format=2),
    "above the white said": tiff((RAMP * 300).astype("<f4"), bits=32, sample_format=3, largest=250.0),
}


@pytest.mark.parametrize("raw", WHOLE_RAMPS.values(), ids=WHOLE_RAMPS)
def test_deep_grey_is_scaled_by_the_white_that_the_file_states(raw):
    decoded = np.asarray(decode(raw, name="x")).astype(int)
    assert np.abs(decoded - (RAMP * 255)[..., None]).max() <= 1
    assert np.abs(np.asarray(decode(bake(raw, name="x").image, name="x")) - decoded).max() <= 4


@pytest.mark.parametrize("raw", NO_WHITE.values(), ids=NO_WHITE)
def test_deep_grey_without_a_white_is_refused_and_never_clipped(raw):
    for read in (decode, bake):
        with pytest.raises(ValueError, match=r"^image 'x' cannot be read: expected grey levels from 0 to "):
            read(raw, name="x")
