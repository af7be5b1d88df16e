"""What the two packages offer at their top level, which other people's code relies on."""

import ast
import importlib
import json
import re
import subprocess
import sys

import pytest

from tests.paths import DOCS, ROOT


EXPORTED = {
    "giqa_datasets": {
        "FORMATS",
        "GiqaError",
        "GroundedReply",
        "GroundedText",
        "Malformed",
        "Region",
        "Sizes",
        "__version__",
        "box_format",
        "parse",
        "read",
        "render",
        "strip",
    },
    "giqa_metrics": {
        "METRICS",
        "Policy",
        "giqa_defects",
        "giqa_description",
        "giqa_grounding",
        "giqa_vqa",
        "inspect_photographs",
        "load",
        "open_judge",
        "score",
    },
}
# What the pages take from further inside: models and photographs that come with the demo, the paper's table, and the
# rewards, which a recipe names by this path
INSIDE = {
    "giqa_datasets.package_files",
    "giqa_datasets.pipeline.backends.classic_verifier",
    "giqa_datasets.pipeline.backends.coco_detector",
    "giqa_datasets.sources",
    "giqa_metrics.cli.demo",
    "giqa_metrics.rewards",
    "giqa_metrics.runs.paper",
}
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("*.ipynb")),
    ROOT / "README.md",
    *sorted(ROOT.glob("cards/*/*.md")),
]


@pytest.mark.parametrize("package", EXPORTED)
def test_what_a_package_offers_is_this_and_sorted(package):
    module = importlib.import_module(package)
    assert set(module.__all__) == EXPORTED[package]
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None, name


@pytest.mark.parametrize("package", EXPORTED)
def test_a_type_checker_sees_the_same_names(package):
    body = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")).body
    lazy = [node for block in body if isinstance(block, ast.If) for node in block.body]
    imported = {
        alias.asname or alias.name
        for node in lazy
        if isinstance(node, ast.ImportFrom) and node.module.startswith("giqa_")
        for alias in node.names
    }
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    targets = (target for node in body if isinstance(node, ast.Assign) for target in node.targets)
    constants = {target.id for target in targets if isinstance(target, ast.Name)}
    assert imported | defined | constants - {"__all__"} == EXPORTED[package]


def test_a_name_that_is_not_there_is_an_attribute_error():
    import giqa_metrics

    with pytest.raises(AttributeError, match="module 'giqa_metrics' has no attribute 'nothing'"):
        _ = giqa_metrics.nothing  # type: ignore[attr-defined]


def test_the_packages_themselves_import_no_library():
    script = "import json, sys, giqa_datasets, giqa_metrics; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {module.split(".")[0] for module in json.loads(done.stdout)}
    assert loaded - sys.stdlib_module_names == {"__main__", *EXPORTED}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pages_import_from_the_top_level(path):
    modules = re.findall(r"(?:from|import) (giqa_(?:datasets|metrics)[\w.]*)", path.read_text(encoding="utf-8"))
    assert set(modules) <= {*EXPORTED, *INSIDE}
