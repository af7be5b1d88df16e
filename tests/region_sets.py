"""Other people's sets of regions in miniature: the files and shapes of their users, our own pictures and words."""

import io
import json
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


SIZE = (64, 48)
BOXES = {"1": (0, 250, 1000, 501), "2": (185, 2, 924, 334)}  # thousandths


def picture(seed: int, size=SIZE) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def distortion(name, how, box, **other):
    """An object of ViDA-UGC's metadata."""
    said = {"id": "1", "distortion": name, "coordinates": list(box), "severity": how, "position": "in the sky"}
    said |= {
        "region_quality_scores": "The quality is poor.",
        "visual manifestation": "grain",
        "perception impact": "rough",
    }
    return said | {"region_importance_score": "This region is essential to the overall quality."} | other


def told(image, *distortions, **other):
    """A photograph of its metadata."""
    return {"image": image, "mos": 1.6, "level": "bad", "width": 64, "height": 48, "distortions": distortions} | other


def box_of(*box):
    return "<|box_start|>({},{}),({},{})<|box_end|>".format(*box)


def ref(words, *boxes):
    return f"<|object_ref_start|>{words}<|object_ref_end|>" + "".join(box_of(*box) for box in boxes)


def row(image, question, answer, **other):
    """A LLaVA row."""
    turns = [{"from": "human", "value": f"<image>{question}"}, {"from": "gpt", "value": answer}]
    return {"id": 7, "image": image, "conversations": turns} | other


NOISE, DARK = BOXES["1"], BOXES["2"]
A, B = "KONIQ10k_1.png", "SPAQ_00002.png"
ALL = f"Noise:\n{ref('Severe noise', NOISE)}\nUnderexposure:\n{ref('Slight Excessive darkness', DARK)}."
WHICH = f"What distortion affects this region {box_of(0, 0, 500, 500)}?"
TEXTS = {
    "ViDA-D(reasoning quality description)/assess": [
        row(A, "Describe it.", f"There is {ref('Severe noise', NOISE)} above.")
    ],
    "ViDA-D(reasoning quality description)/brief_assess": [
        row(A, "In brief?", "Noisy and dark."),
        row(B, "In brief?", "Fine."),
    ],
    "ViDA-D(reasoning quality description)/dist_assess": [
        row(A, f"How bad is {ref('noise', NOISE)}?", "It is severe.")
    ],
    "ViDA-G/dist_detect": [row([A], "What distortions are there?", ALL)],
    "ViDA-G/ref-grounding": [row(A, "Where is the grain?", box_of(*NOISE))],
    "ViDA-G/reg-perception": [
        row(A, WHICH, f"Noise: {ref('Severe noise', (0, 250, 500, 500))}"),
        row(B, WHICH, "No distortion affects this region."),
    ],
    "ViDA-P/mcq": [row(A, "How severe is it?\nA. Minor\nB. Severe", "B. Severe")],
    "ViDA-P/qa": [row(A, "Is it sharp?", "No, it is not."), row(B, "Why is it fine?", "It is sharp.")],
    "ViDA-P/score": [row(A, "How would you rate it?", "The quality of the image is bad.")],
}
METADATA = [
    told(A, distortion("Noise", "Severe", NOISE), distortion("Excessive darkness", "Minor.", DARK, id="bbox 2")),
    told(B, mos=3.4, level="good"),
]
TRUTH = [
    told("v1.png", distortion("Low clarity", "Moderate", (0, 0, 1000, 1000)), distortion("Noise", "Severe", NOISE))
]


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_vida(root: Path, texts=TEXTS, metadata=METADATA, truth=TRUTH, **images: bytes) -> Path:
    """ViDA-UGC: two photographs to train with, one of the benchmark."""
    files = {f"train/images/{A}": picture(1), f"train/images/{B}": picture(2), "val/images/v1.png": picture(3)}
    for name, raw in (files | images).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    for name, rows in texts.items():
        path = root / "train" / "ViDA-qwen2" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    write_json(root / "train" / "train_metadata.json", metadata)
    bench = root / "val" / "ViDA-Bench"
    write_json(bench / "release" / "benchmark.json", [{"id": 0, "image": "v1.png", "width": 64, "height": 48}])
    asked = {"id": 4, "image": "v1.png", "question": f"What affects this region {box_of(0, 0, 500, 500)}?"}
    write_json(bench / "release" / "reg-p_ques.json", [asked, asked | {"id": 5}])
    prefix = "../datasets/images/doi-images-all/"
    choice = {"id": 9, "concern": "significance", "image": f"{prefix}v1.png", "question": "How important is it?"}
    choices = [choice | {"candidates": ["minor", "essential"]}, choice | {"id": 10, "candidates": ["minor", "normal"]}]
    write_json(bench / "release" / "mcq.json", choices)
    write_json(bench / "ground_truth" / "bench_metadata.json", truth)
    found = [distortion("Noise", "Severe", (0, 250, 500, 500)), {"distortion": "No distortion"}]
    write_json(bench / "ground_truth" / "reg-p_bench.json", [{"id": 4, "image": "v1.png", "distortions": found}])
    write_json(bench / "ground_truth" / "mcq.json", [choices[0] | {"correct_ans": "essential"}, choices[1]])
    return root


def corners(x1, y1, x2, y2):
    return {"tl": {"x": x1, "y": y1}, "br": {"x": x2, "y": y2}}


ROWS_2K = [
    {
        "filename": "SPAQ_00001.png",
        "mos": 2.2,
        "level": "poor",
        "width": 64,
        "height": 48,
        "global": {"Low clarity": [corners(0, 0, 64, 48)]},
        "local": {
            "Edge Ringing effect": [corners(1, 2, 30, 40), corners(5, 5, 9, 9)],
            "Lens flare": [corners(0, 0, 3, 3)],
        },
    },
    {"filename": "AIGC_2.png", "mos": 4.5, "level": "excellent", "global": {}, "local": {}},
]


def write_vida_2k(root: Path, rows=ROWS_2K) -> Path:
    """ViDA-UGC's predecessor: a photograph with three classes, and one with none."""
    write_json(root / "benchmark_2k_cleaned.json", rows)
    for seed, each in enumerate(rows):
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / each["filename"]).write_bytes(picture(seed))
    return root


TRIANGLE = [[10.0, 10.0], [30.7, 10.2], [20.0, 30.0]]


def labelled(uid, *labels, generator="flux", **other):
    said = {"generator": generator, "uid": uid, "width": 64, "height": 48, "original_prompt": "a cat", "seed": 1}
    said |= {"labels": [{"label": name, "points": points} for name, points in labels]}
    return {"image": {"bytes": picture(crc32(f"{generator}{uid}".encode())), "path": None}} | said | other


ROWS_X = {
    "train": [labelled(1, ("low-level-edge_shape", TRIANGLE), ("high-level-semantics", [[0, 0], [63, 0], [63, 47]]))],
    "test": [labelled(1, generator="sd3"), labelled(2, ("cognitive-level-physics", TRIANGLE))],
}


def write_x_aigd(root: Path, rows=ROWS_X) -> Path:
    """X-AIGD: three generated pictures, one of them without a label."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    for split, of_split in rows.items():
        pq.write_table(pa.Table.from_pylist(of_split), root / "data" / f"labeled_{split}-00000-of-00001.parquet")
    return root


CAPTION = "The hand has six fingers. The text on the sign is garbled."
FLAT = [x for point in TRIANGLE for x in point]


def scars(image, caption, *refs):
    """An annotation of SynthScars."""
    said = [
        {"sentence": sentence, "explanation": explanation, "bbox": None, "segmentation": flats}
        for sentence, explanation, flats in refs
    ]
    return {"img_file_name": image, "caption": caption, "refs": said}


SCARS = {
    "train": [
        {
            "a1": scars(
                "a.png",
                CAPTION,
                ("The hand has six fingers.", "Hands have five.", [FLAT]),
                ("The text on the sign is garbled.", None, [FLAT, [40, 0, 60, 0, 60, 9]]),
                ("The feet float.", "", [FLAT]),
                ("six fingers", "", []),
            )
        },
        {"a2": scars("a.png", "A sixth finger.", ("A sixth finger", "", [FLAT]))},
    ],
    "test": [{"t1": scars("t.png", "Nothing is wrong.")}],
}


def write_synthscars(root: Path, annotations=SCARS) -> Path:
    """SynthScars: a picture that was annotated twice, and one of the test split."""
    for split, rows in annotations.items():
        write_json(root / split / "annotations" / f"{split}.json", rows)
        (root / split / "images").mkdir(parents=True, exist_ok=True)
        for name in {said["img_file_name"] for each in rows for said in each.values()}:
            (root / split / "images" / name).write_bytes(picture(ord(name[0])))
    return root
