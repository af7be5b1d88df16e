"""A judge whose every reply is logged: a killed run goes on, a second run asks nothing, the log replays offline.

`judge.jsonl` has every reply by the key of what was asked, and is only ever appended to. `score` stands there for
people: who replays a log reads it again from the raw reply, with the parser of the day.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import combinations
from math import ceil
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from giqa_datasets.batches import batches
from giqa_datasets.console import Progress
from giqa_datasets.files import append_line, json_line, mend, read_lines
from giqa_datasets.llm import DEFAULT_MODEL, TEMPERATURE, Backend, Fault, Reply, Request, label
from giqa_metrics.judges.judge import Case
from giqa_metrics.judges.prompt import ANSWER, DESCRIPTION, fill_prompt, prompt_of
from giqa_metrics.judges.reply import SCHEMA, score_of


# Ours. Whatever runs the model gets the same ones, so a log serves every backend
PARAMETERS = {"temperature": TEMPERATURE, "max_tokens": 256, "seed": 0}
BYTES_PER_TOKEN = 4  # English text; `JudgePlan` says that it estimates
REPLY_TOKENS = 8  # {"score": 3} and the end

logger = logging.getLogger(__name__)


class JudgePlan(NamedTuple):
    """What judging would take: calls to make, calls whose reply is logged, tokens of the former (an estimate).

    A token is four bytes of the prompt, and a reply is the eight tokens of `{"score": 3}`.
    """

    n_calls: int
    n_logged: int
    n_tokens: int


class Call(NamedTuple):
    """One repeat of one verdict, what is asked for it, and the key of its reply."""

    verdict: Case
    repeat: int
    request: Request
    key: str


class ReplyLine(BaseModel):
    """What is read of a line."""

    model_config = ConfigDict(extra="ignore", strict=True)
    key: str
    reply: str
    is_cut: bool


def read_log(path: Path) -> dict[str, Reply]:
    """Read the replies by key, the first of each; empty where there is no file.

    Raises:
        ValueError: If a line is no reply; it is named.
    """
    replies: dict[str, Reply] = {}
    expected = "an object with the strings key and reply and the boolean is_cut"
    for _, line in read_lines(path, ReplyLine, expected=expected, grows=True) if path.exists() else ():
        replies.setdefault(line.key, Reply(line.reply, line.is_cut))
    return replies


class LoggedJudge:
    """A `Judge` that looks its replies up before it asks; `open_judge` makes one.

    Attributes:
        name: For the signature: the model and a hash of prompts and parameters, such as
            `meta-llama/Meta-Llama-3-8B-Instruct@1a2b3c4d`. Any other model than that one is marked as
            `Qwen/Qwen3-8B@1a2b3c4d,not-comparable`.
        comparable: Whether the scores compare with others of this project: whether the model is `DEFAULT_MODEL`.
        settings: What a replay of the log needs, for `summary.json`.
    """

    def __init__(
        self,
        model: str,
        backend: Callable[[], Backend] | None,
        *,
        log: Path | None,
        repeats: int,
        progress: Progress,
    ) -> None:
        """See `open_judge`; `backend` opens one, None is none."""
        prompts = [DESCRIPTION.name, ANSWER.name]
        self.comparable = model == DEFAULT_MODEL
        self.name = f"{label(model)}@{_hash([prompts, PARAMETERS])[:8]}" + (
            "" if self.comparable else ",not-comparable"
        )
        self.settings: dict[str, Any] = {
            "model": model,
            "prompts": prompts,
            "parameters": PARAMETERS,
            "repeats": repeats,
        }
        self._model, self._repeats = model, repeats
        self._open, self._progress = backend, progress
        self._log = log
        self._replies = read_log(log) if log else {}
        self._asked: dict[Case, None] = {}
        self._lock = Lock()

    @cached_property
    def _backend(self) -> Backend | None:
        """Load or connect at the first need."""
        return self._open() if self._open else None

    def judge(self, batch: Sequence[Case]) -> list[int | None]:
        """Score each answer 0 to 4; None where the judge could not be asked or its reply held no score.

        Equal verdicts are asked once. A call that failed is not logged, so another run makes it again.

        Raises:
            ConnectionError: If the server cannot be reached or refuses every call; replies up to then are logged.
            ImportError: If the backend is not installed.
            OSError: If the model cannot be had.
        """
        self._asked |= dict.fromkeys(batch)
        calls = list(self._calls(batch))
        missing = [call for call in calls if call.key not in self._replies]
        faults = self._ask_all(missing) if missing else Counter()
        if faults:
            reasons = "; ".join(f"{reason} ({count})" for reason, count in faults.most_common(3))
            logger.warning("%d of %d calls to the judge failed: %s", faults.total(), len(missing), reasons)
        scores = {call.verdict: self._score(call) for call in calls if call.repeat == 0}
        return [scores[verdict] for verdict in batch]

    def plan(self, batch: Sequence[Case]) -> JudgePlan:
        """Count what judging would take; nothing is asked, loaded or written."""
        calls = list(self._calls(batch))
        missing = [call for call in calls if call.key not in self._replies]
        n_tokens = sum(ceil(len(call.request.prompt.encode()) / BYTES_PER_TOKEN) + REPLY_TOKENS for call in missing)
        return JudgePlan(len(missing), len(calls) - len(missing), n_tokens)

    def agreement(self) -> dict[str, Any] | None:
        """Say how far the judge agrees with itself over all it was asked so far; None if each was asked once.

        Returns:
            identical, the share of verdicts whose repeats all gave the same score, in [0, 1]; mean_difference, of two
            repeats of a verdict, in [0, 4]; n_verdicts, which both are over; n_left_out, of which a repeat failed.
            Without a verdict the first two are None.
        """
        if self._repeats == 1:
            return None
        rows: dict[Case, list[int | None]] = {verdict: [] for verdict in self._asked}
        for call in self._calls(self._asked):
            rows[call.verdict].append(self._score(call))
        whole = [[score for score in row if score is not None] for row in rows.values() if None not in row]
        return {
            "identical": fmean(len(set(row)) == 1 for row in whole) if whole else None,
            "mean_difference": fmean(abs(a - b) for row in whole for a, b in combinations(row, 2)) if whole else None,
            "n_verdicts": len(whole),
            "n_left_out": len(rows) - len(whole),
        }

    def _calls(self, verdicts: Iterable[Case]) -> Iterator[Call]:
        """All repeats of each distinct verdict."""
        for verdict in dict.fromkeys(verdicts):
            prompt = fill_prompt(verdict)
            for repeat in range(self._repeats):
                key = _hash([self._model, prompt, PARAMETERS, repeat])
                request = Request(prompt, PARAMETERS["seed"] + repeat, PARAMETERS["max_tokens"], SCHEMA)
                yield Call(verdict, repeat, request, key)

    def _score(self, call: Call) -> int | None:
        """Score of a call's reply, or None if there is no reply or no score in it."""
        reply = self._replies.get(call.key)
        return score_of(reply) if reply else None

    def _ask_all(self, calls: Sequence[Call]) -> Counter[str]:
        """Ask and log; count the faults by reason."""
        backend = self._backend
        if backend is None:
            return Counter({"not in the log": len(calls)})
        if self._log:
            mend(self._log)
        pool = ThreadPoolExecutor(backend.concurrency)
        try:
            asked = pool.map(partial(self._ask, backend), batches(calls, backend.batch_size))
            n_batches = ceil(len(calls) / backend.batch_size)
            return Counter(fault.reason for faults in self._progress(asked, n_batches, "judge") for fault in faults)
        finally:  # after an error nothing more is asked; what is under way comes back and is logged
            pool.shutdown(cancel_futures=True)

    def _ask(self, backend: Backend, calls: Sequence[Call]) -> list[Fault]:
        """Ask for one batch and log its replies; return what failed."""
        replies = backend.ask([call.request for call in calls])
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, Reply):
                self._keep(call, reply)
        return [reply for reply in replies if isinstance(reply, Fault)]

    def _keep(self, call: Call, reply: Reply) -> None:
        """Log a reply."""
        line = {
            "key": call.key,
            "model": self._model,
            "prompt": prompt_of(call.verdict).name,
            "repeat": call.repeat,
            **call.verdict._asdict(),
            "reply": reply.text,
            "is_cut": reply.is_cut,
            "score": score_of(reply),
        }
        with self._lock:
            if self._log:
                append_line(self._log, json_line(line))
            self._replies[call.key] = reply


def _hash(value: object) -> str:
    """Hash what JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
