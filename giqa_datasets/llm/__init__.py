"""Language models as the annotation pipeline and the judges ask them: behind a server, or in this process."""

from giqa_datasets.errors import InputError
from giqa_datasets.llm.backend import (
    TEMPERATURE,
    Backend,
    ChatTurn,
    Fault,
    Reply,
    Request,
    Role,
    Schema,
    ask_all,
    label,
)
from giqa_datasets.llm.local import Local
from giqa_datasets.llm.server import Server, require_url


DEFAULT_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"  # ours: the paper says Llama 3
LLM = Role("LLM", "an LLM", "GIQA_LLM_API_KEY")

__all__ = [
    "DEFAULT_MODEL",
    "LLM",
    "TEMPERATURE",
    "Backend",
    "ChatTurn",
    "Fault",
    "Local",
    "Reply",
    "Request",
    "Role",
    "Schema",
    "Server",
    "ask_all",
    "label",
    "open_llm",
    "require_url",
]


def open_llm(
    model: str = DEFAULT_MODEL,
    base_url: str | None = None,
    *,
    key_variable: str = LLM.key_variable,
    concurrency: int = 8,
    timeout: float = 60,
    retries: int = 3,
    device: str | None = None,
) -> Backend:
    """Open a language model. A local one is loaded; to a server nothing is sent yet.

    Args:
        model: The name under which the server knows the model, or a model id on the Hub or a folder.
        base_url: An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`; None runs `model` here, with
            transformers.
        key_variable: The environment variable that holds the server's key.
        concurrency: Calls to a server at once.
        timeout: Seconds to wait for a server, each time.
        retries: How often a call that failed is made again.
        device: Where a local model runs; None is the GPU if there is one.

    Raises:
        ImportError: If the client or transformers is not installed.
        OSError: If the model cannot be had.
        ValueError: If an option is out of range, or the address or the key is not fit.

    Example:
        >>> open_llm("Qwen/Qwen3-8B", "http://127.0.0.1:8000/v1").name
        'Qwen/Qwen3-8B'
    """
    if concurrency < 1 or retries < 0 or not timeout > 0:
        raise InputError(
            "expected concurrency from 1, retries from 0 and a positive timeout, "
            f"got {concurrency}, {retries} and {timeout}"
        )
    role = LLM._replace(key_variable=key_variable)
    if base_url is None:
        return Local(model, role=role, device=device)
    require_url(base_url, role)
    return Server(model, base_url, role=role, concurrency=concurrency, timeout=timeout, retries=retries)
