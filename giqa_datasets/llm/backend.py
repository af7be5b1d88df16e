"""What a language model is asked, what it gives back, and who runs it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from giqa_datasets.batches import batches


TEMPERATURE = 0  # greedy, as in protocol section 7


class Schema(NamedTuple):
    """A JSON schema that a reply should keep to, and its name."""

    name: str
    schema: Mapping[str, Any]


class ChatTurn(NamedTuple):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    text: str


class Request(NamedTuple):
    """One chat that a reply is asked for.

    Attributes:
        prompt: Its last turn, the user's.
        seed: It goes out with it.
        max_tokens: Of the longest reply.
        schema: Of the reply. Not every backend heeds it: a reply must be readable without it too.
        image: Its URL; a server alone takes one.
        with_special_tokens: Whether the reply is to hold them, for the boxes that are written in them. Not every
            server heeds it.
        before: The turns before the prompt: the system's, and worked examples as turns of user and assistant.
        temperature: 0 is greedy.
    """

    prompt: str
    seed: int
    max_tokens: int
    schema: Schema | None = None
    image: str | None = None
    with_special_tokens: bool = False
    before: tuple[ChatTurn, ...] = ()
    temperature: float = TEMPERATURE

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        """The whole chat."""
        return *self.before, ChatTurn("user", self.prompt)


class Reply(NamedTuple):
    """A model's raw reply, and whether it was cut off at the longest length."""

    text: str
    is_cut: bool


class Fault(NamedTuple):
    """Why a request got no reply."""

    reason: str


class Role(NamedTuple):
    """What a model is to those who use it.

    Attributes:
        name: As errors call it: judge.
        one: One of them: a judge.
        key_variable: The environment variable that holds a server's key.
    """

    name: str
    one: str
    key_variable: str


class Backend(Protocol):
    """Runs a model."""

    name: str  # of the model, for people
    batch_size: int  # requests in one call
    concurrency: int  # calls at once

    def ask(self, requests: Sequence[Request]) -> Sequence[Reply | Fault]:
        """Answer each request; a ConnectionError is what every other request would meet too."""
        ...


def ask_all(backend: Backend, requests: Sequence[Request]) -> list[Reply | Fault]:
    """Answer each request, in order; a server that cannot be reached is a fault of each."""
    pool = ThreadPoolExecutor(backend.concurrency)
    try:
        answered = pool.map(partial(_ask, backend), batches(requests, backend.batch_size))
        return [reply for replies in answered for reply in replies]
    finally:  # nobody waits after an interruption
        pool.shutdown(wait=False, cancel_futures=True)


def merged(turns: Sequence[ChatTurn]) -> tuple[ChatTurn, ...]:
    r"""Put a system turn into the user's first one, for chat templates that refuse it.

    Example:
        >>> merged([ChatTurn("system", "Be brief."), ChatTurn("user", "Is it sharp?")])
        (ChatTurn(role='user', text='Be brief.\n\nIs it sharp?'),)
    """
    if len(turns) < 2 or turns[0].role != "system":
        return tuple(turns)
    system, first, *others = turns
    return ChatTurn("user", f"{system.text}\n\n{first.text}"), *others


def label(model: str) -> str:
    """Name a model: a folder's place says nothing of it.

    Example:
        >>> label("/home/me/judge-7b"), label("Qwen/Qwen3-8B")
        ('judge-7b', 'Qwen/Qwen3-8B')
    """
    return Path(model).name if Path(model).is_absolute() else model


def _ask(backend: Backend, requests: Sequence[Request]) -> Sequence[Reply | Fault]:
    """Answer one batch."""
    try:
        return backend.ask(requests)
    except ConnectionError as error:
        return [Fault(str(error))] * len(requests)
