"""The file that says which box format a model speaks: whoever wrote it."""

import json
from pathlib import Path

import pytest

from giqa_datasets.formats import FORMATS
from giqa_metrics.models.box_format_file import (
    MAX_BYTES,
    default_path,
    format_of,
    model_name,
    read_format_file,
    write_format_file,
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def write(path: Path, **found: object) -> Path:
    write_format_file(path, {"model": "vlm", "box_format": "ferret"} | found)
    return path


def test_a_format_is_its_own_name_and_nothing_is_giqa(tmp_path):
    assert [format_of("org/vlm", name) for name in FORMATS] == list(FORMATS)
    write(tmp_path / "ferret", box_format="llava")
    assert format_of("org/vlm", "ferret") == "ferret"
    assert format_of("org/vlm", None) == format_of(None, None) == format_of(str(tmp_path), None) == "giqa"


def test_a_models_own_folder_is_believed_under_any_name(tmp_path):
    write(tmp_path / "vlm" / "box_format.json")
    assert format_of("vlm", None) == format_of(str(tmp_path / "vlm"), None) == format_of("vlm/", None) == "ferret"
    (tmp_path / "vlm").rename("moved")
    assert format_of("moved", None) == "ferret"
    assert format_of("moved", "llava") == "llava"
    assert format_of("vlm", None) == "giqa"


@pytest.mark.parametrize(
    ("written", "asked", "is_same"),
    [
        ("org/vlm", "org/vlm", True),
        ("org/vlm", "vlm", True),
        ("vlm", "org/vlm", True),
        ("vlm", "here/vlm", True),
        ("/models/vlm/", "vlm", True),
        ("org/vlm", "other/vlm", False),
        ("org/vlm", "org/vlm-2", False),
        ("vlm", "", False),
    ],
)
def test_a_file_of_another_model_is_refused(tmp_path, written, asked, is_same):
    (tmp_path / "here" / "vlm").mkdir(parents=True)
    file = str(write(tmp_path / "file.json", model=written))
    assert format_of(None, file) == "ferret"
    if is_same:
        assert format_of(asked, file) == "ferret"
        return
    with pytest.raises(ValueError, match=rf"file\.json is of the model '{written}', not of '"):
        format_of(asked, file)


def test_a_file_that_says_none_asks_for_a_name(tmp_path):
    write(tmp_path / "vlm" / "box_format.json", box_format=None)
    says = r"box_format\.json says that no box format fits what 'vlm' writes: name one with --box-format$"
    for given in (None, "vlm/box_format.json"):
        with pytest.raises(ValueError, match=says):
            format_of("vlm", given)
    assert format_of("vlm", "giqa") == "giqa"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", r"was not written by giqa doctor: the file: Invalid JSON"),
        (b"\xff\xfe\x00", r"was not written by giqa doctor: the file: Invalid JSON"),
        (b"[" * 99_999, r"was not written by giqa doctor: the file: Invalid JSON"),
        (b"[]", r"was not written by giqa doctor: the file: "),
        (b"null", r"was not written by giqa doctor: the file: "),
        (b"{}", r"was not written by giqa doctor: model: Field required"),
        (b'{"model": "vlm"}', r"was not written by giqa doctor: box_format: Field required"),
        (b'{"model": 5, "box_format": "giqa"}', r"was not written by giqa doctor: model: .*valid string"),
        (b'{"model": "vlm", "box_format": ["giqa"]}', r"was not written by giqa doctor: box_format: .*valid string"),
        (b'{"model": "", "box_format": "giqa"}', r"was not written by giqa doctor: model: "),
        (b'{"model": "vlm", "box_format": "coco"}', r"expected a box format out of \['deepseek.*\], got 'coco'$"),
        (b'{"model": "vlm", "box_format": "' + b"x" * 9_999 + b'"}', r"got 'x{79}$"),
        (b'{"model": "vlm", "box_format": "giqa"}' + b" " * MAX_BYTES, r"is larger than 1,048,576 bytes: giqa doctor"),
    ],
)
def test_a_hostile_file_is_one_short_sentence(tmp_path, raw, says):
    path = tmp_path / "vlm" / "box_format.json"
    path.parent.mkdir()
    path.write_bytes(raw)
    for given in (None, str(path)):
        with pytest.raises(ValueError, match=says) as raised:
            format_of("vlm", given)
        assert str(raised.value).startswith(str(path) if given else "vlm/box_format.json")
        assert len(str(raised.value)) < 500


def test_what_is_neither_a_format_nor_a_file_is_refused(tmp_path):
    for given in ("coco", "lost.json", str(tmp_path), "\x1b[31m"):
        with pytest.raises(
            ValueError, match=r"^expected a box format out of .*, or a file that giqa doctor wrote, got '"
        ):
            format_of("vlm", given)


def test_where_a_file_lies(tmp_path):
    (tmp_path / "here" / "vlm").mkdir(parents=True)
    assert default_path("here/vlm", server=False) == Path("here/vlm/box_format.json")
    assert default_path("here/vlm", server=True) == Path("vlm.box_format.json")
    names = {
        "org/My-VLM_2.5": "My-VLM_2.5",
        "a:b\\c\n": "a_b_c_",
        "..": "model",
        "org/.hidden": "hidden",
        "/": "model",
        "\u00e9t\u00e9": "_t_",
        "x" * 300: "x" * 100,
    }
    for model, name in names.items():
        assert default_path(model, server=True) == Path(f"{name}.box_format.json")
    assert (model_name("here/vlm"), model_name("here/vlm/"), model_name("org/vlm")) == ("vlm", "vlm", "org/vlm")


def test_more_than_is_read_may_stand_in_it(tmp_path):
    path = write(tmp_path / "deep" / "er" / "file.json", formats={"ferret": {"mean_iou": 0.9}}, giqa="9.9")
    assert json.loads(path.read_bytes())["formats"] == {"ferret": {"mean_iou": 0.9}}
    assert read_format_file(path).model_dump() == {"model": "vlm", "box_format": "ferret"}
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]
