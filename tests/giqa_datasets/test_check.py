"""A folder that was built holds; whatever is damaged in it is one sentence, and nothing in it raises."""

import hashlib
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from giqa_datasets import Region, check_rows
from giqa_datasets.check import Finding, check_images, examine_dataset, shards_sums
from giqa_datasets.dataset_folder.columns import Rights
from giqa_datasets.dataset_folder.licence_gate import Absent, Pixels
from giqa_datasets.dataset_folder.parquet import write_annotations
from giqa_datasets.dataset_folder.write import build_folder, shards_digest
from giqa_datasets.image_stores import ImageFile, write_manifest
from giqa_datasets.near_duplicates import decode_small
from giqa_datasets.records import Photograph, Record, Sample


SIZE_WH = (96, 64)
BOX = np.array([[0.1, 0.2, 0.5, 0.6]])
CAT = "[cat](<82, 229>)"


def encoded(image: Image.Image, format: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(seed: int) -> Image.Image:
    """Soft patches of colour, others for each seed."""
    patches = Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3))
    return patches.resize(SIZE_WH, Image.Resampling.BICUBIC)


def record(name: str, seed: int) -> Record:
    """A photograph with a description and two Yes/No questions."""
    raw = encoded(picture(seed))
    photograph = Photograph(raw, *SIZE_WH, hashlib.sha256(raw).hexdigest(), "test set", "cc0-1.0")
    at = (Region("cat", (8, 11), BOX),)
    des = Sample(f"{name}-des", "des", "des", "Describe it.", "A sharp cat.", (), at)
    asked = [
        Sample(f"{name}-vqa-{k}", "vqa", "yes_no", "Sharp is cat?", answer, (Region("cat", (9, 12), BOX),))
        for k, answer in enumerate(("Yes.", "No."), start=1)
    ]
    return Record(name, photograph, "A sharp cat.", "apache-2.0", samples=(des, *asked))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A small data set of both splits."""
    folder = tmp_path_factory.mktemp("built") / "small"
    splits = {
        "train": [record(name, seed) for seed, name in enumerate("abcd")],
        "test": [record(name, seed) for seed, name in enumerate("xyz", start=10)],
    }
    build_folder(folder, "folder", splits)
    shutil.rmtree(folder / "provenance", ignore_errors=True)
    return folder


@pytest.fixture
def small(built, tmp_path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(built, tmp_path / "small")


def shard(folder: Path, split: str = "train") -> Path:
    return folder / "data" / f"{split}-00000-of-00001.parquet"


def sign(folder: Path) -> None:
    """Bring the sum in the card and the shards without images up to date."""
    with suppress(Exception):  # on shards that are none
        write_annotations(folder / "data", folder / "annotations")
    edit_card(
        folder,
        lambda text: re.sub("sha256 [0-9a-f]{64}", f"sha256 {shards_digest((folder / 'data').iterdir())}", text),
    )


def edit_card(folder: Path, change: Callable[[str], str]) -> None:
    card = folder / "README.md"
    card.write_text(change(card.read_text(encoding="utf-8")), encoding="utf-8")


def rewrite(folder: Path, split: str, change: Callable[[list[dict]], object]) -> None:
    """Change the rows of a split in place, as if the folder had been built so."""
    table = pq.read_table(shard(folder, split))
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard(folder, split))
    sign(folder)


def said(folder: Path) -> list[str]:
    findings = examine_dataset(folder).findings
    assert all(isinstance(finding, Finding) for finding in findings)
    assert all("\n" not in finding.what for finding in findings)
    return [f"{finding.where}: {finding.what}" for finding in findings]


# What holds


def test_what_was_built_holds(small):
    assert said(small) == []


@pytest.mark.parametrize("name", ["giqa-mini", "giqa-bench-mini", "giqa-tiny"])
@pytest.mark.slow
def test_the_sets_of_this_package_hold(workspace, name):
    assert said(workspace / name) == []
    assert examine_dataset(workspace / name).name == name


def test_a_folder_with_another_name_holds(small):
    assert said(small.rename(small.parent / "other")) == []


def test_boxes_of_another_format_hold(tmp_path):
    build_folder(tmp_path / "set", "folder", {"train": [record("a", 1)]}, box_format="giqa_decimal")
    assert said(tmp_path / "set") == []


def test_several_shards_and_row_groups_hold(tmp_path, monkeypatch):
    from giqa_datasets.dataset_folder import parquet

    monkeypatch.setattr(parquet, "SHARD_BYTES", 1000)
    records = [record(f"photo-{seed}", seed) for seed in range(80)]
    build_folder(tmp_path / "set", "folder", {"train": records})
    assert len(list((tmp_path / "set" / "data").iterdir())) > 1
    assert said(tmp_path / "set") == []


def test_the_regions_may_stand_in_another_order_than_in_the_text(small):
    two = {"answer": "A [dog](<0, 21>) and a [cat](<82, 229>)."}
    regions = [
        {"phrase": "cat", "role": "answer", "boxes": BOX.tolist()},
        {"phrase": "dog", "role": "answer", "boxes": [[0.0, 0.0, 0.1, 0.1]]},
    ]
    rewrite(small, "train", lambda rows: rows[0].update(two, regions=regions))
    assert said(small) == []


def test_boxes_of_the_same_cells_stand_in_the_text_once(tmp_path):
    near = np.concatenate([BOX, BOX + np.array([1e-3, 1e-3, -1e-3, -1e-3]), BOX])
    made = record("a", 0)
    samples = (replace(made.samples[0], answer_regions=(Region("cat", (8, 11), near),)),)
    build_folder(tmp_path / "set", "folder", {"train": [replace(made, samples=samples)]})
    (row,) = pq.read_table(shard(tmp_path / "set")).to_pylist()
    assert row["answer"].count("<") == 1
    assert said(tmp_path / "set") == []


def test_the_placeholder_of_the_papers_questions_is_text(small):
    rewrite(small, "train", lambda rows: rows[0].update(question="Note positions as [label](<x, y>)."))
    assert said(small) == []


def test_a_check_writes_nothing(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    said(small)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_what_is_there_is_counted(small):
    examined = examine_dataset(small)
    assert examined.name == "folder"
    train, test = examined.splits["train"], examined.splits["test"]
    assert (train.rows, test.rows) == ({"des": 4, "yes_no": 8}, {"des": 3, "yes_no": 6})
    assert (len(train.images), len(test.images)) == (4, 3)
    assert test.rights == {Rights("test set", "cc0-1.0", "apache-2.0", False): 9}


def test_each_image_is_decoded_once_and_each_row_group_read_once(small, monkeypatch):
    decoded, groups = [], []
    real = decode_small
    monkeypatch.setattr(check_rows, "decode_small", lambda raw: decoded.append(raw) or real(raw))
    examine_dataset(small, progress=lambda each, total, what: groups.append(total) or each)
    assert len(decoded) == len(set(decoded)) == 7
    assert groups == [2]


# Rows


def swap(rows):
    rows[0], rows[3] = rows[3], rows[0]


def other_image(raw: bytes, **changed) -> Callable[[list[dict]], object]:
    """Give the first photograph's rows other pixels."""

    def change(rows):
        for row in rows[:3]:
            row.update(changed, image={"bytes": raw, "path": None})

    return change


def boxes(*xyxy: list[float]) -> Callable[[list[dict]], object]:
    return lambda rows: rows[0]["regions"][0].update(boxes=list(xyxy))


def column(**changed) -> Callable[[list[dict]], object]:
    return lambda rows: rows[0].update(changed)


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(0), exif=exif)


A = "train 'a-des': "
SHAPE = "expected boxes with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, got "
ROWS = {
    "an id twice": (
        lambda rows: rows[4].update(id="a-des"),
        ["train 'a-des': expected an id that no other row has, got a second row of it"],
    ),
    "an id of the other split": (
        lambda rows: rows[0].update(id="x-des"),
        ["train 'x-des': expected an id that no other row has, got a second row of it"],
    ),
    "no id": (column(id=None), ["train None: id: input should be a valid string, got None"]),
    "an id of two lines": (
        column(id="a\nb"),
        [r"train 'a\nb': id: string should match pattern '^\P{C}+$', got 'a\nb'"],
    ),
    "an image that is text": (
        other_image(b"no image"),
        [A + "image 'a-des' cannot be read: it is in no format that Pillow knows"],
    ),
    "half an image": (other_image(encoded(picture(0))[:900]), [A + "image 'a-des' cannot be read: "]),
    "no pixels": (other_image(None), [A + "image 'a-des' came without its pixels"]),
    "a path": (
        lambda rows: rows[1]["image"].update(path="/home/me/a.jpg"),
        ["train 'a-vqa-1': expected an image without a path, got '/home/me/a.jpg'"],
    ),
    "another width": (
        lambda rows: rows[1].update(width=95),
        ["train 'a-vqa-1': expected an image of 95x64, as the row says, got 96x64"],
    ),
    "another height": (
        lambda rows: rows[2].update(height=1),
        ["train 'a-vqa-2': expected an image of 96x1, as the row says, got 96x64"],
    ),
    "a rotated image": (
        other_image(rotated(3)),
        [
            A + "expected an upright image, got the EXIF orientation 3",
            A + "expected an image without metadata, got EXIF",
        ],
    ),
    "an image with transparency": (
        other_image(encoded(picture(0).convert("RGBA"), "PNG")),
        [A + "expected an image in RGB or L, got 'RGBA'"],
    ),
    "an image in CMYK": (
        other_image(encoded(picture(0).convert("CMYK"))),
        [A + "expected an image in RGB or L, got 'CMYK'"],
    ),
    "rows of an image apart": (
        swap,
        ["train 'b-vqa-1': expected the rows of an image side by side, got this one apart from 'b-des'"],
    ),
    "a question as a description": (
        lambda rows: rows[1].update(task="des"),
        ["train 'a-vqa-1': expected the question type to fit the task 'des', got 'yes_no'"],
    ),
    "a description as a question": (
        column(task="vqa"),
        [A + "expected the question type to fit the task 'vqa', got 'des'"],
    ),
    "another task": (column(task="cap"), [A + "task: input should be 'des' or 'vqa', got 'cap'"]),
    "another question type": (
        lambda rows: rows[1].update(question_type="who"),
        [
            "train 'a-vqa-1': question_type: input should be 'des', 'yes_no', ",
            "README.md: expected 8 yes_no in train, got 7",
        ],
    ),
    "a malformed answer": (
        column(answer="A sharp [cat](<82, 2"),
        [A + "expected boxes on the grid in the answer, got '[cat](<82, 2'"],
    ),
    "an answer in decimals": (
        column(answer="A sharp [cat](<0.10, 0.20, 0.50, 0.60>)."),
        [A + "expected boxes on the grid in the answer, got '<0.10, 0.20, 0.50, 0.60>'"],
    ),
    "a malformed question": (
        lambda rows: rows[1].update(question="Sharp is [cat](<9, 3>)?"),
        ["train 'a-vqa-1': expected boxes on the grid in the question, got '<9, 3>'"],
    ),
    "an answer without its box": (
        column(answer="A sharp cat."),
        [A + "expected the regions of the answer to be those of its text, [], got [('cat', [[82, 229]])]"],
    ),
    "an answer with another box": (
        column(answer="A sharp [cat](<82, 230>)."),
        [
            A + "expected the regions of the answer to be those of its text, [('cat', [[82, 230]])], "
            "got [('cat', [[82, 229]])]"
        ],
    ),
    "a box in another cell": (
        boxes([0.1, 0.2, 0.5, 0.65]),
        [
            A + "expected the regions of the answer to be those of its text, [('cat', [[82, 229]])], "
            "got [('cat', [[82, 249]])]"
        ],
    ),
    "a box more": (
        boxes(BOX[0].tolist(), [0, 0, 1, 1]),
        [A + "expected the regions of the answer to be those of its text, "],
    ),
    "another phrase": (
        lambda rows: rows[0]["regions"][0].update(phrase="dog"),
        [
            A + "expected the regions of the answer to be those of its text, [('cat', [[82, 229]])], "
            "got [('dog', [[82, 229]])]"
        ],
    ),
    "another role": (
        lambda rows: rows[0]["regions"][0].update(role="question"),
        [
            A + "expected the regions of the question to be those of its text, [], got [('cat', [[82, 229]])]",
            A + "expected the regions of the answer to be those of its text, [('cat', [[82, 229]])], got []",
        ],
    ),
    "an unknown role": (
        lambda rows: rows[0]["regions"][0].update(role="title"),
        [A + "regions.0.role: input should be 'question' or 'answer', got 'title'"],
    ),
    "a box beyond the image": (boxes([0.1, 0.2, 0.5, 1.5]), [A + f"regions: {SHAPE}"]),
    "a box before the image": (boxes([-0.1, 0.2, 0.5, 0.6]), [A + f"regions: {SHAPE}"]),
    "a box without area": (boxes([0.1, 0.2, 0.1, 0.6]), [A + f"regions: {SHAPE}"]),
    "a reversed box": (boxes([0.5, 0.2, 0.1, 0.6]), [A + f"regions: {SHAPE}"]),
    "a box of no numbers": (boxes([float("nan")] * 4), [A + f"regions: {SHAPE}"]),
    "no box": (boxes(), [A + "regions.0.boxes: list should have at least 1 item after validation, not 0, got []"]),
    "no prompt": (column(prompt=[]), [A + "prompt: list should have at least 1 item after validation, not 0, got []"]),
    "two prompts": (
        lambda rows: rows[0].update(prompt=rows[0]["prompt"] * 2),
        [A + "prompt: list should have at most 1 item after validation, not 2, got "],
    ),
    "a prompt by the assistant": (
        lambda rows: rows[0]["prompt"][0].update(role="assistant"),
        [A + "prompt.0.role: input should be 'user', got 'assistant'"],
    ),
    "a completion by the user": (
        lambda rows: rows[0]["completion"][0].update(role="user"),
        [A + "completion.0.role: input should be 'assistant', got 'user'"],
    ),
    "an empty completion": (
        lambda rows: rows[0]["completion"][0].update(content=""),
        [A + "completion.0.content: string should have at least 1 character, got ''"],
    ),
    "a completion of nothing": (
        lambda rows: rows[0]["completion"][0].update(content=None),
        [A + "completion.0.content: input should be a valid string, got None"],
    ),
    "two completions": (
        lambda rows: rows[0].update(completion=rows[0]["completion"] * 2),
        [A + "completion: list should have at most 1 item after validation, not 2, got "],
    ),
    "no source": (column(source=""), [A + "source: string should match pattern '^\\P{C}+$', got ''"]),
    "no licence": (
        column(image_license=None, text_license=""),
        [
            A + "image_license: input should be a valid string, got None",
            A + "text_license: string should match pattern '^\\P{C}+$', got ''",
        ],
    ),
    "a distortion of no name": (
        column(distortions=[{"name": None, "severity": 3}]),
        [A + "distortions.0.name: input should be a valid string, got None"],
    ),
    "another kind of hash": (
        column(image_sha256="ABC"),
        [A + "image_sha256: string should match pattern '^[0-9a-f]{64}$', got 'ABC'"],
    ),
    "a row fewer": (
        lambda rows: rows.pop(),
        ["README.md: expected 12 rows in train, got 11", "README.md: expected 8 yes_no in train, got 7"],
    ),
    "a photograph fewer": (
        lambda rows: rows.__delitem__(slice(9, 12)),
        [
            "README.md: expected 4 images in train, got 3",
            "README.md: expected 12 rows in train, got 9",
            "README.md: expected 4 des in train, got 3",
            "README.md: expected 8 yes_no in train, got 6",
        ],
    ),
}


@pytest.mark.parametrize(("change", "expected"), ROWS.values(), ids=ROWS)
def test_what_is_wrong_with_a_row_is_said_and_nothing_else(small, change, expected):
    rewrite(small, "train", change)
    sentences = said(small)
    assert len(sentences) == len(expected), sentences
    for sentence, start in zip(sentences, expected, strict=True):
        assert sentence.startswith(start)
        assert sentence == start or start.endswith((" ", ","))


# Leaks


def test_an_image_of_two_splits_is_said_once(small):
    leaked = pq.read_table(shard(small, "test")).to_pylist()[:3]
    rewrite(
        small,
        "train",
        lambda rows: [
            row.update(image=leak["image"], image_sha256=leak["image_sha256"])
            for row, leak in zip(rows[:3], leaked, strict=True)
        ],
    )
    assert said(small) == [A + "expected an image of one split, got one whose sha256 is in test too"]


def test_an_image_of_two_splits_is_said_whatever_the_splits_are_called(small):
    shard(small, "test").rename(shard(small, "validation"))
    edit_card(small, lambda text: text.replace("/test-", "/validation-").replace("| test |", "| validation |"))
    (name,) = {row["image_sha256"] for row in pq.read_table(shard(small, "validation")).to_pylist()[:3]}
    rewrite(small, "train", lambda rows: [row.update(image_sha256=name) for row in rows[:3]])
    (sentence,) = said(small)
    assert sentence == "validation 'x-des': expected an image of one split, got one whose sha256 is in train too"


def copy_of_x(quality: int) -> Callable[[list[dict]], object]:
    return other_image(encoded(picture(10), quality=quality), image_sha256="a" * 64)


@pytest.mark.parametrize("quality", [30, 75])
def test_a_look_alike_in_train_of_an_image_in_test_is_said(small, quality):
    rewrite(small, "train", copy_of_x(quality))
    (sentence,) = said(small)
    pattern = A + r"expected an image that is not in test, got one like 'x-des', \d+ of 256 bits apart"
    assert re.fullmatch(pattern, sentence)


def test_look_alikes_within_a_split_are_no_leak(small):
    rewrite(small, "test", lambda rows: other_image(encoded(picture(11), quality=30))(rows))
    assert said(small) == []


# Yes and No


def more_yes(rows):
    rows[2].update(answer="Yes.")


def test_more_yes_than_no_is_said_of_the_training_set_of_giqa_160k(small):
    edit_card(small, lambda text: text.replace("pretty_name: folder", "pretty_name: giqa-160k"))
    assert said(small) == []
    rewrite(small, "train", more_yes)
    assert said(small) == ["train: expected as many Yes as No, got 5 and 3 answers"]


def test_more_yes_than_no_is_nothing_elsewhere(small):
    rewrite(small, "train", more_yes)
    assert said(small) == []
    edit_card(small, lambda text: text.replace("pretty_name: folder", "pretty_name: giqa-160k"))
    rewrite(small, "train", lambda rows: rows[2].update(answer="No."))
    rewrite(small, "test", more_yes)
    assert said(small) == []


# Files


def test_shards_that_are_not_the_cards_are_said(small):
    stated = shards_digest((small / "data").iterdir())
    table = pq.read_table(shard(small))
    pq.write_table(table, shard(small))  # the same rows in other bytes
    found = shards_digest((small / "data").iterdir())
    assert said(small) == [f"data: expected shards of the sha256 {stated}, as the card says, got {found}"]
    assert shards_sums(small) == (stated, found)


def test_a_card_without_the_sum_is_said(small):
    edit_card(small, lambda text: re.sub(".*sha256 [0-9a-f]{64}\n", "", text))
    assert said(small) == ["README.md: expected the sha256 of the shards, got none"]
    assert shards_sums(small) is None


def test_no_card_is_said(small):
    (small / "README.md").unlink()
    assert said(small) == ["README.md: expected the card of a data set, got none"]
    assert shards_sums(small) is None
    assert examine_dataset(small).name == "small"


def test_a_card_in_another_encoding_is_said(small):
    (small / "README.md").write_bytes(b"\xff\xfe")
    (sentence,) = said(small)
    assert sentence.startswith("README.md: cannot be read: 'utf-8' codec can't decode byte 0xff")


def test_a_card_with_another_number_is_said(small):
    edit_card(small, lambda text: text.replace("| test | 3 | 9 |", "| test | 4 | 9 |"))
    assert said(small) == ["README.md: expected 4 images in test, got 3"]


def test_every_number_in_the_tables_of_a_card_is_checked(small):
    provenance(small, "sources.jsonl", [SOURCE | {"rows": 21}])
    card = (small / "README.md").read_text(encoding="utf-8")
    columns = card.partition("## Columns")[2].partition("##")[0]
    lines = [line for line in card.splitlines() if re.match(r"\|.*[0-9]", line) and line not in columns]
    assert len(lines) > 3
    for line in lines:
        wrong = re.sub("[0-9]", lambda digit: str((int(digit[0]) + 1) % 10), line, count=1)
        edit_card(small, lambda text, line=line, wrong=wrong: text.replace(line, wrong))
        assert said(small), line
        edit_card(small, lambda text, line=line, wrong=wrong: text.replace(wrong, line))
    assert said(small) == []


def test_a_line_of_a_table_that_is_not_due_is_said(small):
    provenance(small, "sources.jsonl", [SOURCE | {"rows": 21, "redistributable": True}])
    (sentence,) = said(small)
    assert re.fullmatch(r"README.md: expected the line '\| test set .* yes \|' in a table, got none", sentence)


def test_words_of_ones_own_in_a_card_are_fine(small):
    edit_card(small, lambda text: f"{text}\n## More\n\nThe 12 best are mine.\n\n| a | 1 |\n|---|---|\n| b | 2 |\n")
    assert said(small) == []


ANNOTATIONS = {
    "gone": (lambda path: path.unlink(), "got others or none"),
    "another text": (lambda path: change_first(path, answer="A dog."), "got others or none"),
    "damaged": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read"),
}


def change_first(path: Path, **values: object) -> None:
    """Change the first row of a Parquet file."""
    table = pq.read_table(path)
    first, *others = table.to_pylist()
    pq.write_table(pa.Table.from_pylist([first | values, *others], schema=table.schema), path)


@pytest.mark.parametrize(("change", "says"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_shards_without_images_that_are_not_those_of_the_others_are_said(small, change, says):
    change(small / "annotations" / "train-00000-of-00001.parquet")
    (sentence,) = said(small)
    assert sentence.startswith("annotations/train-00000-of-00001.parquet: ")
    assert says in sentence


def test_a_file_too_many_among_the_shards_without_images_is_said(small):
    (small / "annotations" / "x.txt").touch()
    assert said(small) == ["annotations: expected the names of the files in data/ alone, got ['x.txt']"]


def test_a_card_without_a_split_is_said(small):
    edit_card(small, lambda text: re.sub(r"\| test \|.*\n", "", text))
    assert said(small) == ["README.md: expected a line for test in a table of the splits, got ['train']"]


def test_a_card_without_a_table_is_said(small):
    edit_card(small, lambda text: text.replace("| split |", "| part |"))
    assert said(small) == [
        "README.md: expected a line for test in a table of the splits, got []",
        "README.md: expected a line for train in a table of the splits, got []",
    ]


def test_a_split_that_no_config_names_is_said(small):
    edit_card(small, lambda text: text.replace("path: data/train-*.parquet", "path: data/else-*.parquet"))
    assert said(small) == ["README.md: expected the path data/train-*.parquet in the configs, got none"]


def test_a_split_without_shards_is_said(small):
    shard(small).unlink()
    sign(small)
    sentences = said(small)
    assert sentences[0] == "README.md: expected 4 images in train, got 0"
    assert all(sentence.endswith(" in train, got 0") for sentence in sentences)


def test_a_missing_shard_is_said(small):
    (small / "data" / "train-00000-of-00001.parquet").rename(small / "data" / "train-00001-of-00002.parquet")
    sign(small)
    assert said(small) == [
        "data: expected all shards of train, ['train-00000-of-00001.parquet'], got ['train-00001-of-00002.parquet']"
    ]


@pytest.mark.parametrize("name", ["notes.txt", "train.parquet", "a\nb.parquet"])
def test_a_foreign_file_among_the_shards_is_said(small, name):
    (small / "data" / name).write_text("mine", encoding="utf-8")
    sign(small)
    assert said(small) == [f"data: expected files such as 'train-00000-of-00001.parquet', got {name!r}"]


def test_a_folder_among_the_shards_is_said(small):
    (small / "data" / "train-00001-of-00002.parquet").mkdir()
    (sentence,) = said(small)
    assert sentence.startswith("data: expected files such as ")


DAMAGED = {
    "empty": lambda raw: b"",
    "text": lambda raw: b"no parquet",
    "its first half": lambda raw: raw[: len(raw) // 2],
    "its last half": lambda raw: raw[len(raw) // 2 :],
    "a broken footer": lambda raw: raw[:-400] + bytes(350) + raw[-50:],
    "a broken page": lambda raw: raw[:4] + b"\xff" * 40 + raw[44:],
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_shard_is_one_sentence_and_the_other_is_read(small, damage):
    shard(small).write_bytes(damage(shard(small).read_bytes()))
    sign(small)
    first, *others = said(small)
    assert re.match(r"data/train-00000-of-00001.parquet: (row group 0 )?cannot be read: .", first)
    assert all(re.fullmatch(r"README.md: expected \d+ \w+ in train, got 0", sentence) for sentence in others)
    assert examine_dataset(small).splits["test"].rows.total() == 9


@pytest.mark.slow
def test_nothing_in_a_shard_makes_it_raise(small):
    raw = shard(small).read_bytes()
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    for seed in range(60):
        rng = random.Random(seed)
        damaged = bytearray(raw)
        for _ in range(rng.choice([1, 5])):
            damaged[rng.randrange(footer, len(raw)) if seed % 2 else rng.randrange(len(raw))] ^= rng.randrange(1, 256)
        shard(small).write_bytes(damaged)
        if bytes(damaged) != raw:
            assert said(small)


@pytest.mark.parametrize("name", ["nothing", "a file", "empty", "a project"])
def test_what_is_no_data_set_is_said(tmp_path, name):
    path = tmp_path / name
    if name == "a file":
        path.write_text("mine", encoding="utf-8")
    elif name != "nothing":
        path.mkdir()
    if name == "a project":
        (path / "README.md").write_text("# Mine", encoding="utf-8")
        (path / "data").mkdir()
        assert said(path) == [
            "data: expected shards of a data set, got none",
            "README.md: expected the sha256 of the shards, got none",
        ]
    else:
        first, second = said(path)
        assert first.startswith("README.md: ")
        assert second == "data: expected shards of a data set, got none"


# Columns


def recast(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(shard(folder))), shard(folder))
    sign(folder)


def without_train(sentences: list[str]) -> list[str]:
    """Leave out that the card says how many rows there should be."""
    return [sentence for sentence in sentences if not sentence.startswith("README.md: ")]


WHERE = "data/train-00000-of-00001.parquet: "
COLUMNS = {
    "a column fewer": (
        lambda table: table.drop_columns(["source"]),
        "expected Value('string') as 'source', got no column",
    ),
    "a column more": (
        lambda table: table.append_column("mine", pa.array([1] * table.num_rows)),
        "expected no column as 'mine', got Value('int64')",
    ),
    "another type": (
        lambda table: table.set_column(2, "width", table["width"].cast(pa.int64())),
        "expected Value('int32') as 'width', got Value('int64')",
    ),
    "no metadata": (
        lambda table: table.replace_schema_metadata(),
        "expected Image(mode=None, decode=True) as 'image', got ",
    ),
    "another order": (
        lambda table: table.select([*table.column_names[1:], "id"]),
        "expected the columns in the order ['id', 'image', ",
    ),
    "metadata of another kind": (
        lambda table: table.replace_schema_metadata({"huggingface": "{"}),
        "cannot be read: ",
    ),
}


@pytest.mark.parametrize(("change", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_other_columns_are_said(small, change, expected):
    recast(small, change)
    (sentence,) = without_train(said(small))
    assert sentence.startswith(WHERE + expected)


# Provenance


def provenance(folder: Path, name: str, lines: list[object]) -> None:
    (folder / "provenance").mkdir(exist_ok=True)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "provenance" / name).write_text(text, encoding="utf-8")


SOURCE = {"source": "test set", "image_license": "cc0-1.0", "text_license": "apache-2.0", "redistributable": False}


def test_sources_that_count_the_rows_hold(small):
    provenance(small, "sources.jsonl", [SOURCE | {"rows": 20}, SOURCE | {"rows": 1}])
    assert said(small) == []


SOURCES = {
    "another number": ([SOURCE | {"rows": 20}], ["expected 20 rows of test set, cc0-1.0, apache-2.0, got 21"]),
    "another licence": (
        [SOURCE | {"rows": 21, "image_license": "mit"}],
        [
            "expected 21 rows of test set, mit, apache-2.0, got 0",
            "expected 0 rows of test set, cc0-1.0, apache-2.0, got 21",
        ],
    ),
    "none": ([], ["expected 0 rows of test set, cc0-1.0, apache-2.0, got 21"]),
    "no number": ([SOURCE], ["{path} line 1: rows: field required"]),
    "no word on redistribution": (
        [SOURCE | {"rows": 21}, {name: SOURCE[name] for name in list(SOURCE)[:3]} | {"rows": 0}],
        ["{path} line 2: redistributable: field required"],
    ),
    "no JSON": (["mine"], ["{path} line 1: invalid JSON: "]),
}


@pytest.mark.parametrize(("lines", "expected"), SOURCES.values(), ids=SOURCES)
def test_sources_that_do_not_count_the_rows_are_said(small, lines, expected):
    provenance(small, "sources.jsonl", lines)
    sentences = said(small)
    assert len(sentences) == len(expected)
    for sentence, start in zip(sentences, expected, strict=True):
        start = start.format(path=small / "provenance" / "sources.jsonl")
        assert sentence.startswith("provenance/sources.jsonl: " + start)


@pytest.mark.parametrize("name", ["sources.jsonl", "images.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_said(small, name):
    (small / "provenance" / name).mkdir(parents=True)
    (sentence,) = said(small)
    assert sentence.startswith(f"provenance/{name}: ")
    assert "Is a directory" in sentence


def manifest_of(folder: Path) -> list[dict]:
    hashes = {sha256: None for counts in examine_dataset(folder).splits.values() for sha256 in sorted(counts.images)}
    return [{"file": f"{number}.jpg", "sha256": sha256} for number, sha256 in enumerate(hashes)]


def test_a_manifest_of_all_images_holds(small):
    provenance(small, "images.jsonl", manifest_of(small))
    assert said(small) == []


def test_a_manifest_of_other_images_is_said(small):
    lines = manifest_of(small)
    provenance(small, "images.jsonl", [*lines[2:], {"file": "mine.jpg", "sha256": "a" * 64}])
    assert said(small) == ["provenance/images.jsonl: expected the files of all images, got 2 too few and 1 too many"]


def test_a_manifest_of_another_shape_is_said(small):
    provenance(small, "images.jsonl", [{"file": "mine.jpg"}])
    assert said(small) == [
        f"provenance/images.jsonl: {small / 'provenance' / 'images.jsonl'} line 1: sha256: field required"
    ]


# Rows without pixels


def bare(rows):
    """Take the pixels of the first photograph's rows."""
    for row in rows[:3]:
        row.update(image=None)


@pytest.mark.parametrize("stated", [True, False])
def test_pixels_may_be_missing_where_they_are_not_redistributable(small, stated):
    if stated:
        provenance(small, "sources.jsonl", [SOURCE | {"rows": 21}])
    rewrite(small, "train", lambda rows: [bare(rows), rows[0].update(width=1)])
    assert said(small) == []
    examined = examine_dataset(small)
    assert examined.absent == {Pixels("test set", "cc0-1.0"): Absent(rows=3, images=1)}
    assert (len(examined.splits["train"].images), examined.splits["train"].rows.total()) == (4, 12)


def test_pixels_that_are_missing_though_they_are_redistributable_are_said_once(small):
    provenance(small, "sources.jsonl", [SOURCE | {"redistributable": True, "rows": 21}])
    rewrite(small, "train", bare)
    assert said(small) == [A + "image 'a-des' came without its pixels"]


def test_an_image_without_bytes_that_is_not_null_is_said(small):
    provenance(small, "sources.jsonl", [SOURCE | {"rows": 21}])
    rewrite(small, "train", other_image(None))  # load_dataset raises on it
    assert said(small) == [A + "image 'a-des' came without its pixels"]


def test_rows_of_an_image_without_pixels_stand_side_by_side(small):
    rewrite(small, "train", lambda rows: [bare(rows), rows.insert(5, rows.pop(1))])
    assert said(small) == [
        "train 'a-vqa-1': expected the rows of an image side by side, got this one apart from 'a-des'"
    ]


def test_an_image_without_pixels_in_two_splits_is_said(small):
    sha256 = pq.read_table(shard(small, "test")).to_pylist()[0]["image_sha256"]
    rewrite(small, "train", lambda rows: [bare(rows), *(row.update(image_sha256=sha256) for row in rows[:3])])
    assert said(small) == [A + "expected an image of one split, got one whose sha256 is in test too"]


# A user's own copies


@pytest.fixture
def copies(tmp_path) -> tuple[Path, Path]:
    """A manifest of three files, and a folder with copies of them under other names."""
    raws = {f"set/{seed}.jpg": encoded(picture(seed)) for seed in range(3)}
    write_manifest(
        tmp_path / "images.jsonl", [ImageFile(name, hashlib.sha256(raw).hexdigest()) for name, raw in raws.items()]
    )
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    for number, raw in enumerate(raws.values()):
        (tmp_path / "mine" / "deep" / f"copy-{number}.jpg").write_bytes(raw)
    return tmp_path / "images.jsonl", tmp_path / "mine"


def test_copies_that_are_all_there_hold(copies):
    manifest, mine = copies
    assert check_images(manifest, [mine]) == []


def test_copies_may_lie_in_several_folders(copies, tmp_path):
    manifest, mine = copies
    (tmp_path / "more").mkdir()
    (mine / "deep" / "copy-1.jpg").rename(tmp_path / "more" / "1.jpg")
    assert len(check_images(manifest, [mine])) == 1
    assert check_images(manifest, [mine, tmp_path / "more"]) == []


def test_a_missing_and_a_changed_copy_are_said(copies):
    manifest, mine = copies
    (mine / "deep" / "copy-0.jpg").unlink()
    (mine / "deep" / "copy-2.jpg").rename(mine / "2.jpg").write_bytes(b"other bytes")
    missing, changed = check_images(manifest, [mine])
    assert re.fullmatch(r"expected a copy of 'set/0.jpg' with the sha256 [0-9a-f]{64}, found none", missing)
    assert re.fullmatch(r"expected the sha256 [0-9a-f]{64} of 'set/2.jpg', got another in .*/2.jpg", changed)


def test_no_manifest_and_no_folder_are_one_sentence(copies, tmp_path):
    manifest, mine = copies
    with pytest.raises(FileNotFoundError):
        check_images(tmp_path / "none.jsonl", [mine])
    with pytest.raises(FileNotFoundError, match="expected a folder of photographs in "):
        check_images(manifest, [tmp_path / "none"])
