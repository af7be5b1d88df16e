"""`trl sft` with the vision tower frozen: for a YAML of the same keys, and a model that has such a tower."""

from __future__ import annotations

from typing import Any

from datasets import load_dataset
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser  # type: ignore[attr-defined]


def freeze(model: Any) -> None:
    """Leave the vision tower as it is; the projector behind it goes on learning.

    Raises:
        AttributeError: If the model has no part of that name.
    """
    model.get_submodule("model.vision_tower").requires_grad_(False)


def main() -> None:
    """Train what the command line and its YAML name; an unknown key ends it."""
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))  # type: ignore[arg-type]
    script, training, model = parser.parse_args_and_config()
    training.model_init_kwargs = {"attn_implementation": model.attn_implementation, "dtype": model.dtype}
    data = load_dataset(script.dataset_name, name=script.dataset_config)
    trainer = SFTTrainer(model.model_name_or_path, training, train_dataset=data[script.dataset_train_split])
    freeze(trainer.model)
    trainer.train()
    trainer.save_model(training.output_dir)


if __name__ == "__main__":
    main()
