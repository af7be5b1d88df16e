"""What train.py trains: LLaVA-1.5 with random weights, what it costs, and the rows of a data set folder."""

import io
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict, Image, concatenate_datasets, load_dataset
from PIL import Image as Pillow
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)


RECIPE = Path(__file__).parent.parent / "recipes" / "llava-v1.5-7b"
LONG_SIDE_PX = 1024
VOCABULARY = 32_064
# Up to six letters with the space before them, one digit, a mark: about 1.3 tokens a word, as Llama's
PIECE = r" ?[A-Za-z]{1,6}| ?[^A-Za-z0-9\s]|[0-9]|\s"
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
IMAGE = "<image>"
# Vision: CLIP ViT-L/14 at 336 pixels; language: Llama 7B
VISION: dict[str, dict[str, Any]] = {
    "7b": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    "tiny": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
}
LANGUAGE: dict[str, dict[str, Any]] = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "tiny": {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
}


def read(folder: Path) -> Dataset:
    """Prompt, completion and photograph of every row of every split, as JPEGs of `LONG_SIDE_PX` pixels."""
    splits: DatasetDict = load_dataset(str(folder))
    rows = concatenate_datasets(list(splits.values())).select_columns(["image", "prompt", "completion"])
    features = rows.features
    kept = rows.cast_column("image", Image(decode=False))
    return Dataset.from_list([entry | {"image": jpeg(entry["image"]["bytes"])} for entry in kept], features=features)


def jpeg(raw: bytes) -> dict[str, bytes | None]:
    photograph = Pillow.open(io.BytesIO(raw)).convert("RGB")
    scale = LONG_SIDE_PX / max(photograph.size)
    file = io.BytesIO()
    photograph.resize((round(photograph.width * scale), round(photograph.height * scale))).save(
        file, "JPEG", quality=90
    )
    return {"bytes": file.getvalue(), "path": None}


def make_processor(rows: Dataset) -> LlavaProcessor:
    """The recipe's image processor and chat template, and a tokenizer of LLaVA's size that knows the rows' words."""
    template = (RECIPE / "chat_template.jinja").read_text(encoding="utf-8")
    texts = [turn["content"] for name in ("prompt", "completion") for turns in rows[name] for turn in turns]
    split = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    pieces = {piece for text in [template, " ", *texts] for piece, _ in split.pre_tokenize_str(text)}
    pieces |= {" " + piece for piece in pieces if piece[0].isalpha()}
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL.values(), IMAGE, *sorted(pieces)])}
    vocabulary |= {f"<unused {index}>": index for index in range(len(vocabulary), VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=[IMAGE],
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )
    return LlavaProcessor(
        image_processor=AutoImageProcessor.from_pretrained(RECIPE),
        tokenizer=fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def make_model(shape: str, weights: str, tokenizer: PreTrainedTokenizerFast, attention: str | None) -> Any:
    """LLaVA-1.5 with random weights, on the GPU if there is one."""
    special: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")
    }
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=336, patch_size=14, projection_dim=768, **VISION[shape]),
        text_config=LlamaConfig(
            vocab_size=VOCABULARY, max_position_embeddings=4096, rms_norm_eps=1e-5, **LANGUAGE[shape], **special
        ),
        image_token_index=tokenizer.get_vocab()[IMAGE],
        image_seq_length=576,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **special,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        return LlavaForConditionalGeneration._from_config(
            config, attn_implementation=attention, dtype=getattr(torch, weights)
        )


def prompt_text(turns: list[dict[str, str]], processor: LlavaProcessor) -> str:
    conversation: list[Any] = [
        {"role": turn["role"], "content": [{"type": "image"}, {"type": "text", "text": turn["content"]}]}
        for turn in turns
    ]
    text: str = processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    return text


def answer_lengths(rows: Dataset, processor: LlavaProcessor) -> list[int]:
    """Tokens of each answer, with its end."""
    texts = [" " + turns[0]["content"] + SPECIAL["eos_token"] for turns in rows["completion"]]
    return [len(ids) for ids in processor.tokenizer(texts, add_special_tokens=False)["input_ids"]]


def tflop(model: Any, n_tokens: float, n_answer: float, method: str) -> float:
    """TFLOP that a sample needs, forward and backward; what checkpointing computes twice counts once.

    A product with a matrix of P numbers is 2 P a token, and causal attention 2 T^2 d a layer for T tokens. The
    backward pass costs two products where the weights learn, else one; the vision tower has none. The output layer
    sees the answer alone.
    """
    network = model.get_base_model() if hasattr(model, "get_base_model") else model
    text, vision = network.config.text_config, network.config.vision_config
    n_patches = (vision.image_size // vision.patch_size) ** 2
    adapters = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    per_layer = 4 * text.hidden_size**2 + 3 * text.hidden_size * text.intermediate_size
    products = 2 * n_tokens * text.num_hidden_layers * per_layer + 2 * n_answer * text.hidden_size * text.vocab_size
    attention = 2 * n_tokens**2 * text.hidden_size * text.num_hidden_layers
    projector = 2 * n_patches * text.hidden_size * (vision.hidden_size + text.hidden_size)
    tower = vision.num_hidden_layers * (
        2 * (n_patches + 1) * (4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size)
        + 4 * (n_patches + 1) ** 2 * vision.hidden_size
    )
    passes = 3 if method == "full" else 2
    learnt = 3 * (attention + projector + 2 * n_tokens * adapters)
    return float(passes * products + learnt + tower) / 1e12
