"""One name, one thing: whoever reads `Region` anywhere in the packages reads of the same class."""

import ast
from collections import Counter
from pathlib import Path

import giqa_datasets
import giqa_metrics


def test_no_public_class_name_has_two_meanings():
    files = [path for package in (giqa_datasets, giqa_metrics) for path in Path(package.__file__).parent.rglob("*.py")]
    nodes = [node for path in files for node in ast.parse(path.read_text(encoding="utf-8")).body]
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []
