"""`giqa score` with other options: box formats, presets, exact boxes, confidence intervals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import load_dataset

from giqa_datasets import parse
from giqa_datasets.boxes import to_boxes
from giqa_datasets.formats import FORMATS, Sizes, box_format
from giqa_datasets.formats.frames import resized
from giqa_metrics import giqa_grounding
from giqa_metrics.resampling import intervals
from giqa_metrics.runs.score import Options, compute, measure, score_run


pytestmark = pytest.mark.slow


EXACT = Options(similarity="exact", resamples=0)
# How far a written corner may be from the box: half a step, in shares of the frame's longer side
STEPS = {
    "giqa": 0,
    "giqa_decimal": 0.01,
    "kosmos2": 1 / 32,
    "ferret": 1 / 1000,
    "shikra": 1 / 1000,
    "groundinggpt": 1 / 1000,
    "llava": 1 / 100,
    "qwen_vl": 1 / 1000,
    "qwen2_vl": 1 / 1000,
    "qwen2_5_vl": 1 / 300,
    "qwen3_vl": 1 / 1000,
    "kimi_vl": 1 / 1000,
    "gemini": 1 / 1000,
    "glm_v": 1 / 1000,
    "deepseek_vl2": 1 / 999,
    "minicpm_v": 1 / 1000,
    "internvl": 1 / 1000,
    "paligemma": 1 / 1023,
    "florence2": 1 / 1000,
    "pixels": 1 / 300,
}
MIOU = {"giqa": 1, "giqa_decimal": 0.89, "kosmos2": 0.8, "llava": 0.9}  # of the coarse ones; else 0.98
UNMARKED = (
    "ferret",
    "shikra",
    "groundinggpt",
    "llava",
    "glm_v",
    "florence2",
)  # the name is a guess: the words before the bracket


def write_run(folder: Path, rows: list[dict], write, *, size_of=lambda row: None) -> Path:
    """Write every reference as a prediction, by a function of a row; and the sizes of resized images, if any."""
    folder.mkdir()
    lines = [
        json.dumps(
            {"id": row["id"], "prediction": write(row)} | ({"input_size": size_of(row)} if size_of(row) else {})
        )
        for row in rows
    ]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def written_in(name: str, size_of=lambda row: None):
    """Write a row's answer in a box format."""

    def write(row: dict) -> str:
        text = parse(row["answer"])
        return box_format(name).write(text.plain, text.regions, Sizes((row["width"], row["height"]), size_of(row)))

    return write


def read_rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]


def lines_of_run(folder: Path, data: str, *, options: Options) -> list[dict]:
    """The rows of `scores.jsonl`, not written."""
    lines: list[dict] = []
    compute(folder, data, options=options, keep=lambda rows, _: lines.extend(json.loads(row["line"]) for row in rows))
    return lines


def read_summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_every_format_is_scored_here():
    assert set(STEPS) == set(FORMATS)


# One of each kind: text, cells, brackets, a padded square, markers, pixels in JSON, names behind their boxes
@pytest.mark.parametrize("name", ["giqa_decimal", "kosmos2", "ferret", "llava", "qwen2_vl", "qwen2_5_vl", "paligemma"])
def test_references_in_a_models_own_format_score_as_well_as_its_steps_allow(giqa, bench, bench_rows, tmp_path, name):
    folder = write_run(tmp_path / "run", bench_rows, written_in(name))
    options = ("--similarity", "exact", "--resamples", 0, "--box-format", name)
    ran = giqa("score", folder, "--data", bench, *options)
    assert ran.code == 0, ran.err
    summary = read_summary(folder)
    assert summary["settings"]["box_format"] == name
    for task in ("des", "vqa"):
        boxes = summary[task]["giqa_grounding"]
        assert f"|format:{name}|" in boxes["signature"]
        assert boxes["n_malformed"] == 0
        assert boxes["miou"] >= MIOU.get(name, 0.98)
        assert boxes["n_predicted"] == boxes["n_reference"]
        # Florence-2's captions reach back over verbs, where the others' names end
    assert boxes["tag_recall"] > (0.55 if name == "florence2" else 0.75 if name in UNMARKED else 0.98)
    assert summary["des"]["giqa_description"]["bleu4"] == 100
    assert summary["vqa"]["giqa_vqa"]["accuracy_yes_no"] == 1


@pytest.mark.parametrize("name", STEPS)
def test_the_boxes_in_scores_are_those_that_were_written(bench, bench_rows, tmp_path, name):
    folder = write_run(tmp_path / "run", bench_rows, written_in(name))
    rows = lines_of_run(folder, str(bench), options=EXACT._replace(box_format=name))
    for row, its in zip(bench_rows, rows, strict=True):
        expected = [(region.phrase, box) for region in parse(row["answer"]).regions for box in region.boxes.tolist()]
        found = [(each["phrase"], each["box"]) for each in its["giqa_grounding"]["predicted"]]
        assert len(found) == len(expected)
        # A square that is padded is wider than the image's shorter side by their ratio
        step = STEPS[name] * max(row["width"], row["height"]) / min(row["width"], row["height"])
        for phrase, box in expected:
            same = [other for known, other in found if known == phrase or name in UNMARKED]
            assert min(np.abs(np.subtract(box, other)).max() for other in same) <= step + 1e-6, (row["id"], phrase)


@pytest.mark.slow
def test_pixels_are_those_of_the_input_size_that_the_prediction_names(giqa, bench, bench_rows, tmp_path):
    def twice(row):
        return [2 * side for side in resized((row["width"], row["height"]))]

    rows = [row for row in bench_rows if row["task"] == "des"]
    write = written_in("qwen2_5_vl", twice)
    named = write_run(tmp_path / "named", rows, write, size_of=twice)
    silent = write_run(tmp_path / "silent", rows, write)
    for folder in (named, silent):
        options = ("--similarity", "exact", "--resamples", 0, "--box-format", "qwen2_5_vl")
        ran = giqa("score", folder, "--data", bench, "--config", "des", *options)
        assert ran.code == 0, ran.err
    right, wrong = (read_summary(folder)["des"]["giqa_grounding"] for folder in (named, silent))
    assert right["miou"] > 0.985
    assert right["n_malformed"] == 0
    # Read as pixels of an image half as wide, they are outside of it or somewhere else
    assert wrong["n_malformed"] > right["n_predicted"] / 2
    assert wrong["miou"] < 0.5


@pytest.mark.parametrize("name", ["qwen2_5_vl", "pixels"])
def test_all_answers_name_their_input_size_or_none_does(giqa, bench, bench_rows, tmp_path, name):
    rows = [row for row in bench_rows if row["task"] == "des"]
    named = {row["id"] for row in rows[::2]}

    def size_of(row):
        return (280, 560) if row["id"] in named else None

    def score(folder, *options):
        return giqa(
            *("score", folder, "--data", bench, "--config", "des", "--similarity", "exact", "--resamples", 0),
            *("--box-format", name, *options),
        )

    mixed = write_run(tmp_path / "mixed", rows, written_in(name, size_of), size_of=size_of)
    ran = score(mixed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"giqa: box format '{name}' counts in pixels of the resized image: expected its size with every answer or "
        "with none, got it with 14 of 28\n"
    )
    assert not (mixed / "summary.json").exists()
    lines = [json.loads(line) for line in (mixed / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    answered = [line if "input_size" in line else line | {"prediction": None} for line in lines]
    text = "".join(json.dumps(line) + "\n" for line in answered)
    (mixed / "predictions.jsonl").write_text(text, encoding="utf-8")
    given = score(mixed)
    silent = score(write_run(tmp_path / "silent", rows, written_in(name)))
    assert (given.code, silent.code) == (0, 0)
    assert "no answer names its input_size" not in given.out
    assert "no answer names its input_size: boxes are read in pixels of " in silent.out
    signatures = [read_summary(tmp_path / run)["des"]["giqa_grounding"]["signature"] for run in ("mixed", "silent")]
    assert f"|format:{name}|sizes:given|" in signatures[0]
    assert f"|format:{name}|sizes:{'image' if name == 'pixels' else 'default'}|" in signatures[1]


@pytest.mark.parametrize("size", [[560], [0, 280], [-560, 280], ["560", "280"], [560.5, 280], 560, {"width": 560}])
def test_an_input_size_that_is_none_is_one_sentence_that_names_the_line(giqa, make_run, bench, size):
    folder = make_run()
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"input_size": size})
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = giqa("score", folder, "--data", bench, "--similarity", "exact", "--box-format", "qwen2_5_vl")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "predictions.jsonl line 5: expected" in ran.err
    assert {path.name for path in folder.iterdir()} == {"predictions.jsonl"}


def test_the_sentence_about_an_input_size_says_what_is_expected_of_it(giqa, make_run, bench):
    folder = make_run()
    (folder / "predictions.jsonl").write_text(
        '{"id": "a", "prediction": "b", "input_size": [560]}\n', encoding="utf-8"
    )
    assert "input_size" in giqa("score", folder, "--data", bench).err.split(", got")[0]


def test_a_report_shows_the_boxes_of_another_format(bench, bench_rows, tmp_path):
    folder = write_run(tmp_path / "run", bench_rows, written_in("shikra"))
    score_run(folder, str(bench), options=EXACT._replace(box_format="shikra"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    boxes = sum(len(row["giqa_grounding"]["predicted"]) for row in read_rows(folder))
    assert page.count('<rect class="predicted"') == boxes == page.count('<rect class="reference"')


def test_another_format_than_was_written_finds_foreign_boxes(bench, bench_rows, tmp_path):
    folder = write_run(tmp_path / "run", bench_rows, written_in("kosmos2"))
    summary = compute(folder, str(bench), options=EXACT).summary
    found = summary["des"]["giqa_grounding"]
    assert (found["miou"], found["n_predicted"]) == (0, 0)
    assert found["n_foreign"] == found["n_malformed"] > 0


def test_glamms_preset_end_to_end(giqa, bench, bench_rows, make_run):
    changed = {"astronaut-des": "The [cap](<6, 151>) of her [orange suit](<100, 394>)."}
    folder = make_run(changed)
    options = ("--preset", "glamm", "--similarity", "exact", "--resamples", 30)
    ran = giqa("score", folder, "--data", bench, *options, "--format", "json")
    assert ran.code == 0, ran.err
    summary = json.loads(ran.out)
    assert summary["settings"]["preset"] == "glamm"
    rows = [row for row in bench_rows if row["task"] == "des"]
    texts = [changed.get(row["id"], row["answer"]) for row in rows], [row["answer"] for row in rows]
    expected = giqa_grounding(*texts, preset="glamm", similarity="exact")
    stated = summary["des"]["giqa_grounding"]
    assert {name: value for name, value in stated.items() if name != "intervals"} == expected
    assert stated["signature"].endswith(expected["signature"].split("|", 4)[4])
    assert "|preset:glamm|" in stated["signature"]
    assert "|match:greedy-until-names-differ|" in stated["signature"]
    assert stated["tag_recall"] == stated["tag_recall_micro"] < 1
    assert stated["intervals"]["tag_recall"] == stated["intervals"]["tag_recall_micro"]
    assert "|preset:glamm|" in summary["des"]["baselines"]["whole image"]["giqa_grounding"]["signature"]


def test_exact_boxes_end_to_end(giqa, bench, bench_rows, make_run):
    folder = make_run()
    options = ("--exact-boxes", "--similarity", "exact", "--resamples", 0)
    ran = giqa("score", folder, "--data", bench, *options, "--format", "json")
    assert ran.code == 0, ran.err
    summary = json.loads(ran.out)
    for task in ("des", "vqa"):
        rows = [row for row in bench_rows if row["task"] == task]
        answers = [row["answer"] for row in rows]
        expected = giqa_grounding(
            answers, answers, similarity="exact", exact_references=[row["regions"] for row in rows]
        )
        stated = summary[task]["giqa_grounding"]
        assert {name: value for name, value in stated.items() if name != "intervals"} == expected
        assert "|references:exact|" in stated["signature"]
        assert 0.7 < stated["miou"] < 1  # the grid's own error
        blind = summary[task]["baselines"]["best constant box"]["giqa_grounding"]
        assert "|references:exact|" in blind["signature"]


def test_a_model_that_is_finer_than_the_grid_is_right_by_the_exact_boxes_alone(bench, bench_rows, tmp_path):
    def write(row):
        exact = {each["phrase"]: to_boxes(each["boxes"]) for each in row["regions"] if each["role"] == "answer"}
        text = parse(row["answer"])
        return box_format("ferret").write(
            text.plain, [replace(region, boxes=exact[region.phrase]) for region in text.regions]
        )

    folder = write_run(tmp_path / "run", bench_rows, write)
    fine = EXACT._replace(box_format="ferret")
    by_cells, exactly = (
        compute(folder, str(bench), options=fine._replace(exact_boxes=is_exact)).summary["des"]["giqa_grounding"]
        for is_exact in (False, True)
    )
    assert by_cells["miou"] < 0.95 < 0.99 < exactly["miou"]


def test_without_resamples_there_are_no_intervals(giqa, make_run, bench):
    folder = make_run()
    ran = giqa("score", folder, "--data", bench, "--similarity", "exact", "--resamples", 0)
    assert ran.code == 0
    summary = read_summary(folder)
    for task, metric in (
        ("des", "giqa_grounding"),
        ("des", "giqa_description"),
        ("vqa", "giqa_grounding"),
        ("vqa", "giqa_vqa"),
    ):
        assert summary[task][metric]["intervals"] == {}
    assert "\u2013" not in ran.out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<td>1.0000</td>" in page
    assert "<small>" not in page
    assert "confidence intervals" not in page


@pytest.fixture(scope="module")
def photographs(workspace, tmp_path_factory) -> tuple[Path, str]:
    """A run over crops of few photographs, right on every second crop."""
    data = str(workspace / "giqa-tiny")
    rows = list(load_dataset(data, split="test").remove_columns("image"))
    right = {row["id"]: number % 2 for number, row in enumerate(rows)}
    folder = tmp_path_factory.mktemp("photographs") / "run"
    write_run(folder, rows, lambda row: row["answer"] if right[row["id"]] else "The dog.")
    return folder, data


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others(photographs):
    folder, data = photographs

    def bounds(**options):  # of fewer resamples than there are photographs
        summary = compute(folder, data, options=EXACT._replace(**{"resamples": 4} | options)).summary
        return summary["des"]["giqa_description"]["intervals"]["bleu4"], summary["references"]

    assert bounds(seed=3) == bounds(seed=3)
    assert bounds(seed=3) != bounds(seed=4)
    assert bounds(seed=3) != bounds(seed=3, resamples=5)


def test_intervals_leave_out_photographs_and_not_crops(photographs):
    folder, data = photographs
    scored = compute(folder, data, options=EXACT._replace(resamples=100, seed=5))
    rows = [row for row in lines_of_run(folder, data, options=EXACT) if row["task"] == "des"]
    images = [row["image"] for row in rows]
    assert 1 < len(set(images)) < len(images)
    (table,), scores = measure("giqa_description", [row["giqa_description"] for row in rows], preset="paper")
    by_image = intervals(table, images, scores, top=100, resamples=100, seed=5)
    by_sample = intervals(table, range(len(rows)), scores, top=100, resamples=100, seed=5)
    assert scored.summary["des"]["giqa_description"]["intervals"] == by_image
    assert by_image != by_sample


def test_every_interval_holds_its_score_and_stands_in_the_tables(giqa, photographs, tmp_path):
    folder, data = photographs
    ran = giqa("score", folder, "--data", data, "--similarity", "exact", "--resamples", 200, "--out", tmp_path)
    assert ran.code == 0
    summary = read_summary(tmp_path)
    known = [
        (result[name], bounds)
        for task in ("des", "vqa")
        if task in summary
        for result in (summary[task][metric] for metric in summary[task] if metric.startswith("giqa"))
        for name, bounds in result["intervals"].items()
        if bounds is not None
    ]
    assert len(known) > 3
    assert all(0 <= low <= value <= high <= 100 for value, (low, high) in known)
    low, high = summary["des"]["giqa_description"]["intervals"]["bleu4"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (ran.out, page):
        assert f"{low:.1f}\u2013{high:.1f}" in text
    assert "95 % confidence intervals" in page
    assert "(jackknife over images, t on the logit scale)" in " ".join(page.split())


def test_one_image_alone_has_no_interval(bench, bench_rows, tmp_path):
    folder = write_run(tmp_path / "run", bench_rows[:1], lambda row: row["answer"])
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": str(bench), "limit": 1}), encoding="utf-8")
    summary = compute(folder, options=EXACT._replace(resamples=10)).summary
    assert set(summary["des"]["giqa_grounding"]["intervals"].values()) == {None}


def test_a_negative_seed_is_one_sentence_before_anything_is_written(giqa, make_run, bench):
    folder = make_run()
    ran = giqa("score", folder, "--data", bench, "--similarity", "exact", "--seed", -1)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert {path.name for path in folder.iterdir()} == {"predictions.jsonl"}


@pytest.mark.parametrize(
    ("options", "expected"), [((), "qwen3_vl"), (("--box-format", "giqa"), "giqa")], ids=["as it says", "as told"]
)
@pytest.mark.slow
def test_the_run_says_how_its_boxes_are_written_unless_the_option_does(
    giqa, bench, bench_rows, tmp_path, options, expected
):
    folder = write_run(tmp_path / "run", bench_rows, written_in("qwen3_vl"))
    told = {"data": str(bench), "box_format": "qwen3_vl"}
    (folder / "config.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    ran = giqa("score", folder, "--similarity", "exact", "--resamples", 0, *options)
    assert ran.code == 0, ran.err
    summary = read_summary(folder)
    assert summary["settings"]["box_format"] == expected
    assert f"|format:{expected}|" in summary["des"]["giqa_grounding"]["signature"]
    assert (summary["des"]["giqa_grounding"]["n_predicted"] > 0) == (expected == "qwen3_vl")
    ran = giqa("check", folder)
    assert ran.code == 0, ran.out


@pytest.mark.parametrize("name", ["xyxy", ["giqa"], {"giqa": 1}, 3], ids=str)
def test_a_run_that_says_no_box_format_of_ours_is_one_sentence(giqa, make_run, bench, name):
    folder = make_run()
    told = {"data": str(bench), "box_format": name}
    (folder / "config.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    ran = giqa("score", folder, "--similarity", "exact")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    expected = "expected a box format out of [" if name == "xyxy" else f"{folder / 'config.yaml'}: box_format: "
    assert ran.err.startswith(f"giqa: {expected}")
