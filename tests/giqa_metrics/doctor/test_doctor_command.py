"""`giqa doctor` on models behind a scripted server and on a real tiny one; what it writes, predict and score use."""

import base64
import io
import json
import random
import re
import shlex
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from giqa_datasets import parse
from giqa_datasets.formats import FORMATS, Sizes, box_format
from giqa_datasets.regions import Region
from giqa_metrics.doctor import squares
from giqa_metrics.doctor.examine import QUESTIONS
from giqa_metrics.models.box_format_file import format_of, read_format_file
from giqa_metrics.models.native_formats import NATIVE
from giqa_metrics.models.server import UNFIT
from giqa_metrics.runs.files import read_config
from giqa_metrics.runs.predict import predict
from tests.paths import ROOT


pytestmark = pytest.mark.slow


PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
SHORT = ("--similarity", "exact", "--resamples", 0)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def draws_once():
    """The same pictures are drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(squares, "draw_pictures", cache(squares.draw_pictures))
        yield


@pytest.fixture(scope="module")
def pictures(draws_once):
    return {picture.image: picture for picture in squares.draw_pictures(20, 0)}


@pytest.fixture(scope="session")
def rows(workspace) -> dict[bytes, dict]:
    """Some of giqa-tiny's test rows, by their image."""
    from datasets import Image as Encoded
    from datasets import load_dataset

    split = load_dataset(str(workspace / "giqa-tiny"), split="test").cast_column("image", Encoded(decode=False))
    return {row["image"]["bytes"]: row for row in split.select(range(6))}


@pytest.fixture
def speak(server, answer, pictures, rows):
    """Let the server's model see squares and giqa-tiny's blocks, and write them in a format."""

    def script(name: str, refuse: float = 0) -> None:
        def rule(asked):
            url = asked.body["messages"][0]["content"][0]["image_url"]["url"]
            image = base64.b64decode(url.partition(";base64,")[2])
            if image in rows:
                plain, regions = (found := parse(rows[image]["answer"])).plain, found.regions
            elif random.Random(url).random() < refuse:  # by the picture: requests come in any order
                return answer("No, I am afraid.")
            else:
                plain = f"A {pictures[image].colour} square."
                regions = (Region(plain[2:-1], (2, len(plain) - 1), pictures[image].box[None]),)
            size = Image.open(io.BytesIO(image)).size
            return answer(box_format(name).write(plain, regions, Sizes(size, size)))

        server.rule = rule

    return script


# One of each kind: text, cells, a padded square, markers, JSON, names behind their boxes; test_doctor.py has them all
@pytest.mark.parametrize("name", ["giqa", "kosmos2", "shikra", "qwen2_vl", "gemini", "paligemma"])
def test_a_served_model_is_told_by_its_format_and_the_file_says_so(giqa, server, speak, name, tmp_path):
    speak(name, refuse=0.1)
    ran = giqa("doctor", "org/my vlm", "--server", server.url)
    assert ran.code == 0, ran.err
    file = tmp_path / "my_vlm.box_format.json"
    told = json.loads(file.read_bytes())
    best = told["formats"][name]
    sentence = f"org/my vlm writes boxes as {name} (mean IoU {best['mean_iou']:.2f}, sure: {best['sure']:.3f})"
    assert ran.out.splitlines()[-2:] == [sentence, f"file: {file.name}"]
    assert (told["model"], told["server"], told["box_format"], told["pictures"]) == ("org/my vlm", True, name, 20)
    assert best["sure"] >= 0.95
    assert set(told["formats"]) >= set(FORMATS) - set(UNFIT)
    assert not set(told["formats"]) & set(UNFIT)
    assert ("left out behind a server: " + "; ".join(f"{each} {UNFIT[each]}" for each in UNFIT)) in ran.out
    assert {asked.body["messages"][0]["content"][1]["text"] for asked in server.asked} == {QUESTIONS[0]}
    assert {asked.body["max_tokens"] for asked in server.asked} == {128}
    assert format_of("org/my vlm", str(file)) == name
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (
            lambda colour, n: f"The {colour} square [250, 250, 750, 750].",
            "its boxes do not follow the picture (read as",
        ),
        (lambda colour, n: f"[{colour} square](<{n}, {n + 84}>)", "its boxes do not follow the picture (read as giqa"),
        (lambda colour, n: f"A {colour} square.", "no answer holds a box that any format reads"),
        (lambda colour, n: "<b>\x1b[31m</b>" * 999, "no answer holds a box that any format reads"),
        (lambda colour, n: "", "no answer holds a box that any format reads"),
    ],
    ids=["constant", "random", "prose", "markup", "empty"],
)
def test_a_liar_a_talker_and_a_mute_are_none_with_exit_code_1(giqa, server, answer, say, why):
    server.rule = lambda asked: answer(say("green", random.Random(json.dumps(asked.body)).randrange(200)))
    ran = giqa("doctor", "m", "--server", server.url, "--question", "Where is the {colour} square?")
    assert ran.code == 1, ran.err
    assert f"no box format fits m: {why}" in ran.out
    assert "\x1b" not in ran.out
    assert read_format_file(Path("m.box_format.json")).box_format is None
    questions = {asked.body["messages"][0]["content"][1]["text"] for asked in server.asked}
    assert questions == {"Where is the green square?", "Where is the magenta square?"}
    with pytest.raises(ValueError, match=r"no box format fits what 'm' writes: name one with --box-format$"):
        format_of("m", "m.box_format.json")


def test_what_is_printed_as_json_is_the_file(giqa, server, speak):
    speak("qwen3_vl")
    ran = giqa("doctor", "m", "--server", server.url, "--format", "json", "--out", "some/where.json", "--pictures", 8)
    told = json.loads(ran.out)
    assert (ran.code, told.pop("file"), told.pop("sheet")) == (0, "some/where.json", None)
    assert told == json.loads(Path("some/where.json").read_bytes())
    assert told["left_out"] == UNFIT
    assert len(server.asked) == told["pictures"] == 8


def test_the_drawing_shows_every_picture_with_the_boxes_that_were_read(giqa, server, speak, pictures):
    speak("ferret", refuse=0.2)
    ran = giqa("doctor", "m", "--server", server.url, "--draw", "drawn")
    (drawn,) = Path("drawn").iterdir()
    assert f"picture: {drawn}\n" in ran.out
    pixels = np.asarray(Image.open(drawn)).astype(int)
    for rgb in ((0, 255, 0), (255, 0, 255)):
        assert (np.abs(pixels - rgb).max(axis=-1) < 9).sum() > 10_000
    red = (pixels == (255, 40, 40)).all(axis=-1).sum()
    assert red > 1000
    speak("ferret", refuse=1)
    assert giqa("doctor", "m", "--server", server.url, "--draw", "drawn").code == 1
    assert (np.asarray(Image.open(drawn)) == (255, 40, 40)).all(axis=-1).sum() == 0


def test_a_server_that_dies_half_way_is_one_sentence_and_no_file(giqa, server, answer, speak, tmp_path):
    speak("ferret")
    rule = server.rule
    server.rule = lambda asked: rule(asked) if len(server.asked) < 9 else answer(status=400, body=b"gone")
    ran = giqa("doctor", "m", "--server", server.url, "--draw", "drawn", "--batch-size", 1)
    assert (ran.code, ran.out, ran.err.count("giqa: ")) == (2, "", 1)
    said = f"giqa: sample 'picture-8' got no answer from 'm' at {server.url}: HTTP 400, 'gone'"
    assert ran.err.splitlines()[-1] == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "."], "giqa: . cannot be written: choose another file with --out"),
        (["--server", "me:secret@host"], "giqa: expected "),
        (["--out", "new/file.json"], "giqa: model 'lost' is no folder here, is not installed, and cannot be fetched"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_anything_is_asked(giqa, options, says, tmp_path):
    ran = giqa("doctor", "lost", *options)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(says)
    assert "secret" not in ran.err
    assert list(tmp_path.iterdir()) == []


# What it wrote is used


def test_a_served_model_goes_from_the_doctor_to_its_scores(giqa, server, speak, workspace, rows):
    speak("ferret")
    assert giqa("doctor", "org/vlm", "--server", server.url).code == 0
    command = ["predict", "--model", "org/vlm", "--data", workspace / "giqa-tiny", "--server", server.url]
    command += ["--limit", len(rows), "--out"]
    assert giqa(*command, "run", "--box-format", "vlm.box_format.json").code == 0
    assert read_config(Path("run"))["box_format"] == "ferret"
    assert giqa("score", "run", *SHORT).code == 0
    summary = json.loads(Path("run/summary.json").read_bytes())
    assert summary["settings"]["box_format"] == "ferret"
    assert summary["des"]["giqa_grounding"]["miou"] > 0.95
    # The file as an option of score alone
    assert giqa(*command, "plain").code == 0
    assert read_config(Path("plain"))["box_format"] == "giqa"
    assert giqa("score", "plain", *SHORT, "--box-format", "vlm.box_format.json").code == 0
    assert json.loads(Path("plain/summary.json").read_bytes())["des"] == summary["des"]
    assert giqa("check", "plain").code == 0
    # Of another model
    ran = giqa(*command, "other", "--model", "org/other", "--box-format", "vlm.box_format.json")
    assert (ran.code, ran.err) == (2, "giqa: vlm.box_format.json is of the model 'org/vlm', not of 'org/other'\n")


def test_predictions_of_which_nobody_knows_the_model_are_scored_by_any_models_file(giqa, make_run, bench):
    Path("a.json").write_text('{"model": "org/vlm", "box_format": "giqa_decimal"}')
    run = make_run()
    assert giqa("score", run, "--data", bench, "--box-format", "a.json", *SHORT).code == 0
    summary = json.loads((run / "summary.json").read_bytes())
    assert summary["settings"]["box_format"] == "giqa_decimal"
    assert summary["des"]["giqa_grounding"]["n_malformed"] > 0


@pytest.fixture(scope="module")
def tiny(tiny_llava) -> Path:
    return tiny_llava


def test_an_untrained_model_speaks_none_and_its_folder_says_so_to_predict(giqa, tiny, workspace, tmp_path):
    model = shutil.copytree(tiny, tmp_path / "tiny-llava")
    ran = giqa("doctor", model, "--pictures", 8, "--max-new-tokens", 24)
    assert ran.code == 1, ran.err
    file = model / "box_format.json"
    assert ran.out.splitlines()[-1] == f"file: {file}"
    told = json.loads(file.read_bytes())
    assert (told["model"], told["server"], told["box_format"]) == ("tiny-llava", False, None)
    assert set(told["formats"]) >= set(FORMATS)
    command = ["predict", "--model", model, "--data", workspace / "giqa-tiny", "--limit", 2, "--max-new-tokens", 4]
    ran = giqa(*command, "--out", "run")
    says = "says that no box format fits what 'tiny-llava' writes: name one with --box-format"
    assert (ran.code, ran.err) == (2, f"giqa: {file} {says}\n")
    assert not Path("run").exists()
    assert giqa(*command, "--out", "run", "--box-format", "llava").code == 0
    assert giqa(*command, "--out", "run").code == 0  # goes on as it began
    assert read_config(Path("run"))["box_format"] == "llava"


def test_predict_takes_the_file_in_the_models_own_folder_and_runs_made_before_go_on(giqa, tiny, workspace, tmp_path):
    model = shutil.copytree(tiny, tmp_path / "tiny-llava")
    command = ["predict", "--model", model, "--data", workspace / "giqa-tiny", "--limit", 2, "--max-new-tokens", 4]
    assert giqa(*command, "--out", "before").code == 0
    before = Path("before/predictions.jsonl").read_bytes()
    Path("before/predictions.jsonl").write_bytes(before[: before.find(b"\n") + 1])
    (model / "box_format.json").write_text(json.dumps({"model": "tiny-llava", "box_format": "ferret"}))
    assert giqa(*command, "--out", "before").code == 0
    assert Path("before/predictions.jsonl").read_bytes() == before
    assert read_config(Path("before"))["box_format"] == "giqa"
    renamed = model.rename(tmp_path / "renamed")
    assert giqa(*command, "--model", renamed, "--out", "after").code == 0
    assert read_config(Path("after"))["box_format"] == "ferret"
    assert giqa("score", "after", *SHORT).code == 0
    assert json.loads(Path("after/summary.json").read_bytes())["settings"]["box_format"] == "ferret"
    ran = giqa(*command, "--model", renamed, "--out", "after", "--box-format", "giqa")
    assert (ran.code, "holds another run" in ran.err) == (2, True)


def test_a_family_with_boxes_of_its_own_is_not_hinted_at_where_the_doctor_has_spoken(
    tiny, workspace, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(NATIVE, "llava", "llava")
    model = shutil.copytree(tiny, tmp_path / "tiny-llava")
    told = {"limit": 1, "max_new_tokens": 2}
    predict(str(model), str(workspace / "giqa-tiny"), Path("before"), **told)
    assert ["--box-format llava; this run says giqa" in message for message in caplog.messages] == [True]
    (model / "box_format.json").write_text('{"model": "tiny-llava", "box_format": "giqa"}')
    predict(str(model), str(workspace / "giqa-tiny"), Path("after"), **told)
    assert len(caplog.messages) == 1


# The page


def test_the_page_names_every_format_and_shows_text_that_the_format_reads():
    lines = re.findall(r"^\| `(\w+)` \| (`.*?`) \|", PAGE, flags=re.MULTILINE)
    assert [name for name, _ in lines] == list(FORMATS)
    for name, text in lines:
        (region,) = box_format(name).read(text.strip("`").replace("\\|", "|"), Sizes((640, 480), (644, 476))).regions
        assert (region.phrase, region.boxes.shape) == ("tower", (1, 4))
        # The tower is the same one in each
        assert np.abs(region.boxes[0] - [0.25, 0.25, 0.5, 0.75]).max() < 0.06


def test_the_pages_commands_run(giqa, server, speak, tiny, workspace):
    speak("qwen3_vl")
    Path("giqa-demo").mkdir()
    shutil.copytree(tiny, "giqa-demo/tiny-llava-sft")
    Path("giqa-demo/giqa-tiny").symlink_to(workspace / "giqa-tiny")
    Path("giqa-bench").symlink_to(workspace / "giqa-tiny")
    Path("photos").mkdir()
    Image.new("RGB", (64, 48), "grey").save("photos/cat.png")
    cat = {"phrase": "cat", "boxes": [[0.1, 0.2, 0.5, 0.6]]}
    line = {"file_name": "cat.png", "description": "The cat is blurry.", "regions": [cat]}
    Path("photos/metadata.jsonl").write_text(json.dumps(line) + "\n")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in (line for block in blocks for line in block.splitlines()):
        command, verb, *options = shlex.split(line, comments=True)
        assert command == "giqa"
        options = [server.url if option.startswith("http") else option for option in options]
        more = {"predict": ("--limit", 6, "--max-new-tokens", 6), "score": SHORT}.get(verb, ())
        ran = giqa(verb, *options, *more)
        if verb == "doctor" and "--server" not in options:
            assert ran.code == 1, ran.err  # an untrained model: from here on it is taken for the trained one
            file = Path("giqa-demo/tiny-llava-sft/box_format.json")
            file.write_text(json.dumps(json.loads(file.read_bytes()) | {"box_format": "giqa"}))
        else:
            assert ran.code == 0, (line, ran.err)
    assert json.loads(Path("runs/mine/summary.json").read_bytes())["settings"]["box_format"] == "qwen3_vl"
