"""One way down: a room imports the rooms above it only, and no files import each other in a circle."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest


ROOT = Path(__file__).parents[1]
# Top to bottom; the rooms of one line may import each other
ROOMS = {
    "giqa_datasets": (
        "boxes defaults defect_classes errors foreign_boxes formats grid lazy masks names objects questions records "
        "regions reply text text_scan word_borders",
        "batches console distortions drops entries extras files folder_lock http_answers image_metadata image_stores "
        "images llm loading loopback near_duplicates package_files private_interfaces",
        "sources",
        "pipeline",
        "dataset_folder",
        "review",
        "builders",
        "exports",
        "check check_rows",
        "publish",
    ),
    "giqa_metrics": (
        "inputs judges matching private_interfaces ptb_tokenizer signature similarity stats yes_no",
        "defects description grounding vqa",
        "resampling rewards",
        "models",
        "runs",
        "recipe_check",
        "inspection",
        "doctor",
        "app",
        "install",
        "publish",
        "integrations",
        "spaces",
        "cli",
    ),
}
FLOORS = {
    f"{package}.{room}": floor
    for package, floors in ROOMS.items()
    for floor, rooms in enumerate(floors)
    for room in rooms.split()
}


class Import(NamedTuple):
    """One file's import of another, at the top or inside a function."""

    file: str
    line: int
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.imported}"


def room(module: str) -> str:
    """The package and the folder or root file that a module lies in."""
    return ".".join(module.split(".")[:2])


def modules(root: Path) -> dict[str, Path]:
    """Every file of both packages by the name that it is imported by."""
    files = (path for package in ROOMS for path in sorted((root / package).rglob("*.py")))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports(root: Path) -> list[Import]:
    """Every import of one file of the packages by another."""
    files, found = modules(root), []
    for importer, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = importer.split(".") if path.name == "__init__.py" else importer.split(".")[:-1]
                    base = ".".join(filter(None, [*package[: len(package) - node.level + 1], base]))
                whole = [f"{base}.{alias.name}" for alias in node.names]
                names = [name if name in files else base for name in whole]
            for name in dict.fromkeys(names):
                if name in files:
                    found.append(Import(str(path.relative_to(root)), node.lineno, importer, name))
    return found


def ways_up(found: list[Import]) -> list[Import]:
    """Imports of a room further down in the same package. A package's own `__init__.py` offers names of all rooms."""
    return [
        each
        for each in found
        if each.importer.split(".")[0] == each.imported.split(".")[0]
        and FLOORS.get(room(each.importer), len(FLOORS)) < FLOORS.get(room(each.imported), 0)
    ]


def circles(found: list[Import]) -> list[list[Import]]:
    """A shortest circle for every file that is on one, each circle once."""
    onward: dict[str, list[Import]] = {}
    for each in found:
        onward.setdefault(each.importer, []).append(each)
    seen: set[frozenset[str]] = set()
    every = []
    for start in onward:
        ways = {each.imported: [each] for each in onward[start]}
        waiting = list(ways)
        for module in waiting:
            for each in onward.get(module, []):
                if each.imported not in ways:
                    ways[each.imported] = [*ways[module], each]
                    waiting.append(each.imported)
        members = frozenset(each.importer for each in ways.get(start, ()))
        if members and members not in seen:
            seen.add(members)
            every.append(ways[start])
    return every


@pytest.fixture(scope="module")
def found():
    return imports(ROOT)


def test_every_room_has_its_place():
    homes = {room(module) for module in modules(ROOT)} - set(ROOMS)
    assert homes - set(FLOORS) == set(), "a room without a place in ROOMS, which lists them top to bottom"


def test_a_room_imports_only_rooms_above_it(found):
    below = "a room below its own"
    said = [f"{each}, {below} {room(each.importer)}: move what they share above both" for each in ways_up(found)]
    assert not said, "\n".join(said)


def test_no_files_import_each_other(found):
    said = [f"a circle: {', and '.join(map(str, circle))}" for circle in circles(found)]
    assert not said, "\n".join(said)


def test_giqa_datasets_never_imports_giqa_metrics(found):
    back = [
        each for each in found if each.importer.startswith("giqa_datasets") > each.imported.startswith("giqa_datasets")
    ]
    assert not back, "\n".join(f"{each}, and giqa_metrics imports giqa_datasets" for each in back)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"giqa_datasets/text.py": "def f():\n    from giqa_datasets import check\n"}, "imports giqa_datasets.check"),
        ({"giqa_metrics/runs/a.py": "import giqa_metrics.cli.b\n"}, "imports giqa_metrics.cli.b"),
        ({"giqa_metrics/models/a.py": "from ..cli import b\n"}, "imports giqa_metrics.cli.b"),
    ],
)
def test_a_way_up_is_found_wherever_it_stands(tmp_path, files, says):
    for path in (*files, "giqa_datasets/check.py", "giqa_metrics/cli/b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(files.get(path, ""))
    assert [str(each).split(" ", 1)[1] for each in ways_up(imports(tmp_path))] == [says]


def test_a_circle_of_three_is_found_once(tmp_path):
    (tmp_path / "giqa_metrics").mkdir()
    for one, other in ("ab", "bc", "ca"):
        text = f"def f():\n    from giqa_metrics.{other} import x\n"
        (tmp_path / "giqa_metrics" / f"{one}.py").write_text(text)
    (circle,) = circles(imports(tmp_path))
    assert [each.imported[-1] for each in circle] == ["b", "c", "a"]
