"""A language model in this process: any causal one of transformers that has a chat template."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from itertools import compress
from math import inf
from typing import Any, NamedTuple

from giqa_datasets.errors import UnavailableError
from giqa_datasets.extras import is_installed, require
from giqa_datasets.llm.backend import ChatTurn, Fault, Reply, Request, Role, label, merged
from giqa_datasets.llm.constraint import Constraint, vocabulary_of
from giqa_datasets.loading import loading, pretrained


logger = logging.getLogger(__name__)


class Local:
    """Runs a model in batches. A greedy reply has no use for the seed.

    Replies keep to their schema where llguidance is installed and knows the tokenizer.
    """

    batch_size = 16
    concurrency = 1

    def __init__(self, model: str, *, role: Role, device: str | None = None) -> None:
        """Load the model; it runs on `device`, and without one on the GPU if there is one."""
        self.name = label(model)
        self._tokenizer, self._network = _load(model, role.name, device)
        self._longest = getattr(self._network.config.get_text_config(), "max_position_embeddings", inf)

    def ask(self, requests: Sequence[Request]) -> list[Reply | Fault]:
        """Answer each request; one that is longer than the model's context is a fault."""
        asked = [_Asked(self._chat(request.turns), request) for request in requests]
        fits = [self._fits(each.text, each.request.max_tokens) for each in asked]
        fitting = list(compress(asked, fits))
        greedy = iter(self._generate([each for each in fitting if not each.request.temperature]))
        replies = iter([self._sample(each) if each.request.temperature else next(greedy) for each in fitting])
        return [next(replies) if fit else Fault("longer than the context") for fit in fits]

    @cached_property
    def _vocabulary(self) -> Any:
        """The tokenizer as llguidance has it; None where it has not."""
        try:
            return vocabulary_of(self._tokenizer, self._network) if is_installed("llguidance") else None
        except ValueError as error:
            logger.info("%s does not decode under a schema: %s", self.name, error)
            return None

    def _chat(self, turns: Sequence[ChatTurn]) -> str:
        """Write turns as the model's chat. A system turn that its template refuses or leaves out is the user's."""
        from jinja2 import TemplateError

        with suppress(TemplateError):
            text = self._templated(turns)
            if turns[0].role != "system" or turns[0].text in text:
                return text
        return self._templated(merged(turns))

    def _templated(self, turns: Sequence[ChatTurn]) -> str:
        chat = [{"role": turn.role, "content": turn.text} for turn in turns]
        return str(self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    def _fits(self, text: str, max_tokens: int) -> bool:
        """Say whether a text leaves room for the longest reply."""
        tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return bool(len(tokens) + max_tokens <= self._longest)

    def _sample(self, asked: "_Asked") -> Reply:
        """Go on with one text at its temperature; the seed alone decides."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(asked.request.seed)
            return self._generate([asked], do_sample=True, temperature=asked.request.temperature)[0]

    def _generate(self, asked: "list[_Asked]", **options: Any) -> list[Reply]:
        """Go on with each text, for as many tokens as it may."""
        import torch

        if not asked:
            return []
        texts, lengths = zip(*((each.text, each.request.max_tokens) for each in asked), strict=True)
        # The chat template writes the special tokens
        inputs = self._tokenizer(list(texts), add_special_tokens=False, padding=True, return_tensors="pt")
        inputs = {name: inputs[name].to(self._network.device) for name in ("input_ids", "attention_mask")}
        schemas = [each.request.schema for each in asked]
        if any(schemas) and self._vocabulary is not None:
            options["logits_processor"] = [Constraint(self._vocabulary, schemas)]
        with torch.inference_mode():
            tokens = self._network.generate(**inputs, **{"do_sample": False, "max_new_tokens": max(lengths)} | options)
        start = inputs["input_ids"].shape[1]
        new = [row[start : start + length] for row, length in zip(tokens, lengths, strict=True)]
        said = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        end = self._network.generation_config.eos_token_id
        ends = torch.tensor([] if end is None else end, device=tokens.device)
        return [Reply(text, not torch.isin(row, ends).any()) for text, row in zip(said, new, strict=True)]


class _Asked(NamedTuple):
    """A request, and its chat as the model reads it."""

    text: str
    request: Request


def _load(model: str, role: str, device: str | None) -> tuple[Any, Any]:
    """Load a tokenizer and its model."""
    require(f"a local {role} needs torch and transformers", "local", "torch", "transformers")
    with loading(role, model):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = pretrained(AutoTokenizer, model, padding_side="left")
        network = pretrained(AutoModelForCausalLM, model, has_weights=True, dtype="auto").eval()
    if not tokenizer.chat_template:
        raise UnavailableError(f"{role} {model!r} has no chat template, so it cannot be asked")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # Llama 3 has none
    return tokenizer, network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
