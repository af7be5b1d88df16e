"""`giqa check`: an untouched run holds, whatever is touched is named, and nothing is written; data sets and images."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from giqa_datasets.console import no_progress
from giqa_datasets.llm import Reply
from giqa_metrics.judges.logged_judge import LoggedJudge
from giqa_metrics.runs.check import check_run
from giqa_metrics.runs.score import Options, score_run


pytestmark = pytest.mark.slow


LIMIT = 14
CHANGED = {
    "astronaut-des": "The [head](<6, 151>) is fine, the [purple elephant](<200, 305>) is [gone](<3",
    "astronaut-vqa-1": "Perhaps.",
}
STEERING = ("data", "config", "split", "settings")  # what the check itself starts from
REMOVED = object()


class Backend:
    """Scores by what it is asked alone, and not always alike when asked again."""

    batch_size = concurrency = 1

    def ask(self, requests):
        sums = [sum(each.prompt.encode()) for each in requests]
        scores = [total % 4 + (total % 3 == 0) * each.seed for total, each in zip(sums, requests, strict=True)]
        return [Reply(json.dumps({"score": score}), False) for score in scores]


@pytest.fixture(scope="module")
def scored(bench, bench_rows, tmp_path_factory) -> Path:
    """A judged run over the first samples of the mini benchmark, some answers of it wrong."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    write_run(folder, bench, bench_rows)
    judge = LoggedJudge("m", Backend, log=folder / "judge.jsonl", repeats=2, progress=no_progress)
    score_run(folder, options=Options(similarity="lexical", resamples=20), judge=judge)
    return folder


@pytest.fixture
def run(scored, tmp_path) -> Path:
    """A copy of it to tamper with."""
    return shutil.copytree(scored, tmp_path / "run")


def write_run(folder: Path, data: Path, rows: list[dict]) -> None:
    folder.mkdir()
    config = {"model": "me", "data": str(data), "config": None, "split": "test", "limit": LIMIT}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    answers = {row["id"]: row["answer"] for row in rows[:LIMIT]} | CHANGED
    lines = [json.dumps({"id": identifier, "prediction": text}) + "\n" for identifier, text in answers.items()]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tamper(folder: Path, name: str, value: Any) -> None:
    """Put another value into the summary, at a place such as `des.giqa_grounding.miou`."""
    summary = read(folder / "summary.json")
    *places, last = name.split(".")
    inside = summary
    for place in places:
        inside = inside[place]
    if value is REMOVED:
        del inside[last]
    else:
        inside[last] = value
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def broken(folder: Path) -> set[str]:
    return {number.name for number in check_run(folder) if not number.holds}


def refused(giqa, folder: Path) -> str:
    """Check what cannot be checked: exit code 2 and one sentence, which is given."""
    ran = giqa("check", folder)
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.startswith("giqa: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert len(ran.err) < 1000
    return ran.err


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        place: leaf
        for key, inside in value.items()
        for place, leaf in leaves(inside, f"{name}.{key}" if name else key).items()
    }


def test_an_untouched_run_holds_entirely(giqa, run):
    numbers = check_run(run)
    ran = giqa("check", run)
    assert (ran.code, ran.out) == (0, f"{len(numbers)} of {len(numbers)} entries hold\n")
    assert all(number.holds for number in numbers)
    assert [number.name for number in numbers] == [*leaves(read(run / "summary.json")), "scores.jsonl", "data shards"]


def test_the_run_that_these_tests_tamper_with_has_every_kind_of_number(run):
    found = leaves(read(run / "summary.json"))
    for name in (
        "des.giqa_grounding.miou",
        "des.giqa_grounding.intervals.miou",
        "des.giqa_description.llm_score",
        "vqa.giqa_vqa.accuracy",
        "vqa.giqa_vqa.intervals.accuracy_open",
        "vqa.baselines.most frequent answer.giqa_vqa.accuracy_open",
        "judge_agreement.identical",
    ):
        assert found[name] is not None, name
    assert 0 < found["vqa.giqa_vqa.accuracy_open"] < 1
    assert 0 < found["judge_agreement.identical"] < 1


def test_a_run_that_nobody_judged_holds_whatever_log_lies_there(scored, tmp_path):
    folder = shutil.copytree(scored, tmp_path / "run")
    score_run(folder, options=Options(similarity="exact", resamples=5, seed=3))
    assert broken(folder) == set()
    (folder / "judge.jsonl").unlink()
    assert broken(folder) == set()


@pytest.mark.parametrize("place", ["from inside", "from beside", "moved"])
def test_a_run_that_names_no_model_holds_wherever_it_is_checked_from(bench, make_run, tmp_path, monkeypatch, place):
    folder = make_run()
    score_run(folder, str(bench), options=Options(similarity="exact", resamples=0))
    if place == "moved":
        folder = folder.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(folder if place == "from inside" else tmp_path)
    assert broken({"from inside": Path(), "from beside": Path("run"), "moved": folder}[place]) == set()


@pytest.mark.parametrize(
    "options",
    [
        Options(similarity="exact", preset="glamm", resamples=0),
        Options(similarity="lexical", exact_boxes=True, resamples=3, seed=7),
        Options(box_format="giqa_decimal", similarity="exact", resamples=0),
        Options(similarity="minilm", resamples=0),
    ],
    ids=["glamm", "exact boxes", "decimals", "an encoder"],
)
def test_a_run_is_scored_again_with_the_options_that_it_was_scored_with(run, options):
    score_run(run, options=options)
    assert broken(run) == set()


def test_a_check_writes_nothing(giqa, run):
    (run / "report.html").unlink()

    def state():
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.parent.rglob("*") if path.is_file()}

    before = state()
    assert giqa("check", run).code == 0
    tamper(run, "des.giqa_grounding.miou", 0.5)
    after = state()
    assert giqa("check", run, "--format", "json").code == 1
    assert state() == after
    assert before.keys() == after.keys()


def test_a_check_asks_no_judge(run, monkeypatch):
    def ask(*_):
        raise AssertionError("a judge was asked")

    monkeypatch.setattr(Backend, "ask", ask)
    assert broken(run) == set()


def test_every_number_that_is_changed_is_named(run):
    stated = read(run / "summary.json")

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: changed(inside) for name, inside in value.items()}
        if isinstance(value, list):
            return [changed(inside) for inside in value]
        return value + 0.01 if isinstance(value, float) else value + 1 if isinstance(value, int) else value

    shifted = {name: value if name in STEERING else changed(value) for name, value in stated.items()}
    (run / "summary.json").write_text(json.dumps(shifted), encoding="utf-8")
    before, after = leaves(stated), leaves(shifted)
    expected = {name for name in before if after[name] != before[name]}
    assert len(expected) > 100
    assert broken(run) == expected


TAMPERED = {
    "a score": ("des.giqa_grounding.miou", 0.5),
    "a score by very little": ("des.giqa_grounding.miou", lambda value: value + 2e-6),
    "a percentage": ("des.giqa_description.bleu4", lambda value: value + 0.001),
    "a judged score": ("des.giqa_description.llm_score", 100.0),
    "an accuracy": ("vqa.giqa_vqa.accuracy", 1.0),
    "a count": ("vqa.giqa_vqa.n_samples", 1000),
    "a score that does not exist": ("vqa.giqa_vqa.accuracy_which", 1.0),
    "a score taken away": ("vqa.giqa_vqa.accuracy", None),
    "a score removed": ("vqa.giqa_vqa.accuracy", REMOVED),
    "a score that is a text": ("des.giqa_grounding.miou", "0.9"),
    "a score that is no number": ("des.giqa_grounding.miou", math.nan),
    "a score that is infinite": ("des.giqa_grounding.miou", math.inf),
    "a score that is an empty object": ("des.giqa_grounding.miou", {}),
    "a score that is an empty list": ("des.giqa_grounding.miou", []),
    "a signature that is an empty object": ("des.giqa_grounding.signature", {}),
    "a signature": ("des.giqa_grounding.signature", lambda text: text.replace("lexical", "minilm")),
    "a signature's version": ("vqa.giqa_vqa.signature", lambda text: text.rsplit("|", 1)[0] + "|v:9.9.9"),
    "a judge's signature": ("des.giqa_description.signature", lambda text: text.replace(",not-comparable", "")),
    "an interval's bound": ("des.giqa_grounding.intervals.miou", lambda bounds: [bounds[0], bounds[1] + 0.01]),
    "an interval taken away": ("des.giqa_grounding.intervals.miou", None),
    "an interval with one bound": ("des.giqa_grounding.intervals.miou", lambda bounds: bounds[:1]),
    "a baseline": ("des.baselines.whole image.giqa_grounding.miou", 0.0),
    "a baseline's answer": ("vqa.baselines.most frequent answer.giqa_vqa.accuracy_yes_no", 0.1),
    "a baseline nobody computed": ("vqa.baselines.always Perhaps", {"giqa_vqa": {"accuracy": 0.5}}),
    "a metric nobody computed": ("des.giqa_beauty", 1.0),
    "the digest": ("references", "sha256:" + "0" * 64),
    "the model": ("model", "somebody else"),
    "the limit": ("limit", LIMIT + 1),
    "the level": ("settings.level", 0.99),
    "an option nobody gave": ("settings.beam", 5),
    "the prompts": ("settings.judge.prompts", ["description.v2@00000000", "answer.v2@00000000"]),
    "the agreement": ("judge_agreement.identical", 1.0),
}


@pytest.mark.parametrize(("name", "value"), TAMPERED.values(), ids=TAMPERED)
def test_what_is_changed_in_the_summary_is_named_and_nothing_else(giqa, run, name, value):
    if callable(value):
        value = value(leaves(read(run / "summary.json"))[name])
    tamper(run, name, value)
    ran = giqa("check", run)
    assert (ran.code, ran.err) == (1, "")
    *lines, last = ran.out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(name)
    assert ": stated " in lines[0]
    assert last.endswith(" entries hold")


@pytest.mark.parametrize(
    "name", ["des.giqa_grounding", "des.baselines", "vqa", "vqa.giqa_vqa.intervals", "settings.judge.parameters"]
)
@pytest.mark.parametrize("value", [REMOVED, None, {}, [], 3, "none"], ids=["removed", "null", "{}", "[]", "3", "none"])
def test_a_whole_part_that_is_gone_is_named(run, name, value):
    tamper(run, name, value)
    found = broken(run)
    assert found
    assert all(each.startswith(name) for each in found)


def test_a_difference_in_the_last_digits_holds(run):
    miou = leaves(read(run / "summary.json"))["des.giqa_grounding.miou"]
    tamper(run, "des.giqa_grounding.miou", miou + 1e-9)
    assert broken(run) == set()


def test_a_value_of_several_lines_stays_on_its_line(giqa, run):
    tamper(run, "model", "me\n0 of 0 entries do not hold\n\x1b[2J")
    ran = giqa("check", run)
    assert ran.code == 1
    assert len(ran.out.splitlines()) == 2
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("settings.seed", 1, "des.baselines.answers of other photographs.giqa_description.llm_score"),
        ("settings.resamples", 0, "des.giqa_grounding.intervals.miou"),
        ("settings.similarity", "exact", "des.giqa_grounding.signature"),
        ("settings.preset", "glamm", "des.giqa_grounding.signature"),
        ("settings.exact_boxes", True, "des.giqa_grounding.miou"),
        ("settings.box_format", "giqa_decimal", "des.giqa_grounding.miou"),
        ("settings.judge", None, "des.giqa_description.llm_score"),
        ("settings.judge.model", "n", "des.giqa_description.llm_score"),
        ("settings.judge.repeats", 1, "judge_agreement.identical"),
    ],
)
def test_another_setting_does_not_give_the_same_numbers(run, name, value, named):
    tamper(run, name, value)
    assert named in broken(run)


ROWS = {
    "a number": lambda rows: rows[0]["giqa_grounding"].update(miou=0.123),
    "a number for another": lambda rows: rows[0]["giqa_grounding"].update(n_predicted=7),
    "a number taken away": lambda rows: rows[0]["giqa_grounding"].pop("miou"),
    "a number that is an empty object": lambda rows: rows[0]["giqa_grounding"].update(miou={}),
    "a judged score": lambda rows: rows[0]["giqa_description"].update(judge_score=4.5),
    "a box": lambda rows: rows[0]["giqa_grounding"]["predicted"][0].update(box=[0, 0, 1, 1]),
    "a name": lambda rows: rows[0]["giqa_grounding"]["predicted"][0].update(phrase="hat"),
    "what was malformed": lambda rows: rows[0]["giqa_grounding"].update(malformed=[]),
    "the image": lambda rows: rows[0].update(image="0" * 64),
    "the task": lambda rows: rows[0].update(task="vqa"),
    "the id": lambda rows: rows[0].update(id="somebody"),
    "another metric": lambda rows: rows[0].update(giqa_beauty={"score": 1.0}),
    "a row is missing": lambda rows: rows.pop(),
    "a row is added": lambda rows: rows.append(rows[0] | {"id": "somebody"}),
    "no row": lambda rows: rows.clear(),
}


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_a_row_of_scores_that_is_changed_is_named(giqa, run, change):
    rows = rows_of(run / "scores.jsonl")
    change(rows)
    write_rows(run / "scores.jsonl", rows)
    ran = giqa("check", run)
    assert (ran.code, ran.err) == (1, "")
    *lines, _ = ran.out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("scores.jsonl: stated ")


@pytest.mark.parametrize("place", [0, 10**6])
def test_a_row_that_is_there_twice_is_one_sentence(giqa, run, place):
    rows = rows_of(run / "scores.jsonl")
    rows.insert(place, rows[0] | {"image": "0" * 64})
    write_rows(run / "scores.jsonl", rows)
    assert f"id {rows[0]['id']!r} occurs twice" in refused(giqa, run)


def test_a_prediction_that_is_changed_is_named(giqa, run):
    rows = rows_of(run / "predictions.jsonl")
    assert rows[0]["id"] == "astronaut-des"
    rows[0]["prediction"] = "The [head](<6, 151>) is fine."
    write_rows(run / "predictions.jsonl", rows)
    ran = giqa("check", run)
    assert ran.code == 1
    named = {line.split(": stated ")[0] for line in ran.out.splitlines()[:-1]}
    assert named >= {"des.giqa_grounding.miou", "des.giqa_description.bleu4", "scores.jsonl"}
    assert not any(name.startswith("vqa") for name in named)


@pytest.mark.parametrize("change", [lambda rows: rows.pop(), lambda rows: rows.append(rows[0] | {"id": "somebody"})])
def test_a_prediction_that_is_missing_or_added_is_one_sentence(giqa, run, change):
    rows = rows_of(run / "predictions.jsonl")
    change(rows)
    write_rows(run / "predictions.jsonl", rows)
    assert "predictions.jsonl" in refused(giqa, run)


def test_a_reply_of_the_judge_that_is_changed_is_named(giqa, run):
    lines = rows_of(run / "judge.jsonl")
    place = next(k for k, line in enumerate(lines) if line["repeat"] == 0 and line["question"] == "")
    lines[place]["reply"] = json.dumps({"score": (lines[place]["score"] + 1) % 5})
    write_rows(run / "judge.jsonl", lines)
    ran = giqa("check", run)
    assert ran.code == 1
    named = {line.split(": stated ")[0] for line in ran.out.splitlines()[:-1]}
    assert named >= {"des.giqa_description.llm_score", "scores.jsonl"}
    assert not any("grounding" in name or "vqa" in name for name in named)


def test_a_reply_of_the_judge_that_is_gone_is_named(run):
    lines = rows_of(run / "judge.jsonl")
    gone = next(line for line in lines if line["repeat"] == 0 and line["question"])
    write_rows(run / "judge.jsonl", [line for line in lines if line["key"] != gone["key"]])
    assert broken(run) & {
        "vqa.giqa_vqa.n_judge_failures",
        "vqa.baselines.most frequent answer.giqa_vqa.n_judge_failures",
    }


def test_a_score_in_the_judges_log_is_for_people_and_changes_nothing(run):
    write_rows(run / "judge.jsonl", [line | {"score": 4} for line in rows_of(run / "judge.jsonl")])
    assert broken(run) == set()


@pytest.mark.parametrize("name", ["summary.json", "scores.jsonl", "judge.jsonl", "predictions.jsonl"])
def test_a_file_that_is_missing_is_one_sentence(giqa, run, name):
    (run / name).unlink()
    assert name in refused(giqa, run)


@pytest.mark.parametrize("name", ["summary.json", "scores.jsonl", "judge.jsonl"])
@pytest.mark.parametrize(
    "content",
    [b"{broken\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"7\n", b"[" * 200_000 + b"\n", b'{"a":' * 200_000 + b"\n"],
    ids=["broken", "a list", "null", "no UTF-8", "a number", "deep lists", "deep objects"],
)
def test_a_file_that_holds_something_else_is_one_sentence(giqa, run, name, content):
    (run / name).write_bytes(content)
    assert name in refused(giqa, run)


@pytest.mark.parametrize("depth", [150, 500, 900])
def test_a_summary_that_is_nested_deeply_is_one_sentence_or_named(giqa, run, depth):
    deep: Any = 1
    for _ in range(depth):
        deep = {"a": deep}
    tamper(run, "des.giqa_grounding.miou", deep)
    ran = giqa("check", run)
    assert ran.code in (1, 2)
    assert ran.err == "" if ran.code == 1 else ran.err.count("\n") == 1


@pytest.fixture
def own_run(copy_of_bench, bench_rows, tmp_path) -> tuple[Path, Path]:
    """A run over a data set of its own, and that data set."""
    data = copy_of_bench()
    folder = tmp_path / "run"
    write_run(folder, data, bench_rows)
    score_run(folder, options=Options(similarity="exact", resamples=0))
    return folder, data


def test_the_references_that_are_changed_are_named(giqa, own_run, copy_of_bench):
    folder, data = own_run
    assert broken(folder) == set()
    shutil.rmtree(data)
    copy_of_bench(lambda row: row | {"answer": row["answer"].replace("[head](<6, 151>)", "[head](<0, 399>)")})
    ran = giqa("check", folder)
    assert ran.code == 1
    named = {line.split(": stated ")[0] for line in ran.out.splitlines()[:-1]}
    assert named >= {"references", "des.giqa_grounding.miou", "scores.jsonl"}


def test_references_that_are_changed_without_a_change_of_any_score_are_named(own_run, copy_of_bench):
    folder, data = own_run
    shutil.rmtree(data)
    copy_of_bench(lambda row: row | {"question": row["question"] + "!"})
    assert broken(folder) == {"references"}


def test_a_shard_that_is_changed_behind_its_cards_back_does_not_hold(giqa, own_run, copy_of_bench):
    # The datasets library keys its cache on the card alone, and so reads the old rows
    folder, data = own_run
    card = (data / "README.md").read_bytes()
    shutil.rmtree(data)
    copy_of_bench(lambda row: row | {"answer": row["answer"].replace("[head](<6, 151>)", "[head](<0, 399>)")})
    (data / "README.md").write_bytes(card)
    assert giqa("check", folder).code != 0


def test_a_data_set_that_is_gone_is_one_sentence(giqa, run):
    tamper(run, "data", "/no/such/folder")
    assert "/no/such/folder" in refused(giqa, run)


def older(summary: dict) -> dict:
    return {name: value for name, value in summary.items() if name not in ("settings", "references")}


def without(*names: str) -> Callable[[dict], dict]:
    return lambda summary: (
        summary | {"settings": {name: value for name, value in summary["settings"].items() if name not in names}}
    )


def setting(**changed: Any) -> Callable[[dict], dict]:
    return lambda summary: summary | {"settings": summary["settings"] | changed}


SHAPES = {
    "older": older,
    "empty": lambda summary: {},
    "settings are a list": lambda summary: summary | {"settings": [1, 2]},
    "settings are a text": lambda summary: summary | {"settings": "exact"},
    "settings are null": lambda summary: summary | {"settings": None},
    "no box format": without("box_format"),
    "no seed": without("seed"),
    "no data": lambda summary: {name: value for name, value in summary.items() if name != "data"},
    "data are a number": lambda summary: summary | {"data": 7},
    "data are a list": lambda summary: summary | {"data": ["giqa-bench-mini"]},
    "the split is a number": lambda summary: summary | {"split": 7},
    "the split is an object": lambda summary: summary | {"split": {"a": 1}},
    "the config is a list": lambda summary: summary | {"config": ["des"]},
    "an unknown box format": setting(box_format="smoke"),
    "the box format is a list": setting(box_format=["giqa"]),
    "the similarity is a number": setting(similarity=7),
    "the similarity is a function's name": setting(similarity="my_similarity"),
    "the preset is an object": setting(preset={}),
    "the resamples are a text": setting(resamples="many"),
    "the seed is a text": setting(seed="zero"),
    "the seed is negative": setting(seed=-1),
    "the judge is a text": setting(judge="me"),
    "the judge is an empty object": setting(judge={}),
    "the judge's repeats are a text": setting(judge={"model": "m", "repeats": "two"}),
    "the judge's model is a number": setting(judge={"model": 7, "repeats": 1}),
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_a_summary_of_another_shape_is_one_sentence(giqa, run, change):
    (run / "summary.json").write_text(json.dumps(change(read(run / "summary.json"))), encoding="utf-8")
    refused(giqa, run)


def test_a_summary_of_an_older_shape_says_what_it_lacks(giqa, run):
    (run / "summary.json").write_text(json.dumps(older(read(run / "summary.json"))), encoding="utf-8")
    line = refused(giqa, run)
    assert str(run / "summary.json") in line
    assert line.endswith("was not written by this giqa score: references: Field required\n")


@pytest.mark.parametrize("folder", ["nothing", "not scored"])
def test_a_folder_that_is_no_scored_run_is_one_sentence(giqa, make_run, tmp_path, folder):
    path = tmp_path / "nothing" if folder == "nothing" else make_run()
    assert f"expected summary.json in {path}" in refused(giqa, path)


def test_json_lists_every_entry_and_whether_it_holds(giqa, run):
    ran = giqa("check", run, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    entries = json.loads(ran.out)
    assert [entry["name"] for entry in entries] == [number.name for number in check_run(run)]
    assert all(set(entry) == {"name", "stated", "found", "holds"} and entry["holds"] for entry in entries)
    tamper(run, "des.giqa_grounding.miou", 0.5)
    ran = giqa("check", run, "--format", "json")
    assert ran.code == 1
    (entry,) = (entry for entry in json.loads(ran.out) if not entry["holds"])
    assert (entry["name"], entry["stated"]) == ("des.giqa_grounding.miou", 0.5)
    assert entry["found"] == leaves(read(run / "summary.json"))["des.giqa_grounding.miou_strict"] or entry["found"] > 0


# Data set folders


def test_a_data_set_that_holds_is_counted_on_stdout(giqa, bench):
    ran = giqa("check", bench)
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["giqa-bench-mini"] in lines
    assert ["images", "rows", "des", "yes_no", "what", "why", "how", "which"] in lines
    assert ["test", "28", "76", "28", "28", "10", "6", "4", "0"] in lines
    assert "scikit-learn: pixels cc-by-2.0, text apache-2.0\n" in ran.out
    assert ran.out.endswith("findings: 0\n")


def test_what_does_not_hold_in_a_data_set_is_on_stdout(giqa, copy_of_bench):
    folder = copy_of_bench(lambda row: row | {"width": row["width"] + (row["id"] == "astronaut-des")})
    ran = giqa("check", folder)
    assert ran.code == 1
    first, *_, last = ran.out.splitlines()
    assert re.fullmatch(r"test 'astronaut-des': expected an image of \d+x\d+, as the row says, got \d+x\d+", first)
    assert last == "findings: 1"
    assert "Traceback" not in ran.err


def test_a_data_set_without_its_card_is_still_one(giqa, copy_of_bench):
    folder = copy_of_bench()
    (folder / "README.md").unlink()
    ran = giqa("check", folder)
    assert ran.code == 1
    assert ran.out.startswith("README.md: expected the card of a data set, got none\n")


def test_a_data_set_in_json_is_its_findings_and_its_splits(giqa, copy_of_bench):
    ran = giqa("check", copy_of_bench(), "--format", "json")
    assert ran.code == 0
    examined = json.loads(ran.out)
    assert (examined["name"], examined["findings"]) == ("giqa-bench-mini", [])
    test = examined["splits"]["test"]
    assert test["rows"] == {"des": 28, "yes_no": 28, "what": 10, "why": 6, "how": 4}
    assert test["images"] == 28
    assert sum(source["rows"] for source in test["sources"]) == 76
    assert set(test["sources"][0]) == {"source", "image_license", "text_license", "rows"}
    ran = giqa("check", copy_of_bench(lambda row: row | {"width": 1}, name="other"), "--format", "json")
    assert ran.code == 1
    assert all(set(finding) == {"where", "what"} for finding in json.loads(ran.out)["findings"])


def test_no_data_set_makes_it_print_what_a_terminal_would_obey(giqa, copy_of_bench):
    folder = copy_of_bench(lambda row: row | {"id": f"\x1b[2J{row['id']}", "source": "\x1b[2J"})
    (folder / "data" / "\x1b[2J").write_text("", encoding="utf-8")
    ran = giqa("check", folder)
    assert ran.code == 1
    assert "\x1b" not in ran.out


# A manifest and one's own images


@pytest.fixture
def manifest(tmp_path) -> Path:
    """A manifest of two files, which lie in `mine` and in `more`."""
    entries = []
    for folder in ("mine", "more"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "copy.jpg").write_bytes(folder.encode())
        entries.append({"file": f"set/{folder}.jpg", "sha256": hashlib.sha256(folder.encode()).hexdigest()})
    write_rows(tmp_path / "images.jsonl", entries)
    return tmp_path / "images.jsonl"


def test_own_images_are_checked_against_a_manifest(giqa, manifest):
    mine, more = manifest.parent / "mine", manifest.parent / "more"
    ran = giqa("check", manifest, "--images", mine, "--images", more)
    assert ran == (0, "findings: 0\n", "")
    ran = giqa("check", manifest, "--images", mine)
    assert (ran.code, ran.err) == (1, "")
    sentence, last = ran.out.splitlines()
    assert sentence.startswith("expected a copy of 'set/more.jpg' with the sha256 ")
    assert last == "findings: 1"


def test_own_images_in_json_are_sentences(giqa, manifest):
    ran = giqa("check", manifest, "--images", manifest.parent / "more", "--format", "json")
    assert ran.code == 1
    (sentence,) = json.loads(ran.out)
    assert sentence.startswith("expected a copy of 'set/mine.jpg' with the sha256 ")


def test_a_manifest_without_images_and_images_without_a_manifest_are_one_sentence(giqa, manifest, bench):
    expected = "giqa: expected --images with a manifest and with nothing else, got "
    for arguments in (
        (manifest,),
        (bench, "--images", manifest.parent),
        (manifest.parent / "none", "--images", bench),
    ):
        ran = giqa("check", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(expected)


def test_a_file_that_is_no_manifest_is_one_sentence(giqa, manifest, bench):
    ran = giqa("check", bench / "README.md", "--images", manifest.parent)
    assert (ran.code, ran.out) == (2, "")
    assert re.match(r"giqa: .*README.md line 1: invalid JSON", ran.err)


def test_a_data_set_has_no_similarity(giqa, bench):
    ran = giqa("check", bench, "--similarity", "lexical")
    assert (ran.code, ran.err) == (2, f"giqa: expected --similarity with a run alone, got {bench}\n")


def test_an_encoder_that_a_strangers_run_names_is_not_loaded(giqa, bench, make_run, tmp_path, monkeypatch):
    folder = make_run()
    score_run(folder, str(bench), options=Options(similarity="exact", resamples=0))
    path = folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["settings"]["similarity"] = str(tmp_path / "theirs")
    path.write_text(json.dumps(summary), encoding="utf-8")
    ran = giqa("check", folder)
    assert ran.code == 2
    assert f"which is loaded if you name it yourself: --similarity {tmp_path / 'theirs'}" in ran.err
    summary["settings"] |= {"similarity": "exact", "resamples": 10**9}
    path.write_text(json.dumps(summary), encoding="utf-8")
    ran = giqa("check", folder)
    assert (ran.code, "settings.resamples" in ran.err) == (2, True)
