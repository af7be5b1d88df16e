"""A language model in this process: any causal one of transformers that has a chat template."""

from collections.abc import Sequence
from math import inf
from typing import Any

from giqa_datasets.errors import UnavailableError
from giqa_datasets.extras import loading, pretrained, require
from giqa_datasets.llm.backend import Fault, Reply, Request, Role, label


class Local:
    """Runs a model in batches, greedy; seed and schema move nothing."""

    batch_size = 16
    concurrency = 1

    def __init__(self, model: str, *, role: Role, device: str | None = None) -> None:
        """Load the model; it runs on `device`, and without one on the GPU if there is one."""
        self.name = label(model)
        self._tokenizer, self._network = _load(model, role.name, device)
        self._longest = getattr(self._network.config.get_text_config(), "max_position_embeddings", inf)

    def ask(self, requests: Sequence[Request]) -> list[Reply | Fault]:
        """Answer each request; one that is longer than the model's context is a fault."""
        texts = [self._chat(request.prompt) for request in requests]
        asked = list(zip(texts, (request.max_tokens for request in requests), strict=True))
        fits = [self._fits(text, max_tokens) for text, max_tokens in asked]
        replies = iter(self._generate([each for each, fit in zip(asked, fits, strict=True) if fit]))
        return [next(replies) if fit else Fault("longer than the context") for fit in fits]

    def _chat(self, prompt: str) -> str:
        """Write a prompt as the model's chat."""
        turns = [{"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def _fits(self, text: str, max_tokens: int) -> bool:
        """Say whether a text leaves room for the longest reply."""
        tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return bool(len(tokens) + max_tokens <= self._longest)

    def _generate(self, asked: list[tuple[str, int]]) -> list[Reply]:
        """Go on with each text, for as many tokens as it may."""
        import torch

        if not asked:
            return []
        texts, lengths = zip(*asked, strict=True)
        # The chat template writes the special tokens
        inputs = self._tokenizer(list(texts), add_special_tokens=False, padding=True, return_tensors="pt")
        inputs = {name: inputs[name].to(self._network.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            tokens = self._network.generate(**inputs, do_sample=False, max_new_tokens=max(lengths))
        start = inputs["input_ids"].shape[1]
        new = [row[start : start + length] for row, length in zip(tokens, lengths, strict=True)]
        said = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        end = self._network.generation_config.eos_token_id
        ends = torch.tensor([] if end is None else end, device=tokens.device)
        return [Reply(text, not torch.isin(row, ends).any()) for text, row in zip(said, new, strict=True)]


def _load(model: str, role: str, device: str | None) -> tuple[Any, Any]:
    """Load a tokenizer and its model."""
    require(f"a local {role} needs torch and transformers", "local", "torch", "transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with loading(f"{role} {model!r} is no language model on this machine and cannot be fetched"):
        tokenizer = pretrained(AutoTokenizer, model, padding_side="left")
        network = pretrained(AutoModelForCausalLM, model, has_weights=True, dtype="auto").eval()
    if not tokenizer.chat_template:
        raise UnavailableError(f"{role} {model!r} has no chat template, so it cannot be asked")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # Llama 3 has none
    return tokenizer, network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
