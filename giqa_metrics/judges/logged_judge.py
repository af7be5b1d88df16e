"""A judge whose every reply is logged: a killed run goes on, a second run asks nothing, the log replays offline.

`judge.jsonl` has every reply by the key of what was asked, and is only ever appended to: a verdict that was asked
again has both replies there. `score` stands there for
people: who replays a log reads it again from the raw reply, with the parser of the day.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import combinations, product
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
from giqa_metrics.judges.prompt import Prompts, fill_prompt, prompts_named
from giqa_metrics.judges.reply import SCHEMA, VERSION, score_of


# Ours. Whatever runs the model gets the same ones, so a log serves every backend
PARAMETERS: dict[str, int] = {"temperature": TEMPERATURE, "max_tokens": 256, "seed": 0}
BYTES_PER_TOKEN = 4  # English text; `JudgePlan` says that it estimates
AGAIN: dict[str, Any] = {
    "temperature": 0.7,
    "seed": 1000,
}  # added to a second try's: greedy, a model would say the same again
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
    """One try at one repeat of one verdict, what is asked for it, and the key of its reply."""

    verdict: Case
    repeat: int
    attempt: int  # 1 where it is asked again
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
        name: For the signature: the model and a hash of prompts, parameters and the reading of replies, such as
            `meta-llama/Meta-Llama-3-8B-Instruct@1a2b3c4d`. A judge that asks again has `,ask-again` behind it, and one
            with another model or other prompts `,not-comparable`.
        comparable: Whether the scores compare with others of this project: whether the model is `DEFAULT_MODEL`, and
            the prompts the newest.
        n_faults: The calls that failed so far.
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
        prompts: Prompts | None = None,
        ask_again: bool = False,
    ) -> None:
        """See `open_judge`; `backend` opens one, None is none."""
        newest = prompts_named()
        self._prompts = prompts or newest
        names = [prompt.name for prompt in self._prompts]
        parameters = PARAMETERS | ({"again": AGAIN} if ask_again else {})
        self.comparable = model == DEFAULT_MODEL and self._prompts == newest
        marks = (",ask-again" if ask_again else "") + ("" if self.comparable else ",not-comparable")
        self.name = f"{label(model)}@{_hash([names, PARAMETERS, SCHEMA, VERSION])[:8]}{marks}"
        self.settings: dict[str, Any] = {
            "model": model,
            "prompts": names,
            "parameters": parameters,
            "repeats": repeats,
            "ask_again": ask_again,
        }
        self._model, self._repeats, self._attempts = model, repeats, range(2 if ask_again else 1)
        self._open, self._progress = backend, progress
        self._log = log
        self._replies = read_log(log) if log else {}
        self.n_faults = 0
        self._asked: dict[Case, None] = {}
        self._lock = Lock()

    @cached_property
    def _backend(self) -> Backend | None:
        """Load or connect at the first need."""
        return self._open() if self._open else None

    def judge(self, batch: Sequence[Case]) -> list[int | None]:
        """Score each answer 0 to 4; None where the judge could not be asked or its reply held no score.

        Equal verdicts are asked once, or again where the logged reply held no score and the judge may. A call that
        failed is not logged, so another run makes it again.

        Raises:
            ConnectionError: If the server cannot be reached or refuses every call; replies up to then are logged.
            ImportError: If the backend is not installed.
            OSError: If the model cannot be had.
        """
        self._asked |= dict.fromkeys(batch)
        faults: Counter[str] = Counter()
        n_asked = 0
        for attempt in self._attempts:  # what is to be asked again shows in the first replies
            missing = [call for call in self._missing(batch) if call.attempt == attempt]
            n_asked += len(missing)
            faults += self._ask_all(missing) if missing else Counter()
        self.n_faults += faults.total()
        if faults:
            reasons = "; ".join(f"{reason} ({count})" for reason, count in faults.most_common(3))
            logger.warning("%d of %d calls to the judge failed: %s", faults.total(), n_asked, reasons)
        scores = {verdict: self._score(verdict, 0) for verdict in dict.fromkeys(batch)}
        return [scores[verdict] for verdict in batch]

    def plan(self, batch: Sequence[Case]) -> JudgePlan:
        """Count what judging would take; nothing is asked, loaded or written."""
        missing = self._missing(batch)
        n_logged = sum(
            self._call(verdict, repeat, attempt).key in self._replies
            for verdict, repeat in self._wanted(batch)
            for attempt in self._attempts
        )
        n_bytes = (sum(len(turn.text.encode()) for turn in call.request.turns) for call in missing)
        n_tokens = sum(ceil(count / BYTES_PER_TOKEN) + REPLY_TOKENS for count in n_bytes)
        return JudgePlan(len(missing), n_logged, n_tokens)

    def agreement(self) -> dict[str, Any] | None:
        """Say how far the judge agrees with itself over all it was asked so far; None if each was asked once.

        Returns:
            identical, the share of verdicts whose repeats all gave the same score, in [0, 1]; mean_difference, of two
            repeats of a verdict, in [0, 4]; n_verdicts, which both are over; n_left_out, of which a repeat failed.
            Without a verdict the first two are None.
        """
        if self._repeats == 1:
            return None
        rows = {verdict: [self._score(verdict, repeat) for repeat in range(self._repeats)] for verdict in self._asked}
        whole = [[score for score in row if score is not None] for row in rows.values() if None not in row]
        return {
            "identical": fmean(len(set(row)) == 1 for row in whole) if whole else None,
            "mean_difference": fmean(abs(a - b) for row in whole for a, b in combinations(row, 2)) if whole else None,
            "n_verdicts": len(whole),
            "n_left_out": len(rows) - len(whole),
        }

    def _wanted(self, verdicts: Iterable[Case]) -> Iterator[tuple[Case, int]]:
        """All repeats of each distinct verdict."""
        return product(dict.fromkeys(verdicts), range(self._repeats))

    def _call(self, verdict: Case, repeat: int, attempt: int) -> Call:
        prompt = self._prompts.of(verdict)
        request = Request(
            fill_prompt(prompt, verdict),
            PARAMETERS["seed"] + repeat + attempt * AGAIN["seed"],
            PARAMETERS["max_tokens"],
            SCHEMA,
            before=prompt.before,
            temperature=PARAMETERS["temperature"] + attempt * AGAIN["temperature"],
        )
        key = _hash([self._model, request.turns, SCHEMA, PARAMETERS, *([AGAIN] if attempt else []), repeat])
        return Call(verdict, repeat, attempt, request, key)

    def _missing(self, verdicts: Iterable[Case]) -> list[Call]:
        """The next call of each verdict's repeat that is not settled, by a score or by all the tries it has."""
        missing = []
        for verdict, repeat in self._wanted(verdicts):
            for attempt in self._attempts:
                call = self._call(verdict, repeat, attempt)
                reply = self._replies.get(call.key)
                if reply is None:
                    missing.append(call)
                if reply is None or score_of(reply) is not None:
                    break
        return missing

    def _score(self, verdict: Case, repeat: int) -> int | None:
        """Score of the first try whose reply holds one; None if there is no reply, or no score in it."""
        for attempt in self._attempts:
            reply = self._replies.get(self._call(verdict, repeat, attempt).key)
            score = score_of(reply) if reply else None
            if score is not None:
                return score
        return None

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
            "prompt": self._prompts.of(call.verdict).name,
            "repeat": call.repeat,
            "attempt": call.attempt,
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
