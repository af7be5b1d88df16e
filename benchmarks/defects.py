"""Speed of `giqa_defects` beside COCO's mAP, and its values on a public model's answers; README.md says what it is."""

import os


os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before numpy

import argparse
import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.defect_classes import DEFECT_CLASSES, SEVERITIES
from giqa_datasets.text_scan import scan
from giqa_metrics import giqa_defects
from giqa_metrics.defects.answers import by_class
from giqa_metrics.runs.baselines import blind_defects


TARGET = 4  # times as fast as COCO's mAP
TOLERANCE = 1e-9
CLASSES = DEFECT_CLASSES[:10]
SIDE = 1000  # boxes are in thousandths

ANSWERS = "eval/example_result/mipi_example_input"
TRUTH = "data/meta_json/benchmark-v1/test/test_dist_info_v2.json"
IMPORTANCE = {"unimportant": 1, "minor": 2, "normal": 3, "important": 4, "essential": 5}
SHOWN = "ap50", "box_f1", "class_accuracy", "severity_accuracy", "key_accuracy", "key_recall", "level_accuracy"

Boxes = list[tuple[str, str, list[int]]]  # class, severity, corners


class Photograph(NamedTuple):
    """What is said of a photograph, and what is so."""

    predicted: Boxes
    reference: Boxes


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000, help="photographs (default: %(default)s)")
    parser.add_argument("--peer-samples", type=int, default=2_000, help="the first of them, for the peer")
    parser.add_argument("--rounds", type=int, default=3, help="medians are over them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vida", type=Path, nargs=2, metavar=("CODE", "TRUTH"), help="clones; values, and no speed")
    options = parser.parse_args()
    if options.vida:
        published(*options.vida)
    else:
        drawn = [*draw(options.samples, seed=options.seed)]
        values(drawn[: options.peer_samples])
        speed(drawn, drawn[: options.peer_samples], options.rounds)


def draw(count: int, *, seed: int) -> list[Photograph]:
    """Draw photographs with one to six defects; an answer names most of them, near where they are, and some others."""
    rng = np.random.default_rng(seed)

    def named(corners: Any) -> Boxes:
        low, high = np.sort(corners.clip(0, SIDE).reshape(-1, 2, 2), axis=1).transpose(1, 0, 2)
        low = np.minimum(low, SIDE - 1)
        boxes = np.concatenate([low, np.maximum(high, low + 1)], axis=1).tolist()
        kinds, severities = rng.choice(CLASSES, len(boxes)), rng.choice(SEVERITIES, len(boxes))
        return list(zip(kinds.tolist(), severities.tolist(), boxes, strict=True))

    drawn = []
    for _ in range(count):
        reference = named(rng.integers(0, SIDE, (rng.integers(1, 7), 4)))
        kept = [it for it in reference if rng.random() < 0.7]
        near = [(kind, severity, named(box + rng.integers(-30, 31, 4))[0][2]) for kind, severity, box in kept]
        drawn.append(Photograph(near + named(rng.integers(0, SIDE, (rng.integers(0, 4), 4))), reference))
    return drawn


def block_text(boxes: Boxes) -> str:
    """An answer as Qwen2-VL-ViDA writes it."""
    blocks = (
        f"{kind.capitalize()}:\n<|object_ref_start|>{severity.capitalize()} {kind}<|object_ref_end|>"
        f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
        for kind, severity, (x1, y1, x2, y2) in boxes
    )
    return "\n".join(blocks) + ".<|im_end|>"


def giqa_text(boxes: Boxes) -> str:
    """The same as GIQA text, with decimals."""
    return ", ".join(
        f"[{severity} {kind}](<{', '.join(f'{side / SIDE:.3f}' for side in box)}>)" for kind, severity, box in boxes
    )


def texts_of(drawn: list[Photograph]) -> tuple[list[str], list[str]]:
    """Answers and references."""
    return [block_text(each.predicted) for each in drawn], [giqa_text(each.reference) for each in drawn]


def ours(texts: tuple[list[str], list[str]]) -> dict[str, Any]:
    """Texts to all scores."""
    return giqa_defects(*texts, box_format="qwen2_vl")


def coco(drawn: list[Photograph]) -> Any:
    """Boxes that are read already to pycocotools' precision and recall at IoU 0.5, of all sizes, and nothing else."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def rows(side: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for at, photograph in enumerate(drawn):
            for kind, _, (x1, y1, x2, y2) in getattr(photograph, side):
                row = {"id": len(found) + 1, "image_id": at, "category_id": CLASSES.index(kind) + 1, "iscrowd": 0}
                width, height = x2 - x1, y2 - y1
                found.append(row | {"bbox": [x1, y1, width, height], "area": width * height, "score": 1.0})
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": at, "width": SIDE, "height": SIDE} for at in range(len(drawn))],
            "annotations": rows("reference"),
            "categories": [{"id": at, "name": name} for at, name in enumerate(CLASSES, start=1)],
        }
        truth.createIndex()
        found = COCOeval(truth, truth.loadRes(rows("predicted")), "bbox")
        found.params.iouThrs, found.params.areaRng = np.array([0.5]), found.params.areaRng[:1]
        found.params.areaRngLbl, found.params.maxDets = found.params.areaRngLbl[:1], [100]
        found.evaluate()
        found.accumulate()
    return found.eval


def values(drawn: list[Photograph]) -> None:
    """Print what both say of the same boxes.

    Raises:
        AssertionError: If the recall of a class, on which the definitions agree, differs.
    """
    mine, theirs = ours(texts_of(drawn)), coco(drawn)
    recalls = {name: mine["classes"][name]["recall"] for name in CLASSES}
    apart = max(abs(recalls[name] - theirs["recall"][0, at, 0, 0]) for at, name in enumerate(CLASSES))
    print(f"{len(drawn):,} photographs; recall, mean over {len(CLASSES)} classes: {fmean(recalls.values()):.6f}")
    assert apart <= TOLERANCE, f"expected the recalls of pycocotools, got {recalls}"
    print(f"  identical to pycocotools in each class: at most {apart:.1g} apart")
    print(f"ap50 {mine['ap50']:.6f}; pycocotools, by the order of the file: {theirs['precision'].mean():.6f}")


def speed(drawn: list[Photograph], part: list[Photograph], rounds: int) -> None:
    """Print photographs per CPU-second: ours on all of them, from text; the peer on a part, from boxes; in turns."""
    texts = texts_of(drawn)
    rates: dict[str, list[float]] = {"giqa_defects": [], "pycocotools": []}
    for _ in range(rounds):
        rates["giqa_defects"].append(len(drawn) / _seconds(lambda: ours(texts)))
        rates["pycocotools"].append(len(part) / _seconds(lambda: coco(part)))
    own, peer = (median(its) for its in rates.values())
    print(f"\nphotographs per CPU-second, medians of {rounds} rounds in turns")
    print(f"giqa_defects, texts to all scores: {own:,.0f} of {len(drawn):,}")
    print(f"pycocotools, boxes to AP50:        {peer:,.0f} of {len(part):,}")
    print(f"ours/it {own / peer:.2f}, target {TARGET}, {'met' if own / peer >= TARGET else 'MISSED'}")


def _seconds(score: Callable[[], Any]) -> float:
    """CPU-seconds of a call."""
    start = time.process_time()
    score()
    return time.process_time() - start


def published(code: Path, truth: Path) -> None:
    """Print the challenge's numbers of the published answers, ours, and those of blind answers."""
    described, grounding = (
        json.loads((code / ANSWERS / f"{name}.json").read_text()) for name in ("description", "grounding")
    )
    images = {row["image"]: row for row in json.loads((truth / TRUTH).read_text())}
    detected = [row for row in grounding if row["question_type"] == "distortion-detection"]
    levels = {row["image"]: f"The quality of the image is {images[row['image']]['level']}." for row in described}

    def score(rows: list[dict[str, Any]], blind: str | None = None, **options: Any) -> dict[str, Any]:
        return giqa_defects(
            [row["pred_ans"] if blind is None else blind for row in rows],
            [levels[row["image"]] if rows is described else None for row in rows],
            objects=[objects_of(images[row["image"]], row.get("question_type")) for row in rows],
            image_sizes=[(SIDE, SIDE)] * len(rows),
            images=[row["image"] for row in rows],
            **{"box_format": "qwen2_vl" if blind is None else "giqa"} | options,
        )

    for name, rows in (
        ("whole images and regions", grounding),
        ("whole images", detected),
        ("descriptions", described),
    ):
        scores = score(rows, preset="vida")
        levels_right = f"{scores['n_levels_right']} of {scores['n_levels']} levels"
        bounds = f"{scores['ap50_low']:.4f} to {scores['ap50_high']:.4f} in other orders"
        print(f"vida, {name}: ap50 {scores['ap50']!r}, {bounds}; {levels_right}")
    print(("{:60}" + "{:>19}" * len(SHOWN)).format("", *SHOWN))
    of_classes = by_class(scan([giqa_text(boxes_of(images[row["image"]])) for row in detected]))
    level = Counter(levels.values()).most_common(1)[0][0]
    for name, rows in (("whole images", detected), ("descriptions", described)):
        _show(name, score(rows))
        for title, answer in blind_defects([of_classes]).items():
            text = f"{answer}.\n{answer}.\n{level}" if rows is described else answer
            _show(f"  blind: {title}", score(rows, text))


def objects_of(row: dict[str, Any], asked: str | None) -> list[dict[str, Any]] | None:
    """The public truth as rows of the column `objects`; none for a question about a region."""
    if asked == "region-perception":
        return None
    return [
        {
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "category": category,
            "severity": severity,
            "significance": significance,
        }
        for (category, severity, box), significance in zip(
            boxes_of(row), [_importance(it["region_importance_score"]) for it in row["distortions"]], strict=True
        )
    ]


def boxes_of(row: dict[str, Any]) -> Boxes:
    """The boxes of the public truth."""
    return [(it["distortion"], it["severity"], it["coordinates"]) for it in row["distortions"]]


def _importance(sentence: str) -> int:
    """How much a region matters; 0 where the sentence says something else."""
    return next((IMPORTANCE[word] for word in sentence.split() if word in IMPORTANCE), 0)


def _show(name: str, scores: dict[str, Any]) -> None:
    cells = ("-" if scores[key] is None else f"{scores[key]:.4f}" for key in SHOWN)
    print(("{:60}" + "{:>19}" * len(SHOWN)).format(name, *cells))


if __name__ == "__main__":
    main()
