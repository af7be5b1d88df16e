"""Writes the README card of a data set: the configs that load_dataset reads, and what a person wants to know."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2

from giqa_datasets import __version__
from giqa_datasets.builders.giqa_160k import beside_paper
from giqa_datasets.builders.parquet import SplitCounts
from giqa_datasets.pipeline.funnel import Row
from giqa_datasets.shipped import shipped


_IDENTIFIER = re.compile(r"[a-z0-9.-]+")  # the Hub knows licences by these; the card's table has the full words
# The bounds of the Hub's size categories
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(
    name: str,
    counts: Mapping[str, SplitCounts],
    *,
    content: str,
    columns: Iterable[str],
    funnel: Sequence[Row] = (),
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Render the card of a data set.

    Args:
        name: The set's name; `cards/datasets/<name>.md` is its text.
        counts: What was written, by split.
        content: Digest of the shards. It stands in every config, because the datasets library keys its cache on the
            card alone: a rebuilt folder would be read from the cache of the old one.
        columns: Every column, in order.
        funnel: What went into each stage of the pipeline and what came out; empty for a set that it did not make.
        settings: The pipeline's models and thresholds.

    Returns:
        The README: YAML front matter and Markdown.
    """
    from huggingface_hub import DatasetCardData

    total = sum(split.rows.total() for split in counts.values())
    tasks = {"des" if kind == "des" else "vqa" for split in counts.values() for kind in split.rows}
    rights = sorted(set().union(*(split.rights for split in counts.values())))
    known = {licence for right in rights for licence in (right.image_license, right.text_license)}
    front_matter = DatasetCardData(
        configs=_configs(list(counts), tasks, list(columns), content),
        language=["en"],
        license=sorted({licence if _IDENTIFIER.fullmatch(licence) else "other" for licence in known}),
        pretty_name=name,
        size_categories=[next((label for bound, label in _SIZES if total < bound), "n>1M")],
        tags=["image-quality-assessment", "visual-grounding", "arxiv:2411.17237"],
        task_categories=["image-text-to-text", "visual-question-answering"],
    ).to_yaml()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped("cards") / "datasets"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    body = environment.get_template(f"{name}.md").render(
        name=name,
        version=__version__,
        counts=counts,
        licenses=rights,
        funnel=funnel,
        settings=settings,
        beside_paper=beside_paper(counts),
    )
    return f"---\n{front_matter}\n---\n\n{body}"


def _configs(splits: list[str], tasks: set[str], columns: list[str], content: str) -> list[dict[str, Any]]:
    """The configs: views on one set of shards."""

    def view(name: str, **options: Any) -> dict[str, Any]:
        # data_files is a list of its own for each config, or YAML writes aliases
        files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
        return {"config_name": name, "description": f"sha256 {content}", "data_files": files, **options}

    return [
        view("default", default=True),
        *(view(task, filters=[["task", "==", task]]) for task in sorted(tasks)),
        view("annotations", columns=[column for column in columns if column != "image"]),
    ]
