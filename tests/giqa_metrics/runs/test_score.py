"""`giqa score` over the mini benchmark: what it writes and refuses, and that every door gives the same numbers."""

import json
import re

import numpy as np
import pytest
import yaml
from datasets import load_dataset

from giqa_datasets import parse, strip
from giqa_datasets.grid import SIDE
from giqa_datasets.text_scan import scan, told_apart
from giqa_metrics import giqa_description, giqa_grounding, giqa_vqa, load
from giqa_metrics.runs import baselines, score
from giqa_metrics.runs.baselines import blind_boxes, frequent_answers
from giqa_metrics.runs.score import Options, measure, score_run
from giqa_metrics.vqa import OPEN_TYPES


CHANGED = {
    "astronaut-des": "The [head](<6, 151>) is fine, the [purple elephant](<200, 305>) is [gone](<3",
    "penguins-des": None,
}
EXACT = Options(similarity="exact", resamples=0)
FILES = {"predictions.jsonl", "report.html", "scores.jsonl", "summary.json"}


@pytest.fixture(scope="module")
def scored(python, bench, bench_rows, tmp_path_factory):
    """One run through a fresh process: its folder, what it printed, and predictions by id."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    folder.mkdir()
    answers = {row["id"]: row["answer"] for row in bench_rows} | CHANGED
    lines = [json.dumps({"id": identifier, "prediction": answers[identifier]}) for identifier in reversed(answers)]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = ("score", folder, "--data", bench, "--similarity", "lexical", "--format", "json")
    ran = python("-m", "giqa_metrics.cli", *arguments, cwd=folder.parent)
    assert ran.code == 0, ran.err
    return folder, ran, answers


class JudgeOfWords:
    """Gives the best score to the reference's own words and the worst to others."""

    name = "words"

    def __init__(self):
        self.asked = []

    def judge(self, batch):
        self.asked += batch
        return [4 if verdict.answer == verdict.reference else 0 for verdict in batch]


def of_task(rows: list[dict], task: str, answers: dict) -> tuple[list, list, list, list]:
    rows = [row for row in rows if row["task"] == task]
    columns = ([row[key] for row in rows] for key in ("answer", "question", "question_type"))
    return ([answers[row["id"]] for row in rows], *columns)


def test_json_is_all_that_stands_on_stdout_and_is_the_summary(scored):
    folder, ran, _ = scored
    assert json.loads(ran.out) == json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_run_gains_the_summary_the_scores_and_the_report(scored):
    folder, _, _ = scored
    assert {path.name for path in folder.iterdir()} == FILES


def test_scores_hold_a_row_for_each_sample_in_the_order_of_the_data(scored, bench_rows):
    folder, _, _ = scored
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["image"], row["task"]) for row in rows] == [
        (row["id"], row["image_sha256"], row["task"]) for row in bench_rows
    ]
    for row in rows:
        words = "giqa_description" if row["task"] == "des" else "giqa_vqa"
        assert set(row) == {"id", "image", "task", "giqa_grounding", words}
        assert set(row["giqa_grounding"]) >= {"miou", "miou_strict", "tag_recall"}
    by_id = {row["id"]: row for row in rows}
    assert by_id["astronaut-des"]["giqa_grounding"]["malformed"] == ["unclosed"]
    assert by_id["astronaut-des"]["giqa_grounding"]["tag_recall"] == 0.25
    assert by_id["penguins-des"]["giqa_grounding"]["miou"] == 0.0
    assert by_id["astronaut-vqa-1"]["giqa_grounding"]["miou"] is None
    assert by_id["astronaut-vqa-1"]["giqa_vqa"]["accuracy"] == 1.0


def test_scores_hold_what_was_parsed(scored):
    folder, _, _ = scored
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    (row,) = (row for row in map(json.loads, lines) if row["id"] == "astronaut-des")
    expected = [
        {"phrase": region.phrase, "box": box}
        for region in parse(CHANGED["astronaut-des"]).regions
        for box in region.boxes.tolist()
    ]
    assert [each["phrase"] for each in expected] == ["head", "purple elephant"]
    assert row["giqa_grounding"]["predicted"] == expected


def test_every_door_gives_the_same_numbers(scored, bench_rows):
    folder, _, answers = scored
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    through = {name: load(name) for name in ("giqa_grounding", "giqa_description", "giqa_vqa")}

    def stated(task: str, metric: str) -> dict:
        return {name: value for name, value in summary[task][metric].items() if name != "intervals"}

    for task in ("des", "vqa"):
        mine, theirs, questions, kinds = of_task(bench_rows, task, answers)
        boxes = giqa_grounding(mine, theirs, similarity="lexical")
        texts = {"predictions": mine, "references": theirs}
        assert stated(task, "giqa_grounding") == boxes
        assert through["giqa_grounding"].compute(**texts, similarity="lexical") == boxes
        if task == "des":
            assert stated(task, "giqa_description") == giqa_description(mine, theirs)
            assert through["giqa_description"].compute(**texts) == giqa_description(mine, theirs)
        else:
            words = giqa_vqa(mine, theirs, questions, kinds)
            assert stated(task, "giqa_vqa") == words
            assert through["giqa_vqa"].compute(**texts, questions=questions, question_types=kinds) == words


def test_the_rows_of_scores_are_the_functions_samples(scored, bench_rows):
    folder, _, answers = scored
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for task in ("des", "vqa"):
        mine, theirs, questions, kinds = of_task(bench_rows, task, answers)
        boxes = giqa_grounding(mine, theirs, similarity="lexical", per_sample=True)["per_sample"]
        name = "giqa_description" if task == "des" else "giqa_vqa"
        words = (
            giqa_description(mine, theirs, per_sample=True)
            if task == "des"
            else giqa_vqa(mine, theirs, questions, kinds, per_sample=True)
        )["per_sample"]
        found = [row for row in rows if row["task"] == task]
        assert [row["giqa_grounding"] for row in found] == boxes
        assert [row[name] for row in found] == words


@pytest.mark.parametrize("metric", ["giqa_grounding", "giqa_description", "giqa_vqa"])
def test_the_rows_of_scores_add_up_to_the_summary(scored, metric):
    folder, ran, _ = scored
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for task in ("des", "vqa"):
        if stated := json.loads(ran.out)[task].get(metric):
            (sums,), scores = measure(metric, [row[metric] for row in rows if row["task"] == task], preset="paper")
            for name, value in scores(sums.sum(axis=0)).items():
                assert stated[name] == pytest.approx(value, abs=1e-12), name


def test_the_summary_names_data_split_and_model(scored, bench):
    summary = json.loads(scored[1].out)
    assert (summary["data"], summary["split"], summary["model"]) == (str(bench), "test", "run")


def test_the_summary_keeps_how_it_was_scored(scored):
    assert json.loads(scored[1].out)["settings"] == {
        "box_format": "giqa",
        "similarity": "lexical",
        "preset": "paper",
        "exact_boxes": False,
        "resamples": 1000,
        "seed": 0,
        "level": 0.95,
        "intervals": "jackknife over images, t on the logit scale",
        "judge": None,
    }


def test_the_digest_of_the_references_changes_with_them_alone(scored, make_run, bench, bench_rows, copy_of_bench):
    digest = json.loads(scored[1].out)["references"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    assert score_run(make_run(), str(bench), options=EXACT)["references"] == digest
    other = copy_of_bench(lambda row: row | {"answer": row["answer"] + "!"} if row["id"] == "coffee-des" else row)
    assert score_run(make_run(name="other"), str(other), options=EXACT)["references"] != digest


def test_blind_baselines_stand_beside_the_run(scored):
    summary = json.loads(scored[1].out)
    boxes = {"whole image", "grid of 4 x 4 boxes", "best constant box"}
    words = {"constant description", "answers of other photographs"}
    assert set(summary["des"]["baselines"]) == boxes | words
    assert set(summary["vqa"]["baselines"]) == {*boxes, "always Yes", "always No", "most frequent answer"}
    for task in ("des", "vqa"):
        run = summary[task]["giqa_grounding"]
        for name in boxes:
            blind = summary[task]["baselines"][name]["giqa_grounding"]
            assert (blind["n_samples"], blind["n_reference"]) == (run["n_samples"], run["n_reference"])
            assert 0 < blind["miou"] < run["miou"]
    always = [summary["vqa"]["baselines"][name]["giqa_vqa"]["accuracy_yes_no"] for name in ("always Yes", "always No")]
    assert sum(always) == pytest.approx(1.0)


def test_the_most_frequent_answer_is_at_least_as_good_as_always_yes_and_always_no(scored):
    blind = json.loads(scored[1].out)["vqa"]["baselines"]
    frequent, yes, no = (
        blind[name]["giqa_vqa"]["accuracy_yes_no"] for name in ("most frequent answer", "always Yes", "always No")
    )
    assert frequent == max(yes, no)


def test_the_most_frequent_answer_is_each_types_own_and_bears_no_box():
    references = ["The [cup](<5, 313>).", "Noise.", "The [cup](<1, 22>).", "Yes.", "No.", "No.", "Too dark.", "Glare."]
    kinds = ["what"] * 3 + ["yes_no"] * 3 + ["how"] * 2
    assert (
        frequent_answers([strip(text) for text in references], kinds)
        == ["The cup."] * 3 + ["No."] * 3 + ["Too dark."] * 2
    )


def test_the_judge_reads_the_most_frequent_answers_too(make_run, bench, bench_rows):
    judge = JudgeOfWords()
    summary = score_run(make_run(), str(bench), options=EXACT, judge=judge)
    assert (summary["des"]["giqa_description"]["llm_score"], summary["vqa"]["giqa_vqa"]["accuracy_open"]) == (100, 1)
    opened = [row for row in bench_rows if row["question_type"] in OPEN_TYPES]
    frequent = frequent_answers([strip(row["answer"]) for row in opened], [row["question_type"] for row in opened])
    right = sum(mine == strip(row["answer"]) for mine, row in zip(frequent, opened, strict=True))
    blind = summary["vqa"]["baselines"]["most frequent answer"]["giqa_vqa"]
    assert blind["accuracy_open"] == right / len(opened)
    assert 0 < right < len(opened)
    assert not any("(<" in text for verdict in judge.asked for text in verdict)


@pytest.mark.parametrize("task", ["des", "vqa"])
def test_no_constant_box_beats_the_best_one(bench_rows, task):
    references = [row["answer"] for row in bench_rows if row["task"] == task]
    blind = blind_boxes([scan(references)])

    def miou(text: str) -> float:
        return giqa_grounding([text] * len(references), references, similarity="exact")["miou"]

    best = miou(blind["best constant box"])
    assert best >= miou(blind["whole image"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        (left, right), (top, bottom) = np.sort(rng.integers(0, SIDE, (2, 2)), axis=1)
        assert miou(f"[x](<{top * SIDE + left}, {bottom * SIDE + right}>)") <= best + 1e-9


def test_no_constant_box_beats_the_best_one_on_many_samples():
    references = ["[dog](<0, 42>)"] * 500 + ["[dog](<300, 399>)"] * 600
    (box,) = parse(blind_boxes([scan(references)])["best constant box"]).regions[0].boxes
    (other,) = parse("[dog](<300, 399>)").regions[0].boxes
    assert box == pytest.approx(other)


def test_blind_boxes_carry_the_name_that_most_references_hold():
    references = ["[dog](<0, 42>) [cat](<0, 42>)", "[cat](<0, 63>)", "[ant](<0, 63>, <0, 42>) [ant](<21, 63>)"]
    parts = [scan(references[:1]), scan(references[1:])]
    for kept in (parts, list(map(told_apart, parts))):
        answers = blind_boxes(kept)
        assert {parse(text).regions[0].phrase for text in answers.values()} == {"cat"}


def test_references_without_boxes_have_no_blind_boxes():
    assert blind_boxes([scan(["Fine.", ""])]) == {}


def test_a_person_gets_the_tables_and_the_path_of_the_report(giqa, make_run, bench):
    folder = make_run()
    ran = giqa("score", folder / "predictions.jsonl", "--data", bench, "--similarity", "exact")
    assert ran.code == 0, ran.err
    for text in (
        "GIQA-DES",
        "GIQA-VQA",
        "mIoU",
        "Tag-Recall",
        "BLEU@4",
        "Acc (Y)",
        "blind: best constant box",
        "1.0000",
    ):
        assert text in ran.out
    assert ran.out.endswith(f"report: {(folder / 'report.html').resolve()}\n")
    assert {path.name for path in folder.iterdir()} == FILES


def test_names_are_printed_as_they_are(giqa, make_run, bench):
    folder = make_run()
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": "[b]me[/b] [/i] \\[x]"}), encoding="utf-8")
    ran = giqa("score", folder, "--data", bench, "--similarity", "exact", "--resamples", 0)
    assert (ran.code, ran.err) == (0, "")
    assert "[b]me[/b] [/i] \\[x]" in ran.out


def test_another_folder_may_take_the_results(make_run, bench, tmp_path):
    folder, out = make_run(), tmp_path / "new" / "out"
    score_run(folder, str(bench), out=out, options=EXACT)
    assert [path.name for path in folder.iterdir()] == ["predictions.jsonl"]
    assert {path.name for path in out.iterdir()} == FILES - {"predictions.jsonl"}


def test_a_run_says_itself_what_it_answered(giqa, bench, bench_rows, tmp_path):
    rows = [row for row in bench_rows if row["task"] == "vqa"][:5]
    config = {"model": "me", "data": str(bench), "config": "vqa", "split": "test", "limit": 5}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = [json.dumps({"id": row["id"], "prediction": row["answer"]}) + "\n" for row in rows]
    (tmp_path / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    summary = score_run(tmp_path, None, options=EXACT)
    assert summary["model"] == "me"
    assert "des" not in summary
    assert summary["vqa"]["giqa_vqa"]["n_samples"] == 5


@pytest.fixture
def refused(giqa, tmp_path):
    """Score with bad input: one line on stderr, exit code 2, nothing written. Gives the line."""

    def run(folder, *arguments) -> str:
        out = tmp_path / "out"
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        ran = giqa("score", folder, "--similarity", "exact", "--out", out, *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("giqa: ")
        assert ran.err.count("\n") == 1
        assert not out.exists()
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        return ran.err

    return run


def test_an_unknown_id_is_refused(refused, make_run, bench):
    assert "'nobody'" in refused(make_run({"nobody": "Yes."}), "--data", bench)


def test_a_sample_without_a_prediction_is_refused(refused, make_run, bench):
    line = refused(make_run(without=["astronaut-des"]), "--data", bench)
    assert "1 of 76" in line
    assert "'astronaut-des'" in line


def test_missing_predictions_are_refused(refused, bench, tmp_path):
    assert "predictions.jsonl" in refused(tmp_path, "--data", bench)
    assert "elsewhere" in refused(tmp_path / "elsewhere", "--data", bench)


def test_broken_predictions_are_refused(refused, make_run, bench):
    folder = make_run()
    with (folder / "predictions.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "x", "predic')
    assert "line 77" in refused(folder, "--data", bench)


def test_an_unknown_box_format_is_refused(refused, make_run, bench):
    assert "'kosmos'" in refused(make_run(), "--data", bench, "--box-format", "kosmos")


def test_an_unknown_similarity_is_refused(giqa, make_run, bench, tmp_path):
    ran = giqa("score", make_run(), "--data", bench, "--similarity", "wordnet", "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--data", "no-such-set"), ("--data", "/no/such/folder"), (), ("--split", "train"), ("--config", "nope")],
    ids=lambda arguments: " ".join(arguments) or "no data set named",
)
def test_data_that_is_not_there_is_refused(refused, make_run, bench, arguments):
    data = () if not arguments or "--data" in arguments else ("--data", bench)
    refused(make_run(), *data, *arguments)


def test_rows_without_pixels_are_scored_as_those_with(giqa, make_run, bench, caplog):
    with_pixels, without = make_run(CHANGED), make_run(CHANGED, name="without")
    (without / "report.html").write_text("of another scoring", encoding="utf-8")
    for folder, config in ((with_pixels, ()), (without, ("--config", "annotations"))):
        ran = giqa("score", folder, "--data", bench, "--similarity", "exact", "--resamples", 5, *config)
        assert ran.code == 0, ran.err
    assert any("holds no pictures" in message for message in caplog.messages)
    assert "report:" not in ran.out
    assert {path.name for path in without.iterdir()} == FILES - {"report.html"}
    assert (without / "scores.jsonl").read_bytes() == (with_pixels / "scores.jsonl").read_bytes()
    one, other = (json.loads((folder / "summary.json").read_bytes()) for folder in (with_pixels, without))
    assert other == one | {"config": "annotations", "model": "without"}


def test_a_folder_that_is_no_data_set_is_refused(giqa, make_run, tmp_path):
    # An earlier run: JSON lines of different columns, which the datasets library stumbles over
    folder = make_run()
    earlier = make_run(name="earlier")
    (earlier / "scores.jsonl").write_text('{"id": "a", "miou": 1.0}\n', encoding="utf-8")
    ran = giqa("score", folder, "--data", earlier, "--similarity", "exact", "--out", tmp_path / "out")
    assert ran.code == 2
    assert [line for line in ran.err.splitlines() if line.startswith("giqa: ")] == ran.err.splitlines()[-1:]


def test_a_data_set_of_other_columns_is_refused(giqa, make_run, tmp_path):
    import pyarrow
    import pyarrow.parquet

    other = tmp_path / "other" / "data"
    other.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"]}), other / "test-00000-of-00001.parquet")
    ran = giqa("score", make_run(), "--data", other.parent, "--similarity", "exact", "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("giqa: ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("text", ["", "a: [\n"], ids=["empty", "broken"])
def test_a_broken_config_of_the_run_is_refused(refused, make_run, bench, text):
    folder = make_run()
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    assert "config.yaml" in refused(folder, "--data", bench)


def test_a_broken_image_is_named_and_nothing_is_written(giqa, broken, tmp_path):
    ids = load_dataset(str(broken), split="test")["id"]
    lines = [json.dumps({"id": identifier, "prediction": "Yes."}) + "\n" for identifier in ids]
    (tmp_path / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    arguments = ("--data", broken, "--similarity", "lexical", "--out", tmp_path / "new")
    ran = giqa("score", tmp_path / "predictions.jsonl", *arguments)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"giqa: image {ids[2]!r} cannot be read: ")
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_a_full_disk_is_named_and_the_old_results_stay(giqa, make_run, bench, full_disk):
    folder = make_run(CHANGED)
    options = ("--data", bench, "--similarity", "exact", "--resamples", 0)
    assert giqa("score", folder, *options).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with full_disk(len(before[folder / "scores.jsonl"])):  # there is room for this one, and none for the report
        ran = giqa("score", folder, *options, "--seed", 1)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == f"giqa: [Errno 27] File too large: '{folder / 'report.html'}'"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_predicting_without_pixels_is_one_sentence(giqa, bench, tmp_path):
    arguments = ("--model", "none", "--out", tmp_path / "new")
    ran = giqa("predict", *arguments, "--data", bench, "--config", "annotations")
    sentence = f"giqa: data set {str(bench)!r} lacks the columns ['image']; it is no GIQA data set with pixels"
    assert (ran.code, ran.err.splitlines()[-1]) == (2, sentence)


def test_rows_of_parts_are_those_of_the_whole(make_run, bench, monkeypatch):
    """Where a part ends changes no line, and no number beyond the order of its sum."""
    whole, parts = make_run(CHANGED), make_run(CHANGED, name="parts")
    summary = score_run(whole, str(bench), options=EXACT)
    monkeypatch.setattr(score, "PART", 7)
    again = score_run(parts, str(bench), options=EXACT)
    assert (parts / "scores.jsonl").read_bytes() == (whole / "scores.jsonl").read_bytes()
    for task in ("des", "vqa"):
        for metric in ("giqa_grounding", "giqa_description", "giqa_vqa"):
            one, other = ((each[task].get(metric) or {}) | {"intervals": 0} for each in (summary, again))
            assert other == pytest.approx(one, abs=1e-12)
        assert again[task]["baselines"].keys() == summary[task]["baselines"].keys()
        for name, blind in summary[task]["baselines"].items():
            for metric, scores in blind.items():
                assert again[task]["baselines"][name][metric] == pytest.approx(scores, abs=1e-12)


def test_the_best_constant_box_of_many_samples_is_near_that_of_all(monkeypatch):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, SIDE, (400, 2, 2)), axis=1)
    texts = [f"[x](<{y1 * SIDE + x1}, {y2 * SIDE + x2}>)" for (x1, y1), (x2, y2) in corners.tolist()]

    def miou() -> float:
        text = blind_boxes([scan(texts)])["best constant box"]
        return giqa_grounding([text] * len(texts), texts, similarity="exact")["miou"]

    best = miou()
    monkeypatch.setattr(baselines, "MANY", 100)
    assert best * 0.98 <= miou() <= best + 1e-12
