"""`giqa check RECIPE`: the boxes and texts that a recipe would train a model on, before it does.

Samples go through the processor and through TRL's own collator as in training. No weights are loaded, and no code of
the model's folder is run.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from giqa_datasets.boxes import to_boxes
from giqa_datasets.errors import InputError, MissingExtraError, MissingFileError
from giqa_datasets.extras import require
from giqa_datasets.formats import FORMATS, Sizes
from giqa_datasets.images import decode
from giqa_datasets.loading import loading, pretrained
from giqa_datasets.private_interfaces import trl_parsers
from giqa_metrics.models.native_formats import native_format
from giqa_metrics.recipe_check.image_geometry import View, draw_sheet
from giqa_metrics.recipe_check.reward_check import faults_of_reinforcement, own_rewards
from giqa_metrics.recipe_check.training_sample import Model, TrainingSample, reads, train_on
from giqa_metrics.runs.files import load_split


_HERE = ("--use_cpu", "true", "--bf16", "false", "--fp16", "false", "--tf32", "false")  # a check needs no GPU


class Checked(NamedTuple):
    """The outcome of a recipe's check."""

    recipe: str  # its file
    model: str  # the name in the recipe
    model_type: str  # the model's family
    processor: str  # the processor's class
    max_length: int | None  # of the recipe
    context: int | None  # the longest text that the model takes, if its config says so
    formats: list[str]  # box formats of all texts that agree with their `regions`
    samples: list[TrainingSample]
    warnings: list[str]  # a sentence each
    findings: list[str]  # a sentence each
    pictures: list[str]  # their files


def check_recipe(path: Path, *, limit: int = 8, folder: Path | None = None) -> Checked:
    """Take samples of a recipe's data through its model's processor and TRL's collator.

    Args:
        path: A YAML of `trl sft`, or with the key `reward_funcs` of `trl grpo`; its paths are relative to the current
            folder, as for TRL.
        limit: Samples to take, spread over the split; the longest text and the most oblong picture are among them.
        folder: For drawings of the samples; None is `<recipe>.check`, used only if there are findings.

    Raises:
        ImportError: If trl, or a package of the processor, is not installed.
        OSError: If the recipe, the model or the data set cannot be had.
        ValueError: If trl would refuse the recipe, the data are no prompts and completions, an image cannot be read,
            or the layout of the processor's pixels is unknown.
    """
    trainer, script, training, named = _read(path)
    model = _load(named, training)
    findings: list[str] = []
    rewards = own_rewards(script, training, findings) if trainer == "grpo" else {}
    batched = _supervised() if trainer == "grpo" else training
    rows = load_split(script.dataset_name, script.dataset_config, script.dataset_train_split)
    if "completion" not in rows.column_names:
        raise InputError(f"expected the columns prompt and completion in {script.dataset_name!r}, got no completion")
    samples: list[TrainingSample] = []
    drawings: list[tuple[Image.Image, list[View]]] = []
    common = list(FORMATS)
    for index in _spread(rows, limit):
        row = rows[index]
        image = decode(row["image"]["bytes"], name=row["id"])
        sample, views, faults = train_on(row, image, model, batched)
        if trainer == "grpo":
            faults += faults_of_reinforcement(row, sample, training, rewards)
        formats = [name for name in FORMATS if reads(name, row, Sizes(sample.size, sample.view))]
        shared = [name for name in common if name in formats]
        if not formats:
            faults.append("wrong format: no box format reads the boxes of its regions in its prompt and completion")
        elif not shared:
            faults.append(f"wrong format: it writes boxes as {formats[0]}, those before it as {common[0]}")
        samples.append(sample)
        drawings.append((image, views))
        findings += [f"sample {sample.id}: {fault}" for fault in faults]
        common = shared or common
    if findings and folder is None:
        folder = Path(f"{path.stem}.check")
    pictures: list[str] = []
    for number, (sample, (image, views)) in enumerate(zip(samples, drawings, strict=True), start=1):
        if folder is not None:
            file = folder / f"{number:02}-{re.sub('[^A-Za-z0-9_-]', '_', sample.id)[:80]}.jpg"
            draw_sheet(image, to_boxes([placed.box for placed in sample.boxes]), views, file)
            pictures.append(str(file))
    about = (str(path), named.model_name_or_path, model.type, type(model.processor).__name__)
    warned = list(_foreign(common, model.type))
    return Checked(*about, batched.max_length, model.context, common, samples, warned, findings, pictures)


def _supervised() -> Any:
    """The settings with which a sample of a `trl grpo` recipe is put into a batch: nothing is cut."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(output_dir="unused", max_length=None, use_cpu=True, bf16=False)


def _read(path: Path) -> tuple[str, Any, Any, Any]:
    """Read a recipe as TRL does: its trainer, and the arguments of its script, of the training and of the model."""
    require("recipes need trl", "train", "trl", "accelerate", "torch", "transformers")
    import yaml

    trainer = "grpo" if re.search("^reward_funcs:", path.read_text("utf-8", "replace"), re.MULTILINE) else "sft"

    def refuse(message: str) -> None:
        raise InputError(f"trl {trainer} refuses {path}: {message}")

    parser, launcher, resolve = trl_parsers(trainer)
    parser.error = launcher.error = refuse
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of trl's own defaults
            script, training, model, *_, unknown, _ = parser.parse_args_and_config(
                ["--config", str(path), *_HERE], return_remaining_strings=True, separate_remaining_strings=True
            )
        launcher.parse_args([*resolve(unknown), "script.py"])
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is no YAML: {error}") from error
    except ImportError as error:
        raise MissingExtraError(str(error)) from error
    except ValueError as error:  # of the dataclasses behind the keys
        raise InputError(str(error)) from error
    if not script.dataset_name or not model.model_name_or_path:
        raise InputError(f"expected model_name_or_path and dataset_name in {path}, got no such key")
    return trainer, script, training, model


def _load(named: Any, training: Any) -> Model:
    """Load the processor and the configs, with SFTTrainer's settings."""
    name = named.model_name_or_path
    with loading("model", name):
        from transformers import AutoConfig, AutoProcessor, GenerationConfig, ProcessorMixin

        config = pretrained(AutoConfig, name, revision=named.model_revision)
        processor = pretrained(AutoProcessor, name, revision=named.model_revision)
        try:
            generation = pretrained(GenerationConfig, name, revision=named.model_revision)
        except OSError:
            generation = GenerationConfig.from_model_config(config)
    if not isinstance(processor, ProcessorMixin):
        raise InputError(f"expected a processor of pictures and text in {name!r}, got {type(processor).__name__}")
    template = getattr(training, "chat_template_path", None)
    if template is not None:
        if not template.endswith((".jinja", ".j2")) or not Path(template).is_file():
            raise MissingFileError(f"expected chat_template_path to be a .jinja file, got {template!r}")
        try:
            processor.chat_template = Path(template).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"expected UTF-8 in {template}: {error}") from error
    tokenizer = processor.tokenizer
    tokenizer.eos_token = getattr(training, "eos_token", None) or tokenizer.eos_token
    tokenizer.pad_token = getattr(training, "pad_token", None) or tokenizer.pad_token or tokenizer.eos_token
    ends: Any = generation.eos_token_id if isinstance(generation.eos_token_id, list) else [generation.eos_token_id]
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    image_token = getattr(processor, "image_token_id", getattr(config, "image_token_id", None))
    ends = {tokenizer.eos_token_id, *ends} - {None}  # the trainer adds the tokenizer's to the model's own
    return Model(config.model_type, processor, context, image_token, ends)


def _spread(rows: Any, limit: int) -> list[int]:
    """Choose rows over the whole split, first the one with the longest text and the one of the most oblong picture."""
    lengths = [sum(len(turn["content"]) for turn in turns) for turns in rows["completion"]]
    sides = np.array([rows["width"][:], rows["height"][:]], dtype=np.float64)
    even = np.linspace(0, len(rows) - 1, limit).round().astype(int).tolist()
    return list(dict.fromkeys([int(np.argmax(lengths)), int((sides.max(0) / sides.min(0)).argmax()), *even]))[:limit]


def _foreign(formats: list[str], model_type: str) -> Iterator[str]:
    native = native_format(model_type)
    if formats and native not in (None, "giqa", *formats):
        yield (
            f"the data write boxes as {formats[0]}, models of type {model_type} know {native}: "
            f"giqa build --box-format {native} writes those"
        )
