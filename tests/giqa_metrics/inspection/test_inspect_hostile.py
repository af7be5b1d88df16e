"""`giqa inspect` on what is hostile or broken: names, files, links, answers and policies."""

import io
import json
import os
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from giqa_metrics.inspection import Verdict, inspect_photographs, read_policy
from giqa_metrics.inspection.photographs import file_name
from tests.giqa_metrics.conftest import Saying


pytestmark = pytest.mark.slow


BLOCK = "A [green block](<0, 42>) covers part of the image."
NAMES = [
    "-rf.png",
    "a\nb.png",
    "a\rb.png",
    "\x1b[31mred.png",
    "\u202egnp.exe.png",
    "x..png",
    "a b.png",
    "A b.png",
    "é.png",
    "e\u0301.png",
    "%2e%2e%2fx.png",
    "C:\\x.png",
    "<script>alert(1)</script>.png".replace("/", "\\"),
    "$(touch x);`touch y`.png",
    "x" * 251 + ".png",
    "con.png",
    "masks/a b.png",
    "a b.png.blur.png",
]


def png(size: tuple[int, int] = (20, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return buffer.getvalue()


def huge_png(side: int) -> bytes:
    """A few bytes that would decode to side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def inspect(giqa, server, answer, tmp_path):
    """The command on a folder; every answer names a green block."""
    server.rule = lambda asked: answer(BLOCK)

    def run(*arguments: object):
        return giqa("inspect", *arguments, "--model", "m", "--server", server.url, "--out", tmp_path / "out")

    return run


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out" / "verdicts.jsonl").read_bytes().split(b"\n")[:-1]]


def test_hostile_names_stay_in_the_folder_are_told_apart_and_cannot_be_obeyed(inspect, tmp_path):
    root = tmp_path / "photos"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())
    (root / os.fsdecode(b"\xff\xfe.png")).write_bytes(png())
    before = {path for path in tmp_path.rglob("*") if path.is_relative_to(root)}
    ran = inspect(root)
    assert ran.code == 1
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")} == before | {root}
    lines = lines_of(tmp_path)
    assert {line["photo"] for line in lines} == {*NAMES, "\\xff\\xfe.png"}
    written = [line["picture"] for line in lines] + [line["masks"]["missing_block"] for line in lines]
    assert len({name.casefold() for name in written}) == 2 * len(lines)
    for name in written:
        assert re.fullmatch(r"(pictures|masks)/[A-Za-z0-9][A-Za-z0-9._-]{,120}", name)
        assert (tmp_path / "out" / name).is_file()
    shown = ran.out.splitlines()
    assert len(shown) == len(lines) + 2
    assert all(line.isprintable() for line in shown)
    assert inspect(root).out == ran.out


def test_two_photographs_that_would_be_called_alike_are_one_sentence(inspect, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "\\xff.png").write_bytes(png())
    (tmp_path / "photos" / os.fsdecode(b"\xff.png")).write_bytes(png())
    ran = inspect(tmp_path / "photos")
    assert (ran.code, ran.err) == (2, "giqa: expected photographs with different names, got '\\\\xff.png' twice\n")


def test_photographs_of_several_arguments_are_called_as_they_were_given(inspect, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "a.png").write_bytes(png())
    Path("picture").write_bytes(png())
    assert inspect("one", "two", "two/a.png", "./picture").code == 1
    assert [line["photo"] for line in lines_of(tmp_path)] == ["one/a.png", "two/a.png", "picture"]


def test_what_cannot_be_read_is_reviewed_and_the_others_go_on(inspect, server, tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (root / "good.png").write_bytes(png())
    (root / "text.jpg").write_text("no image")
    (root / "empty.png").write_bytes(b"")
    (root / "cut.png").write_bytes(png()[:-30])
    (root / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "bomb.png").write_bytes(huge_png(60_000))
    (root / "large.png").write_bytes(huge_png(10_000))
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "dangling.png").symlink_to("nowhere.png")
    (root / "circle.png").symlink_to("circle.png")
    (root / "inside.png").symlink_to("good.png")
    os.mkfifo(root / "pipe.png")
    with (root / "sparse.png").open("wb") as file:
        file.truncate(2**28 + 1)
    ran = inspect(root)
    assert ran.code == 1
    why = {line["photo"]: line["reasons"][0]["why"] for line in lines_of(tmp_path)}
    assert why.pop("good.png") == why.pop("inside.png") == "'green block' (missing_block) on 1.0% of the photograph"
    assert why == {
        "bomb.png": why["bomb.png"],
        "circle.png": "Too many levels of symbolic links",
        "cut.png": why["cut.png"],
        "dangling.png": "No such file or directory",
        "empty.png": "image 'empty.png' cannot be read: it is in no format that Pillow knows",
        "large.png": "image 'large.png' cannot be read: expected at most 64,000,000 pixels, got 10000x10000",
        "out.png": "it is a link out of its folder",
        "phone.HEIC": "image 'phone.HEIC' cannot be read: it is in no format that Pillow knows",
        "pipe.png": "it is no file",
        "sparse.png": "expected a file of at most 268,435,456 bytes, got 268,435,457",
        "text.jpg": "image 'text.jpg' cannot be read: it is in no format that Pillow knows",
    }
    assert why["cut.png"].startswith("image 'cut.png' cannot be read: ")
    assert why["bomb.png"].startswith("image 'bomb.png' cannot be read: Image size (3600000000 pixels) exceeds limit")
    for line in lines_of(tmp_path):
        if line["photo"] in why:
            assert (line["verdict"], line["reasons"][0]["rule"]) == ("REVIEW", "unreadable")
            assert (line["prediction"], line["width"], line["picture"], line["masks"]) == (None, None, None, {})
    assert len(server.asked) == 2
    assert inspect(root).out == ran.out
    assert len(server.asked) == 2


def test_what_is_no_photograph_by_its_name_is_left_out_and_said(inspect, tmp_path, caplog):
    root = tmp_path / "photos"
    (root / ".thumbs").mkdir(parents=True)
    for name in ("a.PNG", "notes.txt", ".hidden.png", ".thumbs/a.png", "\x1b[2J.md"):
        (root / name).write_bytes(png())
    (root / "elsewhere.png").symlink_to(tmp_path)
    assert inspect(root).code == 1
    assert [line["photo"] for line in lines_of(tmp_path)] == ["a.PNG"]
    said = "left out: 5 files or folders that are no photographs by their name: \\x1b[2J.md, .hidden.png, .thumbs, ..."
    assert caplog.messages == [said]


def test_results_inside_the_folder_are_no_photographs(giqa, server, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.rule = lambda asked: answer(BLOCK)
    Path("a.png").write_bytes(png())
    for _ in range(2):
        ran = giqa("inspect", ".", "--model", "m", "--server", server.url)
        assert ran.out.splitlines()[-2:] == [
            "photographs: 1 (1 FAIL, 0 REVIEW, 0 PASS)",
            "verdicts: inspected/verdicts.jsonl",
        ]


HOSTILE = {
    "markup": ("<script>alert(1)</script> [<b>cup</b>](<0, 42>) is \x1b[31m blurred\u202e.\u2028", ["rule 2"]),
    "half a box": ("The [cup](<0, 4", ["no_box", "malformed"]),
    "one bad box among good ones": (f"{BLOCK} The [cup](<0, 999>) is sharp.", ["rule 1", "rule 2", "malformed"]),
    "nothing": ("", ["no_box"]),
    "white space": (" \n\t", ["no_box"]),
    "prose": ("I cannot help with that.", ["no_box"]),
    "a defect without a box": ("The [cup](<0, 42>) is sharp, fine. All is very noisy.", ["unplaced"]),
    "half a surrogate pair": (f"\ud800 {BLOCK}", ["rule 1", "rule 2"]),
    "too many boxes": ("[x](" + ", ".join(["<0, 42>"] * 1001) + ") is blurred.", ["malformed"]),
    "digits": ("[x](<" + "9" * 5000 + ", 1>)", ["no_box", "malformed"]),
    "a sentence without end": ("so " * 50_000 + BLOCK, ["rule 1", "rule 2"]),
    "commas": ("The [cup](<0, 42>)" + ", ; " * 50_000 + f"and {BLOCK}", ["rule 1", "rule 2"]),
    "brackets": ("[" * 50_000, ["no_box"]),
    "the whole image": ("[x](<0, 399>) wash " + "wash out " * 20_000, ["rule 2"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_answer_raises_or_passes_unseen(inspect, server, answer, tmp_path, name):
    text, rules = HOSTILE[name]
    (found,) = inspect_photographs([png()], Saying(text))
    assert [reason.rule for reason in found.reasons] == rules
    assert found.verdict is (Verdict.FAIL if "rule 1" in rules else Verdict.REVIEW)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(png())
    server.rule = lambda asked: answer(text.replace("\ud800", "?"))
    ran = inspect(tmp_path / "photos")
    assert ran.code in (1, 3)
    assert all(line.isprintable() for line in ran.out.splitlines())
    (line,) = lines_of(tmp_path)
    assert line["prediction"] == text.replace("\ud800", "?").strip()
    assert Image.open(tmp_path / "out" / line["picture"]).size == (480, 510)


def test_a_policy_may_say_that_what_cannot_be_judged_passes_and_the_reason_stays(tmp_path):
    policy = read_policy(None).model_copy(update={"no_box": Verdict.PASS, "unreadable": Verdict.FAIL})
    silent, broken = inspect_photographs([png(), b"none"], Saying("Nothing to say."), policy=policy)
    assert (silent.verdict, [reason.rule for reason in silent.reasons]) == (Verdict.PASS, ["no_box"])
    assert (broken.verdict, [reason.rule for reason in broken.reasons]) == (Verdict.FAIL, ["unreadable"])


@pytest.mark.parametrize("text", ["The image is intact.", "the image is  INTACT"])
def test_only_the_whole_answer_says_that_all_is_well(text):
    found, *_ = inspect_photographs([png()], Saying(text))
    assert (found.verdict, found.reasons) == (Verdict.PASS, ())
    (found,) = inspect_photographs([png()], Saying(f"I cannot say whether {text}"))
    assert found.verdict is Verdict.REVIEW


RULE = "rules: [{verdict: fail, defects: any%s}]"
WRONG = {
    "rules: []": "rules: tuple should have at least 1 item after validation, not 0",
    "": "expected an object, got NoneType",
    "[1]": "expected an object, got list",
    "rules: [{verdict: fail}]": "rules.0: expected a rule with defects or objects, got neither",
    "rules: [{verdict: pass, defects: any}]": "rules.0: expected the verdict fail or review, for what no rule names",
    "rules: [{verdict: maybe, defects: any}]": "rules.0.verdict: expected pass, review or fail, got 'maybe'",
    "rules: [{verdict: fail, defects: [blurr]}]": "rules.0.defects: expected any, or a list out of missing_block, ",
    "rules: [{verdict: fail, defects: blur}]": "rules.0.defects: expected any, or a list out of missing_block, ",
    "rules: [{verdict: fail, defects: []}]": "rules.0.defects: expected any, or a list out of missing_block, ",
    "rules: [{verdict: fail, objects: ['']}]": "rules.0.objects.0: string should match pattern",
    "rules: [{verdict: fail, objects: []}]": "rules.0.objects: tuple should have at least 1 item",
    RULE % ", defect: blur": "rules.0.defect: extra inputs are not permitted",
    RULE % ", area: 0.1": "rules.0.area: expected an object, got float",
    RULE % ", area: {at_least: 2}": "rules.0.area.at_least: input should be less than or equal to 1",
    RULE % ", area: {at_least: .nan}": "rules.0.area.at_least: input should be",
    RULE % "" + "\nno_box: no": "no_box: expected pass, review or fail, got False",
    RULE % "" + "\nrules: []": "the key 'rules' stands twice in one place",
    RULE % ", verdict: review": "the key 'verdict' stands twice in one place",
    "rules: &again [*again]": "rules.0: ",
    "a: b: c": " is no YAML: mapping values are not allowed here",
    "!!python/object/apply:os.system [ls]": " is no YAML: could not determine a constructor",
    "[" * 5000: " is no YAML: ",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
@pytest.mark.slow
def test_a_policy_that_is_none_is_one_sentence_before_anything_is_asked(inspect, server, tmp_path, text):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    ran = inspect(tmp_path / "a.png", "--policy", tmp_path / "policy.yaml")
    assert (ran.code, ran.out, ran.err.count("\n"), server.asked) == (2, "", 1, [])
    assert ran.err.startswith(f"giqa: {tmp_path / 'policy.yaml'}")
    assert WRONG[text] in ran.err
    assert not (tmp_path / "out").exists()


def test_a_verdicts_file_of_someone_else_is_one_sentence(inspect, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    assert inspect(tmp_path / "a.png").code == 1
    path = tmp_path / "out" / "verdicts.jsonl"
    whole = path.read_bytes()
    said = {
        b"[]\n": f"{path} line 1 was not written by giqa inspect: ",
        b'{"photo": 1}\n': f"{path} line 1 was not written by giqa inspect: photo: ",
        whole + whole: f"{path} line 2: {str(tmp_path / 'a.png')!r} occurs twice",
    }
    for raw, sentence in said.items():
        path.write_bytes(raw)
        ran = inspect(tmp_path / "a.png")
        assert ran.code == 2
        assert ran.err.startswith(f"giqa: {sentence}")


def test_a_safe_name_is_one_whatever_the_name():
    for name in ("", ".", "..", "/", "\0", "a" * 10_000, "\U0001f600"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{,80}-[0-9a-f]{16}", file_name(name))
