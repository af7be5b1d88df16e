import html
import json
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from giqa_datasets import __version__
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.giqa_bench import PAPER as BENCH
from giqa_datasets.builders.giqa_bench import card_fields
from giqa_datasets.builders.sets import SETS, SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.dataset_folder.card import example_rows, write_card
from giqa_datasets.dataset_folder.columns import Rights, SplitCounts, features
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.package_files import shipped
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.records import QUESTION_TYPES


pytestmark = pytest.mark.slow


NAMES = ["giqa-mini", "giqa-bench-mini", "giqa-tiny"]
TEXTS = shipped("cards") / "datasets"
CARDS = sorted(path.stem for path in TEXTS.glob("*.md") if path.stem != "base")
# What hub-docs says of the metadata of a data set: datasetcard.md, repositories-licenses.md and huggingface.js's tasks
CREATORS = {"found", "crowdsourced", "expert-generated", "machine-generated", "other"}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}
DOCUMENTED = {
    "annotations_creators": CREATORS,
    "language_creators": CREATORS,
    "language": {"en"},
    "license": {*(TEXTS / "licenses.txt").read_text().split(), "other"},
    "multilinguality": {"monolingual"},
    "size_categories": SIZES,
    "task_categories": {"image-text-to-text", "visual-question-answering"},
    "task_ids": {"visual-question-answering"},
}
OFFLINE = Choice().settings()
OPEN = Rights("mvtb-data", "mit", "apache-2.0", True)


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
    assert card.data.configs == matter["configs"]  # type: ignore[attr-defined]


def test_the_configs_are_views_on_one_set_of_shards_and_on_the_texts_alone(built):
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
            "data_files": [{"split": split, "path": f"annotations/{split}-*.parquet"} for split in splits],
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
    assert "{{ " not in text
    assert "{%" not in text
    assert f"# {built.name}\n" in text
    assert "not the authors' release" in text


UNKNOWN = Rights("folder", "unknown", "unknown", False)


def counts_of(kinds, *rights):
    """What is written of a split of one image; its rows have the same rights, or come from several sources alike."""
    n_rows = sum(kinds.values())
    held = Counter(dict.fromkeys(rights or [UNKNOWN], n_rows))
    return {"train": SplitCounts(Counter(kinds), 0, {"a.jpg": "a"}, held)}


def card(counts, *, name="folder", **made):
    return front_matter(card_text(name, counts, **made))


def card_text(name, counts, *, content="0" * 64, examples=(), **said):
    provenance = Provenance(**said, fields=card_fields(name, counts, None))
    return write_card(name, counts, provenance, content=content, examples=examples)


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
    assert set(SETS) | {"giqa-bench"} == set(CARDS)


def test_a_folder_that_did_not_ship_is_named():
    with pytest.raises(FileNotFoundError, match="the folder 'no-such-folder' of the giqa distribution is missing"):
        shipped("no-such-folder")


@pytest.mark.parametrize("name", CARDS)
def test_the_front_matter_holds_what_the_hub_documents(name):
    text = card_text(name, counts_of({"des": 1, "how": 1}), settings=OFFLINE)
    matter, body = front_matter(text)
    assert DatasetCard(text).data.to_dict() == matter
    for key, values in DOCUMENTED.items():
        assert isinstance(matter.get(key, []), list)
        assert set(matter.pop(key, [])) <= values, key
    sources = matter.pop("source_datasets", ["original"])
    assert all(source == "original" or re.fullmatch(r"[\w-]+/[\w-]+", source) for source in sources)
    assert set(matter) == {"pretty_name", "configs", "tags"}
    assert re.findall("^## Limits$", body, re.MULTILINE) == ["## Limits"]


def test_a_licence_that_the_hub_does_not_know_is_another():
    rights = [Rights("folder", "my-own-2.0", "research only", False), OPEN]
    matter, body = card(counts_of({"des": 1}, *rights))
    assert matter["license"] == ["apache-2.0", "mit", "other"]
    assert re.fullmatch("[a-z0-9.-]+", matter["license_name"])
    assert ["folder", "my-own-2.0", "research only", "no"] in table(body, "Licences")


def test_known_licences_need_no_name():
    assert "license_name" not in card(counts_of({"des": 1}))[0]


def test_pixels_that_stay_behind_are_named_with_their_rows():
    kept = Rights("spaq", "research only", "apache-2.0", False)
    _, body = card(counts_of({"des": 3, "how": 4}, OPEN, kept), name="giqa-160k", settings=OFFLINE)
    assert table(body, "Pixels") == [["from", "terms of the pixels", "rows"], ["spaq", "research only", "7"]]
    assert "giqa build ORG/giqa-160k --images DIR" in body


def test_pixels_that_others_may_pass_on_are_not_spoken_of():
    assert "## Pixels" not in card(counts_of({"des": 3}, OPEN))[1]


def test_the_benchmark_stands_beside_the_papers():
    counts = counts_of({"des": 4, "yes_no": 3, "what": 2, "why": 1, "how": 5})
    counts["train"].n_yes = 1
    _, body = card({"test": counts["train"]}, name="giqa-bench")
    lines = [line for line in table(body, "Composition") if len(line) == 3 and "---" not in line]
    here = {"images": 1, "samples": 15, "descriptions": 4, "Yes/No, Yes": 1, "Yes/No, No": 2}
    here |= {"What": 2, "Why": 1, "How": 5}
    assert lines == [["", "paper", "here"], *([what, str(BENCH[what]), str(here[what])] for what in BENCH)]
    assert BENCH["samples"] == BENCH["descriptions"] + sum(list(BENCH.values())[3:])


def test_the_limits_are_those_of_the_funnel_and_the_rows():
    funnel = [Row("detect", "objects", 5, 3, {"unknown_word": 2}), Row("fuse", "descriptions", 7, 6, {"gone": 1})]
    _, body = card(counts_of({"des": 1, "how": 1}), name="giqa-mini", funnel=funnel, settings=OFFLINE)
    limits = body.split("## Limits\n")[1].split("\n## ")[0]
    assert "found 3 of the 5 objects" in limits
    assert "Of 7 descriptions, 6 have a box" in limits
    assert "without a row: yes_no, what, why, which." in limits


def test_every_card_cites_the_paper_once():
    for name in CARDS:
        _, body = card(counts_of({"des": 1}), name=name, settings=OFFLINE)
        (entries,) = fences(body, "bibtex")
        assert re.findall(r"^@\w+\{(.*),$", entries, re.MULTILINE) == [
            "chen2026grounding",
            "giqa" if name == "folder" else name,
        ]
        assert entries.count("{") == entries.count("}")


@pytest.mark.parametrize("name", ["giqa-160k", "giqa-mini", "folder", "giqa-bench"])
def test_what_is_ours_is_said_wherever_the_pipeline_was(name):
    assert "## What is the paper's, and what is ours\n" in card(counts_of({"des": 1}), name=name, settings=OFFLINE)[1]


# An example row


def fences(body, info):
    return [token.content for token in MarkdownIt().parse(body) if token.type == "fence" and token.info == info]


def shown(row):
    """The lines of an example row as a reader of the page sees them, by column."""
    (block,) = fences(card(counts_of({"des": 1}), examples=[row])[1], "text")
    columns: dict = {}
    for line in block.splitlines():
        name, text = line[:15].strip(), line[15:]
        columns[name or list(columns)[-1]] = [*columns.get(name or list(columns)[-1], []), text]
    return columns


def example(**columns):
    row = {"id": "1", "task": "des", "question_type": "des", "question": "Q?", "answer": "A.", "source": "folder"}
    return row | {"regions": [], "distortions": []} | columns


def test_the_examples_are_the_first_description_and_the_first_question(built):
    splits = rows_of(built)
    rows = splits.get("train", splits["test"])
    first = {row["task"]: row for row in reversed(rows)}
    found = example_rows(built / "data")
    assert {row["task"]: row["id"] for row in found} == {task: row["id"] for task, row in first.items()}
    for row in found:
        whole = first[row["task"]]
        assert row.items() <= whole.items()
        columns = shown(row)
        assert " ".join(columns["answer"]) == " ".join(whole["answer"].split())
        listed = json.loads("[" + " ".join(columns.get("regions", [])).replace("} {", "}, {") + "]")
        for region, exact in zip(listed, whole["regions"], strict=True):
            assert (region["phrase"], region["role"]) == (exact["phrase"], exact["role"])
            assert region["boxes"] == [pytest.approx(box, abs=0.001) for box in exact["boxes"]]


def test_a_long_row_is_cut_and_says_so():
    regions = [{"phrase": str(number), "role": "answer", "boxes": [[0, 0, 1, 1]]} for number in range(9)]
    columns = shown(example(answer="word " * 200, regions=regions))
    assert " ".join(columns["answer"]).split()[-5:] == ["word", "...", "(400", "more", "characters)"]
    assert columns["regions"][6:] == ["... (3 more)"]
    assert max(map(len, columns["answer"])) <= 95


HOSTILE = (
    "```\n---\nlicense: mit\n---\n~~~\n| split | images |\n|---|---|\n| test | 9 |\n## Composition\n"
    "<script>alert(1)</script> [a](javascript:b) ![i](http://c) {{ 7 * 7 }} {% raw %} \u202e \u2028--- "
    "description: sha256 " + "f" * 64
)


def tags_of(text):
    """The elements of the page, in order."""
    return re.findall("<[a-z0-9/]+", MarkdownIt("commonmark").enable("table").render(text))


def test_nothing_that_a_row_holds_is_obeyed(photograph, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(photograph.image)
    bad = "<img src=x onerror=alert(1)> | [l](http://m) `c` _e_ & \\"
    cards = []
    for description, licence in (("Plain.", "plain"), (HOSTILE, bad)):
        line = {"file_name": "a.png", "description": description, "regions": [], "image_license": licence}
        (tmp_path / "in" / "metadata.jsonl").write_text(json.dumps(line))
        request = SetRequest("folder", tmp_path / "in")
        counts = build_set(request, tmp_path / "set", tmp_path / "no", overwrite=True).counts
        examples = example_rows(tmp_path / "set" / "data")
        assert examples[0]["answer"] == description
        digest = (tmp_path / "set" / "README.md").read_text().split("sha256 ")[1][:64]
        given = {"content": digest, "examples": examples}
        cards.append(card_text("folder", counts, **given))
        assert cards[-1] == card_text("folder", counts, **given)
        (tmp_path / "set" / "README.md").write_text(cards[-1], encoding="utf-8")
        assert not examine_dataset(tmp_path / "set").findings
    (plain, plain_body), (matter, body) = map(front_matter, cards)
    assert tags_of(body) == tags_of(plain_body)
    assert matter["license_name"] == plain["license_name"]
    assert set(matter) == set(plain)
    page = MarkdownIt("commonmark").enable("table").render(body)
    assert f"<td>{html.escape(bad)}</td>" in page
    (row,) = fences(body, "text")
    assert "<script>alert(1)</script> [a](javascript:b)" in " ".join(row.split())
    assert "\\u202e" in row
