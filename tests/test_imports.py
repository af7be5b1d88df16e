"""The vocabulary costs numpy and the standard library."""

import json
import subprocess
import sys

import pytest

from tests.paths import ROOT


VOCABULARY = ("text", "boxes", "grid", "records", "formats")
WHAT_COMES = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("name", VOCABULARY)
def test_the_vocabulary_imports_numpy_and_the_standard_library_alone(name):
    script = WHAT_COMES.format(module=f"giqa_datasets.{name}")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    packages = {module.split(".")[0] for module in json.loads(done.stdout)}
    assert "giqa_datasets" in packages
    assert packages - sys.stdlib_module_names - {"numpy", "giqa_datasets"} == set()


def test_text_brings_its_own_vocabulary_and_no_other_file():
    script = WHAT_COMES.format(module="giqa_datasets.text")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {module for module in json.loads(done.stdout) if module.startswith("giqa_")}
    modules = ("boxes", "errors", "grid", "lazy", "regions", "text", "word_borders")
    assert ours == {"giqa_datasets", *(f"giqa_datasets.{module}" for module in modules)}
