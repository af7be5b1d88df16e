"""Real, tiny, randomly initialised models over the mini sets: order, resuming, sizes, and what is refused."""

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from giqa_datasets.formats import box_format
from giqa_datasets.formats.frames import resized
from giqa_metrics.runs.files import read_config
from giqa_metrics.runs.predict import predict, prompt_of
from tests.conftest import Answer


pytestmark = pytest.mark.slow


LIMIT = 7


@pytest.fixture(scope="module")
def model(tiny_llava) -> Path:
    return tiny_llava


@pytest.fixture(scope="module")
def tiny(workspace) -> str:
    from datasets import load_dataset

    load_dataset(str(workspace / "giqa-tiny"), split="test")  # once, so that no later load shows its progress
    return str(workspace / "giqa-tiny")


@pytest.fixture
def answer(model, tiny):
    """A run of `LIMIT` samples: its folder and options to what `predict` returns."""

    def run(out: Path, **options):
        return predict(str(model), tiny, out, **{"limit": LIMIT, "batch_size": 3, "max_new_tokens": 6} | options)

    return run


def answers(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def ids(tiny: str) -> list[str]:
    from datasets import load_dataset

    return load_dataset(tiny, split="test")["id"]


def test_the_command_answers_the_first_samples_in_order(giqa, model, tiny, tmp_path):
    out = tmp_path / "new" / "run"
    options = ("--limit", LIMIT, "--batch-size", 3, "--max-new-tokens", 6)
    ran = giqa("predict", "--model", model, "--data", tiny, "--out", out, *options)
    assert ran.code == 0, ran.err
    assert ran.out == f"{LIMIT} answers in {out / 'predictions.jsonl'}\n"
    rows = answers(out)
    assert [row["id"] for row in rows] == ids(tiny)[:LIMIT]
    assert all(set(row) == {"id", "prediction"} and isinstance(row["prediction"], str) for row in rows)
    assert any(row["prediction"] for row in rows)
    config = read_config(out)
    assert (config["model"], config["data"], config["split"]) == (str(model), tiny, "test")
    assert (config["box_format"], config["server"]) == ("giqa", False)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(answer, tmp_path):
    assert answer(tmp_path / "whole") == (LIMIT, {})
    whole = (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    path = tmp_path / "killed" / "predictions.jsonl"
    path.write_bytes(whole[: whole.index(b"\n") + 1] + whole[: len(whole) // 2])  # with a line twice
    assert not path.read_bytes().endswith(b"\n")
    assert answer(tmp_path / "killed") == (LIMIT, {})
    assert path.read_bytes() == whole


class Stopped(Exception):
    """Stands for a kill: no line of the run is executed after it."""


def stop_after(count: int):
    """Take so many answers, and then no more."""

    def progress(answers, total, what):
        yield from islice(answers, count)
        raise Stopped

    return progress


@pytest.fixture(scope="module")
def whole(model, bench, tmp_path_factory) -> Path:
    """Answers to the whole mini benchmark, whose questions and images differ in size."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    predict(str(model), str(bench), folder, batch_size=4, max_new_tokens=4)
    return folder


@pytest.mark.parametrize("count", [1, 6, 8])
def test_a_run_that_stopped_inside_a_batch_goes_on_beside_the_same_samples(
    model, bench, whole, tmp_path, monkeypatch, count
):
    from transformers import LlavaForConditionalGeneration

    asked = []
    generate = LlavaForConditionalGeneration.generate

    def watched(self, **inputs):
        asked.append(inputs["pixel_values"].tolist())
        return generate(self, **inputs)

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", watched)
    options = {"batch_size": 4, "max_new_tokens": 4}
    with pytest.raises(Stopped):
        predict(str(model), str(bench), tmp_path, progress=stop_after(count), **options)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    first, asked[:] = asked.copy(), []
    totals = []
    predict(
        str(model), str(bench), tmp_path, progress=lambda made, total, what: totals.append(total) or made, **options
    )
    batches = -(-len(answers(whole)) // 4)
    assert totals == [len(answers(whole)) - count]
    assert len(asked) == batches - count // 4  # whole batches are not asked again
    assert (asked[0] in first) == (count % 4 > 0)
    assert before.count(b"\n") == count
    assert (tmp_path / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()


def test_what_takes_longest_comes_first_and_the_file_ends_in_the_data_sets_order(model, bench, bench_rows, tmp_path):
    seen = []

    def watch(made, total, what):
        for one in made:
            seen.append(one.id)
            yield one
            assert [row["id"] for row in answers(tmp_path)] == seen  # each is there at once

    predict(str(model), str(bench), tmp_path, batch_size=4, max_new_tokens=2, progress=watch)
    rows = {row["id"]: row for row in bench_rows}
    assert [row["id"] for row in answers(tmp_path)] == list(rows) != seen
    tasks = [rows[identifier]["task"] for identifier in seen]
    assert tasks == sorted(tasks, key=["des", "vqa"].index)
    areas = [rows[identifier]["width"] * rows[identifier]["height"] for identifier in seen]
    largest = max(row["width"] * row["height"] for row in bench_rows if row["task"] == "des")
    assert areas[0] == largest > areas[tasks.count("des") - 1]


def test_a_process_that_was_killed_goes_on_and_ends_with_the_same_bytes(giqa, kill, model, bench, whole, tmp_path):
    command = ["predict", "--model", model, "--data", bench, "--out", tmp_path, "--batch-size", 4]
    command += ["--max-new-tokens", 4]
    path = tmp_path / "predictions.jsonl"
    kill(path, 5, *command)
    finished = (whole / "predictions.jsonl").read_bytes()
    assert path.read_bytes().count(b"\n") == 5 < finished.count(b"\n")
    ran = giqa(*command)
    assert ran.code == 0, ran.err
    assert path.read_bytes() == finished


def test_a_data_set_that_lost_a_sample_is_refused_before_anything_is_asked(answer, tmp_path):
    answer(tmp_path)
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "no-such", "prediction": "x"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"answers 'no-such', which .* \(test\) has not: was the data set changed\?$"):
        answer(tmp_path)


def test_a_finished_run_is_left_as_it_is(answer, tmp_path):
    answer(tmp_path)
    path = tmp_path / "predictions.jsonl"
    before = path.read_bytes(), path.stat().st_mtime_ns
    calls = []
    assert answer(tmp_path, progress=lambda batches, total, what: calls.append(total) or batches) == (LIMIT, {})
    assert calls == [0]
    assert path.read_bytes() == before[0]


def test_the_size_of_a_batch_does_not_change_the_answers(model, bench, tmp_path):
    # Questions of the benchmark differ in length, so a batch is padded
    for size in (1, 5):
        predict(
            str(model), str(bench), tmp_path / str(size), config="vqa", limit=10, batch_size=size, max_new_tokens=6
        )
    assert answers(tmp_path / "1") == answers(tmp_path / "5")


def test_answers_depend_on_the_picture(answer, tmp_path):
    answer(tmp_path, limit=30, batch_size=30)
    assert len({row["prediction"] for row in answers(tmp_path)}) > 1


@pytest.mark.parametrize(
    "change",
    [
        {"limit": LIMIT + 1},
        {"split": "train"},
        {"max_new_tokens": 7},
        {"config": "des"},
        {"box_format": "ferret"},
        {"server": "http://127.0.0.1:1/v1"},
    ],
    ids=str,
)
def test_other_options_into_the_same_folder_are_refused(answer, tmp_path, change):
    answer(tmp_path, limit=LIMIT)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    with pytest.raises(ValueError, match="holds another run"):
        answer(tmp_path, **change)
    assert (tmp_path / "predictions.jsonl").read_bytes() == before


def test_another_model_into_the_same_folder_is_refused(giqa, answer, model, tiny, tmp_path):
    out = tmp_path / "run"
    answer(out)
    before = (out / "predictions.jsonl").read_bytes()
    other = tmp_path / "other"
    shutil.copytree(model, other)
    options = ("--limit", LIMIT, "--max-new-tokens", 6)
    ran = giqa("predict", "--model", other, "--data", tiny, "--out", out, *options)
    assert ran.code == 2
    assert f"giqa: {out} holds another run" in ran.err
    assert ran.out == ""
    assert (out / "predictions.jsonl").read_bytes() == before


@pytest.mark.parametrize("missing", ["model", "model by name", "data", "data by name", "split", "columns"])
def test_what_is_missing_is_one_sentence_and_leaves_no_folder(giqa, model, tiny, tmp_path, missing):
    other = tmp_path / "other" / "data"
    other.mkdir(parents=True)
    import pyarrow
    import pyarrow.parquet
    from datasets import load_dataset

    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"]}), other / "test-00000-of-00001.parquet")
    load_dataset(str(other.parent))
    out = tmp_path / "out"
    options = {"--model": model, "--data": tiny, "--split": "test", "--out": out, "--limit": 2} | {
        "model": {"--model": tmp_path / "no-model"},
        "model by name": {"--model": "nobody/no-model"},
        "data": {"--data": tmp_path / "no-data"},
        "data by name": {"--data": "no-data"},
        "split": {"--split": "validation"},
        "columns": {"--data": other.parent},
    }[missing]
    ran = giqa("predict", *(part for pair in options.items() for part in pair))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_holds_no_model_is_one_sentence(giqa, tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = giqa("predict", "--model", tmp_path / "empty", "--data", tiny, "--out", tmp_path / "out", "--limit", 1)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("giqa: ")
    assert str(tmp_path / "empty") in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named_and_the_answers_before_it_are_kept(giqa, model, broken, tmp_path):
    options = ("--batch-size", 1, "--max-new-tokens", 3)
    ran = giqa("predict", "--model", model, "--data", broken, "--out", tmp_path / "run", *options)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"giqa: image {ids(str(broken))[2]!r} cannot be read: ")
    assert [row["id"] for row in answers(tmp_path / "run")] == ids(str(broken))[:2]


QWEN_TEMPLATE = (
    "{% for turn in messages %}{% for part in turn.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{{ '\n' }}{% endfor %}"
)


@pytest.fixture(scope="module")
def make_qwen(tmp_path_factory):
    """Write a tiny Qwen2.5-VL that knows bytes; its processor without videos, which need torchvision."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        AutoProcessor,
        GenerationConfig,
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
    )
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    class StillQwenProcessor(Qwen2_5_VLProcessor):
        def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(
                [self.image_token, self.video_token]
            )
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    AutoProcessor.register(Qwen2_5_VLConfig, StillQwenProcessor, exist_ok=True)
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    vision = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    place = {piece: index for index, piece in enumerate([*special.values(), *vision, *alphabet])}
    raw = Tokenizer(models.BPE(place, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, additional_special_tokens=vision, **special)
    ids = {f"{name}_id": place[piece] for name, piece in special.items() if name != "unk_token"}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10_000.0}
    width = {"hidden_size": 32, "intermediate_size": 64}

    def make(name: str, **pixels: int) -> Path:
        folder = tmp_path_factory.mktemp("models") / name
        config = Qwen2_5_VLConfig(
            text_config={
                **width,
                **ids,
                "vocab_size": len(tokenizer),
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "rope_parameters": rope,
            },
            vision_config={**width, "depth": 1, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [0]},
            **{f"{kind}_token_id": place[f"<|{kind}_pad|>"] for kind in ("image", "video")},
            **{f"vision_{end}_token_id": place[f"<|vision_{end}|>"] for end in ("start", "end")},
            **ids,
        )
        torch.manual_seed(0)
        network = Qwen2_5_VLForConditionalGeneration(config)
        network.generation_config = GenerationConfig(**ids)
        network.save_pretrained(folder)
        StillQwenProcessor(
            image_processor=Qwen2VLImageProcessorPil(**pixels), tokenizer=tokenizer, chat_template=QWEN_TEMPLATE
        ).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def qwen_run(make_qwen, bench, tmp_path_factory) -> Path:
    """Answers of a tiny Qwen2.5-VL to the first descriptions of the mini benchmark."""
    folder = tmp_path_factory.mktemp("qwen") / "run"
    options = {"config": "des", "limit": 6, "batch_size": 4, "max_new_tokens": 4}
    predict(str(make_qwen("tiny-qwen")), str(bench), folder, box_format="qwen2_5_vl", **options)
    return folder


def test_a_model_that_counts_in_pixels_of_its_input_says_how_large_that_was(qwen_run, bench_rows):
    rows = [row for row in bench_rows if row["task"] == "des"][:6]
    written = answers(qwen_run)
    assert [row["id"] for row in written] == [row["id"] for row in rows]
    assert [row["input_size"] for row in written] == [list(resized((row["width"], row["height"]))) for row in rows]
    assert len({tuple(row["input_size"]) for row in written}) > 1
    assert all(width % 28 == 0 and height % 28 == 0 for width, height in (row["input_size"] for row in written))


def test_the_size_is_that_of_the_models_own_processor(make_qwen, bench, bench_rows, tmp_path):
    few = make_qwen("few-pixels", min_pixels=28 * 28, max_pixels=200 * 200)
    predict(str(few), str(bench), tmp_path, config="des", limit=2, max_new_tokens=2)
    by_id = {row["id"]: (row["width"], row["height"]) for row in bench_rows}
    for row in answers(tmp_path):
        expected = resized(by_id[row["id"]], max_pixels=200 * 200)
        assert tuple(row["input_size"]) == expected != resized(by_id[row["id"]])


def test_a_server_with_the_models_folder_tells_the_same_size(make_qwen, bench, bench_rows, server, tmp_path):
    few = make_qwen("served", min_pixels=28 * 28, max_pixels=200 * 200)
    server.rule = lambda asked: Answer('{"bbox_2d": [1, 2, 30, 40], "label": "cup"}')
    told = {"server": server.url, "processor": str(few), "box_format": "qwen2_5_vl", "config": "des", "limit": 2}
    predict("served", str(bench), tmp_path, max_new_tokens=2, **told)
    by_id = {row["id"]: (row["width"], row["height"]) for row in bench_rows}
    for row in answers(tmp_path):
        assert tuple(row["input_size"]) == resized(by_id[row["id"]], max_pixels=200 * 200)


def test_a_model_is_asked_in_its_box_format(bench, bench_rows, server, tmp_path):
    server.rule = lambda asked: Answer("x")
    for name, as_is in (("giqa", False), ("qwen_vl", False), ("qwen_vl", True)):
        server.asked.clear()
        folder = tmp_path / f"{name}-{as_is}"
        predict("m", str(bench), folder, server=server.url, box_format=name, question_as_is=as_is, max_new_tokens=2)
        assert read_config(folder)["question_as_is"] is as_is
        asked = {turn.body["messages"][0]["content"][1]["text"] for turn in server.asked}
        if as_is or name == "giqa":
            assert asked == {row["question"] for row in bench_rows}
            continue
        texts = "\n".join(asked)
        assert "Note positions as <ref>label</ref><box>(x1,y1),(x2,y2)</box>." in texts
        assert "](<" not in texts
        referring = [row for row in bench_rows if any(region["role"] == "question" for region in row["regions"])]
        assert referring
        for row in referring:
            exact = [region["boxes"] for region in row["regions"] if region["role"] == "question"]
            found = box_format("qwen_vl").read(prompt_of(row, "qwen_vl")).regions
            assert np.abs(np.concatenate([region.boxes for region in found]) - np.concatenate(exact)).max() < 0.001


def test_two_phrases_of_one_name_keep_their_own_boxes(bench_rows):
    row = next(row for row in bench_rows if any(region["role"] == "question" for region in row["regions"]))
    boxes = [[0.1, 0.1, 0.3, 0.3]], [[0.6, 0.6, 0.9, 0.9]]
    regions = [{"phrase": "cup", "role": "question", "boxes": its} for its in boxes]
    row = row | {"question": "Is the [cup](<42, 105>) or the [cup](<252, 357>) sharper?", "regions": regions}
    found = box_format("qwen_vl").read(prompt_of(row, "qwen_vl")).regions
    np.testing.assert_allclose([region.boxes for region in found], boxes, atol=1e-6)
    elsewhere = row | {"regions": regions[:1]}  # which of the two that is, nobody can tell: the text's cells
    found = box_format("qwen_vl").read(prompt_of(elsewhere, "qwen_vl")).regions
    np.testing.assert_allclose([region.boxes for region in found], boxes, atol=0.06)


def test_a_family_with_boxes_of_its_own_is_hinted_at_and_not_guessed(make_qwen, bench, tmp_path, caplog):
    tiny_qwen = str(make_qwen("silent"))
    predict(tiny_qwen, str(bench), tmp_path / "silent", config="des", limit=1, max_new_tokens=2)
    assert read_config(tmp_path / "silent")["box_format"] == "giqa"
    hint = (
        "hint: unless it was trained on GIQA, a qwen2_5_vl writes boxes as --box-format qwen2_5_vl; this run says giqa"
    )
    assert caplog.messages == [hint]
    for name in ("giqa", "qwen2_5_vl"):
        predict(tiny_qwen, str(bench), tmp_path / name, box_format=name, config="des", limit=1, max_new_tokens=2)
        assert read_config(tmp_path / name)["box_format"] == name
    assert caplog.messages == [hint]


def test_an_unknown_box_format_is_one_sentence_before_the_model_is_loaded(giqa, tiny, tmp_path):
    options = ("--data", tiny, "--out", tmp_path / "run", "--box-format", "xyxy")
    ran = giqa("predict", "--model", tmp_path / "no-model", *options)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("giqa: expected a box format out of ['deepseek_vl2', ")
    assert not (tmp_path / "run").exists()


def test_the_sizes_are_read_when_the_run_is_scored(qwen_run):
    from giqa_metrics.runs.files import read_predictions
    from giqa_metrics.runs.score import Options, compute

    options = Options(similarity="exact", resamples=0)  # and the box format that the run names
    rows: list[dict] = []
    scored = compute(qwen_run, options=options, keep=lambda some, _: rows.extend(some))
    sizes = {row["id"]: tuple(row["input_size"]) for row in answers(qwen_run)}
    assert read_predictions(qwen_run / "predictions.jsonl").input_sizes == sizes
    assert {row["id"]: row["input_size"] for row in rows} == sizes
    assert scored.summary["settings"]["box_format"] == "qwen2_5_vl"
