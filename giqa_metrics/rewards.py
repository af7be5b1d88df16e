"""Rewards for reinforcement (`trl grpo`), by the definitions of the metrics: how right each completion is, 0 to 1.

    reward_funcs: [giqa_metrics.rewards.grounding]

A reward is called with keywords, as TRL does, and looks at the columns of a GIQA data set: `answer`, and
`question_type` if it is there. It returns a float a completion; None only for a row that it does not judge, never
because of the completion. A completion without an answer, such as a thought that never ends, earns 0.
`for_format` makes the rewards for another box format, and for YAML each has a name: `grounding_qwen3_vl`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any, NamedTuple, Protocol

import numpy as np

from giqa_datasets.boxes import Floats
from giqa_datasets.errors import InputError
from giqa_datasets.formats import FORMATS, Sizes, box_format
from giqa_datasets.text_scan import scan_replies
from giqa_metrics.description import words_of
from giqa_metrics.grounding import (
    IOU_THRESHOLD,
    SIMILARITY_THRESHOLD,
    GroundingStats,
    meet,
    read_references,
    settings_of,
)
from giqa_metrics.inputs import texts_of
from giqa_metrics.yes_no import read_yes_no


SIMILARITY = "exact"  # of names; "lexical" passes "grey block" for "green block"
Rewards = list[float | None]

_END = re.compile(r"[.!?…。！？][\"'”’»）)\]]*\s*\Z")  # noqa: RUF001


class Reward(Protocol):
    """A reward as TRL calls it."""

    __name__: str

    def __call__(  # noqa: D102
        self, *, completions: Sequence[Any], answer: Any = None, log_metric: Any = None, **columns: Any
    ) -> Rewards: ...


class Read(NamedTuple):
    """A batch of N completions beside the answers that are right.

    Attributes:
        said: The plain texts of the answers in the completions.
        truths: The plain texts of the right answers.
        answered: Shape (N,), whether there is an answer.
        sums: Shape (N,) each, by the names of `GroundingStats`.
        closed: The verdict that is right, of a closed question; else None.
    """

    said: list[str]
    truths: list[str]
    answered: Floats
    sums: Mapping[str, Floats]
    closed: Sequence[str | None]


def overlap_of(read: Read) -> Rewards:
    """Return 2 x (sum of matched IoU) / (predicted + reference + malformed boxes); 1 where there are none."""
    matched = read.sums["miou_strict"] * read.sums["n_reference"]
    return _shares(read, 2 * matched)


def named_f1_of(read: Read) -> Rewards:
    """Return F1 of the boxes with an IoU above 0.5 under a name alike; malformed ones count as predicted."""
    return _shares(read, 2 * read.sums["n_recalled"])


def yes_no_of(read: Read) -> Rewards:
    """Return 1 for the right verdict and 0 for another or none; None off closed questions."""
    return [
        None if right is None else float(read_yes_no(said) == right)
        for said, right in zip(read.said, read.closed, strict=True)
    ]


def well_formed_of(read: Read) -> Rewards:
    """Return 1 where no box is malformed, else 0."""
    return _floats((read.sums["n_malformed"] == 0) * read.answered)


def prose_of(read: Read) -> Rewards:
    """Return the likeness of the words, those of BLEU@4: 2 x (longest common subsequence) / (words of both)."""
    from rapidfuzz.distance import Indel

    pairs = zip(read.answered.tolist(), words_of(read.said), words_of(read.truths), strict=True)
    return [has * Indel.normalized_similarity(said, truth) for has, said, truth in pairs]


def matched_set_of(read: Read) -> Rewards:
    """Return the mean of the matched boxes' IoU and of the F1 of their number.

    That is the form that papers describe, as we read it; for comparison alone. Names, words and malformed boxes do not
    count, and a grid of boxes earns several times what `overlap` gives it.
    """
    predicted, reference = read.sums["n_predicted"], read.sums["n_reference"]
    f1 = 2 * read.sums["n_matched"] / np.maximum(predicted + reference, 1)
    return _floats(np.where(predicted + reference == 0, read.answered, (read.sums["miou"] + f1) / 2))


def grounding_of(read: Read) -> Rewards:
    """Return the mean of its parts, by `WEIGHTS`; of a closed question the verdict is one of them."""
    return [_mean(parts) for parts in _parts(read)]


def _mean(parts: Mapping[str, float]) -> float:
    return sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS[name] for name in parts)


def _parts(read: Read) -> list[dict[str, float]]:
    ends = [
        has * float(_END.search(truth) is None or _END.search(said) is not None)
        for has, said, truth in zip(read.answered.tolist(), read.said, read.truths, strict=True)
    ]
    columns = {name: REWARDS[name](read) for name in WEIGHTS if name != "end"} | {"end": ends}
    return [
        {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        for values in zip(*columns.values(), strict=True)
    ]


REWARDS: dict[str, Callable[[Read], Rewards]] = {
    "overlap": overlap_of,
    "named_f1": named_f1_of,
    "yes_no": yes_no_of,
    "well_formed": well_formed_of,
    "prose": prose_of,
    "matched_set": matched_set_of,
    "grounding": grounding_of,
}
WEIGHTS = {"overlap": 4, "named_f1": 2, "yes_no": 4, "prose": 2, "end": 1}  # of the parts of `grounding`


def for_format(format: str, reward: str = "grounding", *, similarity: str = SIMILARITY) -> Reward:
    """Make a reward for completions in a box format.

    Args:
        format: A name out of `FORMATS` whose markers are text: a trainer decodes special tokens away.
        reward: A name out of `REWARDS`.
        similarity: Of names; see `similarity_named`.

    Raises:
        ValueError: If there is no such reward or format, or its markers are special tokens.

    Example:
        >>> reward = for_format("qwen3_vl", "overlap")
        >>> reward(completions=['{"bbox_2d": [25, 25, 475, 475], "label": "cup"}'], answer=["[cup](<0, 189>)"])
        [1.0]
    """
    if reward not in REWARDS:
        raise InputError(f"expected a reward out of {sorted(REWARDS)}, got {reward!r}")
    if box_format(format).markers:
        first = box_format(format).markers[0]
        raise InputError(
            f"box format {format!r} marks boxes by special tokens such as {first}, which the trainer decodes away: "
            "train the model to write another format"
        )

    def made(**columns: Any) -> Rewards:
        return _reward(reward, format, similarity, **columns)

    made.__name__ = reward if format == "giqa" else f"{reward}_{format}"  # TRL logs it
    return made


def __getattr__(name: str) -> Reward:
    """Make the reward of a name: that of a reward, or of a reward and a format."""
    reward = next((reward for reward in REWARDS if name == reward or name.startswith(f"{reward}_")), None)
    format = name[len(reward or "") + 1 :] or "giqa"
    if reward is None or format not in FORMATS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return for_format(format, reward)


def _reward(
    name: str,
    format: str,
    similarity: str,
    /,
    *,
    completions: Sequence[Any],
    answer: Any = None,
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> Rewards:
    if answer is None:
        raise InputError(f"reward {name!r} needs the column answer: remove_unused_columns: false keeps it")
    answers = texts_of("answer", answer, required=True)
    if len(answers) != len(completions):
        raise InputError(f"expected as many answers as completions, got {len(answers)} and {len(completions)}")
    sizes = None
    if box_format(format).needs:
        if "width" not in columns or "height" not in columns:
            raise InputError(f"box format {format!r} needs the columns width and height, got {sorted(columns)}")
        sizes = tuple(zip(columns["width"], columns["height"], strict=True))
    types = columns.get("question_type")
    texts = tuple(map(text_of, completions))
    read = _read(texts, tuple(answers), None if types is None else tuple(types), sizes, format, similarity)
    if name != "grounding" or log_metric is None:
        return REWARDS[name](read)
    parts = _parts(read)
    for part in WEIGHTS:
        if values := [its[part] for its in parts if part in its]:
            log_metric(f"grounding/{part}", fmean(values))
    return [*map(_mean, parts)]


@lru_cache(4)  # the rewards of a recipe are asked about the same batch, one after the other
def _read(
    texts: tuple[str, ...],
    answers: tuple[str, ...],
    types: tuple[str, ...] | None,
    sizes: tuple[tuple[int, int], ...] | None,
    format: str,
    similarity: str,
) -> Read:
    found = scan_replies(texts, format, None if sizes is None else [Sizes(image=size) for size in sizes])
    truths = read_references(answers)
    settings = settings_of(similarity, IOU_THRESHOLD, SIMILARITY_THRESHOLD, "paper")
    met = meet(found, truths, settings, count=len(texts))
    sums = dict(zip(GroundingStats.names(), met.table.T, strict=True))
    sums["n_matched"] = np.bincount(met.pairs.sample[met.matched], minlength=len(texts))
    said, right = found.plain(), truths.plain()
    has_text = np.array([bool(text.strip()) for text in said], dtype=bool)
    answered = (has_text | (sums["n_predicted"] + sums["n_malformed"] > 0)).astype(np.float64)
    closed = [read_yes_no(text) if types is None or types[at] == "yes_no" else None for at, text in enumerate(right)]
    return Read(said, right, answered, sums, closed)


def text_of(completion: Any) -> str:
    """Return the text of a completion: a string, messages of which the last counts, or a message's parts.

    Example:
        >>> text_of([{"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}])
        'Yes.'
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return text_of(completion.get("content", completion.get("text")))
    if isinstance(completion, Sequence) and not isinstance(completion, bytes):
        if all(isinstance(part, Mapping) and "role" in part for part in completion):
            return text_of(completion[-1]) if completion else ""
        return "".join(map(text_of, completion))
    return ""


def _shares(read: Read, doubled: Floats) -> Rewards:
    """Divide by the boxes of both sides."""
    total = read.sums["n_predicted"] + read.sums["n_reference"] + read.sums["n_malformed"]
    return _floats(np.where(total == 0, 1, doubled / np.maximum(total, 1)) * read.answered)


def _floats(values: Floats) -> Rewards:
    return [float(value) for value in values]
