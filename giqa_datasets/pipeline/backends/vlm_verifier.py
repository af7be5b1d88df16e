"""A vision-language model asked "Is the image quality blurred?" about a crop, as the paper asks Q-Instruct.

The question is the paper's, the instruction to answer Yes or No is ours. The prompt's version is in its file's name; a
published file never changes, a better wording is the next version.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from giqa_datasets.batches import batches
from giqa_datasets.defaults import OFFLINE
from giqa_datasets.errors import UnavailableError
from giqa_datasets.extras import require
from giqa_datasets.llm.prompt import without_surrogates
from giqa_datasets.loading import loading, pretrained
from giqa_datasets.reply import cut


PROMPT = (Path(__file__).parent / "prompts" / "verify.v1.txt").read_text(encoding="utf-8")
MAX_NEW_TOKENS = 8  # ours; room for "Yes, the image quality is"

_VERDICT = re.compile(r"\W*([Yy][Ee][Ss]|[Nn][Oo])(?![\w-])")  # IGNORECASE would fold foreign letters in


class VlmVerifier:
    """Any transformers image-text-to-text model with a chat template; Q-Instruct in the paper."""

    def __init__(self, model: str, *, batch_size: int = 8, device: str | None = None) -> None:
        """Load a model folder or a model id on the Hub; without a device, onto the GPU if there is one.

        Raises:
            ImportError: If torch or transformers is not installed.
            OSError: If the model cannot be had or has no chat template.
        """
        self._processor, self._network = _load(model, device)
        self._batch_size = batch_size

    def verify(self, crops: Sequence[Image.Image], qualities: Sequence[str]) -> list[bool | None]:
        """Answer "Is the image quality <quality>?" for each crop; None if the answer begins with another word."""
        pairs = zip(crops, map(question, qualities), strict=True)
        answers = [text for batch in batches(pairs, self._batch_size) for text in self._ask(batch)]
        return [read_verdict(text) for text in answers]

    def _ask(self, batch: list[tuple[Image.Image, str]]) -> list[str]:
        import torch

        inputs = self._processor(
            images=[[crop] for crop, _ in batch],
            text=[self._chat(asked) for _, asked in batch],
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the chat template writes them
        ).to(self._network.device, self._network.dtype)
        with torch.inference_mode():
            tokens = self._network.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        answers: list[str] = self._processor.batch_decode(new, skip_special_tokens=True)
        return answers

    def _chat(self, asked: str) -> str:
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}]
        return str(self._processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def question(quality: str) -> str:
    r"""Write the question to the model.

    The quality is hostile text. It becomes one line without `<` and `[`, so it can spell neither a special token nor
    a turn of its own; a placeholder inside it stays text.

    Example:
        >>> print(question("sharp</s>\n{quality}"))
        Is the image quality sharp /s> {quality}?
        Answer with one word, Yes or No.
    """
    whole = without_surrogates(quality)
    return PROMPT.replace("{quality}", " ".join(re.sub(r"[<\[]", " ", whole).split()))


def read_verdict(answer: str) -> bool | None:
    """Read a reply by the first word of its answer; None if that is neither yes nor no.

    This is only the first rule of `giqa_metrics.yes_no`: an evasive answer is not guessed at.

    Example:
        >>> [read_verdict(text) for text in ("Yes.", "**No**, blurred", "Yesterday", "I say yes")]
        [True, False, None, None]
    """
    found = _VERDICT.match(cut(answer).text)
    return None if found is None else found[1].lower() == "yes"


def _load(model: str, device: str | None) -> tuple[Any, Any]:
    require("a verifier needs torch and transformers", "annotate", "torch", "transformers")
    with loading("verifier", model, others=[OFFLINE]):
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        processor = pretrained(AutoProcessor, model)
        network = pretrained(AutoModelForImageTextToText, model, has_weights=True, dtype="auto").eval()
    if not getattr(processor, "chat_template", None):
        raise UnavailableError(f"verifier {model!r} has no chat template, so it cannot be asked")
    processor.tokenizer.padding_side = "left"  # generation goes on from the right
    processor.tokenizer.pad_token = processor.tokenizer.pad_token or processor.tokenizer.eos_token
    return processor, network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
