"""A vision-language model in this process: any image-text-to-text one of transformers, or an adapter of one."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from itertools import chain, pairwise
from threading import Lock
from typing import Any, TypeVar

from PIL import Image

from giqa_datasets.errors import UnavailableError
from giqa_datasets.extras import require
from giqa_datasets.formats import FORMATS
from giqa_datasets.images import decode
from giqa_datasets.loading import loading, pretrained
from giqa_datasets.private_interfaces import is_adapter, is_in_model
from giqa_metrics.models.predictor import Answer, Question


# Special tokens that boxes are written in: not to be left out
MARKS = frozenset(marker for box_format in FORMATS.values() for marker in box_format.markers)

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class LocalPredictor:
    """Runs a model in batches. Images go through its own processor, as in training."""

    def __init__(self, model: str, *, batch_size: int, max_new_tokens: int) -> None:
        """Load the model, on the GPU if there is one; see `open_predictor`."""
        self.batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        self._processor, self._network = _load(model)
        self.model_type: str | None = self._network.config.model_type
        added = self._processor.tokenizer.added_tokens_decoder.items()
        self._left_out = {number for number, token in added if token.special and token.content not in MARKS}
        self._lock = Lock()  # a tokenizer serves one thread at a time

    def answer(self, batches: Iterable[Sequence[Question]]) -> Iterator[Answer]:
        """Answer batch by batch; the next one's images are prepared while the model generates."""
        for samples, inputs in _one_ahead(self._prepare, batches):
            yield from self._answer(samples, inputs)

    def _prepare(self, samples: Sequence[Question]) -> Any:
        """Make the model's inputs out of a batch."""
        images = [[decode(sample.image, name=sample.id)] for sample in samples]
        with self._lock:
            return self._processor(
                images=images,
                text=[self._chat(sample.prompt) for sample in samples],
                padding=True,
                return_tensors="pt",
                add_special_tokens=False,  # the chat template writes them
            )

    def _chat(self, prompt: str) -> str:
        """Write a question about an image as the model's chat."""
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        return str(self._processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def _answer(self, samples: Sequence[Question], inputs: Any) -> Iterator[Answer]:
        """Answer a batch; where it does not fit into memory, in halves."""
        import torch

        answers = None
        try:
            answers = self._generate(samples, inputs)
        except torch.OutOfMemoryError as error:
            said = str(error)  # the error itself holds on to what filled the memory
        if answers is None:
            torch.cuda.empty_cache()
            if len(samples) == 1:
                answers = [Answer(samples[0].id, None, fault=f"as it alone is too large for the memory: {said}")]
        if answers is not None:
            yield from answers
            return
        half = (len(samples) + 1) // 2
        logger.warning("out of memory with %d samples at once, so they are answered %d at once", len(samples), half)
        for part in (samples[:half], samples[half:]):
            yield from self._answer(part, self._prepare(part))

    def _generate(self, samples: Sequence[Question], inputs: Any) -> list[Answer]:
        """Generate a batch's answers."""
        import torch

        inputs = inputs.to(self._network.device, self._network.dtype)
        with torch.inference_mode():
            tokens = self._network.generate(**inputs, do_sample=False, max_new_tokens=self._max_new_tokens)
        new = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        with self._lock:
            texts = self._processor.tokenizer.batch_decode(
                [[token for token in row if token not in self._left_out] for row in new]
            )
        return [
            Answer(sample.id, text.strip(), size)
            for sample, text, size in zip(samples, texts, self._input_sizes(inputs), strict=True)
        ]

    def _input_sizes(self, inputs: Any) -> list[tuple[int, int] | None]:
        """(width, height) of each resized image, of models that say how many patches they cut it into."""
        return _resized(inputs, self._processor.image_processor) or [None] * len(inputs["input_ids"])


def input_size_by(model: str) -> Callable[[tuple[int, int]], tuple[int, int] | None]:
    """Give the function from an image's size to the one that a model's image processor makes of it.

    It is None for processors that do not say how many patches they cut an image into. Sizes are (width, height).

    Args:
        model: A folder or Hub id; its image processor is all that is loaded.

    Raises:
        ImportError: If transformers is not installed.
        OSError: If the processor cannot be had.
    """
    require("an image processor needs torch and transformers", "local", "torch", "transformers")
    with loading("image processor", model):
        from transformers import AutoImageProcessor

        processor = pretrained(AutoImageProcessor, model)
    lock = Lock()

    @lru_cache(maxsize=4096)
    def resized(size: tuple[int, int]) -> tuple[int, int] | None:
        with lock:
            found = _resized(processor(images=[Image.new("RGB", size)], return_tensors="pt"), processor)
        return found[0] if found else None

    return resized


def _resized(inputs: Any, image_processor: Any) -> list[tuple[int, int] | None]:
    """Read the sizes off the numbers of patches; empty where the inputs have none."""
    if "image_grid_thw" not in inputs:
        return []
    side = image_processor.patch_size
    return [(width * side, height * side) for _, height, width in inputs["image_grid_thw"].tolist()]


def _one_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Yield each item with what the function makes of it, which is made while the one before is in use."""
    end: Any = None
    with ThreadPoolExecutor(1) as pool:
        coming = ((item, pool.submit(function, item)) for item in items)
        for (item, made), _ in pairwise(chain(coming, [end])):
            yield item, made.result()


def _load(model: str) -> tuple[Any, Any]:
    """Load a processor and its network; an adapter's processor lies with the adapter, or else with its base."""
    require("prediction needs torch and transformers", "local", "torch", "transformers")
    with loading("model", model):
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        base = _base_of(model)
        with loading(f"base of adapter {model!r},", base) if base else nullcontext():
            has_own = base is None or is_in_model(model, "processor_config.json")
            processor = pretrained(AutoProcessor, model if has_own else str(base))
            network = pretrained(AutoModelForImageTextToText, model, has_weights=True, dtype="auto").eval()
    if not getattr(processor, "chat_template", None):
        raise UnavailableError(f"model {model!r} has no chat template, so it cannot be asked")
    processor.tokenizer.padding_side = "left"  # generation goes on from the right
    processor.tokenizer.pad_token = processor.tokenizer.pad_token or processor.tokenizer.eos_token
    return processor, network.to("cuda" if torch.cuda.is_available() else "cpu")


def _base_of(model: str) -> str | None:
    """Name the model that an adapter of PEFT's adapts; None for what is no adapter."""
    if not is_adapter(model):
        return None
    require("an adapter needs peft", "train", "peft")
    from peft import PeftConfig

    return str(pretrained(PeftConfig, model).base_model_name_or_path)
