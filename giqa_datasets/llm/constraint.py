"""Decoding under JSON schemas in this process, by llguidance."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from giqa_datasets.llm.backend import Schema


LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}  # as json.dumps writes


class Constraint:
    """A logits processor of transformers: each row's next token is one that the row's schema allows."""

    def __init__(self, vocabulary: Any, schemas: Sequence[Schema | None]) -> None:
        """Take `vocabulary_of` a model's tokenizer, and the schema of each row; None leaves a row as it is."""
        from llguidance import LLMatcher

        def matcher(schema: Schema) -> LLMatcher:
            grammar = json.dumps({**schema.schema, "x-guidance": LAYOUT})
            return LLMatcher(vocabulary, LLMatcher.grammar_from_json_schema(grammar))

        self._matchers = [None if schema is None else matcher(schema) for schema in schemas]
        self._has_begun = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Mask the scores, shape (rows, tokens), of what may not follow the tokens so far, shape (rows, length)."""
        import torch

        for row, matcher in enumerate(self._matchers):
            if matcher is None:
                continue
            if self._has_begun and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            # What is whole leaves the end alone
            allowed = np.frombuffer(matcher.compute_logit_bias(), dtype=np.uint8) > 0
            scores[row, ~torch.from_numpy(allowed).to(scores.device)] = -torch.inf
        self._has_begun = True
        return scores


def vocabulary_of(tokenizer: Any, network: Any) -> Any:
    """Lay a tokenizer out as llguidance has it.

    Raises:
        ValueError: If llguidance does not know its kind.
    """
    from llguidance.hf import from_tokenizer

    end = network.generation_config.eos_token_id
    return from_tokenizer(tokenizer, n_vocab=network.config.get_text_config().vocab_size, eos_token=end)
