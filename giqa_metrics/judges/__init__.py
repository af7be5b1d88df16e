"""LLM judges: a model behind any OpenAI-compatible server or in transformers, every reply of it in a log."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.llm import DEFAULT_MODEL, Backend, Local, Role, Server, require_url
from giqa_metrics.judges.logged_judge import JudgePlan, LoggedJudge
from giqa_metrics.judges.prompt import prompts_named


JUDGE = Role("judge", "a judge", "GIQA_JUDGE_API_KEY")

__all__ = ["DEFAULT_MODEL", "JudgePlan", "LoggedJudge", "open_judge"]


def open_judge(
    *,
    model: str = DEFAULT_MODEL,
    base_url: str | None = None,
    log: Path | None = None,
    repeats: int = 1,
    prompts: Sequence[str] = (),
    ask_again: bool = False,
    concurrency: int = 8,
    timeout: float = 60,
    retries: int = 3,
    replay: bool = False,
    progress: Progress = no_progress,
) -> LoggedJudge:
    """Open a judge for the text metrics. Nothing is loaded or connected before the first reply is needed.

    Args:
        model: The name under which the server knows the model, or a model id on the Hub or a folder.
        base_url: An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`; its key is read from
            GIQA_JUDGE_API_KEY in the environment. None runs `model` here, with transformers.
        log: The `judge.jsonl` that replies are looked up in and appended to; None keeps them in memory alone.
        repeats: How often each verdict is asked; the score is the first repeat's, the others show how steady it is.
        prompts: Prompts by name in place of the newest: `coverage.v1`, `description.v1`, `answer.v1`.
        ask_again: Whether a verdict whose logged reply held no score is asked once more, with another seed and not
            greedy; the log keeps both replies.
        concurrency: Calls to a server at once.
        timeout: Seconds to wait for a server, each time.
        retries: How often a call that failed is made again.
        replay: Ask nobody: a verdict that is not in the log is a failure.
        progress: Wraps the calls, of a local model its batches.

    Raises:
        FileNotFoundError: If there is no log to replay.
        ValueError: If an option is out of range, a prompt unknown, or a line of the log is no reply.

    Example:
        >>> judge = open_judge(model="Qwen/Qwen3-8B", base_url="http://127.0.0.1:8000/v1")
        >>> judge.name.rsplit(",")[-1], judge.agreement()
        ('not-comparable', None)
    """
    if min(repeats, concurrency) < 1 or retries < 0 or not timeout > 0:
        raise InputError(
            "expected repeats and concurrency from 1, retries from 0 and a positive timeout, "
            f"got {repeats}, {concurrency}, {retries} and {timeout}"
        )
    if replay and not (log and log.is_file()):
        raise MissingFileError(f"expected a judge's log to replay, found none at {log}")
    backend: Callable[[], Backend] | None = partial(Local, model, role=JUDGE)
    if base_url is not None:
        require_url(base_url, JUDGE)
        backend = partial(
            Server, model, base_url, role=JUDGE, concurrency=concurrency, timeout=timeout, retries=retries
        )
    return LoggedJudge(
        model,
        None if replay else backend,
        log=log,
        repeats=repeats,
        progress=progress,
        prompts=prompts_named(prompts),
        ask_again=ask_again,
    )
