"""The licence gate: which pixels may leave this machine, and nothing else of it."""

import hashlib
import io
import json
import random
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from giqa_datasets.builders import build
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder import parquet
from giqa_datasets.dataset_folder.licence_gate import Absent, Pixels, redistributable, without_pixels
from giqa_datasets.dataset_folder.write import build_folder, shards_digest
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.records import Distortion, Photograph, Record, Sample
from giqa_datasets.sources.mini import wheel_file


pytestmark = pytest.mark.slow


SIZE_WH = (48, 32)


def record(number: int, source: str, *, may: bool, text: str = "apache-2.0") -> Record:
    """A photograph of noise with a description and a few questions."""
    image = Image.frombytes("RGB", SIZE_WH, random.Random(number).randbytes(SIZE_WH[0] * SIZE_WH[1] * 3))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    raw, sha256 = buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()
    known = (Distortion("darken", 2),) * (number % 2)
    photograph = Photograph(raw, *SIZE_WH, sha256, source, f"of {source}", known, f"{source}/{number}.png", may)
    asked = [Sample(f"{number}-vqa-{k}", "vqa", "how", "How?", f"{k}.") for k in range(number % 5)]
    samples = (Sample(f"{number}-des", "des", "des", "Describe it.", "A cat."), *asked)
    return Record(str(number), photograph, "A cat.", text, samples=samples)


def write(folder: Path, **splits: list[Record]) -> Path:
    build_folder(folder, "folder", splits)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Shards of free pixels, of others, and of both; in `test`, none is free."""
    folder = tmp_path_factory.mktemp("pixels") / "mixed"
    free = [record(number, "free", may=True) for number in range(120)]
    kept = [record(number, "kept", may=False) for number in range(200, 320)]
    both = [each for pair in zip(free[60:], kept[60:], strict=True) for each in pair]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "SHARD_BYTES", 140_000)
        train = [*free[:60], *both, *kept[:60]]
        return write(folder, train=train, test=[record(k, "kept", may=False) for k in range(500, 505)])


@pytest.fixture(scope="module")
def gated(mixed, tmp_path_factory):
    """What the gate made of it, and the folder that it wrote into."""
    out = tmp_path_factory.mktemp("gated")
    return without_pixels(mixed, out), out


def published(folder: Path, out: Path) -> Path:
    """The folder as it is on the Hub."""
    shutil.copytree(folder, out)
    (out.parent / "work").mkdir(exist_ok=True)
    for name, path in without_pixels(folder, out.parent / "work").shards.items():
        shutil.copy(path, out / "data" / name)
    card = out / "README.md"
    card.write_text(
        re.sub(
            "sha256 [0-9a-f]{64}",
            f"sha256 {shards_digest((out / 'data').iterdir())}",
            card.read_text(encoding="utf-8"),
        ),
        encoding="utf-8",
    )
    return out


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "data").iterdir())


def rows_of(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


# What goes, and what stays


def test_rows_of_a_source_that_is_not_redistributable_lose_their_image_and_nothing_else(mixed, gated):
    n_bare = 0
    for shard in shards(mixed):
        for before, after in zip(rows_of(shard), rows_of(gated[0].shards[shard.name]), strict=True):
            is_bare = before["source"] == "kept"
            n_bare += is_bare
            assert after == before | ({"image": None} if is_bare else {})
    assert n_bare > 200


def test_no_byte_of_their_pixels_is_in_a_file_that_is_published(mixed, gated):
    kept = [row["image"]["bytes"] for shard in shards(mixed) for row in rows_of(shard) if row["source"] == "kept"]
    files = [path.read_bytes() for path in gated[0].shards.values()]
    assert any(raw[-200:] in shard.read_bytes() for shard in shards(mixed) for raw in kept[:1])
    assert not any(raw[start : start + 64] in file for raw in set(kept) for start in (64, 2000) for file in files)


def test_only_shards_that_lose_something_are_written(mixed, gated):
    found, out = gated
    assert list(found.shards) == [shard.name for shard in shards(mixed)]
    written = {name for name, path in found.shards.items() if path.parent == out}
    loses = {shard.name for shard in shards(mixed) if any(row["source"] == "kept" for row in rows_of(shard))}
    assert written == loses == {path.name for path in out.iterdir()}
    assert 0 < len(written) < len(found.shards)
    assert all(path == mixed / "data" / name for name, path in found.shards.items() if name not in written)


def test_what_goes_without_pixels_is_counted(mixed, gated):
    kept = [row for shard in shards(mixed) for row in rows_of(shard) if row["source"] == "kept"]
    images = {row["image_sha256"] for row in kept}
    assert gated[0].absent == {Pixels("kept", "of kept"): Absent(len(kept), len(images))}
    assert len(images) == 125


def test_the_file_is_written_as_the_builder_writes(mixed, gated):
    for name, path in gated[0].shards.items():
        before, after = pq.ParquetFile(mixed / "data" / name), pq.ParquetFile(path)
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        assert after.metadata.metadata == before.metadata.metadata
        assert after.num_row_groups == before.num_row_groups
        for number in range(after.num_row_groups):
            was, now = before.metadata.row_group(number), after.metadata.row_group(number)
            assert now.num_rows == was.num_rows
            for column in range(now.num_columns):
                was_column, now_column = was.column(column), now.column(column)
                assert now_column.compression == was_column.compression
                if not now_column.path_in_schema.startswith("image."):
                    assert now_column.encodings == was_column.encodings
                    assert now_column.total_compressed_size == was_column.total_compressed_size


def test_the_pixels_that_stay_are_stored_once_in_a_row_group(gated):
    for path in gated[0].shards.values():
        stored = sum(len(raw) for raw in {row["image"]["bytes"] for row in rows_of(path) if row["image"]})
        assert path.stat().st_size < 1.05 * stored + 60_000


def test_the_same_folder_gives_the_same_bytes(mixed, gated, tmp_path):
    again = without_pixels(mixed, tmp_path)
    assert {name: path.read_bytes() for name, path in again.shards.items()} == {
        name: path.read_bytes() for name, path in gated[0].shards.items()
    }


def test_a_folder_that_has_lost_its_pixels_stays_as_it_is(mixed, gated, tmp_path):
    folder = published(mixed, tmp_path / "set")
    (tmp_path / "again").mkdir()
    again = without_pixels(folder, tmp_path / "again")
    written = {name: path.read_bytes() for name, path in again.shards.items()}
    assert written == {path.name: path.read_bytes() for path in shards(folder)}
    assert again.absent == gated[0].absent


def test_the_mini_sets_may_go_as_they_are(workspace, tmp_path):
    for name in ("giqa-mini", "giqa-bench-mini", "giqa-tiny"):
        found = without_pixels(workspace / name, tmp_path)
        assert list(found.shards.values()) == shards(workspace / name)
        assert found.absent == {}
    assert not list(tmp_path.iterdir())


def test_an_empty_row_group_stays_empty(tmp_path):
    folder = write(tmp_path / "set", test=[record(4, "kept", may=False)])
    (shard,) = shards(folder)
    table = pq.read_table(shard)
    with pq.ParquetWriter(shard, table.schema) as writer:
        for part in (table[:0], table, table[:0]):
            writer.write_table(part)
    (path,) = without_pixels(folder, tmp_path).shards.values()
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [0, 5, 0]


# How it loads, and what `giqa check` says


@pytest.fixture(scope="module")
def on_hub(mixed, tmp_path_factory) -> Path:
    return published(mixed, tmp_path_factory.mktemp("hub") / "set")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", ["default", "des", "vqa", "annotations"])
def test_load_dataset_gives_none_where_pixels_are_missing(mixed, on_hub, config, streaming):
    loaded = load_dataset(str(on_hub), config, streaming=streaming)
    for split in ("train", "test"):
        before = [row for shard in shards(mixed) if shard.name.startswith(split) for row in rows_of(shard)]
        expected = [row for row in before if config in ("default", "annotations") or row["task"] == config]
        n_rows = 0
        for row, was in zip(loaded[split], expected, strict=True):
            n_rows += 1
            assert row["id"] == was["id"]
            if config == "annotations":
                assert "image" not in row
            elif was["source"] == "kept":
                assert row["image"] is None
            else:
                assert row["image"].size == SIZE_WH
        assert n_rows


def test_what_is_published_holds(on_hub, gated):
    assert examine_dataset(on_hub).findings == []
    assert examine_dataset(on_hub).absent == gated[0].absent


# Which sources may


TRUE = {"source": "a", "image_license": "b", "text_license": "c", "redistributable": True, "rows": 2}
LISTS = {
    "said": ([TRUE], True),
    "said twice": ([TRUE, TRUE], True),
    "said of another source": ([TRUE | {"source": "z"}], False),
    "said of another licence": ([TRUE | {"image_license": "z"}], False),
    "said with another text": ([TRUE | {"text_license": "z"}], False),
    "denied": ([TRUE | {"redistributable": False}], False),
    "said and denied": ([TRUE, TRUE | {"redistributable": False}], False),
    "denied with another text": ([TRUE, TRUE | {"text_license": "z", "redistributable": False}], False),
    "denied of another source": ([TRUE, TRUE | {"source": "z", "redistributable": False}], True),
    "not said": ([{name: TRUE[name] for name in TRUE if name != "redistributable"}], False),
    "said in a word": ([TRUE | {"redistributable": "true"}], False),
    "said in a number": ([TRUE | {"redistributable": 1}], False),
    "said beside a broken line": ([TRUE, "{"], False),
    "said beside a line of another encoding": ([TRUE, "\udcff"], False),
    "empty": ([], False),
    "missing": (None, False),
}


@pytest.mark.parametrize(("lines", "may"), LISTS.values(), ids=LISTS)
def test_a_source_may_only_where_the_list_says_so(tmp_path, lines, may):
    (tmp_path / "provenance").mkdir()
    if lines is not None:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (tmp_path / "provenance" / "sources.jsonl").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert (("a", "b", "c") in redistributable(tmp_path)) == may


def test_a_folder_in_the_lists_place_frees_nothing(tmp_path):
    (tmp_path / "provenance" / "sources.jsonl").mkdir(parents=True)
    assert redistributable(tmp_path) == frozenset()


def test_without_the_list_no_pixels_go(workspace, tmp_path):
    folder = shutil.copytree(workspace / "giqa-bench-mini", tmp_path / "set")
    (folder / "provenance" / "sources.jsonl").unlink()
    found = without_pixels(folder, tmp_path)
    (path,) = found.shards.values()
    assert all(row["image"] is None for row in rows_of(path))
    assert sum(absent.rows for absent in found.absent.values()) == len(rows_of(path))


# What is no data set folder


def damage(folder: Path, raw: bytes) -> None:
    shards(folder)[0].write_bytes(raw)


WRONG = {
    "no shards": (lambda folder: shutil.rmtree(folder / "data"), "expected shards of a data set, got none"),
    "a foreign file": (lambda folder: (folder / "data" / "notes.txt").touch(), "got 'notes.txt'"),
    "a missing shard": (
        lambda folder: shards(folder)[0].rename(folder / "data" / "test-00001-of-00002.parquet"),
        "expected all shards of test",
    ),
    "no Parquet": (lambda folder: damage(folder, b"no parquet"), "cannot be read"),
    "a broken page": (
        lambda folder: damage(folder, b"PAR1" + b"\xff" * 400 + shards(folder)[0].read_bytes()[404:]),
        "row group 0 cannot be read",
    ),
    "a column fewer": (
        lambda folder: pq.write_table(pq.read_table(shards(folder)[0]).drop_columns(["source"]), shards(folder)[0]),
        "expected Value('string') as 'source', got no column",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_set_folder_is_one_sentence(tmp_path, change, message):
    folder = write(tmp_path / "set", test=[record(4, "kept", may=False)])
    change(folder)
    with pytest.raises(ValueError, match=re.escape(message)):
        without_pixels(folder, tmp_path)


# Nothing else of this machine


def texts_of(folder: Path) -> bytes:
    """All that stands in a folder, compressed columns too."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    rows = [repr(rows_of(shard)).encode() for shard in shards(folder)]
    return b"\n".join([*files, *rows])


PLACE = "recognisable-place"


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Path:
    """A set of photographs of which some are spoilt when they are about to be read."""
    root = tmp_path_factory.mktemp(PLACE)
    photos = root / "photos"
    photos.mkdir()
    lines = []
    for number, name in enumerate(("a.png", "gone.png", "out.png", "text.png", "circle.png")):
        (photos / name).write_bytes(record(number, "x", may=False).photograph.image)
        lines.append({"file_name": name, "description": "A cat.", "regions": [], "id": name[:-4]})
    (photos / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def spoil(items, total, what):
        (photos / "gone.png").unlink()
        (photos / "text.png").write_text("no image")
        for name, target in (("out.png", root / "elsewhere"), ("circle.png", photos / "circle.png")):
            (photos / name).unlink()
            (photos / name).symlink_to(target)
        (root / "elsewhere").write_text("mine")
        return items

    build_set(SetRequest("folder", root=photos), root / "set", root / "annotations", Choice(), progress=spoil)
    return root


def test_no_file_of_a_set_says_where_it_was_built(told):
    drops = (told / "set" / "provenance" / "drops.jsonl").read_text(encoding="utf-8")
    assert [(drop["reason"], drop["what"]) for drop in map(json.loads, drops.splitlines()[:3])] == [
        ("missing_image", "expected 'gone.png' in photos, found none"),
        ("broken_image", "'out.png' is a link that leads out of photos"),
        ("broken_image", "image 'text.png' cannot be read: it is in no format that Pillow knows"),
    ]
    assert "circle.png" in drops
    assert PLACE.encode() not in texts_of(told / "set")


@pytest.mark.slow
def test_models_of_this_machine_are_stated_by_name_and_nothing_of_their_server_is(tmp_path, server, answer):
    photos, place = tmp_path / "photos", tmp_path / PLACE
    photos.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(wheel_file("skimage/data/coffee.png"), photos / name)
    lines = [{"file_name": f"{name}.png", "description": f"The cup {name} is sharp."} for name in "ab"]
    (photos / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    reply = json.dumps({"objects": [{"phrase": "cup", "quality": "sharp", "effect": "positive"}]})
    server.rule = lambda asked: (
        answer(status=500, body=f"{place} {server.url}".encode()) if "cup b" in asked.prompt else answer(reply)
    )
    choice = Choice(llm=str(place / "llama-3"), llm_url=server.url)
    build_set(SetRequest("folder", root=photos), tmp_path / "set", tmp_path / "annotations", choice)

    settings = {
        folder: json.loads((tmp_path / folder / "settings.json").read_text(encoding="utf-8"))
        for folder in ("annotations", "set/provenance")
    }
    assert settings["set/provenance"] == settings["annotations"] | {"llm": "llama-3"}
    assert settings["annotations"]["llm"] == str(place / "llama-3")
    assert "llama-3" in (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    drops = (tmp_path / "set" / "provenance" / "drops.jsonl").read_text(encoding="utf-8")
    assert '"id": "b", "stage": "tags", "reason": "fault"' in drops
    told = texts_of(tmp_path / "set")
    assert not any(secret.encode() in told for secret in (str(tmp_path), PLACE, server.url, "127.0.0.1"))
    assert PLACE in (tmp_path / "annotations" / "drops.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "stated"),
    [
        ("/models/me/llama-3/", "llama-3"),
        ("../me/llama-3", "llama-3"),
        ("~/me/llama-3", "llama-3"),
        ("org/llama-3", "org/llama-3"),
        ("offline", "offline"),
    ],
)
def test_a_model_is_stated_as_others_can_have_it(model, stated):
    assert build._stated({"giqa": "/1", "llm": model, "detector": "offline"}) == {
        "giqa": "/1",
        "llm": stated,
        "detector": "offline",
    }
