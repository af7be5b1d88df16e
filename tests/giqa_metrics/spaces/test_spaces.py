"""Every folder of giqa_metrics/spaces is what evaluate loads: the conventions, the card, and the same numbers."""

import ast
import doctest
import importlib
import inspect
from pathlib import Path

import pytest
import yaml

import giqa_metrics
from giqa_metrics import METRICS, load


SPACES = Path(giqa_metrics.__file__).parent / "spaces"
FOLDERS = sorted(path for path in SPACES.iterdir() if path.is_dir() and path.name != "__pycache__")
CARDS = SPACES.parents[1] / "cards" / "metrics"
TEXTS = {
    "predictions": ["[dog](<142, 309>) and a [cat](<0, 63>, <1, 64>) here now", "yes", None, "[dog](<3"],
    "references": ["[dog](<141, 309>) and a [cat](<0, 63>) here now", "Yes.", "[dog](<0, 42>)", "Yes."],
}
MORE = {"questions": ["Why?", "Is it?", "What?", "Is it?"], "question_types": ["why", "yes_no", "what", "yes_no"]}
every_space = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def function_of(folder: Path):
    return getattr(giqa_metrics, folder.name)


def inputs_of(folder: Path) -> dict:
    return TEXTS | MORE if folder.name == "giqa_vqa" else TEXTS


def front_matter(folder: Path) -> tuple[dict, str]:
    _, head, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_folders_are_the_metrics():
    assert {folder.name for folder in FOLDERS} == set(METRICS)


@every_space
def test_a_space_has_its_files(folder):
    files = {path.name for path in folder.iterdir()}
    assert files >= {f"{folder.name}.py", "README.md", "app.py", "requirements.txt", "__init__.py"}
    encoder = ["torch", "transformers"] if folder.name == "giqa_grounding" else []
    assert (folder / "requirements.txt").read_text(encoding="utf-8").split() == ["giqa", *encoder]


@every_space
def test_it_loads_by_its_absolute_folder_and_bears_its_name(folder):
    import evaluate

    module = evaluate.load(str(folder))
    assert module.name == folder.name
    assert type(module).__name__ == "".join(part.capitalize() for part in folder.name.split("_"))


@every_space
def test_it_loads_by_its_bare_name_from_beside_it(folder, monkeypatch):
    import evaluate

    monkeypatch.chdir(SPACES)
    assert evaluate.load(folder.name).name == folder.name


@every_space
def test_the_script_keeps_to_what_evaluates_scanner_understands(folder):
    text = (folder / f"{folder.name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(node.lineno == node.end_lineno for node in imports)
    assert "import evaluate" in text.splitlines()
    assert not any(isinstance(node, ast.ImportFrom) and (node.level or node.module == "evaluate") for node in imports)
    lines = [text.splitlines()[node.lineno - 1] for node in imports if isinstance(node, ast.ImportFrom)]
    assert all(line.endswith("# From: giqa") for line in lines)


@every_space
def test_it_takes_the_options_of_the_function_with_the_same_defaults(folder):
    module = importlib.import_module(f"giqa_metrics.spaces.{folder.name}.{folder.name}")
    (metric,) = (value for value in vars(module).values() if inspect.isclass(value))
    takes = dict(inspect.signature(metric._compute).parameters)  # type: ignore[attr-defined]
    takes.pop("self")
    others = takes.popitem()[1]
    assert others.kind is inspect.Parameter.VAR_KEYWORD
    function = inspect.signature(function_of(folder)).parameters
    assert {name: value.default for name, value in takes.items()} == {
        name: value.default for name, value in function.items()
    }


@every_space
def test_compute_ignores_what_combine_passes(folder):
    module = load(folder.name)
    alone = module.compute(**inputs_of(folder))
    others = {"tokenize": "coco", "similarity": "minilm", "unheard_of": 3} | ({} if "vqa" in folder.name else MORE)
    assert module.compute(**inputs_of(folder), **others) == alone


@every_space
def test_the_module_gives_the_functions_numbers(folder):
    assert load(folder.name).compute(**inputs_of(folder)) == function_of(folder)(**inputs_of(folder))


@every_space
def test_no_answer_may_come_first(folder):
    texts = {name: values[2:] + values[:2] for name, values in inputs_of(folder).items()}
    assert load(folder.name).compute(**texts) == function_of(folder)(**texts)


@every_space
def test_batches_that_are_added_give_the_same_numbers(folder):
    module, inputs = load(folder.name), inputs_of(folder)
    for part in (slice(0, 3), slice(3, 4)):
        module.add_batch(**{name: values[part] for name, values in inputs.items()})
    assert module.compute() == function_of(folder)(**inputs)


OPTIONS = {
    "giqa_grounding": [
        {"preset": "glamm", "similarity": "exact"},
        {"box_format": "giqa_decimal", "iou_threshold": 0.3, "similarity_threshold": 0.2, "similarity": "lexical"},
        {"box_format": "qwen2_5_vl", "input_sizes": [(560, 280)] * 4, "similarity": "exact"},
        {"box_format": "shikra", "image_sizes": [(400, 200)] * 4, "similarity": "exact", "per_sample": True},
    ],
    "giqa_description": [{"tokenize": "13a", "box_format": "kosmos2"}, {"per_sample": True}],
    "giqa_vqa": [{"box_format": "internvl"}, {"per_sample": True}],
    "giqa_defects": [
        {"box_format": "qwen2_vl", "preset": "vida", "images": ["a", "b", "a", "b"], "iou_threshold": 0.6},
        {"box_format": "shikra", "image_sizes": [(400, 200)] * 4, "per_sample": True},
        {"box_format": "qwen2_5_vl", "input_sizes": [(560, 280)] * 4},
        {"candidates": [None, ["Yes", "No"], None, None], "concerns": ["", "type", "", ""]},
        {"objects": [{"bbox": [[0, 0, 9, 9]], "category": ["noise"]}] * 4, "image_sizes": [(10, 10)] * 4},
    ],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(name, one, id=f"{name} {' '.join(one)}") for name in OPTIONS for one in OPTIONS[name]],
)
def test_every_option_passes_through_evaluate(name, options):
    inputs = inputs_of(SPACES / name)
    assert load(name).compute(**inputs, **options) == getattr(giqa_metrics, name)(**inputs, **options)


@pytest.mark.parametrize("name", ["giqa_description", "giqa_vqa"])
def test_a_judge_passes_through_evaluate(name, fake_judge):
    inputs = inputs_of(SPACES / name)
    scores = [1, 2, None] if name == "giqa_description" else [1]  # an empty answer is 0 unasked
    judge, other = fake_judge(scores), fake_judge(scores)
    through = load(name).compute(**inputs, judge=judge, per_sample=True)
    assert through == getattr(giqa_metrics, name)(**inputs, judge=other, per_sample=True)
    assert judge.asked == other.asked
    assert "|judge:fake|" in through["signature"]


def test_exact_references_pass_through_evaluate():
    from giqa_datasets import parse

    exact = [list(parse(text or "").regions) for text in TEXTS["references"]]  # type: ignore[attr-defined]
    options = {"similarity": "lexical", "exact_references": exact, "per_sample": True}
    assert load("giqa_grounding").compute(**TEXTS, **options) == giqa_metrics.giqa_grounding(**TEXTS, **options)


def test_they_combine():
    import evaluate

    combined = evaluate.combine([load(name) for name in METRICS])
    scores = combined.compute(**TEXTS, **MORE, similarity="lexical")
    assert scores["miou"] == giqa_metrics.giqa_grounding(**TEXTS, similarity="lexical")["miou"]
    assert scores["bleu4"] == giqa_metrics.giqa_description(**TEXTS)["bleu4"]
    assert scores["accuracy_yes_no"] == giqa_metrics.giqa_vqa(**TEXTS, **MORE)["accuracy_yes_no"]
    signatures = {value.split("|")[0] for key, value in scores.items() if key.endswith("signature")}
    assert signatures == set(METRICS)


def test_they_combine_sample_by_sample():
    import evaluate

    combined = evaluate.combine([load(name) for name in METRICS])
    scores = combined.compute(**TEXTS, **MORE, similarity="lexical", box_format="giqa", per_sample=True)
    boxes = giqa_metrics.giqa_grounding(**TEXTS, similarity="lexical", per_sample=True)
    assert scores["giqa_grounding_per_sample"] == boxes["per_sample"]
    for name in ("giqa_description", "giqa_vqa"):
        alone = getattr(giqa_metrics, name)(**inputs_of(SPACES / name), per_sample=True)
        assert scores[f"{name}_per_sample"] == alone["per_sample"]


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="'giqa_clip'"):
        load("giqa_clip")


@every_space
def test_the_front_matter_says_what_it_is(folder):
    head, body = front_matter(folder)
    assert head["title"] == folder.name
    assert head["sdk"] in ("static", "gradio")
    assert {"evaluate", "metric"} <= set(head["tags"])
    assert body.strip().startswith(f"# {folder.name}\n")


@every_space
def test_the_card_is_the_same_text(folder):
    assert (CARDS / f"{folder.name}.md").read_bytes() == (folder / "README.md").read_bytes()
    assert {path.stem for path in CARDS.glob("*.md")} == set(METRICS)


@every_space
def test_the_card_names_every_option_and_every_result(folder):
    _, body = front_matter(folder)
    results = function_of(folder)(**inputs_of(folder))
    for name in [*inspect.signature(function_of(folder)).parameters, *results]:
        assert f"`{name}`" in body or f'`{name}="' in body, name


@every_space
def test_the_examples_of_the_card_run(folder, monkeypatch):
    monkeypatch.chdir(SPACES)
    outcome = doctest.testfile(str(folder / "README.md"), module_relative=False, encoding="utf-8")
    assert outcome.attempted > 0
    assert outcome.failed == 0
