"""The review page: a web application on this machine, where experts see pictures and correct their texts and boxes.

The page sends requests to this server only. An annotator sees only their own votes: a name belongs to who entered it
first, whose browser keeps its key in a cookie. Without a token only this machine is served, and only under its own
names; with one, every request for data must bring it in a cookie, which the page gets by showing the token once.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from giqa_datasets.extras import require
from giqa_datasets.files import fault_of
from giqa_datasets.folder_lock import hold
from giqa_datasets.images import Encoded, bake
from giqa_datasets.loopback import LOOPBACK, Guard, in_address, listen
from giqa_datasets.records import QUESTION_TYPES
from giqa_datasets.review.items import Review
from giqa_datasets.review.name_keys import NameKeys, same
from giqa_datasets.review.open_round import OpenRound
from giqa_datasets.review.states import State, Vote, check_name, grounded_texts


if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Endpoint = Callable[[Request], Awaitable[Response]]

STATIC = Path(__file__).parent / "static"
FILES = {"/": "index.html"} | {f"/static/{path.name}": path.name for path in STATIC.iterdir()}
ENTER = "/api/enter"
COOKIE = "giqa-review"  # begins the name of each of ours
YEAR = 365 * 24 * 3600  # seconds that a browser keeps a name's key
LONGEST = 4_000_000  # bytes of a request's body
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RefusedRequest(Exception):
    """A refused request: its HTTP status, and the sentence of the answer."""


def make_app(review: Review, *, token: str | None) -> "Starlette":
    """Make the application of a review's open round.

    Without a token, only requests to this machine's own names are answered. Reviewers' keys are kept in
    `server/keys.jsonl` in the review's folder.

    Raises:
        ImportError: If the extra `review` is not installed.
        ValueError: If a vote or a key on the disk cannot be read.
    """
    require("the review page needs starlette and uvicorn", "review", "starlette", "uvicorn")
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route

    this = OpenRound(review)
    keys = NameKeys(_kept_by_server(review) / "keys.jsonl")
    # A browser has the same cookies for all ports of a host, and thus for the servers of all reviews
    cookie = f"{COOKIE}-{hashlib.sha256(bytes(review.path.resolve())).hexdigest()[:8]}"

    async def refuse(request: "Request", error: Exception) -> "Response":
        if isinstance(error, RefusedRequest):
            status, sentence = error.args
            return JSONResponse({"error": sentence}, status)
        if isinstance(error, OSError):
            return JSONResponse({"error": f"the server cannot read or write: {error.strerror}"}, 500)
        return JSONResponse({"error": fault_of(error) if isinstance(error, ValidationError) else str(error)}, 422)

    def known(answer: "Endpoint") -> "Endpoint":
        async def answer_known(request: "Request") -> "Response":
            if token is not None:
                _check_token(request.cookies.get(cookie, ""), token)
            return await answer(request)

        return answer_known

    def check_key(request: "Request", annotator: str) -> str:
        if not keys.fits(check_name(annotator), request.cookies.get(f"{cookie}-{annotator}", "")):
            raise RefusedRequest(401, f"expected the key of the name {annotator!r}: enter it on the first page")
        return annotator

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
        annotator = check_key(request, request.query_params.get("annotator", ""))
        samples = this.listing(annotator)
        types = list(dict.fromkeys([*QUESTION_TYPES, *(each["question_type"] for each in samples)]))
        return JSONResponse({"round": review.round, "question_types": types, "samples": samples})

    async def show_sample(request: "Request") -> "Response":
        annotator = check_key(request, request.query_params.get("annotator", ""))
        identifier = request.query_params.get("id", "")
        sample = this.sample(annotator, identifier)
        if not any(sample.values()):
            expected = f"expected the id of a sample of round {review.round}"
            raise RefusedRequest(404, f"{expected}, got {identifier[:100]!r}")
        return JSONResponse(sample)

    async def write_grounded(request: "Request") -> "Response":
        question, answer = grounded_texts(State.model_validate_json(json.dumps(await _body(request))))
        return JSONResponse({"question": question, "answer": answer})

    async def save(request: "Request") -> "Response":
        said = {**await _body(request), "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        vote = Vote.model_validate_json(json.dumps(said))
        check_key(request, vote.annotator)
        await run_in_threadpool(this.save, vote)
        return JSONResponse({"at": vote.at})

    async def enter(request: "Request") -> "Response":
        _check_token(_text(await _body(request), "token"), token or "")
        response = JSONResponse({})
        response.set_cookie(cookie, token or "", httponly=True, samesite="strict")
        return response

    async def claim(request: "Request") -> "Response":
        said = await _body(request)
        annotator = check_name(_text(said, "annotator"))
        of_name = f"{cookie}-{annotator}"
        key = await run_in_threadpool(keys.claim, annotator, _text(said, "key") or request.cookies.get(of_name, ""))
        if key is None:
            where = f"stands in {keys.path.parent.name}/{keys.path.name} beside the votes"
            raise RefusedRequest(401, f"{annotator!r} is somebody's: give its key, which {where}, or another name")
        response = JSONResponse({})
        response.set_cookie(of_name, key, max_age=YEAR, httponly=True, samesite="strict")
        return response

    routes = [
        *(Route(path, show) for path in FILES),
        Route("/images/{sha256}", known(show_image)),
        Route("/api/round", known(show_round)),
        Route("/api/sample", known(show_sample)),
        Route("/api/grounded", known(write_grounded), methods=["POST"]),
        Route("/api/votes", known(save), methods=["POST"]),
        Route("/api/claim", known(claim), methods=["POST"]),
    ]
    if token is not None:
        routes.append(Route(ENTER, enter, methods=["POST"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, headers=HEADERS, any_host=token is not None)],
        exception_handlers=dict.fromkeys((RefusedRequest, OSError, ValueError), refuse),
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
        OSError: If the port is taken, or another server has the review: two would not see each other's votes.
    """
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
    app = make_app(review, token=token)
    import uvicorn

    with hold(_kept_by_server(review)), listen(host, port) as listener:
        address = f"http://{in_address(host)}:{listener.getsockname()[1]}/" + (f"#token={token}" if token else "")
        announce(address)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _baked(review: Review, sha256: str) -> Encoded:
    return bake(review.image_bytes(sha256), name=sha256, verify=False)  # the folder may be anyone's


def _kept_by_server(review: Review) -> Path:
    """The folder of what the server keeps: its lock and the keys."""
    return review.path / "server"


def _check_token(given: str, token: str) -> None:
    if not same(given, token):
        raise RefusedRequest(401, "expected the address with its token, as the server printed it")


def _text(body: dict[str, Any], name: str) -> str:
    """A text that a request may give; empty if it does not."""
    given = body.get(name)
    return given if isinstance(given, str) else ""


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
