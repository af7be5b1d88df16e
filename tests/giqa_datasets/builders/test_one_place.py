"""One picture, one place: what any builder writes of copied pictures, its own check accepts."""

import io
import json
import shutil
import unicodedata

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SETS, SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.image_stores import read_changes
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.review.items import open_review
from giqa_datasets.sources import dq_495k, mini, tiny
from giqa_datasets.sources.mini import wheel_file
from tests.command import giqa, the_one_sentence
from tests.region_sets import ROWS_2K, labelled, row, scars, write_synthscars, write_vida, write_vida_2k, write_x_aigd


BOX = [{"phrase": "cup", "boxes": [[0.1, 0.1, 0.5, 0.5]]}]


@pytest.fixture(scope="module")
def pictures():
    """A real cup, the same file with an owner in its EXIF, and another picture."""

    def encoded(image, **options):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90, **options)
        return buffer.getvalue()

    owner = Image.Exif()
    owner[0x013B] = "SOMEONE"
    with Image.open(wheel_file("skimage/data/coffee.png")) as opened:
        cup = opened.convert("RGB").resize((300, 200))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    return {"cup": encoded(cup), "owned": encoded(cup, exif=owner), "noise": encoded(noise)}


def lay_photos(root, pictures, names, **line):
    """A folder of photographs; each name is described once, as a cup."""
    root.mkdir()
    lines = []
    for number, (name, picture) in enumerate(names):
        (root / f"{name}.jpg").write_bytes(pictures[picture])
        said = {"file_name": f"{name}.jpg", "description": f"The cup is sharp{'.' * (number + 1)}"}
        lines.append(json.dumps(said | line))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return SetRequest("folder", root)


NAMES = [("a", "cup"), ("b", "noise"), ("c", "cup"), ("d", "owned"), ("e", "noise"), ("f", "owned")]


def make_folder(root, pictures, monkeypatch):
    return lay_photos(root / "photos", pictures, NAMES, regions=BOX)


def make_folder_to_annotate(root, pictures, monkeypatch):
    return lay_photos(root / "photos", pictures, NAMES)


def make_160k(root, pictures, monkeypatch):
    """Copies within Q-Pathway, and from there to DQ-495K."""
    q, dq = root / "q", root / "dq"
    (q / "spaq_koniq").mkdir(parents=True)
    rows = []
    for number, picture in enumerate(("cup", "noise", "cup", "owned")):
        name = f"spaq_koniq/0000{number}.jpg"
        (q / name).write_bytes(pictures[picture])
        turns = [{"from": "human", "value": "How is it?\n<image>"}, {"from": "gpt", "value": "The cup is sharp."}]
        rows.append({"id": 1, "image": name, "type": "description", "qtype": None, "conversations": turns})
    (q / "cleaned_labels.json").write_text(json.dumps(rows))
    for kind in ("sd", "md"):
        image = f"KADIS700K/A_{kind}_detail/images/0.png"
        said = {"image_A": image, "task_type": "quality_single_A_noref", "answer": "The cup is bright."}
        file = dq / dq_495k.FILES["train"][kind == "md"]
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps([said]))
        (dq / image).parent.mkdir()
        (dq / image).write_bytes(pictures["cup" if kind == "sd" else "owned"])
    return SetRequest("giqa-160k", q_pathway=q, dq_495k=dq)


def make_benchmark(root, pictures, monkeypatch):
    """A reviewed folder that was built out of copies."""
    build_set(make_folder(root, pictures, monkeypatch), root / "candidates", root / "none")
    open_review(root / "candidates")
    return SetRequest("giqa-bench", root / "candidates")


def make_mini(root, pictures, monkeypatch, name="giqa-mini"):
    """The first picture of each split under every second name."""
    other = {}
    for split in ("train", "test"):
        first, *files = dict.fromkeys(entry.file for entry in mini.hand_made(split))
        other |= dict.fromkeys(files[::2], first)
    monkeypatch.setattr(mini, "wheel_file", lambda path: wheel_file(other.get(path, path)))
    return SetRequest(name, limit=9)


def make_benchmark_mini(root, pictures, monkeypatch):
    return make_mini(root, pictures, monkeypatch, "giqa-bench-mini")


def make_tiny(root, pictures, monkeypatch):
    drawn = tiny.crops

    def twice(*args, **options):
        made = list(drawn(*args, **options))
        return [*made, *made]

    monkeypatch.setattr(tiny, "crops", twice)
    monkeypatch.setattr(tiny, "COUNTS", {"train": (3, 2), "test": (2, 1)})
    return SetRequest("giqa-tiny")


def make_vida(root, pictures, monkeypatch):
    """Copies within its training photographs, and one of the benchmark among them."""
    texts = {"ViDA-P/qa": [row(f"{name}.jpg", "Is it?", "Yes.") for name in "abcdef"]}
    copies = {f"train/images/{name}.jpg": pictures[of] for name, of in NAMES if of != "noise"}
    copies |= {name: pictures["noise"] for name in ("train/images/b.jpg", "train/images/e.jpg", "val/images/v1.png")}
    return SetRequest("vida-ugc", write_vida(root / "vida", texts, **copies))


def make_vida_2k(root, pictures, monkeypatch):
    rows = [ROWS_2K[1] | {"filename": f"{name}.jpg"} for name, _ in NAMES]
    write_vida_2k(root / "2k", rows)
    for name, of in NAMES:
        (root / "2k" / "images" / f"{name}.jpg").write_bytes(pictures[of])
    return SetRequest("vida-ugc-2k", root / "2k")


def make_x_aigd(root, pictures, monkeypatch):
    rows = [labelled(name, image={"bytes": pictures[of]}, width=300, height=200) for name, of in NAMES]
    return SetRequest("x-aigd", write_x_aigd(root / "x", {"train": rows}))


def make_synthscars(root, pictures, monkeypatch):
    rows = [{name: scars(f"{name}.jpg", "It is sharp.")} for name, _ in NAMES]
    write_synthscars(root / "scars", {"train": rows})
    for name, of in NAMES:
        (root / "scars" / "train" / "images" / f"{name}.jpg").write_bytes(pictures[of])
    return SetRequest("synthscars", root / "scars")


MADE = {
    "folder": (make_folder, make_folder_to_annotate),
    "giqa-160k": (make_160k,),
    "giqa-bench": (make_benchmark,),
    "giqa-bench-mini": (make_benchmark_mini,),
    "giqa-mini": (make_mini,),
    "giqa-tiny": (make_tiny,),
    "synthscars": (make_synthscars,),
    "vida-ugc": (make_vida,),
    "vida-ugc-2k": (make_vida_2k,),
    "x-aigd": (make_x_aigd,),
}


@pytest.mark.parametrize(("name", "make"), [(name, make) for name in SETS for make in MADE[name]])
def test_what_a_builder_writes_of_copies_its_check_accepts(name, make, pictures, tmp_path, monkeypatch):
    request = make(tmp_path, pictures, monkeypatch)
    choice, draft = Choice(), name == "giqa-bench"
    build_set(request, tmp_path / "set", tmp_path / "annotations", choice, keep_ungrounded=True, draft=draft)
    assert examine_dataset(tmp_path / "set").findings == []


def test_copies_stand_side_by_side_and_what_becomes_the_same_apart_is_left_out(pictures, tmp_path, monkeypatch):
    build_set(make_folder(tmp_path, pictures, monkeypatch), tmp_path / "set", tmp_path / "none")
    assert load_dataset(str(tmp_path / "set"), split="train")["id"] == ["a-des", "c-des", "b-des", "e-des"]
    drops = [json.loads(line) for line in (tmp_path / "set" / "provenance" / "drops.jsonl").open()]
    assert [(drop["id"], drop["reason"]) for drop in drops] == [("d", "same_image"), ("f", "same_image")]
    assert drops[0]["what"] == "d.jpg becomes the same image as a.jpg, whose rows stand elsewhere"
    assert examine_dataset(tmp_path / "set").findings == []


def test_two_files_that_become_one_stand_side_by_side(pictures, tmp_path):
    request = lay_photos(tmp_path / "photos", pictures, [("a", "cup"), ("d", "owned"), ("b", "noise")], regions=BOX)
    build_set(request, tmp_path / "set", tmp_path / "none")
    rows = load_dataset(str(tmp_path / "set"), split="train")
    assert rows["id"] == ["a-des", "d-des", "b-des"]
    assert len(set(rows["image_sha256"])) == 3
    assert examine_dataset(tmp_path / "set").findings == []
    changes = read_changes(tmp_path / "set" / "provenance" / "images.jsonl")
    assert changes == {rows["image_sha256"][1]: ("metadata taken out",)}
    assert "\n| metadata taken out | 1 |\n" in (tmp_path / "set" / "README.md").read_text()


# Names


def test_brackets_stars_spaces_and_accents_work_from_build_to_predict(pictures, tmp_path, monkeypatch):
    """macOS writes NFD and Windows backslashes; a glob would take the rest for wildcards."""
    root = tmp_path / "my [photos] * 1" / "in {here}?"
    name = "K\u00fcche [1]*.jpg"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / unicodedata.normalize("NFD", name)).write_bytes(pictures["owned"])
    line = {"file_name": f"a b\\{name}", "description": "The cup is sharp.", "regions": BOX}
    (root / "metadata.jsonl").write_text(json.dumps(line))
    monkeypatch.chdir(tmp_path / "my [photos] * 1")
    assert giqa("build", "folder", root, "--out", "my [set]*")[0] == 0
    code, stdout, _ = giqa("check", "my [set]*")
    assert (code, stdout.splitlines()[-1]) == (0, "findings: 0")
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "a b/K\u00fcche [1]*-des", "prediction": "A cup."}))
    for number, folder in enumerate(("my [set]*", tmp_path / "my [photos] * 1" / "my [set]*")):
        score = ("score", tmp_path / "answers.jsonl", "--data", folder, "--split", "train", "--similarity", "lexical")
        code, _, stderr = giqa(*score, "--out", tmp_path / f"run-{number}")
        assert code == 0, stderr
    assert giqa("install", "my [set]*")[0] == 0


def test_a_folder_of_an_installed_sets_name_hides_it_with_a_word(workspace, tmp_path, monkeypatch):
    shutil.copytree(workspace / "giqa-tiny", tmp_path / "installed-set")
    assert giqa("install", tmp_path / "installed-set")[0] == 0
    (tmp_path / "away" / "installed-set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "away")
    (tmp_path / "answers.jsonl").write_text('{"id": "x", "prediction": "y"}')
    score = ("score", tmp_path / "answers.jsonl", "--data", "installed-set", "--similarity", "lexical")
    code, _, stderr = giqa(*score)
    assert code == 2
    assert the_one_sentence(stderr).endswith(
        f"the folder {str(tmp_path / 'away' / 'installed-set')!r} hides the installed data set 'installed-set': "
        "rename it, or go elsewhere"
    )
    (tmp_path / "away" / "installed-set").rmdir()
    assert "ids are not in installed-set" in the_one_sentence(giqa(*score)[2])


@pytest.mark.parametrize(
    "verb",
    [
        ["build", "folder", "loop"],
        ["check", "loop"],
        ["install", "loop"],
        ["publish", "loop", "org/set", "--dry-run"],
        ["score", "loop", "--data", "loop"],
        ["inspect", "loop", "--model", "none", "--server", "http://127.0.0.1:9/v1"],
        ["review", "loop"],
        ["build", "giqa-160k", "--q-pathway", "loop", "--dq-495k", "loop"],
    ],
    ids=" ".join,
)
def test_a_loop_of_links_ends_in_a_sentence(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("other")
    (tmp_path / "other").symlink_to("loop")
    code, _, stderr = giqa(*verb)
    assert code == 2
    assert the_one_sentence(stderr)
