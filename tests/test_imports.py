"""Who may import whom, how much the vocabulary costs, and what the packages offer."""

import ast
import importlib
import json
import subprocess
import sys

import pytest

from tests.paths import ROOT


PACKAGES = ("giqa_datasets", "giqa_metrics")
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
    modules = ("boxes", "errors", "grid", "lazy", "text")
    assert ours == {"giqa_datasets", *(f"giqa_datasets.{module}" for module in modules)}


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_and_complete(package):
    module = importlib.import_module(package)
    offered: set[str] = set()
    body = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")).body
    lazy = [node for block in body if isinstance(block, ast.If) for node in block.body]
    for node in [*body, *lazy]:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("giqa_"):
            offered |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            offered.add(node.name)
        elif isinstance(node, ast.Assign):
            offered |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    offered = {name for name in offered - {"lazy_names"} if not name.startswith("_") or name == "__version__"}
    assert module.__all__ == sorted(module.__all__)
    assert set(module.__all__) == offered
    assert all(hasattr(module, name) for name in module.__all__)
