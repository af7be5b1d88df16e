"""Write a randomly initialised LLaVA of under one million parameters: model, tokenizer, processor, chat template.

It is a `LlavaForConditionalGeneration` like any other, so `trl sft` and `transformers` treat it as they treat a large
one. It knows the words of the tiny task alone; any other word is `<unk>`.
"""

from __future__ import annotations

import argparse
import re
import string
import sys
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil


SENTENCES = (
    "Describe the quality of this image. Mention positions.",
    "A [green block](<106, 233>) covers part of the image.",
    "A [magenta block](<106, 233>) covers part of the image.",
    "A [grey block](<106, 233>) covers part of the image.",
    "The image is intact.",
    "Is part of this image missing?",
    "Yes.",
    "No.",
)
# <s><image>question\nanswer</s>. The image comes first, whichever place it has among the parts of the turn.
CHAT_TEMPLATE = r"""
{%- macro text(content) -%}
    {%- if content is string %}{{ content }}{% else -%}
        {%- for part in content if part.type == 'text' %}{{ part.text }}{% endfor -%}
    {%- endif -%}
{%- endmacro -%}
{{ bos_token }}
{%- for message in messages -%}
    {%- if message.role == 'user' -%}
        {%- if message.content is not string -%}
            {%- for part in message.content if part.type == 'image' %}<image>{% endfor -%}
        {%- endif -%}
        {{ text(message.content) + '\n' }}
    {%- elif message.role == 'assistant' -%}
        {%- generation %}{{ text(message.content) + eos_token }}{% endgeneration -%}
    {%- else -%}
        {{ raise_exception('Only the roles user and assistant are supported.') }}
    {%- endif -%}
{%- endfor -%}
"""
# A word or a mark with the space before it, one digit, other white space: nothing is lost, so decoding is exact.
_PIECE = r" ?[A-Za-z]+| ?[^A-Za-z0-9\s]|[0-9]|\s"
_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_IMAGE = "<image>"
_IMAGE_SIZE = 80
_PATCH_SIZE = 16
_WIDTH = 96
_HEADS = 4
_INITIALIZER_RANGE = 0.06  # 0.02 suits wide models: here it left the mIoU at 0.12 instead of 0.38 after 600 steps


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return the word-level tokenizer of `SENTENCES` and the single digits; it decodes to exactly what it read."""
    pieces = {piece for sentence in SENTENCES for piece in re.findall(_PIECE, sentence)} | {"\n", *string.digits}
    vocabulary = {piece: index for index, piece in enumerate([*_SPECIAL.values(), _IMAGE, *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=[_IMAGE],
        clean_up_tokenization_spaces=False,
        **_SPECIAL,
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Return the processor: the whole picture is squashed to a square, nothing is cut off."""
    size = {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE}
    image_processor = CLIPImageProcessorPil(
        size=size,
        crop_size=size,
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=_PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """Return the model with random weights: one vision layer, two language layers."""
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=_WIDTH,
            intermediate_size=4 * _WIDTH,
            num_hidden_layers=1,
            num_attention_heads=_HEADS,
            image_size=_IMAGE_SIZE,
            patch_size=_PATCH_SIZE,
            projection_dim=_WIDTH,
            initializer_range=_INITIALIZER_RANGE,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH,
            intermediate_size=4 * _WIDTH,
            num_hidden_layers=2,
            num_attention_heads=_HEADS,
            num_key_value_heads=_HEADS,
            max_position_embeddings=256,
            initializer_range=_INITIALIZER_RANGE,
            **special,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE),
        image_seq_length=(_IMAGE_SIZE // _PATCH_SIZE) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        **special,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(max_new_tokens=64, **special)
    return model


def main() -> None:
    """Write the model folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights (default: %(default)s)")
    args = parser.parse_args()
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, args.seed)
    make_processor(tokenizer).save_pretrained(args.out)
    model.save_pretrained(args.out)
    print(f"{args.out}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
