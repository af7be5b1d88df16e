"""`giqa check RECIPE` on real processors and TRL's collator: it passes what is shipped and catches what is planted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.formats import FORMATS, Sizes
from giqa_datasets.package_files import shipped
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.regions import Region, locate
from giqa_datasets.text import strip
from giqa_metrics.models.native_formats import NATIVE
from giqa_metrics.recipe_check import image_geometry
from tests.paths import TESTS
from tests.tiny_models import make


pytestmark = pytest.mark.slow


LLAVA = shipped("recipes") / "llava-v1.5-7b"
PHOTOGRAPH = (640, 426)
BOXES = np.array([[0.1, 0.2, 0.4, 0.6], [0.0, 0.0, 0.05, 1.0], [0.7, 0.5, 1.0, 0.9]])
CLIP = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_llava) -> Path:
    """Folders named as the recipes name them: a processor that crops, and the ones that their headers prepare."""
    folder = tmp_path_factory.mktemp("models")
    make("llava", folder / "cropping")
    make("llava_next", folder / "llava-1.6-7b")
    shutil.copytree(folder / "cropping", folder / "llava-1.5-7b")
    for name in ("chat_template.jinja", "processor_config.json"):
        shutil.copy(LLAVA / name, folder / "llava-1.5-7b")
    shutil.copytree(folder / "llava-1.5-7b", folder / "llava-1.5-13b")
    shutil.copy(LLAVA / "chat_template.jinja", folder / "llava-1.6-7b")
    shutil.copytree(tiny_llava, folder / "tiny-llava")
    (folder / "tiny-llava-sft").symlink_to("tiny-llava")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, workspace, models, bench) -> Path:
    """A current folder with models, data and recipes under the names that the recipes use."""
    for model in models.iterdir():
        (tmp_path / model.name).symlink_to(model)
    (tmp_path / "giqa-160k").symlink_to(workspace / "giqa-mini")
    (tmp_path / "giqa-tiny").symlink_to(workspace / "giqa-tiny")
    (tmp_path / "bench").symlink_to(bench)
    (tmp_path / "recipes").symlink_to(shipped("recipes"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reinforced(here):
    """Write the tiny model's recipe of reinforcement with keys changed."""

    def write(**changed: object) -> Path:
        keys = yaml.safe_load((shipped("recipes") / "tiny" / "grpo.yaml").read_text("utf-8"))
        path = here / "grpo.yaml"
        path.write_text(yaml.safe_dump(keys | changed), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"max_completion_length": 8}, "its answer takes 24 tokens, max_completion_length cuts it off at 8"),
        ({"remove_unused_columns": True}, "remove_unused_columns takes the column answer from the rewards"),
        ({"reward_funcs": ["giqa_metrics.rewards.overlap_gemini"]}, "its right answer earns 0.00 by giqa_metrics"),
        ({"reward_funcs": ["giqa_metrics.rewards.overlap_qwen2_vl"]}, "which the trainer decodes away"),
        ({"reward_funcs": ["giqa_metrics.rewards.overlapp"]}, "has no attribute 'overlapp'"),
        ({"reward_funcs": ["overlap"]}, "trl knows no reward 'overlap', and it is no dotted path"),
        ({"use_vllm": True, "vllm_max_model_length": 64}, "vllm_max_model_length has room for 64"),
    ],
)
def test_what_reinforcement_would_not_learn_from_is_a_finding(giqa, reinforced, changed, says):
    ran = giqa("check", reinforced(**changed), "--limit", "2")
    assert ran.code == 1
    assert says in ran.out


def test_a_reward_of_the_recipes_folder_is_not_run(giqa, here, reinforced):
    (here / "theirs.py").write_text("raise SystemExit('run')")
    ran = giqa("check", reinforced(reward_funcs=["theirs.reward"]), "--limit", "2")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "findings: 0")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"reward_funcs": "giqa_metrics.rewards.grounding"}, "expected reward_funcs to be a list, such as ["),
        ({"per_device_train_batch_size": 6}, "generation_batch_size (6) must be divisible by num_generations (8)"),
        ({"num_generation": 8}, "trl grpo refuses"),
    ],
)
def test_a_recipe_that_trl_would_refuse_is_one_sentence(giqa, reinforced, changed, says):
    ran = giqa("check", reinforced(**changed), "--limit", "2")
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err.splitlines()[-1]


@pytest.fixture
def recipe(here):
    """Write a recipe: keys to change, None for one to leave out."""

    def write(**changed: object) -> Path:
        keys = {
            "model_name_or_path": "llava-1.5-7b",
            "dataset_name": "bench",
            "dataset_train_split": "test",
            "max_length": "null",
        }
        lines = [f"{key}: {value}" for key, value in (keys | changed).items() if value is not None]
        path = here / "recipe.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def rewritten(write):
    """A change of rows: every completion and prompt written again by a function of the plain text and its regions."""

    def change(row):
        row = json.loads(json.dumps({key: value for key, value in row.items() if key != "image"})) | {
            "image": row["image"]
        }
        for role, column in (("question", "prompt"), ("answer", "completion")):
            plain = strip(row[role])
            boxes = [(each["phrase"], np.array(each["boxes"])) for each in row["regions"] if each["role"] == role]
            row[column][0]["content"] = write(plain, locate(plain, boxes), (row["width"], row["height"]))
        return row

    return change


def in_pixels(plain: str, regions: tuple[Region, ...], size: tuple[int, int]) -> str:
    """What no format reads: numbers of the original's pixels."""
    for region in reversed(regions):
        written = (region.boxes * np.tile(size, 2)).round().astype(int).tolist()
        plain = f"{plain[: region.span[1]]}({written}){plain[region.span[1] :]}"
    return plain


def as_qwen3(plain: str, regions: tuple[Region, ...], size: tuple[int, int]) -> str:
    return FORMATS["qwen3_vl"].write(plain, regions, Sizes(image=size))


@pytest.mark.parametrize(
    "name",
    ["tiny/sft_full", "tiny/grpo"]
    + [f"llava-v{size}/sft_{kind}" for size in ("1.5-7b", "1.5-13b", "1.6-7b") for kind in ("full", "lora")],
)
def test_a_shipped_recipe_passes(giqa, here, name):
    ran = giqa("check", f"recipes/{name}.yaml", "--limit", "4")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "findings: 0"), ran.out + ran.err
    assert not list(here.glob("*.check")), "pictures that nobody asked for"


@pytest.mark.parametrize(
    ("family", "model", "name"),
    [
        ("qwen3_vl", "qwen3-vl-8b", "qwen3-vl-8b/sft_lora"),
        ("smolvlm", "smolvlm2-2.2b", "smolvlm2-2.2b/sft_lora"),
    ],
)
def test_a_shipped_recipe_passes_on_a_family_that_needs_torchvision(python, here, workspace, family, model, name):
    make(family, here / model)
    if family == "qwen3_vl":
        shutil.copy(shipped("recipes") / "qwen3-vl-8b" / "preprocessor_config.json", here / model)
        out, annotations = here / "giqa-160k-qwen3-vl", workspace / "giqa-mini.annotations"
        build_set(SetRequest("giqa-mini"), out, annotations, Choice(), box_format="qwen3_vl")
    command = ("-m", "giqa_metrics.cli", "check", f"recipes/{name}.yaml", "--limit", "2", "--format", "json")
    ran = python(*command, cwd=here, PYTHONPATH=TESTS / "stand_ins")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["findings"], told["warnings"]) == ([], [])
    for sample in told["samples"]:
        assert sample["boxes"]
        assert all(placed["landed"]["share"] == 1 for placed in sample["boxes"])


def test_every_sample_is_told_with_its_tokens_and_its_boxes(giqa, recipe, bench_rows):
    ran = giqa("check", recipe(), "--limit", "3", "--format", "json", "--draw", "drawn")
    told = json.loads(ran.out)
    assert (ran.code, told["formats"], told["model_type"], told["context"]) == (0, ["giqa"], "llava", 4096)
    by_id = {row["id"]: row for row in bench_rows}
    assert len(told["samples"]) == 3
    longest = max(bench_rows, key=lambda row: len(row["completion"][0]["content"]))
    assert longest["id"] in [sample["id"] for sample in told["samples"]]
    for sample, picture in zip(told["samples"], told["pictures"], strict=True):
        row = by_id[sample["id"]]
        answer = len(row["completion"][0]["content"].encode()) + 2  # bytes, a space before them, the end
        assert sample["answer"] == f" {row['completion'][0]['content']}</s>"
        assert sample["tokens"]["answer"] == sample["tokens"]["learned"] == answer
        assert (sample["tokens"]["image"], sample["view"], sample["seen"]) == (576, [336, 336], 1)
        boxes = [box for region in row["regions"] for box in region["boxes"]]
        assert [placed["box"] for placed in sample["boxes"]] == boxes
        assert all(placed["landed"]["share"] == 1 for placed in sample["boxes"])
        assert all(placed["landed"]["error"] <= 20 * 0.51 / 336 * 1.6 for placed in sample["boxes"])
        with Image.open(picture) as drawn:
            assert drawn.height > image_geometry.HEIGHT


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"model_name_or_path": "cropping"}, "the model sees 6", id="crop"),
        pytest.param({"chat_template_path": "endless.jinja"}, "its answer has no end token", id="no end"),
        pytest.param({"chat_template_path": "chatty.jinja"}, "its answer goes on after the end token", id="after"),
        pytest.param({"chat_template_path": "shouting.jinja"}, "expected its answer to be '", id="another answer"),
        pytest.param({"max_length": 1000}, "max_length 1000 cuts off the last ", id="cut"),
        pytest.param({"max_length": 600}, "of the answer, so that the loss is on nothing", id="all cut"),
        pytest.param({"completion_only_loss": "false"}, "tokens before the answer too", id="loss on the prompt"),
        pytest.param({"dataset_name": "wrong"}, "wrong format: no box format reads the boxes", id="wrong format"),
        pytest.param({"dataset_name": "mixed"}, "wrong format: it writes boxes as ", id="several formats"),
        pytest.param({"model_name_or_path": "short"}, "the model takes 600", id="context"),
        pytest.param({"model_name_or_path": "tiny-llava"}, "the tokenizer does not know ", id="unknown words"),
    ],
)
def test_a_planted_fault_is_caught_and_drawn(giqa, here, recipe, copy_of_bench, changed, sentence):
    template = (LLAVA / "chat_template.jinja").read_text(encoding="utf-8")
    (here / "endless.jinja").write_text(template.replace(" + eos_token", ""), encoding="utf-8")
    (here / "chatty.jinja").write_text(template.replace("+ eos_token", "+ eos_token + 'Bye.'"), encoding="utf-8")
    (here / "shouting.jinja").write_text(
        template.replace("' ' + text(message.content) + eos", "' ' + text(message.content) | upper + eos"),
        encoding="utf-8",
    )
    if changed.get("dataset_name") == "wrong":
        copy_of_bench(rewritten(in_pixels), name="wrong")
    if changed.get("dataset_name") == "mixed":
        seen_ids = []

        def every_other(row):
            seen_ids.append(row["id"])
            return rewritten(as_qwen3)(row) if len(seen_ids) % 2 else row

        copy_of_bench(every_other, name="mixed")
    if changed.get("model_name_or_path") == "short":
        shutil.copytree(here / "llava-1.5-7b", here / "short")
        config = json.loads((here / "short" / "config.json").read_text())
        config["text_config"]["max_position_embeddings"] = 600
        (here / "short" / "config.json").write_text(json.dumps(config))
    ran = giqa("check", recipe(**changed))
    assert ran.code == 1, ran.out + ran.err
    assert any(line.startswith("sample ") and sentence in line for line in ran.out.splitlines()), ran.out
    pictures = list((here / "recipe.check").glob("*.jpg"))
    assert len(pictures) == 8
    assert f"pictures: {here / 'recipe.check'}" in ran.out


def test_boxes_in_a_format_that_the_family_does_not_use_are_warned_of(giqa, recipe, copy_of_bench, monkeypatch):
    monkeypatch.setitem(NATIVE, "llava", "qwen3_vl")
    ran = giqa("check", recipe(), "--limit", "2")
    assert ran.code == 0
    assert "warning: the data write boxes as giqa, models of type llava know qwen3_vl" in ran.out
    copy_of_bench(rewritten(as_qwen3), name="qwen")
    ran = giqa("check", recipe(dataset_name="qwen"), "--limit", "2")
    assert ran.code == 0
    assert "boxes are written as qwen3_vl" in ran.out
    assert "warning" not in ran.out


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"model_name_or_path": "nowhere"}, "model 'nowhere' is no folder here, is not installed"),
        ({"model_name_or_path": None}, "expected model_name_or_path and dataset_name in "),
        ({"dataset_name": None}, "expected model_name_or_path and dataset_name in "),
        ({"dataset_name": "nowhere"}, "data set 'nowhere' is no folder here"),
        ({"max_seq_length": 2048}, "unrecognized arguments: --max_seq_length"),
        ({"learning_rate": "fast"}, "invalid float value: 'fast'"),
        ({"accelerate_config": "zero9"}, "Accelerate config zero9"),
        ({"chat_template_path": "none.jinja"}, "expected chat_template_path to be a .jinja file, got 'none.jinja'"),
        ({"chat_template_path": "broken.jinja"}, "makes no batch: "),
        ({"assistant_only_loss": "true"}, "makes no batch: "),
        ({"lora_r": "[1"}, "is no YAML"),
    ],
)
def test_what_cannot_be_checked_ends_in_a_sentence(giqa, here, recipe, changed, sentence):
    (here / "broken.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
    ran = giqa("check", recipe(**changed))
    assert (ran.code, ran.out) == (2, "")
    assert sentence in ran.err
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1


def test_a_recipe_that_is_not_there_and_options_of_recipes_elsewhere(giqa, here):
    assert "No such file" in giqa("check", "none.yaml").err
    assert "with a recipe alone" in giqa("check", "bench", "--limit", "3").err


def test_no_code_of_the_model_folder_is_run(giqa, here, recipe):
    shutil.copytree(here / "llava-1.5-7b", here / "hostile")
    (here / "hostile" / "evil.py").write_text(f"open({str(here / 'ran')!r}, 'w')\nclass Evil: pass\n")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        path = here / "hostile" / name
        settings = json.loads(path.read_text())
        names = ("AutoConfig", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor")
        settings["auto_map"] = dict.fromkeys(names, "evil.Evil")
        settings |= {"processor_class": "Evil"} | ({"model_type": "evil"} if name == "config.json" else {})
        path.write_text(json.dumps(settings))
    ran = giqa("check", recipe(model_name_or_path="hostile", trust_remote_code="true"))
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be loaded: it needs code that comes with it, and none is run" in ran.err
    assert not (here / "ran").exists()


def views_of(image_processor, size: tuple[int, int], **settings) -> list[image_geometry.View]:
    """What a real image processor gives a model of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)

    def process(image: Image.Image):
        return image_processor(images=[image], return_tensors="pt", **settings)

    image = Image.fromarray(noise)
    return image_geometry.find_views(image, process(image), process, image_processor)


def lands(views: list[image_geometry.View], view: int) -> np.ndarray:
    """Where `BOXES` lie in one view, edges that are out of it included."""
    return BOXES * np.tile(views[view].scale, 2) + np.tile(views[view].shift, 2)


def close(found, expected) -> bool:
    return bool(np.abs(np.asarray(found) - expected).max() < 0.3)  # of a pixel


@pytest.mark.parametrize("size", [PHOTOGRAPH, (426, 640), (1000, 300), (64, 48)])
def test_padding_to_a_square_is_measured(size):
    from transformers import AutoImageProcessor

    views = views_of(AutoImageProcessor.from_pretrained(LLAVA), size)
    scale = 336 / max(size)
    offset = (max(size) - np.array(size)) // 2 * scale
    assert close(lands(views, 0), BOXES * np.tile(size, 2) * scale + np.tile(offset, 2))
    assert [image_geometry.land(box, views).share for box in BOXES] == [1, 1, 1]


@pytest.mark.parametrize("size", [PHOTOGRAPH, (64, 48)])
def test_squashing_is_measured(size):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    views = views_of(CLIPImageProcessorPil(size={"height": 80, "width": 80}, do_center_crop=False, **CLIP), size)
    assert close(lands(views, 0), BOXES * 80)
    found = image_geometry.land(BOXES[0], views)
    assert close(found.box, BOXES[0] * 80)
    assert found.error == pytest.approx(0, abs=0.02)


def test_a_center_crop_is_measured():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    views = views_of(CLIPImageProcessorPil(**CLIP), PHOTOGRAPH)  # the shorter side to 224, then 224 x 224
    width = int(224 * 640 / 426)
    left = (width - 224) // 2
    assert close(lands(views, 0), BOXES * [width, 224, width, 224] - [left, 0, left, 0])
    low, high = left / width, (left + 224) / width
    for box in BOXES:
        share = max(0, min(box[2], high) - max(box[0], low)) / (box[2] - box[0])
        found = image_geometry.land(box, views)
        assert found.share == pytest.approx(share, abs=0.5 / width / (box[2] - box[0]) + 1e-3)
        lost = max(low - box[0], box[2] - high, 0) if box[2] > low else low - box[0]
        assert found.error == pytest.approx(20 * lost, abs=20 * 1.01 / width)
    gone = image_geometry.land(BOXES[1], views)
    assert (gone.box, gone.share) == (None, 0)
    assert image_geometry.share(np.array([0.0, 0, 1, 1]), views) == pytest.approx(224 / width, abs=2 / width)


def test_the_tiles_of_llava_next_are_measured():
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    processor = LlavaNextImageProcessorPil(
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        **CLIP,
    )
    views = views_of(processor, (800, 600))  # 672 x 504 in the middle of 672 x 672
    whole, *tiles = views
    assert len(tiles) == 4
    assert whole.shown.tolist() == pytest.approx([0, 0, 1, 1])
    for number, (x, y) in enumerate([(0, 0), (336, 0), (0, 336), (336, 336)], start=1):
        expected = BOXES * [672, 504, 672, 504] + [-x, 84 - y] * 2
        assert close(lands(views, number), expected)
    assert image_geometry.share(np.array([0.0, 0, 1, 1]), tiles) == pytest.approx(1)
    inside = np.array([0.6, 0.6, 0.9, 0.9])
    found = image_geometry.land(inside, views)
    assert (found.view, found.share) == (4, 1)
    assert close(found.box, inside * [672, 504, 672, 504] + [-336, 84 - 336] * 2)
    assert image_geometry.land(np.array([0.3, 0.3, 0.7, 0.7]), views).view == 0  # it lies in no tile alone


def test_the_patches_of_qwen3_vl_are_measured():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    size = {"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}
    mean = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = Qwen2VLImageProcessorPil(patch_size=16, merge_size=2, temporal_patch_size=2, size=size, **mean)
    views = views_of(processor, PHOTOGRAPH)
    assert [view.pixels.shape for view in views] == [(416, 640, 3)]  # sides in steps of 32
    assert close(lands(views, 0), BOXES * [640, 416, 640, 416])
    assert image_geometry.land(BOXES[2], views).share == 1


def test_the_tiles_of_smolvlm_are_measured():
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    processor = SmolVLMImageProcessorPil(size={"longest_edge": 4 * 384}, max_image_size={"longest_edge": 384})
    views = views_of(processor, PHOTOGRAPH)
    *tiles, whole = views  # 1536 x 1152: four columns, three rows, and the whole at the end
    assert len(tiles) == 12
    assert close(lands(views, 12), BOXES * 384)
    for number in range(12):
        row, column = divmod(number, 4)
        expected = BOXES * [1536, 1152, 1536, 1152] - [384 * column, 384 * row] * 2
        assert close(lands(views, number).clip(0, 384), expected.clip(0, 384))
    assert image_geometry.main_view(views) is whole
    assert image_geometry.land(np.array([0.3, 0.4, 0.45, 0.6]), views).view == 5


@pytest.mark.parametrize(
    ("process", "sentence"),
    [
        (lambda image: {"pixel_values": torch.zeros(1, 10, 30)}, r"got the shape \(1, 10, 30\)"),
        (lambda image: {}, r"got the shape \(0,\)"),
        (lambda image: {"pixel_values": torch.zeros(1, 3, 8, 8)}, "does not follow the picture"),
        (lambda image: {"pixel_values": planes(image).transpose(2, 3)}, "bends, turns or mixes"),
        (lambda image: {"pixel_values": planes(image).flip(3)}, "bends, turns or mixes"),
        (lambda image: {"pixel_values": planes(image)[:, :, :, :1]}, "and more of it than a line"),
    ],
)
def test_what_cannot_be_followed_is_refused(process, sentence):
    image = Image.new("RGB", (40, 40), "blue")
    with pytest.raises(ValueError, match=sentence):
        image_geometry.find_views(image, process(image), process, None)


def planes(image: Image.Image) -> torch.Tensor:
    return torch.tensor(np.asarray(image)).permute(2, 0, 1)[None] / 255


def test_the_view_in_the_picture_is_what_the_model_is_given():
    from transformers import AutoImageProcessor

    image = Image.new("RGB", (200, 100), (250, 10, 120))
    processor = AutoImageProcessor.from_pretrained(LLAVA)

    def process(picture):
        return processor(images=[picture], return_tensors="pt")

    (view,) = image_geometry.find_views(image, process(image), process, processor)
    assert np.abs(view.pixels[100:230].astype(int) - [250, 10, 120]).max() <= 2
    assert np.abs(view.pixels[:60].astype(int) - [122, 116, 104]).max() <= 2  # LLaVA pads with CLIP's mean


def test_cut_boxes_are_drawn_in_red_and_what_is_not_seen_is_dark(tmp_path):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image = Image.new("RGB", (600, 400), (150, 150, 150))
    processor = CLIPImageProcessorPil(**CLIP)

    def process(picture):
        return processor(images=[picture], return_tensors="pt")

    views = image_geometry.find_views(image, process(image), process, processor)
    boxes = np.array([[0.05, 0.1, 0.35, 0.5], [0.4, 0.2, 0.6, 0.8]])  # the crop leaves 1/6 to 5/6 of the width
    image_geometry.draw_sheet(image, boxes, views, tmp_path / "sheet.jpg")
    sheet = np.asarray(Image.open(tmp_path / "sheet.jpg")).astype(int)
    left, right = (
        sheet[30 : 30 + image_geometry.HEIGHT, 10:610],
        sheet[30 : 30 + image_geometry.HEIGHT, 620 : 620 + image_geometry.HEIGHT],
    )
    for colour, edge, landed in (
        (image_geometry.RED, (0.35, 0.3), (0.275, 0.3)),
        (image_geometry.GREEN, (0.4, 0.5), (0.35, 0.5)),
    ):
        for picture, (x, y) in ((left, edge), (right, landed)):
            row, column = round(y * picture.shape[0]), round(x * picture.shape[1])
            near = picture[row, column - 4 : column + 5]
            assert np.abs(near - colour).max(axis=-1).min() < 90
    assert np.abs(left[300, 20] - 50).max() < 10
    assert np.abs(left[300, 200] - 150).max() < 10
    assert np.abs(right[300, 20] - 150).max() < 10
