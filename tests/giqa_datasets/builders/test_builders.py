import io
import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Features, Image, IterableDataset, List, Value, load_dataset
from PIL import Image as Pillow

from giqa_datasets import Region
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.dataset_folder import parquet
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.drops import Drop
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.records import Distortion, Photograph, Record, Sample, rows
from giqa_datasets.sources import mini


pytestmark = pytest.mark.slow


# The contract's column table
BOX = List(Value("float32"), length=4)
TURN = List({"role": Value("string"), "content": Value("string")})
FEATURES = Features(
    {
        "id": Value("string"),
        "image": Image(),
        "width": Value("int32"),
        "height": Value("int32"),
        "task": Value("string"),
        "question_type": Value("string"),
        "question": Value("string"),
        "answer": Value("string"),
        "regions": List({"phrase": Value("string"), "role": Value("string"), "boxes": List(BOX)}),
        "prompt": TURN,
        "completion": TURN,
        "source": Value("string"),
        "distortions": List({"name": Value("string"), "severity": Value("int32")}),
        "image_sha256": Value("string"),
        "image_license": Value("string"),
        "text_license": Value("string"),
    }
)
DROP = Drop("photo-0", "detect", "unknown_word", "tripod")


def noise_photograph(seed, size_wh=(40, 30)):
    """A picture that does not compress."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    return Photograph(  # type: ignore[call-arg]
        buffer.getvalue(), *size_wh, f"{seed:064x}", "test", "cc0-1.0", distortions=(Distortion("darken", 2),)
    )


def made(count, *, samples=2, size_wh=(40, 30)):
    """Records with a description and questions each."""
    box = np.array([[0.1, 0.2, 0.5, 0.6]])
    for number in range(count):
        name = f"photo-{number}"
        des = Sample(f"{name}-des", "des", "des", "Describe it.", "A sharp cat.", (), (Region("cat", (8, 11), box),))
        vqa = [
            Sample(f"{name}-vqa-{k}", "vqa", "how", "How is the cat?", f"{k}.", (Region("cat", (11, 14), box),))
            for k in range(1, samples)
        ]
        yield Record(name, noise_photograph(number, size_wh), "A sharp cat.", "cc0-1.0", samples=(des, *vqa))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(out, split="train"):
    """The rows of a split with their images' bytes."""
    loaded = load_dataset(str(out), split=split)
    return list(loaded.cast_column("image", Image(decode=False)))


# The public call


@pytest.fixture
def there(workspace, monkeypatch):
    """The folder in which the sets were built is the working directory."""
    monkeypatch.chdir(workspace)
    return workspace


@pytest.mark.usefixtures("there")
def test_the_bare_name_loads_every_row_with_the_contracts_columns():
    loaded = load_dataset("giqa-mini")
    assert set(loaded) == {"train", "test"}
    for split in loaded.values():
        assert split.features == FEATURES
        assert list(split.features) == list(FEATURES)
        assert set(split["task"]) == {"des", "vqa"}
        row = split[0]
        assert row["image"].size == (row["width"], row["height"])
        assert row["image"].mode in ("RGB", "L")


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("task", ["des", "vqa"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_task_is_a_view_on_the_same_rows(task, streaming):
    everything = load_dataset("giqa-mini", split="train")
    view = load_dataset("giqa-mini", task, split="train", streaming=streaming)
    assert isinstance(view, IterableDataset) == streaming
    assert [row["id"] for row in view] == [row["id"] for row in everything if row["task"] == task]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("streaming", [False, True])
def test_annotations_are_all_rows_without_pixels(streaming):
    everything = load_dataset("giqa-mini", split="test").remove_columns("image")
    view = load_dataset("giqa-mini", "annotations", split="test", streaming=streaming)
    assert list(view) == list(everything)
    assert list(next(iter(view))) == [name for name in FEATURES if name != "image"]


@pytest.mark.usefixtures("there")
def test_streaming_gives_the_same_rows():
    streamed = load_dataset("giqa-bench-mini", split="test", streaming=True)
    loaded = load_dataset("giqa-bench-mini", split="test")
    assert streamed.features == FEATURES
    for first, second in zip(streamed, loaded, strict=True):
        assert first["image"].tobytes() == second["image"].tobytes()
        assert first | {"image": None} == second | {"image": None}


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("name", "splits"),
    [("giqa-mini", ["train", "test"]), ("giqa-bench-mini", ["test"]), ("giqa-tiny", ["train", "test"])],
)
def test_each_set_has_its_splits(name, splits):
    assert list(load_dataset(name)) == splits


@pytest.mark.slow
def test_each_row_is_its_record(workspace):
    expected = [row for entry in mini.hand_made("test") for row in rows(entry.load())]
    assert stored(workspace / "giqa-bench-mini", "test") == expected


@pytest.mark.parametrize("name", ["giqa-mini", "giqa-bench-mini", "giqa-tiny"])
def test_ids_are_unique_and_photographs_stay_within_one_split(workspace, name):
    loaded = load_dataset(str(workspace / name), "annotations")
    ids = [row_id for split in loaded.values() for row_id in split["id"]]
    assert len(set(ids)) == len(ids)
    photographs = [set(split["image_sha256"]) for split in loaded.values()]
    assert sum(map(len, photographs)) == len(set.union(*photographs))


def test_half_of_the_mini_sets_yes_no_answers_are_yes(workspace):
    for split in load_dataset(str(workspace / "giqa-mini"), "vqa").values():
        answers = Counter(row["answer"] for row in split if row["question_type"] == "yes_no")
        assert answers["Yes."] == answers["No."] > 0


# Files


def test_rebuilding_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        build_folder(tmp_path / name, "folder", {"train": made(60), "test": []}, lambda counts: Provenance([DROP]))
    assert files(tmp_path / "first") == files(tmp_path / "second")


@pytest.mark.slow
def test_rebuilding_the_benchmark_gives_the_same_bytes(workspace, tmp_path):
    build_set(SetRequest("giqa-bench-mini"), tmp_path / "again", tmp_path / "unused", Choice())
    assert not (tmp_path / "unused").exists()
    assert files(tmp_path / "again") == files(workspace / "giqa-bench-mini")


def test_an_image_is_stored_once_per_row_group(tmp_path):
    records = list(made(50, samples=4, size_wh=(160, 120)))
    build_folder(tmp_path / "set", "folder", {"train": records})
    (shard,) = (tmp_path / "set" / "data").iterdir()
    unique = sum(len(image) for image in {record.photograph.image for record in records})
    assert unique > 2_000_000
    assert shard.stat().st_size <= 1.05 * unique + 20_000
    assert len(stored(tmp_path / "set")) == 200


def test_a_row_group_ends_with_an_image(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(80, samples=3)})
    (shard,) = (tmp_path / "set" / "data").iterdir()
    file = pq.ParquetFile(shard)
    *sizes, last = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    assert all(100 <= size <= 202 for size in sizes)
    assert sum(sizes) + last == 240
    groups = [file.read_row_group(k, columns=["image_sha256"])["image_sha256"].to_pylist() for k in range(len(sizes))]
    assert sum(len(set(group)) for group in groups) == len({image for group in groups for image in group})


@pytest.mark.parametrize("samples", [1, 4])
def test_row_groups_begin_at_the_same_rows_again_after_an_insertion(samples):
    def group(numbers):
        rows = (
            {"image": {"bytes": b"%d" % number}, "image_sha256": sha256(b"%d" % number).hexdigest()}
            for number in numbers
            for _ in range(samples)
        )
        return [[int(row["image"]["bytes"]) for row in rows] for rows in parquet._groups(rows)]

    before, after = group(range(10_000)), group([*range(5_000), *range(20_000, 20_010), *range(5_000, 10_000)])
    assert all(100 <= len(rows) < 250 for rows in before[:-1])
    assert len({number for rows in before for number in set(rows)}) == sum(len(set(rows)) for rows in before) == 10_000
    new = [rows for rows in after if rows not in before]
    assert 1 <= len(new) <= 0.15 * len(after)


def test_a_row_group_of_one_image_stays_short_enough_to_read(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(1, samples=600)})
    (shard,) = (tmp_path / "set" / "data").iterdir()
    metadata = pq.ParquetFile(shard).metadata
    assert [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)] == [250, 250, 100]


def test_the_shards_state_the_plain_schema(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(3)})
    (shard,) = (tmp_path / "set" / "data").iterdir()
    stated = pq.read_schema(shard)
    assert stated.equals(FEATURES.arrow_schema)
    assert stated.metadata[b"huggingface"] == FEATURES.arrow_schema.metadata[b"huggingface"]


def test_rows_of_one_image_stand_together(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(50, samples=4)})
    (shard,) = (tmp_path / "set" / "data").iterdir()
    images = pq.read_table(shard, columns=["image_sha256"])["image_sha256"].to_pylist()
    changes = sum(first != second for first, second in pairwise(images))
    assert changes == 49


def test_a_large_split_is_cut_into_shards_that_load_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "SHARD_BYTES", 10_000)
    records = list(made(150))
    build_folder(tmp_path / "set", "folder", {"train": records})
    names = sorted(path.name for path in (tmp_path / "set" / "data").iterdir())
    assert names == [f"train-{k:05d}-of-00003.parquet" for k in range(3)]
    assert [row["id"] for row in stored(tmp_path / "set")] == [s.id for record in records for s in record.samples]


def test_every_row_of_a_record_is_written(tmp_path):
    records = list(made(3))
    counts = build_folder(tmp_path / "set", "folder", {"train": records})
    assert stored(tmp_path / "set") == [row for record in records for row in rows(record)]
    assert counts["train"].rows == {"des": 3, "how": 3}
    assert len(counts["train"].images) == 3


def test_the_box_format_reaches_prompt_and_completion_alone(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(1)}, box_format="giqa_decimal")
    des, vqa = stored(tmp_path / "set")
    assert des["completion"][0]["content"] == "A sharp [cat](<0.10, 0.20, 0.50, 0.60>)."
    assert vqa["prompt"][0]["content"] == "How is the [cat](<0.10, 0.20, 0.50, 0.60>)?"
    assert (des["answer"], vqa["question"]) == ("A sharp [cat](<82, 229>).", "How is the [cat](<82, 229>)?")


def test_records_without_samples_and_splits_without_rows_are_left_out(tmp_path):
    first, second = made(2)
    splits = {"train": [first, replace(second, samples=())], "test": [replace(second, samples=())]}
    counts = build_folder(tmp_path / "set", "folder", splits)
    assert list(counts) == list(load_dataset(str(tmp_path / "set"))) == ["train"]
    assert {row["id"] for row in stored(tmp_path / "set")} == {"photo-0-des", "photo-0-vqa-1"}


def test_what_was_dropped_is_written_down_and_is_no_data(tmp_path):
    drops = [DROP, replace(DROP, what="Käfer\n")]
    build_folder(tmp_path / "set", "folder", {"train": made(2)}, lambda counts: Provenance(drops))
    lines = (tmp_path / "set" / "provenance" / "drops.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Drop(**json.loads(line)) for line in lines] == drops
    assert list(load_dataset(str(tmp_path / "set"))) == ["train"]


def test_missing_folders_above_the_set_are_made(tmp_path):
    build_folder(tmp_path / "a" / "b" / "set", "folder", {"train": made(1)})
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["set"]


# Whole or not at all


def broken_after_one(error):
    yield from made(1)
    raise error


BAD = Sample("bad", "des", "des", "Describe it.", "A dog.", (), (Region("cat", (2, 5), np.array([[0, 0, 1, 1]])),))


def same_id_twice():
    for record in made(2):
        yield replace(record, samples=(replace(record.samples[0], id="the-same"),))


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        pytest.param(lambda: {"train": same_id_twice()}, ValueError, "'the-same' twice", id="same-id-in-a-split"),
        pytest.param(
            lambda: {"train": made(2), "test": made(1)},
            ValueError,
            "'photo-0-des' twice",
            id="same-id-in-two-splits",
        ),
        pytest.param(lambda: {"train": []}, ValueError, "no sample was left for folder", id="no-records"),
        pytest.param(
            lambda: {"train": [replace(record, samples=()) for record in made(2)]},
            ValueError,
            "no sample was left for folder",
            id="no-samples",
        ),
        pytest.param(lambda: {"train": broken_after_one(OSError("disk"))}, OSError, "disk", id="source-fails"),
        pytest.param(
            lambda: {"train": broken_after_one(KeyboardInterrupt("now"))}, KeyboardInterrupt, "now", id="interrupted"
        ),
        pytest.param(
            lambda: {"train": [replace(record, samples=(BAD,)) for record in made(1)]},
            ValueError,
            "sample 'bad': ",
            id="regions-do-not-fit",
        ),
    ],
)
def test_a_failed_build_leaves_nothing_and_keeps_what_was_there(tmp_path, splits, error, message):
    with pytest.raises(error, match=message):
        build_folder(tmp_path / "set", "folder", splits())
    assert list(tmp_path.iterdir()) == []

    build_folder(tmp_path / "set", "folder", {"train": made(3)})
    before = files(tmp_path / "set")
    with pytest.raises(error, match=message):
        build_folder(tmp_path / "set", "folder", splits(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert files(tmp_path / "set") == before


def test_a_failed_build_leaves_no_folder_that_it_made_above_the_set(tmp_path):
    with pytest.raises(ValueError, match="no sample was left"):
        build_folder(tmp_path / "a" / "b" / "set", "folder", {"train": []})
    assert list(tmp_path.iterdir()) == []


def test_an_empty_set_says_the_commonest_reason(tmp_path):
    drops = [DROP, replace(DROP, reason="not_found"), DROP]
    with pytest.raises(ValueError, match="most often detect: unknown_word"):
        build_folder(tmp_path / "set", "folder", {"train": []}, lambda counts: Provenance(drops))


# Overwriting


def test_a_folder_that_is_there_is_not_replaced_unasked(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": made(1)})
    before = files(tmp_path / "set")
    with pytest.raises(FileExistsError, match="set exists; --overwrite replaces a data set folder"):
        build_folder(tmp_path / "set", "folder", {"train": made(2)})
    assert files(tmp_path / "set") == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_builds_of_one_folder_the_first_to_end_stays_and_the_last_with_overwrite(tmp_path, overwrite):
    def while_another_builds():
        build_folder(tmp_path / "set", "folder", {"train": made(1)})
        yield from made(2)

    refused = nullcontext() if overwrite else pytest.raises(FileExistsError, match="set exists")
    with refused:
        build_folder(tmp_path / "set", "folder", {"train": while_another_builds()}, overwrite=overwrite)
    assert len(stored(tmp_path / "set")) == (4 if overwrite else 2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_overwriting_replaces_the_whole_data_set(tmp_path):
    build_folder(
        tmp_path / "set", "folder", {"train": made(1), "test": list(made(2))[1:]}, lambda counts: Provenance([DROP])
    )
    build_folder(tmp_path / "set", "folder", {"train": made(2)}, overwrite=True)
    build_folder(tmp_path / "fresh", "folder", {"train": made(2)})
    assert files(tmp_path / "set") == files(tmp_path / "fresh")
    assert {path.name for path in tmp_path.iterdir()} == {"set", "fresh"}


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(["notes.txt"], id="a-folder"),
        pytest.param([], id="an-empty-folder"),
        pytest.param(["README.md"], id="a-folder-with-a-readme"),
        pytest.param(["data/cat.jpg"], id="a-folder-with-data"),
        pytest.param(["README.md", "data/cat.jpg", "src/main.py"], id="a-project-with-readme-and-data"),
    ],
)
def test_a_folder_that_is_no_data_set_is_never_overwritten(tmp_path, others):
    for name in others:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine", encoding="utf-8")
    (tmp_path / "mine").mkdir(exist_ok=True)
    with pytest.raises(FileExistsError, match="is no data set folder, so it is not overwritten"):
        build_folder(tmp_path / "mine", "folder", {"train": made(1)}, overwrite=True)
    assert set(files(tmp_path / "mine")) == set(others)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_sets_place_is_never_overwritten(tmp_path):
    (tmp_path / "set").write_text("mine", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            build_folder(tmp_path / "set", "folder", {"train": made(1)}, overwrite=overwrite)
    assert (tmp_path / "set").read_text(encoding="utf-8") == "mine"


def test_a_rebuilt_folder_is_not_read_from_the_cache_of_the_old_one(tmp_path, monkeypatch):
    # The datasets library keys its cache on the card alone; the same number of rows of the same size must still differ
    monkeypatch.chdir(tmp_path)
    for description in ("The cat is sharp.", "The dog is sharp."):
        records = [
            replace(record, samples=(replace(record.samples[0], answer=description, answer_regions=()),))
            for record in made(1)
        ]
        build_folder(tmp_path / "rebuilt", "folder", {"train": records}, overwrite=True)
        assert load_dataset("rebuilt", split="train")["answer"] == [description]
