"""A model over a benchmark: one answer per sample, appended to `predictions.jsonl`, greedy and resumable."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from giqa_datasets.images import decode
from giqa_metrics.run import load_split, resume_predictions, write_config


def predict(
    model: str,
    data: str,
    out: Path,
    *,
    config: str | None = None,
    split: str = "test",
    limit: int | None = None,
    batch_size: int = 16,
    max_new_tokens: int = 512,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda batches, total: batches,
) -> int:
    """Answer every sample of a split that `out` has no answer for yet.

    Images go through the model's own processor, as in training.

    Args:
        model: A folder or a model id on the Hub: any transformers image-text-to-text model with its processor and chat
            template.
        data: A data set folder or name.
        out: The run's folder.
        config: The data set's config (`des`, `vqa`); None is the default one.
        split: The split to answer.
        limit: Answer the first so many samples alone.
        batch_size: Samples generated at once.
        max_new_tokens: Longest answer in tokens.
        progress: Wraps the batches; it is told their number.

    Returns:
        The number of answers in the file.

    Raises:
        ImportError: If torch or transformers is not installed.
        OSError: If the model cannot be had.
        ValueError: If the data set lacks a column, an image cannot be read, or `out` holds another run.
    """
    rows = load_split(data, config, split)
    answer = _load(model)
    run = {"model": model, "data": data, "config": config, "split": split, "limit": limit}
    write_config(out, run | {"max_new_tokens": max_new_tokens})
    path = out / "predictions.jsonl"
    done = resume_predictions(path)
    ids = rows["id"][:limit]
    left = [index for index, identifier in enumerate(ids) if identifier not in done]
    batches = [left[start : start + batch_size] for start in range(0, len(left), batch_size)]
    with path.open("a", encoding="utf-8") as file:
        for batch in progress(batches, len(batches)):
            samples = [rows[index] for index in batch]
            images = [decode(row["image"]["bytes"], name=row["id"]) for row in samples]
            answers = answer(images, [row["prompt"] for row in samples], max_new_tokens)
            for row, its in zip(samples, answers, strict=True):
                file.write(json.dumps({"id": row["id"], **its}, ensure_ascii=False) + "\n")
            file.flush()
    return len(ids)


def _load(model: str) -> Callable[[list[Any], list[Any], int], list[dict[str, Any]]]:
    """Load a model; a function of images, prompts and a length to answers, with the size of the resized image."""
    try:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as error:
        raise ImportError('prediction needs torch and transformers: pip install "giqa[train]"') from error
    try:
        processor = AutoProcessor.from_pretrained(model)
        network = AutoModelForImageTextToText.from_pretrained(model, dtype="auto").eval()
    except OSError as error:
        raise OSError(f"model {model!r} is no model folder here and cannot be fetched") from error
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    processor.tokenizer.padding_side = "left"  # generation goes on from the right

    def answer(images: list[Any], prompts: list[Any], max_new_tokens: int) -> list[dict[str, Any]]:
        conversations = [
            [
                {"role": turn["role"], "content": [{"type": "image"}, {"type": "text", "text": turn["content"]}]}
                for turn in prompt
            ]
            for prompt in prompts
        ]
        texts = [
            processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
            for conversation in conversations
        ]
        inputs = processor(
            images=[[image] for image in images],
            text=texts,
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the chat template writes them
        ).to(network.device)
        with torch.inference_mode():
            tokens = network.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        texts = [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
        return [
            {"prediction": text, **size} for text, size in zip(texts, _input_sizes(processor, inputs), strict=True)
        ]

    return answer


def _input_sizes(processor: Any, inputs: Any) -> list[dict[str, Any]]:
    """(width, height) of each resized image, of models that say how many patches they cut it into (Qwen2-VL on)."""
    if "image_grid_thw" not in inputs:
        return [{}] * len(inputs["input_ids"])
    side = processor.image_processor.patch_size
    return [{"input_size": [width * side, height * side]} for _, height, width in inputs["image_grid_thw"].tolist()]
