"""giqa_description: BLEU@4 and LLM-Score of descriptions, boxes stripped and names kept (protocol section 7)."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from giqa_datasets.errors import InputError
from giqa_datasets.reply import VERSION
from giqa_datasets.text_scan import answers_of, scan
from giqa_datasets.word_borders import spaced
from giqa_metrics.inputs import samples_of
from giqa_metrics.judges.judge import TOP, Case, Judge, ask_judge, judge_name, stands
from giqa_metrics.ptb_tokenizer import ptb_tokens
from giqa_metrics.signature import signature
from giqa_metrics.stats import Stats, Table


logger = logging.getLogger(__name__)

Tokenize = Literal["coco", "13a"]
LONG = 20  # characters of a word, on the average of a text, that no language writes
MAX_ORDER = 4  # of an n-gram


@dataclass(frozen=True, slots=True)
class DescriptionStats(Stats):
    """Sums over samples: what corpus-level BLEU-4 counts, and the judge's scores.

    Attributes:
        n_samples: Pairs of prediction and reference.
        matches_1: Words of the prediction that the reference holds too; `matches_2` to `matches_4` are n-grams.
        total_1: Words of the prediction; `total_2` to `total_4` are n-grams.
        n_words: Words of the prediction.
        n_reference_words: Words of the reference.
        n_judged: Samples that the judge gave a score.
        n_judge_failures: Samples that it was asked about and gave none.
        judge_score: The judge's scores, 0 to 4 each.
    """

    n_samples: int = 0
    matches_1: int = 0
    matches_2: int = 0
    matches_3: int = 0
    matches_4: int = 0
    total_1: int = 0
    total_2: int = 0
    total_3: int = 0
    total_4: int = 0
    n_words: int = 0
    n_reference_words: int = 0
    n_judged: int = 0
    n_judge_failures: int = 0
    judge_score: int = 0


def giqa_description(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    judge: Judge | None = None,
    tokenize: Tokenize = "coco",
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score descriptions.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text, one per prediction.
        box_format: How the predictions write boxes.
        judge: Gives LLM-Score; without one it is None.
        tokenize: `coco`, as in the image-captioning tool set, or sacreBLEU's `13a`; with either, scripts without
            spaces between words are split by character, and Unicode's forms of one text are one.
        per_sample: Add the key `per_sample`: each sample's `DescriptionStats` as a dict, in input order.

    Returns:
        bleu4 (0-100, corpus level), llm_score (0-100, the mean of the n_judged samples that the judge gave a score;
        None where they are fewer than half), n_samples, n_judged, n_judge_failures and signature. An empty description
        is judged 0, and the judge is not asked.

    Raises:
        ValueError: If there is no sample, the lengths differ, or an option is unknown.

    Example:
        >>> text = "The [tower](<35, 319>) is sharp and well lit."
        >>> giqa_description(["The tower is sharp and well lit."], [text])["bleu4"]
        100.0
    """
    predictions, references = samples_of(predictions=predictions, references=references)
    answers, truths = answers_of(predictions, box_format), scan([text or "" for text in references]).plain()
    table = table_of(answers, truths, judge=judge, tokenize=tokenize)
    result = aggregate(DescriptionStats.of(table.sum(axis=0)))
    result["signature"] = signature_of(box_format=box_format, judge=judge, tokenize=tokenize)
    return result | {"per_sample": DescriptionStats.dicts(table)} if per_sample else result


def table_of(
    answers: Sequence[str], truths: Sequence[str], *, judge: Judge | None = None, tokenize: Tokenize = "coco"
) -> Table:
    """Sum up each of N pairs of plain texts: shape (N, S), the columns of `DescriptionStats`."""
    sides = [[*words_of(texts, tokenize)] for texts in (answers, truths)]
    for texts, words in zip((answers, truths), sides, strict=True):
        whole = sum(_is_whole(text, found) for text, found in zip(texts, words, strict=True))
        if whole:
            said = (
                "%d texts were not split into words, which have over %d characters there: BLEU@4 finds nothing in them"
            )
            logger.warning(said, whole, LONG)
    counted = [[1, *_count(*pair)] for pair in zip(*sides, strict=True)]
    table = np.zeros((len(answers), len(DescriptionStats.names())))
    table[:, : len(counted[0]) if counted else 0] = counted
    if judge is not None:
        judged = ask_judge(judge, [Case("", *pair) for pair in zip(truths, answers, strict=True)])
        table[:, -3:] = [(0, 1, 0) if score is None else (1, 0, score) for score in judged]
    return table


def signature_of(*, box_format: str, judge: Judge | None, tokenize: Tokenize = "coco") -> str:
    """Name everything that can move the scores."""
    return signature(
        "giqa_description",
        reply=VERSION,
        format=box_format,
        bleu="corpus-4",
        tok=f"{tokenize}+nfc+char",
        smooth="none",
        judge=judge_name(judge),
    )


def aggregate(stats: DescriptionStats) -> dict[str, Any]:
    """Turn sums into scores, 0-100; LLM-Score is None where the judge scored fewer than half of the samples."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU.compute_bleu(
        correct=[stats.matches_1, stats.matches_2, stats.matches_3, stats.matches_4],
        total=[stats.total_1, stats.total_2, stats.total_3, stats.total_4],
        sys_len=stats.n_words,
        ref_len=stats.n_reference_words,
        smooth_method="none",
    )
    has_score = stands(stats.n_judged, stats.n_judge_failures)
    return {
        "bleu4": round(float(bleu.score), 9),  # exp(log(1)) is not quite 1
        "llm_score": 100 * stats.judge_score / (TOP * stats.n_judged) if has_score else None,
        "n_samples": stats.n_samples,
        "n_judged": stats.n_judged,
        "n_judge_failures": stats.n_judge_failures,
    }


def best_constant(references: Sequence[str]) -> int:
    """Find the reference with the highest BLEU@4 against the others, each a plain text; of equal ones the first.

    Clipped matches with all references at once: an n-gram's k-th occurrence is matched by every reference that has a
    k-th one, so that counting once how many have it does for every candidate.

    Example:
        >>> best_constant(["The sky is dark.", "The cup is too dark, and noisy.", "The cup is too dark."])
        2
    """
    split = list(words_of(references, "coco"))
    known = [list(_occurrences(words)) for words in split]
    holders = Counter(part for parts in known for part in parts)
    n_words = sum(map(len, split))
    scores = []
    for words, parts in zip(split, known, strict=True):
        matches = Counter[int]()
        for part in parts:
            matches[len(part[0])] += holders[part] - 1  # its own
        sums = {f"matches_{n}": matches[n] for n in range(1, MAX_ORDER + 1)}
        sums |= {f"total_{n}": max(len(words) - n + 1, 0) * (len(references) - 1) for n in range(1, MAX_ORDER + 1)}
        others = {"n_words": len(words) * (len(references) - 1), "n_reference_words": n_words - len(words)}
        scores.append(aggregate(DescriptionStats(**sums, **others))["bleu4"])
    return int(np.argmax(scores))


def _occurrences(words: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The n-grams of a text up to `MAX_ORDER`, each with how often it has occurred so far."""
    seen = Counter[tuple[str, ...]]()
    for n in range(1, MAX_ORDER + 1):
        for gram in zip(*(words[k:] for k in range(n)), strict=False):
            seen[gram] += 1
            yield gram, seen[gram]


def _is_whole(text: str, words: Sequence[str]) -> bool:
    """Whether letters stand in a text that no rule has split."""
    return len(text) > LONG * len(words) and sum(map(str.isalpha, text)) > LONG * max(len(words), 1)


def words_of(texts: Sequence[str], tokenize: Tokenize = "coco") -> Iterator[list[str]]:
    """Split plain texts, in Unicode's form NFC, into words; in scripts without spaces, into characters.

    sacreBLEU's `zh` does so in Chinese.
    """
    texts = [text if text.isascii() else spaced(unicodedata.normalize("NFC", text)) for text in texts]
    if tokenize == "coco":
        return map(ptb_tokens, texts)
    if tokenize == "13a":
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

        split: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]
        return (split(text.rstrip()).split() for text in texts)
    raise InputError(f"expected the tokenisation 'coco' or '13a', got {tokenize!r}")


def _count(answer: Sequence[str], reference: Sequence[str]) -> list[int]:
    """Count one pair's n-grams as sacreBLEU does: matches by order, totals by order, words of both sides."""
    matches, totals = [], []
    for n in range(1, MAX_ORDER + 1):
        # zip ends with its shortest: the n-grams
        mine, theirs = (Counter(zip(*(words[k:] for k in range(n)), strict=False)) for words in (answer, reference))
        matches.append(sum(min(count, theirs[words]) for words, count in mine.items() if words in theirs))
        totals.append(max(len(answer) - n + 1, 0))
    return [*matches, *totals, len(answer), len(reference)]
