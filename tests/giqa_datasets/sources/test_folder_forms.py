"""What people bring beside `metadata.jsonl`: other files of descriptions, boxes in other frames and in files."""

import csv
import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from giqa_datasets.builders.sets import SetRequest, entries_of
from giqa_datasets.sources import folder
from giqa_datasets.sources.folder_boxes import FRAMES, to_corners
from tests.command import giqa, refusal


WIDE, HIGH = 80, 60
BOX = [0.125, 0.25, 0.5, 0.75]  # the same box in every form
IN = {"corners": BOX, "pixels": [10, 15, 40, 45], "xywh": [10, 15, 30, 30]}
TEXT = "The black cat is sharp, and two cups glare."
ROWS = [
    {"file_name": "cat.png", "description": TEXT, "regions": [{"phrase": "black cat", "boxes": [BOX]}], "mos": 3.5},
    {"file_name": "more/dog.jpg", "description": "A dull dog, «blurred».", "redistributable": True, "mos": 1.0},
]


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    (root / "more").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (HIGH, WIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "cat.png")
    Image.fromarray(pixels[:30]).save(root / "more" / "dog.jpg")
    return root


def write_jsonl(root, rows):
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_csv(root, rows):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (root / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(
            {key: json.dumps(cell) if key == "regions" else cell for key, cell in row.items()} for row in rows
        )


def write_parquet(root, rows):
    pixels = {"image": {"bytes": b"\x00" * 1000, "path": None}}  # as push_to_hub writes it
    pq.write_table(pa.Table.from_pylist([row | pixels for row in rows]), root / "metadata.parquet")


def listed(root, **options):
    """Entries as plain values, and what was dropped."""
    drops = []
    found = folder.entries(root, drops.append, **options)
    return [(entry.id, entry.description, [said(each) for each in entry.samples]) for entry in found], drops


def said(sample):
    return [(region.phrase, region.span, region.boxes.round(6).tolist()) for region in sample.answer_regions]


def test_every_metadata_file_says_the_same_and_names_the_columns_that_it_passes_over(photos, caplog):
    found = []
    for write, name in ((write_jsonl, "jsonl"), (write_csv, "csv"), (write_parquet, "parquet")):
        write(photos, ROWS)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found.append(listed(photos))
        assert [record.message for record in caplog.records] == [f"{photos}/metadata.{name}: passed over mos"]
        (photos / f"metadata.{name}").unlink()
    assert found[0] == found[1] == found[2]
    entries, drops = found[0]
    assert entries[0] == ("cat", TEXT, [[("black cat", (4, 13), [BOX])]])
    assert entries[1] == ("more/dog", "A dull dog, «blurred».", [])
    assert drops == []


@pytest.mark.parametrize("column", ["text", "caption"])
def test_an_imagefolders_caption_is_the_description(photos, column):
    write_csv(photos, [{"file_name": "cat.png", column: TEXT}])
    assert listed(photos)[0] == [("cat", TEXT, [])]


def test_a_text_beside_a_photograph_is_its_description(photos, caplog):
    (photos / "cat.TXT").write_text(f"\ufeff{TEXT}\n", encoding="utf-8")
    (photos / "more" / "dog.txt").write_text("A dull dog.", encoding="utf-8")
    (photos / "README.TXT").write_text("not a photograph's", encoding="utf-8")
    assert listed(photos)[0] == [("cat", TEXT, []), ("more/dog", "A dull dog.", [])]
    assert caplog.messages == [f"{photos}: 1 texts have no photograph beside them, README.TXT for one"]
    write_csv(photos, [{"file_name": "cat.png", "text": TEXT}])
    assert listed(photos)[0] == [("cat", TEXT, [])]
    assert caplog.messages[1:] == [f"{photos}: 2 texts beside photographs are passed over for metadata.csv"]


def test_a_photograph_without_a_text_is_told_and_two_cannot_share_one(photos, caplog):
    (photos / "cat.txt").write_text(TEXT, encoding="utf-8")
    assert listed(photos)[0] == [("cat", TEXT, [])]
    assert caplog.messages == [f"{photos}: 1 photographs have no text beside them, more/dog.jpg for one"]
    (photos / "cat.jpg").write_bytes((photos / "cat.png").read_bytes())
    with pytest.raises(ValueError, match=r"cat\.txt: expected the text of one photograph, got cat\.jpg and cat\.png$"):
        listed(photos)


def test_a_text_that_is_a_link_out_of_the_folder_is_not_read(photos, tmp_path):
    (tmp_path / "secret").write_text("a secret")
    (photos / "cat.txt").symlink_to(tmp_path / "secret")
    sentence = refusal(giqa("build", "folder", photos, "--out", tmp_path / "set"))
    assert "leads out" in sentence
    assert "a secret" not in sentence


def test_without_descriptions_two_lines_are_shown_as_they_might_be(photos, tmp_path):
    sentence = refusal(giqa("build", "folder", photos, "--out", tmp_path / "set"))
    for name in ("cat.png", "more/dog.jpg"):
        assert json.dumps({"file_name": name, "description": "..."}) in sentence
    assert "--describe MODEL" in sentence


def test_without_photographs_the_lines_name_some(tmp_path):
    (tmp_path / "empty").mkdir()
    sentence = refusal(giqa("build", "folder", tmp_path / "empty", "--out", tmp_path / "set"))
    assert '{"file_name": "a.jpg", "description": "..."} and {"file_name": "b.jpg", "description": "..."}' in sentence


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("csv", b"file_name;description\ncat.png;A cat.\n", "metadata.csv line 2: file_name: field required"),
        ("csv", b"file_name,description\ncat.png,A cat,sharp.\n", "line 2: expected 2 cells, got more"),
        ("csv", b"file_name,description,regions\ncat.png,A cat.,[\n", "line 2: regions: invalid JSON"),
        ("csv", b'file_name,description\ncat.png,"' + b"x" * 200_000, "expected CSV in UTF-8"),
        ("csv", b"file_name,description\ncat.png,K\xe4tzchen\n", "expected CSV in UTF-8"),
        ("csv", b"file_name,description\n", "expected at least one photograph"),
        ("parquet", b"PAR1 and no more", "expected Parquet in"),
    ],
)
def test_a_bad_file_ends_in_one_sentence(photos, tmp_path, name, raw, says):
    (photos / f"metadata.{name}").write_bytes(raw)
    assert says in refusal(giqa("build", "folder", photos, "--out", tmp_path / "set"))


def test_two_metadata_files_are_refused(photos, tmp_path):
    write_jsonl(photos, ROWS)
    write_csv(photos, ROWS)
    assert "metadata.jsonl and metadata.csv" in refusal(giqa("build", "folder", photos, "--out", tmp_path / "set"))


@pytest.mark.parametrize("frame", FRAMES)
def test_boxes_are_read_in_the_frame_that_is_declared(photos, frame):
    write_jsonl(photos, [ROWS[0] | {"regions": [{"phrase": "cat", "boxes": [IN[frame]]}]}])
    assert listed(photos, boxes=frame)[0][0][2] == [[("cat", (10, 13), [BOX])]]


@pytest.mark.parametrize(
    ("frame", "numbers", "looks"),
    [
        ("corners", IN["pixels"], "pixels"),
        ("corners", [50, 10, 20, 30], "xywh"),  # as corners it would be reversed
        ("pixels", [50, 10, 20, 30], "xywh"),
        ("pixels", BOX, "corners"),
        ("xywh", [50, 10, 75, 30], "pixels"),  # as xywh it would stick out
        ("corners", [10, 20, 900, 30], None),
    ],
)
def test_numbers_outside_of_a_frame_name_the_one_that_they_look_like(photos, tmp_path, frame, numbers, looks):
    write_jsonl(photos, [ROWS[0] | {"regions": [{"phrase": "cat", "boxes": [numbers]}]}])
    sentence = refusal(giqa("build", "folder", photos, "--out", tmp_path / "set", "--boxes", frame))
    assert sentence.endswith(f"they look like {looks}: --boxes {looks}" if looks else "]]")
    assert json.dumps([[float(number) for number in numbers]]) in sentence  # as they stand in the file
    assert "line 1: expected boxes" in sentence


def test_a_box_may_stick_out_by_a_pixel_and_no_more():
    assert to_corners([(-0.5, 10, 80.9, 60)], "pixels", lambda: (80, 60)).tolist() == [[0, 1 / 6, 1, 1]]
    with pytest.raises(ValueError, match=r"^expected boxes x1 < x2 and y1 < y2 in pixels of 80 x 60, got"):
        to_corners([(-2, 10, 70, 60)], "pixels", lambda: (80, 60))


def test_pixels_are_those_of_the_upright_photograph(photos):
    turned = Image.open(photos / "cat.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(photos / "turned.jpg", exif=exif)  # is seen 60 wide and 80 high
    line = {"file_name": "turned.jpg", "description": TEXT, "regions": [{"phrase": "cat", "boxes": [[0, 0, 30, 80]]}]}
    write_jsonl(photos, [line])
    assert listed(photos, boxes="pixels")[0][0][2] == [[("cat", (10, 13), [[0, 0, 0.5, 1]])]]
    line["regions"] = [{"phrase": "cat", "boxes": [[0, 0, 80, 30]]}]  # as the camera wrote it
    write_jsonl(photos, [line])
    with pytest.raises(ValueError, match=r"they fit 80 x 60: boxes count on the photograph as it is seen"):
        listed(photos, boxes="pixels")


def test_a_broken_photograph_costs_its_own_record_whatever_its_boxes_count_in(photos):
    (photos / "broken.png").write_bytes((photos / "cat.png").read_bytes()[:20])
    lines = [
        ROWS[0] | {"file_name": name, "regions": [{"phrase": "cat", "boxes": [IN["xywh"]]}]}
        for name in ("broken.png", "cat.png")
    ]
    write_jsonl(photos, lines)
    found, (drop,) = listed(photos, boxes="xywh")
    assert [name for name, _, _ in found] == ["cat"]
    assert (drop.reason, drop.id) == ("broken_image", "metadata.jsonl line 1")


def coco(**changes):
    file = {
        "images": [{"id": 7, "file_name": "images/cat.png", "width": 2 * WIDE, "height": 2 * HIGH}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [20, 30, 60, 60], "iscrowd": 0},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 160, 120]},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 16, 12]},
            {"image_id": 7, "category_id": 3, "bbox": [16, 0, 16, 12]},
        ],
        "categories": [{"id": 1, "name": "Black_Cat"}, {"id": 2, "name": "person"}, {"id": 3, "name": "cup"}],
    }
    return file | changes


def label_studio(**value):
    box = {"x": 12.5, "y": 25, "width": 37.5, "height": 50, "rotation": 0, "rectanglelabels": ["black cat"]} | value
    shape = {"type": "rectanglelabels", "value": box, "original_width": WIDE, "original_height": HIGH}
    skipped = {"was_cancelled": True, "result": [shape | {"value": box | {"rectanglelabels": ["cups"]}}]}
    choice = {"type": "choices", "value": {"choices": ["sharp"]}}
    place = {"image": "/data/upload/1/0a1b2c3d-cat.png"}
    return [{"id": 1, "data": place, "annotations": [skipped, {"result": [shape, choice]}]}]


@pytest.mark.parametrize(
    ("file", "more"),
    [(coco(), [("cups", (32, 36), [[0, 0, 0.1, 0.1], [0.1, 0, 0.2, 0.1]])]), (label_studio(), [])],
    ids=["coco", "label-studio"],
)
def test_a_file_of_boxes_ties_its_names_to_the_words_of_the_description(photos, tmp_path, caplog, file, more):
    write_jsonl(photos, [{"file_name": "cat.png", "description": TEXT}, ROWS[1]])
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(file))
    found, _ = listed(photos, boxes=str(path))
    assert found[0][2] == [[("black cat", (4, 13), [BOX]), *more]]
    assert found[1][2] == []  # the file has no box of it: it goes through the pipeline
    unnamed = [record.message for record in caplog.records if "no description names" in record.message]
    assert unnamed == ([f"{path}: no description names person 1"] if more else [])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({}, "images: field required"),
        ("[", "expected COCO's or Label Studio's JSON"),
        ("[" * 100_000, "expected COCO's or Label Studio's JSON"),
        (coco(categories=[]), "annotations.0: expected an image and a category of the file"),
        (coco(images=[{"id": 7, "file_name": "lost.png"}]), "expected boxes of the folder's photographs"),
        (coco(images=[{"id": 7, "file_name": "cat.png", "width": HIGH, "height": WIDE}]), "upright photograph"),
        (label_studio(rotation=20), "expected boxes that are not turned, got one by 20.0 degrees"),
        (label_studio(width=200), "expected boxes x y width height in pixels of 80 x 60, got"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:20],
)
def test_a_bad_file_of_boxes_ends_in_one_sentence(photos, tmp_path, file, says):
    write_jsonl(photos, [{"file_name": "cat.png", "description": TEXT}])
    path = tmp_path / "boxes.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file))
    assert says in refusal(giqa("build", "folder", photos, "--out", tmp_path / "set", "--boxes", path))


def test_a_photograph_that_two_may_be_is_refused(photos, tmp_path):
    (photos / "more" / "cat.png").write_bytes((photos / "cat.png").read_bytes())
    write_jsonl(photos, [{"file_name": name, "description": TEXT} for name in ("cat.png", "more/cat.png")])
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(label_studio()))
    sentence = refusal(giqa("build", "folder", photos, "--out", tmp_path / "set", "--boxes", path))
    assert "may be 'cat.png' or 'more/cat.png'" in sentence


def test_an_unknown_frame_is_a_missing_file(photos, tmp_path):
    write_jsonl(photos, ROWS)
    sentence = refusal(giqa("build", "folder", photos, "--out", tmp_path / "set", "--boxes", "yolo"))
    assert sentence == "expected --boxes corners, pixels, xywh or a file of boxes, got 'yolo'"


def test_photographs_are_redistributable_where_a_line_or_else_the_option_says_so(photos):
    write_jsonl(photos, [ROWS[0], ROWS[1] | {"redistributable": False}])
    for option in (False, True):
        found = entries_of(SetRequest("folder", photos, redistributable=option))
        assert [entry.photograph().redistributable for entry in found.all] == [option, False]


@pytest.mark.parametrize("option", [["--boxes", "pixels"], ["--redistributable"]])
def test_a_set_that_is_no_folder_takes_none_of_it(tmp_path, option):
    sentence = refusal(giqa("build", "giqa-mini", "--out", tmp_path / "set", *option))
    assert sentence == f"giqa-mini takes no {option[0]}"
