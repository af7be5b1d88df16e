"""`trl sft` with the vision tower frozen: for a YAML of the same keys, and a model that has such a tower."""

from __future__ import annotations

from typing import Any

from datasets import load_dataset
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser  # type: ignore[attr-defined]


def freeze(model: Any) -> None:
    """Leave the vision tower as it is; the projector behind it goes on learning, also where it is a part of the tower.

    Raises:
        ValueError: If the model has no vision tower.
    """
    tower = model.get_encoder(modality="image")
    if tower is model:
        raise ValueError(f"expected a model with a vision tower, got {type(model).__name__}")
    for name, weight in tower.named_parameters():
        weight.requires_grad_("merger" in name)  # the Qwen models keep their projectors in the tower, by this name


def main() -> None:
    """Train what the command line and its YAML name; an unknown key ends it."""
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))  # type: ignore[arg-type]
    script, training, model = parser.parse_args_and_config()
    training.model_init_kwargs = {"attn_implementation": model.attn_implementation, "dtype": model.dtype}
    data = load_dataset(script.dataset_name, name=script.dataset_config)
    # The trainer finds none of LLaVA's weights in its own checkpoint, whose names are the Hub's; loading a model does
    weights = training.resume_from_checkpoint or model.model_name_or_path
    trainer = SFTTrainer(weights, training, train_dataset=data[script.dataset_train_split])
    freeze(trainer.model)
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model(training.output_dir)


if __name__ == "__main__":
    main()
