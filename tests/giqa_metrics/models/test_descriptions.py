"""`giqa build folder PHOTOS --describe MODEL`: what a model is sent, what becomes of its words, and what says so."""

import base64
import json

import pytest
from datasets import load_dataset

from giqa_datasets.images import bake
from giqa_datasets.sources.mini import wheel_file
from giqa_metrics.models.descriptions import PROMPT, describe
from tests.command import giqa, refusal


SAID = {"cat.png": "The striped cat is sharp.", "coffee.png": "The [cup](<5, 233>) is\n\nsharp."}
FILES = {"cat.png": "skimage/data/chelsea.png", "coffee.png": "skimage/data/coffee.png"}


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for name, file in FILES.items():
        (root / name).write_bytes(wheel_file(file).read_bytes())
    return root


@pytest.fixture
def describing(server, answer, photos):
    """A server that says of each photograph what stands in SAID, after a thought."""
    names = {bake(path.read_bytes(), name=path.name).image: path.name for path in photos.iterdir()}  # as it is sent

    def say(asked):
        image, _ = asked.body["messages"][-1]["content"]
        return answer(
            f"<think>Hm.</think>{SAID[names[base64.b64decode(image['image_url']['url'].partition(',')[2])]]}"
        )

    server.rule = say
    return server


def lines(photos):
    return [json.loads(line) for line in (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_build_asks_a_server_first_and_everything_says_that_a_model_wrote_the_texts(
    photos, describing, tmp_path, monkeypatch
):
    monkeypatch.setenv("GIQA_PREDICT_API_KEY", "our-key")
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    out = tmp_path / "set"
    done = giqa("build", "folder", photos, "--describe", "org/vlm", "--server", describing.url, "--out", out)
    assert done.code == 0, done.stderr
    assert f"{photos}/metadata.jsonl: 2 photographs described by org/vlm\n" in done.stderr
    mark = {"text_license": "machine text of org/vlm"}
    assert lines(photos) == [
        {"file_name": "cat.png", "description": "The striped cat is sharp."} | mark,
        {"file_name": "coffee.png", "description": "The cup is sharp."} | mark,
    ]
    rows = load_dataset(str(out), split="train")
    assert set(rows["text_license"]) == {"machine text of org/vlm"}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "language_creators:\n- machine-generated\n" in card
    assert "Descriptions were written by a model, not by people: machine text of org/vlm.\n" in card
    assert "machine text of org/vlm" in (out / "provenance" / "sources.jsonl").read_text(encoding="utf-8")
    assert giqa("check", out).code == 0
    for asked in describing.asked:
        assert asked.headers["authorization"] == "Bearer our-key"
        assert asked.body["messages"][-1]["content"][1]["text"] == PROMPT
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"our-key" not in written
    assert b"hub-secret" not in written + json.dumps([asked.headers for asked in describing.asked]).encode()


def test_annotate_asks_first_too(photos, describing, tmp_path):
    out = tmp_path / "made.annotations"
    options = ("--describe", "org/vlm", "--server", describing.url, "--out", out, "--format", "json")
    done = giqa("annotate", "folder", photos, *options)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)[0]["n_out"] == 2
    records = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["description"] for line in records] == [line["description"] for line in lines(photos)]


def test_a_photograph_without_an_answer_costs_itself_and_is_asked_about_again(photos, describing, answer, tmp_path):
    rule, refused = describing.rule, []
    describing.rule = lambda asked: rule(asked) if refused else (refused.append(asked), answer(body=b""))[1]
    options = ("--describe", "org/vlm", "--server", describing.url, "--out", tmp_path / "made.annotations")
    done = giqa("annotate", "folder", photos, *options)
    assert done.code == 1
    assert "1 of them got no answer; the same command asks again\n" in done.stderr
    assert len(lines(photos)) == 1
    describing.asked.clear()
    done = giqa("annotate", "folder", photos, *options)
    assert (done.code, len(describing.asked)) == (0, 1), done.stderr
    assert len(lines(photos)) == 2


def test_a_set_that_is_there_is_not_described_in_vain(photos, describing, tmp_path):
    (tmp_path / "set").mkdir()
    options = ("--describe", "org/vlm", "--server", describing.url, "--out", tmp_path / "set")
    assert "--overwrite replaces" in refusal(giqa("build", "folder", photos, *options))
    assert describing.asked == []


def test_a_card_of_peoples_texts_says_nothing_of_a_model(photos, tmp_path):
    line = {"file_name": "cat.png", "description": "The cat is sharp."}
    (photos / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    assert giqa("build", "folder", photos, "--out", tmp_path / "set").code == 0
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert "language_creators" not in card
    assert "written by a model" not in card


def test_what_was_described_or_written_by_hand_is_not_asked_about_again(photos, describing, answer):
    mine = '{"file_name": "cat.png",  "description": "Mine."}\n{"file_name": "cof'  # a kill cut the second line
    (photos / "metadata.jsonl").write_text(mine)
    assert describe(photos, "org/vlm", describing.url) == (1, [], 0)
    assert (photos / "metadata.jsonl").read_text().startswith(mine.partition("\n")[0] + "\n")
    assert [line["file_name"] for line in lines(photos)] == ["cat.png", "coffee.png"]
    assert describe(photos, "org/vlm", describing.url) == (0, [], 0)
    assert len(describing.asked) == 1


def test_a_server_that_fails_costs_only_what_is_left(photos, describing, answer):
    script, rule = [], describing.rule
    describing.rule = lambda asked: script.append(asked) or (rule(asked) if len(script) == 1 else answer(status=404))
    with pytest.raises(OSError, match="refuses every call"):
        describe(photos, "org/vlm", describing.url, batch_size=1)
    assert [line["file_name"] for line in lines(photos)] == ["cat.png"]
    describing.rule = rule
    assert describe(photos, "org/vlm", describing.url, batch_size=1).n_new == 1
    assert [line["file_name"] for line in lines(photos)] == ["cat.png", "coffee.png"]


def test_a_photograph_that_cannot_be_read_or_of_which_nothing_is_said_gets_no_line(photos, describing, answer):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    describing.rule = lambda asked: answer("<think>Hm, an endless thought")
    assert describe(photos, "org/vlm", describing.url) == (0, ["broken.jpg", "cat.png", "coffee.png"], 2)
    assert not (photos / "metadata.jsonl").exists()


@pytest.mark.parametrize("name", ["metadata.csv", "cat.txt"])
def test_descriptions_of_another_form_are_not_mixed_with_a_models(photos, tmp_path, name):
    (photos / name).write_text("file_name,description\n")
    sentence = refusal(giqa("build", "folder", photos, "--describe", "org/vlm", "--out", tmp_path / "set"))
    assert sentence.endswith(f"got {photos / name}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["folder", "photos", "--server", "http://127.0.0.1:1/v1"], "expected --describe beside --server"),
        (["giqa-mini", "--describe", "org/vlm"], "expected --describe with SET folder"),
        (
            ["folder", "lost", "--describe", "org/vlm"],
            "expected --describe with SET folder and a folder of photographs",
        ),
    ],
)
def test_options_that_do_not_fit_end_in_one_sentence(photos, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert refusal(giqa("build", *arguments)).startswith(says)


@pytest.mark.slow
def test_a_model_in_this_process_describes_too(photos, tiny_llava):
    described = describe(photos, str(tiny_llava), max_new_tokens=4, batch_size=1)
    assert {line["text_license"] for line in lines(photos)} == {f"machine text of {tiny_llava.name}"}
    assert described.n_new == len(lines(photos))
