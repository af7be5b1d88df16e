"""Tiny models of the recipes' families with random weights, in folders as the Hub has them.

`python tests/tiny_models.py FAMILY FOLDER` writes one. Weights, configs and tokenizers are those of real transformers
classes, so are the settings of the image processors: the big models' pixels and tokens, and a network of width 32.
The chat templates are the big models' own, or say as little as they do: LLaVA's know no end of an answer.
"""

import json
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)


WIDTH = 32
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
VISION = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH}
LLAVA_TEMPLATE = (
    "{% for turn in messages %}{{ turn.role.upper() + ': ' }}"
    "{% for part in turn.content if part.type == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in turn.content if part.type == 'text' %}{{ part.text + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
CLIP = {
    "crop_size": {"height": 336, "width": 336},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 336},
}


def make(family: str, folder: Path) -> None:
    """Write model, tokenizer, processor settings and chat template; `FAMILIES` names what there is."""
    torch.manual_seed(0)
    FAMILIES[family](folder)


def make_llama(folder: Path, says: str, context: int) -> None:
    """Write a Llama that knows bytes, of a context in tokens: random and endless, or built to say one thing.

    It is built, not trained: whether a training converges depends on the processor.
    """
    pieces: list[str] = []  # of what it says, no two alike: each says what follows it
    while rest := says[len("".join(pieces)) :]:
        pieces.append(next(rest[:size] for size in range(1, len(rest) + 1) if rest[:size] not in pieces))
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    line_end, *spelled = (byte_level.pre_tokenize_str(piece)[0][0] for piece in ["\n", *pieces])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*special.values(), *alphabet, *spelled]))}
    tokenizer = _byte_level(vocabulary, **special)
    torch.manual_seed(0)
    text = TEXT | {"max_position_embeddings": context}
    network = LlamaForCausalLM(LlamaConfig(**text, vocab_size=len(tokenizer), **_ids(tokenizer)))
    embeddings, head = network.model.embed_tokens.weight.data, network.lm_head.weight.data
    head[: len(special)] = 0  # never the greatest of so many: what is random never stops
    if says:
        for layer in network.model.layers:  # a layer adds nothing to a token's embedding
            layer.self_attn.o_proj.weight.data.zero_()
            layer.mlp.down_proj.weight.data.zero_()
        embeddings.zero_()
        head.zero_()
        chain = [vocabulary[piece] for piece in (line_end, *spelled, "</s>")]
        for place, (now, then) in enumerate(pairwise(chain)):
            embeddings[now, place] = head[then, place] = 1
    template = "{{ bos_token }}{% for turn in messages %}{{ turn.content + '\\n' }}{% endfor %}"
    _save(folder, network, tokenizer, template)


def _llava(folder: Path) -> None:
    _save_llava(folder, LlavaConfig, LlavaForConditionalGeneration, image_seq_length=576)
    _write(folder / "preprocessor_config.json", CLIP | {"image_processor_type": "CLIPImageProcessor"})
    _write(folder / "processor_config.json", _llava_processor("LlavaProcessor"))


def _llava_next(folder: Path) -> None:
    grid = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    _save_llava(folder, LlavaNextConfig, LlavaNextForConditionalGeneration, image_grid_pinpoints=grid)
    settings = {"do_pad": True, "image_grid_pinpoints": grid, "image_processor_type": "LlavaNextImageProcessor"}
    _write(folder / "preprocessor_config.json", CLIP | settings)
    _write(folder / "processor_config.json", _llava_processor("LlavaNextProcessor"))


def _save_llava(folder: Path, config_class: type, model_class: type, **settings) -> None:
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = _tokenizer(names, "<image>")
    config = config_class(
        vision_config=CLIPVisionConfig(
            **VISION, num_hidden_layers=2, num_attention_heads=2, image_size=336, patch_size=14, projection_dim=WIDTH
        ),
        text_config=LlamaConfig(**TEXT, vocab_size=len(tokenizer), **_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **settings,
    )
    _save(folder, model_class(config), tokenizer, LLAVA_TEMPLATE)


def _llava_processor(name: str) -> dict:
    return {
        "image_token": "<image>",
        "num_additional_image_tokens": 1,
        "patch_size": 14,
        "processor_class": name,
        "vision_feature_select_strategy": "default",
    }


def _qwen3_vl(folder: Path) -> None:
    images = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _tokenizer({"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}, "<|im_start|>", *images)
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        vision_config={
            **VISION,
            "depth": 2,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "deepstack_visual_indexes": [0],
        },
        text_config={
            **TEXT,
            "head_dim": WIDTH // 2,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2]},
            **_ids(tokenizer),
        },
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        tie_word_embeddings=False,
    )
    _save(folder, Qwen3VLForConditionalGeneration(config), tokenizer, _template("qwen3_vl"))
    settings = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "merge_size": 2,
        "patch_size": 16,
        "processor_class": "Qwen3VLProcessor",
        "temporal_patch_size": 2,
    }
    image = {"image_processor_type": "Qwen2VLImageProcessorFast"}
    pixels = {"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}
    _write(folder / "preprocessor_config.json", settings | image | {"size": pixels})
    video = {"video_processor_type": "Qwen3VLVideoProcessor"}
    pixels = {"shortest_edge": 64 * 64, "longest_edge": 5012 * 5012}
    _write(folder / "video_preprocessor_config.json", settings | video | {"size": pixels})


def _smolvlm(folder: Path) -> None:
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    names = {
        "unk_token": "<|endoftext|>",
        "bos_token": "<|im_start|>",
        "eos_token": "<end_of_utterance>",
        "pad_token": "<|im_end|>",
    }
    tokenizer = _tokenizer(names, "<image>", "<fake_token_around_image>", "<global-img>", *tiles)
    config = SmolVLMConfig(
        vision_config={
            **VISION,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 384,
            "patch_size": 14,
        },
        text_config={"model_type": "llama", **TEXT, "vocab_size": len(tokenizer), **_ids(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=3,
        **_ids(tokenizer),
    )
    _save(folder, SmolVLMForConditionalGeneration(config), tokenizer, _template("smolvlm"))
    settings = {
        "do_convert_rgb": True,
        "do_image_splitting": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": 384},
        "processor_class": "SmolVLMProcessor",
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 4 * 384},
    }
    sampling = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 384}}
    _write(
        folder / "preprocessor_config.json",
        settings | {"image_processor_type": "SmolVLMImageProcessor", "video_sampling": sampling},
    )
    _write(folder / "processor_config.json", {"image_seq_len": 81, "processor_class": "SmolVLMProcessor"})


def _tokenizer(names: dict[str, str], *others: str) -> PreTrainedTokenizerFast:
    """One of bytes, which reads and writes any text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*names.values(), *others, *alphabet])}
    return _byte_level(vocabulary, additional_special_tokens=list(others), **names)


def _byte_level(vocabulary: dict[str, int], **settings) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, **settings)


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}


def _template(name: str) -> str:
    """The Hub's template, of which trl has a copy."""
    (folder,) = find_spec("trl").submodule_search_locations
    return (Path(folder) / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def _save(folder: Path, model, tokenizer: PreTrainedTokenizerFast, template: str) -> None:
    model.generation_config = GenerationConfig(**_ids(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _write(path: Path, settings: dict) -> None:
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


FAMILIES = {"llava": _llava, "llava_next": _llava_next, "qwen3_vl": _qwen3_vl, "smolvlm": _smolvlm}


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
