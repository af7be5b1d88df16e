"""The README card of a data set: the configs that load_dataset reads, and a description for people.

`cards/datasets/<name>.md` is the text, with all facts that are not in the rows; every number comes from the rows.
"""

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.parquet as pq
import yaml

from giqa_datasets import __version__
from giqa_datasets.console import printable
from giqa_datasets.dataset_folder.columns import SplitCounts, features, question_types
from giqa_datasets.dataset_folder.provenance import Provenance
from giqa_datasets.images import CHANGES
from giqa_datasets.objects import OPTIONAL
from giqa_datasets.package_files import shipped, templates
from giqa_datasets.sources.folder_metadata import MACHINE_TEXT


# The bounds of the Hub's size categories
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SHOWN = ("id", "question_type", "question", "answer", "regions", "distortions", "source")  # of an example row
_MOST_TEXT = 600  # characters of a column in an example row
_MOST_REGIONS = 6
# Marks of Markdown and HTML; `_` inside a word is none
_MARKUP = re.compile(r"[\\`*{}\[\]<>|&~$!#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def write_card(
    name: str,
    counts: Mapping[str, SplitCounts],
    said: Provenance,
    *,
    content: str,
    examples: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Render the card of a data set, a README with YAML front matter.

    `content` is the digest of the shards. It stands in every config, because the datasets library keys its cache on
    the card: a rebuilt folder would be read from the cache of the old one. Examples are as of `example_rows`.
    """
    from huggingface_hub import DatasetCardData

    kinds = sum((split.rows for split in counts.values()), start=Counter[str]())
    tasks = sorted({"des" if kind == "des" else "vqa" for kind in kinds})
    rights = sum((split.rights for split in counts.values()), start=Counter[Any]())
    has_objects = any(split.objects for split in counts.values())
    card = _template(name).render(
        name=name,
        version=__version__,
        counts=counts,
        kinds=kinds,
        licenses=sorted(rights),
        withheld=[(right, n_rows) for right, n_rows in sorted(rights.items()) if not right.redistributable],
        funnel=said.funnel,
        settings=said.settings,
        machine_texts=sorted({right.text_license for right in rights if right.text_license.startswith(MACHINE_TEXT)}),
        **({"corrections": None} | dict(said.fields)),
        examples=examples,
        views=", ".join([*tasks, "annotations"]),
    )
    _, known, body = card.split("---\n", 2)
    front_matter = DatasetCardData(
        configs=_configs(list(counts), tasks, content, features(OPTIONAL if has_objects else ())),
        language=["en"],
        pretty_name=name,
        size_categories=[next((label for bound, label in _SIZES if kinds.total() < bound), "1M<n<10M")],
        tags=["image-quality-assessment", "visual-grounding", "arxiv:2411.17237"],
        task_categories=["image-text-to-text"] + ["visual-question-answering"] * ("vqa" in tasks),
        task_ids=["visual-question-answering"] if "vqa" in tasks else None,
        **_license(licence for right in rights for licence in (right.image_license, right.text_license)),
        **yaml.safe_load(known),
    ).to_yaml()
    return f"---\n{front_matter}\n---\n{body}"


def example_rows(data: Path) -> list[dict[str, Any]]:
    """Read the first description and the first question of a folder of shards, train before test, for a card."""
    found: dict[str, dict[str, Any]] = {}
    for shard in sorted(data.iterdir(), key=lambda path: (not path.name.startswith("train-"), path.name)):
        with pq.ParquetFile(shard) as file:
            for number in range(file.num_row_groups):
                for row in file.read_row_group(number, columns=["task", *_SHOWN]).to_pylist():
                    found.setdefault(row["task"], row)
                if len(found) == 2:
                    return [found["des"], found["vqa"]]
    return list(found.values())


def _template(name: str) -> jinja2.Template:
    environment = templates(shipped("cards") / "datasets")
    as_share = lambda share: "-" if share is None else f"{share:.3f}"  # noqa: E731  # of agreement
    environment.filters |= {"as_text": _as_text, "as_block": _as_block, "as_share": as_share, "changes": _changes}
    environment.filters |= {"question_types": question_types, "classes": _classes}
    return environment.get_template(f"{name}.md")


def _changes(splits: Iterable[SplitCounts]) -> list[tuple[str, int]]:
    """The changes of original files, in their order, each with the number of images."""
    of_image = {sha256: made for split in splits for sha256, made in split.changes.items()}
    counted = Counter(chain.from_iterable(of_image.values()))
    return [(change, counted[change]) for change in CHANGES if counted[change]]


def _classes(counts: Mapping[str, SplitCounts]) -> list[tuple[str, list[int]]]:
    """The classes of objects, the most frequent first, each with the number of its objects in each split by name."""
    splits = [Counter(chain.from_iterable(split.objects.values())) for _, split in sorted(counts.items())]
    every = sum(splits, start=Counter[str]())
    return [(name, [split[name] for split in splits]) for name in sorted(every, key=lambda name: (-every[name], name))]


def _configs(splits: list[str], tasks: list[str], content: str, columns: Iterable[str]) -> list[dict[str, Any]]:
    """The configs: views on one set of shards, and the shards without images."""

    def view(name: str, folder: str = "data", **options: Any) -> dict[str, Any]:
        # data_files is a list of its own for each config, or YAML writes aliases
        files = [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in splits]
        return {"config_name": name, "description": f"sha256 {content}", "data_files": files, **options}

    return [
        view("default", default=True),
        *(view(task, filters=[["task", "==", task]]) for task in tasks),
        view("annotations", "annotations", columns=[column for column in columns if column != "image"]),
    ]


def _license(licences: Iterable[str]) -> dict[str, Any]:
    """The licences as the Hub names them, which refuses any other; the card's table has the full words."""
    # hub-docs, repositories-licenses.md, without those of models
    hubs = (shipped("cards") / "datasets" / "licenses.txt").read_text(encoding="utf-8").split()
    known = sorted({licence if licence in hubs else "other" for licence in licences})
    # No license_link: there is no one text behind it
    return {"license": known} | ({"license_name": "as-each-row-says"} if "other" in known else {})


def _as_text(text: str) -> str:
    """A foreign text as the cell of a table, with its marks escaped."""
    return _MARKUP.sub(lambda letter: f"&#{ord(letter[0])};", printable(" ".join(text.split())))


def _as_block(row: Mapping[str, Any]) -> str:
    """A row as lines for a code block; none begins with a mark that ends the block."""
    width = max(map(len, _SHOWN)) + 2
    lines: list[str] = []
    for column in _SHOWN:
        for number, line in enumerate(_lines(row[column])):
            lines.append(("" if number else column).ljust(width) + line)
    return "\n".join(lines)


def _lines(value: Any) -> Iterator[str]:
    """The lines that an example row shows of a column's value, and the length of the rest."""
    if isinstance(value, str):
        more = len(value) - _MOST_TEXT
        shown = value if more <= 0 else f"{value[:_MOST_TEXT]} ... ({more} more characters)"
        yield from textwrap.wrap(printable(shown), 95) or [""]
        return
    for item in value[:_MOST_REGIONS]:
        boxes = [[round(edge, 3) for edge in box] for box in item.get("boxes", ())]
        yield from _lines(json.dumps(item | ({"boxes": boxes} if boxes else {}), ensure_ascii=False))
    if len(value) > _MOST_REGIONS:
        yield f"... ({len(value) - _MOST_REGIONS} more)"
