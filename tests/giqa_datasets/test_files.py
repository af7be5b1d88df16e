"""Files that are written whole or not at all, and what is said where the disk is full."""

import ast

import numpy as np
import pytest
from PIL import Image

from giqa_datasets.dataset_folder.parquet import GroupWriter
from giqa_datasets.files import append_line, json_line, mend, numbered_lines, write_all, write_whole
from giqa_datasets.images import write_image
from tests.paths import ROOT


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before\n", encoding="utf-8")

    def pieces():
        yield "after"
        raise OSError("no more")

    for bad in (pieces(), ["after \ud800"]):
        with pytest.raises((OSError, UnicodeEncodeError)):
            write_whole(path, bad)
        assert path.read_text(encoding="utf-8") == "before\n"
    write_whole(path, ["caf", "\u00e9"])
    assert path.read_bytes() == "caf\u00e9".encode()
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_grows_is_mended_and_goes_on(tmp_path):
    path = tmp_path / "made" / "lines.jsonl"
    mend(path)
    assert path.read_bytes() == b""
    whole = json_line({"id": "caf\u00e9"})
    for there, left in (("", ""), (whole, whole), (whole + whole[:-2], whole), (whole + whole[:-1], whole * 2)):
        path.write_text(there, encoding="utf-8")
        assert [raw.decode().rstrip() for _, raw in numbered_lines(path, grows=True)] == left.splitlines()
        mend(path)
        append_line(path, whole)
        assert path.read_text(encoding="utf-8") == left + whole


def test_half_a_surrogate_pair_is_no_text():
    assert json_line({"said": "\ud800"}) == '{"said": "?"}\n'


def test_several_files_take_their_places_together_and_in_their_order(tmp_path):
    one, gone, other = (tmp_path / name for name in ("one", "gone", "other"))
    for path in (one, gone, other):
        path.write_text("before", encoding="utf-8")

    def pieces():
        assert one.read_text(encoding="utf-8") == "before"
        assert gone.exists()
        yield "after"

    write_all({one: b"after", gone: None, other: pieces()})
    assert one.read_text(encoding="utf-8") == other.read_text(encoding="utf-8") == "after"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "other"}


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
# Each leaves the old file but those that append to it
WRITERS = {
    "text": lambda path: write_whole(path, ["x" * 9000]),
    "bytes": lambda path: write_whole(path, b"x" * 9000),
    "picture.png": lambda path: write_image(path, NOISE),
    "picture.jpg": lambda path: write_image(path, NOISE, quality=95),
    "shard": lambda path: GroupWriter(path, ()).close(),
    "lines": lambda path: append_line(path, "x" * 9000),
    "mended": mend,
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_error_of_a_full_disk_names_the_file(tmp_path, full_disk, name):
    path = tmp_path / name
    if name == "mended":
        path.write_bytes(b"[" + b" " * 998 + b"]")  # its end is missing, and there is no room for it
    with full_disk(1000), pytest.raises(OSError, match="File too large") as told:
        WRITERS[name](path)
    assert str(path) in str(told.value)
    if name in ("text", "bytes", "picture.png", "picture.jpg"):
        assert list(tmp_path.iterdir()) == []


# Calls that write a file, by the file they stand in: another one goes through `giqa_datasets.files`
WRITING = {"write_text", "write_bytes", "save", "write_table", "ParquetWriter", "TemporaryFile"}
ALLOWED = {
    "giqa_datasets/dataset_folder/parquet.py": 4,
    "giqa_datasets/distortions.py": 1,  # this one and the other pictures: into memory
    "giqa_datasets/exports/hf_objects.py": 2,
    "giqa_datasets/files.py": 3,
    "giqa_datasets/images.py": 2,
    "giqa_datasets/loading.py": 1,
    "giqa_datasets/sources/tiny.py": 1,
    "giqa_metrics/app/view.py": 1,
    "giqa_metrics/cli/demo.py": 1,  # a log that another process fills
    "giqa_metrics/doctor/squares.py": 1,
    "giqa_metrics/inspection/photographs.py": 1,
    "giqa_metrics/runs/score.py": 1,
}


def writes(call: ast.Call) -> bool:
    """Whether a call opens a file to write, or writes one."""
    called = ast.unparse(call.func).rpartition(".")[2]
    modes = [given.value for given in call.args if isinstance(given, ast.Constant) and isinstance(given.value, str)]
    return called in WRITING or (called == "open" and any({"w", "a", "x", "+"} & set(mode) for mode in modes))


def test_every_place_that_writes_a_file_is_known():
    found = {}
    for path in (path for package in ("giqa_datasets", "giqa_metrics") for path in (ROOT / package).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        if count := sum(map(writes, calls)):
            found[path.relative_to(ROOT).as_posix()] = count
    assert found == ALLOWED
