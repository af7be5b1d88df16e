"""What a photograph's file says beside its pixels: taken out without a change of a pixel, whatever the file is."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile
from PIL.PngImagePlugin import PngInfo

from giqa_datasets.image_metadata import cut_metadata
from giqa_datasets.images import bake, decode, faults_of_baked


CANARY = b"HOME-OF-SOMEBODY"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(mode="RGB", size=(40, 30)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def file_of(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif():
    """A place, an owner and a serial number, all invented."""
    tags = Image.Exif()
    tags[0x013B], tags[0x8298], tags[0xA430], tags[0xA431] = (CANARY.decode(),) * 4
    tags.get_ifd(0x8825).update({1: "N", 2: (10.0, 20.0, 30.0), 29: CANARY.decode()})
    return tags.tobytes()


def segment(code, content):
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def after_start(raw, *segments):
    """A JPEG with segments behind its first marker."""
    return raw[:2] + b"".join(segments) + raw[2:]


def before_end(raw, *chunks):
    return raw[:-12] + b"".join(chunks) + raw[-12:]


def text_of_png():
    info = PngInfo()
    info.add_text("Author", CANARY.decode())
    info.add_text("Comment", CANARY.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", CANARY.decode())
    return info


JPEG, PNG = file_of(noise(), "JPEG"), file_of(noise(), "PNG")
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\x10" + CANARY
CARRIERS = {
    "EXIF": (file_of(noise(), "JPEG", exif=exif()), {"EXIF"}),
    "EXIF, grey": (file_of(noise("L"), "JPEG", exif=exif()), {"EXIF"}),
    "EXIF, progressive": (file_of(noise(), "JPEG", exif=exif(), progressive=True), {"EXIF"}),
    "EXIF, restarts": (file_of(noise(), "JPEG", exif=exif(), restart_marker_blocks=1), {"EXIF"}),
    "EXIF and the profile of sRGB": (file_of(noise(), "JPEG", exif=exif(), icc_profile=SRGB), {"EXIF"}),
    "XMP": (file_of(noise(), "JPEG", xmp=CANARY), {"XMP"}),
    "comment": (file_of(noise(), "JPEG", comment=CANARY), {"comment"}),
    "IPTC": (after_start(JPEG, segment(0xED, IPTC)), {"IPTC"}),
    "thumbnail of JFIF": (after_start(JPEG, segment(0xE0, b"JFXX\0\x10" + CANARY)), {"APP0"}),
    "a maker's segment": (after_start(JPEG, segment(0xE5, CANARY)), {"APP5"}),
    "profile of nothing": (file_of(noise(), "JPEG", icc_profile=CANARY), {"colour profile"}),
    "a second picture": (
        file_of(noise(), "MPO", save_all=True, append_images=[noise()]) + CANARY,
        {"index of further pictures", "bytes after the image"},
    ),
    "a film behind it": (JPEG + b"\0\0\0\x18ftypmp42" + CANARY, {"bytes after the image"}),
    "fill bytes": (JPEG[:2] + b"\xff\xff" + JPEG[2:] + CANARY, {"stray bytes", "bytes after the image"}),
    "PNG: text": (file_of(noise(), "PNG", pnginfo=text_of_png()), {"text"}),
    "PNG: EXIF": (file_of(noise(), "PNG", exif=exif()), {"EXIF"}),
    "PNG: EXIF behind the pixels": (before_end(PNG, chunk(b"eXIf", exif()[6:])), {"EXIF"}),
    "PNG: time": (before_end(PNG, chunk(b"tIME", b"\x07\xea\x0c\1\0\0\0")), {"time"}),
    "PNG: a private chunk": (before_end(PNG, chunk(b"prVt", CANARY)), {"unknown chunk"}),
    "PNG: bytes behind it": (PNG + CANARY, {"bytes after the image"}),
}


@pytest.mark.parametrize(("raw", "names"), CARRIERS.values(), ids=CARRIERS)
def test_what_a_file_says_beside_its_pixels_is_cut_out_and_no_pixel_changes(raw, names):
    keep = SRGB in raw
    plain, cut = cut_metadata(raw, keep_profile=keep)
    assert set(cut) == names
    assert CANARY not in plain
    assert (SRGB in plain) is keep
    assert (np.asarray(Image.open(io.BytesIO(plain))) == np.asarray(Image.open(io.BytesIO(raw)))).all()
    assert cut_metadata(plain, keep_profile=keep) == (plain, ())
    baked = bake(raw, name="x")
    assert baked.image == plain
    assert baked.changes == (("broken colour profile taken out",) if names == {"colour profile"} else (TAKEN,))
    assert faults_of_baked(baked.image) == []
    assert faults_of_baked(raw)


TAKEN = "metadata taken out"


def test_a_finding_names_what_a_file_tells():
    (finding,) = faults_of_baked(CARRIERS["EXIF"][0])
    said = "EXIF, Artist, Copyright, GPS, CameraOwnerName, BodySerialNumber"
    assert finding == f"expected an image without metadata, got {said}"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("options", [{}, {"icc_profile": SRGB}], ids=["untagged", "srgb"])
def test_a_file_without_metadata_keeps_its_bytes(form, options):
    raw = file_of(noise(), form, **options)
    assert cut_metadata(raw, keep_profile=True) == (raw, ())
    assert bake(raw, name="x") == (raw, 40, 30, ())


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP"])
def test_what_is_encoded_again_leaves_it_behind_and_is_counted(form):
    options = {"comment": CANARY} if form == "GIF" else {"exif": exif()}
    baked = bake(file_of(noise(), form, **options), name="x")
    assert CANARY not in baked.image
    assert baked.changes == (TAKEN,)


def test_an_orientation_that_is_none_costs_no_second_encoding():
    tags = Image.Exif()
    tags[0x0112] = 0
    raw = file_of(noise(), "JPEG", exif=tags)
    assert (np.asarray(decode(bake(raw, name="x").image, name="x")) == np.asarray(decode(raw, name="x"))).all()


@pytest.mark.parametrize("raw", [CARRIERS["EXIF, progressive"][0], CARRIERS["PNG: text"][0]], ids=["JPEG", "PNG"])
def test_a_file_that_breaks_off_is_refused(raw):
    for end in range(len(raw)):
        with pytest.raises(ValueError, match=r"expected a (whole )?(JPEG|PNG)"):
            cut_metadata(raw[:end], keep_profile=True)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xff\xd8" + segment(0xE1, b"") * 200_000 + JPEG[2:], id="segments"),
        pytest.param(PNG[:8] + chunk(b"tEXt", b"") * 200_000 + PNG[8:], id="chunks"),
        pytest.param(JPEG[:-2] + b"\xff" * 2_000_000 + JPEG[-2:], id="fill bytes"),
    ],
)
def test_very_many_pieces_are_walked_once(raw):
    assert len(cut_metadata(raw, keep_profile=True)[0]) <= max(len(JPEG), len(PNG)) + 2_000_000


STRANGE = {
    "an end before its image": after_start(JPEG, b"\xff\xd9"),
    "a marker without a length": after_start(JPEG, b"\xff\x01"),
    "a length of none": after_start(JPEG, b"\xff\xe1\0\0"),
    "a second beginning": after_start(JPEG, b"\xff\xd8"),
    "a thumbnail in JFIF": after_start(JPEG, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + CANARY[:3])),
    "Adobe's, longer": after_start(JPEG, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + CANARY)),
}


@pytest.mark.parametrize("raw", STRANGE.values(), ids=STRANGE)
def test_a_strange_segment_is_refused(raw):
    with pytest.raises(ValueError, match="expected a whole JPEG file"):
        cut_metadata(raw, keep_profile=True)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CARRIERS)), st.data())
def test_a_damaged_file_keeps_the_pixels_it_has_or_is_refused(name, data):
    raw = bytearray(CARRIERS[name][0])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    damaged = bytes(raw)
    try:
        plain, _ = cut_metadata(damaged, keep_profile=False)
    except ValueError:
        return
    assert cut_metadata(plain, keep_profile=False) == (plain, ())
    try:
        before = np.asarray(decode(damaged, name="x"))
        baked = bake(damaged, name="x")
    except ValueError:
        return
    if baked.image == plain:
        assert (np.asarray(decode(plain, name="x")) == before).all()
    assert faults_of_baked(baked.image) == []


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"]))
def test_no_bytes_make_it_raise_anything_else(raw, begin):
    try:
        plain, _ = cut_metadata(begin + raw, keep_profile=True)
    except ValueError:
        return
    assert len(plain) <= len(begin + raw)


def test_reading_stays_strict():
    """Pillow could be told to take half an image for a whole one."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
