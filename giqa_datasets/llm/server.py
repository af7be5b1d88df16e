"""A language model behind an OpenAI-compatible server: vLLM, TGI, llama.cpp, `transformers serve`, a paid service."""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from giqa_datasets.errors import InputError, UnreachableError
from giqa_datasets.extras import require
from giqa_datasets.http_answers import LONGEST, bound
from giqa_datasets.llm.backend import ChatTurn, Fault, Reply, Request, Role, label, merged


ADDRESS = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[^\s/@?#:\[\]]+)(:\d{1,5})?(/[^\s@?#]*)?")  # and no password
NO_KEY = "none"  # a server on this machine asks for none
# What a request may carry: the client adds headers from OPENAI_* variables, and they are not meant for this server
HEADERS = frozenset({"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type"})
HEADERS |= {"host", "user-agent", "x-stainless-raw-response"}  # by the last one the client knows what we want back
logger = logging.getLogger(__name__)

UNREACHABLE = frozenset({"ConnectError", "ConnectTimeout", "ProxyError"})
REFUSED = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405})  # whatever is asked
MODERATED = 403  # but a server that has answered others may refuse one request so


class Message(BaseModel):
    """What the model said; nothing where it only thought."""

    content: str | None


class _Choice(BaseModel):
    """One of the model's answers; one is asked for."""

    message: Message
    finish_reason: str | None = None


class Completion(BaseModel):
    """What is read of a server's response."""

    choices: tuple[_Choice, ...]


class Server:
    """Asks a server, a request at a time, several at once."""

    batch_size = 1

    def __init__(
        self, model: str, base_url: str, *, role: Role, concurrency: int, timeout: float, retries: int
    ) -> None:
        """Make the client; nothing is sent."""
        self.name = label(model)
        self.concurrency = concurrency
        self._model = model
        self._place = f"{role.name} at {base_url}"
        self._client = _client(base_url, role, self._place, timeout=timeout, retries=retries)
        self._has_answered = False
        self._takes_options = True
        self._takes_system: bool | None = None  # not known before a request has a system turn

    def ask(self, requests: Sequence[Request]) -> list[Reply | Fault]:
        """Answer each request.

        Raises:
            ConnectionError: If the server cannot be reached, or refuses the key, the model or the address.
        """
        return [self._ask(request) for request in requests]

    def _ask(self, request: Request) -> Reply | Fault:
        """Answer one request; what another request may well survive is a fault."""
        import openai

        try:
            read = _read(self._post_any(request))
            self._has_answered |= isinstance(read, Reply)
            return read
        except openai.APIConnectionError as error:
            kind = type(error.__cause__).__name__
            if kind in UNREACHABLE:
                raise UnreachableError(f"{self._place} cannot be reached: {error.__cause__}") from error
            return Fault(kind)
        except openai.APIStatusError as error:
            said = f"HTTP {error.status_code}, {error.response.text[:200]!r}"
            if error.status_code not in REFUSED or (error.status_code == MODERATED and self._has_answered):
                return Fault(said)
            raise UnreachableError(f"{self._place} refuses every call for model {self._model!r}: {said}") from error

    def _post_any(self, request: Request) -> bytes:
        """Post with the system turn; as part of the user's, from then on, if that is what the server cannot read.

        Whether it cannot is asked twice: `transformers serve` answers a template that refuses the turn with status
        500, which may as well be a fault of the moment.
        """
        import openai

        refusals = openai.BadRequestError, openai.UnprocessableEntityError, openai.InternalServerError
        turns = request.turns
        if turns[0].role != "system" or self._takes_system:
            return self._post_turns(request, turns)
        if self._takes_system is False:
            return self._post_turns(request, merged(turns))
        try:
            content = self._post_turns(request, turns)
        except refusals as refusal:
            try:
                instead = self._post_turns(request, merged(turns))
            except openai.APIStatusError:
                raise refusal from None
            try:
                content = self._post_turns(request, turns)
            except refusals:
                self._takes_system = False
                logger.info("%s does not take a system turn", self._place)
                return instead
        self._takes_system = True
        return content

    def _post_turns(self, request: Request, turns: Sequence[ChatTurn]) -> bytes:
        """Post with schema and special tokens; without, from then on, if that is what the server cannot read."""
        import openai

        options: dict[str, Any] = {}
        if request.schema is not None:
            schema = request.schema._asdict() | {"strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.with_special_tokens:
            options["skip_special_tokens"] = False  # vLLM and SGLang know it
        if not options or not self._takes_options:
            return self._post(request, turns)
        try:
            return self._post(request, turns, **options)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            content = self._post(request, turns)
            self._takes_options = False
            logger.info("%s does not take %s", self._place, ", ".join(options))
            return content

    def _post(self, request: Request, turns: Sequence[ChatTurn], **options: Any) -> bytes:
        """Post one chat; the raw response's body."""
        parameters = {"temperature": request.temperature, "max_tokens": request.max_tokens, "seed": request.seed}
        chat: list[Any] = [{"role": turn.role, "content": turn.text} for turn in turns]
        if request.image is not None:
            image = {"type": "image_url", "image_url": {"url": request.image}}
            chat[-1]["content"] = [image, {"type": "text", "text": chat[-1]["content"]}]
        response = self._client.chat.completions.with_raw_response.create(
            model=self._model,
            messages=chat,
            extra_body=parameters | options,
        )
        return bytes(response.content)


def require_url(base_url: str, role: Role) -> None:
    """Refuse an address that is none, or that holds a password, since errors print it.

    Raises:
        ValueError: If the address is not fit.
    """
    if not (ADDRESS.fullmatch(base_url) and base_url.isprintable()):
        raise InputError(
            f"expected {role.one}'s address such as 'http://127.0.0.1:8000/v1', without a password or a query, "
            f"got another; a key goes into {role.key_variable}"
        )


def _client(base_url: str, role: Role, place: str, *, timeout: float, retries: int) -> Any:
    """Make an openai client that takes nothing from the environment but our own key."""
    require(f"{role.one} behind a server needs openai", "server", "openai")
    import openai

    key = os.environ.get(role.key_variable, "").strip() or NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"expected printable ASCII in {role.key_variable}, got something else")

    def keep_ours(request: Any) -> None:
        for name in set(request.headers) - HEADERS:
            del request.headers[name]
        request.headers["authorization"] = f"Bearer {key}"

    # Nowhere else: a redirect would take the key along
    http_client = openai.DefaultHttpxClient(event_hooks={"request": [keep_ours]}, follow_redirects=False)
    bound(http_client, place)
    return openai.OpenAI(api_key=key, base_url=base_url, timeout=timeout, max_retries=retries, http_client=http_client)


def _read(content: bytes) -> Reply | Fault:
    """Read a response's body."""
    if len(content) > LONGEST:
        return Fault(f"a response of more than {LONGEST:,} bytes")
    try:
        choice = Completion.model_validate_json(content).choices[0]
    except (ValidationError, IndexError):
        return Fault("no chat completion")
    return Reply(choice.message.content or "", choice.finish_reason == "length")
