import pytest

from giqa_datasets.files import append_line, json_line, mend, numbered_lines, write_whole


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
