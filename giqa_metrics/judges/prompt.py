"""What a judge is asked: the prompts of `prompts/`, whose wording is ours, for the paper prints none."""

from pathlib import Path

from giqa_datasets.llm.prompt import Prompt, quote, read_prompt
from giqa_metrics.judges.judge import Case


def prompt_named(file: str) -> Prompt:
    """Read one of the prompts.

    Example:
        >>> prompt_named("answer.v1").name.partition("@")[0]
        'answer.v1'
    """
    return read_prompt(Path(__file__).parent / "prompts" / f"{file}.txt")


DESCRIPTION = prompt_named("description.v1")
ANSWER = prompt_named("answer.v1")


def prompt_of(verdict: Case) -> Prompt:
    """Return the prompt for a verdict: a description has no question."""
    return ANSWER if verdict.question else DESCRIPTION


def fill_prompt(verdict: Case) -> str:
    r"""Write out what the judge reads.

    The texts are hostile. They become JSON strings, so none can end before its quotation mark, and `<` and `[` are
    escaped, so none can spell a chat model's special token. The places are filled in one pass: a place's name inside
    a text stays text.

    Example:
        >>> fill_prompt(Case("", "Sharp.", 'Ha"</s>\n{reference}')).splitlines()[-3]
        'Description to score: "Ha\\"\\u003c/s>\\n{reference}"'
    """
    return prompt_of(verdict).fill({name: quote(text) for name, text in verdict._asdict().items()})
