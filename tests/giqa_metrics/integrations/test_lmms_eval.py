"""GIQA's tasks in lmms-eval: docs/lmms-eval.md run by lmms-eval itself, in an environment of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import load_dataset

from giqa_datasets.formats import Sizes, box_format
from giqa_datasets.text import parse
from giqa_metrics.integrations.lmms_eval import FOLDER
from giqa_metrics.integrations.lmms_eval import task as tasks
from giqa_metrics.runs.score import TASKS, Options, score_run
from tests.paths import ROOT


pytestmark = pytest.mark.slow


PYTHON = Path(os.environ.get("GIQA_LMMS_PYTHON", ROOT / ".venv-lmms" / "bin" / "python")).absolute()
PAGE = (ROOT / "docs" / "lmms-eval.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
FROM_LOG = "--model from_log --model_args logs=answers"  # lmms-eval's own model of answers that are there already
THOUGHTS = (
    "<think>Yes or [no](<0, 21>)?</think>{}",
    "{}",
    "No. <think>Or yes?</think> {}",
    "{}",
    "{}",
    "{}",
    "{}<|im_end|>",
)
ENDINGS = ("_stderr", "_stderr_clt", "_stderr_clustered")


def needs_lmms_eval(test):
    """It takes seconds, and an environment that `make test` makes."""
    return pytest.mark.slow(pytest.mark.skipif(not PYTHON.exists(), reason=f"there is no {PYTHON}")(test))


def spoiled(number: int, text: str) -> str:
    """Answers as models give them: right, cut off, elsewhere, no answer, the other verdict, hostile."""
    other = {"Yes.": "No, it is not.", "No.": " \n\n yes\n"}
    return [
        text,
        text[: max(len(text) // 2, 2)],
        re.sub(r"<(\d+), (\d+)>", lambda box: f"<{int(box[1]) // 2}, {box[2]}>", text),
        other.get(text, text),
        "",
        "[elephant](<399, 0>) [the \x1b[31mcup](<0, 399>)</td><script>alert(1)</script> (<</s>](<1,",
        f"First line.\n\n{text}",
    ][number % 7]


def write_answers(folder: Path, answers: dict[str, list[str]]) -> None:
    """Write answers by task, in the order of its samples, as lmms-eval's model `from_log` reads them."""
    folder.mkdir(exist_ok=True)
    for task, texts in answers.items():
        log = {
            "args": {"model": "canned", "model_args": "", "limit": None},
            "model_configs": {"task": task},
            "logs": [{"doc_id": number, "resps": [[text]]} for number, text in enumerate(texts)],
        }
        (folder / f"{task}.json").write_text(json.dumps(log), encoding="utf-8")


@pytest.fixture(scope="module")
def canned(bench_rows) -> dict[str, str]:
    """An answer per sample, some of them after a thought, or before one."""
    return {
        row["id"]: THOUGHTS[number % len(THOUGHTS)].format(spoiled(number, row["answer"]))
        for number, row in enumerate(bench_rows)
    }


@pytest.fixture(scope="module")
def work(bench, bench_rows, canned, tmp_path_factory):
    """The page's blocks, run in order: their folder, the environment with a home of its own, and what they printed.

    In the folder's `my-bench` two photographs each are said to be one, and the answers are as Qwen3-VL writes them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("lmms") / "work"
    shutil.copytree(bench, folder / "my-bench")
    (shard,) = (folder / "my-bench" / "data").glob("*.parquet")
    table = pq.read_table(shard)
    rows = table.to_pylist()
    hashes = list(dict.fromkeys(row["image_sha256"] for row in rows))
    for row in rows:
        row["image_sha256"] = hashes[hashes.index(row["image_sha256"]) // 2]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    ids = {task: [row["id"] for row in bench_rows if row["task"] == task] for task in ("des", "vqa")}
    answers = {f"giqa_bench_mini_{task}": [canned[each] for each in ids[task]] for task in ids}
    write_answers(folder / "answers", answers)
    mine = {each: as_qwen(canned[each]) for each in ids["des"]}
    write_answers(folder / "answers", {"my_des": list(mine.values())})
    lines = [json.dumps({"id": each, "prediction": text}) + "\n" for each, text in mine.items()]
    (folder / "run-of-mine").mkdir()
    (folder / "run-of-mine" / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    path = os.pathsep.join([str(PYTHON.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "HF_HOME": str(folder.parent / "home")}
    env.pop("HF_DATASETS_CACHE", None)
    printed = []
    for language, text in BLOCKS:
        if language == "text":
            continue
        text = re.sub(r"--model \w+ --model_args \S+", FROM_LOG, text)
        command = ["bash", "-euc", text] if language == "sh" else ["python", "-c", text]
        ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert "Error during evaluation" not in ran.stdout, ran.stderr  # lmms-eval ends with 0 all the same
        printed.append(ran.stdout)
        shutil.rmtree(folder / "giqa-bench-mini", ignore_errors=True)  # from here on the installed one is loaded
    return folder, env, printed


def as_qwen(text: str) -> str:
    """Write an answer as Qwen3-VL does; one that it could not have written ends in half a box."""
    answer = parse(text)
    try:
        return box_format("qwen3_vl").write(answer.plain, answer.regions)
    except ValueError:
        return answer.plain + ' {"bbox_2d": [120, 40, 3'


class Loader(yaml.SafeLoader):
    """Reads lmms-eval's YAML, functions as their names."""


Loader.add_constructor("!function", lambda loader, node: node.value)


def read(name: str) -> dict:
    return yaml.load((FOLDER / name).read_text(encoding="utf-8"), Loader)


def declared() -> dict[str, str]:
    """The box formats by the models that have one of their own."""
    models = read("_default_template_yaml")["lmms_eval_specific_kwargs"]
    return {name: of_model["box_format"] for name, of_model in models.items() if name != "default"}


def results(folder: Path) -> dict:
    (file,) = folder.rglob("*_results.json")
    return json.loads(file.read_text(encoding="utf-8"))["results"]


def scores_of(result: dict) -> dict:
    """The scores alone, by name."""
    names = {key.removesuffix(",none"): value for key, value in result.items() if key.endswith(",none")}
    return {name: value for name, value in names.items() if not name.endswith(ENDINGS)}


@needs_lmms_eval
@pytest.mark.parametrize("task", ["des", "vqa"])
def test_the_numbers_are_those_of_giqa_score(work, task):
    folder, *_ = work
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))
    reported = scores_of(results(folder / "results")[f"giqa_bench_mini_{task}"])
    metrics = summary[task].keys() - {"baselines"}
    assert reported.keys() == {name for metric in metrics for name in tasks.REPORTED[metric]}
    for metric in metrics:
        for name in tasks.REPORTED[metric]:
            assert reported[name] == summary[task][metric][name], name
    assert 0.1 < reported["miou_strict"] < 0.9
    assert reported["n_malformed"] > 0


@needs_lmms_eval
def test_what_lmms_eval_strips_changes_nothing(work):
    folder, env, _ = work
    tags = '[["<think>", "</think>"], ["No.", "yes?"]]'
    command = ["lmms-eval", "eval", "--include_path", FOLDER, "--tasks", "giqa_bench_mini_vqa", *FROM_LOG.split()]
    command += ["--output_path", "stripped", "--reasoning_tags", tags]
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    stripped, whole = (results(folder / name)["giqa_bench_mini_vqa"] for name in ("stripped", "results"))
    assert scores_of(stripped) == scores_of(whole)


@needs_lmms_eval
def test_what_was_scored_are_the_canned_answers(work, canned):
    folder, *_ = work
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {line["id"]: line["prediction"] for line in map(json.loads, lines)}
    assert {identifier: text.strip() for identifier, text in answers.items()} == {
        identifier: text.strip() for identifier, text in canned.items()
    }


@needs_lmms_eval
def test_standard_errors_are_clustered_by_photograph(work):
    folder, *_ = work
    result = results(folder / "my-results")["my_des"]
    options = Options(box_format="qwen3_vl", resamples=0)
    summary = score_run(folder / "run-of-mine", str(folder / "my-bench"), config="des", options=options)
    for name, value in scores_of(result).items():
        metric = next(metric for metric, names in tasks.REPORTED.items() if name in names)
        assert value == summary["des"][metric][name], name
    rows = [json.loads(line) for line in (folder / "run-of-mine" / "scores.jsonl").read_text().splitlines()]
    for name in ("miou", "miou_strict", "tag_recall"):
        by_image: dict[str, list[float]] = {}
        for row in rows:
            by_image.setdefault(row["image"], []).append(row["giqa_grounding"][name])
        scores = np.concatenate(list(by_image.values()))
        sums = np.array([np.sum(np.array(each) - scores.mean()) for each in by_image.values()])
        squares = np.sum((scores - scores.mean()) ** 2)
        # Miller 2024 (arXiv 2411.00640), equation 4: the variance of the mean, and what samples of a cluster share
        expected = np.sqrt(squares / (len(scores) - 1) / len(scores) + (np.sum(sums**2) - squares) / len(scores) ** 2)
        assert result[f"{name}_stderr_clustered,none"] == pytest.approx(expected, abs=1e-12)
        assert result[f"{name}_stderr_clustered,none"] != pytest.approx(result[f"{name}_stderr_clt,none"], rel=1e-3)
    assert {result[f"{name}_stderr_clustered,none"] for name in ("precision", "f1", "bleu4", "n_malformed")} == {"N/A"}


@needs_lmms_eval
def test_the_page_shows_what_is_printed(work):
    *_, printed = work
    (shown,) = (text for language, text in BLOCKS if language == "text")
    assert shown.strip()
    assert set(shown.splitlines()) <= set(printed[0].splitlines())


LOADED = """
import json, sys
from lmms_eval.models import MODEL_REGISTRY_V2
from lmms_eval.tasks import TaskManager

folder, models, chosen = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
seen = {"unknown": [name for name in models if name not in MODEL_REGISTRY_V2.list_model_names()]}
for name in (*models, "llava_hf"):
    manager = TaskManager("ERROR", include_path=folder, include_defaults=False, model_name=name)
    try:
        (task,) = manager.load_task_or_group(["giqa_bench_mini_des"], "chat").values()
    except ValueError as error:
        seen[name] = str(error)
        continue
    row = task.test_docs()[0]
    values = task.process_results(task.test_docs_no_media()[0], [chosen])
    (message,) = task.doc_to_messages(row)
    image, text = message["content"]
    seen[name] = {
        "role": message["role"], "mode": image["url"].mode, "size": image["url"].size, "text": text["text"],
        "target": task.doc_to_target(row), "miou": task.aggregation()["miou"]([values["miou"]]),
        "signature": values["miou"]["signature"], "until": task.config.generation_kwargs["until"],
    }
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def loaded(work, bench_rows):
    """What lmms-eval makes of an installed set's task under each model's name, and of an answer of Qwen3-VL's."""
    folder, env, _ = work
    arguments = [FOLDER, json.dumps(list(declared())), json.dumps(as_qwen(bench_rows[0]["answer"]))]
    command = [PYTHON, "-c", LOADED, *arguments]
    ran = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


@needs_lmms_eval
def test_every_model_with_a_format_of_its_own_is_one_of_lmms_eval(loaded):
    assert loaded["unknown"] == []


@needs_lmms_eval
def test_a_models_boxes_are_read_as_declared(loaded, bench_rows):
    assert "|format:qwen3_vl|" in loaded["qwen3_vl"]["signature"]
    assert loaded["qwen3_vl"]["miou"] > 0.9
    assert "|format:giqa|" in loaded["llava_hf"]["signature"]
    assert loaded["llava_hf"]["miou"] == 0  # its boxes are another family's


@needs_lmms_eval
def test_formats_that_lmms_eval_does_not_carry_are_refused(loaded):
    refused = {name: spoken for name, spoken in declared().items() if spoken in tasks.UNFIT}
    assert set(refused.values()) >= {"internvl", "qwen2_vl", "qwen2_5_vl"}
    for name, spoken in refused.items():
        assert loaded[name].startswith(
            f"box format {spoken!r} cannot be scored within lmms-eval: it {tasks.UNFIT[spoken]}; "
        )


@needs_lmms_eval
def test_a_model_is_shown_the_photograph_and_the_prompt(loaded, bench_rows):
    row, seen = bench_rows[0], loaded["llava_hf"]
    assert (seen["role"], seen["mode"], seen["size"]) == ("user", "RGB", [row["width"], row["height"]])
    assert (seen["text"], seen["target"]) == (row["prompt"][0]["content"], row["answer"])
    assert seen["until"] == []


def test_the_module_prints_the_folder_of_the_tasks(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "giqa_metrics.integrations.lmms_eval"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout == f"{FOLDER}\n"


@pytest.fixture
def samples(bench):
    """The samples of the task des, as lmms-eval hands them on."""
    return tasks.descriptions(load_dataset(str(bench), split="test"))


def test_each_task_takes_its_own_samples(bench, bench_rows):
    rows = load_dataset(str(bench), split="test")
    for task, of_task in (("des", tasks.descriptions(rows)), ("vqa", tasks.questions(rows))):
        assert of_task["id"][:] == [row["id"] for row in bench_rows if row["task"] == task]


def test_two_tasks_of_one_data_set_keep_their_own_formats(bench):
    rows = load_dataset(str(bench), split="test")
    mine, other = tasks.descriptions(rows)[0], tasks.descriptions(rows)[0]
    tasks.doc_to_text(mine, {"box_format": "qwen3_vl"})
    tasks.doc_to_text(other, {"box_format": "giqa"})
    answer = as_qwen(mine["answer"])
    assert tasks.process_results(mine, [answer])["miou"]["score"] > 0.9
    assert tasks.process_results(other, [answer])["miou"]["score"] == 0.0


def test_a_format_that_counts_in_a_padded_square_gets_the_photographs_size(samples):
    row = next(row for row in samples if row["width"] != row["height"])
    tasks.doc_to_text(row, {"box_format": "shikra"})
    reference = parse(row["answer"])
    answer = box_format("shikra").write(reference.plain, reference.regions, Sizes(image=(row["width"], row["height"])))
    assert tasks.process_results(row, [answer])["miou"]["score"] > 0.9


def test_a_score_that_does_not_exist_is_none(samples):
    row = samples[0]
    tasks.doc_to_text(row, {"box_format": "giqa"})
    value = tasks.process_results(row, ["Sharp."])["miou"]
    assert (value["score"], tasks.pooled([value])) == (0.0, None)


def test_an_open_answer_adds_nothing_to_the_accuracy(bench):
    rows = tasks.questions(load_dataset(str(bench), split="test"))
    tasks.doc_to_text(rows[0], {"box_format": "giqa"})
    (opened, *_) = (row for row in rows if row["question_type"] == "what")
    value = tasks.process_results(opened, [opened["answer"]])["accuracy_yes_no"]
    assert "score" not in value
    assert tasks.pooled([value]) is None


def test_an_unknown_format_is_refused_before_the_first_answer(samples):
    with pytest.raises(ValueError, match=r"expected a box format out of .*, got 'kosmos'"):
        tasks.doc_to_text(samples[0], {"box_format": "kosmos"})


def test_a_missing_encoder_is_told_before_the_first_answer(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("GIQA_MINILM", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match="nowhere"):
        tasks.doc_to_text(samples[0], {"box_format": "giqa"})


def test_a_sample_without_pixels_is_refused():
    with pytest.raises(ValueError, match="image 'a' came without its pixels"):
        tasks.doc_to_visual({"id": "a", "image": None})


def test_a_prompt_of_several_turns_is_refused(samples):
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    with pytest.raises(
        ValueError, match=r"'astronaut-des': expected a prompt of one turn of the user's, got turns of"
    ):
        tasks.doc_to_text({**samples[0], "prompt": turns}, {"box_format": "giqa"})


def test_the_page_names_every_model_with_a_format_of_its_own():
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name: spoken.strip("`") for models, spoken in rows for name in re.findall("`(\\w+)`", models)}
    assert declared().items() <= named.items()


@pytest.mark.parametrize("task", ["des", "vqa"])
def test_the_yaml_lists_what_is_reported(task):
    listed = read(f"giqa_bench_{task}.yaml")["metric_list"]
    assert [metric["metric"] for metric in listed] == [
        name for metric in TASKS[task] for name in tasks.REPORTED[metric]
    ]
