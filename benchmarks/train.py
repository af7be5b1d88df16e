"""Speed and memory of the LLaVA-v1.5-7B recipes on one GPU; README.md says what is measured.

The weights are random: they cost what real ones do. The photographs and texts are those of a data set folder that
`giqa build` made.
"""

import argparse
import gc
import importlib.util
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
import trl
from datasets import Dataset, Image
from llava import LANGUAGE, RECIPE, answer_lengths, make_model, make_processor, prompt_text, read, tflop
from transformers import LlavaProcessor, TrainerCallback
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config  # type: ignore[attr-defined]


HEADER = "method   weights  batch  checkpoints  workers  samples/s  tokens/s  TFLOP/sample  of peak  peak memory, GiB"


class Setting(NamedTuple):
    """What a row is about."""

    method: str
    weights: str
    batch: int
    checkpoints: bool
    workers: int


class Clock(TrainerCallback):
    """The time after each optimiser step, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def main() -> None:
    """Measure what the command line names."""
    options = command_line()
    rows = read(options.data)
    processor = make_processor(rows)
    describe(rows, processor, options.shape)
    peak = matmul_tflops()
    print(f"bf16 matrix product: {peak:.0f} TFLOP/s\n" if peak else "no GPU, no peak\n")
    if options.overfit:
        for method in options.method:
            overfit(method, rows, processor, options)
        return
    print(HEADER)
    for setting in settings(options):
        try:
            print(row(setting, *measure(setting, rows, processor, options), peak), flush=True)
        except torch.OutOfMemoryError:
            print(f"{names(setting)}  out of memory", flush=True)
        empty()


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="what giqa build made")
    parser.add_argument("--method", nargs="+", choices=["lora", "full"], default=["lora", "full"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 8], help="processes that load images")
    parser.add_argument(
        "--weights",
        nargs="+",
        choices=["bfloat16", "float32"],
        help="default: the recipe's; bfloat16 for full on a GPU",
    )
    parser.add_argument("--batch-size", nargs="+", type=int, help="samples at once; default: the recipe's")
    parser.add_argument("--checkpoints", nargs="+", choices=["on", "off"], help="default: the recipe's")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps that count, one for each batch")
    parser.add_argument("--warm-up", type=int, default=4, help="optimiser steps before them")
    parser.add_argument("--shape", choices=list(LANGUAGE), default="7b")
    parser.add_argument("--overfit", action="store_true", help="learn a few samples by heart instead, and recite them")
    parser.add_argument("--samples", type=int, default=64, help="samples to learn by heart")
    parser.add_argument("--epochs", type=int, default=40, help="times to read them")
    parser.add_argument("--learning-rate", type=float, help="for --overfit; default: the recipe's")
    options, changes = parser.parse_known_args()  # TRL's own options change the recipe: --lora_dropout 0
    options.trl = changes
    return options


def settings(options: argparse.Namespace) -> Iterator[Setting]:
    for method in options.method:
        recipe, model = read_recipe(method, options.trl)
        batches = options.batch_size or [recipe.per_device_train_batch_size]
        checkpoints = options.checkpoints or ["on" if recipe.gradient_checkpointing else "off"]
        for weights, batch, kept, workers in product(
            options.weights or [own_weights(method, model)], batches, checkpoints, options.workers
        ):
            yield Setting(method, weights, batch, kept == "on", workers)


def own_weights(method: str, recipe: ModelConfig) -> str:
    """The recipe's kind of weights, where one GPU holds them: full needs several GPUs in float32."""
    return "bfloat16" if method == "full" and torch.cuda.is_available() else recipe.dtype or "float32"


def read_recipe(method: str, arguments: list[str], **changes: Any) -> tuple[SFTConfig, ModelConfig]:
    """The recipe by TRL's own parser, which refuses an unknown key; `changes` go before it."""
    config = ["--config", str(RECIPE / f"sft_{method}.yaml"), "--save_strategy", "no"]
    if not torch.cuda.is_available():
        changes |= {"bf16": False, "use_cpu": True}
    for name, value in changes.items():
        config += [f"--{name}", str(value)]
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))
    _, training, model = parser.parse_args_and_config([*config, *arguments])
    training.chat_template_path = None  # the processor has it; the recipe's path starts at the top of the checkout
    return training, model


def make_trainer(
    method: str, weights: str, rows: Dataset, processor: LlavaProcessor, options: argparse.Namespace, **changes: Any
) -> SFTTrainer:
    """The recipe's trainer, with the vision tower frozen in both methods."""
    training, model = read_recipe(method, options.trl, **changes)
    network = make_model(options.shape, weights, processor.tokenizer, model.attn_implementation)
    trainer = SFTTrainer(network, training, None, rows, processing_class=processor, peft_config=get_peft_config(model))
    if method == "full":
        freeze(trainer.model)
    return trainer


def freeze(model: Any) -> None:
    """As the recipe's script does it."""
    spec = importlib.util.spec_from_file_location("sft_frozen_tower", RECIPE.parent / "sft_frozen_tower.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.freeze(model)


def measure(
    setting: Setting, rows: Dataset, processor: LlavaProcessor, options: argparse.Namespace
) -> tuple[float, float, float, float]:
    """Samples per second, tokens per second without padding, TFLOP per sample, peak memory in GiB."""
    steps = options.warm_up + options.steps
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            setting.method,
            setting.weights,
            rows.select([index % len(rows) for index in range(steps * setting.batch)]),
            processor,
            options,
            dataloader_num_workers=setting.workers,
            gradient_accumulation_steps=1,
            gradient_checkpointing=setting.checkpoints,
            logging_steps=1,
            max_steps=steps,
            output_dir=folder,
            per_device_train_batch_size=setting.batch,
            disable_tqdm=True,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(clock)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    seconds = clock.times[-1] - clock.times[options.warm_up - 1]
    seen = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    n_samples = options.steps * setting.batch
    n_tokens = seen[-1] - seen[options.warm_up - 1]
    cost = tflop(trainer.model, n_tokens / n_samples, mean(answer_lengths(rows, processor)), setting.method)
    return n_samples / seconds, n_tokens / seconds, cost, peak_gib()


def overfit(method: str, rows: Dataset, processor: LlavaProcessor, options: argparse.Namespace) -> None:
    """Learn the first samples by heart, then recite them greedily from their prompts."""
    few = rows.select(range(min(options.samples, len(rows))))
    changes: dict[str, Any] = {"learning_rate": options.learning_rate} if options.learning_rate else {}
    if options.batch_size:
        changes["per_device_train_batch_size"] = options.batch_size[0]
    if options.checkpoints:
        changes["gradient_checkpointing"] = options.checkpoints[0] == "on"
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            method,
            options.weights[0] if options.weights else own_weights(method, read_recipe(method, options.trl)[1]),
            few,
            processor,
            options,
            dataloader_num_workers=options.workers[-1],
            gradient_accumulation_steps=1,
            logging_steps=1,
            num_train_epochs=options.epochs,
            output_dir=folder,
            disable_tqdm=True,
            **changes,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        print(f"{method}, {len(few)} samples, {trainer.args.num_train_epochs:.0f} epochs of batches of ", end="")
        print(f"{trainer.args.per_device_train_batch_size}, learning rate {trainer.args.learning_rate:g}")
        began = time.perf_counter()
        trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    print("   step    loss  tokens right, %")
    for entry in history[:: max(1, len(history) // 16)] + history[-1:]:
        print(f"{entry['step']:>7}  {entry['loss']:>6.3f}  {100 * entry['mean_token_accuracy']:>15.1f}")
    print(f"{time.perf_counter() - began:.0f} s", flush=True)
    recite(trainer.model, few, processor)


def recite(model: Any, rows: Dataset, processor: LlavaProcessor, batch: int = 32) -> None:
    """Answer each row greedily and count the answers that are the row's own."""
    model.eval()
    model.gradient_checkpointing_disable()
    model.config.use_cache = True
    processor.tokenizer.padding_side = "left"  # generation goes on from the right
    eos = processor.tokenizer.eos_token_id
    longest = max(answer_lengths(rows, processor)) + 8
    stopped, right, grounded = 0, 0, []
    for start in range(0, len(rows), batch):
        few = rows[start : start + batch]
        wanted = [turns[0]["content"] for turns in few["completion"]]
        inputs = processor(
            images=[[image] for image in few["image"]],
            text=[prompt_text(turns, processor) for turns in few["prompt"]],
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,
        ).to(model.device)
        has_gpu = torch.cuda.is_available()
        with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=has_gpu):
            tokens = model.generate(**inputs, do_sample=False, max_new_tokens=longest)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        stopped += int((new == eos).any(dim=1).sum())
        said = [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
        same = [ours == theirs for ours, theirs in zip(said, wanted, strict=True)]
        right += sum(same)
        grounded += [hit for hit, text in zip(same, wanted, strict=True) if "](<" in text]
    print(f"recited exactly: {right} of {len(rows)} answers, {sum(grounded)} of the {len(grounded)} with boxes")
    print(f"stopped by themselves: {stopped} of {len(rows)}\n", flush=True)


def describe(rows: Dataset, processor: LlavaProcessor, shape: str) -> None:
    """Say what it runs on, and on what."""
    prompts = [prompt_text(turns, processor) for turns in rows["prompt"]]
    asked = [len(ids) - 1 for ids in processor.tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    answered = answer_lengths(rows, processor)
    sizes = sorted({f"{image.width} x {image.height}" for image in rows["image"]})
    files = [len(entry["bytes"]) for entry in rows.cast_column("image", Image(decode=False))["image"]]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    print(f"{device}, torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}")
    print(f"shape {shape}, {len(rows)} samples, JPEGs of {mean(files) / 1000:.0f} KB on average: {', '.join(sizes)}")
    print(
        f"576 image tokens; text {mean(asked) + mean(answered):.0f} tokens on average, of which the answer "
        f"{mean(answered):.0f} (1 to {max(answered)}); {type(processor.image_processor).__name__}"
    )


def matmul_tflops(side: int = 8192, repeats: int = 20) -> float:
    """The machine's bf16 peak as a product of two square random matrices reaches it; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0.0
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds: list[float] = []
    for _ in range(repeats + 5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        left @ right
        end.record()
        torch.cuda.synchronize()
        seconds.append(begin.elapsed_time(end) / 1000)
    return 2 * side**3 / sorted(seconds[5:])[repeats // 2] / 1e12


def names(setting: Setting) -> str:
    kept = "on" if setting.checkpoints else "off"
    return f"{setting.method:>6}  {setting.weights:>8}  {setting.batch:>5}  {kept:>11}  {setting.workers:>7}"


def row(setting: Setting, samples: float, tokens: float, cost: float, gib: float, peak: float) -> str:
    share = f"{samples * cost / peak:>7.1%}" if peak else f"{'-':>7}"
    return f"{names(setting)}  {samples:>9.2f}  {tokens:>8,.0f}  {cost:>12.2f}  {share}  {gib:>16.1f}"


def peak_gib() -> float:
    """Peak memory: of the GPU since it was reset, else of this process since it began."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def empty() -> None:
    """Give the last model's memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def mean(values: list[int]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
