"""The command itself: its verbs, its speed, its exit codes."""

import re
import sys

import pytest

from giqa_datasets import __version__
from tests.paths import ROOT


HEAVY = {
    "PIL",
    "cv2",
    "datasets",
    "evaluate",
    "httpx",
    "huggingface_hub",
    "jinja2",
    "matplotlib",
    "numpy",
    "openai",
    "pandas",
    "pyarrow",
    "pydantic",
    "rapidfuzz",
    "sacrebleu",
    "scipy",
    "skimage",
    "sklearn",
    "spacy",
    "torch",
    "tqdm",
    "transformers",
    "trl",
}
VERBS = ("build", "check", "compare", "demo", "install", "predict", "score")


@pytest.fixture(scope="module")
def help_page(python, tmp_path_factory):
    return python("-X", "importtime", "-m", "giqa_metrics.cli", "--help", cwd=tmp_path_factory.mktemp("elsewhere"))


def test_help_lists_the_verbs(help_page):
    assert help_page.code == 0
    for verb in VERBS:
        assert re.search(rf"^\W*{verb}\s+\w", help_page.out, re.MULTILINE), verb


def test_help_imports_nothing_heavy(help_page):
    imported = {
        line.rsplit("|", 1)[1].strip() for line in help_page.err.splitlines() if line.startswith("import time:")
    }
    assert "giqa_metrics.cli" in imported or "giqa_metrics.cli.annotate" in imported
    assert {name.split(".")[0] for name in imported} & HEAVY == set()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_on_stdout(giqa, verb):
    ran = giqa(verb, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "Usage" in ran.out


def test_the_version_is_the_packages(giqa):
    assert giqa("--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sing",),
        ("score", "--nonsense"),
        ("score",),
        ("score", "run", "--preset", "mine"),
        ("score", "run", "--repeats", "0"),
        ("score", "run", "--resamples", "-1"),
        ("check",),
        ("check", "run", "run"),
        ("check", "run", "--format", "xml"),
        ("compare", "run"),
        ("compare", "a", "b", "--resamples", "0"),
        ("predict", "--model", "x"),
    ],
    ids=" ".join,
)
def test_bad_usage_exits_2_and_leaves_stdout_alone(giqa, arguments):
    ran = giqa(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_no_argument_shows_the_verbs(giqa):
    ran = giqa()
    assert all(verb in ran.out + ran.err for verb in VERBS)


def test_the_script_of_the_distribution_is_this_command():
    import tomllib

    from giqa_metrics import cli

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = project["scripts"]["giqa"].split(":")
    assert getattr(sys.modules[module], function) is cli.main


def test_only_the_command_prints():
    from pathlib import Path

    root = Path(__file__).parents[3]
    prints = re.compile(r"^\s*(from|import) (rich|tqdm|typer)\b|\.std(out|err)\.write\(", re.MULTILINE)
    files = [path for package in ("giqa_datasets", "giqa_metrics") for path in (root / package).rglob("*.py")]
    found = {path.relative_to(root).as_posix() for path in files if prints.search(path.read_text(encoding="utf-8"))}
    elsewhere = {name for name in found if not name.startswith("giqa_metrics/cli/")}
    assert elsewhere == {"giqa_metrics/integrations/lmms_eval/__main__.py"}  # a command of its own
