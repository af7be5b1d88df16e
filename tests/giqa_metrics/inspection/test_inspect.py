"""`giqa inspect`: verdicts, masks and pictures, exit codes, resuming, calibration, and the same from Python."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from giqa_metrics.inspection import Policy, Verdict, inspect_photographs
from giqa_metrics.models import ServerPredictor
from giqa_metrics.models.native_formats import NATIVE
from giqa_metrics.models.tiny_model import NOTE
from giqa_metrics.runs.files import read_config
from tests.giqa_metrics.conftest import Saying


pytestmark = pytest.mark.slow


SIZE = (80, 40)
BLOCK = "A [green block](<0, 42>) covers part of the image."  # from 0.025 to 0.125 of each side
BLUR = "The [cup](<5, 233>) is blurred."
GOOD = "The [cup](<5, 233>) is sharp."
POLICY = """
rules:
  - verdict: fail
    defects: [missing_block]
  - verdict: review
    defects: [blur, noise]
    objects: [cup]
    area: {at_least: 0.1}
"""


def image_file(number: int, size: tuple[int, int] = SIZE, kind: str = "PNG", **options) -> bytes:
    """A photograph unlike those of other numbers."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Write photographs, by the answer about each, into a folder; the answers by the bytes that are sent."""

    def write(answers: dict[str, str], folder: str = "photos") -> dict[bytes, str]:
        by_image = {}
        for number, (name, text) in enumerate(answers.items()):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_file(number))
            by_image[path.read_bytes()] = text
        return by_image

    return write


@pytest.fixture
def says(server, answer):
    """Let the server answer each image with its text."""

    def set_rule(by_image: dict[bytes, str]) -> None:
        server.rule = lambda asked: answer(by_image[image_of(asked)])

    return set_rule


@pytest.fixture
def inspect(giqa, server, tmp_path):
    """The command against the scripted server, in its own folder."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")

    def run(*arguments: object, out: str = "out", policy: bool = True):
        told = ("--policy", tmp_path / "policy.yaml") if policy else ()
        return giqa("inspect", *arguments, *told, "--model", "m", "--server", server.url, "--out", tmp_path / out)

    return run


def image_of(asked) -> bytes:
    return base64.b64decode(asked.body["messages"][0]["content"][0]["image_url"]["url"].partition(";base64,")[2])


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "verdicts.jsonl").read_bytes().splitlines()]


def files_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_folder_gets_verdicts_masks_and_pictures(inspect, photos, says, server, tmp_path):
    says(photos({"b.png": BLUR, "sub/a.png": BLOCK, "a.png": GOOD}))
    ran = inspect(tmp_path / "photos")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "PASS    a.png",
        "REVIEW  b.png  rule 2: 'cup' (blur) on 22.0% of the photograph",
        "FAIL    sub/a.png  rule 1: 'green block' (missing_block) on 1.0% of the photograph",
        "photographs: 3 (1 FAIL, 1 REVIEW, 1 PASS)",
        f"verdicts: {tmp_path / 'out' / 'verdicts.jsonl'}",
    ]
    asked = {turn["content"][1]["text"] for each in server.asked for turn in each.body["messages"]}
    assert asked == {"Describe the quality of this image in detail. Note positions as [label](<x, y>)."}
    good, review, fail = lines_of(tmp_path / "out")
    raw = (tmp_path / "photos" / "sub" / "a.png").read_bytes()
    assert {
        name: fail[name] for name in ("photo", "prediction", "n_malformed", "width", "height", "image_sha256")
    } == {
        "photo": "sub/a.png",
        "prediction": BLOCK,
        "n_malformed": 0,
        "width": SIZE[0],
        "height": SIZE[1],
        "image_sha256": hashlib.sha256(raw).hexdigest(),
    }
    assert fail["regions"] == [
        {
            "phrase": "green block",
            "verdict": "FAIL",
            "defects": ["missing_block"],
            "says": "A green block covers part of the image.",
            "xyxy": [[0.025, 0.025, 0.125, 0.125]],
            "xyxy_px": [[2.0, 1.0, 10.0, 5.0]],
            "area": 0.01,
        }
    ]
    assert (good["verdict"], good["reasons"], good["masks"]) == ("PASS", [], {})
    assert review["regions"][0]["verdict"] == "REVIEW"
    mask = Image.open(tmp_path / "out" / fail["masks"]["missing_block"])
    assert (mask.mode, mask.size, mask.format) == ("L", SIZE, "PNG")
    expected = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    expected[1:5, 2:10] = 255
    assert np.array_equal(np.asarray(mask), expected)
    for line in (good, review, fail):
        assert Image.open(tmp_path / "out" / line["picture"]).format == "JPEG"


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (BLUR, 3), (BLOCK, 1), ("All is well.", 3)])
def test_the_exit_code_is_the_worst_verdicts(inspect, photos, says, tmp_path, text, code):
    says(photos({"good.png": GOOD, "x.png": text}))
    ran = inspect(tmp_path / "photos", "--format", "json")
    assert ran.code == code
    assert json.loads(ran.out) == lines_of(tmp_path / "out")


def test_a_process_ends_with_that_code(inspect, photos, says, server, tmp_path):
    says(photos({"x.png": BLUR}))
    options = ["--policy", tmp_path / "policy.yaml", "--model", "m", "--server", server.url, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "giqa_metrics.cli", "inspect", tmp_path / "photos" / "x.png", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[1]) == (3, "photographs: 1 (0 FAIL, 1 REVIEW, 0 PASS)")


def test_a_process_that_was_killed_goes_on_with_the_same_bytes(inspect, kill, photos, says, server, tmp_path):
    by_image = photos({f"{number}.png": (GOOD, BLUR, BLOCK)[number % 3] for number in range(7)})
    says(by_image)
    path = tmp_path / "out" / "verdicts.jsonl"
    command = ["inspect", tmp_path / "photos", "--out", path.parent, "--policy", tmp_path / "policy.yaml"]
    kill(path, 3, *command, "--model", "m", "--server", server.url, "--batch-size", 2)
    answered = {image for number, image in enumerate(by_image) if f'"{number}.png"'.encode() in path.read_bytes()}
    assert len(answered) == 3
    with path.open("ab") as file:
        file.write(b'{"photo": "half')
    server.asked = []
    assert inspect(tmp_path / "photos").code == 1
    # A request of the killed process may come late, but for none of those
    assert {image_of(asked) for asked in server.asked} == by_image.keys() - answered
    assert inspect(tmp_path / "photos", out="whole").code == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_changed_photograph_is_inspected_anew_and_the_others_are_not(inspect, photos, says, server, tmp_path):
    by_image = photos({"a.png": BLOCK, "b.png": GOOD})
    says(by_image)
    assert inspect(tmp_path / "photos").code == 1
    (tmp_path / "photos" / "a.png").write_bytes(image_file(9))
    says({image_file(9): GOOD})
    server.asked = []
    assert inspect(tmp_path / "photos").code == 0
    assert [image_of(asked) for asked in server.asked] == [image_file(9)]
    assert [line["photo"] for line in lines_of(tmp_path / "out")] == ["a.png", "b.png"]
    says(by_image | {image_file(9): GOOD})
    assert inspect(tmp_path / "photos", out="whole").code == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")  # no mask of the old one is left


def test_new_photographs_join_a_folder_and_one_that_is_gone_is_one_sentence(inspect, photos, says, server, tmp_path):
    by_image = photos({"b.png": GOOD, "a.png": GOOD})
    says(by_image)
    last = tmp_path / "photos" / "a.png"
    raw = last.read_bytes()
    last.unlink()
    assert inspect(tmp_path / "photos").code == 0
    last.write_bytes(raw)
    assert inspect(tmp_path / "photos").code == 0
    assert len(server.asked) == 2
    assert [line["photo"] for line in lines_of(tmp_path / "out")] == ["a.png", "b.png"]
    (tmp_path / "photos" / "b.png").unlink()
    said = f"giqa: {tmp_path / 'out' / 'verdicts.jsonl'} holds 'b.png', which is not among the photographs"
    assert inspect(tmp_path / "photos")[::2] == (2, f"{said}; choose another --out\n")


def test_another_policy_in_the_same_folder_is_refused(inspect, photos, says, server, tmp_path):
    says(photos({"a.png": GOOD}))
    assert inspect(tmp_path / "photos").code == 0
    ran = inspect(tmp_path / "photos", policy=False)
    assert ran.code == 2
    assert ran.err.endswith("; choose another --out\n")
    assert len(server.asked) == 1


def test_a_photograph_that_gets_no_answer_is_to_be_reviewed_and_asked_about_again(
    inspect, photos, server, answer, tmp_path, monkeypatch
):
    monkeypatch.setitem(ServerPredictor.__init__.__kwdefaults__, "retries", 1)  # six take half a minute
    by_image = photos({"a.png": GOOD, "b.png": GOOD, "c.png": BLOCK})
    dead = list(by_image)[2]
    rule = server.rule = lambda asked: answer(by_image[image_of(asked)])
    server.rule = lambda asked: (
        answer(BLOCK, keep_back=20, sleep=0.5) if image_of(asked) == dead else answer(by_image[image_of(asked)])
    )
    ran = inspect(tmp_path / "photos")
    assert ran.code == 3
    there = {line["photo"]: line for line in lines_of(tmp_path / "out")}
    assert [there[name]["verdict"] for name in ("a.png", "b.png", "c.png")] == ["PASS", "PASS", "REVIEW"]
    (reason,) = there["c.png"]["reasons"]
    assert (reason["rule"], reason["verdict"]) == ("no_answer", "REVIEW")
    assert reason["why"].startswith(f"no answer from 'm' at {server.url}: ")
    server.rule, server.asked = rule, []
    assert inspect(tmp_path / "photos").code == 1
    assert len(server.asked) == 1
    assert [line["verdict"] for line in lines_of(tmp_path / "out")] == ["PASS", "PASS", "FAIL"]


def test_the_mask_is_of_the_upright_photograph(inspect, server, answer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(image_file(1, kind="JPEG", exif=exif))
    server.rule = lambda asked: answer(BLOCK)
    assert inspect(tmp_path / "photos").code == 1
    (line,) = lines_of(tmp_path / "out")
    assert (line["width"], line["height"]) == SIZE[::-1]
    assert Image.open(tmp_path / "out" / line["masks"]["missing_block"]).size == SIZE[::-1]
    assert Image.open(io.BytesIO(image_of(server.asked[0]))).size == SIZE[::-1]


def test_calibration_counts_false_alarms_and_goes_on_where_it_was(inspect, photos, says, server, tmp_path):
    texts = [GOOD] * 15 + [BLUR] * 3 + [BLOCK, f"{BLOCK} {BLUR}"]
    says(photos({f"{number:02}.png": text for number, text in enumerate(texts)}))
    ran = inspect("--calibrate", tmp_path / "photos", "--format", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["n"], found["rules"]) == (20, {"rule 2": 4, "rule 1": 2})
    # Wilson's interval by hand: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), z = 1.959964
    assert found["verdicts"]["FAIL"] == pytest.approx(
        {"n": 2, "share": 0.1, "low": 0.02787, "high": 0.30103}, abs=1e-5
    )
    assert found["verdicts"]["REVIEW"]["n"] == 3
    assert found["verdicts"]["FAIL or REVIEW"]["share"] == 0.25
    server.asked = []
    ran = inspect("--calibrate", tmp_path / "photos")
    assert (ran.code, server.asked) == (0, [])
    assert ran.out.splitlines()[-2:] == ["rule 2: 4 photographs", "rule 1: 2 photographs"]
    assert "False alarms on 20 good photographs, photos" in ran.out


def test_it_takes_photographs_or_a_folder_to_calibrate_on(giqa, inspect, tmp_path):
    for arguments in ((), (tmp_path, "--calibrate", tmp_path)):
        ran = inspect(*arguments)
        assert ran.code == 2
        assert ran.err.startswith("giqa: expected photographs to inspect, or --calibrate with a folder of good ones")
    assert inspect(tmp_path / "none.png").err == (
        f"giqa: expected a photograph or a folder of them at {str(tmp_path / 'none.png')!r}, found none\n"
    )
    (tmp_path / "empty").mkdir()
    assert (
        inspect(tmp_path / "empty").err == f"giqa: expected photographs in {str(tmp_path / 'empty')!r}, found none\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def model(tiny_llava) -> Path:
    return tiny_llava


def test_a_model_here_inspects_in_batches_and_goes_on_with_the_same_bytes(model, giqa, photos, tmp_path):
    photos({f"{number}.png": "" for number in range(5)})
    (tmp_path / "photos" / "2b.png").write_bytes(b"no image")
    options = ("--model", model, "--batch-size", 2, "--max-new-tokens", 6, "--format", "json")
    ran = giqa("inspect", tmp_path / "photos", *options, "--out", tmp_path / "whole")
    assert (ran.code, len(json.loads(ran.out))) == (3, 6)
    assert giqa("inspect", tmp_path / "photos", *options, "--out", tmp_path / "out").code == 3
    path = tmp_path / "out" / "verdicts.jsonl"
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[2:4]))  # as if it had been killed in the second batch
    assert giqa("inspect", tmp_path / "photos", *options, "--out", tmp_path / "out").code == 3
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_family_with_boxes_of_its_own_is_hinted_at_unless_the_doctor_has_spoken(
    model, giqa, photos, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(NATIVE, "llava", "ferret")
    monkeypatch.chdir(tmp_path)
    photos({"a.png": ""})
    own = shutil.copytree(model, tmp_path / "model")
    options = ("inspect", "photos", "--model", own, "--max-new-tokens", 2)
    assert giqa(*options, "--out", "silent").code == 3
    hint = "hint: unless it was trained on GIQA, a llava writes boxes as --box-format ferret; this run says giqa"
    assert caplog.messages == [NOTE, hint]
    assert giqa(*options, "--box-format", "giqa", "--out", "told").code == 3
    (own / "box_format.json").write_text('{"model": "model", "box_format": "shikra"}')
    assert giqa(*options, "--out", "found").code == 3
    assert caplog.messages == [NOTE, hint, NOTE, NOTE]  # of the tiny model, each time
    assert [read_config(Path(name))["box_format"] for name in ("silent", "told", "found")] == [
        "giqa",
        "giqa",
        "shikra",
    ]


def test_a_program_gives_paths_bytes_or_images_and_gets_what_the_command_finds(inspect, photos, says, tmp_path):
    (raw,) = by_image = photos({"a.png": f"{BLOCK} {BLUR}"})
    says(by_image)
    assert inspect(tmp_path / "photos").code == 1
    (line,) = lines_of(tmp_path / "out")
    model = Saying(by_image[raw])
    path = tmp_path / "photos" / "a.png"
    policy = Policy.model_validate({"rules": [{"verdict": "fail", "defects": ["missing_block"]}]})
    given = [path, str(path), raw, Image.open(path), b"none"]
    found = inspect_photographs(given, model, policy=policy, question="What is wrong?")
    assert [each.verdict for each in found] == [Verdict.FAIL] * 4 + [Verdict.REVIEW]
    assert [each.photo for each in found] == [str(path)] * 2 + ["photograph 3", "photograph 4", "photograph 5"]
    assert [(sample.image, sample.prompt) for sample in model.asked][:2] == [(raw, "What is wrong?")] * 2
    for each in found[:4]:
        assert [region.phrase for region in each.regions] == [region["phrase"] for region in line["regions"]]
        assert each.defects == ("missing_block", "blur")
        for kind in each.defects:
            written = Image.open(tmp_path / "out" / line["masks"][kind])
            assert each.mask(kind).tobytes() == written.tobytes()
    with pytest.raises(ValueError, match=r"^expected a photograph, got 'photograph 5', which cannot be read$"):
        found[4].mask("blur")
    assert inspect_photographs([], model) == []
    with pytest.raises(FileNotFoundError, match="expected a photograph at"):
        inspect_photographs([tmp_path / "none.png"], model)


def test_boxes_are_read_in_the_models_own_format(giqa, photos, server, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos({"a.png": ""})
    server.rule = lambda asked: answer('The cup is blurred. {"bbox_2d": [0, 0, 500, 500], "label": "cup"}')
    options = ("inspect", "photos", "--model", "m", "--server", server.url, "--box-format")
    assert giqa(*options, "qwen3_vl", "--out", "out").code == 3
    (line,) = lines_of(tmp_path / "out")
    assert line["regions"][0] | {"says": ""} == {
        "phrase": "cup",
        "verdict": "REVIEW",
        "defects": ["blur"],
        "says": "",
        "xyxy": [[0.0, 0.0, 0.5, 0.5]],
        "xyxy_px": [[0.0, 0.0, 40.0, 20.0]],
        "area": 0.25,
    }
    ran = giqa(*options, "qwen2_5_vl", "--out", "other")
    assert (ran.code, Path("other").exists()) == (2, False)
    assert ran.err.endswith("with --processor, or run the model without a server\n")


def test_the_package_is_light_to_import():
    code = "import sys, giqa_metrics.cli.inspect; print({'pydantic', 'PIL', 'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "set()\n"


def test_a_thought_is_no_finding_and_a_foreign_box_is_malformed(inspect, photos, says, tmp_path):
    thought = f"<think>Is there a [blurred wall](<0, 399>)? {BLOCK} No.</think>{GOOD}"
    foreign = "The <ref>cup</ref><box>(10,20),(300,400)</box> is sharp."
    says(photos({"a.png": thought, "b.png": foreign}))
    assert inspect(tmp_path / "photos").code == 3
    first, second = lines_of(tmp_path / "out")
    assert (first["verdict"], [region["phrase"] for region in first["regions"]]) == ("PASS", ["cup"])
    assert first["prediction"] == thought
    assert second["verdict"] == "REVIEW"
    assert "1 malformed boxes (foreign)" in [reason["why"] for reason in second["reasons"]]
