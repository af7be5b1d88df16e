"""giqa_description: BLEU@4 and LLM-Score of descriptions, boxes stripped and names kept (protocol section 7)."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from giqa_datasets.formats import box_format as format_named
from giqa_datasets.text import strip
from giqa_metrics.inputs import require_samples
from giqa_metrics.judge import TOP, Judge, Verdict, ask_judge
from giqa_metrics.ptb import ptb_tokens
from giqa_metrics.signature import signature


Tokenize = Literal["coco", "13a"]


def giqa_description(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    *,
    box_format: str = "giqa",
    judge: Judge | None = None,
    tokenize: Tokenize = "coco",
) -> dict[str, Any]:
    """Score descriptions.

    Args:
        predictions: A model's texts; None is no answer.
        references: GIQA text, one per prediction.
        box_format: How the predictions write boxes.
        judge: Gives LLM-Score; without one it is None.
        tokenize: `coco`, as in the image-captioning tool set, or sacreBLEU's `13a`.

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
        raise ValueError(f"expected the tokenisation 'coco' or '13a', got {tokenize!r}")
    read = format_named(box_format).read
    answers = [read(text or "").plain for text in predictions]
    truths = [strip(text or "") for text in references]
    scores: list[int] = []
    n_failures = 0
    if judge is not None:
        judged = ask_judge(judge, [Verdict("", *pair) for pair in zip(truths, answers, strict=True)])
        scores = [score for score in judged.scores if score is not None]
        n_failures = judged.n_failures
    return {
        "bleu4": bleu4(answers, truths, tokenize=tokenize),
        "llm_score": 100 * sum(scores) / (TOP * len(scores)) if scores else None,
        "n_samples": len(answers),
        "n_judge_failures": n_failures,
        "signature": signature(
            "giqa_description",
            format=box_format,
            bleu="corpus-4",
            tok=tokenize,
            smooth="none",
            judge="none" if judge is None else judge.name,
        ),
    }


def bleu4(answers: Sequence[str], references: Sequence[str], *, tokenize: Tokenize = "coco") -> float:
    """Corpus-level BLEU-4 with one reference, 0-100, counted by sacreBLEU.

    Example:
        >>> round(bleu4(["the cup is very sharp here"], ["the cup is very sharp there"]), 2)
        75.98
    """
    from sacrebleu.metrics.bleu import BLEU

    prepare: Callable[[str], str] = (lambda text: " ".join(ptb_tokens(text))) if tokenize == "coco" else str
    metric = BLEU(tokenize="none" if tokenize == "coco" else "13a", smooth_method="none", force=True)
    score = metric.corpus_score([prepare(text) for text in answers], [[prepare(text) for text in references]]).score
    return round(float(score), 9)  # exp(log(1)) is not quite 1
