"""Every code block of every data set card runs as it stands: beside the built folder, and from a Hub."""

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from giqa_datasets.builders.giqa_bench import benchmark_files, card_fields
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.dataset_folder.write import build_folder
from giqa_datasets.package_files import shipped
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.sources import mini


NAMES = sorted(path.stem for path in (shipped("cards") / "datasets").glob("*.md") if path.stem != "base")
OF_OTHERS = {
    "folder",
    "synthscars",
    "vida-ugc",
    "vida-ugc-2k",
    "x-aigd",
}  # loaded where they lie, and from no Hub of ours
UPLOAD = """
api.create_repo(repo, repo_type="dataset")
operations = [CommitOperationAdd(str(f.relative_to(root)), f) for f in pathlib.Path(root).rglob("*") if f.is_file()]
api.create_commit(repo, operations, commit_message="m", repo_type="dataset").oid
"""
RUN = """
import ast, contextlib, pathlib
def run(block):
    known, loaded = {}, []
    for statement in ast.parse(block).body:
        if isinstance(statement, ast.Expr):
            loaded.append(eval(compile(ast.Expression(statement.value), "<card>", "eval"), known))
        else:
            exec(compile(ast.Module([statement], []), "<card>", "exec"), known)
    return [tasks_of(each) if isinstance(each, dict) else tasks_of({str(each.split): each}) for each in loaded]
def tasks_of(splits):
    return {split: sorted({row["task"] for row in rows}) for split, rows in splits.items()}
with contextlib.chdir(cwd):
    found = run(block)
found
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with a set of each card: the same two hand-made records, which the real builder writes."""
    root = tmp_path_factory.mktemp("cards")
    records = [entry.load() for entry in mini.hand_made("test")[:2]]
    for name in NAMES:
        settings = Choice().settings() if name in ("giqa-160k", "giqa-mini", "folder") else None
        build_folder(
            root / name,
            name,
            {split_of(name): records},
            lambda counts, name=name, settings=settings: Provenance(
                settings=settings, fields=card_fields(name, counts, None), files=benchmark_files(name, counts, None)
            ),
        )
    return root


def split_of(name: str) -> str:
    return "test" if "bench" in name else "train"


def blocks_of(folder: Path) -> list[str]:
    """The card's programs; what else stands in a fence is no code."""
    tokens = MarkdownIt().parse((folder / "README.md").read_text(encoding="utf-8"))
    fences = [token for token in tokens if token.type in ("fence", "code_block")]
    assert {fence.info for fence in fences} <= {"python", "text", "bibtex"}
    return [fence.content for fence in fences if fence.info == "python"]


def from_hub(block: str) -> bool:
    return '"ORG/' in block


@pytest.mark.parametrize("name", NAMES)
def test_the_programs_of_the_card_run_beside_the_folder(client, root, name):
    blocks = [block for block in blocks_of(root / name) if not from_hub(block)]
    for block in blocks:
        first, *others = client(RUN, block=block, cwd=root / name if name in OF_OTHERS else root)
        assert first == {split_of(name): ["des", "vqa"]}
        assert all(view in ({split_of(name): ["des"]}, {split_of(name): ["vqa"]}) for view in others)
    assert blocks


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_OTHERS])
def test_the_programs_of_the_card_run_from_a_hub(client, root, tmp_path, name):
    blocks = [block for block in blocks_of(root / name) if from_hub(block)]
    client(UPLOAD, repo=f"ORG/{name}", root=root / name)
    for block in blocks:
        assert client(RUN, block=block, cwd=tmp_path) == [{split_of(name): ["des", "vqa"]}]
    assert blocks


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_takes_the_card(hub, client, root, name):
    client("DatasetCard.load(path).validate(repo_type='dataset')", path=root / name / "README.md")
    assert [(asked.route, asked.status) for asked in hub.requests] == [("validate_yaml", 200)]


@pytest.mark.parametrize("path", sorted((shipped("cards") / "metrics").glob("*.md")), ids=lambda path: path.stem)
def test_the_hub_takes_the_card_of_a_metric(hub, client, path):
    assert client("card = SpaceCard.load(path); card.validate(); card.data.title", path=path) == path.stem
    assert [(asked.route, asked.status) for asked in hub.requests] == [("validate_yaml", 200)]
