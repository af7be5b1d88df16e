"""Speed and memory of Grounding DINO in its base configuration, by batch size; README.md says what is measured.

The weights are random: they find nothing, and cost what real ones do.
"""

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    SwinConfig,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

from giqa_datasets.pipeline.backends.grounding_dino import GroundingDino


# Of BERT's vocabulary the model's code knows these numbers; the words are ours
MARKS = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
PHRASES = ("man in a white shirt", "red cup", "wooden table", "old stone tower")
SIZE_PX = (1024, 768)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--images", type=int, default=64, help="pairs of an image and a phrase, at least a batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    print(f"{device_name(options.device)}, torch {torch.__version__}, float32, {SIZE_PX[0]} x {SIZE_PX[1]} pixels")
    print(f"{'batch':>5}  {'images/s':>8}  {'peak memory, MiB':>16}")
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        for size, rate, peak in measure(folder, options.batch_sizes, options.images, options.device):
            print(f"{size:>5}  {rate:>8.2f}  {peak:>16,.0f}")


def make_model(folder: Path) -> None:
    """Write the base configuration (Swin-B at 384 pixels, BERT base) with random weights."""
    words = sorted({word for phrase in PHRASES for word in phrase.split()})
    pieces = [MARKS.get(index, f"[unused{index}]") for index in range(1030)] + words
    tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    backbone = SwinConfig(  # type: ignore[call-arg]
        image_size=384,
        embed_dim=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        out_indices=[2, 3, 4],
    )
    torch.manual_seed(0)
    network = GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=backbone, text_config=BertConfig()))
    network.save_pretrained(folder)
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": 800, "longest_edge": 1333})
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(folder)


def measure(folder: str, sizes: list[int], n_images: int, device: str) -> Iterator[tuple[int, float, float]]:
    """Batch size, images with a phrase each per second (after a batch to warm up), peak memory in MiB."""
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)) for _ in range(8)]
    for size in sizes:
        detector = GroundingDino(folder, batch_size=size, device=device)
        count = max(size, n_images // size * size)
        pairs = [(images[k % len(images)], [PHRASES[k % len(PHRASES)]]) for k in range(count)]
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        look(detector, pairs[:size])
        began = time.perf_counter()
        look(detector, pairs)
        yield size, count / (time.perf_counter() - began), peak_mib(device)


def look(detector: GroundingDino, pairs: list[tuple[Image.Image, list[str]]]) -> None:
    """Look for each phrase in its image; on a GPU this waits for the boxes, since they are copied back."""
    detector.detect([image for image, _ in pairs], [phrases for _, phrases in pairs])


def peak_mib(device: str) -> float:
    """Peak memory: of the GPU since it was reset, else of this process since it began."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peak: Any = torch.cuda.max_memory_allocated()
    return float(peak) / 1024**2


def device_name(device: str) -> str:
    """What it ran on."""
    if device != "cpu":
        return str(torch.cuda.get_device_name())
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
