"""What the command says when something goes wrong, and whose fault it calls it."""

import errno
import importlib
import shutil
import sys

import numpy as np
import pytest

from giqa_metrics.similarity import encoder


# Before anything is broken: what is imported while it is would keep it
for name in (
    "giqa_datasets.builders.build",
    "giqa_metrics.inspection.verdicts",
    "giqa_metrics.publish.results",
    "giqa_metrics.runs.check",
    "giqa_metrics.runs.compare",
    "giqa_metrics.runs.predict",
):
    importlib.import_module(name)


def broken_addition(*_, **__):
    return np.zeros(2) + np.zeros(3)


def broken_call(*_, **__):
    raise TypeError("an integer is required")


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "somewhere")


def unexplained(*_, **__):
    raise OSError("something went wrong")


VERBS = {  # what is broken in each, and a command that comes to it
    "annotate": ("giqa_datasets.builders.sets.entries_of", ["giqa-mini"]),
    "app": ("giqa_metrics.models.box_format_file.format_of", ["--model", "x"]),
    "build": ("giqa_datasets.builders.build.build_set", ["giqa-mini"]),
    "check": ("giqa_metrics.runs.check.check_run", ["."]),
    "compare": ("giqa_metrics.runs.compare.compare_runs", ["a", "b"]),
    "demo": ("giqa_metrics.cli.demo._require_packages", []),
    "doctor": ("giqa_metrics.models.open_predictor", ["x"]),
    "export": ("giqa_datasets.exports.export", [".", "--to", "coco"]),
    "inspect": ("giqa_metrics.inspection.policy.read_policy", ["--model", "x", "photo.png"]),
    "install": ("giqa_metrics.install.install", ["."]),
    "predict": ("giqa_metrics.runs.predict.predict", ["--model", "x", "--data", "y", "--out", "z"]),
    "publish": ("giqa_datasets.publish.remote.wait_at_most", [".", "org/set"]),
    "review": ("giqa_datasets.review.items.open_review", ["."]),
    "score": ("giqa_metrics.runs.score.score_run", ["run"]),
}


def test_every_verb_is_here():
    from typer.main import get_group

    from giqa_metrics.cli import commands

    assert set(get_group(commands).commands) == set(VERBS)


@pytest.mark.parametrize(("fault", "kind"), [(broken_call, "TypeError"), (broken_addition, "ValueError")])
@pytest.mark.parametrize("verb", VERBS)
def test_a_fault_of_ours_shows_its_traceback_and_where_to_report_it(giqa, monkeypatch, tmp_path, verb, fault, kind):
    monkeypatch.chdir(tmp_path)
    target, arguments = VERBS[verb]
    monkeypatch.setattr(target, fault)
    ran = giqa(verb, *arguments)
    assert (ran.code, ran.out) == (70, "")
    *_, said, last = ran.err.splitlines()
    assert ran.err.startswith("Traceback (most recent call last):")
    assert f", in {fault.__name__}" in ran.err
    assert said.startswith(f"{kind}: ")
    assert last == "giqa: this is a fault of giqa itself: report it, with this traceback, to the developers of giqa"


def test_what_the_operating_system_refuses_is_one_sentence(giqa, monkeypatch, tmp_path):
    monkeypatch.setattr("giqa_metrics.install.install", full_disk)
    said = "giqa: [Errno 28] No space left on device: 'somewhere'\n"
    assert giqa("install", tmp_path) == (2, "", said)
    monkeypatch.setattr("giqa_metrics.install.install", unexplained)
    assert giqa("install", tmp_path).code == 70


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["score", "predict", "install", "build"])
def test_a_home_of_the_caches_that_cannot_be_written_is_one_sentence(
    giqa, make_run, bench, monkeypatch, tmp_path, verb
):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file" / "datasets")
    (tmp_path / "file").touch()
    options = {
        "score": [make_run(), "--data", bench],
        "predict": ["--model", "m", "--data", bench, "--out", tmp_path / "out"],
        "install": [bench],
        "build": ["org/set", "--images", tmp_path, "--out", tmp_path / "set"],
    }
    ran = giqa(verb, *options[verb])
    assert (ran.code, ran.out) == (2, "")
    place = tmp_path / "file" / "datasets"
    said = (
        f"giqa: expected a cache of data sets that can be written in {place}, got 'Not a directory': HF_HOME in the "
    )
    assert ran.err.splitlines()[-1].startswith(said)


@pytest.mark.parametrize("variable", [None, "1"])
def test_a_traceback_that_is_asked_for_stands_before_the_sentence(giqa, monkeypatch, variable):
    sentence = "expected a data set folder with data/*.parquet at /nowhere, found none"
    monkeypatch.setenv("GIQA_TRACEBACK", variable or "0")  # and it is put back, whatever the option sets
    ran = giqa(*([] if variable else ["--traceback"]), "install", "/nowhere")
    assert ran.code == 2
    assert ran.err.startswith("Traceback (most recent call last):")
    assert ran.err.endswith(f"MissingFileError: {sentence}\ngiqa: {sentence}\n")


SERVER = ["--server", "http://127.0.0.1:9/v1"]
LACKING = [  # what is not installed, a command without its folders, and the extra that it asks for
    ("demo", ["demo"], "trl"),
    ("demo", ["annotate", "giqa-mini", "--limit", 1], "skimage"),
    ("annotate", ["annotate", "giqa-mini", "--limit", 1], "spacy"),
    ("server", ["annotate", "giqa-mini", "--limit", 1, "--llm", "x", "--llm-url", SERVER[1]], "openai"),
    ("local", ["annotate", "giqa-mini", "--limit", 1, "--llm", "x"], "transformers"),
    ("annotate", ["annotate", "giqa-mini", "--limit", 1, "--detector", "x"], "torch"),
    ("annotate", ["annotate", "giqa-mini", "--limit", 1, "--verifier", "x"], "torch"),
    ("scale", ["annotate", "giqa-mini", "--limit", 1, "--engine", "ray"], "ray"),
    ("annotate", ["build", "giqa-mini", "--limit", 1], "spacy"),
    ("train", ["check", "recipe.yaml"], "trl"),
    ("local", ["predict", "--model", "x", "--data", "BENCH", "--out", "out"], "torch"),
    ("server", ["predict", "--model", "x", "--data", "BENCH", "--out", "out", *SERVER], "openai"),
    ("local", ["score", "RUN", "--data", "BENCH", "--similarity", "minilm"], "transformers"),
    ("server", ["score", "RUN", "--data", "BENCH", "--similarity", "exact", "--judge-url", SERVER[1]], "openai"),
    ("local", ["score", "RUN", "--data", "BENCH", "--similarity", "exact", "--judge", "x"], "torch"),
    ("review", ["review", "BENCH"], "uvicorn"),
    ("review", ["review", "BENCH"], "starlette"),
    ("local", ["doctor", "x"], "torch"),
    ("server", ["doctor", "x", *SERVER], "openai"),
    ("local", ["inspect", "--model", "x", "photo.png"], "transformers"),
    ("server", ["inspect", "--model", "x", "photo.png", *SERVER], "openai"),
    ("app", ["app", "--model", "x"], "gradio"),
    ("server", ["app", "--model", "x", *SERVER], "openai"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "command", "package"), LACKING, ids=lambda value: str(value)[:40])
def test_a_missing_package_is_one_sentence_that_ends_with_what_to_install(
    giqa, bench, make_run, monkeypatch, tmp_path, extra, command, package
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").touch()
    (tmp_path / "recipe.yaml").touch()
    folders = {
        "BENCH": lambda: shutil.copytree(bench, tmp_path / "bench"),
        "RUN": make_run,
    }
    arguments = [folders[part]() if part in folders else part for part in command]
    encoder.cache_clear()  # a model that another test loaded needs no package any more
    if package in ("torch", "transformers"):  # which datasets imports too, where it once saw them
        monkeypatch.setattr("giqa_datasets.extras.is_installed", lambda name: name != package)
    else:
        monkeypatch.setitem(sys.modules, package, None)
    ran = giqa(*arguments)
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert ran.err.splitlines()[-1].endswith(f': pip install "giqa[{extra}]"')
