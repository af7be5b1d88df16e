"""A real, tiny, randomly initialised Grounding DINO on real photographs."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    SwinConfig,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

from giqa_datasets.boxes import to_boxes
from giqa_datasets.images import decode, shrink
from giqa_datasets.pipeline.backends.grounding_dino import GroundingDino
from giqa_datasets.pipeline.detect import detect
from giqa_datasets.records import Record, Tag
from giqa_datasets.sources import mini
from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


WORDS = ["a", "the", "man", "wearing", "white", "t", "-", "shirt", "cup", "red", "sau", "##cer", "table", "motorcycle"]
# The model's code knows the numbers of BERT's marks
MARKS = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
FIRST_WORD = 1030
PHRASES = ["cup", "man wearing a white t-shirt", "red saucer", "the motorcycle"]


def make_tokenizer() -> BertTokenizer:
    pieces = [MARKS.get(index, f"[unused{index}]") for index in range(FIRST_WORD)] + WORDS
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-dino"
    tokenizer = make_tokenizer()
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(  # type: ignore[call-arg]
            image_size=64, embed_dim=16, depths=[1] * 4, num_heads=[1, 1, 2, 4], window_size=4, out_indices=[2, 3, 4]
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
        ),
        num_queries=40,
        d_model=64,  # its norms take groups of d_model / 32 channels
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
    )
    torch.manual_seed(0)
    network = GroundingDinoForObjectDetection(config)
    for head in network.bbox_embed:  # zero at first: every box would be its anchor
        torch.nn.init.normal_(head.layers[-1].weight, std=1.0)
    network.save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 96}
    GroundingDinoProcessor(GroundingDinoImageProcessorPil(size=size), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dino(model) -> GroundingDino:
    return GroundingDino(str(model))


@pytest.fixture(scope="module")
def images():
    """Real photographs of several sizes, two of them the same."""
    found = [
        shrink(decode(record.photograph.image, name=record.id), 240)
        for record in (entry.load() for entry in mini.entries("test")[:3])
    ]
    assert len({image.size for image in found}) > 1
    return [*found, found[0].rotate(180)]


@pytest.fixture(scope="module")
def found(dino, images):
    """Every phrase in every photograph, in batches of the usual size."""
    return dino.detect(images, [PHRASES] * 4)


@pytest.fixture(scope="module")
def processed(model, images):
    """The processor, and for each phrase its tokens and the network's output on the first photograph."""
    processor = GroundingDinoProcessor.from_pretrained(model)
    network = GroundingDinoForObjectDetection.from_pretrained(model).eval()
    inputs = [processor(images=images[0], text=f"{phrase}.", return_tensors="pt") for phrase in PHRASES]
    with torch.inference_mode():
        return processor, [(each["input_ids"], network(**each)) for each in inputs]


def by_the_processor(processor, tokens, output, box_threshold, text_threshold):
    """The boxes with a token of the phrase in their label, as the model's own post-processing has them."""
    (found,) = processor.post_process_grounded_object_detection(
        output, tokens, threshold=box_threshold, text_threshold=max(box_threshold, text_threshold)
    )
    labelled = [bool(label.replace("[SEP]", "").strip(" .")) for label in found["text_labels"]]
    return found["boxes"].double().numpy().clip(0, 1)[labelled]


def assert_same_set(a, b):
    assert len(a) == len(b)
    np.testing.assert_allclose(a[np.lexsort(a.round(5).T)], b[np.lexsort(b.round(5).T)], atol=1e-4)


@pytest.mark.parametrize("thresholds", [(0.35, 0.25), (0.9, 0.25), (0.2, 0.95)], ids=str)
def test_the_boxes_are_those_of_the_models_own_post_processing(model, images, processed, thresholds):
    box_threshold, text_threshold = thresholds
    dino = GroundingDino(str(model), box_threshold=box_threshold, text_threshold=text_threshold)
    processor, outputs = processed
    for phrase, (tokens, output) in zip(PHRASES, outputs, strict=True):
        ((boxes,),) = dino.detect(images[:1], [[phrase]])
        assert 0 < len(boxes) < 40, phrase
        assert_same_set(boxes, by_the_processor(processor, tokens, output, box_threshold, text_threshold))


def test_the_marks_of_the_prompt_have_no_say(model, dino, images):
    # The processor counts [CLS], [SEP] and the full stop in a box's score
    processor = GroundingDinoProcessor.from_pretrained(model)
    inputs = processor(images=images[0], text="cup.", return_tensors="pt")
    with torch.inference_mode():
        output = GroundingDinoForObjectDetection.from_pretrained(model).eval()(**inputs)
    word = output.logits.sigmoid()[0, :, 1]
    ((boxes,),) = dino.detect(images[:1], [["cup"]])
    assert len(boxes) == (word > 0.35).sum() < (output.logits.sigmoid()[0].amax(dim=1) > 0.35).sum()


def test_boxes_are_valid_and_the_best_comes_first(model, images):
    low, high = (GroundingDino(str(model), box_threshold=threshold) for threshold in (0.0, 0.9))
    for many, few in zip(low.detect(images, [PHRASES] * 4), high.detect(images, [PHRASES] * 4), strict=True):
        for all_boxes, best in zip(many, few, strict=True):
            assert to_boxes(all_boxes).dtype == np.float64
            assert all_boxes.shape[1] == 4
            np.testing.assert_allclose(all_boxes[: len(best)], best, atol=1e-4)


def assert_same(a, b):
    for mine, its in zip(a, b, strict=True):
        for boxes, others in zip(mine, its, strict=True):
            np.testing.assert_allclose(boxes, others, atol=1e-4)


def test_images_of_other_sizes_beside_it_do_not_change_the_boxes(dino, images, found):
    assert_same(found, [dino.detect([image], [PHRASES])[0] for image in images])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_size_of_a_batch_does_not_change_the_boxes(model, images, found, size):
    assert_same(found, GroundingDino(str(model), batch_size=size).detect(images, [PHRASES] * 4))


def test_the_order_of_phrases_and_images_does_not_change_the_boxes(dino, images, found):
    backward = dino.detect(images[::-1], [PHRASES[::-1]] * 4)
    assert_same(found, [boxes[::-1] for boxes in backward[::-1]])


def test_the_same_call_gives_the_same_boxes(dino, images):
    first, second = (dino.detect(images[:1], [PHRASES])[0] for _ in range(2))
    assert [boxes.tolist() for boxes in first] == [boxes.tolist() for boxes in second]


def test_boxes_depend_on_the_phrase_and_on_the_image(dino, images):
    found = dino.detect(images[:2], [["cup", "table"]] * 2)
    assert found[0][0].tolist() != found[0][1].tolist()
    assert found[0][0].tolist() != found[1][0].tolist()


@pytest.mark.parametrize("phrase", ["", "  ", "...", "?", "zebra", "\u2603", "[SEP]", "\n"])
def test_a_phrase_without_a_word_of_the_vocabulary_has_no_answer(dino, images, phrase):
    ((cup, nothing),) = dino.detect(images[:1], [["cup", phrase]])
    assert cup is not None
    assert nothing is None


@pytest.mark.parametrize("phrase", ["Cup.", "CUP", " cup ?", "cup..", ". cup"])
def test_case_and_full_stops_do_not_change_the_prompt(dino, images, phrase):
    ((plain, written),) = dino.detect(images[:1], [["cup", phrase]])
    np.testing.assert_allclose(plain, written, atol=1e-4)


def test_a_phrase_cannot_spell_a_mark_of_the_model(dino, images):
    ((upper, lower),) = dino.detect(images[:1], [["cup [SEP] table", "cup [sep] table"]])
    np.testing.assert_allclose(upper, lower, atol=1e-4)


def test_a_phrase_longer_than_the_models_text_is_cut(dino, images):
    ((cup, long),) = dino.detect(images[:1], [["cup", "red cup " * 300]])
    assert cup is not None
    assert long is not None


def test_nothing_to_look_for_is_nothing_found(dino, images):
    assert dino.detect([], []) == []
    assert dino.detect(images[:2], [[], [""]]) == [[], [None]]


def test_images_and_phrases_of_two_lengths_are_refused(dino, images):
    with pytest.raises(ValueError, match="zip"):
        dino.detect(images[:2], [["cup"]])


def test_the_stage_runs_with_it(dino, photograph):
    text = "The cup is sharp, the snow is blurred."
    spans = {phrase: (text.index(phrase), text.index(phrase) + len(phrase)) for phrase in ("cup", "snow")}
    tags = tuple(Tag(phrase, span, "sharp", "positive", np.zeros((0, 4))) for phrase, span in spans.items())
    drops: list = []
    (record,) = detect([Record("one", photograph, text, "cc0-1.0", tags)], dino, drops.append)
    assert [tag.phrase for tag in record.tags] == ["cup"]
    assert len(to_boxes(record.tags[0].boxes)) > 0
    assert [(drop.stage, drop.reason, drop.what) for drop in drops] == [("detect", "unknown_word", "snow")]


@pytest.mark.parametrize("missing", ["name", "folder", "empty folder", "another model"])
def test_a_model_that_cannot_be_had_is_one_sentence(model, tmp_path, missing):
    (tmp_path / "empty folder").mkdir()
    shutil.copytree(model, tmp_path / "another model")
    BertConfig().save_pretrained(tmp_path / "another model")
    name = "nobody/no-dino" if missing == "name" else str(tmp_path / missing)
    with pytest.raises(OSError, match=r"^detector .* cannot be (fetched|loaded): ") as caught:
        GroundingDino(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_detector_is_refused(model, tmp_path):
    folder = tmp_path / "owl"
    shutil.copytree(model, folder)
    width = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = OwlViTConfig(text_config=width, vision_config=width | {"image_size": 32}, projection_dim=16)
    OwlViTForObjectDetection(config).save_pretrained(folder)
    with pytest.raises(OSError, match="is no Grounding DINO but 'owlvit'"):
        GroundingDino(str(folder))


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "giqa\[annotate\]"'):
        GroundingDino()


def test_the_benchmark_measures_every_batch_size(model, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import detector

    rows = list(detector.measure(str(model), [1, 3], 4, "cpu"))
    assert [size for size, _, _ in rows] == [1, 3]
    assert all(rate > 0 and peak > 0 for _, rate, peak in rows)
