"""What was read of a run's answers, and which other box formats would read more of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.errors import InputError
from giqa_datasets.foreign_boxes import with_net
from giqa_datasets.formats import FORMATS, Sizes
from giqa_datasets.reply import cut
from giqa_metrics.grounding import GroundingStats
from giqa_metrics.stats import Table


UNREAD = "unread"  # what stands for a score of boxes that another format would read
LOOKED_AT = 1000  # answers that are read in every format (ours)


class SizedReply(NamedTuple):
    """A model's text, and the sizes that its boxes refer to."""

    text: str
    sizes: Sizes


def counts_of(tables: Sequence[Table], no_answer: int) -> dict[str, int]:
    """Add up what was read of all answers: shape (N, S) each, the columns of `GroundingStats`.

    `no_answer` is the number of samples that got none: null, or a reply in which nothing but thoughts stands.
    """
    table = np.concatenate(tables)
    column = dict(zip(GroundingStats.names(), table.T, strict=True))
    return {
        "answers": len(table) - no_answer,
        "no_answer": no_answer,
        "malformed_references": int(column["n_malformed_reference"].sum()),
        "boxes": int(column["n_predicted"].sum()),
        "malformed": int(column["n_malformed"].sum()),
        "foreign": int(column["n_foreign"].sum()),
        "without_box": int(((column["n_predicted"] == 0) & (column["n_malformed"] == 0)).sum()) - no_answer,
        "thoughts_cut": int(column["n_thoughts_cut"].sum()),
        "tokens_cut": int(column["n_tokens_cut"].sum()),
    }


def other_formats(replies: Sequence[SizedReply], declared: str) -> dict[str, Any] | None:
    """Name the formats that read more of the answers than the declared one does.

    The texts alone tell: how many hold a box that is read, and none that is malformed. References are not looked at.

    Returns:
        `formats` that read the most, `answers` that they read, and how many were looked at; None if none reads more.
    """
    texts = [reply._replace(text=cut(reply.text).text) for reply in replies[:LOOKED_AT]]
    count = {name: sum(_is_read(reply, name) for reply in texts) for name in FORMATS}
    most = max(count.values())
    if most <= count[declared]:
        return None
    return {"formats": [name for name in FORMATS if count[name] == most], "answers": most, "looked_at": len(texts)}


def is_unread(summary: Mapping[str, Any], task: str) -> bool:
    """Whether no box of a task's answers was read and another format would read some: its scores are no scores."""
    read, boxes = summary.get("read"), summary[task]["giqa_grounding"]
    return isinstance(read, Mapping) and bool(read.get("other_formats")) and not boxes.get("n_predicted")


def is_of_boxes(metric: str, score: str) -> bool:
    """Whether a score is one of boxes.

    Example:
        >>> is_of_boxes("giqa_defects", "ap50"), is_of_boxes("giqa_defects", "level_accuracy")
        (True, False)
    """
    is_of_words = score in ("level_accuracy", "choice_accuracy")
    return metric == "giqa_grounding" or (metric == "giqa_defects" and not is_of_words)


def sentences(read: dict[str, Any]) -> list[str]:
    r"""Say what was read, and which format would read more; `read` is the part of that name of a summary.

    Example:
        >>> counts = {"answers": 28, "boxes": 3, "malformed": 31, "foreign": 31, "without_box": 0, "thoughts_cut": 2}
        >>> other = {"formats": ["qwen3_vl"], "answers": 26, "looked_at": 28}
        >>> rest = {"no_answer": 0, "malformed_references": 0, "sizes": None, "other_formats": other}
        >>> print("\n".join(sentences(counts | rest)))
        28 answers: 3 boxes read, 31 malformed (31 foreign), 0 answers without a box, 2 thoughts cut
        26 of 28 answers read as qwen3_vl: --box-format qwen3_vl?
    """
    said = [
        "{answers:,} answers: {boxes:,} boxes read, {malformed:,} malformed ({foreign:,} foreign), "
        "{without_box:,} answers without a box, {thoughts_cut:,} thoughts cut".format(**read)
    ]
    if read["no_answer"]:
        said.append(f"{read['no_answer']:,} samples got no answer, and count as answered by nothing")
    if read["malformed_references"]:
        said.append(f"{read['malformed_references']:,} boxes of references cannot be read, and are left out")
    if read["sizes"] in _WHOSE:
        said.append(f"no answer names its input_size: boxes are read in pixels of {_WHOSE[read['sizes']]}")
    if other := read["other_formats"]:
        names = " or ".join(other["formats"])
        name = other["formats"][0] if len(other["formats"]) == 1 else "NAME"
        said.append(f"{other['answers']:,} of {other['looked_at']:,} answers read as {names}: --box-format {name}?")
    return said


_WHOSE = {"default": "what the processor makes of an image by default", "image": "the original images"}


def _is_read(reply: SizedReply, name: str) -> bool:
    """Whether a format reads boxes in an answer, and leaves none."""
    try:
        tokens = FORMATS[name].tokens(reply.text, reply.sizes)
    except InputError:  # a size is missing, or does not fit
        return False
    return bool(tokens.phrases) and not tokens.malformed and not with_net(tokens).malformed
