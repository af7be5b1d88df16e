"""Models that answer a benchmark's questions: in this process, or behind a server."""

from giqa_metrics.models.local import LocalPredictor
from giqa_metrics.models.predictor import Answer, Predictor, Question
from giqa_metrics.models.server import ServerPredictor


__all__ = ["Answer", "LocalPredictor", "Predictor", "Question", "ServerPredictor", "open_predictor"]


def open_predictor(
    model: str, server: str | None, *, batch_size: int, max_new_tokens: int, processor: str | None = None
) -> Predictor:
    """Open a model. A local one is loaded; to a server nothing is sent yet.

    Args:
        model: A folder or a model id on the Hub, of a model or an adapter; or the server's name for its model.
        server: An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`; None runs `model` here.
        batch_size: Samples generated at once, or requests to the server at once.
        max_new_tokens: Longest answer in tokens.
        processor: With a server, the folder or Hub id of its model, whose image processor tells resized sizes.

    Raises:
        ImportError: If torch, transformers or peft is not installed, or the server's client.
        OSError: If the model cannot be had.
        ValueError: If the server's address or key is not fit.
    """
    if server is None:
        return LocalPredictor(model, batch_size=batch_size, max_new_tokens=max_new_tokens)
    return ServerPredictor(model, server, concurrency=batch_size, max_new_tokens=max_new_tokens, processor=processor)
