"""giqa score on a set that says what is wrong in a photograph: giqa_defects beside the other metrics."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from giqa_datasets.text_scan import scan
from giqa_metrics import giqa_defects
from giqa_metrics.defects.scores import DefectStats, aggregate
from giqa_metrics.runs.check import check_run
from giqa_metrics.runs.compare import compare_runs
from giqa_metrics.runs.defects import tally_of, tally_part
from giqa_metrics.runs.score import Options, score_run
from giqa_metrics.runs.table import tables


BLIND = "whole image, low clarity", "most frequent class, best constant box"
LEVEL = "\nThe quality of the image is fair."
CHOICE = "How severe is the noise?\nA. Minor\nB. Severe"
# Type, question, reference, answer of a model
SAMPLES = [
    ("what", "Which distortions?", "[Severe noise](<0, 189>)", "[Minor noise](<0, 189>) and [haze](<0, 21>)"),
    ("what", "Which distortions?", "[Minor motion blur](<0, 399>)", "[blocking artifact](<0, 399>)"),
    ("what", "Which distortions?", "[Severe noise](<190, 399>)", "Nothing."),
    (
        "des",
        "Describe it.",
        f"A [cup](<0, 21>).\n[Severe noise](<0, 189>) matters.{LEVEL}",
        f"A cup.\nNothing.{LEVEL}",
    ),
    ("des", "Describe it.", f"A cup.\n[Minor noise](<0, 399>).{LEVEL}", f"A cup.\n[noise](<0, 398>).\n{LEVEL}"),
]


@pytest.fixture
def data(tmp_path) -> str:
    """A set without pixels and with the column `objects`, two samples a photograph."""
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    objects = {"bbox": [[0.0, 0.0, 640.0, 240.0]], "category": ["noise"], "severity": ["severe"]}
    rows = [
        {
            "id": f"set/{at}-{kind}-severity-{at}",
            "width": 640,
            "height": 480,
            "task": "des" if kind == "des" else "vqa",
            "question_type": kind,
            "question": question,
            "answer": answer,
            "regions": [{"phrase": "noise", "role": "answer", "boxes": [[0.0, 0.0, 1.0, 0.5]]}],
            "distortions": [{"name": "noise", "severity": 1}],
            "image_sha256": f"{at // 2:064x}",
            "objects": objects,
        }
        for at, (kind, question, answer, _) in enumerate(SAMPLES)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "test-00000-of-00001.parquet")
    return str(folder)


def run_of(folder: Path, data: str, answers: list[str]) -> Path:
    folder.mkdir()
    lines = [
        json.dumps({"id": f"set/{at}-{kind}-severity-{at}", "prediction": answer})
        for at, ((kind, *_), answer) in enumerate(zip(SAMPLES, answers, strict=True))
    ]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    score_run(folder, data, options=Options(similarity="exact", resamples=20))
    return folder


def test_scores_rows_table_check_and_comparison(tmp_path, data):
    answers = [answer for *_, answer in SAMPLES]
    run = run_of(tmp_path / "run", data, answers)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]

    for task in ("des", "vqa"):
        its = [sample for sample in SAMPLES if (sample[0] == "des") == (task == "des")]
        alone = giqa_defects([answer for *_, answer in its], [reference for _, _, reference, _ in its])
        stated = summary[task]["giqa_defects"]
        assert {name: stated[name] for name in alone} == alone
        low, high = stated["intervals"]["ap50"] or (0, 1)
        assert low <= stated["ap50"] <= high
        of_task = [row["giqa_defects"] for row in rows if row["task"] == task]
        assert all(sum(row[name] for row in of_task) == stated[name] for name in DefectStats.names() if name != "iou")
    assert summary["vqa"]["baselines"]["whole image, low clarity"]["giqa_defects"]["box_f1"] == pytest.approx(1 / 3)

    shown = [table for table in tables(summary) if "which defects" in table.title]
    assert [table.columns[0] for table in shown] == ["AP50", "AP50"]
    assert [name for name, _ in shown[1].rows] == ["run", *(f"blind: {name}" for name in BLIND)]
    assert not [number for number in check_run(run, similarity="exact") if not number.holds]

    options = Options(similarity="exact", exact_boxes=True, resamples=0)
    exact = score_run(run, data, out=tmp_path / "exact", options=options)["vqa"]["giqa_defects"]
    assert exact["classes"].keys() == {"noise", "haze", "blocking artifacts"}
    assert "|references:exact|" in exact["signature"]

    unread = run_of(tmp_path / "unread", data, [f"Haze [1, 2, 30, 40].{LEVEL}"] * len(SAMPLES))
    (row, *_) = tables(json.loads((unread / "summary.json").read_text(encoding="utf-8")))[1].rows
    assert [cell.value for cell in row[1]] == ["unread"] * 6 + ["1.0000", "-"]

    references = [reference for _, _, reference, _ in SAMPLES]
    other = run_of(tmp_path / "other", data, references)
    found = {(each.task, each.score): each for each in compare_runs(run, other, resamples=20)}
    ours = found["vqa", "ap50"]
    assert (ours.a, ours.b, ours.difference.b) == (summary["vqa"]["giqa_defects"]["ap50"], 1.0, 1.0)


def test_a_multiple_choice_question_has_its_options_in_its_lines_and_its_concern_in_its_id():
    row = {"id": "set/a-mcq-severity-7", "question_type": "mcq", "question": CHOICE, "answer": "B. Severe"}
    row |= {"width": 640, "height": 480, "input_size": None}
    rows = [row | {"prediction": text} for text in ("B", "minor", "[noise](<0, 21>)")]
    rows.append(row | {"id": "set/b", "question_type": "what", "answer": "[noise](<0, 21>)", "prediction": "B."})
    part, lines = tally_part(rows, scan([row["answer"] for row in rows]), "giqa", exact=False)
    scores = aggregate(tally_of(lines), part.sums())
    assert (scores["choice_accuracy"], scores["n_choices_unreadable"]) == (1 / 3, 1)
    assert scores["concerns"] == {"severity": {"accuracy": 1 / 3, "n_choices": 3}}
    assert (scores["n_predicted"], scores["n_reference"]) == (0, 1)


@pytest.mark.parametrize("category", ["artifact", None])
def test_phrases_that_are_no_classes_are_not_scored_as_such(tmp_path, data, category):
    (path,) = Path(data).rglob("*.parquet")
    rows = pq.read_table(path).to_pylist()[:3]
    for row in rows:
        row["objects"] = category and row["objects"] | {"category": [category]}
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    run = tmp_path / "run"
    run.mkdir()
    lines = [json.dumps({"id": row["id"], "prediction": "[noise](<0, 21>)"}) for row in rows]
    (run / "predictions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    summary = score_run(run, data, options=Options(similarity="exact", resamples=0))
    assert set(summary["vqa"]) == {"giqa_grounding", "giqa_vqa", "baselines"}
