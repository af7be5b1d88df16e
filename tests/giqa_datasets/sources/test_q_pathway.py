import hashlib
import io
import json
import random
import zlib

import numpy as np
import pytest
from PIL import Image

from giqa_datasets.entries import load
from giqa_datasets.image_stores import OwnCopies
from giqa_datasets.images import MAX_PIXELS, decode
from giqa_datasets.records import Sample, rows
from giqa_datasets.sources import q_pathway
from giqa_datasets.sources.q_pathway import OTHERS, SETS, entries, rights
from tests.command import giqa


PHOTO = "spaq_koniq/10004473376.jpg"
TEXT = "  The man is sharp.\nThe sky is noisy. "


def row(image=PHOTO, text=TEXT, **other):
    """A row in the upstream's shape."""
    turns = [{"from": "human", "value": "Describe the quality.\n<image>"}, {"from": "gpt", "value": text}]
    return {"id": 7, "image": image, "type": "description", "qtype": None, "conversations": turns} | other


def pixels(seed=0, size=(6, 8)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


IMAGES = {
    PHOTO: encoded(pixels(0)),
    "spaq_koniq/00003.jpg": encoded(pixels(1)),
    "livefb_liveitw_aigc/t1.bmp": encoded(pixels(2), "BMP"),
    "livefb_liveitw_aigc/sd1.5_highcorr_095.jpg": encoded(pixels(3)),
}


@pytest.fixture
def upstream(tmp_path, lay_out):
    """Writes the rows, and the images as a folder or as a tar; returns the root."""

    def write(*entries, images=IMAGES, packed=False, root="root"):
        root = tmp_path / root
        root.mkdir()
        (root / "cleaned_labels.json").write_text(json.dumps(entries), encoding="utf-8")
        lay_out(root, images, packed=packed, tar="q-instruct-images.tar")
        return root

    return write


def taken(root, **options):
    """The records and the drops."""
    drops = []
    return list(load(entries(root, drops.append, **options), drops.append)), drops


def plain(records):
    """Records as values that compare."""
    return [(record.id, record.photograph, record.description, record.text_license) for record in records]


def test_a_description_becomes_a_record(upstream):
    (record,), drops = taken(upstream(row()))
    assert not drops
    assert record.description == TEXT
    assert record.id.startswith("q-pathway/spaq_koniq/10004473376-")
    assert record.photograph.image == IMAGES[PHOTO]
    assert record.photograph.sha256 == hashlib.sha256(IMAGES[PHOTO]).hexdigest()
    assert (record.photograph.width, record.photograph.height) == (8, 6)
    assert record.photograph.source == "koniq-10k"
    assert "apache-2.0" in record.text_license
    assert "S-Lab" in record.text_license
    assert record.samples == ()


def test_questions_are_passed_over_and_coco_is_dropped(upstream):
    records, drops = taken(
        upstream(
            row(type="vqa", qtype="yes-no"),
            row("train2017/000000000009.jpg"),
            row("coco/train2017/000000000009.jpg"),
            row("COCO_train2014_000000000009.jpg"),
            row("000000000009.jpg"),
            row("spaq_koniq/000000000009.jpg"),
            row("livefb_liveitw_aigc/COCO_val2014_000000000042.jpg"),
            row("elsewhere/1.jpg"),
            row(type=2, qtype="Pathway"),
        )
    )
    assert len(records) == 1
    assert [drop.reason for drop in drops] == ["coco"] * 6 + ["unknown_set"]
    assert {drop.stage for drop in drops} == {"source"}
    assert drops[0].id == "cleaned_labels.json row 2"


def test_kinds_can_be_named(upstream):
    root = upstream(row(), row(type="long answer", text="Dark."))
    assert [record.description for record in taken(root, kinds=["LONG"])[0]] == ["Dark."]


def test_without_a_description_the_kinds_that_came_are_named(upstream):
    with pytest.raises(ValueError, match=r"contains 'desc' or 'pathway', got 'vqa/what' 2; --kinds names"):
        taken(upstream(row(type="vqa", qtype="what"), row(type="vqa", qtype="what")))


def test_the_command_takes_other_kinds(upstream, tmp_path):
    said = ("build", "giqa-160k", "--q-pathway", upstream(row()), "--dq-495k", tmp_path, "--kinds", "long")
    assert "contains 'long', got 'description/None' 1; --kinds" in " ".join(giqa(*said)[2].split())


MANY = [
    row(name, f"{text} {name}") for name in IMAGES for text in ("Sharp.", "Dark.", "模糊的天空。", "سماء غير واضحة")
]


def test_folder_tar_and_own_copies_give_the_same_records(upstream, tmp_path):
    from_folder, none = taken(upstream(*MANY))
    from_tar, also_none = taken(upstream(*MANY, packed=True, root="packed"))
    own = tmp_path / "own"
    own.mkdir()
    for number, raw in enumerate(IMAGES.values()):
        (own / f"{number}.bin").write_bytes(raw)
    copies = OwnCopies({name: hashlib.sha256(raw).hexdigest() for name, raw in IMAGES.items()}, [own])
    from_copies, still_none = taken(upstream(*MANY, images={}, root="bare"), images=copies)
    assert none == also_none == still_none == []
    assert len(from_folder) == len(MANY)
    assert plain(from_folder) == plain(from_tar) == plain(from_copies)
    assert [record.description for record in from_tar] == [entry["conversations"][1]["value"] for entry in MANY]


def test_ids_are_unique_and_do_not_depend_on_the_order_of_the_rows(upstream):
    shuffled = random.Random(0).sample(MANY, len(MANY))
    renumbered = [entry | {"id": number} for number, entry in enumerate(shuffled)]
    there = {record.id: record.description for record in taken(upstream(*MANY))[0]}
    back = {record.id: record.description for record in taken(upstream(*renumbered, root="again"))[0]}
    assert there == back
    assert len(there) == len(MANY)


def test_one_bad_row_changes_no_other(upstream):
    bad = [7, None, [], {}, row(5), row(text=None), row(text=" \n"), row("spaq_koniq/9.jpg"), row("../a"), row()]
    good = taken(upstream(*MANY))[0]
    mixed, drops = taken(upstream(*(entry for pair in zip(bad, MANY[:10], strict=True) for entry in pair), root="b"))
    assert plain(good)[:10] == [one for one in plain(mixed) if one[2] != TEXT]
    assert [drop.reason for drop in drops] == ["malformed_row"] * 6 + [
        "empty_description",
        "unsafe_path",
        "missing_image",
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param(row(text=""), "empty_description", id="empty"),
        pytest.param(row(text=" \n\t\u3000"), "empty_description", id="blank"),
        pytest.param(row(text="The [cat](<1, 44>)."), "markup_in_description", id="grounded"),
        pytest.param(row(text="The <image> is dark."), "markup_in_description", id="image-token"),
        pytest.param(row(text="dark \ud800"), "broken_description", id="lone-surrogate"),
        pytest.param(row("spaq_koniq/99999.jpg"), "missing_image", id="missing"),
        pytest.param(row("../canary.jpg"), "unsafe_path", id="dot-dot"),
        pytest.param(row("spaq_koniq/../../canary.jpg"), "unsafe_path", id="dot-dot-inside"),
        pytest.param(row("/etc/hostname"), "unsafe_path", id="absolute"),
        pytest.param(row("C:\\canary.jpg"), "unsafe_path", id="windows"),
        pytest.param(row("spaq_koniq/a\0.jpg"), "unsafe_path", id="nul"),
        pytest.param(row("spaq_koniq/link.jpg"), "broken_image", id="link-outside"),
        pytest.param(row("spaq_koniq/" + "a" * 5000), "broken_image", id="long-name"),
        pytest.param(row(conversations=[]), "other_conversation", id="no-turns"),
        pytest.param(row(conversations=row()["conversations"] * 2), "other_conversation", id="two-questions"),
        pytest.param(row(conversations=row()["conversations"][::-1]), "other_conversation", id="answer-first"),
        pytest.param(row(conversations="text"), "malformed_row", id="no-conversation"),
        pytest.param(row(image=["a.jpg"]), "malformed_row", id="two-images"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_row_costs_its_record_and_says_why(upstream, tmp_path, entry, reason, packed):
    (tmp_path / "canary.jpg").write_bytes(IMAGES[PHOTO])
    root = upstream(row(), entry, packed=packed)
    if not packed:
        (root / "spaq_koniq" / "link.jpg").symlink_to(tmp_path / "canary.jpg")
    records, drops = taken(root)
    if packed and "link" in entry["image"]:  # the tar holds no such file
        reason = "missing_image"
    assert [record.description for record in records] == [TEXT]
    assert [(drop.id, drop.reason) for drop in drops] == [("cleaned_labels.json row 2", reason)]
    json.dumps(drops[0].what, ensure_ascii=False).encode()  # as drops.jsonl has it


def test_a_description_that_comes_twice_is_kept_once(upstream):
    records, drops = taken(upstream(row(), row(text="Dark."), row(id=8), row(image=f"./{PHOTO}")))
    assert [record.description for record in records] == [TEXT, "Dark."]
    assert [(drop.reason, drop.what) for drop in drops] == [("duplicate", records[0].id)] * 2


def test_a_name_in_another_form_is_the_same_image(upstream):
    first, second = (taken(upstream(row(name), root=f"r{len(name)}"))[0] for name in (PHOTO, f"./{PHOTO}"))
    assert plain(first) == plain(second)


def bomb():
    """A PNG of a few hundred bytes that claims more pixels than are let in."""
    raw = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    side = int(MAX_PIXELS**0.5) + 1
    raw[16:24] = side.to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(IMAGES[PHOTO][: len(IMAGES[PHOTO]) // 2], id="truncated"),
        pytest.param(bomb(), id="bomb"),
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>404</html>", id="no-image"),
    ],
)
def test_a_broken_image_costs_its_record(upstream, raw):
    records, drops = taken(upstream(row(), row("spaq_koniq/00003.jpg"), images=IMAGES | {"spaq_koniq/00003.jpg": raw}))
    assert len(records) == 1
    assert [drop.reason for drop in drops] == ["broken_image"]
    assert "spaq_koniq/00003.jpg" in drops[0].what


PLAIN, OTHER = (Image.new("RGB", (8, 6), colour) for colour in ((0, 102, 102), (255, 153, 0)))
EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned by 90 degrees


@pytest.mark.parametrize(
    ("raw", "wh"),
    [
        pytest.param(encoded(PLAIN.convert("CMYK")), (8, 6), id="cmyk"),
        pytest.param(encoded(PLAIN.convert("P"), "PNG"), (8, 6), id="palette"),
        pytest.param(encoded(Image.new("I;16", (8, 6), 40000), "PNG"), (8, 6), id="16-bit"),
        pytest.param(encoded(PLAIN.convert("RGBA"), "PNG"), (8, 6), id="transparent"),
        pytest.param(encoded(PLAIN, "GIF", save_all=True, append_images=[OTHER]), (8, 6), id="animated-first-frame"),
        pytest.param(encoded(PLAIN, "WEBP", save_all=True, append_images=[OTHER]), (8, 6), id="animated-webp"),
        pytest.param(encoded(PLAIN, exif=EXIF), (6, 8), id="exif"),
    ],
)
def test_an_unusual_image_is_repaired(upstream, raw, wh):
    (record,), drops = taken(upstream(row(), images={PHOTO: raw}))
    assert not drops
    assert record.photograph.sha256 == hashlib.sha256(raw).hexdigest()
    assert record.photograph.image != raw
    with Image.open(io.BytesIO(record.photograph.image)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", wh)
        assert (record.photograph.width, record.photograph.height) == wh
        assert image.getexif().get(0x0112, 1) == 1
    expected = np.asarray(decode(raw, name="raw"), dtype=float)
    assert abs(np.asarray(decode(record.photograph.image, name="baked")) - expected).max() < 12


def test_what_a_record_holds_becomes_a_row(upstream):
    for record in taken(upstream(*MANY))[0]:
        sample = Sample(f"{record.id}-des", "des", "des", "Describe.", record.description)
        (columns,) = rows(type(record)(record.id, record.photograph, record.description, "x", samples=(sample,)))
        assert columns["answer"] == record.description


def test_rows_make_no_difference_to_what_lies_beside_the_root(upstream, tmp_path):
    canary = tmp_path / "canary.jpg"
    canary.write_bytes(encoded(pixels(9)))
    for packed in (False, True):
        root = upstream(row(), *(row(name) for name in OUTSIDE), packed=packed, root=f"p{packed}")
        before = sorted(tmp_path.rglob("*"))
        records, drops = taken(root)
        assert [record.photograph.image for record in records] == [IMAGES[PHOTO]]
        assert len(drops) == len(OUTSIDE)
        assert sorted(tmp_path.rglob("*")) == before


OUTSIDE = ["../canary.jpg", "spaq_koniq/../../canary.jpg", "./../canary.jpg", "spaq_koniq/..\\..\\canary.jpg"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "expected JSON in"),
        ("", "expected JSON in"),
        ("[" * 100_000, "expected JSON in"),
        ('{"images": []}', "expected a list of rows in .*, got dict"),
        ("[]", "got 0 rows"),
        ("[1, 2]", "expected upstream rows in .*: row 1: expected an object, got int"),
        ('[{"question": "?"}]', "row 1: image: field required"),
    ],
)
def test_another_file_ends_in_one_sentence(tmp_path, content, says):
    (tmp_path / "cleaned_labels.json").write_text(content)
    with pytest.raises(ValueError, match=says) as caught:
        taken(tmp_path)
    assert "cleaned_labels.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_broken_tar_are_named(tmp_path, upstream):
    with pytest.raises(FileNotFoundError, match=r"expected the upstream file .*cleaned_labels\.json"):
        taken(tmp_path)
    root = upstream(row())
    (root / "q-instruct-images.tar").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"expected an uncompressed tar in .*q-instruct-images\.tar"):
        taken(root)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("spaq_koniq/00003.jpg", "spaq"),
        ("spaq_koniq/826373.jpg", "koniq-10k"),
        ("spaq_koniq/10004473376.jpg", "koniq-10k"),
        ("livefb_liveitw_aigc/94.bmp", "live-itw"),
        ("livefb_liveitw_aigc/1043.JPG", "live-itw"),
        ("livefb_liveitw_aigc/t7.bmp", "live-itw"),
        ("livefb_liveitw_aigc/AVA__427243.jpg", "live-fb"),
        ("livefb_liveitw_aigc/EMOTIC__COCO_val2014_000000000042.jpg", "live-fb"),
        ("livefb_liveitw_aigc/out_of_focus0643.jpg", "live-fb"),
        ("livefb_liveitw_aigc/motion0009.jpg", "live-fb"),
        ("livefb_liveitw_aigc/sd1.5_highcorr_095.jpg", "agiqa-3k"),
        ("livefb_liveitw_aigc/DALLE2_normal_001.jpg", "agiqa-3k"),
        ("livefb_liveitw_aigc/ec9b5bd0-3b3c-4f4a-8a39-2a6f9d9e7d3b.webp", "imagerewarddb"),
        ("spaq_koniq/other.png", "spaq or koniq-10k"),
        ("livefb_liveitw_aigc/other.png", "live-fb, live-itw, agiqa-3k or imagerewarddb"),
    ],
)
def test_the_name_tells_the_image_set(name, source):
    assert rights(name).source == source


def test_no_pixels_may_be_passed_on():
    assert not any(found.redistributable for _, found in (*SETS, *OTHERS))
    assert q_pathway.TEXT_LICENSE.startswith("in conflict")
