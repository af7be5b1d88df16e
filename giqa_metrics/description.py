"""giqa_description: BLEU@4 and LLM-Score of descriptions, boxes stripped and names kept (protocol section 7)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from giqa_datasets.errors import InputError
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.text import strip
from giqa_metrics.inputs import require_samples
from giqa_metrics.judges.judge import TOP, Case, Judge, ask_judge, judge_name
from giqa_metrics.ptb_tokenizer import ptb_tokens
from giqa_metrics.signature import signature
from giqa_metrics.stats import Stats


Tokenize = Literal["coco", "13a"]


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
        tokenize: `coco`, as in the image-captioning tool set, or sacreBLEU's `13a`.
        per_sample: Add the key `per_sample`: each sample's `DescriptionStats` as a dict, in input order.

    Returns:
        bleu4 (0-100, corpus level), llm_score (0-100 or None), n_samples, n_judge_failures and signature.

    Raises:
        ValueError: If there is no sample, the lengths differ, or an option is unknown.

    Example:
        >>> text = "The [tower](<35, 319>) is sharp and well lit."
        >>> giqa_description(["The tower is sharp and well lit."], [text])["bleu4"]
        100.0
    """
    require_samples(predictions=predictions, references=references)
    if tokenize not in ("coco", "13a"):
        raise InputError(f"expected the tokenisation 'coco' or '13a', got {tokenize!r}")
    plain = format_named(box_format).strip
    pairs = [(plain(mine or ""), strip(theirs or "")) for mine, theirs in zip(predictions, references, strict=True)]
    rows = [_count(*pair, tokenize) for pair in pairs]
    if judge is not None:
        judged = ask_judge(judge, [Case("", reference, answer) for answer, reference in pairs])
        rows = [row + _judged(score) for row, score in zip(rows, judged, strict=True)]
    result = aggregate(sum(rows, DescriptionStats())) | {
        "signature": signature(
            "giqa_description",
            format=box_format,
            bleu="corpus-4",
            tok=tokenize,
            smooth="none",
            judge=judge_name(judge),
        )
    }
    return result | {"per_sample": [asdict(row) for row in rows]} if per_sample else result


def aggregate(stats: DescriptionStats) -> dict[str, Any]:
    """Turn sums into scores, 0-100; LLM-Score is None where the judge gave none."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU.compute_bleu(
        correct=[stats.matches_1, stats.matches_2, stats.matches_3, stats.matches_4],
        total=[stats.total_1, stats.total_2, stats.total_3, stats.total_4],
        sys_len=stats.n_words,
        ref_len=stats.n_reference_words,
        smooth_method="none",
    )
    return {
        "bleu4": round(float(bleu.score), 9),  # exp(log(1)) is not quite 1
        "llm_score": 100 * stats.judge_score / (TOP * stats.n_judged) if stats.n_judged else None,
        "n_samples": stats.n_samples,
        "n_judge_failures": stats.n_judge_failures,
    }


def _count(answer: str, reference: str, tokenize: Tokenize) -> DescriptionStats:
    """Count one pair's n-grams by sacreBLEU."""
    from sacrebleu.metrics.bleu import BLEU

    if tokenize == "coco":
        answer, reference = (" ".join(ptb_tokens(text)) for text in (answer, reference))
    metric = BLEU(tokenize="none" if tokenize == "coco" else "13a", smooth_method="none", force=True)
    counted = metric.corpus_score([answer], [[reference]])
    columns = [1, *counted.counts, *counted.totals, counted.sys_len, counted.ref_len]
    return DescriptionStats(**dict(zip(DescriptionStats.names(), columns, strict=False)))


def _judged(score: int | None) -> DescriptionStats:
    """What the judge's score adds."""
    return DescriptionStats(n_judge_failures=1) if score is None else DescriptionStats(n_judged=1, judge_score=score)
