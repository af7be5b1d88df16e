"""`giqa compare A B ...`: which run is better, how sure that is, and what cannot be compared."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from giqa_datasets import parse
from giqa_datasets.formats import box_format
from giqa_metrics.resampling import holm
from giqa_metrics.runs.compare import compare_runs
from giqa_metrics.runs.score import Options, score_run


pytestmark = pytest.mark.slow


EXACT = Options(similarity="exact", resamples=0)
SCORES = {
    "des": ["miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1", "bleu4", "llm_score"],
    "vqa": [
        *("miou", "miou_strict", "tag_recall", "tag_recall_micro", "precision", "f1"),
        *("accuracy_yes_no", "accuracy_open", "accuracy"),
        *("accuracy_what", "accuracy_which", "accuracy_why", "accuracy_how"),
    ],
}


def worse(row: dict) -> str:
    """A box that is everywhere and words that are wrong."""
    if row["question_type"] == "yes_no":
        return "No." if row["answer"].startswith("Yes") else "Yes."
    return "Something [odd](<0, 399>) is here."


@pytest.fixture(scope="module")
def pair(bench, bench_rows, tmp_path_factory) -> tuple[Path, Path]:
    """A run that is right, and one that is wrong on every sample but the first ten images'."""
    right = list(dict.fromkeys(row["image_sha256"] for row in bench_rows))[:10]
    answers = {
        "good": {row["id"]: row["answer"] for row in bench_rows},
        "bad": {row["id"]: row["answer"] if row["image_sha256"] in right else worse(row) for row in bench_rows},
    }
    root = tmp_path_factory.mktemp("pair")
    for name, texts in answers.items():
        write_run(root / name, texts)
        score_run(root / name, str(bench), options=EXACT)
    return root / "good", root / "bad"


@pytest.fixture
def runs(pair, tmp_path) -> tuple[Path, Path]:
    """Copies of them to change."""
    return tuple(shutil.copytree(folder, tmp_path / folder.name) for folder in pair)


def write_run(folder: Path, answers: dict[str, str | None]) -> None:
    folder.mkdir()
    lines = [json.dumps({"id": identifier, "prediction": text}) + "\n" for identifier, text in answers.items()]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]


def write_rows(folder: Path, rows: list[dict]) -> None:
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def found(a: Path, b: Path, **options: int) -> dict:
    return {(each.task, each.score): each.difference for each in compare_runs(a, b, resamples=200, **options)}


def refused(giqa, a: Path, b: Path) -> str:
    """Compare what cannot be compared: exit code 2 and one sentence, which is given."""
    ran = giqa("compare", a, b)
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1
    assert len(ran.err) < 1000
    return ran.err


@pytest.mark.slow
def test_a_run_does_not_differ_from_itself(pair):
    differences = found(pair[1], pair[1])
    assert any(difference is not None for difference in differences.values())
    for difference in filter(None, differences.values()):
        assert difference.a == difference.b
        assert difference.interval == (0, 0)
        assert difference.p_value == 1


def test_every_score_of_both_tasks_is_compared(pair):
    assert list(found(*pair)) == [(task, name) for task, names in SCORES.items() for name in names]


def test_a_score_that_nobody_has_is_not_compared(pair):
    differences = found(*pair)
    unknown = {place for place, difference in differences.items() if difference is None}
    judged = {("vqa", name) for name in SCORES["vqa"] if name.startswith("accuracy_") or name == "accuracy"}
    assert unknown == {("des", "llm_score"), *judged} - {("vqa", "accuracy_yes_no")}


def test_the_compared_scores_are_the_summaries_own(pair):
    summaries = [read(folder / "summary.json") for folder in pair]
    for (task, name), difference in found(*pair).items():
        (metric,) = (metric for metric, scores in summaries[0][task].items() if name in scores)
        if difference is not None:
            stated = [summary[task][metric][name] for summary in summaries]
            assert [difference.a, difference.b] == pytest.approx(stated, abs=1e-9)


def test_a_clearly_better_run_is_told_from_chance(pair):
    good, bad = pair
    differences = found(bad, good)
    for place in (("des", "miou"), ("des", "bleu4"), ("vqa", "accuracy_yes_no")):
        difference = differences[place]
        low, high = difference.interval
        assert 0 < low < difference.b - difference.a < high
        assert difference.p_value < 0.05


def test_the_other_way_round_the_difference_has_the_other_sign(pair):
    forth, back = found(*pair), found(*reversed(pair))
    for place, difference in forth.items():
        if difference is not None:
            other = back[place]
            assert (other.a, other.b) == (difference.b, difference.a)
            assert other.interval == pytest.approx((-difference.interval[1], -difference.interval[0]))
            assert other.p_value == pytest.approx(difference.p_value)


@pytest.mark.slow
def test_one_answer_more_is_no_more_than_chance(bench, make_run, bench_rows):
    closed = next(row for row in bench_rows if row["question_type"] == "yes_no")
    one, other = make_run(name="one"), make_run({closed["id"]: worse(closed)}, name="other")
    for folder in (one, other):
        score_run(folder, str(bench), options=EXACT)
    difference = found(one, other)["vqa", "accuracy_yes_no"]
    assert difference.b < difference.a
    assert difference.p_value > 0.5
    assert difference.interval[0] < difference.b - difference.a < 0 < difference.interval[1]


def test_the_same_seed_gives_the_same_swaps_and_another_seed_others(bench, bench_rows, pair, make_run):
    folder = make_run({row["id"]: worse(row) for row in bench_rows[::9]})
    score_run(folder, str(bench), options=EXACT)
    assert found(pair[0], folder, seed=4) == found(pair[0], folder, seed=4)
    place = ("des", "precision")
    assert found(pair[0], folder, seed=4)[place].p_value != found(pair[0], folder, seed=5)[place].p_value


def test_the_order_of_the_rows_does_not_matter(pair, runs):
    write_rows(runs[1], rows_of(runs[1])[::-1])
    assert found(*runs) == found(*pair)


@pytest.mark.slow
def test_runs_in_two_box_formats_may_be_compared(bench, bench_rows, pair, tmp_path):
    folder = tmp_path / "decimals"
    texts = {}
    for row in bench_rows:
        text = parse(row["answer"])
        texts[row["id"]] = box_format("giqa_decimal").write(text.plain, text.regions)
    write_run(folder, texts)
    score_run(folder, str(bench), options=EXACT._replace(box_format="giqa_decimal"))
    difference = found(pair[0], folder)["des", "miou"]
    assert difference.a == 1
    assert 0.9 < difference.b <= 1
    assert found(pair[0], folder)["des", "bleu4"].b == 100


def test_a_person_gets_a_table(giqa, pair):
    ran = giqa("compare", *pair, "--resamples", 50)
    assert (ran.code, ran.err) == (0, "")
    assert "bad against good" in ran.out
    summaries = [read(folder / "summary.json") for folder in pair]
    a, b = (summary["des"]["giqa_grounding"]["miou"] for summary in summaries)
    (line,) = re.findall(r"^ *des miou .*$", ran.out, re.MULTILINE)
    assert line.split()[2:5] == [f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}"]
    (line,) = [line.split() for line in ran.out.splitlines() if "llm_score" in line]
    assert line == ["des", "llm_score", *"------"]
    assert "des: 28 photographs, 28 samples; vqa: 28 photographs, 48 samples" in ran.out
    assert f"corrected for the {sum(each is not None for each in found(*pair).values())} scores" in ran.out


def test_names_are_printed_as_they_are(giqa, pair, tmp_path):
    names = "[b]me[x]", "you[red]"
    folders = [shutil.copytree(folder, tmp_path / name) for folder, name in zip(pair, names, strict=True)]
    ran = giqa("compare", *folders, "--resamples", 5)
    assert (ran.code, ran.err) == (0, "")
    assert f"{names[1]} against {names[0]}" in ran.out


def test_json_lists_every_score(giqa, pair):
    ran = giqa("compare", *pair, "--format", "json", "--resamples", 200)
    assert (ran.code, ran.err) == (0, "")
    rows = json.loads(ran.out)
    assert [(row["task"], row["score"]) for row in rows] == [(task, name) for task in SCORES for name in SCORES[task]]
    assert {(row["run_a"], row["run_b"]) for row in rows} == {("good", "bad")}
    assert {(row["task"], row["n_images"], row["n_samples"]) for row in rows} == {("des", 28, 28), ("vqa", 28, 48)}
    tested = [row for row in rows if row["difference"]]
    assert [row["p_holm"] for row in tested] == holm([row["difference"]["p_value"] for row in tested])
    for row, difference in zip(rows, found(*pair).values(), strict=True):
        assert (row["difference"] is None) == (difference is None)
        if difference is not None:
            assert row["difference"] == difference._asdict() | {"interval": list(difference.interval)}


def test_any_number_of_runs_is_compared_with_the_first_and_corrected_together(giqa, bench, bench_rows, pair, make_run):
    folder = make_run({row["id"]: worse(row) for row in bench_rows[::3]}, name="third")
    score_run(folder, str(bench), options=EXACT)
    rows = json.loads(giqa("compare", *pair, folder, "--format", "json", "--resamples", 200).out)
    assert list(dict.fromkeys((row["run_a"], row["run_b"]) for row in rows)) == [("good", "bad"), ("good", "third")]
    for other in (pair[1], folder):
        its = [row["difference"] for row in rows if row["run_b"] == other.name]
        alone = json.loads(giqa("compare", pair[0], other, "--format", "json", "--resamples", 200).out)
        assert its == [row["difference"] for row in alone]
    tested = [row for row in rows if row["difference"]]
    assert [row["p_holm"] for row in tested] == holm([row["difference"]["p_value"] for row in tested])
    ran = giqa("compare", *pair, folder, "--resamples", 200)
    assert [line.strip() for line in ran.out.splitlines() if " against " in line] == [
        "bad against good",
        "third against good",
    ]
    assert f"corrected for the {len(tested)} scores" in ran.out


def test_a_p_value_at_its_floor_is_said_to_be_below_it(giqa, pair):
    out = giqa("compare", *pair, "--resamples", 1000).out
    n_tested = sum(each is not None for each in found(*pair).values())
    (line,) = re.findall(r"^ *des miou .*$", out, re.MULTILINE)
    bound = float(line.rsplit("<", 1)[1])
    assert line.split("<")[1].strip() == "0.001"
    assert n_tested / 1001 <= bound < n_tested / 1001 + 0.001  # rounded up, so that it holds


def test_two_folders_of_one_name_are_called_by_their_paths(pair, tmp_path):
    copy = shutil.copytree(pair[0], tmp_path / "good")
    assert {each[:2] for each in compare_runs(pair[0], copy, resamples=5)} == {(str(pair[0]), str(copy))}


def test_one_run_alone_is_not_compared(giqa, pair):
    assert giqa("compare", pair[0]).code == 2
    with pytest.raises(ValueError, match="expected two runs or more"):
        compare_runs(pair[0])


def test_comparing_writes_nothing(giqa, runs):
    def state():
        return {path: path.read_bytes() for path in runs[0].parent.rglob("*") if path.is_file()}

    before = state()
    assert giqa("compare", *runs, "--resamples", 5).code == 0
    assert state() == before


def test_runs_on_other_samples_are_refused(giqa, bench, bench_rows, pair, tmp_path):
    folder = tmp_path / "few"
    write_run(folder, {row["id"]: row["answer"] for row in bench_rows[:9]})
    config = {"model": "me", "data": str(bench), "config": None, "split": "test", "limit": 9}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    score_run(folder, options=EXACT)
    assert "were scored against different samples" in refused(giqa, pair[0], folder)


@pytest.mark.slow
def test_runs_on_other_references_are_refused(giqa, copy_of_bench, make_run, pair):
    data = copy_of_bench(lambda row: row | {"question": row["question"] + "!"})
    folder = make_run()
    score_run(folder, str(data), options=EXACT)
    assert "were scored against different samples" in refused(giqa, pair[0], folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"similarity": "lexical"}, "names exact>0.5 against lexical>0.5"),
        ({"exact_boxes": True}, "references cells against exact"),
        ("judge", "judge none against strict"),
    ],
    ids=["similarity", "exact boxes", "judge"],
)
@pytest.mark.slow
def test_a_warning_says_what_differs_between_signatures(giqa, bench, make_run, pair, options, said, caplog):
    class Judge:
        name = "strict"

        def judge(self, batch):
            return [0] * len(batch)

    folder = make_run()
    judge = Judge() if options == "judge" else None
    score_run(folder, str(bench), options=EXACT if judge else EXACT._replace(**options), judge=judge)
    ran = giqa("compare", pair[0], folder, "--resamples", "10")
    assert ran.code == 0
    (line,) = [message for message in caplog.messages if "were scored in different ways: " in message]
    assert line.startswith(f"{pair[0]} and {folder} ")
    assert said in line
    assert any(line.split()[:2] == ["des", "llm_score"] and line.split()[-1] == "-" for line in ran.out.splitlines())


def test_two_presets_are_two_definitions(giqa, bench, make_run, pair):
    folder = make_run()
    score_run(folder, str(bench), options=EXACT._replace(preset="glamm"))
    assert "were scored by different presets" in refused(giqa, pair[0], folder)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", ["nothing", "a data set", "not scored", "no rows"])
def test_a_folder_that_is_no_scored_run_is_one_sentence(giqa, bench, make_run, runs, tmp_path, kind, place):
    folders = list(runs)
    if kind == "no rows":
        (folders[place] / "scores.jsonl").unlink()
    else:
        folders[place] = {"nothing": tmp_path / "nothing", "a data set": bench}.get(kind) or make_run()
    line = refused(giqa, *folders)
    assert ("scores.jsonl" if kind == "no rows" else "summary.json") in line
    assert str(folders[place]) in line


@pytest.mark.parametrize("name", ["summary.json", "scores.jsonl"])
@pytest.mark.parametrize(
    "content",
    [b"{broken\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"[" * 200_000 + b"\n", b'{"a":' * 200_000 + b"\n"],
    ids=["broken", "a list", "null", "no UTF-8", "deep lists", "deep objects"],
)
def test_a_file_that_holds_something_else_is_one_sentence(giqa, runs, name, content):
    (runs[1] / name).write_bytes(content)
    assert name in refused(giqa, *runs)


SUMMARIES = {
    "empty": lambda summary: {},
    "a task is a list": lambda summary: summary | {"des": [1]},
    "a task is null": lambda summary: summary | {"vqa": None},
    "a metric is a number": lambda summary: summary | {"des": summary["des"] | {"giqa_grounding": 3}},
    "a signature is a number": lambda summary: (
        summary | {"des": summary["des"] | {"giqa_grounding": {"signature": 3}}}
    ),
    "no settings": lambda summary: {name: value for name, value in summary.items() if name != "settings"},
    "settings are a list": lambda summary: summary | {"settings": []},
    "the preset is a list": lambda summary: summary | {"settings": summary["settings"] | {"preset": []}},
}


@pytest.mark.parametrize("change", SUMMARIES.values(), ids=SUMMARIES)
def test_summaries_of_another_shape_are_one_sentence(giqa, runs, change):
    for folder in runs:
        (folder / "summary.json").write_text(json.dumps(change(read(folder / "summary.json"))), encoding="utf-8")
    refused(giqa, *runs)


ROWS = {
    "no image": lambda row: {name: value for name, value in row.items() if name != "image"},
    "the image is a list": lambda row: row | {"image": []},
    "a metric is missing": lambda row: {name: value for name, value in row.items() if name != "giqa_grounding"},
    "a metric is null": lambda row: row | {"giqa_grounding": None},
    "a metric is a list": lambda row: row | {"giqa_grounding": [1]},
    "a sum is missing": lambda row: row | {"giqa_grounding": {"miou": 1.0}},
    "a sum is a text": lambda row: row | {"giqa_grounding": row["giqa_grounding"] | {"n_samples": "one"}},
    "a sum is an object": lambda row: row | {"giqa_grounding": row["giqa_grounding"] | {"n_samples": {"a": 1}}},
    "a sum is no number": lambda row: row | {"giqa_grounding": row["giqa_grounding"] | {"miou": float("nan")}},
    "the task is an object": lambda row: row | {"task": {}},
}


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_rows_of_another_shape_are_one_sentence(giqa, runs, change):
    for folder in runs:
        rows = rows_of(folder)
        write_rows(folder, [change(rows[0]), *rows[1:]])
    refused(giqa, *runs)


def test_runs_of_an_older_shape_are_one_sentence(giqa, runs):
    for folder in runs:
        summary = read(folder / "summary.json")
        older = {name: value for name, value in summary.items() if name not in ("settings", "references")}
        (folder / "summary.json").write_text(json.dumps(older), encoding="utf-8")
        write_rows(folder, [{"id": row["id"], "task": row["task"], "miou": 1.0} for row in rows_of(folder)])
    refused(giqa, *runs)


def test_a_row_that_is_there_twice_is_one_sentence(giqa, runs):
    rows = rows_of(runs[0])
    write_rows(runs[0], [*rows, rows[0] | {"image": "another"}])
    assert "scores.jsonl" in refused(giqa, *runs)
