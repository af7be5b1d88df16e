"""A run's results for its model's repo: the numbers, what of a stranger's files stays, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from giqa_datasets.builders.eval_yaml import BENCHMARKS, SCORES, benchmark_eval_yaml
from giqa_datasets.console import no_progress
from giqa_datasets.llm import DEFAULT_MODEL, Reply
from giqa_metrics.judges.logged_judge import LoggedJudge
from giqa_metrics.publish.model_card import edit_card, known_of, marks
from giqa_metrics.publish.results import diff, is_run, results_release
from giqa_metrics.runs.score import Options, score_run
from giqa_metrics.runs.table import COLUMNS


pytestmark = pytest.mark.slow


REPO = "org/llava"
DATASET = ("org/giqa-bench", "0123456789" * 4)
ENTRIES = ".eval_results/giqa-bench.yaml"
QUICK = Options(resamples=20)
NO_END = r"-\ No newline at end of file"


class Backend:
    batch_size = concurrency = 1

    def ask(self, requests):
        return [Reply(json.dumps({"score": len(each.prompt) % 5}), False) for each in requests]


def write_run(folder: Path, data: Path, rows: list[dict], **config) -> Path:
    folder.mkdir()
    told = {"model": "/home/me/llava", "data": str(data), "config": None, "split": "test", "limit": None} | config
    (folder / "config.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    rows = [row for row in rows[: told["limit"]] if told["config"] in (None, row["task"])]
    answers = {row["id"]: "No. The [sky](<0, 41>)" if n % 4 == 0 else row["answer"] for n, row in enumerate(rows)}
    lines = [json.dumps({"id": name, "prediction": text}) + "\n" for name, text in answers.items()]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def scored(bench, bench_rows, tmp_path_factory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", bench, bench_rows)
    score_run(folder, options=QUICK)
    return folder


@pytest.fixture
def run(scored, tmp_path) -> Path:
    """A copy of it to tamper with."""
    return shutil.copytree(scored, tmp_path / "run")


@pytest.fixture(scope="module")
def release(scored):
    """Files of a model's repo to the release of the run's results in it."""

    def made(files=None, *, run: Path = scored, dataset=DATASET):
        return results_release(run, REPO, (files or {}).get, dataset=dataset)

    return made


@pytest.fixture(scope="module")
def groups(release) -> list[dict]:
    return front_matter(release().files["README.md"])["model-index"][0]["results"]


@pytest.fixture(scope="module")
def edit(groups):
    """A card to the card with results in it."""
    return lambda card: edit_card(
        card, "llava", groups, {"org/giqa-bench des": "a\nb"}, where="README.md of org/llava"
    )


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text(encoding="utf-8"))


def front_matter(card: bytes) -> dict:
    return yaml.safe_load(re.match(rb"\s*---\r?\n(.*?)\r?\n---", card, re.DOTALL)[1])


def parsed(raw: bytes):
    from huggingface_hub import parse_eval_result_entries

    return parse_eval_result_entries(yaml.safe_load(raw))


def removed(files, release) -> list[str]:
    """The lines that the diff takes away."""
    return [line for line in diff(files.get, release).splitlines() if re.match(r"-(?!--)", line)]


def test_a_benchmark_names_a_task_for_each_score_and_loads_with_that_file_beside_its_card(bench, tmp_path):
    from datasets import load_dataset

    folder = shutil.copytree(bench, tmp_path / "giqa-bench-mini")
    (folder / "eval.yaml").write_text(benchmark_eval_yaml("giqa-bench-mini", SCORES), encoding="utf-8")
    tasks = yaml.safe_load((folder / "eval.yaml").read_text(encoding="utf-8"))["tasks"]
    assert len({task["id"] for task in tasks}) == len(tasks) == sum(map(len, SCORES.values()))
    for config, split in sorted({(task["config"], task["split"]) for task in tasks}):
        rows = load_dataset(str(folder), config, split=split)
        assert set(rows["task"]) == {config}
        assert next(iter(load_dataset(str(folder), config, split=split, streaming=True)))["id"] == rows[0]["id"]
    assert load_dataset(str(folder)).keys() == {"test"}


def test_the_tasks_are_columns_of_the_tables_and_those_of_the_paper():
    from giqa_metrics.runs.paper import table5

    for config, scores in SCORES.items():
        assert set(scores) == {key for _, _, key in COLUMNS[config]} & getattr(table5()[0], config).keys()
    assert {"giqa-bench", "giqa-bench-mini"} == BENCHMARKS
    assert yaml.safe_load(benchmark_eval_yaml("x", ["vqa"]))["tasks"][0]["id"] == "vqa_miou"


def test_file_index_and_table_say_the_numbers_of_the_summary(scored, release):
    from huggingface_hub import ModelCard

    files, summary = release().files, summary_of(scored)
    entries = parsed(files[ENTRIES])
    found = {entry.task_id: entry for entry in entries}
    assert len(found) == len(entries) == 6  # three of the nine need a judge
    metric_of = {f"{task}_{key}": (task, metric, key) for task in COLUMNS for _, metric, key in COLUMNS[task]}
    for name, entry in found.items():
        task, metric, key = metric_of[name]
        assert entry.value == pytest.approx(summary[task][metric][key], abs=0.005 if key == "bleu4" else 0.00005)
        assert (entry.dataset_id, entry.dataset_revision) == DATASET
        assert entry.notes == summary[task][metric]["signature"]
        assert entry.source_url.endswith(f"/datasets/{DATASET[0]}/tree/{DATASET[1]}")
        assert entry.date is None  # no file of a run tells one
    card = ModelCard(files["README.md"].decode())
    results = card.data.eval_results  # type: ignore[attr-defined]
    index = {f"{result.dataset_config}_{result.metric_type}": result for result in results}
    assert {name: result.metric_value for name, result in index.items()} == {n: e.value for n, e in found.items()}
    assert {result.dataset_revision for result in index.values()} == {DATASET[1]}
    assert card.data.model_name == "llava"  # type: ignore[attr-defined]
    miou = f"{found['des_miou'].value:.4f}"
    assert f"| {REPO} | {miou} (" in card.text
    assert "| blind: whole image |" in card.text
    assert card.text.count(" | - |") > 3


def test_nothing_of_this_machine_and_no_paper_score_is_published(scored, bench, release):
    for content in release().files.values():
        assert not any(place in content.decode() for place in (str(bench), str(scored), "/home/me"))


def test_a_card_that_is_made_is_complete_and_says_nothing_that_is_not_known(release):
    card = release().files["README.md"]
    about = front_matter(card)
    assert (about["library_name"], about["pipeline_tag"]) == ("transformers", "image-text-to-text")
    assert "arxiv:2411.17237" in about["tags"]
    assert not {"license", "base_model", "datasets"} & about.keys()
    text = card.decode()
    for heading in ("How to use", "Training", "Limits", "Whose is what", "Citation"):
        assert f"\n## {heading}\n" in text
    assert "do not tell how it was trained" in text
    assert "{" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert (
        text.index(marks("org/giqa-bench des")[0]) < text.index(marks("org/giqa-bench vqa")[0]) < text.index("Limits")
    )


def test_a_trainers_card_in_the_models_folder_tells_what_has_a_name_on_the_hub(bench, bench_rows, release, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    assert known_of(str(model)) == {}
    (model / "README.md").write_text(
        "---\nbase_model: org/base\nlicense: apache-2.0\ndatasets: [org/set, giqa-tiny, /home/me/set]\n---\n# x\n"
    )
    known = {"base_model": "org/base", "datasets": ["org/set"], "license": "apache-2.0"}
    assert known_of(str(model)) == known
    run = write_run(tmp_path / "run", bench, bench_rows, model=str(model), config="vqa")
    score_run(run, options=QUICK)
    card = release(run=run).files["README.md"]
    about = front_matter(card)
    assert {key: about[key] for key in known} == known
    assert b"Trained from [org/base]" in card
    assert b"Trained on [org/set]" in card
    assert b"org/giqa-bench des" not in card
    (model / "README.md").write_text("---\nbase_model: /home/me/base\nlicense: 'a: b'\n---\n")
    assert known_of(str(model)) == {}
    (model / "README.md").write_text("---\n[\n---\n")
    assert known_of(str(model)) == {}


FIRST, LAST = (mark.encode() for mark in marks("org/giqa-bench des"))
CARDS = {
    "plain": b"---\nlicense: mit\ntags:\n- x\n---\n# Mine\n\ntext\n",
    "comments, quotes, order": b"---\n# about\ntags: ['b', \"a\"]   # mine\n\nn: 012\n# end\n---\n# Mine",
    "windows": b"---\r\nlicense: mit\r\n---\r\n# Mine\r\n\r\ntext\r\n",
    "no front matter": b"# Mine\n\n---\n\ntext",
    "empty": b"",
    "empty front matter": b"---\n# nothing\n---\ntext\n",
    "byte order mark": b"\xef\xbb\xbf---\nlicense: mit\n---\ntext\n",
    "unicode": "---\ntitle: \u00e4\u4e2d\U0001f600\n---\n\u2028 \x0b text\n".encode(),
    "not a number": b"---\nloss: .nan\ndate: 2024-01-01\n---\ntext\n",
    "other results": b"""---
model-index:   # theirs
- name: "their name"
  results:
  - task: {type: text-generation}
    dataset: {name: MMLU, type: cais/mmlu}
    metrics:
    - {type: acc, value: .nan, extra: 1}
    extra: kept
# between
license: mit
---
text
""",
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_what_a_card_said_stays_to_the_byte_and_publishing_again_changes_nothing(edit, card):
    from huggingface_hub import ModelCard

    edited = edit(card)
    mark, head, body = re.fullmatch(rb"(\xef\xbb\xbf)?(---\r?\n.*?\r?\n---\r?\n)?(.*)", card, re.DOTALL).groups(b"")
    assert edited.startswith(mark)
    assert body in edited[: edited.index(FIRST)]
    lines = [
        line for line in head.splitlines() if b"model-index" not in card or line in (b"license: mit", b"# between")
    ]
    left = iter(edited[: edited.index(FIRST)].removeprefix(mark).splitlines())
    assert all(line in left for line in lines)  # in this order
    keys = [key for key in front_matter(edited.removeprefix(mark)) if key != "model-index"]
    assert keys == [key for key in (front_matter(head) or {} if head else {}) if key != "model-index"]
    assert edited.count(b"\r\n") == (edited.count(b"\n") if b"\r\n" in card else 0)
    assert len(ModelCard(edited.decode("utf-8-sig")).data.eval_results) >= 6  # type: ignore[attr-defined]
    assert edit(edited) == edited


def test_results_of_others_stay_where_they_are(edit, groups):
    edited = edit(CARDS["other results"])
    index = front_matter(edited)["model-index"]
    assert [model["name"] for model in index] == ["their name"]
    theirs, *ours = index[0]["results"]
    assert theirs["extra"] == "kept"
    assert theirs["metrics"][0]["extra"] == 1
    assert ours == groups
    text = edited.decode()
    assert text.index("model-index") < text.index("# between\nlicense: mit\n---\ntext\n")


@pytest.mark.slow
def test_older_results_are_replaced_in_their_places(release, run, groups):
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    old = release(dataset=(DATASET[0], "f" * 40))
    other = release({**old.files}, dataset=("elsewhere/giqa-bench", "e" * 40))
    after = {**other.files, "README.md": other.files["README.md"] + b"\nlast words\n"}
    new = release(after)
    entries = parsed(new.files[ENTRIES])
    assert [entry.dataset_revision[0] for entry in entries] == ["0"] * 6 + ["e"] * 6
    results = front_matter(new.files["README.md"])["model-index"][0]["results"]
    assert [result["dataset"]["revision"][0] for result in results] == ["0", "0", "e", "e"]
    assert results[:2] == groups
    text = new.files["README.md"].decode()
    places = [text.index(marks(f"{name} des")[0]) for name in (DATASET[0], "elsewhere/giqa-bench")]
    assert places == sorted(places)
    assert text.endswith("\nlast words\n")
    assert "f" * 40 not in text
    assert set(removed(after, new)) == {line for line in removed(after, new) if "f" * 40 in line}
    doubled = [entry for _ in range(2) for entry in yaml.safe_load(old.files[ENTRIES])]
    assert len(parsed(release({ENTRIES: yaml_dump(doubled).encode()}).files[ENTRIES])) == 6


def test_a_metric_of_others_on_the_same_task_and_a_score_that_this_run_lacks_stay(groups):
    import copy

    theirs = copy.deepcopy(groups[0])
    theirs["metrics"] = [{"type": "cider", "value": 1.0}, {"type": "llm_score", "value": 2.0}, *theirs["metrics"]]
    card = f"---\n{yaml.safe_dump({'model-index': [{'name': 'x', 'results': [theirs]}]})}---\n".encode()
    edited = edit_card(card, "x", groups, {}, where="README.md")
    results = front_matter(edited)["model-index"][0]["results"]
    assert results[0] == groups[0]
    assert [metric["type"] for metric in results[1]["metrics"]] == ["cider", "llm_score"]
    assert results[2] == groups[1]
    assert edit_card(edited, "x", groups, {}, where="README.md") == edited


@pytest.mark.slow
def test_entries_of_others_are_kept_in_order_whatever_they_hold(release):
    theirs = [
        {"dataset": {"id": "cais/hle", "task_id": "default"}, "value": 20.9, "date": "2025-01-15", "new": {"a": [1]}},
        {"dataset": {"id": DATASET[0], "config": "old"}, "value": 1},
        {"dataset": "text"},
        {"dataset": {"id": ["x"], "task_id": {}}},
    ]
    ours = {"dataset": {"id": DATASET[0], "task_id": "vqa_miou"}, "value": 0.0, "verifyToken": "of the old value"}
    files = {ENTRIES: yaml.safe_dump([*theirs[:2], ours, *theirs[2:]]).encode()}
    entries = yaml.safe_load(release(files).files[ENTRIES])
    assert [*entries[:2], *entries[3:5]] == theirs
    assert entries[2]["dataset"]["task_id"] == "vqa_miou"
    assert entries[2]["value"] > 0
    assert "verifyToken" not in entries[2]
    assert len(entries) == 5 + 5
    commented = b"# kept\n" + release().files[ENTRIES]
    assert release({ENTRIES: commented}).files[ENTRIES] == commented


BOMB = b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 120))
BROKEN = {
    "no UTF-8": (b"---\nlicense: \xff\n---\n", "is no UTF-8"),
    "broken YAML": (b"---\na: [\n---\n", "front matter of README.md of org/llava cannot be read"),
    "a list": (b"---\n- a\n---\n", "expected a mapping"),
    "a hostile tag": (b"---\na: !!python/object/apply:os.system [x]\n---\n", "cannot be read"),
    "a broken tag": (b"---\na: !!bool x\n---\n", "cannot be read"),
    "a bomb": (b"---\n" + BOMB + b"---\n", "aliases"),
    "too deep": (b"---\na: " + b"[" * 50_000 + b"\n---\n", "cannot be read"),
    "on one line": (b"---\n{license: mit}\n---\n", "model-index cannot be put there"),
    "a key twice": (b"---\nmodel-index: []\nmodel-index: []\n---\n", "model-index cannot be put there"),
    "another index": (b"---\nmodel-index: [{name: x}]\n---\n", "model-index of README.md of org/llava cannot be read"),
    "no index": (b"---\nmodel-index: text\n---\n", "model-index of README.md of org/llava cannot be read"),
    "two first marks": (FIRST * 2 + LAST, "got them 2 and 1 times"),
    "one mark": (FIRST, "got them 1 and 0 times"),
    "marks turned round": (LAST + FIRST, "the second before the first"),
}


@pytest.mark.parametrize(("card", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_card_that_cannot_be_read_ends_in_one_sentence(edit, card, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        edit(card)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "raw",
    [b"\xff", b"[", b"text", b"a: 1", b"- 1", b"- [a]", b"- !!bool x", b"[" * 50_000],
    ids=["no UTF-8", "broken", "text", "mapping", "number", "list", "tag", "deep"],
)
def test_results_that_cannot_be_read_end_in_one_sentence(release, raw):
    with pytest.raises(ValueError, match=re.escape(f"{ENTRIES} of org/llava")) as raised:
        release({ENTRIES: raw})
    assert "\n" not in str(raised.value)


def test_a_run_that_is_not_scored_is_none(run, release):
    assert is_run(run)
    (run / "summary.json").unlink()
    assert not is_run(run)
    with pytest.raises(ValueError, match="expected a scored run"):
        release(run=run)


def test_a_number_that_does_not_hold_is_not_published(run, release):
    summary = summary_of(run)
    summary["des"]["giqa_grounding"]["miou"] += 0.01
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^1 of \d+ entries of .* do not hold, des\.giqa_grounding\.miou for one"):
        release(run=run)


def test_a_part_of_a_split_is_no_result(bench, bench_rows, release, tmp_path):
    run = write_run(tmp_path / "run", bench, bench_rows, limit=5)
    score_run(run, options=QUICK)
    with pytest.raises(ValueError, match="answers the first 5 samples alone"):
        release(run=run)


@pytest.mark.parametrize(
    "option", [{"similarity": "exact"}, {"preset": "glamm", "similarity": "exact"}, {"exact_boxes": True}]
)
@pytest.mark.slow
def test_scores_of_another_definition_are_refused(run, release, option):
    score_run(run, options=QUICK._replace(**option))
    with pytest.raises(ValueError, match="was not scored as the benchmark defines it"):
        release(run=run)


@pytest.mark.parametrize(("model", "found"), [(DEFAULT_MODEL, 9), ("another/judge", 6)])
@pytest.mark.slow
def test_a_judges_scores_are_results_if_it_is_the_protocols(run, release, model, found):
    judge = LoggedJudge(model, Backend, log=run / "judge.jsonl", repeats=1, progress=no_progress)
    score_run(run, options=QUICK, judge=judge)
    files = release(run=run).files
    assert len(parsed(files[ENTRIES])) == found
    card = files["README.md"].decode()
    assert ("its scores compare with none" in card) == (found == 6)
    assert f"{summary_of(run)['des']['giqa_description']['llm_score']:.2f}" in card


def test_the_diff_of_a_hostile_file_cannot_steer_a_terminal(release):
    hostile = "---\na: 1\n---\nx\x1b[2J\x9b\u202e\u2066\u200b\r\x00\x07\u2028y\t\u00e4\n".encode() + b"\xff"
    harmless = {"README.md": hostile.replace(b"\xff", b"")}
    text = diff(harmless.get, release(harmless))
    assert r" x\x1b[2J\x9b\u202e\u2066\u200b\r\x00\x07\u2028y" + "\t\u00e4\n" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066\u200b]", text)
    new = release()
    assert r"-\xff" in diff({"README.md": b"\xff\n"}.get, new)
    end = new._replace(files={"README.md": b"a\n"})
    assert diff({"README.md": b"a"}.get, end).splitlines()[2:] == ["@@ -1,2 +1 @@", " a", NO_END]
    assert diff({"README.md": b"a\n"}.get, end) == ""


def test_the_name_in_the_commit_is_that_of_the_data_set(release):
    assert release().kind == "model"
    assert release().name == "results on org/giqa-bench"
    assert not release().owns("README.md")
