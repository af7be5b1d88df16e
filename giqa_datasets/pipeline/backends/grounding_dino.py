"""Detection of any phrase with Grounding DINO through transformers, the paper's detector.

One phrase makes one prompt: long prompts lose boxes, and the labels that are read back from them are mangled
(GroundingDINO#54). So every box of a prompt that passes the thresholds is a box of its phrase, and no label is read.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image

from giqa_datasets.batches import batches
from giqa_datasets.boxes import Boxes
from giqa_datasets.defaults import BOX_THRESHOLD, COCO, OFFLINE, REGIONS, TEXT_THRESHOLD
from giqa_datasets.errors import UnavailableError
from giqa_datasets.extras import require
from giqa_datasets.loading import loading, pretrained


class GroundingDino:
    """Grounding DINO or MM Grounding DINO.

    A box's score is its best one over the tokens of the phrase: the prompt's special tokens and its full stop do not
    count. As in the model's own post-processing, a box is kept if its score is above `box_threshold`, and a token
    belongs to it if it is above `text_threshold`; a box without a token is dropped. With one phrase in the prompt the
    text threshold thus matters only if it is the higher one.
    """

    def __init__(
        self,
        model: str = "IDEA-Research/grounding-dino-base",
        *,
        box_threshold: float = BOX_THRESHOLD,  # in [0, 1], as the other one
        text_threshold: float = TEXT_THRESHOLD,
        batch_size: int = 8,  # pairs of an image and a phrase
        device: str | None = None,
    ) -> None:
        """Load a model folder or a model id on the Hub; without a device, onto the GPU if there is one.

        Raises:
            ImportError: If torch or transformers is not installed.
            OSError: If the model cannot be had.
        """
        self._processor, self._network = _load(model, device)
        self._threshold = max(box_threshold, text_threshold)
        self._batch_size = batch_size
        tokenizer = self._processor.tokenizer
        self._wordless = [*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids(".")]

    def detect(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[list[Boxes | None]]:
        """Find each image's phrases; None for a phrase without a word that the model's vocabulary has."""
        found: list[list[Boxes | None]] = [[None] * len(wanted) for _, wanted in zip(images, phrases, strict=True)]
        prompts = {(i, j): _prompt(phrase) for i, wanted in enumerate(phrases) for j, phrase in enumerate(wanted)}
        # The images of a batch are of one size: the backbone would see the padding of smaller ones
        pairs = sorted((pair for pair in prompts if prompts[pair]), key=lambda pair: images[pair[0]].size)
        for _, alike in groupby(pairs, key=lambda pair: images[pair[0]].size):
            for batch in batches(alike, self._batch_size):
                distinct = list(dict.fromkeys(i for i, _ in batch))
                pixels = self._processor.image_processor([images[i] for i in distinct], return_tensors="pt")
                rows = pixels["pixel_values"][[distinct.index(i) for i, _ in batch]]
                for (i, j), boxes in zip(batch, self._boxes(rows, [prompts[pair] for pair in batch]), strict=True):
                    found[i][j] = boxes
        return found

    def _boxes(self, pixels: Any, prompts: list[str]) -> list[Boxes | None]:
        """Look for one prompt in each image of a batch; None for a prompt without a word."""
        import torch

        device = self._network.device
        # The model fails on more tokens than max_text_len
        text = self._processor.tokenizer(
            prompts, padding=True, truncation=True, max_length=self._network.config.max_text_len, return_tensors="pt"
        ).to(device)
        with torch.inference_mode():
            output = self._network(pixel_values=pixels.to(device), **text)
        scores = output.logits.sigmoid()  # (prompt, query, token), filled up to `max_text_len` tokens
        tokens = text["input_ids"]
        is_word = ~torch.isin(tokens, torch.tensor(self._wordless, device=device))
        best = (scores[..., : tokens.shape[1]] * is_word[:, None]).amax(dim=-1)
        return [
            _select(cxcywh, score, self._threshold) if has_words else None
            for cxcywh, score, has_words in zip(
                output.pred_boxes.double().cpu().numpy(),
                best.double().cpu().numpy(),
                is_word.any(dim=1).tolist(),
                strict=True,
            )
        ]


def _prompt(phrase: str) -> str:
    """The phrase in lower case with one full stop, at its end; "" stays as it is."""
    # The model takes both marks for the end of a phrase
    words = re.sub(r"[.?]", " ", phrase.lower()).split()
    return " ".join(words) + "." if words else ""


def _select(cxcywh: Boxes, scores: Boxes, threshold: float) -> Boxes:
    """The boxes above the threshold as corners inside the image, best first."""
    centre, half = cxcywh[:, :2], cxcywh[:, 2:] / 2
    xyxy = np.concatenate([centre - half, centre + half], axis=1).clip(0, 1)
    kept = (scores > threshold) & (xyxy[:, :2] < xyxy[:, 2:]).all(axis=1)
    order = np.argsort(-scores[kept], kind="stable")
    boxes: Boxes = xyxy[kept][order]
    return boxes


def _load(model: str, device: str | None) -> tuple[Any, Any]:
    """A processor and its network, in 32 bits: half of them would move scores over the thresholds."""
    require("Grounding DINO needs torch and transformers", "annotate", "torch", "transformers")
    with loading("detector", model, others=[COCO, REGIONS, OFFLINE]):
        import torch
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        processor = pretrained(AutoProcessor, model)
        network = pretrained(AutoModelForZeroShotObjectDetection, model, has_weights=True, dtype=torch.float32)
    if "grounding-dino" not in network.config.model_type:
        raise UnavailableError(f"detector {model!r} is no Grounding DINO but {network.config.model_type!r}")
    return processor, network.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
