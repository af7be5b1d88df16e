import io
import json
import random
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from giqa_datasets import near_duplicates
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.distortions import DISTORTIONS, distort
from giqa_datasets.images import bake, decode
from giqa_datasets.near_duplicates import N_BITS, THRESHOLD, Lookalikes, Match, hash_decoded, hash_of, lookalikes_of
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.sources import mini


pytestmark = pytest.mark.slow


NEW = "f" * 64  # the sha256 of a file that is not known


def sha(number: int) -> str:
    return f"{number:064x}"


def jpeg(image: Image.Image, quality: int = 90, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def picture(seed: int, size_wh=(120, 90)) -> Image.Image:
    """Soft patches of colour, others for each seed."""
    patches = Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3))
    return patches.resize(size_wh, Image.Resampling.BICUBIC)


def apart(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(hash_of(one), hash_of(other), strict=True))


@pytest.fixture(scope="module")
def photographs() -> dict[str, bytes]:
    """The mini set's 42 photographs, as their wheels have them."""
    entries = json.loads(Path(mini.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {entry["file"]: mini.wheel_file(entry["file"]).read_bytes() for entry in entries}


@pytest.fixture(scope="module")
def some(photographs) -> dict[str, Image.Image]:
    """A few of them, decoded."""
    return {name: decode(raw, name=name) for name, raw in list(photographs.items())[::7]}


@pytest.fixture(scope="module")
def known(photographs) -> Lookalikes:
    return Lookalikes((name, sha(number), raw) for number, (name, raw) in enumerate(photographs.items()))


# The threshold, on real photographs


def scaled(image, by):
    return image.resize((image.width // by, image.height // by), Image.Resampling.LANCZOS)


def trimmed(image, share):
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def locally(name, severity):
    return lambda image: jpeg(distort(image, name, severity=severity, xyxy=(0.3, 0.3, 0.7, 0.7)))


COPIES = {
    "the same": (png, 8),  # a JPEG is hashed from fewer pixels
    "quality 60": (lambda image: jpeg(image, 60), 10),
    "quality 30": (lambda image: jpeg(image, 30), 10),
    "half the size": (lambda image: jpeg(scaled(image, 2)), 10),
    "a quarter of the size": (lambda image: jpeg(scaled(image, 4)), 10),
    "grey": (lambda image: jpeg(image.convert("L")), 10),
    "brighter": (lambda image: jpeg(image.point(lambda level: min(255, int(level * 1.2)))), 24),
    "2 % off every side": (lambda image: jpeg(trimmed(image, 0.02)), THRESHOLD),
    **{f"{name} 3": (locally(name, 3), THRESHOLD) for name in DISTORTIONS},
}


@pytest.mark.parametrize(("change", "at_most"), COPIES.values(), ids=COPIES)
@pytest.mark.slow
def test_a_changed_copy_of_a_photograph_is_found(known, some, change, at_most):
    for name, image in some.items():
        match = known.find(NEW, change(image))
        assert match is not None, name
        assert match.name == name
        assert match.distance is not None
        assert match.distance <= at_most


def test_different_photographs_are_far_apart(photographs):
    hashes = [hash_of(raw) for raw in photographs.values()]
    distances = [
        sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) for one, other in combinations(hashes, 2)
    ]
    assert len(distances) == 42 * 41 / 2
    assert min(distances) >= THRESHOLD + 20


def test_a_part_of_a_photograph_and_its_mirror_image_are_not_found(known, some):
    for image in some.values():
        assert known.find(NEW, jpeg(image.crop((0, 0, image.width // 2, image.height // 2)))) is None
        assert known.find(NEW, jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) is None


def test_a_jpeg_decoded_small_has_nearly_the_hash_of_its_pixels(some):
    for image in some.values():
        raw = jpeg(image)
        pixels = hash_decoded(decode(raw, name=""))
        assert sum((a ^ b).bit_count() for a, b in zip(hash_of(raw), pixels, strict=True)) <= 8


# What a match says


def test_the_same_file_is_the_same_whatever_it_decodes_to():
    known = Lookalikes([("one", sha(1), png(picture(1))), ("two", sha(2), png(picture(2)))])
    assert known.find(sha(2), png(picture(1))) == Match("two", None)
    assert known.find(sha(1), b"no image") == Match("one", None)


def test_another_file_says_how_many_bits_differ():
    known = Lookalikes([("one", sha(1), png(picture(1))), ("two", sha(2), png(picture(2)))])
    assert known.find(NEW, png(picture(2))) == Match("two", 0)
    assert known.find(NEW, png(picture(3))) is None


def test_the_threshold_itself_is_alike_and_one_bit_more_is_not():
    known = Lookalikes()
    known.add("one", sha(1), bytes(N_BITS // 8))
    assert known.nearest(b"\xff" * (THRESHOLD // 8) + bytes((N_BITS - THRESHOLD) // 8)) == Match("one", THRESHOLD)
    assert known.nearest(b"\xff" * (THRESHOLD // 8) + b"\x01" + bytes((N_BITS - THRESHOLD) // 8 - 1)) is None


def test_the_nearest_counts_and_of_equals_the_first():
    known = Lookalikes()
    for name, hashed in (("far", b"\x07"), ("near", b"\x01"), ("as near", b"\x02")):
        known.add(name, name, hashed + bytes(31))
    assert known.nearest(bytes(32)) == Match("near", 1)


def test_images_can_be_added_after_others_were_looked_for():
    known = Lookalikes([("one", sha(1), png(picture(1)))])
    assert known.find(NEW, png(picture(2))) is None
    known.add("two", sha(2), hash_of(png(picture(2))))
    assert known.find(NEW, png(picture(2))) == Match("two", 0)
    assert known.find(sha(2), b"") == Match("two", None)


def test_a_match_is_said_in_a_few_words():
    assert str(Match("coffee", None)) == "the same bytes as 'coffee'"
    assert str(Match("coffee", 12)) == "like 'coffee', 12 of 256 bits apart"


def test_nothing_is_like_no_image():
    assert Lookalikes().find(NEW, png(picture(1))) is None


# Image files


BROKEN = {
    "empty": b"",
    "text": b"no image",
    "half a PNG": png(picture(1))[:500],
    "half a JPEG": jpeg(picture(1))[:800],
    "a JPEG's first bytes": b"\xff\xd8\xff",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_decoded_has_no_match_and_is_known_by_its_sha256_alone(raw):
    known = Lookalikes([("broken", sha(1), raw), ("one", sha(2), png(picture(1)))])
    assert known.find(NEW, raw) is None
    assert known.find(sha(1), raw) == Match("broken", None)
    assert known.find(NEW, png(picture(1))) == Match("one", 0)


def test_an_image_of_too_many_pixels_is_not_decoded(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_PIXELS", 120 * 90 - 1)
    assert hash_of(jpeg(picture(1))) is None


def test_a_rotated_file_looks_like_its_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = jpeg(picture(1), exif=exif)
    assert apart(raw, bake(raw, name="").image) <= 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "L", "1"])
def test_a_file_of_any_mode_looks_like_what_the_data_set_makes_of_it(mode):
    image = picture(1).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    raw = jpeg(image) if mode == "CMYK" else png(image)
    assert apart(raw, bake(raw, name="").image) <= 8


# Data set folders


def record(number: int, samples: int = 3) -> Record:
    raw = jpeg(picture(number))
    photograph = Photograph(raw, 120, 90, sha(number), "test", "cc0-1.0")
    asked = [Sample(f"photo-{number}-{k}", "des", "des", "Describe it.", "Sharp.") for k in range(samples)]
    return Record(f"photo-{number}", photograph, "Sharp.", "cc0-1.0", samples=tuple(asked))


def test_the_images_of_a_folder_are_known_by_the_ids_of_their_first_rows(tmp_path):
    records = [record(number) for number in range(40)]  # 120 rows, two row groups
    build_folder(tmp_path / "set", "folder", {"train": records[:35], "test": records[35:]})
    known = lookalikes_of(tmp_path / "set")
    for number in range(40):
        assert known.find(sha(number), b"") == Match(f"photo-{number}-0", None)
        assert known.find(NEW, jpeg(picture(number), 60)).name == f"photo-{number}-0"
    assert known.find(NEW, jpeg(picture(99))) is None


def test_each_image_of_a_folder_is_hashed_once(tmp_path, monkeypatch):
    build_folder(tmp_path / "set", "folder", {"train": [record(number, 7) for number in range(40)]})
    hashed = []
    monkeypatch.setattr(near_duplicates, "hash_of", lambda raw: hashed.append(raw))
    lookalikes_of(tmp_path / "set")
    assert hashed == [jpeg(picture(number)) for number in range(40)]


def change_shard(folder: Path, change) -> None:
    (shard,) = (folder / "data").iterdir()
    pq.write_table(change(pq.read_table(shard)), shard)


def test_an_image_without_its_pixels_is_known_by_its_sha256(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": [record(0), record(1)]})

    def empty(table):
        rows = table.to_pylist()
        for row in rows[:3]:
            row["image"] = None
        rows[3]["image"]["bytes"] = None
        return pa.Table.from_pylist(rows, schema=table.schema)

    change_shard(tmp_path / "set", empty)
    (sha256,) = {row["image_sha256"] for row in pq.read_table(tmp_path / "set" / "data").to_pylist()[:2]}
    known = lookalikes_of(tmp_path / "set")
    assert known.find(sha256, b"") == Match("photo-0-0", None)
    assert known.find(NEW, jpeg(picture(0))) is None
    assert known.find(NEW, jpeg(picture(1))) == Match("photo-1-1", 0)


@pytest.mark.parametrize("name", ["id", "image", "image_sha256"])
def test_a_shard_without_the_columns_is_one_sentence(tmp_path, name):
    build_folder(tmp_path / "set", "folder", {"train": [record(0)]})
    change_shard(tmp_path / "set", lambda table: table.drop_columns([name]))
    with pytest.raises(ValueError, match=r"expected the columns of a GIQA data set in .*train-00000-of-00001.parquet"):
        lookalikes_of(tmp_path / "set")


def test_a_column_of_another_type_is_one_sentence(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": [record(0)]})

    def change(table):
        at = table.column_names.index("image")
        return table.set_column(at, "image", pa.array(["a.jpg"] * table.num_rows))

    change_shard(tmp_path / "set", change)
    with pytest.raises(ValueError, match="expected the columns of a GIQA data set in "):
        lookalikes_of(tmp_path / "set")


def test_a_folder_that_is_no_data_set_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a data set folder in .*, got no shards in its data/"):
        lookalikes_of(tmp_path)
