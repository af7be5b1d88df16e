"""How often `read_yes_no` finds a verdict in a text that holds none; README.md says what is measured.

The texts are the descriptions of the mini set, and paragraphs of prose out of the documentation of installed packages:
nobody asked a closed question there.
"""

import ast
import re
import sysconfig
from collections import Counter
from pathlib import Path

from giqa_datasets.sources import mini
from giqa_metrics.yes_no import read_yes_no


PACKAGES = ("numpy", "scipy", "skimage", "sklearn", "PIL", "torch", "transformers", "datasets")
WORDS = 8  # of the shortest paragraph
_ANY = re.compile(r"\b(?:[Yy][Ee][Ss]|[Nn][Oo])\b")


def main() -> None:
    """Print how many texts are read as Yes, as No and as neither, by source."""
    print(f"{'texts without a verdict':26}{'texts':>9}{'word in it':>12}{'Yes':>7}{'No':>7}{'of those':>10}")
    total: Counter[str] = Counter()
    for name, texts in [("giqa-mini descriptions", descriptions()), *((name, prose(name)) for name in PACKAGES)]:
        counts = Counter(str(read_yes_no(text)) for text in texts)
        counts["word"] = sum(_ANY.search(text) is not None for text in texts)
        counts["texts"] = len(texts)
        _print(name, counts)
        total += counts
    _print("all", total)


def descriptions() -> list[str]:
    """Descriptions of photographs, by hand."""
    return [entry.description for entry in (*mini.entries("train"), *mini.entries("test"))]


def prose(package: str) -> list[str]:
    """Distinct paragraphs of a package's docstrings that are prose: words, sentences, no code."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("purelib"), package).rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    if len(text.split()) >= WORDS and text[0].isupper() and text[-1] in ".!" and ">>>" not in text:
                        found[text] = None
    return list(found)


def _print(name: str, counts: Counter[str]) -> None:
    errors = counts["yes"] + counts["no"]
    share = errors / max(1, counts["word"])
    row = f"{counts['texts']:9,}{counts['word']:12,}{counts['yes']:7}{counts['no']:7}{share:10.3%}"
    print(f"{name:26}{row}")


if __name__ == "__main__":
    main()
