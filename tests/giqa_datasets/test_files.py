import pytest

from giqa_datasets.files import write_whole


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
