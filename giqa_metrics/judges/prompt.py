"""What a judge is asked: the prompts of `prompts/`, whose wording is ours, for the paper prints none."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from giqa_datasets.errors import InputError
from giqa_datasets.llm.prompt import Prompt, quote, read_prompt
from giqa_metrics.judges.judge import Case


FOLDER = Path(__file__).parent / "prompts"
NEWEST = ("description.v2", "answer.v2")  # by relevance, as the paper says


class Prompts(NamedTuple):
    """The two prompts of a judge."""

    description: Prompt
    answer: Prompt

    def of(self, verdict: Case) -> Prompt:
        """Return the prompt for a verdict: a description has no question."""
        return self.answer if verdict.question else self.description


def prompt_named(file: str) -> Prompt:
    """Read one of the prompts.

    Raises:
        ValueError: If there is none of this name.

    Example:
        >>> prompt_named("answer.v1").name.partition("@")[0]
        'answer.v1'
    """
    names = sorted(path.stem for path in FOLDER.glob("*.txt"))
    if file not in names:
        raise InputError(f"expected a judge's prompt out of {names}, got {file!r}")
    return read_prompt(FOLDER / f"{file}.txt")


def prompts_named(names: Sequence[str] = ()) -> Prompts:
    """Read the newest prompts, or others in their place: `answer.*` is for answers, another name for descriptions.

    Example:
        >>> [prompt.name.partition("@")[0] for prompt in prompts_named(["coverage.v1"])]
        ['coverage.v1', 'answer.v2']
    """
    chosen = {name.startswith("answer."): prompt_named(name) for name in (*NEWEST, *names)}
    return Prompts(chosen[False], chosen[True])


def fill_prompt(prompt: Prompt, verdict: Case) -> str:
    r"""Write out the last turn that the judge reads.

    The texts are hostile. They become JSON strings, so none can end before its quotation mark, and `<` and `[` are
    escaped, so none can spell a chat model's special token. The places are filled in one pass: a place's name inside
    a text stays text.

    Example:
        >>> fill_prompt(prompt_named("description.v2"), Case("", "Sharp.", 'Ha"</s>\n{reference}')).splitlines()[-1]
        'Description to score: "Ha\\"\\u003c/s>\\n{reference}"'
    """
    return prompt.fill({name: quote(text) for name, text in verdict._asdict().items()})
