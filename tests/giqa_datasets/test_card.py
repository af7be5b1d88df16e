import json
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard

from giqa_datasets import __version__
from giqa_datasets.builders.card import write_card
from giqa_datasets.builders.parquet import Rights, SplitCounts, features
from giqa_datasets.pipeline.choice import Choice
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.shipped import shipped


NAMES = ["giqa-mini", "giqa-bench-mini", "giqa-tiny"]


@pytest.fixture(params=NAMES)
def built(request, workspace):
    """The folder of a set."""
    return workspace / request.param


def front_matter(text):
    opening, matter, body = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(matter), body


def card_of(folder):
    return front_matter((folder / "README.md").read_text(encoding="utf-8"))


def table(body, heading):
    """The rows of the table below a heading, as lists of cells; the header is the first."""
    section = body.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    parsed = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    return [parsed[0], *parsed[2:]]


def rows_of(folder):
    """Split -> rows without their pixels."""
    columns = [name for name in features() if name != "image"]
    splits: dict = {}
    for path in sorted((folder / "data").iterdir()):
        splits.setdefault(path.name.split("-")[0], []).extend(pq.read_table(path, columns=columns).to_pylist())
    return splits


def test_the_front_matter_is_what_the_hub_reads(built):
    matter, _ = card_of(built)
    assert matter["pretty_name"] == built.name
    assert matter["language"] == ["en"]
    assert matter["size_categories"] == ["n<1K"]
    assert set(matter["tags"]) >= {"image-quality-assessment", "arxiv:2411.17237"}
    card = DatasetCard((built / "README.md").read_text(encoding="utf-8"))
    assert card.data.configs == matter["configs"]


def test_the_configs_are_views_on_one_set_of_shards(built):
    matter, _ = card_of(built)
    data = rows_of(built)
    tasks = sorted({row["task"] for split in data.values() for row in split})
    splits = [split for split in ("train", "test") if split in data]
    data_files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    contents = {config.pop("description") for config in matter["configs"]}
    assert len(contents) == 1
    assert re.fullmatch("sha256 [0-9a-f]{64}", contents.pop())
    assert matter["configs"] == [
        {"config_name": "default", "default": True, "data_files": data_files},
        *({"config_name": task, "data_files": data_files, "filters": [["task", "==", task]]} for task in tasks),
        {
            "config_name": "annotations",
            "data_files": data_files,
            "columns": [name for name in features() if name != "image"],
        },
    ]


def test_the_front_matter_has_no_yaml_aliases(built):
    text = (built / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    assert not re.search(r"(^|\s)[&*]\w", text)


def test_the_counts_are_those_of_the_data(built):
    _, body = card_of(built)
    head, *lines = table(body, "Composition")
    assert head == ["split", "images", "rows", *QUESTION_TYPES]
    counted = []
    for split, rows in sorted(rows_of(built).items(), reverse=True):
        kinds = Counter(row["question_type"] for row in rows)
        images = len({row["image_sha256"] for row in rows})
        counted.append([split, *map(str, [images, len(rows), *(kinds[kind] for kind in QUESTION_TYPES)])])
    assert lines == counted


def test_the_columns_of_the_card_are_those_of_the_data(built):
    _, body = card_of(built)
    named = [name.strip() for cell, *_ in table(body, "Columns")[1:] for name in cell.split(",")]
    assert named == list(features())


def test_the_licences_are_those_of_the_rows(built):
    matter, body = card_of(built)
    rights = {
        (row["source"], row["image_license"], row["text_license"])
        for split in rows_of(built).values()
        for row in split
    }
    assert matter["license"] == sorted({licence for _, *both in rights for licence in both})
    assert [tuple(line[:3]) for line in table(body, "Licences")[1:]] == sorted(rights)


def test_the_funnel_lists_every_reason_with_its_count(workspace):
    _, body = card_of(workspace / "giqa-mini")
    lines = (workspace / "giqa-mini" / "provenance" / "drops.jsonl").read_text(encoding="utf-8").splitlines()
    drops = [json.loads(line) for line in lines]
    counted = Counter((drop["stage"], drop["reason"]) for drop in drops)
    assert {"no_object", "no_quality", "unknown_word", "not_found", "no_boxed_object"} <= {r for _, r in counted}
    listed = {}
    for stage, _, n_in, n_out, reasons in table(body, "What came of it")[1:]:
        left_out = [reason.rsplit(" ", 1) for reason in reasons.split(", ") if reason]
        assert int(n_in) == int(n_out) + sum(int(number) for _, number in left_out)
        listed |= {(stage, reason): int(number) for reason, number in left_out}
    assert listed == counted


@pytest.mark.parametrize("name", ["giqa-bench-mini", "giqa-tiny"])
def test_a_set_that_lost_nothing_has_no_funnel(workspace, name):
    assert "left out" not in card_of(workspace / name)[1]
    files = {path.name for path in (workspace / name / "provenance").iterdir()}
    assert files == {"images.jsonl", "sources.jsonl"}


def test_the_card_is_clean_markdown(built):
    text = (built / "README.md").read_text(encoding="utf-8")
    assert "{{" not in text
    assert "{%" not in text
    assert f"# {built.name}\n" in text
    assert "not the authors' release" in text
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "README.md", "exec")
        assert f'"{built.name}"' in block


def counts_of(kinds):
    """What is written of a split of one image."""
    right = Rights("folder", "unknown", "unknown", False)
    return {"train": SplitCounts(Counter(kinds), 0, {"a.jpg": "a"}, Counter({right: sum(kinds.values())}))}


def card(counts, *, name="folder", **made):
    return front_matter(write_card(name, counts, content="0" * 64, columns=features(), **made))


def configs_of(kinds):
    matter, _ = card(counts_of(kinds))
    return [config["config_name"] for config in matter["configs"]]


@pytest.mark.parametrize(
    ("kinds", "tasks"),
    [
        ({"des": 3}, ["des"]),
        ({"des": 3, "how": 1}, ["des", "vqa"]),
        ({"yes_no": 3}, ["vqa"]),
        ({"what": 3, "why": 1}, ["vqa"]),
    ],
)
def test_a_set_has_views_of_the_tasks_that_it_holds(kinds, tasks):
    assert configs_of(kinds) == ["default", *tasks, "annotations"]


@pytest.mark.parametrize(
    ("total", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (167_657, "100K<n<1M")]
)
def test_the_size_category_is_the_hubs(total, category):
    matter, _ = card(counts_of({"des": total}))
    assert matter["size_categories"] == [category]


def test_a_folders_card_says_what_was_left_out():
    funnel = [Row("detect", "objects", 5, 3, {"unknown_word": 2}), Row("ask", "questions", 1, 1, {})]
    _, body = card(counts_of({"des": 1}), funnel=funnel, settings=Choice(detector="a/dino").settings())
    assert table(body, "What came of it")[1:] == [
        ["detect", "objects", "5", "3", "unknown_word 2"],
        ["ask", "questions", "1", "1", ""],
    ]
    assert "a/dino" in body
    assert __version__ in body


def test_a_set_that_no_pipeline_made_says_nothing_of_one():
    assert "How it was made" not in card(counts_of({"des": 1}))[1]


def test_every_set_has_a_card():
    from giqa_datasets.builders.sets import SETS

    assert {f"{name}.md" for name in SETS} <= {path.name for path in (shipped("cards") / "datasets").iterdir()}


def test_a_folder_that_did_not_ship_is_named():
    with pytest.raises(FileNotFoundError, match="the folder 'no-such-folder' of the giqa distribution is missing"):
        shipped("no-such-folder")
