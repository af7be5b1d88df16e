"""giqa annotate on real photographs with the offline models: killed, told and fed with whatever people have."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Image, load_dataset
from PIL import Image as Pillow
from PIL import ImageOps

from giqa_datasets.http_answers import LONGEST
from giqa_datasets.pipeline.annotation_run import WINDOW
from giqa_datasets.sources.mini import wheel_file
from giqa_metrics.cli import commands
from tests.command import giqa, the_one_sentence


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("looks_once")]


MERGED = "mvtbdata/images/campus/P1070507.png"  # four students are found, and two of them stand close
FILES = {
    "coffee.png": "skimage/data/coffee.png",
    "camera.png": "skimage/data/camera.png",
    "motorcycle.png": "skimage/data/motorcycle_left.png",
    "chelsea.png": "skimage/data/chelsea.png",
}
TEXTS = {
    "coffee.png": "The cup is sharp and the wooden table is dark, but the spoon is blurred.",
    "camera.png": "In this picture the man stands out crisply, while the buildings are hazy.",
    "motorcycle.png": "The motorcycle is sharp and well lit.",
    "chelsea.png": "The cat is sharp. The unicorn is blurred.",
}
NOT_LOOKED_FOR = "The castle is sharp."  # a word that the offline detector does not have, so that it does not look


def describe(root, lines):
    """Write the folder's metadata."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "metadata.jsonl").write_text(text, encoding="utf-8")


def lay_photos(root, count):
    """Real photographs with `count` descriptions, in turn."""
    root.mkdir(parents=True)
    for name, file in FILES.items():
        shutil.copy(wheel_file(file), root / name)
    names = [[*FILES][number * len(FILES) // count] for number in range(count)]
    texts = [TEXTS[name] if number % 4 == 0 or count < 9 else NOT_LOOKED_FOR for number, name in enumerate(names)]
    describe(
        root,
        [
            {"file_name": name, "id": f"{name[:3]}-{number}", "description": text + " Good." * number}
            for number, (name, text) in enumerate(zip(names, texts, strict=True))
        ],
    )
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two windows of descriptions."""
    return lay_photos(tmp_path_factory.mktemp("many") / "photos", WINDOW + 8)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """One description of each photograph."""
    return lay_photos(tmp_path_factory.mktemp("few") / "photos", 4)


def contents(folder):
    """Every file of a folder, and of the folders in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def lines_of(folder, name="records.jsonl"):
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def parquet_of(folder):
    found = contents(folder / "data")
    assert found
    return found


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes_and_builds_the_same_set(photos, kill, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert giqa("annotate", "folder", photos, "--out", whole)[0] == 0
    for n_more, n_lines in ((0, 0), (1, 1), (WINDOW, WINDOW + 1)):
        kill(killed / "records.jsonl", n_more, "annotate", "folder", photos, "--out", killed)
        assert len(lines_of(killed)) == n_lines
        assert not (killed / "drops.jsonl").exists()
    assert giqa("annotate", "folder", photos, "--out", killed)[0] == 0
    assert contents(killed) == contents(whole)

    assert giqa("build", "folder", photos, "--annotations", killed, "--out", tmp_path / "set")[0] == 0
    assert contents(killed) == contents(whole)
    assert giqa("build", "folder", photos, "--out", tmp_path / "set2")[0] == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "set2")
    assert contents(tmp_path / "set2.annotations") == contents(whole)
    found = load_dataset(str(tmp_path / "set"), split="train")
    samples = [sample["id"] for line in lines_of(whole) for sample in line["samples"]]
    assert found["id"] == samples
    assert len(samples) > 18
    drops = (tmp_path / "set" / "provenance" / "drops.jsonl").read_bytes()
    assert drops == (whole / "drops.jsonl").read_bytes()


def test_a_build_that_is_killed_goes_on_where_it_was(few, kill, tmp_path):
    folder, out = tmp_path / "set.annotations", tmp_path / "set"
    kill(folder / "records.jsonl", 1, "build", "folder", few, "--out", out)
    assert giqa("build", "folder", few, "--out", out)[0] == 0
    assert giqa("build", "folder", few, "--out", tmp_path / "other")[0] == 0
    assert parquet_of(out) == parquet_of(tmp_path / "other")
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_limit_of_the_command_leaves_no_trace_when_it_is_raised(few, tmp_path):
    assert giqa("annotate", "folder", few, "--out", tmp_path / "a", "--limit", 2)[0] == 0
    assert [line["id"] for line in lines_of(tmp_path / "a")] == ["cof-0", "cam-1"]
    assert giqa("annotate", "folder", few, "--out", tmp_path / "a")[0] == 0
    assert giqa("annotate", "folder", few, "--out", tmp_path / "b")[0] == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert giqa("annotate", "folder", few, "--out", tmp_path / "a", "--limit", 1)[0] == 0
    assert (tmp_path / "a" / "records.jsonl").read_bytes() == (tmp_path / "b" / "records.jsonl").read_bytes()


# What it prints


@pytest.fixture(scope="module")
def annotated(few, programs, tmp_path_factory) -> Path:
    """An annotation folder, made in a process of its own."""
    folder = tmp_path_factory.mktemp("annotated") / "a"
    command = ["giqa", "annotate", "folder", few, "--out", folder, "--format", "json"]
    done = subprocess.run(command, env=os.environ | {"PATH": programs}, check=True, stdout=subprocess.PIPE)
    assert json.loads(done.stdout) == json.loads((folder / "funnel.json").read_bytes())
    return folder


def test_json_stands_alone_on_stdout_and_says_what_the_folder_says(few, annotated, tmp_path):
    code, stdout, _ = giqa("annotate", "folder", few, "--out", annotated, "--format", "json")
    assert code == 0
    rows = json.loads(stdout)
    assert rows == json.loads((annotated / "funnel.json").read_bytes())
    assert [row["stage"] for row in rows] == ["source", "tags", "detect", "detect", "refine", "refine", "fuse", "ask"]
    counted = Counter()
    for row in rows:
        assert row["n_in"] == row["n_out"] + sum(row["left_out"].values())
        counted.update({(row["stage"], reason): count for reason, count in row["left_out"].items()})
    assert counted == Counter((drop["stage"], drop["reason"]) for drop in lines_of(annotated, "drops.jsonl"))
    code, stdout, _ = giqa("annotate", "folder", few, "--out", annotated)
    assert code == 0
    assert str(annotated) in stdout.replace("\n", "")
    assert all(reason in stdout for row in rows for reason in row["left_out"])


def picture_of(stdout):
    """The picture that a story names."""
    *story, last = stdout.splitlines()
    assert last.startswith("picture: ")
    return "\n".join(story), Path(last.removeprefix("picture: "))


@pytest.mark.parametrize("identifier", ["cof-0", "cof-0-des", "cof-0-vqa-1"])
def test_explain_tells_the_story_and_draws_a_picture(few, annotated, identifier):
    code, stdout, _ = giqa("annotate", "folder", few, "--out", annotated, "--explain", identifier)
    assert code == 0
    story, path = picture_of(stdout)
    assert TEXTS["coffee.png"] in story
    (line,) = (line for line in lines_of(annotated) if line["id"] == "cof-0")
    assert all(f"{drop['reason']}: {drop['what']}" in story for drop in line["drops"])
    assert line["samples"]
    assert re.search(r"\[cup\]\(<\d+, \d+>\)", story)
    with Pillow.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > picture.height


def test_explain_leaves_the_annotations_as_they_are(few, annotated):
    before = {name: raw for name, raw in contents(annotated).items() if not name.startswith("explain/")}
    for identifier in ("cof-0", "cam-1", "mot-2", "che-3"):
        assert giqa("annotate", "folder", few, "--out", annotated, "--explain", identifier)[0] == 0
    after = {name: raw for name, raw in contents(annotated).items() if not name.startswith("explain/")}
    assert after == before


@pytest.mark.parametrize("identifier", ["nobody", "nobody-des", "", "cof", "../../etc/passwd", "cof-0-vqa-x"])
def test_explain_of_an_unknown_id_ends_in_one_sentence(few, annotated, identifier):
    code, stdout, stderr = giqa("annotate", "folder", few, "--out", annotated, "--explain", identifier)
    assert (code, stdout) == (2, "")
    assert repr(identifier) in the_one_sentence(stderr)


def test_explain_of_what_is_not_annotated_ends_in_one_sentence_and_makes_nothing(few, tmp_path):
    code, stdout, stderr = giqa("annotate", "folder", few, "--out", tmp_path / "a", "--explain", "cof-0")
    assert (code, stdout) == (2, "")
    assert "'cof-0' is not annotated in" in the_one_sentence(stderr)
    assert [*tmp_path.iterdir()] == []


def test_two_records_have_two_pictures(few, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(few, root)
    ids = ["more/cup", "more_cup", "more cup"]
    describe(root, [{"file_name": "coffee.png", "id": name, "description": TEXTS["coffee.png"]} for name in ids])
    assert giqa("annotate", "folder", root, "--out", tmp_path / "a")[0] == 0
    stories = [giqa("annotate", "folder", root, "--out", tmp_path / "a", "--explain", name)[1] for name in ids]
    assert len({picture_of(story)[1] for story in stories}) == 3


def test_the_story_of_a_record_with_a_broken_photograph_is_told(few, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(few, root)
    whole = as_file(photograph("coffee.png"), "PNG")
    (root / "cut.jpg").write_bytes(whole[:20000] + bytes(9) + whole[20009:])  # only who decodes it finds out
    describe(root, [{"file_name": name, "description": TEXTS["coffee.png"]} for name in ("coffee.png", "cut.jpg")])
    assert giqa("annotate", "folder", root, "--out", tmp_path / "a")[0] == 0
    assert any(drop["reason"] == "broken_image" for drop in lines_of(tmp_path / "a")[1]["drops"])
    code, stdout, _ = giqa("annotate", "folder", root, "--out", tmp_path / "a", "--explain", "cut")
    assert code == 0
    assert "broken_image" in stdout


# Thresholds


def n_boxes(folder):
    return sum(len(tag["boxes"]) for line in lines_of(folder) for tag in line["tags"])


def test_thresholds_reach_their_stages(few, annotated, tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    with Pillow.open(wheel_file(MERGED)) as image:
        image.thumbnail((1024, 1024), Pillow.Resampling.LANCZOS)
        image.convert("RGB").save(root / "students.png")
    describe(root, [{"file_name": "students.png", "description": "The students are sharp."}])
    assert giqa("annotate", "folder", root, "--out", tmp_path / "merged")[0] == 0
    assert any(drop["reason"] == "box_merged" for drop in lines_of(tmp_path / "merged", "drops.jsonl"))
    merging = ("--merge-area", 0, "--merge-coverage", 1)
    assert giqa("annotate", "folder", root, "--out", tmp_path / "apart", *merging)[0] == 0
    assert n_boxes(tmp_path / "apart") > n_boxes(tmp_path / "merged")
    assert not any(drop["reason"] == "box_merged" for drop in lines_of(tmp_path / "apart", "drops.jsonl"))
    for name, value in (("merge_area", 0), ("merge_coverage", 1)):
        assert json.loads((tmp_path / "apart" / "settings.json").read_bytes())[name] == value
    assert giqa("annotate", "folder", few, "--out", tmp_path / "sure", "--box-threshold", 0.9)[0] == 0
    assert 0 < n_boxes(tmp_path / "sure") < n_boxes(annotated)


def test_the_seed_draws_other_questions(few, annotated, tmp_path):
    assert giqa("annotate", "folder", few, "--out", tmp_path / "a", "--seed", 7)[0] == 0
    questions, others = (
        [sample["question"] for line in lines_of(folder) for sample in line["samples"]]
        for folder in (annotated, tmp_path / "a")
    )
    assert questions != others
    assert n_boxes(annotated) == n_boxes(tmp_path / "a")


@pytest.mark.parametrize("option", ["--box-threshold", "--text-threshold", "--merge-area", "--merge-coverage"])
@pytest.mark.parametrize("value", ["-0.01", "1.01", "nan", "inf", "much"])
def test_a_threshold_out_of_range_is_refused(few, tmp_path, option, value):
    code, stdout, _ = giqa("annotate", "folder", few, "--out", tmp_path / "a", option, value)
    assert (code, stdout) == (2, "")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--box-threshold", 0.5], "box_threshold"),
        (["--seed", 1], "seed"),
        (["--merge-area", 0.1, "--llm", "m"], "llm, merge_area"),
    ],
)
def test_other_settings_are_refused_by_name(few, annotated, options, names):
    before = contents(annotated)
    code, stdout, stderr = giqa("annotate", "folder", few, "--out", annotated, *options)
    assert (code, stdout) == (2, "")
    assert f"other settings ({names})" in the_one_sentence(stderr)
    assert contents(annotated) == before


def test_a_build_of_annotations_with_another_seed_is_refused(few, annotated, tmp_path):
    options = ("--annotations", annotated, "--out", tmp_path / "set", "--seed", 3)
    code, _, stderr = giqa("build", "folder", few, *options)
    assert code == 2
    assert "seed" in the_one_sentence(stderr)
    assert [*tmp_path.iterdir()] == []


def test_a_build_takes_the_thresholds_that_the_annotations_were_begun_with(few, tmp_path):
    folder, out = tmp_path / "a", tmp_path / "set"
    assert giqa("annotate", "folder", few, "--out", folder, "--limit", 2, "--box-threshold", 0.9)[0] == 0
    assert giqa("build", "folder", few, "--annotations", folder, "--out", out)[0] == 0
    assert giqa("annotate", "folder", few, "--out", tmp_path / "b", "--box-threshold", 0.9)[0] == 0
    assert contents(folder) == contents(tmp_path / "b")


# Hostile folders


def photograph(name):
    return Pillow.open(wheel_file(FILES[name])).convert("RGB")


def as_file(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb():
    """A PNG of some 3.6 gigapixels in a few bytes."""

    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = (60000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 999))
        + chunk(b"IEND", b"")
    )


def marked(image, place):
    """The image with a mark of its own: what becomes the same image apart from another is left out."""
    out = image.copy()
    out.paste("white", (place, 0, place + 2, 2))
    return out


def good_files():
    """Files of the coffee cup that can be read, by name."""
    cup = photograph("coffee.png")
    rotated = Pillow.Exif()
    rotated[0x0112] = 6
    clear = cup.convert("RGBA")
    clear.putalpha(255)
    clear.paste((0, 0, 0, 0), (0, 0, 40, 40))
    sixteen = np.asarray(cup.convert("L")).astype(np.uint16) * 257
    frames = {"save_all": True, "append_images": [cup.rotate(180)], "duration": 100}
    return {
        "cmyk.jpg": as_file(cup.convert("CMYK"), "JPEG", quality=95),
        "grey.jpg": as_file(cup.convert("L"), "JPEG", quality=95),
        "sixteen.png": as_file(Pillow.fromarray(sixteen), "PNG"),
        "palette.png": as_file(cup.quantize(128), "PNG", transparency=0),
        "clear.png": as_file(clear, "PNG"),
        "moving.gif": as_file(cup, "GIF", **frames),
        "moving.png": as_file(marked(cup, 0), "PNG", **frames),
        "turned.jpg": as_file(cup.rotate(90, expand=True), "JPEG", exif=rotated, quality=95),
        "photo.webp": as_file(cup, "WEBP", quality=95),
        "photo.tif": as_file(marked(cup, 8), "TIFF"),
        "a \"cup\" & 'more'.jpg": as_file(cup, "JPEG", quality=95),
        "Käffchen ☕ 咖啡.jpg": as_file(cup, "JPEG", quality=95),
        "-rf.jpg": as_file(cup, "JPEG", quality=95),
    }


def bad_files():
    """Files that are no photograph, by name."""
    cup = photograph("coffee.png")
    whole = as_file(cup, "JPEG", quality=95)
    return {
        "cut.jpg": whole[:60000],
        "cut.png": as_file(cup, "PNG")[:60000],
        "zero.jpg": b"",
        "bomb.png": bomb(),
        "text.jpg": b"no photograph at all",
        "rotten.jpg": whole[:60000] + b"\xff\xda" * 50 + whole[60100:],
    }


TEXTS_OF_ANY_KIND = {
    "chinese": "杯子很清晰\uff0c桌子很暗。The cup is sharp.",
    "chinese-alone": "杯子很清晰\uff0c但是背景模糊\uff0c噪点很多。",
    "arabic": "الكوب واضح والطاولة مظلمة. The cup is sharp.",
    "empty": "",
    "blank": " \n\t ",
    "markup": "The [cup](<1, 44>) is sharp.",
    "placeholder": "The <image> shows a cup that is sharp.",
    "brackets": "The cup [sic] is sharp (very), <b>bold</b>.",
    "lines": "The cup is sharp.\r\nThe\u2028spoon\x85is\x0bblurred.\0",
    "controls": "\x1b[31mThe cup is sharp.\x07",
    "emoji": "The ☕ cup 🧑🏽‍🚀 is sharp. \ufeff\u202ecup\u202c",
    "one-letter": "a",
    "long": "The cup is sharp, but the spoon is blurred. " * 9 + "It is so very good. " * 5000,  # 100 kB
    "long-word": "cup" * 9000 + " is sharp.",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder of everything, its annotations and its set."""
    root = tmp_path_factory.mktemp("hostile")
    photos = root / "photos"
    photos.mkdir()
    for name, raw in (good_files() | bad_files()).items():
        (photos / name).write_bytes(raw)
    (photos / "a\nnew line.jpg").write_bytes(as_file(photograph("coffee.png"), "JPEG"))
    (photos / "cup.png").write_bytes(wheel_file(FILES["coffee.png"]).read_bytes())
    lines = [
        {"file_name": name, "id": name, "description": "The cup is sharp."}
        for name in [*good_files(), *bad_files(), "a\nnew line.jpg"]
    ]
    lines += [
        {"file_name": "cup.png", "id": name, "description": description}
        for name, description in TEXTS_OF_ANY_KIND.items()
    ]
    describe(photos, lines)
    for verb, *options in (
        ("annotate", "--out", root / "a"),
        ("build", "--annotations", root / "a", "--out", root / "set"),
    ):
        code, _, stderr = giqa(verb, "folder", photos, *options)
        assert (code, "Traceback" in stderr) == (0, False), stderr
    return root, lines


def test_of_a_hostile_folder_nothing_is_lost(hostile):
    root, lines = hostile
    kept, drops = lines_of(root / "a"), lines_of(root / "a", "drops.jsonl")
    by_line = {f"metadata.jsonl line {number}": line["id"] for number, line in enumerate(lines, start=1)}
    refused = {by_line[drop["id"]]: drop["reason"] for drop in drops if drop["stage"] == "source"}
    by_id = {line["id"]: line for line in kept}
    assert len(kept) == len(by_id)
    assert sorted([*by_id, *refused]) == sorted(line["id"] for line in lines)
    for line in kept:
        assert line["samples"] or {drop["stage"] for drop in drops if drop["id"] == line["id"]} & {"fuse", "detect"}
    assert {name: refused.get(name) for name in ("empty", "blank", "markup", "placeholder")} == {
        "empty": "empty_description",
        "blank": "empty_description",
        "markup": "markup_in_description",
        "placeholder": "markup_in_description",
    }
    for name in good_files():
        assert by_id[name]["samples"], name
    for name in bad_files():
        assert name not in by_id or not by_id[name]["samples"], name
        why = {drop["reason"] for drop in drops if by_line.get(drop["id"], drop["id"]) == name}
        assert "broken_image" in why, name
    for name in ("chinese", "arabic", "brackets", "lines", "long"):
        assert by_id[name]["samples"], name
    for name in set(TEXTS_OF_ANY_KIND) - set(refused):
        assert by_id[name]["description"] == TEXTS_OF_ANY_KIND[name]


def test_a_hostile_folders_rows_are_upright_pictures_of_the_stated_size(hostile):
    root, _ = hostile
    cup = photograph("coffee.png")
    small = np.asarray(cup.resize((60, 40)).convert("L"), float)[5:, 5:]
    rows = load_dataset(str(root / "set"), split="train")
    raw = rows.cast_column("image", Image(decode=False))
    des = [number for number, task in enumerate(rows["task"]) if task == "des"]
    assert {f"{name}-des" for name in good_files()} <= set(rows["id"])
    for number in des:
        row = rows[number]
        picture = Pillow.open(io.BytesIO(raw[number]["image"]["bytes"]))
        picture.load()
        assert picture.mode in ("RGB", "L"), row["id"]
        assert not getattr(picture, "is_animated", False), row["id"]
        assert ImageOps.exif_transpose(picture).size == picture.size == (row["width"], row["height"]) == cup.size
        assert row["image"].size == cup.size
        seen = np.asarray(picture.resize((60, 40)).convert("L"), float)[5:, 5:]
        assert np.abs(seen - small).mean() < 8, row["id"]
    ids = rows["id"]
    assert ids == [sample["id"] for line in lines_of(root / "a") for sample in line["samples"]]


def test_a_hostile_folder_is_annotated_once(hostile):
    root, _ = hostile
    before = contents(root / "a")
    giqa("annotate", "folder", root / "photos", "--out", root / "a")
    assert contents(root / "a") == before


@pytest.mark.parametrize(
    "identifier", ["a \"cup\" & 'more'.jpg", "Käffchen ☕ 咖啡.jpg", "-rf.jpg", "controls", "lines"]
)
def test_a_hostile_records_story_is_told(hostile, identifier):
    root, _ = hostile
    options = ("--out", root / "a", f"--explain={identifier}")
    code, stdout, _ = giqa("annotate", "folder", root / "photos", *options)
    assert code == 0
    path = Path(stdout.rstrip("\n").rpartition("picture: ")[2])
    assert path.parent == root / "a" / "explain"
    Pillow.open(path).load()


@pytest.mark.parametrize("identifier", ["controls", "lines"])
def test_a_story_holds_no_control_character_of_a_description(hostile, identifier):
    root, _ = hostile
    _, stdout, _ = giqa("annotate", "folder", root / "photos", "--out", root / "a", f"--explain={identifier}")
    assert re.findall(r"[\x00\x07\x0b\x1b]", stdout) == []


# A language model's server that is not there, or dies

OBJECTS = {"cup": "sharp", "man": "sharp", "motorcycle": "well lit", "cat": "sharp", "unicorn": "blurred"}


def reply_to(asked):
    """What a good language model replies: a function of the prompt alone."""
    description = json.loads(re.findall(r"^Description: (\".*\")$", asked.prompt, re.MULTILINE)[-1])
    phrases = [phrase for phrase in OBJECTS if phrase in description]
    if '"questions"' in asked.prompt:
        reply = [
            {"type": "yes_no", "question": f"Is the {phrases[0]} sharp?", "answer": "Yes."},
            {"type": "yes_no", "question": f"Is the {phrases[0]} blurred?", "answer": "No."},
            {"type": "what", "question": "What is good?", "answer": f"The {phrases[0]}."},
        ]
        return json.dumps({"questions": reply})
    return json.dumps(
        {"objects": [{"phrase": name, "quality": OBJECTS[name], "effect": "positive"} for name in phrases]}
    )


@pytest.fixture
def good(server, answer):
    """A server with a good language model."""
    server.rule = lambda asked: answer(reply_to(asked))
    return server


@pytest.fixture
def dying(server, answer):
    """Start a server that answers so often and is gone then."""
    started = []

    def start(n_answers):
        mortal = type(server)()
        started.append(mortal)
        left = threading.Semaphore(n_answers)

        def rule(asked):
            if left.acquire(blocking=False):
                return answer(reply_to(asked))
            mortal.stop()
            return answer(status=503)

        mortal.rule = rule
        return mortal

    yield start
    for mortal in started:
        mortal.stop()


def annotate_with(url, photos, out):
    return ["annotate", "folder", photos, "--out", out, "--llm", "m", "--llm-url", url]


def test_a_server_that_is_not_there_ends_in_one_sentence_and_what_was_annotated_stays(
    few, tmp_path, good, unreachable
):
    folder = tmp_path / "a"
    code, stdout, stderr = giqa(*annotate_with(unreachable, few, folder))
    assert (code, stdout) == (2, "")
    sentence = the_one_sentence(stderr)
    assert "no record came through" in sentence
    assert f"LLM at {unreachable} cannot be reached" in sentence
    assert giqa(*annotate_with(good.url, few, folder))[0] == 0
    assert giqa(*annotate_with(good.url, few, tmp_path / "b"))[0] == 0
    assert contents(folder) == contents(tmp_path / "b")
    code, *_ = giqa(*annotate_with(unreachable, few, folder))
    assert code == 0  # nothing is left to ask
    assert contents(folder) == contents(tmp_path / "b")


def test_what_was_annotated_before_a_server_was_gone_stays(few, tmp_path, good, unreachable):
    folder = tmp_path / "a"
    assert giqa(*annotate_with(good.url, few, folder), "--limit", 2)[0] == 0
    before = (folder / "records.jsonl").read_bytes()
    code, _, stderr = giqa(*annotate_with(unreachable, few, folder))
    assert code == 1
    assert "2 records failed at a model" in stderr
    assert (folder / "records.jsonl").read_bytes().startswith(before)
    faults = {drop["id"] for drop in lines_of(folder, "drops.jsonl") if drop["reason"] == "fault"}
    assert faults == {"mot-2", "che-3"}
    assert giqa(*annotate_with(good.url, few, folder))[0] == 0
    assert giqa(*annotate_with(good.url, few, tmp_path / "b"))[0] == 0
    assert contents(folder) == contents(tmp_path / "b")


@pytest.mark.parametrize("at_the_end", [1, 5])
def test_a_server_that_dies_leaves_faults_that_a_living_one_makes_good(few, tmp_path, good, dying, at_the_end):
    whole, folder = tmp_path / "whole", tmp_path / "a"
    root = tmp_path / "photos"
    shutil.copytree(few, root)
    lines = [{"file_name": "camera.png", "id": f"it-{k}", "description": NOT_LOOKED_FOR} for k in range(WINDOW - 2)]
    lines += [{"file_name": name, "description": TEXTS[name]} for name in ("camera.png", "coffee.png")]
    lines += [{"file_name": "coffee.png", "id": f"cup-{k}", "description": TEXTS["coffee.png"]} for k in range(3)]
    describe(root, lines)
    assert giqa(*annotate_with(good.url, root, whole))[0] == 0
    mortal = dying(len(good.asked) - at_the_end)
    code, stdout, stderr = giqa(*annotate_with(mortal.url, root, folder), "--format", "json")
    assert code == 1
    drops = lines_of(folder, "drops.jsonl")
    failed = {drop["id"] for drop in drops if drop["reason"] == "fault"}
    assert failed
    assert f"{len(failed)} records failed at a model" in stderr
    counts = Counter(reason for row in json.loads(stdout) for reason in row["left_out"] if "fault" in reason)
    assert counts
    whole_lines, lines = lines_of(whole), lines_of(folder)
    assert [line["id"] for line in lines] == [line["id"] for line in whole_lines]
    for line, other in zip(lines, whole_lines, strict=True):
        assert line == other or line["id"] in failed
    assert giqa(*annotate_with(good.url, root, folder))[0] == 0
    assert contents(folder) == contents(whole)


SURROGATE = b'{"choices": [{"message": {"content": "\\ud83d"}}]}'
BAD = {
    "bad-refused": {"status": 400, "body": b"too long"},
    "bad-moderated": {"status": 403, "body": b"flagged"},
    "bad-nothing": {"body": b""},
    "bad-half": {"body": SURROGATE},
    "bad-endless": {"body": b" " * (LONGEST + 1)},
}


def test_each_bad_answer_costs_its_record_and_the_same_command_asks_those_again(few, tmp_path, good, answer):
    root, folder, rule = tmp_path / "photos", tmp_path / "a", good.rule
    shutil.copytree(few, root)
    texts = {name: f"The cup is sharp and {name}." for name in (*BAD, "fine", "whole")}
    describe(root, [{"file_name": "coffee.png", "id": name, "description": text} for name, text in texts.items()])

    def bad(asked) -> str:
        return next((name for name in BAD if name in asked.prompt), "")

    good.rule = lambda asked: answer(**BAD[bad(asked)]) if bad(asked) else rule(asked)
    code, _, stderr = giqa(*annotate_with(good.url, root, folder))
    assert (code, stderr.splitlines()[-1]) == (1, "5 records failed at a model; the same command tries them again")
    faults = {drop["id"]: drop["what"] for drop in lines_of(folder, "drops.jsonl") if drop["reason"] == "fault"}
    assert set(faults) == set(BAD)
    assert faults["bad-refused"] == "HTTP 400, 'too long'"
    assert faults["bad-endless"] == "a response of more than 1,000,000 bytes"
    build = ("build", "folder", root, "--annotations", folder, "--out", tmp_path / "set")
    code, _, stderr = giqa(*build)
    assert (code, stderr.splitlines()[-1]) == (1, "5 records failed at a model; giqa annotate tries them again")
    ids = load_dataset(str(tmp_path / "set"), split="train")["id"]
    assert {name.partition("-")[0] for name in ids} == {"fine", "whole"}
    good.rule = rule
    good.asked.clear()
    assert giqa(*annotate_with(good.url, root, folder))[0] == 0
    assert set(BAD) <= set(map(bad, good.asked))  # with the others of their window, so that batches stay the same
    assert giqa(*build, "--overwrite")[0] == 0


def test_a_set_is_built_without_the_server_when_everything_is_annotated(few, tmp_path, good):
    assert giqa(*annotate_with(good.url, few, tmp_path / "a"))[0] == 0
    good.stop()
    code, _, stderr = giqa("build", "folder", few, "--annotations", tmp_path / "a", "--out", tmp_path / "set")
    assert code == 0, stderr
    assert load_dataset(str(tmp_path / "set"), split="train").num_rows > 3


def test_a_set_is_built_without_the_server_when_a_photograph_is_broken(few, tmp_path, good):
    root = tmp_path / "photos"
    shutil.copytree(few, root)
    (root / "chelsea.png").write_bytes(b"")
    assert giqa(*annotate_with(good.url, root, tmp_path / "a"))[0] == 0
    n_asked = len(good.asked)
    assert giqa(*annotate_with(good.url, root, tmp_path / "a"))[0] == 0
    assert len(good.asked) == n_asked
    code, _, stderr = giqa("build", "folder", root, "--annotations", tmp_path / "a", "--out", tmp_path / "set")
    assert code == 0, stderr


def test_an_option_without_a_value_leaves_a_preset_its_own_threshold(tmp_path, monkeypatch):
    from giqa_datasets.builders import build
    from giqa_datasets.pipeline import model_choice
    from giqa_datasets.pipeline.stages import Rules

    class Chosen(Exception):
        pass

    def chosen(entries, folder, choice, **options):
        raise Chosen(choice)

    own = model_choice.Choice(box_threshold=0.5, text_threshold=0.4, rules=Rules(merge_area=0.1, merge_coverage=0.8))
    monkeypatch.setitem(model_choice.PRESETS, "offline", own)
    monkeypatch.setattr(build, "annotate_set", chosen)
    monkeypatch.setattr(
        sys, "argv", ["giqa", "annotate", "giqa-mini", "--out", str(tmp_path / "x"), "--text-threshold", "0"]
    )
    with pytest.raises(Chosen) as raised:
        commands(standalone_mode=False)
    assert raised.value.args[0] == replace(own, text_threshold=0.0)
