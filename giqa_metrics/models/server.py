"""A vision-language model behind an OpenAI-compatible server: `vllm serve`, `transformers serve`, a paid service."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import chain, islice

from giqa_datasets.errors import InputError, UnavailableError
from giqa_datasets.images import bake, data_uri
from giqa_datasets.llm import Fault, Request, Role, Server, require_url
from giqa_metrics.models.local import input_size_by
from giqa_metrics.models.predictor import Answer, Question


ROLE = Role("model", "a model", "GIQA_PREDICT_API_KEY")
TIMEOUT = 300  # seconds; a request may wait for others
RETRIES = 6  # over about half a minute, or as long as the server asks for
HOPELESS = 10  # samples without an answer, and none with one: nobody waits for the rest
# What a server does not tell
UNFIT = {"qwen2_5_vl": "counts in pixels of the resized image, and a server does not say how large that is"}


def require_fit(box_format: str, server: str | None, processor: str | None = None) -> None:
    """Refuse a box format that cannot be read from a server alone.

    Args:
        box_format: The format's name.
        server: Its address; None is no server.
        processor: The folder or Hub id of the server's model, where one is named.

    Raises:
        ValueError: If the format is one of `UNFIT` and no processor is named, or one is named without a server.
    """
    if processor is not None and server is None:
        raise InputError("expected --server beside --processor: a model that runs here has its own")
    if server is not None and processor is None and box_format in UNFIT:
        raise InputError(
            f"box format {box_format!r} {UNFIT[box_format]}: name the folder of the server's model with --processor, "
            "or run the model without a server"
        )


class ServerPredictor:
    """Asks a server, a request for each sample, several at once."""

    batch_size = 1
    model_type: str | None = None  # a server does not say

    def __init__(
        self,
        model: str,
        url: str,
        *,
        concurrency: int,
        max_new_tokens: int,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        processor: str | None = None,
    ) -> None:
        """Make the client, which waits `timeout` seconds for each try; nothing is sent. See `open_predictor`."""
        require_url(url, ROLE)
        self._input_size = input_size_by(processor) if processor else None
        self._server = Server(model, url, role=ROLE, concurrency=concurrency, timeout=timeout, retries=retries)
        self._max_new_tokens = max_new_tokens
        self._place = f"{model!r} at {url}"

    def answer(self, batches: Iterable[Sequence[Question]]) -> Iterator[Answer]:
        """Answer each sample as its reply comes; after an error no more is asked, what is under way still counts."""
        n_faults: int | None = 0  # until a sample is answered
        samples = chain.from_iterable(batches)
        error: BaseException | None = None
        pool = ThreadPoolExecutor(self._server.concurrency)
        try:
            under_way = {pool.submit(self._ask, sample) for sample in islice(samples, self._server.concurrency)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    error = error or future.exception()
                    if future.exception() is None:
                        answer = future.result()
                        yield answer
                        n_faults = None if answer.prediction is not None or n_faults is None else n_faults + 1
                        if n_faults == HOPELESS:
                            error = error or UnavailableError(
                                f"none of the first {HOPELESS} samples got an answer, the last one {answer.fault}"
                            )
                if error is None:
                    under_way |= {pool.submit(self._ask, sample) for sample in islice(samples, len(done))}
        finally:  # nobody waits after an interruption
            pool.shutdown(wait=False, cancel_futures=True)
        if error is not None:
            raise error

    def _ask(self, sample: Question) -> Answer:
        """Answer one sample; a reply without a text is an empty answer."""
        baked = bake(sample.image, name=sample.id)
        request = Request(
            sample.prompt, 0, self._max_new_tokens, image=data_uri(baked.image), with_special_tokens=True
        )
        (reply,) = self._server.ask([request])
        if isinstance(reply, Fault):
            return Answer(sample.id, None, fault=f"from {self._place}: {reply.reason}")
        size = self._input_size((baked.width, baked.height)) if self._input_size else None
        return Answer(sample.id, reply.text.strip(), size)
