"""Quality of the offline annotation pipeline, and what the pipeline itself costs; README.md says what is measured."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import pipeline_quality as quality
import pipeline_speed as speed
from coco_folder import Scene, read

from giqa_datasets.defaults import COCO, REGIONS
from giqa_datasets.drops import Drop
from giqa_datasets.pipeline.backends.classic_verifier import ClassicVerifier
from giqa_datasets.pipeline.backends.coco_detector import CocoDetector
from giqa_datasets.pipeline.backends.region_detector import RegionDetector
from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger
from giqa_datasets.pipeline.detect import detect
from giqa_datasets.pipeline.protocols import Detector
from giqa_datasets.pipeline.refine import refine
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.records import Record
from giqa_datasets.sources import mini
from giqa_metrics.resampling import differences


Row = dict[str, Any]


class Table(NamedTuple):
    """Rows of named values under a title."""

    title: str
    rows: list[Row]


class Options(NamedTuple):
    """What the parts are measured on."""

    scenes: list[Scene]  # none without --coco
    seed: int
    n_records: int
    described: dict[str, list[Record]]  # the sixty descriptions by half; none without --photographs


class Run(NamedTuple):
    """Records after the tagger, after refinement in each of its variants, and what the whole pipeline dropped."""

    tagged: list[Record]
    by_variant: dict[str, list[Record]]
    drops: list[Drop]


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument(
        "--coco", nargs=2, type=Path, metavar=("INSTANCES", "IMAGES"), help="a folder in COCO's format"
    )
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="of the descriptions in data/")
    parser.add_argument("--size", type=int, metavar="N", help="its first N photographs alone")
    parser.add_argument("--records", type=int, default=12_000, help="for what the pipeline costs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.records < 1 or (options.size is not None and options.size < 1):
        parser.error(f"expected sizes of at least 1, got {options.size} and {options.records}")
    try:
        scenes = read(*options.coco, size=options.size) if options.coco else []
        described = quality.described(options.photographs) if options.photographs else {}
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    for part in options.only:
        for table in PARTS[part](Options(scenes, options.seed, options.records, described)):
            show(table)


def grounding(options: Options) -> Iterator[Table]:
    """The pipeline's boxes beside COCO's: what each stage drops, then the scores with and without refinement."""
    if not options.scenes:
        yield Table("grounding: needs --coco", [])
        return
    records = [quality.describe(scene, seed=options.seed) for scene in options.scenes]
    run = ground(records)
    n_captions = sum(bool(scene.captions) for scene in options.scenes)
    n_templates = sum(len(scene.boxes) for scene in options.scenes)
    title = f"stages: {len(records)} descriptions of {n_captions} captions and {n_templates} template sentences"
    yield Table(title, stage_rows(run))
    crowds = sum(len(boxes) for scene in options.scenes for boxes in scene.crowds.values())
    rows = variant_rows(run.by_variant, options.scenes)
    yield Table(f"boxes beside the references, IoU >= {quality.MIN_IOU}; {crowds} crowd boxes count neither way", rows)


def ground(records: list[Record]) -> Run:
    """Run the stages up to refinement, in every variant of that."""
    drops: list[Drop] = []
    tagged = list(tags(records, SpacyTagger(), drops.append))
    found = list(detect(tagged, CocoDetector(), drops.append))
    by_variant = {}
    for name, (verifier, limits) in quality.variants(ClassicVerifier()).items():
        refined: list[Drop] = []
        kept = {record.id: record for record in refine(found, verifier, refined.append, **limits)}
        by_variant[name] = [kept.get(record.id, record) for record in records]  # a dropped one has no boxes
    return Run(tagged, by_variant, drops + refined)  # the last variant leaves no half out


def stage_rows(run: Run) -> list[Row]:
    """How many phrases, or boxes, each stage leaves out, by its reason, and how many phrases it hands on."""
    lost = Counter((drop.stage, drop.reason) for drop in run.drops)
    after = {"tags": run.tagged, "detect": run.by_variant["raw"], "refine": run.by_variant["filter and merge"]}
    handed_on = {stage: sum(len(record.tags) for record in records) for stage, records in after.items()}
    return [
        {"stage": stage, "outcome": outcome, "count": count}
        for stage, count in handed_on.items()
        for outcome, count in [
            *sorted((reason, n) for (where, reason), n in lost.items() if where == stage),
            ("phrases handed on", count),
        ]
    ]


def variant_rows(by_variant: dict[str, list[Record]], scenes: list[Scene]) -> list[Row]:
    """Boxes, scores, and the difference of F1 to the detector's own boxes, photographs resampled."""
    sums = {
        name: np.array([quality.score(record, scene) for record, scene in zip(records, scenes, strict=True)])
        for name, records in by_variant.items()
    }
    rows = []
    for name, table in sums.items():
        n_phrases, n_boxes = _phrases_and_boxes(by_variant[name])
        total = quality.Sums(*table.sum(axis=0).tolist())
        gap = differences(sums["raw"], table, range(len(scenes)), quality.scores)["f1"]
        rows.append(
            {"variant": name, "phrases": n_phrases, "boxes/phrase": n_boxes / n_phrases if n_phrases else None}
            | {"boxes": int(total.boxes), "right": int(total.right), "references": int(total.references)}
            | quality.scores(total)
            | {"f1 - raw, 95 %": "" if name == "raw" or gap is None else _interval(gap.interval)}
        )
    return rows


def descriptions(options: Options) -> Iterator[Table]:
    """What people write, grounded by each offline detector, beside boxes made by hand."""
    sets = {f"mini {split}": [entry.load() for entry in mini.hand_made(split)] for split in ("test", "train")}
    sets |= options.described
    detectors = {COCO: CocoDetector(), REGIONS: RegionDetector()}
    rows = [
        {"set": of, "detector": name} | description_row(references, detector)
        for of, references in sets.items()
        for name, detector in detectors.items()
    ]
    title = f"descriptions grounded, and their boxes beside those made by hand, IoU >= {quality.MIN_IOU}"
    yield Table(title, rows)


def description_row(references: list[Record], detector: Detector) -> Row:
    """Ground descriptions by tags, detection and refinement, and judge the boxes whose words a person boxed."""
    tagged = list(tags(references, SpacyTagger(), lambda drop: None))
    start = process_time()
    looked_at = detect(tagged, detector, lambda drop: None)
    by_id = {record.id: record for record in refine(looked_at, ClassicVerifier(), lambda drop: None)}
    seconds = process_time() - start
    right, n_judged, n_boxes = np.sum(
        [quality.judged(by_id[each.id], each) for each in references if each.id in by_id], axis=0
    ).tolist()
    return {
        "descriptions": len(references),
        "grounded": sum(bool(record.tags) for record in by_id.values()),
        "boxes": n_boxes,
        "judged": n_judged,
        "right": right,
        "precision": right / n_judged if n_judged else None,
        "CPU-s/photograph": seconds / len(references),
    }


def iqa_filter(options: Options) -> Iterator[Table]:
    """IQA-Filter on boxes of which one was distorted."""
    if options.scenes:
        trials, what = list(quality.trials_of_one_kind(options.scenes, seed=options.seed)), "others of its category"
    else:
        trials, what = list(quality.trials_elsewhere(quality.mini_scenes(), seed=options.seed)), "a place elsewhere"
    verdicts = quality.filter_verdicts(trials, ClassicVerifier(), seed=options.seed)
    n_photographs = len({trial.scene.id for trial in trials})
    title = f"IQA-Filter, one box distorted beside {what}: {len(trials)} groups in {n_photographs} photographs"
    yield Table(title, filter_rows(verdicts))


def filter_rows(verdicts: dict[tuple[str, int, str], quality.Verdicts]) -> list[Row]:
    """A row for each distortion, severity and tag."""
    return [
        {
            "distortion": distortion,
            "severity": severity,
            "the tag says": word,
            "true boxes": each.to_keep,
            "kept": each.kept / each.to_keep if each.to_keep else None,
            "untrue boxes": each.to_refuse,
            "refused": each.refused / each.to_refuse if each.to_refuse else None,
        }
        for (distortion, severity, word), each in verdicts.items()
    ]


def cost(options: Options) -> Iterator[Table]:
    """What the pipeline costs beside its models, and what the Parquet costs beside plain pyarrow's."""
    n = options.n_records
    with tempfile.TemporaryDirectory() as folder:
        runs = [speed.overhead(n, Path(folder) / str(number)) for number in range(3)]
        seconds = median(took for _, took in runs)
        row = {"records": n, "rows": runs[0][0], "CPU-s": seconds, "records per CPU-s": int(n / seconds)}
        yield Table("overhead: records to Parquet with models that cost nothing, the median of three", [row])
        written = list(speed.parquet(n, Path(folder)))
    plain = dict((name, took) for name, _, took, _ in written)["pyarrow"]
    rows = [
        {"writer": name, "rows": n_rows, "rows per CPU-s": int(n_rows / took), "beside pyarrow": plain / took}
        | {"stored / unique image bytes": share}
        for name, n_rows, took, share in written
    ]
    yield Table("Parquet: the same records by giqa and by plain pyarrow, the median of five", rows)


PARTS: dict[str, Callable[[Options], Iterator[Table]]] = {
    "grounding": grounding,
    "descriptions": descriptions,
    "filter": iqa_filter,
    "cost": cost,
}


def show(table: Table) -> None:
    """Print a table, numbers to the right."""
    print(f"\n{table.title}")
    columns = [_aligned(name, [row[name] for row in table.rows]) for name in (table.rows[0] if table.rows else ())]
    for line in zip(*columns, strict=True):
        print("  ".join(line).rstrip())


def _aligned(name: str, values: list[Any]) -> list[str]:
    """A column's cells under its name, all of one width."""
    cells = [name, *map(_cell, values)]
    width = max(map(len, cells))
    return [cell.ljust(width) if isinstance(values[0], str) else cell.rjust(width) for cell in cells]


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return value if isinstance(value, str) else f"{value:,}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "{:+.3f} to {:+.3f}".format(*interval)


def _phrases_and_boxes(records: list[Record]) -> tuple[int, int]:
    found = [len(tag.boxes) for record in records for tag in record.tags]
    return len(found), sum(found)


if __name__ == "__main__":
    main()
