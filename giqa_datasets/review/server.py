"""The review page: a web application on this machine, where experts see pictures and correct their texts and boxes.

The page sends requests to this server only. An annotator sees only their own votes. Without a token only this machine
is served, and only under its own names (against DNS rebinding); with one, every request for data must bring it in a
cookie, which the page gets by showing the token once.
"""

import hmac
import json
import secrets
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from giqa_datasets import loopback
from giqa_datasets.extras import require
from giqa_datasets.files import fault_of
from giqa_datasets.images import Encoded, bake
from giqa_datasets.loopback import LOOPBACK, in_address, listen
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.review.items import ImageItem, Review
from giqa_datasets.review.states import State, Vote, check_name, grounded_texts
from giqa_datasets.review.votes import append_vote, read_votes


if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
FILES = {"/": "index.html"} | {f"/static/{path.name}": path.name for path in STATIC.iterdir()}
ENTER = "/api/enter"
COOKIE = "giqa-review"
LONGEST = 4_000_000  # bytes of a request's body
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    **loopback.HEADERS,
}
OWN_NAMES = tuple(map(in_address, LOOPBACK))


class RefusedRequest(Exception):
    """A refused request: its HTTP status, and the sentence of the answer."""


class OpenRound:
    """The open round of a review: its samples, and the last vote of each annotator on each."""

    def __init__(self, review: Review) -> None:
        """Read the votes that were given before."""
        self.review = review
        self.images = {image.sha256: image for image in review.images}
        self._votes = read_votes(review.path, review.round)
        self._lock = threading.Lock()

    def of(self, annotator: str) -> dict[str, Vote]:
        """Return the last votes of one annotator, by sample id."""
        return self._votes.get(annotator, {})

    def save(self, vote: Vote) -> None:
        """Write a vote to the disk and remember it."""
        with self._lock:
            append_vote(self.review, vote)
            self._votes.setdefault(vote.annotator, {})[vote.id] = vote

    def listing(self, annotator: str) -> list[dict[str, Any]]:
        """List every sample for the page, image by image; the annotator's own new ones come last."""
        votes = self.of(annotator)
        added: dict[str, list[Vote]] = {}
        for identifier, vote in votes.items():
            if identifier not in self.review.begin:
                added.setdefault(vote.image, []).append(vote)
        return [
            _entry(image, state, votes.get(state.id))
            for image in self.review.images
            for state in [
                *(self.review.begin[identifier] for identifier in image.sample_ids),
                *added.get(image.sha256, ()),
            ]
        ]

    def sample(self, annotator: str, identifier: str) -> dict[str, Any]:
        """Return a sample as the round began with it, and the annotator's last vote on it; either may be None.

        With it come the objects of its image, which are only looked at.
        """
        begin, vote = self.review.begin.get(identifier), self.of(annotator).get(identifier)
        said = begin or vote
        if said is None:
            raise RefusedRequest(
                404, f"expected the id of a sample of round {self.review.round}, got {identifier[:100]!r}"
            )
        objects = [{"name": name, "box": box} for name, box in self.images[said.image].objects]
        return {"begin": begin and begin.model_dump(), "vote": vote and vote.model_dump(), "objects": objects}


def make_app(review: Review, *, token: str | None) -> "Starlette":
    """Make the application of a review's open round.

    Without a token, only requests to this machine's own names are answered.

    Raises:
        ImportError: If the extra `review` is not installed.
        ValueError: If a vote on the disk cannot be read.
    """
    require("the review page needs starlette and uvicorn", "review", "starlette", "uvicorn")
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route

    this = OpenRound(review)

    async def guard(request: "Request", answer: Callable[["Request"], Awaitable["Response"]]) -> "Response":
        try:
            _check_origin(request, any_host=token is not None)
            if token is not None and request.url.path.startswith(("/api/", "/images/")) and request.url.path != ENTER:
                _check_token(request.cookies.get(COOKIE, ""), token)
            response = await answer(request)
        except RefusedRequest as refused:
            status, sentence = refused.args
            response = JSONResponse({"error": sentence}, status)
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    async def refuse(request: "Request", error: Exception) -> "Response":
        if isinstance(error, OSError):
            return JSONResponse({"error": f"the server cannot read or write: {error.strerror}"}, 500)
        return JSONResponse({"error": fault_of(error) if isinstance(error, ValidationError) else str(error)}, 422)

    async def show(request: "Request") -> "Response":
        return FileResponse(STATIC / FILES[request.url.path])

    async def show_image(request: "Request") -> "Response":
        sha256 = request.path_params["sha256"]
        if sha256 not in this.images:
            raise RefusedRequest(404, "no image of this review has that sha256")
        raw = (await run_in_threadpool(_baked, review, sha256)).image
        kind = "image/png" if raw.startswith(b"\x89PNG") else "image/jpeg"  # a data set has no others
        return Response(raw, media_type=kind, headers={"Cache-Control": "private, max-age=86400, immutable"})

    async def show_round(request: "Request") -> "Response":
        annotator = check_name(request.query_params.get("annotator", ""))
        samples = this.listing(annotator)
        types = list(dict.fromkeys([*QUESTION_TYPES, *(each["question_type"] for each in samples)]))
        return JSONResponse({"round": review.round, "question_types": types, "samples": samples})

    async def show_sample(request: "Request") -> "Response":
        annotator = check_name(request.query_params.get("annotator", ""))
        return JSONResponse(this.sample(annotator, request.query_params.get("id", "")))

    async def write_grounded(request: "Request") -> "Response":
        question, answer = grounded_texts(State.model_validate_json(json.dumps(await _body(request))))
        return JSONResponse({"question": question, "answer": answer})

    async def save(request: "Request") -> "Response":
        said = {**await _body(request), "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        vote = Vote.model_validate_json(json.dumps(said))
        await run_in_threadpool(this.save, vote)
        return JSONResponse({"at": vote.at})

    async def enter(request: "Request") -> "Response":
        given = (await _body(request)).get("token")
        _check_token(given if isinstance(given, str) else "", token or "")
        response = JSONResponse({})
        response.set_cookie(COOKIE, token or "", httponly=True, samesite="strict")
        return response

    routes = [
        *(Route(path, show) for path in FILES),
        Route("/images/{sha256}", show_image),
        Route("/api/round", show_round),
        Route("/api/sample", show_sample),
        Route("/api/grounded", write_grounded, methods=["POST"]),
        Route("/api/votes", save, methods=["POST"]),
    ]
    if token is not None:
        routes.append(Route(ENTER, enter, methods=["POST"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={OSError: refuse, ValueError: refuse},
    )


def serve(
    review: Review,
    host: str = LOOPBACK[0],
    port: int = 0,
    token: str | None = None,
    *,
    announce: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve the page until it is interrupted.

    Args:
        review: The open review.
        host: The address to listen at; any but this machine's own needs a token, and gets one if none is given.
        port: 0 takes a free one.
        token: The token that the page must show.
        announce: Called with the address as soon as it can be visited.

    Raises:
        ImportError: If starlette or uvicorn is not installed.
        OSError: If the port is taken.
    """
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
    app = make_app(review, token=token)
    import uvicorn

    with listen(host, port) as listener:
        address = f"http://{in_address(host)}:{listener.getsockname()[1]}/" + (f"#token={token}" if token else "")
        announce(address)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _baked(review: Review, sha256: str) -> Encoded:
    return bake(review.image_bytes(sha256), name=sha256, verify=False)  # the folder may be anyone's


def _check_origin(request: "Request", *, any_host: bool) -> None:
    """Refuse a foreign page: one that gave this machine another name, or that posts from elsewhere."""
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if not any_host and name.lower() not in OWN_NAMES:
        raise RefusedRequest(
            400, f"expected one of this machine's own names ({', '.join(OWN_NAMES)}), got host {name[:100]!r}"
        )
    if request.method == "POST" and request.headers.get("origin", "").partition("://")[2] != host:
        raise RefusedRequest(403, "expected a request of the review page itself, got one from another origin")


def _check_token(given: str, token: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode()):
        raise RefusedRequest(401, "expected the address with its token, as the server printed it")


async def _body(request: "Request") -> dict[str, Any]:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LONGEST:
            raise RefusedRequest(413, f"expected at most {LONGEST} bytes, got more")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest(400, "expected JSON, got something else") from error
    if not isinstance(body, dict):
        raise RefusedRequest(400, f"expected a JSON object, got {type(body).__name__}")
    return body


def _entry(image: ImageItem, state: State, vote: Vote | None) -> dict[str, Any]:
    said = state if vote is None else vote
    return {
        "id": state.id,
        "image": {"id": image.id, "sha256": image.sha256, "width": image.width, "height": image.height},
        "question_type": said.question_type,
        "begins": (said.answer if said.task == "des" else said.question)[:100],
        "verdict": None if vote is None else vote.verdict,
    }
