"""`giqa build giqa-160k` end to end, offline, on small upstream-shaped folders of real photographs."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Image, load_dataset
from PIL import Image as Pillow

from giqa_datasets import box_format, parse
from giqa_datasets.builders.giqa_160k import PAPER
from giqa_datasets.dataset_folder.parquet import ROW_GROUP
from giqa_datasets.pipeline.annotation_run import WINDOW
from giqa_datasets.pipeline.model_choice import DETECTOR, PRESETS, VERIFIER
from giqa_datasets.sources.dq_495k import FILES
from giqa_datasets.sources.mini import wheel_file
from tests.command import Done, giqa, refusal


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("looks_once")]


SINGLE, SEVERAL = FILES["train"]
DIST = "KADIS700K/refA_{}_detail/dist_imgs/{}.png"

# Photographs in which the offline detector finds an object, by the word for it
PHOTOS = {
    "cat": "skimage/data/chelsea.png",
    "cup": "skimage/data/coffee.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "man": "skimage/data/camera.png",
    "astronaut": "skimage/data/astronaut.png",
    "people": "mvtbdata/images/campus/P1070507.png",
    "umbrella": "mvtbdata/images/campus/P1070498.png",
}


# Images, rows and folders in the upstream's shape


def photo(word: str, side: int = 240, noise: int = 0) -> Pillow.Image:
    """A real photograph, scaled down; `noise` is the largest change of a value."""
    with Pillow.open(wheel_file(PHOTOS[word])) as opened:
        image = opened.convert("RGB")
    image.thumbnail((side, side))
    pixels = np.asarray(image, dtype=np.int64)
    pixels = pixels + np.random.default_rng(0).integers(-noise, noise + 1, pixels.shape)
    return Pillow.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Pillow.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotten(raw: bytes) -> bytes:
    """A file of the same size whose middle is gone."""
    return raw[: len(raw) // 3] + bytes(len(raw) // 3) + raw[len(raw) // 3 * 2 :]


def turned(image: Pillow.Image) -> bytes:
    """A JPEG that lies on its side, and whose EXIF orientation says so."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Pillow.Transpose.ROTATE_90), exif=exif)


def pathway(image: object, text: object, **other: object) -> dict:
    """A row of cleaned_labels.json."""
    turns = [{"from": "human", "value": "Describe the quality.\n<image>"}, {"from": "gpt", "value": text}]
    return {"id": 7, "image": image, "type": "description", "qtype": None, "conversations": turns} | other


def dq(kind: str, number: object, text: str, **other: object) -> dict:
    """A row of one of DataDepictQA's two files, `sd` or `md`; an intact photograph."""
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": text}]
    row = {"id": str(number), "image_ref": None, "image_A": DIST.format(kind, number), "image_B": None}
    row |= {"task_type": "quality_single_A_noref", "conversations": turns}
    if kind == "sd":
        return row | {"distortion_class": None, "distortion_name": None, "severity": 0} | other
    return row | {"distortion_classes": None, "distortion_names": None, "severities": 0} | other


class Upstream(NamedTuple):
    """The two upstream folders."""

    q: Path
    dq: Path

    @property
    def options(self) -> tuple[object, ...]:
        return "--q-pathway", self.q, "--dq-495k", self.dq


# What every upstream here holds of DQ-495K, unless it says otherwise
DQ_SINGLES = [dq("sd", "0_0", "The cat is noisy.", distortion_name="noise_gaussian", severity=3)]
DQ_SEVERALS = [dq("md", "0_0", "The cup is dark.", distortion_names=["blur_lens", "darken"], severities=[2, 5])]
DQ_IMAGES = {
    DIST.format("sd", "0_0"): encoded(photo("cat", noise=20), "PNG"),
    DIST.format("md", "0_0"): encoded(photo("cup", noise=20), "PNG"),
}


@pytest.fixture(scope="module")
def lay_out_upstream(lay_out):
    """Writes both upstream folders under a root."""

    def write(
        root: Path,
        rows: Sequence[object],
        images: Mapping[str, bytes],
        *,
        singles: Sequence[object] = DQ_SINGLES,
        severals: Sequence[object] = DQ_SEVERALS,
        dq_images: Mapping[str, bytes] = DQ_IMAGES,
        packed: bool = False,
    ) -> Upstream:
        upstream = Upstream(root / "Q-Instruct-DB", root / "DataDepictQA")
        files = {upstream.q / "cleaned_labels.json": rows}
        files |= {upstream.dq / SINGLE: singles, upstream.dq / SEVERAL: severals}
        for path, listed in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(listed), encoding="utf-8")
        lay_out(upstream.q, images, packed=packed, tar="q-instruct-images.tar")
        lay_out(upstream.dq, dq_images, packed=packed)
        return upstream

    return write


# The command


def build(upstream: Upstream, out: Path, *options: object) -> Done:
    """Build the set offline; it must come about."""
    done = giqa("build", "giqa-160k", *upstream.options, "--models", "offline", "--out", out, *options)
    assert done.code == 0, done.stderr
    return done


# What was made


def annotations_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.annotations")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shards(folder: Path) -> dict[str, bytes]:
    return tree(folder / "data")


def rows_of(folder: Path) -> list[dict]:
    """All rows in their order."""
    return [row for shard in sorted((folder / "data").iterdir()) for row in pq.read_table(shard).to_pylist()]


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def drops_of(folder: Path) -> list[dict]:
    return lines_of(folder / "provenance" / "drops.jsonl")


def funnel_of(folder: Path) -> dict[tuple[str, str], dict]:
    """The steps of the funnel by stage and unit."""
    steps = json.loads((folder / "provenance" / "funnel.json").read_text(encoding="utf-8"))
    return {(step["stage"], step["unit"]): step for step in steps}


def card_of(folder: Path) -> tuple[dict, str]:
    """The card's front matter and its text."""
    _, front_matter, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front_matter), text


def tables_of(text: str) -> dict[tuple[str, ...], list[list[str]]]:
    """The Markdown tables of a text by their heads."""
    blocks = [
        list(block) for is_table, block in groupby(text.splitlines(), lambda line: line.startswith("|")) if is_table
    ]
    cells = [[[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block] for block in blocks]
    return {tuple(head): lines for head, _, *lines in cells}


def counted(rows: Sequence[Mapping]) -> dict[str, int]:
    """What the paper counts, of rows."""
    verdicts = Counter(parse(row["answer"]).plain for row in rows if row["question_type"] == "yes_no")
    assert set(verdicts) <= {"Yes.", "No."}
    return {
        "images": len({row["image_sha256"] for row in rows}),
        "samples": len(rows),
        "descriptions": sum(row["task"] == "des" for row in rows),
        "Yes/No, Yes": verdicts["Yes."],
        "Yes/No, No": verdicts["No."],
        "What/Which/Why/How": sum(row["question_type"] in ("what", "which", "why", "how") for row in rows),
    }


def assert_funnel_tells_the_set(folder: Path) -> None:
    """Every step adds up, what came out of the last ones is in the set, and what was left out is in drops.jsonl."""
    funnel, rows = funnel_of(folder), rows_of(folder)
    for step in funnel.values():
        assert step["n_in"] == step["n_out"] + sum(step["left_out"].values()), step
    built = funnel["build", "descriptions"]
    assert built["n_in"] == funnel["fuse", "descriptions"]["n_out"]
    assert built["n_out"] == sum(row["task"] == "des" for row in rows)
    if not built["left_out"]:
        assert funnel["ask", "questions"]["n_out"] == sum(row["task"] == "vqa" for row in rows)
    assert funnel["source", "descriptions"]["n_out"] == funnel["fuse", "descriptions"]["n_in"]
    dropped = Counter(drop["reason"] for drop in drops_of(folder) if drop["stage"] == "source")
    assert Counter(funnel["source", "descriptions"]["left_out"]) + Counter(built["left_out"]) == dropped


# The set that most tests look at

PIECES = {  # image: (word, bytes, source)
    "spaq_koniq/00003.jpg": ("cat", encoded(photo("cat"), quality=95), "spaq"),
    "spaq_koniq/10004473376.jpg": ("cup", encoded(photo("cup"), quality=95), "koniq-10k"),
    "livefb_liveitw_aigc/t1.bmp": ("motorcycle", encoded(photo("motorcycle"), "BMP"), "live-itw"),
    "livefb_liveitw_aigc/AVA__7.jpg": ("man", encoded(photo("man").convert("L"), quality=95), "live-fb"),
    "livefb_liveitw_aigc/sd1.5_highcorr_095.jpg": ("astronaut", encoded(photo("astronaut")), "agiqa-3k"),
    "livefb_liveitw_aigc/01234567-89ab-cdef-0123-456789abcdef.png": (
        "people",
        encoded(photo("people"), "PNG"),
        "imagerewarddb",
    ),
    "spaq_koniq/turned.jpg": ("cat", turned(photo("cat", side=250)), "spaq or koniq-10k"),
    "livefb_liveitw_aigc/see-through.png": (
        "cup",
        encoded(photo("cup", side=250).convert("RGBA"), "PNG"),
        "live-fb, live-itw, agiqa-3k or imagerewarddb",
    ),
}
IMAGES = {name: raw for name, (_, raw, _) in PIECES.items()}
# An author's bytes survive: blanks at the ends, letters of any script, a line end of Windows
TEXTS = (
    "The {} is sharp, while the sky is dark.",
    "  A noisy {} fills the frame.\r\nDie Ränder sind 模糊. ",
)
# Image after image, then again: the descriptions of an image are scattered over the file
GOOD = [
    pathway(name, text.format(word if word != "people" else "group of people"))
    for text in TEXTS
    for name, (word, _, _) in PIECES.items()
]
CAT, CUP = "spaq_koniq/00003.jpg", "spaq_koniq/10004473376.jpg"
BAD = [  # (row, the reason for which the source leaves it out, None where it is passed over)
    (pathway(CAT, "Yes.", type="vqa", qtype="yes-no"), None),
    (pathway("train2017/000000000009.jpg", "The cat is sharp."), "coco"),
    (pathway("000000000139.jpg", "The cat is sharp."), "coco"),
    (pathway("elsewhere/1.jpg", "The cat is sharp."), "unknown_set"),
    (7, "malformed_row"),
    (None, "malformed_row"),
    ({}, "malformed_row"),
    (pathway(CAT, None), "malformed_row"),
    (pathway(CAT, " \n"), "empty_description"),
    (pathway(CAT, "The cat \ud800 is sharp."), "broken_description"),
    (pathway(CAT, "The [cat](<3, 44>) is sharp."), "markup_in_description"),
    (pathway(CAT, "The cat is sharp. <image>"), "markup_in_description"),
    (pathway(CAT, "The cat is sharp.", conversations=[{"from": "gpt", "value": "Hm."}]), "other_conversation"),
    (GOOD[0] | {"id": "another"}, "duplicate"),
    (pathway("/etc/passwd", "The cat is sharp."), "unsafe_path"),
    (pathway("../secret.png", "The cat is sharp."), "unsafe_path"),
    (pathway("spaq_koniq/../../secret.png", "The cat is sharp."), "unsafe_path"),
    (pathway("spaq_koniq/00009.jpg", "The cat is sharp."), "missing_image"),
    (pathway("spaq_koniq/00010.jpg", "The cat is sharp."), "broken_image"),
]
BROKEN = {
    "spaq_koniq/00010.jpg": b"no image at all",
    "spaq_koniq/00011.jpg": rotten(
        encoded(Pillow.open(io.BytesIO(IMAGES[CAT])), "PNG")
    ),  # whole by its header, so the detector finds out
}
LATER = [pathway("spaq_koniq/00011.jpg", "The cat is dark."), pathway(CUP, "The castle is blurred.")]
SINGLES = [
    *DQ_SINGLES,
    dq("sd", "0_0", "The cat is sharp.", distortion_name="noise_gaussian", severity=3),
    dq("sd", "1_0", "The motorcycle is clear."),
    dq("sd", "2_0", "The cat is sharp.", distortion_name="blur", severity=9),
    dq("sd", "3_0", "The cat is sharp.", task_type="quality_compare_noref"),
]
DQ_MORE = DQ_IMAGES | {DIST.format("sd", "1_0"): encoded(photo("motorcycle", noise=20), "PNG")}
LEFT_OUT = Counter(reason for _, reason in BAD if reason) + Counter(["malformed_distortions", "malformed_row"])

# The bad rows stand among the good ones
ROWS = [*GOOD[:5], *(row for row, _ in BAD), *GOOD[5:], *LATER]


def lay_out_main(write, root: Path, *, rows: Sequence[object] = ROWS, **options) -> Upstream:
    """The upstream of the set; a photograph that no row may reach lies beside it."""
    upstream = write(root, rows, IMAGES | BROKEN, singles=SINGLES, dq_images=DQ_MORE, **options)
    (root / "secret.png").write_bytes(encoded(photo("cat", side=100), "PNG"))
    return upstream


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("giqa-160k")


@pytest.fixture(scope="module")
def upstream(root, lay_out_upstream) -> Upstream:
    return lay_out_main(lay_out_upstream, root)


@pytest.fixture(scope="module")
def built(upstream, root) -> tuple[Path, str]:
    """The set, and what the command printed."""
    return root / "giqa-160k", build(upstream, root / "giqa-160k").stdout


@pytest.fixture(scope="module")
def folder(built) -> Path:
    return built[0]


@pytest.fixture(scope="module")
def rows(folder) -> list[dict]:
    return rows_of(folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """The mini benchmark, whose photographs may not be in a training set."""
    out = tmp_path_factory.mktemp("bench") / "giqa-bench-mini"
    assert giqa("build", "giqa-bench-mini", "--out", out).code == 0
    return out


# The bytes


def test_images_in_a_tar_give_the_same_bytes_of_every_file(folder, lay_out_upstream, tmp_path):
    packed = lay_out_main(lay_out_upstream, tmp_path, packed=True)
    assert not (packed.q / "spaq_koniq").exists()
    build(packed, tmp_path / "set")
    assert tree(tmp_path / "set") == tree(folder)
    again, there = tree(annotations_of(tmp_path / "set")), tree(annotations_of(folder))
    # What a store says of a missing image names its place
    assert again.pop("drops.jsonl").count(b"\n") == there.pop("drops.jsonl").count(b"\n")
    assert again == there


def test_a_process_of_its_own_gives_the_same_bytes(folder, upstream, programs, tmp_path):
    command = ["giqa", "build", "giqa-160k", *upstream.options, "--models", "offline", "--out", tmp_path / "set"]
    subprocess.run(command, env=os.environ | {"PATH": programs}, check=True)
    assert tree(tmp_path / "set") == tree(folder)
    assert tree(annotations_of(tmp_path / "set")) == tree(annotations_of(folder))


def test_shuffled_upstream_rows_give_the_same_rows_by_id(rows, lay_out_upstream, tmp_path):
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    renumbered = [row | {"id": n} if isinstance(row, dict) and row else row for n, row in enumerate(shuffled)]
    build(lay_out_main(lay_out_upstream, tmp_path, rows=renumbered), tmp_path / "set")
    again = rows_of(tmp_path / "set")
    assert [row["id"] for row in again] != [row["id"] for row in rows]
    assert {row["id"]: row for row in again} == {row["id"]: row for row in rows}


def test_ids_are_unique(rows):
    assert len({row["id"] for row in rows}) == len(rows)


def test_rows_of_an_image_stand_together(rows):
    runs = [sha256 for sha256, _ in groupby(row["image_sha256"] for row in rows)]
    assert len(runs) == len(set(runs)) < len(rows)
    descriptions = Counter(row["image_sha256"] for row in rows if row["task"] == "des")
    assert max(descriptions.values()) > 1


def stored_image_bytes(file: pq.ParquetFile, group: int) -> int:
    """Bytes of a row group's image column."""
    meta = file.metadata.row_group(group)
    columns = [meta.column(index) for index in range(meta.num_columns)]
    return sum(column.total_compressed_size for column in columns if column.path_in_schema == "image.bytes")


def test_an_image_is_stored_once_per_row_group(folder, killed):
    for shard in (*(folder / "data").iterdir(), *(killed.uninterrupted / "data").iterdir()):
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):
                images = {
                    image["bytes"] for image in file.read_row_group(group, columns=["image"])["image"].to_pylist()
                }
                assert stored_image_bytes(file, group) <= 1.05 * sum(map(len, images)) + 2_000


def test_noise_does_not_grow_with_its_descriptions(lay_out_upstream, tmp_path):
    images = {f"spaq_koniq/0000{k}.jpg": encoded(photo(w, 300, 20), "PNG") for k, w in enumerate(("cat", "cup"))}
    texts = [f"The {{}} is {quality}." for quality in ("sharp", "dark", "noisy", "clear", "blurry")]
    described = [
        pathway(name, text.format(word)) for text in texts for name, word in zip(images, ("cat", "cup"), strict=True)
    ]
    build(lay_out_upstream(tmp_path, described, images), tmp_path / "set")
    (shard,) = (tmp_path / "set" / "data").iterdir()
    rows = rows_of(tmp_path / "set")
    assert len(rows) <= ROW_GROUP
    assert len(rows) > 4 * len(images)
    unique = sum(map(len, {row["image"]["bytes"] for row in rows}))
    assert unique == sum(map(len, images.values())) + sum(map(len, DQ_IMAGES.values()))
    assert shard.stat().st_size <= 1.05 * unique + 30_000


# The rows


def test_every_good_row_is_described_in_its_authors_bytes(rows):
    expected = {(name, turn["conversations"][1]["value"]) for turn in GOOD for name in [turn["image"]]}
    names = {hashlib.sha256(raw).hexdigest(): name for name, raw in IMAGES.items()}
    described = [row for row in rows if row["task"] == "des"]
    assert {
        (names[row["image_sha256"]], parse(row["answer"]).plain) for row in described if row["source"] != "dq-495k"
    } == (expected)
    assert all(parse(row["answer"]).regions for row in described)


def test_an_object_is_named_without_blanks_and_articles(rows):
    # BUG: at the start of a description that begins with a blank, a phrase is "  A noisy cat"
    phrases = {region["phrase"] for row in rows for region in row["regions"]}
    assert {
        phrase for phrase in phrases if phrase != phrase.strip() or phrase.split()[0].lower() in ("a", "the")
    } == set()


def test_pixels_are_the_originals_or_upright_rgb(rows):
    by_sha256 = {row["image_sha256"]: row for row in rows}
    for name, raw in IMAGES.items():
        row = by_sha256[hashlib.sha256(raw).hexdigest()]
        with Pillow.open(io.BytesIO(row["image"]["bytes"])) as image:
            assert (image.size, image.mode) == ((row["width"], row["height"]), "L" if "AVA" in name else "RGB")
            assert image.getexif().get(0x0112, 1) == 1
        baked = name.endswith((".bmp", "turned.jpg", "see-through.png"))
        assert (row["image"]["bytes"] == raw) is not baked
    lying = by_sha256[hashlib.sha256(IMAGES["spaq_koniq/turned.jpg"]).hexdigest()]
    assert (lying["width"], lying["height"]) == photo("cat", side=250).size


def test_nothing_outside_the_upstream_folders_gets_in(rows, root):
    assert hashlib.sha256((root / "secret.png").read_bytes()).hexdigest() not in {row["image_sha256"] for row in rows}


def test_the_sources_have_their_names(rows):
    expected = {hashlib.sha256(raw).hexdigest(): source for _, raw, source in PIECES.values()}
    expected |= {hashlib.sha256(raw).hexdigest(): "dq-495k" for raw in DQ_MORE.values()}
    assert {row["image_sha256"]: row["source"] for row in rows} == expected


def test_distortions_reach_their_column(rows):
    found = {row["image_sha256"]: row["distortions"] for row in rows}
    expected = {hashlib.sha256(raw).hexdigest(): [] for raw in (*IMAGES.values(), *DQ_MORE.values())}
    for kind, known in (("sd", [("noise_gaussian", 3)]), ("md", [("blur_lens", 2), ("darken", 5)])):
        sha256 = hashlib.sha256(DQ_MORE[DIST.format(kind, "0_0")]).hexdigest()
        expected[sha256] = [{"name": name, "severity": severity} for name, severity in known]
    assert found == expected


def test_yes_and_no_are_balanced(rows):
    counts = counted(rows)
    assert counts["Yes/No, Yes"] == counts["Yes/No, No"] > 0


# Drops and funnel


def test_bad_rows_are_dropped_with_a_reason_each(folder):
    drops = [drop for drop in drops_of(folder) if drop["stage"] == "source"]
    numbers = {f"cleaned_labels.json row {n}": row for n, row in enumerate(ROWS, start=1)}
    reasons = {number: reason for number, row in numbers.items() for bad, reason in BAD if bad is row and reason}
    singles = {
        f"{Path(SINGLE).name} row {n}": reason for n, reason in ((4, "malformed_distortions"), (5, "malformed_row"))
    }
    assert {drop["id"]: drop["reason"] for drop in drops} == reasons | singles
    assert len(drops) == LEFT_OUT.total()


def test_the_funnel_counts_what_the_sources_left_out(folder):
    source = funnel_of(folder)["source", "descriptions"]
    good = len(GOOD) + len(LATER) + len(SINGLES) - 2 + len(DQ_SEVERALS)
    assert source == {
        "stage": "source",
        "unit": "descriptions",
        "n_in": good + LEFT_OUT.total(),
        "n_out": good,
        "left_out": dict(LEFT_OUT),
    }


def test_a_photograph_that_breaks_off_is_dropped_by_the_stage_that_looks_at_it(folder):
    (drop,) = (drop for drop in drops_of(folder) if drop["id"].startswith("q-pathway/spaq_koniq/00011-"))
    assert (drop["stage"], drop["reason"]) == ("detect", "broken_image")
    assert funnel_of(folder)["fuse", "descriptions"]["left_out"]["detect: broken_image"] == 1


def test_what_names_no_object_that_was_found_is_left_out(folder):
    fused = [drop for drop in drops_of(folder) if drop["stage"] == "fuse"]
    assert [(drop["reason"], drop["what"]) for drop in fused] == [("no_boxed_object", "The castle is blurred.")]


def test_the_funnel_tells_the_set(folder):
    assert_funnel_tells_the_set(folder)
    annotations = annotations_of(folder)
    *annotated, built = json.loads((folder / "provenance" / "funnel.json").read_bytes())
    assert annotated == json.loads((annotations / "funnel.json").read_bytes())
    assert (built["stage"], built["left_out"]) == ("build", {})
    assert drops_of(folder) == lines_of(annotations / "drops.jsonl")


# Card and provenance


def test_the_papers_counts_stand_beside_ours(built, rows):
    folder, stdout = built
    expected = {name: [f"{PAPER[name]:,}", f"{number:,}"] for name, number in counted(rows).items()}
    assert list(expected) == list(PAPER)
    assert "giqa-160k beside what is published of it" in " ".join(stdout.split())
    cells = [line.rsplit(maxsplit=2) for line in stdout.splitlines()]
    printed = {line[0].strip(): line[1:] for line in cells if line}
    assert {name: printed.get(name) for name in expected} == expected
    assert printed["images of COCO left out"] == ["1,012", str(LEFT_OUT["coco"])]
    stated = {name: numbers for name, *numbers in tables_of(card_of(folder)[1])["", "paper", "here"]}
    assert {name: [f"{int(number):,}" for number in numbers] for name, numbers in stated.items()} == expected


def test_the_command_says_what_it_wrote_and_what_it_left_out(built, rows):
    folder, stdout = built
    kinds = Counter(row["question_type"] for row in rows)
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    first, second, *_ = stdout.splitlines()
    assert first == f"{folder} train: {len(rows)} rows ({said})"
    assert second.startswith(f"left out: {len(drops_of(folder))} rows, ")
    assert str(folder / "provenance" / "drops.jsonl") in second


CONFIGS = {
    "default": lambda row: True,
    "des": lambda row: row["task"] == "des",
    "vqa": lambda row: row["task"] == "vqa",
    "annotations": lambda row: True,
}


@pytest.mark.parametrize("config", [None, *CONFIGS])
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streaming"])
def test_load_dataset_reads_every_config(folder, rows, config, streaming):
    loaded = load_dataset(str(folder), *[config] * (config is not None), streaming=streaming)
    assert list(loaded) == ["train"]
    train = loaded["train"]
    expected = [row for row in rows if CONFIGS[config or "default"](row)]
    if config == "annotations":
        expected = [{name: value for name, value in row.items() if name != "image"} for row in expected]
    else:
        assert isinstance(train.features["image"], Image)
        first = next(iter(train))
        assert first["image"].size == (first["width"], first["height"])
        train = train.cast_column("image", Image(decode=False))
    assert list(train.features) == list(expected[0])
    assert list(train) == expected


def test_the_card_names_what_the_set_is(folder):
    front_matter, text = card_of(folder)
    assert {config["config_name"] for config in front_matter["configs"]} == set(CONFIGS)
    assert "arxiv:2411.17237" in front_matter["tags"]
    assert (front_matter["pretty_name"], front_matter["size_categories"]) == ("giqa-160k", ["n<1K"])
    flat = " ".join(text.split())
    assert "not the authors' release" in flat
    assert "arxiv.org/abs/2411.17237" in flat
    assert not {"{{", "{%", "None"} & set(flat.split())
    models = dict(tables_of(text)["role", "model"])
    assert set(models) == {"tags and questions", "detection, score from 0.35", "IQA-Filter", "Box-Merge"}
    detector = "SSD-MobileNetV2, 80 COCO classes; rules for stuff and colours (coco+regions)"
    assert models["detection, score from 0.35"] == detector
    assert "0.256" in models["Box-Merge"]


def test_the_card_tells_the_funnel(folder):
    lines = tables_of(card_of(folder)[1])["stage", "of", "in", "out", "left out"]
    told = {}
    for stage, unit, n_in, n_out, left_out in lines:
        reasons = dict(reason.rsplit(maxsplit=1) for reason in left_out.split(", ") if reason)
        assert int(n_in) == int(n_out) + sum(map(int, reasons.values()))
        told[stage, unit] = (int(n_in), int(n_out), {reason: int(number) for reason, number in reasons.items()})
    steps = funnel_of(folder)
    assert told == {key: (step["n_in"], step["n_out"], step["left_out"]) for key, step in steps.items()}


def test_the_card_counts_the_rows(folder, rows):
    tables = tables_of(card_of(folder)[1])
    (head,) = (head for head in tables if head[:3] == ("split", "images", "rows"))
    (line,) = tables[head]
    kinds = Counter(row["question_type"] for row in rows)
    expected = {"split": "train", "images": len({row["image_sha256"] for row in rows}), "rows": len(rows)}
    expected |= {kind: kinds[kind] for kind in head[3:] if kind}
    assert dict(zip(head, line, strict=False)) == {name: str(number) for name, number in expected.items()}
    assert sum(kinds[kind] for kind in head[3:]) == len(rows)


def test_the_card_has_the_licences_of_every_source(folder, rows):
    lines = tables_of(card_of(folder)[1])["source", "pixels", "text", "others may pass the pixels on"]
    expected = {(row["source"], row["image_license"], row["text_license"], "no") for row in rows}
    assert len(lines) == len(expected)
    assert set(map(tuple, lines)) == expected


def test_provenance_has_every_image_and_source(folder, rows):
    names = {hashlib.sha256(raw).hexdigest(): name for name, raw in (IMAGES | DQ_MORE).items()}
    images = lines_of(folder / "provenance" / "images.jsonl")
    expected = sorted((names[sha256], sha256) for sha256 in {row["image_sha256"] for row in rows})
    assert [(line["file"], line["sha256"]) for line in images] == expected
    sources = lines_of(folder / "provenance" / "sources.jsonl")
    keys = ("source", "image_license", "text_license")
    assert {tuple(line[key] for key in keys): line["rows"] for line in sources} == Counter(
        tuple(row[key] for key in keys) for row in rows
    )
    assert len(sources) == len({tuple(line[key] for key in keys) for line in sources})
    assert {line["redistributable"] for line in sources} == {False}


def test_provenance_has_the_settings(folder):
    settings = json.loads((folder / "provenance" / "settings.json").read_text(encoding="utf-8"))
    assert settings == PRESETS["offline"].settings()
    assert settings == json.loads((annotations_of(folder) / "settings.json").read_text(encoding="utf-8"))


# giqa check


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The set, to be changed."""
    return shutil.copytree(folder, tmp_path / "giqa-160k")


def test_check_finds_nothing_in_the_set(folder):
    done = giqa("check", folder)
    assert (done.code, done.stdout.splitlines()[-1]) == (0, "findings: 0"), done.stdout


def test_check_finds_one_changed_byte_of_an_image(copy, rows):
    (shard,) = (copy / "data").iterdir()
    raw = bytearray(shard.read_bytes())
    image = rows[0]["image"]["bytes"]
    place = bytes(raw).index(image) + len(image) // 2
    raw[place] ^= 1
    shard.write_bytes(raw)
    done = giqa("check", copy)
    assert done.code == 1
    assert done.stdout.splitlines()[-1] != "findings: 0"


def test_the_same_photograph_under_two_upstream_names_passes_the_check(lay_out_upstream, tmp_path):
    # BUG: check wants the rows of an image side by side; DQ-495K leaves some photographs intact, in both of its files
    raw = DQ_IMAGES[DIST.format("sd", "0_0")]
    upstream = lay_out_upstream(
        tmp_path,
        [pathway(CUP, "The cup is sharp.")],
        {CUP: IMAGES[CUP]},
        singles=[dq("sd", "0_0", "The cat is sharp."), dq("sd", "1_0", "The motorcycle is sharp.")],
        severals=[dq("md", "0_0", "The cat is clear.")],
        dq_images=DQ_MORE | {DIST.format("md", "0_0"): raw},
    )
    build(upstream, tmp_path / "set")
    described = [row["image_sha256"] for row in rows_of(tmp_path / "set") if row["task"] == "des"]
    assert described.count(hashlib.sha256(raw).hexdigest()) == 2
    done = giqa("check", tmp_path / "set")
    assert done.code == 0, done.stdout


# Photographs of a benchmark stay out

SAME, ALIKE, OTHER = (f"spaq_koniq/0000{number}.jpg" for number in range(3))
EXCLUDED = {SAME: "the same bytes as", ALIKE: "bits apart"}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, lay_out_upstream) -> Upstream:
    """An upstream with two photographs of the benchmark, one of them encoded again; one image is missing."""
    with Pillow.open(wheel_file(PHOTOS["man"])) as man:
        half = man.convert("RGB").resize((man.width // 2, man.height // 2))
    images = {
        SAME: wheel_file(PHOTOS["cat"]).read_bytes(),
        ALIKE: encoded(half, quality=60),
        OTHER: encoded(photo("people"), "PNG"),
    }
    described = [
        pathway(SAME, "The cat is sharp."),
        pathway(ALIKE, "The man is clear."),
        pathway(SAME, "The cat is dark."),
        pathway(OTHER, "The people are sharp."),
        pathway("spaq_koniq/00009.jpg", "The cat is sharp."),
    ]
    dq_images = {DIST.format(kind, "0_0"): encoded(photo("umbrella"), "PNG") for kind in ("sd", "md")}
    dq_images[DIST.format("md", "0_0")] = encoded(photo("people", side=320), "PNG")
    return lay_out_upstream(
        tmp_path_factory.mktemp("leaky"),
        described,
        images,
        singles=[dq("sd", "0_0", "The umbrella is colourful.")],
        severals=[dq("md", "0_0", "The people are dark.")],
        dq_images=dq_images,
    )


@pytest.fixture(scope="module")
def clean(leaky, bench, tmp_path_factory) -> Path:
    """Annotated and built without the benchmark's photographs."""
    out = tmp_path_factory.mktemp("clean") / "set"
    build(leaky, out, "--exclude", bench)
    return out


@pytest.fixture(scope="module")
def cleaned(leaky, bench, tmp_path_factory) -> tuple[Path, Path]:
    """Annotated with the benchmark's photographs, and then built with and without them."""
    out = tmp_path_factory.mktemp("cleaned")
    build(leaky, out / "with", "--annotations", out / "annotations")
    build(leaky, out / "without", "--annotations", out / "annotations", "--exclude", bench)
    return out / "with", out / "without"


def excluded(folder: Path) -> list[dict]:
    return [drop for drop in drops_of(folder) if drop["reason"] == "excluded_image"]


def test_photographs_of_a_benchmark_stay_out(clean, leaky):
    drops = excluded(clean)
    assert [drop["id"] for drop in drops] == [f"cleaned_labels.json row {number}" for number in (1, 3, 2)]
    assert [drop["what"].split(":")[0] for drop in drops] == [SAME, SAME, ALIKE]
    for drop in drops:
        assert EXCLUDED[drop["what"].split(":")[0]] in drop["what"]
    kept = {row["image_sha256"] for row in rows_of(clean)}
    leaked = {name: hashlib.sha256((leaky.q / name).read_bytes()).hexdigest() for name in (SAME, ALIKE, OTHER)}
    assert {name: sha256 in kept for name, sha256 in leaked.items()} == {SAME: False, ALIKE: False, OTHER: True}
    assert funnel_of(clean)["source", "descriptions"]["left_out"] == {"excluded_image": 3, "missing_image": 1}
    assert_funnel_tells_the_set(clean)


def test_photographs_that_were_annotated_before_stay_out_too(clean, cleaned):
    with_them, without = cleaned
    assert len(rows_of(with_them)) > len(rows_of(without))
    assert shards(without) == shards(clean)
    assert {drop["what"] for drop in excluded(without)} == {drop["what"] for drop in excluded(clean)}


def test_a_photograph_that_was_annotated_before_is_dropped_once(clean, cleaned):
    # BUG: a window that is annotated again for an image that is missing drops it, and the build does so once more
    assert Counter(map(str, excluded(cleaned[1]))) == Counter(map(str, excluded(clean)))


def test_the_funnel_tells_the_set_where_the_build_alone_leaves_photographs_out(cleaned):
    # BUG: funnel.json and the card are those of the annotations, and count descriptions that are not in the set
    assert_funnel_tells_the_set(cleaned[1])


def test_a_set_that_excludes_itself_ends_in_one_sentence(leaky, clean, cleaned, tmp_path):
    arguments = [*leaky.options, "--models", "offline", "--out", tmp_path / "set", "--exclude", cleaned[0]]
    sentence = refusal(giqa("build", "giqa-160k", *arguments))
    assert "no sample was left" in sentence
    assert "excluded_image" in sentence
    assert not (tmp_path / "set").exists()


# A set built again from one's own copies

MANIFEST = Path("provenance", "images.jsonl")


@pytest.fixture(scope="module")
def bare(tmp_path_factory, lay_out_upstream) -> Upstream:
    """The upstream's JSON without the images."""
    return lay_out_upstream(tmp_path_factory.mktemp("bare"), ROWS, {}, singles=SINGLES, dq_images={})


@pytest.fixture
def own(tmp_path) -> Path:
    """The images under names of one's own, among other files."""
    root = tmp_path / "own"
    for number, (name, raw) in enumerate((IMAGES | DQ_MORE).items()):
        path = root / f"{number % 3}" / f"IMG {number}{Path(name).suffix.upper()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    (root / "holiday.jpg").write_bytes(encoded(photo("umbrella")))
    (root / "notes.txt").write_text("cats")
    return root


def where(own: Path, name: str) -> Path:
    """One's own copy of an upstream image."""
    raw = (IMAGES | DQ_MORE)[name]
    (path,) = (path for path in own.rglob("*") if path.is_file() and path.read_bytes() == raw)
    return path


def test_own_copies_give_the_same_parquet(folder, bare, own, tmp_path):
    build(bare, tmp_path / "set", "--manifest", folder / MANIFEST, "--images", own)
    assert shards(tmp_path / "set") == shards(folder)
    again, there = tree(tmp_path / "set" / "provenance"), tree(folder / "provenance")
    assert {name for name in there if again[name] != there[name]} <= {"drops.jsonl", "funnel.json"}


def test_own_copies_are_checked_beforehand(folder, own):
    done = giqa("check", folder / MANIFEST, "--images", own)
    assert (done.code, done.stdout) == (0, "findings: 0\n")


def test_missing_and_changed_copies_are_named_and_dropped(folder, rows, bare, own, tmp_path):
    man, motorcycle = "livefb_liveitw_aigc/AVA__7.jpg", "livefb_liveitw_aigc/t1.bmp"
    where(own, CUP).unlink()
    where(own, man).write_bytes(encoded(photo("man", side=100)))
    where(own, motorcycle).rename(own / Path(motorcycle).name).write_bytes(encoded(photo("motorcycle", side=100)))
    done = giqa("check", folder / MANIFEST, "--images", own)
    *findings, total = done.stdout.splitlines()
    assert (done.code, total) == (1, "findings: 3")
    named = [name for name in IMAGES | DQ_MORE for line in findings if repr(name) in line]
    assert sorted(named) == sorted([CUP, man, motorcycle])

    build(bare, tmp_path / "set", "--manifest", folder / MANIFEST, "--images", own)
    lost = [hashlib.sha256(IMAGES[name]).hexdigest() for name in named]
    assert rows_of(tmp_path / "set") == [row for row in rows if row["image_sha256"] not in lost]
    dropped = Counter(
        (name, drop["reason"])
        for drop in drops_of(tmp_path / "set")
        for name in named
        if drop["stage"] == "source" and repr(name) in drop["what"]
    )
    # A copy that was changed under a name of one's own is no copy any more; CUP has a description without an object
    assert dropped == {(CUP, "missing_image"): 3, (man, "missing_image"): 2, (motorcycle, "broken_image"): 2}
    assert_funnel_tells_the_set(tmp_path / "set")


def test_a_copy_of_an_image_that_shares_its_file_name_with_a_lost_one_is_not_called_changed(folder, tmp_path):
    # BUG: .../refA_sd_detail/.../0_0.png is there, and is said to be what became of .../refA_md_detail/.../0_0.png
    sd, md = (DIST.format(kind, "0_0") for kind in ("sd", "md"))
    own = tmp_path / "own"
    for name, raw in (IMAGES | DQ_MORE).items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(raw)
    (own / md).unlink()
    done = giqa("check", folder / MANIFEST, "--images", own)
    finding, total = done.stdout.splitlines()
    assert (done.code, total) == (1, "findings: 1")
    assert md in finding
    assert sd not in finding, finding


def test_annotations_survive_their_images(folder, upstream, rows, bare, own, tmp_path):
    """What is annotated is not annotated again: the copies are for the pixels alone."""
    annotations = shutil.copytree(annotations_of(folder), tmp_path / "annotations")
    where(own, CUP).unlink()
    options = ["--annotations", annotations, "--manifest", folder / MANIFEST, "--images", own]
    build(bare, tmp_path / "set", *options)
    lost = hashlib.sha256(IMAGES[CUP]).hexdigest()
    assert rows_of(tmp_path / "set") == [row for row in rows if row["image_sha256"] != lost]
    dropped = Counter(drop["id"] for drop in drops_of(tmp_path / "set") if drop["reason"] == "missing_image")
    described = [
        f"cleaned_labels.json row {n}" for n, row in enumerate(ROWS, start=1) if row in GOOD[1 :: len(PIECES)]
    ]
    assert set(dropped) >= set(described)
    assert (annotations / "records.jsonl").read_bytes() == (annotations_of(folder) / "records.jsonl").read_bytes()
    assert set(dropped.values()) == {1}  # BUG: twice, as above


def test_images_by_their_upstream_names_may_lie_elsewhere(folder, bare, lay_out, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lay_out(tmp_path / "a", IMAGES | BROKEN, packed=True)
    lay_out(tmp_path / "b", DQ_MORE, packed=False)
    options = ["--annotations", tmp_path / "annotations", "--images", tmp_path / "a", "--images", tmp_path / "b"]
    shutil.copytree(annotations_of(folder), tmp_path / "annotations")
    build(bare, tmp_path / "set", *options)
    assert shards(tmp_path / "set") == shards(folder)


@pytest.fixture(scope="module")
def changed(folder, lay_out_upstream, tmp_path_factory) -> Path:
    """The set built again after one of the images became another."""
    root = tmp_path_factory.mktemp("changed")
    shutil.copytree(annotations_of(folder), annotations_of(root / "set"))
    upstream = lay_out_main(lay_out_upstream, root)
    (upstream.q / CUP).write_bytes(encoded(photo("cup"), quality=50))
    build(upstream, root / "set")
    return root / "set"


def test_an_image_that_changed_since_it_was_annotated_is_annotated_again(rows, changed):
    lost = hashlib.sha256(IMAGES[CUP]).hexdigest()
    new = hashlib.sha256(encoded(photo("cup"), quality=50)).hexdigest()
    assert [row for row in rows_of(changed) if row["image_sha256"] != new] == [
        row for row in rows if row["image_sha256"] != lost
    ]
    assert any(row["image_sha256"] == new for row in rows_of(changed))


def test_the_funnel_tells_the_set_where_an_image_changed(changed):
    # BUG: as where the build alone leaves photographs out
    assert_funnel_tells_the_set(changed)


# Killed in the middle


class Killed(NamedTuple):
    """A build that was killed and run again, and one that was not."""

    uninterrupted: Path
    again: Path


@pytest.fixture(scope="module")
def killed(tmp_path_factory, lay_out_upstream, kill) -> Killed:
    root = tmp_path_factory.mktemp("killed")
    # One window of descriptions that need no detection, then one of those that do
    castles = {"spaq_koniq/00000.jpg": encoded(photo("umbrella", side=64))}
    words = ("cat", "cup", "motorcycle", "man")
    images = {f"spaq_koniq/0001{n}.jpg": encoded(photo(word, noise=20), "PNG") for n, word in enumerate(words)}
    quick = [pathway(name, f"The castle {number} is sharp.") for name in castles for number in range(WINDOW)]
    slow = [
        pathway(name, f"The {word} is {quality} in picture {number}.")
        for number in range(4)
        for quality in ("sharp", "noisy")
        for name, word in zip(images, words, strict=True)
    ]
    upstream = lay_out_upstream(root, [*quick, *slow], castles | images)
    build(upstream, root / "uninterrupted")
    records = annotations_of(root / "again") / "records.jsonl"
    kill(records, WINDOW + 1, "build", "giqa-160k", *upstream.options, "--models", "offline", "--out", root / "again")
    assert records.read_bytes().count(b"\n") == WINDOW + 1
    assert not (root / "again").exists()
    build(upstream, root / "again")
    return Killed(root / "uninterrupted", root / "again")


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(killed):
    assert tree(killed.again) == tree(killed.uninterrupted)
    assert tree(annotations_of(killed.again)) == tree(annotations_of(killed.uninterrupted))
    assert len(rows_of(killed.again)) > ROW_GROUP
    assert_funnel_tells_the_set(killed.again)


def test_a_killed_build_leaves_nothing_but_the_set_and_its_annotations(killed):
    names = {path.name for path in killed.again.parent.iterdir()}
    sets = {killed.again.name, killed.uninterrupted.name}
    assert names == {"Q-Instruct-DB", "DataDepictQA"} | sets | {f"{name}.annotations" for name in sets}


# What a user would do wrongly


@pytest.fixture
def wrong(tmp_path, lay_out_upstream, upstream):
    """An upstream to be spoilt, and a build of it that has to end in one sentence and leave nothing."""

    class Wrong(NamedTuple):
        upstream: Upstream

        def sentence(self, *options: object) -> str:
            before = sorted(tmp_path.iterdir())
            arguments = ["build", "giqa-160k", "--models", "offline", "--out", tmp_path / "set", *options]
            said = refusal(giqa(*arguments))
            assert sorted(tmp_path.iterdir()) == before
            return said

    return Wrong(lay_out_upstream(tmp_path, [pathway(CUP, "The cup is sharp.")], {CUP: IMAGES[CUP]}))


OPTIONS = {
    "neither": (lambda up: [], "--q-pathway and --dq-495k"),
    "no-dq": (lambda up: ["--q-pathway", up.q], "--dq-495k"),
    "no-q": (lambda up: ["--dq-495k", up.dq], "--q-pathway"),
    "swapped": (lambda up: ["--q-pathway", up.dq, "--dq-495k", up.q], "cleaned_labels.json"),
    "lost-q": (lambda up: ["--q-pathway", up.q / "lost", "--dq-495k", up.dq], "cleaned_labels.json"),
    "lost-dq": (lambda up: ["--q-pathway", up.q, "--dq-495k", up.dq / "lost"], Path(SINGLE).name),
    "one-too-deep": (lambda up: ["--q-pathway", up.q, "--dq-495k", up.dq / "KADIS700K"], Path(SINGLE).name),
    "the-json": (lambda up: ["--q-pathway", up.q / "cleaned_labels.json", "--dq-495k", up.dq], "cleaned_labels.json"),
    "exclude-no-set": (lambda up: [*up.options, "--exclude", up.q], "data set folder"),
    "exclude-lost": (lambda up: [*up.options, "--exclude", up.q / "lost"], "data set folder"),
    "manifest-lost": (lambda up: [*up.options, "--manifest", up.q / "lost.jsonl", "--images", up.q], "lost.jsonl"),
    "manifest-folder": (lambda up: [*up.options, "--manifest", up.q, "--images", up.q], "Q-Instruct-DB"),
    "manifest-image": (lambda up: [*up.options, "--manifest", up.q / CUP, "--images", up.q], f"{CUP} line 1"),
    "manifest-json": (
        lambda up: [*up.options, "--manifest", up.q / "cleaned_labels.json", "--images", up.q],
        "cleaned_labels.json line 1",
    ),
    "images-lost": (lambda up: [*up.options, "--images", up.q / "lost"], "lost"),  # BUG
    "images-a-file": (lambda up: [*up.options, "--images", up.q / CUP], CUP),  # BUG
    "box-format": (lambda up: [*up.options, "--box-format", "yolo"], "qwen3_vl"),
    "out-exists": (lambda up: [*up.options, "--out", up.q], "--overwrite"),
    "overwrites-no-set": (lambda up: [*up.options, "--out", up.q, "--overwrite"], "no data set folder"),
    "out-is-a-file": (lambda up: [*up.options, "--out", up.q / CUP, "--overwrite"], CUP),
    "annotations-is-a-file": (lambda up: [*up.options, "--annotations", up.q / CUP], CUP),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options_end_in_one_sentence_and_leave_nothing(wrong, name):
    options, says = OPTIONS[name]
    assert says in wrong.sentence(*options(wrong.upstream))
    assert wrong.upstream.q.joinpath(CUP).read_bytes() == IMAGES[CUP]


def test_a_wrong_name_of_the_set_is_answered_with_the_right_ones(wrong, tmp_path):
    done = giqa("build", "GIQA-160K", *wrong.upstream.options, "--out", tmp_path / "set")
    assert "'giqa-160k'" in refusal(done)


@pytest.mark.parametrize("options", [["--limit", 0], ["--limit", "many"], ["--models", "best"], ["--seed", "x"]])
def test_an_option_that_cannot_be_is_a_usage_error(wrong, tmp_path, options):
    done = giqa("build", "giqa-160k", *wrong.upstream.options, "--out", tmp_path / "set", *options)
    assert (done.code, done.stdout) == (2, "")
    assert options[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "set").exists()


# BUG: "." ends in "PosixPath('.') has an empty name"
@pytest.mark.parametrize("out", [".", ".."])
def test_the_working_folder_is_not_built_over(wrong, tmp_path, monkeypatch, out):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sentence = wrong.sentence(*wrong.upstream.options, "--out", out)
    assert "--overwrite" in sentence, sentence


JSONS = {
    "empty": (b"", "expected JSON"),
    "cut-off": (b'[{"id": 1, "image": "a', "expected JSON"),
    "binary": (b"\x89PNG\r\n", "expected JSON"),
    "no-list": (b'{"rows": []}', "expected a list of rows"),
    "no-rows": (b"[]", "expected a list of rows"),
    "deep": (b"[" * 100_000, "expected JSON"),
    "other-rows": (b'[{"question": "?"}, 3]', "expected upstream rows"),
}


@pytest.mark.parametrize("file", ["cleaned_labels.json", SINGLE, SEVERAL], ids=["q", "sd", "md"])
@pytest.mark.parametrize("content", JSONS)
def test_a_json_that_is_not_the_upstreams_is_named(wrong, file, content):
    raw, says = JSONS[content]
    (path,) = (root / file for root in wrong.upstream if (root / file).exists())
    path.write_bytes(raw)
    sentence = wrong.sentence(*wrong.upstream.options)
    assert says in sentence
    assert str(path) in sentence


@pytest.mark.parametrize("file", ["cleaned_labels.json", SINGLE, SEVERAL], ids=["q", "sd", "md"])
def test_a_missing_json_is_named(wrong, file):
    (path,) = (root / file for root in wrong.upstream if (root / file).exists())
    path.unlink()
    assert str(path) in wrong.sentence(*wrong.upstream.options)


def test_a_file_of_questions_alone_is_named(wrong):
    path = wrong.upstream.q / "cleaned_labels.json"
    path.write_text(json.dumps([pathway(CUP, "Yes.", type="vqa", qtype="what")]))
    assert "'vqa/what' 1; --kinds" in wrong.sentence(*wrong.upstream.options)


def packed(kind: str) -> bytes:
    """A tar of a photograph."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        info = tarfile.TarInfo(CUP)
        info.size = len(IMAGES[CUP])
        tar.addfile(info, io.BytesIO(IMAGES[CUP]))
    return buffer.getvalue()


TARS = {
    "empty": b"",
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n" * 20,
    "compressed": packed("gz"),
    "cut-off": packed("")[: len(IMAGES[CUP]) // 2],
}


@pytest.mark.parametrize("kind", TARS)
@pytest.mark.parametrize("which", [0, 1], ids=["q", "dq"])
def test_a_tar_that_is_none_is_named(wrong, kind, which):
    path = wrong.upstream[which] / "images.tar"
    path.write_bytes(TARS[kind])
    sentence = wrong.sentence(*wrong.upstream.options)
    assert str(path) in sentence
    assert "tar" in sentence.replace(str(path), "")


def test_without_a_single_image_one_sentence_says_what_is_missing(bare, tmp_path):
    done = giqa("build", "giqa-160k", *bare.options, "--models", "offline", "--out", tmp_path / "set")
    sentence = refusal(done)
    assert "no sample was left" in sentence
    assert "missing_image" in sentence
    assert {path.name for path in tmp_path.iterdir()} == {"set.annotations"}


def add(tar: tarfile.TarFile, name: str, kind: bytes = tarfile.REGTYPE, raw: bytes = b"", link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(raw)
    tar.addfile(info, io.BytesIO(raw))


def test_links_devices_and_paths_that_lead_out_are_dropped_and_counted(lay_out_upstream, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(encoded(photo("cat", side=100)))
    names = {
        kind: f"spaq_koniq/0000{n}.jpg"
        for n, kind in enumerate(("link", "hard", "device", "fifo", "folder", "linked", "circle"), start=1)
    }
    absolute, above = "/spaq_koniq/00008.jpg", "../spaq_koniq/00009.jpg"
    described = [pathway(name, "The cat is sharp.") for name in (*names.values(), str(secret), absolute, above)]
    upstream = lay_out_upstream(tmp_path, [pathway(CUP, "The cup is sharp."), *described], {CUP: IMAGES[CUP]})
    with tarfile.open(upstream.q / "q-instruct-images.tar", "w") as tar:
        add(tar, names["link"], tarfile.SYMTYPE, link=str(secret))
        add(tar, names["hard"], tarfile.LNKTYPE, link=CUP)
        add(tar, names["device"], tarfile.CHRTYPE)
        add(tar, names["fifo"], tarfile.FIFOTYPE)
        add(tar, absolute, raw=secret.read_bytes())
        add(tar, above, raw=secret.read_bytes())
    (upstream.q / names["folder"]).mkdir()
    (upstream.q / names["linked"]).symlink_to(secret)
    (upstream.q / names["circle"]).symlink_to(upstream.q / names["circle"])
    done = build(upstream, tmp_path / "set")
    assert "Traceback" not in done.stderr
    assert {row["source"] for row in rows_of(tmp_path / "set")} == {"koniq-10k", "dq-495k"}
    reasons = Counter(drop["reason"] for drop in drops_of(tmp_path / "set") if drop["stage"] == "source")
    assert reasons == {"missing_image": 5, "broken_image": 2, "unsafe_path": 3}
    assert_funnel_tells_the_set(tmp_path / "set")


# The models


@pytest.fixture(scope="module")
def without_models(tmp_path_factory, lay_out_upstream) -> tuple[Upstream, Path, Done]:
    """The command without --models, on a machine that has none of the paper's."""
    root = tmp_path_factory.mktemp("without-models")
    upstream = lay_out_upstream(root, [pathway(CUP, "The cup is sharp.")], {CUP: IMAGES[CUP]})
    return upstream, root / "set", giqa("build", "giqa-160k", *upstream.options, "--out", root / "set")


def test_by_default_the_papers_models_are_wanted(without_models):
    _, out, done = without_models
    paper = PRESETS["paper"]
    assert (paper.detector, paper.verifier) == (DETECTOR, VERIFIER)
    sentence = refusal(done)
    assert any(model in sentence for model in (paper.llm, paper.detector, paper.verifier)), sentence
    names = {path.name for path in out.parent.iterdir()}
    assert names <= {"Q-Instruct-DB", "DataDepictQA", "set.annotations"}
    records = annotations_of(out) / "records.jsonl"
    assert not records.exists() or not records.read_bytes()


def test_after_the_papers_models_could_not_be_had_the_offline_ones_can(without_models, tmp_path):
    # BUG: the folder of annotations, in which nothing is, was begun with the paper's models, and --models is not heard
    upstream, out, _ = without_models
    again = tmp_path / "set"
    shutil.copytree(annotations_of(out), annotations_of(again))
    done = giqa("build", "giqa-160k", *upstream.options, "--models", "offline", "--out", again)
    assert done.code == 0, done.stderr


def test_models_that_contradict_the_annotations_are_not_passed_over_in_silence(folder, upstream, tmp_path):
    # BUG: --models paper builds a set by the offline models, as if it had not been said
    shutil.copytree(annotations_of(folder), annotations_of(tmp_path / "set"))
    done = giqa("build", "giqa-160k", *upstream.options, "--models", "paper", "--out", tmp_path / "set")
    assert str(annotations_of(tmp_path / "set")) in refusal(done)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("n_missing", [0, 1])
def test_annotations_that_are_there_need_no_models(lay_out_upstream, tmp_path, n_missing):
    # BUG: a description whose image is missing has no line, so the models are opened again for it in every build
    missing = [pathway(CAT, "The cat is sharp.")] * n_missing
    upstream = lay_out_upstream(tmp_path, [pathway(CUP, "The cup is sharp."), *missing], {CUP: IMAGES[CUP]})
    made = tmp_path / "made"
    done = giqa("annotate", "giqa-160k", *upstream.options, "--models", "offline", "--out", made)
    assert done.code == 0, done.stderr
    # As if the paper's models had made them, on a machine that has those
    (made / "settings.json").write_text(json.dumps(PRESETS["paper"].settings()))
    done = giqa("build", "giqa-160k", *upstream.options, "--out", tmp_path / "set", "--annotations", made)
    assert done.code == 0, done.stderr
    models = dict(tables_of(card_of(tmp_path / "set")[1])["role", "model"])
    assert models["tags and questions"] == PRESETS["paper"].llm


def test_annotate_and_build_give_what_build_gives_alone(folder, upstream, tmp_path):
    made = tmp_path / "made"
    done = giqa("annotate", "giqa-160k", *upstream.options, "--models", "offline", "--out", made)
    assert done.code == 0, done.stderr
    assert tree(made) == tree(annotations_of(folder))
    build(upstream, tmp_path / "set", "--annotations", made)
    assert tree(tmp_path / "set") == tree(folder)


def test_another_seed_is_refused_for_annotations_that_are_there(folder, upstream, tmp_path):
    shutil.copytree(annotations_of(folder), annotations_of(tmp_path / "set"))
    options = [*upstream.options, "--models", "offline", "--out", tmp_path / "set"]
    assert "seed" in refusal(giqa("build", "giqa-160k", *options, "--seed", 1))
    assert not (tmp_path / "set").exists()


def test_the_seed_moves_the_questions_and_no_description(folder, rows, upstream, tmp_path):
    build(upstream, tmp_path / "set", "--seed", 1)
    seeded = rows_of(tmp_path / "set")
    answers = [{row["id"]: row["answer"] for row in found if row["task"] == "des"} for found in (rows, seeded)]
    assert answers[0] == answers[1]
    assert [row["question"] for row in seeded] != [row["question"] for row in rows]
    settings = json.loads((tmp_path / "set" / "provenance" / "settings.json").read_text())
    assert settings == PRESETS["offline"].settings() | {"seed": 1}


# Limit, box format, overwrite


def test_limit_takes_the_first_descriptions(folder, rows, upstream, tmp_path):
    build(upstream, tmp_path / "set", "--limit", 3)
    first = list(dict.fromkeys(row["id"].rpartition("-des")[0] for row in rows if row["task"] == "des"))[:3]
    assert rows_of(tmp_path / "set") == [row for row in rows if row["id"].startswith(tuple(first))]
    assert len(lines_of(annotations_of(tmp_path / "set") / "records.jsonl")) == 3
    assert_funnel_tells_the_set(tmp_path / "set")
    build(upstream, tmp_path / "set", "--overwrite")  # and goes on with the rest
    assert tree(tmp_path / "set") == tree(folder)
    assert tree(annotations_of(tmp_path / "set")) == tree(annotations_of(folder))


def test_limit_on_whole_annotations_leaves_them_whole(folder, rows, upstream, tmp_path):
    shutil.copytree(annotations_of(folder), annotations_of(tmp_path / "set"))
    build(upstream, tmp_path / "set", "--limit", 3)
    assert {row["id"] for row in rows_of(tmp_path / "set")} < {row["id"] for row in rows}
    assert_funnel_tells_the_set(tmp_path / "set")
    kept, there = ((path / "records.jsonl").read_bytes() for path in map(annotations_of, (tmp_path / "set", folder)))
    assert kept == there


def test_box_format_changes_prompt_and_completion_alone(folder, rows, upstream, tmp_path):
    shutil.copytree(annotations_of(folder), tmp_path / "annotations")
    options = ["--annotations", tmp_path / "annotations", "--box-format", "qwen3_vl"]
    build(upstream, tmp_path / "set", *options)
    qwen = rows_of(tmp_path / "set")
    turns = ("prompt", "completion")
    assert [{name: row[name] for name in row if name not in turns} for row in qwen] == [
        {name: row[name] for name in row if name not in turns} for row in rows
    ]
    for row, giqa_row in zip(qwen, rows, strict=True):
        for role, turn in (("question", "prompt"), ("answer", "completion")):
            boxed = [region for region in row["regions"] if region["role"] == role]
            content = row[turn][0]["content"].replace(box_format("qwen3_vl").hint, "")
            assert giqa_row[turn][0]["content"] == row[role]
            assert content.count('"bbox_2d"') == sum(len(region["boxes"]) for region in boxed)
            assert not parse(content).regions
    assert giqa("check", tmp_path / "set").code == 0


def test_overwrite_replaces_the_set_alone(upstream, folder, copy, tmp_path):
    arguments = [*upstream.options, "--models", "offline", "--out", copy, "--limit", 3]
    arguments += ["--annotations", shutil.copytree(annotations_of(folder), tmp_path / "annotations")]
    before = tree(copy)
    assert "--overwrite" in refusal(giqa("build", "giqa-160k", *arguments))
    assert tree(copy) == before
    assert giqa("build", "giqa-160k", *arguments, "--overwrite").code == 0
    assert 0 < len(rows_of(copy)) < len(rows_of(folder))
    assert {path.name for path in copy.iterdir()} == {"README.md", "annotations", "data", "provenance"}
    assert {path.name for path in tmp_path.iterdir()} == {"giqa-160k", "annotations"}


def test_a_build_that_fails_keeps_the_set_that_is_there(bare, copy, tmp_path):
    before = tree(copy)
    arguments = [*bare.options, "--models", "offline", "--out", copy, "--overwrite"]
    assert "no sample was left" in refusal(giqa("build", "giqa-160k", *arguments))
    assert tree(copy) == before
