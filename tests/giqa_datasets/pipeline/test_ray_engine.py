"""What the pipeline makes on Ray, beside what it makes in one process. One Ray of two workers serves all tests."""

import logging
import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from giqa_datasets.entries import ImageSet, read_photograph
from giqa_datasets.image_stores import Folder
from giqa_datasets.pipeline import annotation_run
from giqa_datasets.pipeline.annotation_folder import DROPS, FUNNEL, RECORDS, SETTINGS
from giqa_datasets.pipeline.model_choice import PRESETS, Choice
from giqa_datasets.pipeline.ray_engine import Pool, on_ray, pools_of
from giqa_datasets.sources import mini


pytestmark = pytest.mark.slow


PAPER = PRESETS["paper"]
SERVED = replace(PAPER, llm_url="http://127.0.0.1:8000/v1")


@pytest.fixture(scope="module")
def two_workers():
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(annotation_run, "WINDOW", 8)


@pytest.fixture
def marker(tmp_path):
    """While this file is missing, a photograph kills the worker that reads it."""
    path = tmp_path / "survived"
    path.touch()
    return path


@pytest.fixture
def entries(tmp_path, marker):
    """The train photographs, one that is missing and one that kills its reader once."""
    listed = mini.entries("train")
    gone = partial(read_photograph, Folder(tmp_path), "gone.png", ImageSet("test", "mit"))
    read = listed[12].photograph

    def fatal():  # a local function, so that it travels by value: a worker does not know this file
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return read()

    listed[3] = replace(listed[3], photograph=gone)
    listed[12] = replace(listed[12], photograph=fatal)
    return listed


@pytest.fixture
def expected(entries, tmp_path):
    """What one process makes of the entries."""
    annotation_run.annotate_into(tmp_path / "local", entries, Choice())
    return contents(tmp_path / "local")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (RECORDS, DROPS, FUNNEL, SETTINGS)}


def test_ray_goes_on_where_one_process_was_killed_though_a_worker_dies(
    two_workers, entries, expected, marker, tmp_path, capfd
):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(tmp_path / "local" / SETTINGS, begun)
    begin, half, *_ = expected[RECORDS].splitlines(keepends=True)
    (begun / RECORDS).write_bytes(begin + half[:-7])
    marker.unlink()
    outcome = annotation_run.annotate_into(begun, entries, Choice(), engine=on_ray)
    assert contents(begun) == expected
    assert marker.exists()
    assert [drop.reason for drop in outcome.drops if drop.stage == "source"] == ["missing_image"]
    assert capfd.readouterr().out == ""


def test_a_model_that_cannot_be_had_is_named_in_one_sentence(two_workers, entries):
    with pytest.raises(
        OSError, match=r"^detector '/nowhere' is no folder here, is not installed, and cannot be f\w+: "
    ):
        list(on_ray([entries[:1]], Choice(detector="/nowhere")))


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "giqa\[scale\]"'):
        next(on_ray([[]], Choice()))


@pytest.mark.parametrize(
    ("choice", "resources", "pools"),
    [
        pytest.param(Choice(), {"CPU": 1}, [(1, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 0)], id="one CPU"),
        pytest.param(Choice(), {"CPU": 9}, [(4, 0, 0), (4, 0, 0), (4, 1, 0), (4, 0, 0)], id="half of the CPUs look"),
        pytest.param(Choice(), {"CPU": 999}, [(50, 0, 0), (50, 0, 0), (50, 1, 0), (50, 0, 0)], id="windows run out"),
        pytest.param(SERVED, {"CPU": 64, "GPU": 8}, [(8, 0, 0), (8, 0, 0), (8, 0, 1), (8, 0, 0)], id="a served LLM"),
        pytest.param(PAPER, {"CPU": 64, "GPU": 8}, [(2, 0, 0), (2, 0, 1), (2, 0, 1), (2, 0, 1)], id="an LLM here"),
        pytest.param(
            PAPER, {"CPU": 8, "GPU": 2}, [(1, 0, 0), (1, 0, 1 / 3), (1, 0, 1 / 3), (1, 0, 1 / 3)], id="a shared GPU"
        ),
    ],
)
def test_pools_fit_the_cluster(choice, resources, pools):
    assert pools_of(choice, resources, 50) == [Pool(*pool) for pool in pools]
