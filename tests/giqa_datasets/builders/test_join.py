"""A set that came without pixels, joined with the user's own copies: the set that was built, byte for byte."""

import hashlib
import io
import json
import random
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.join import join_copies
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder import parquet
from giqa_datasets.dataset_folder.licence_gate import without_pixels
from giqa_datasets.dataset_folder.write import shards_digest
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.sources.mini import wheel_file
from tests.command import giqa, refusal


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("looks_once")]


def picture(seed: int, mode: str = "RGB", size_wh: tuple[int, int] = (60, 40)) -> Image.Image:
    patches = Image.frombytes("RGB", (8, 8), random.Random(seed).randbytes(192))
    return patches.resize(size_wh, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(1), "JPEG", exif=exif)


# Files that the builder keeps, and files that it must encode again
FILES = {
    "plain.jpg": encoded(picture(0), "JPEG"),
    "same.jpg": encoded(picture(0), "JPEG"),  # the bytes of plain.jpg
    "turned.jpg": turned(),
    "deep/see-through.png": encoded(picture(2, "RGBA"), "PNG"),
    "bitmap.bmp": encoded(picture(3), "BMP"),
    "grey.png": encoded(picture(4, "L"), "PNG"),
    "ink.tif": encoded(picture(5, "CMYK"), "TIFF"),
    "free.png": encoded(picture(6), "PNG"),
    "more/猫.jpg": encoded(picture(7), "JPEG", quality=40),
}
FREE = "free.png"


def lay_photos(root: Path, files: dict[str, bytes] = FILES, lines: Sequence[dict] = ()) -> Path:
    """A folder of photographs with a hand-made description each, and further lines."""
    written = []
    for name, raw in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
        at = [{"phrase": "cat", "boxes": [[0.1, 0.2, 0.5, 0.6]]}]
        line = {"file_name": name, "id": f"id {name}", "description": "A sharp cat.", "regions": at}
        line |= {"image_license": "cc0-1.0", "redistributable": True} if name == FREE else {}
        written.append(line)
    text = "".join(json.dumps(line) + "\n" for line in [*written, *lines])
    (root / "metadata.jsonl").write_text(text, encoding="utf-8")
    return root


def build(photos: Path, out: Path) -> Path:
    build_set(SetRequest("folder", root=photos), out, out.with_name(f"{out.name}.annotations"), Choice())
    return out


def sign(folder: Path) -> None:
    card = folder / "README.md"
    text = re.sub(
        "sha256 [0-9a-f]{64}", f"sha256 {shards_digest((folder / 'data').iterdir())}", card.read_text(encoding="utf-8")
    )
    card.write_text(text, encoding="utf-8")


def publish(folder: Path, out: Path) -> Path:
    """The folder as it comes back from the Hub, with what a download leaves beside it."""
    shutil.copytree(folder, out)
    (out.parent / f"{out.name} work").mkdir()
    for name, path in without_pixels(folder, out.parent / f"{out.name} work").shards.items():
        shutil.copy(path, out / "data" / name)
    sign(out)
    (out / ".cache" / "huggingface").mkdir(parents=True)
    (out / ".gitattributes").touch()
    return out


def copies(root: Path, files: dict[str, bytes] = FILES) -> Path:
    """A user's own copies, all under other names."""
    root.mkdir()
    for number, raw in enumerate(dict.fromkeys(files.values())):
        (root / str(number)).mkdir()
        (root / str(number) / "mine").write_bytes(raw)
    return root


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> list[dict]:
    return [row for shard in sorted((folder / "data").iterdir()) for row in pq.read_table(shard).to_pylist()]


def drops_of(folder: Path) -> list[dict]:
    path = folder / "provenance" / "drops.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("built")
    return build(lay_photos(root / "photos"), root / "set")


@pytest.fixture(scope="module")
def downloaded(built) -> Path:
    return publish(built, built.parent / "downloaded")


@pytest.fixture
def small(downloaded, tmp_path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(downloaded, tmp_path / "small")


@pytest.fixture
def mine(tmp_path) -> Path:
    return copies(tmp_path / "mine")


# All copies are found


def test_renamed_copies_give_the_folder_that_was_built_byte_for_byte(built, downloaded, mine, tmp_path):
    assert sum(row["image"] is None for row in rows_of(downloaded)) == len(FILES) - 1
    code, stdout, stderr = giqa("build", downloaded, "--images", mine, "--out", tmp_path / "set")
    assert code == 0, stderr
    assert stdout.splitlines() == [f"{tmp_path / 'set'} train: 9 rows (9 des)", "joined: 7 images"]
    assert tree(tmp_path / "set") == tree(built)


def test_copies_may_lie_in_several_folders(built, downloaded, mine, tmp_path):
    (tmp_path / "more").mkdir()
    (mine / "0" / "mine").rename(tmp_path / "more" / "x")
    join_copies(downloaded, [mine, tmp_path / "more"], tmp_path / "set")
    assert tree(tmp_path / "set") == tree(built)


def test_what_the_pipeline_made_comes_back_byte_for_byte_too(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "SHARD_BYTES", 2000)
    monkeypatch.setattr(parquet, "ROW_GROUP", 2)
    monkeypatch.setattr(parquet, "LONG_GROUP", 2)
    files = FILES | {"coffee.png": wheel_file("skimage/data/coffee.png").read_bytes()}
    said = [
        ("coffee.png", "a", "The cup is sharp, and so is the tripod."),
        ("grey.png", "b", "The castle is blurred."),
    ]
    lines = [{"file_name": name, "id": key, "description": text} for name, key, text in said]
    photos = lay_photos(tmp_path / "photos", files | {}, lines)
    folder = build(photos, tmp_path / "set")
    assert len(list((folder / "data").iterdir())) > 2
    assert {path.name for path in (folder / "provenance").iterdir()} == {
        "drops.jsonl",
        "funnel.json",
        "images.jsonl",
        "settings.json",
        "sources.jsonl",
    }
    join_copies(publish(folder, tmp_path / "hub"), [copies(tmp_path / "mine", files)], tmp_path / "joined")
    assert tree(tmp_path / "joined") == tree(folder)


def test_rows_that_have_pixels_stay_as_they_are(built, downloaded, tmp_path):
    only = copies(tmp_path / "mine", {"plain.jpg": FILES["plain.jpg"]})
    join_copies(downloaded, [only], tmp_path / "set")
    was = {row["id"]: row for row in rows_of(built)}
    rows = rows_of(tmp_path / "set")
    assert [row["id"] for row in rows] == ["id plain.jpg-des", "id same.jpg-des", "id free.png-des"]
    assert all(row == was[row["id"]] for row in rows)


# Some are not


@pytest.fixture
def partly(downloaded, mine, tmp_path):
    """A join for which one copy is missing, and one is another file of the same name."""
    by_bytes = {path.read_bytes(): path for path in mine.rglob("mine")}
    by_bytes[FILES["bitmap.bmp"]].unlink()
    by_bytes[FILES["turned.jpg"]].rename(mine / "turned.jpg").write_bytes(b"another")
    done = giqa("build", downloaded, "--images", mine, "--out", tmp_path / "set")
    return done, tmp_path / "set"


def test_rows_without_a_fit_copy_are_left_out_with_a_reason(partly):
    (code, stdout, _), folder = partly
    assert code == 0
    assert stdout.splitlines() == [
        f"{folder} train: 7 rows (7 des)",
        "joined: 5 images",
        f"left out: 2 rows without a fit copy; {folder}/provenance/drops.jsonl says why",
    ]
    sha256 = {name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}
    assert drops_of(folder) == [
        {
            "id": "id turned.jpg-des",
            "stage": "join",
            "reason": "broken_image",
            "what": f"expected the sha256 {sha256['turned.jpg']} of 'turned.jpg', got another in mine/turned.jpg",
        },
        {
            "id": "id bitmap.bmp-des",
            "stage": "join",
            "reason": "missing_image",
            "what": f"expected a copy of 'bitmap.bmp' with the sha256 {sha256['bitmap.bmp']}, found none",
        },
    ]


def test_what_is_left_holds_and_is_what_would_have_been_built(partly, tmp_path):
    folder = partly[1]
    assert examine_dataset(folder).findings == []
    left = {name: raw for name, raw in FILES.items() if name not in ("turned.jpg", "bitmap.bmp")}
    again = tree(build(lay_photos(tmp_path / "photos", left), tmp_path / "again"))
    assert {name: raw for name, raw in tree(folder).items() if name != "provenance/drops.jsonl"} == again


def test_no_file_says_where_the_copies_lie(partly, tmp_path):
    assert not any(str(tmp_path).encode() in raw for raw in tree(partly[1]).values())


def bomb() -> bytes:
    """A PNG of a few bytes whose header claims 10^9 pixels."""
    raw = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 50_000, 20_000, 8, 2, 0, 0, 0)),
        (b"IDAT", b""),
        (b"IEND", b""),
    ):
        raw += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return raw


def rewrite(folder: Path, change: Callable[[list[dict]], object]) -> None:
    """Change the rows in place, as if they had come so."""
    (shard,) = (folder / "data").iterdir()
    table = pq.read_table(shard)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    sign(folder)


def claim(folder: Path, raw: bytes) -> None:
    """Have the first photograph be the file of these bytes."""
    sha256 = hashlib.sha256(raw).hexdigest()
    rewrite(folder, lambda rows: rows[0].update(image_sha256=sha256))
    with (folder / "provenance" / "images.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.write(json.dumps({"file": "hostile.png", "sha256": sha256}) + "\n")


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        pytest.param(bomb(), "1000000000 pixels", id="a-bomb"),
        pytest.param(b"no image", "it is in no format that Pillow knows", id="no-image"),
        pytest.param(FILES["plain.jpg"][:500], "cannot be read", id="half-an-image"),
    ],
)
def test_a_copy_that_is_no_image_costs_its_rows(small, mine, tmp_path, raw, what):
    claim(small, raw)
    (mine / "x").write_bytes(raw)
    joined = join_copies(small, [mine], tmp_path / "set")
    ((identifier, reason, said),) = [(drop.id, drop.reason, drop.what) for drop in joined.left_out]
    assert (identifier, reason) == ("id plain.jpg-des", "broken_image")
    assert what in said


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_copy_of_another_size_than_the_row_says_costs_the_row(small, mine, tmp_path, side):
    rewrite(small, lambda rows: rows[0].update({side: 7}))
    joined = join_copies(small, [mine], tmp_path / "set")
    size = {"width": 60, "height": 40} | {side: 7}
    what = f"plain.jpg: expected {size['width']}x{size['height']}, as the row says, got 60x40"
    assert [(drop.id, drop.reason, drop.what) for drop in joined.left_out] == [
        ("id plain.jpg-des", "other_size", what)
    ]
    assert examine_dataset(tmp_path / "set").findings == []


def test_no_copy_at_all_is_one_sentence(downloaded, built, tmp_path):
    (tmp_path / "mine").mkdir()
    bare = shutil.copytree(downloaded, tmp_path / "bare")
    rewrite(bare, lambda rows: [row.update(image=None) for row in rows])
    sentence = refusal(giqa("build", bare, "--images", tmp_path / "mine", "--out", tmp_path / "set"))
    assert sentence.startswith("no sample was left for folder: most often join: missing_image (expected a copy of ")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "bare"}


# What a folder from outside may hold


def provenance(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "provenance" / name).write_text(text, encoding="utf-8")


def column(**changed) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder, lambda rows: rows[0].update(changed))


def recast(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        (shard,) = (folder / "data").iterdir()
        pq.write_table(change(pq.read_table(shard)), shard)

    return apply


def named(name: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        card = folder / "README.md"
        card.write_text(card.read_text(encoding="utf-8").replace("pretty_name: folder", f"pretty_name: {name}"))

    return apply


SHA256 = "0" * 64
FUNNEL = '[{"stage": "ask", "unit": "questions", "n_in": 1, "n_out": "all", "left_out": {}}]'
SETTINGS = {"llm": "a", "detector": "b", "verifier": "c", "box_threshold": 0, "merge_area": 0, "merge_coverage": 0}
HOSTILE = {
    "no card": (lambda folder: (folder / "README.md").unlink(), "README.md"),
    "a card of another encoding": (
        lambda folder: (folder / "README.md").write_bytes(b"\xff\xfe"),
        "'vida-ugc-2k'], whose images are upstream files, got None",
    ),
    "a card of no set": (named(""), "expected the card of one of ['folder', 'giqa-160k', 'giqa-bench', "),
    "a card of a template elsewhere": (named("../../etc/passwd"), "got '../../etc/passwd'"),
    "a card of a set that draws its images": (named("giqa-tiny"), "whose images are upstream files, got 'giqa-tiny'"),
    "no data": (lambda folder: shutil.rmtree(folder / "data"), "expected shards of a data set, got none"),
    "a foreign file": (lambda folder: (folder / "data" / "x.sh").touch(), "data: expected files such as "),
    "half of the shards": (
        lambda folder: next((folder / "data").iterdir()).rename(folder / "data" / "train-00000-of-00002.parquet"),
        "expected all shards of train",
    ),
    "no Parquet": (lambda folder: next((folder / "data").iterdir()).write_bytes(b"PAR1"), "cannot be read"),
    "another type": (
        recast(lambda table: table.set_column(2, "width", table["width"].cast(pa.int64()))),
        "expected Value('int32') as 'width', got Value('int64')",
    ),
    "text of another encoding": (
        recast(
            lambda table: table.set_column(
                6, table.schema.field("question"), pa.array([b"\xff"] * 9).view(pa.string())
            )
        ),
        "row group 0 cannot be read: ",
    ),
    "no sources": (lambda folder: (folder / "provenance" / "sources.jsonl").unlink(), "sources.jsonl"),
    "broken sources": (provenance("sources.jsonl", "{\n"), "sources.jsonl line 1: invalid JSON"),
    "no manifest": (lambda folder: (folder / "provenance" / "images.jsonl").unlink(), "images.jsonl"),
    "a manifest of a name that leads out": (
        provenance("images.jsonl", json.dumps({"file": "../../x.jpg", "sha256": SHA256})),
        "line 1: expected a relative path inside the store, got '../../x.jpg'",
    ),
    "a manifest without the image": (
        provenance("images.jsonl", json.dumps({"file": "x.jpg", "sha256": SHA256})),
        "expected the sha256 of its image in provenance/images.jsonl, got ",
    ),
    "broken drops": (
        provenance("drops.jsonl", '{"id": "a"}\n'),
        "drops.jsonl line 1: stage: field required",
    ),
    "broken settings": (provenance("settings.json", "[]"), "settings.json: expected an object, got list"),
    "deep settings": (provenance("settings.json", '{"a":' + "[" * 100_000), "settings.json: invalid JSON"),
    "settings of no models": (provenance("settings.json", "{}"), "settings.json: llm: field required"),
    "settings without a funnel": (provenance("settings.json", json.dumps(SETTINGS)), "funnel.json"),
    "a broken funnel": (
        lambda folder: [
            provenance("settings.json", json.dumps(SETTINGS))(folder),
            provenance("funnel.json", FUNNEL)(folder),
        ],
        "funnel.json: 0.n_out: input should be a valid integer",
    ),
    "no id": (column(id=None), "None: id: input should be a valid string, got None"),
    "an id twice": (column(id="id grey.png-des"), "expected unique ids, got 'id grey.png-des' twice"),
    "an id that a terminal obeys": (column(id="\x1b[2J"), r"'\x1b[2J': id: string should match pattern"),
    "no answer": (column(answer=None), "answer: input should be a valid string, got None"),
    "a sha256 that is a path": (column(image_sha256="../../x"), "image_sha256: string should match pattern"),
    "a question of an unknown type": (column(question_type="who"), "question_type: input should be 'des'"),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_wrong_with_a_folder_is_one_sentence(small, mine, tmp_path, change, message):
    change(small)
    sentence = refusal(giqa("build", small, "--images", mine, "--out", tmp_path / "set"))
    assert message in sentence
    assert {path.name for path in tmp_path.iterdir()} == {"small", "mine"}


def test_the_path_of_an_image_is_never_read(small, mine, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(FILES["plain.jpg"])
    rewrite(small, lambda rows: rows[0].update(image={"bytes": None, "path": str(secret)}))
    (mine / "0" / "mine").unlink()
    joined = join_copies(small, [mine], tmp_path / "set")
    assert [drop.reason for drop in joined.left_out] == ["missing_image"] * 2


# Whole or not at all, and what the command takes


def test_a_join_that_is_cut_off_leaves_nothing(downloaded, mine, tmp_path):
    def cut(items, total, what):
        if what == "join row groups":
            raise KeyboardInterrupt
        return items

    with pytest.raises(KeyboardInterrupt):
        join_copies(downloaded, [mine], tmp_path / "set", progress=cut)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_set_with_all_its_pixels_says_so(built, mine, tmp_path):
    sentence = refusal(giqa("build", built, "--images", mine, "--out", tmp_path / "joined"))
    assert sentence == f"every row of {built} has its pixels, so there is nothing to join"


def test_a_folder_that_is_there_is_replaced_on_demand(built, downloaded, mine, tmp_path):
    shutil.copytree(built, tmp_path / "set")
    (tmp_path / "set" / "provenance" / "sources.jsonl").unlink()
    before = tree(tmp_path / "set")
    command = ("build", downloaded, "--images", mine, "--out", tmp_path / "set")
    assert refusal(giqa(*command)) == f"{tmp_path / 'set'} exists; --overwrite replaces a data set folder"
    assert tree(tmp_path / "set") == before
    assert giqa(*command, "--overwrite")[0] == 0
    assert tree(tmp_path / "set") == tree(built)


def test_a_joined_folder_is_named_as_the_one_it_came_from(built, downloaded, mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert giqa("build", downloaded, "--images", mine)[0] == 0
    assert tree(tmp_path / "downloaded") == tree(built)


USAGE = {
    "no copies": ([], "expected --images, a folder with your own copies of the images of "),
    "copies nowhere": (["--images", "nowhere"], "expected a folder of photographs in nowhere, found none"),
    "other options": (
        ["photos", "--images", "x", "--seed", "0", "--limit", "2", "--models", "offline", "--box-format", "kosmos2"],
        "a join of own copies takes no FOLDER and no --seed and no --limit and no --models and no --box-format",
    ),
    "another manifest": (["--images", "x", "--manifest", "m"], "a join of own copies takes no --manifest"),
}


@pytest.mark.parametrize(("options", "message"), USAGE.values(), ids=USAGE)
def test_what_a_join_takes_is_said(downloaded, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert refusal(giqa("build", downloaded, *options, "--out", "set")).startswith(message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["giqa-huge", "a/b/c", "./none", "/none", "org/"])
def test_what_is_neither_a_set_nor_a_folder_nor_on_the_hub_is_said(tmp_path, name):
    sentence = refusal(giqa("build", name, "--images", tmp_path))
    assert sentence.startswith("expected a data set out of ['folder', 'giqa-160k', ")
    assert sentence.endswith(f"a data set folder or its id on the Hub, got {name!r}")


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path):
    sentence = refusal(giqa("build", "org/set", "--images", tmp_path, "--out", tmp_path / "set"))
    assert sentence.startswith("data set 'org/set' is no folder here, is not installed, and cannot be fetched: ")
    assert not list(tmp_path.iterdir())
