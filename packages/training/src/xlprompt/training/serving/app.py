"""The HTTP application: `POST /predict`, what there is to ask, and how the server is.

Requests are checked here, and answered together by `questions` in a thread of their own. Every error has a
JSON body with a reason and the field that it is about.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from xlprompt.data import DataError
from xlprompt.data import language as language_row
from xlprompt.data.languages import code_of
from xlprompt.data.printable import printable
from xlprompt.data.sources.unlabeled import given_rows
from xlprompt.training.runs.predictions import Prediction
from xlprompt.training.serving.batcher import Batcher, Closed, QueueIsFull
from xlprompt.training.serving.body import LimitedBody, refusal
from xlprompt.training.serving.figures import CONTENT_TYPE, Counted, Figures
from xlprompt.training.serving.limits import Limits
from xlprompt.training.serving.messages import (
    Answer,
    Health,
    PredictRequest,
    PredictResponse,
    Refusal,
    TaskEntry,
)
from xlprompt.training.serving.pages import add_pages
from xlprompt.training.serving.questions import Asked, answer_all
from xlprompt.training.serving.shelf import Served, Shelf

_log = logging.getLogger(__name__)

HOSTS = ("127.0.0.1", "localhost")
"""Names that a request may call the server by, so that no other site's page can reach it under its own."""

_REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"description": "the body came too slowly"},
    413: {"description": "the body is too large"},
    422: {"description": "the request is not as it should be; `field` says where"},
    429: {"description": "too many requests wait"},
    500: {"description": "a fault of the server or the model"},
    503: {"description": "the server is about to end"},
    504: {"description": "the answer took too long"},
}


class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: Of HTTP.
        reason: Why, and what to do.
        field: Where in the request.
    """

    def __init__(self, status: int, reason: str, field: str | None = None) -> None:
        """Say why."""
        super().__init__(reason)
        self.status, self.reason, self.field = status, reason, field


def create_app(shelf: Shelf, limits: Limits | None = None) -> FastAPI:
    """The application that serves these models.

    Args:
        shelf: From `load_shelf`.
        limits: How much it takes at a time.
    """
    limits = limits or Limits()
    batcher: Batcher[Asked, tuple[Prediction, ...]] = Batcher(
        answer_all,
        queue=limits.queue,
        rows=limits.rows,
        gather_seconds=limits.gather_seconds,
        told=lambda requests, rows: figures.batch(requests, rows),
    )
    figures = Figures(len(shelf), shelf.backbones, lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await batcher.close()

    app = FastAPI(
        title="xlprompt",
        summary="Labels for text by trained prompts, with their probabilities.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load their scripts from another server
        redoc_url=None,
    )
    app.add_middleware(LimitedBody, most=limits.body_bytes, seconds=limits.seconds)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))
    app.add_middleware(Counted, path="/predict", figures=figures)  # the outermost: refusals count, too
    _add_handlers(app)
    refusals = {status: {**told, "model": Refusal} for status, told in _REFUSALS.items()}

    @app.post("/predict", responses=refusals)
    async def predict(request: PredictRequest, http: Request) -> PredictResponse:
        """Label texts: those of requests that come at the same time, of all tasks, in one pass."""
        served = _served(shelf, request.task)
        http.state.task = served.task  # for whoever counts
        asked = _asked(served, request, limits)
        answers = await _answered(batcher, asked, limits)
        figures.texts.labels(served.task).inc(len(answers))
        return PredictResponse(
            task=served.task,
            model=served.name,
            language=asked.language,
            predictions=[Answer.of(each) for each in answers],
        )

    @app.get("/tasks")
    async def tasks() -> list[TaskEntry]:
        """The models that are served: their tasks, fields, labels and languages."""
        return [TaskEntry.of(each) for each in shelf]

    @app.get("/health", responses={503: {"model": Refusal}})
    async def health() -> Health:
        """Whether requests are taken."""
        if not batcher.is_open:
            raise Refused(503, "the server is about to end")
        return Health(status="ok", models=len(shelf), waiting=batcher.waiting)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters for Prometheus: requests, texts, seconds, batches, the queue, memory."""
        return Response(figures.text(), media_type=CONTENT_TYPE)

    add_pages(app)
    return app


def _served(shelf: Shelf, name: str) -> Served:
    try:
        return shelf.find(name)
    except KeyError as error:
        raise Refused(422, str(error.args[0]), "task") from error


def _asked(served: Served, request: PredictRequest, limits: Limits) -> Asked:
    """The request's rows, checked.

    Raises:
        Refused: They are too many, too long, or not as the task has them; or there is no such language.
    """
    texts, predictor = request.texts, served.predictor
    if len(texts) > limits.texts:
        raise Refused(422, f"{len(texts)} texts, and a request may have {limits.texts}", "texts")
    for number, text in enumerate(texts):
        if _characters(text) > limits.characters:
            reason = f"{_characters(text)} characters, and an example may have {limits.characters}"
            raise Refused(422, reason, f"texts.{number}")
    try:
        if request.language is not None:
            language_row(code_of(request.language) or request.language)
    except DataError as error:
        raise Refused(422, _told(error), "language") from error
    try:
        rows = given_rows(predictor.task, texts)
    except DataError as error:
        field = "texts" if error.line is None else f"texts.{error.line - 1}"
        raise Refused(422, _told(error), field) from error
    try:
        told = sorted(predictor.languages(rows, request.language))
    except DataError as error:
        raise Refused(422, _told(error), "texts") from error
    if len(told) > 1:
        reason = f"texts of {', '.join(told)}, and a request is of one language. Send one for each"
        raise Refused(422, reason, "texts")
    return Asked(predictor, tuple(rows), *told)


async def _answered(
    batcher: Batcher[Asked, tuple[Prediction, ...]], asked: Asked, limits: Limits
) -> Sequence[Prediction]:
    try:
        return await batcher.ask(asked, rows=len(asked.rows), seconds=limits.seconds)
    except QueueIsFull as error:
        raise Refused(429, f"{limits.queue} requests wait already. Ask again in a moment") from error
    except Closed as error:
        raise Refused(503, "the server is about to end") from error
    except TimeoutError as error:
        raise Refused(504, f"no answer within {limits.seconds:g} seconds. Send fewer texts") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] != "xlprompt":
            _log.exception("A request could not be answered")
            raise Refused(500, f"{type(error).__name__}: {printable(str(error))[:300]}") from error
        raise Refused(422, printable(str(error)), "texts") from error


def _characters(text: Any) -> int:
    if isinstance(text, str):
        return len(text)
    if text is None:
        return 0
    return sum(map(_characters, text.values() if isinstance(text, dict) else text))


def _told(error: DataError) -> str:
    """What is wrong, without the place, which is the field."""
    return f"{error.message}." + (f" {error.fix}" if error.fix else "")


def _add_handlers(app: FastAPI) -> None:
    """Every error as JSON of one form."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        wait = {"retry-after": "1"} if error.status in (429, 503) else None
        return refusal(error.status, error.reason, error.field, wait)

    @app.exception_handler(RequestValidationError)
    async def not_as_declared(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = [str(each) for each in first["loc"][1:3]]
        if first["type"] == "json_invalid":
            return refusal(422, f"the body is no JSON: {first['ctx']['error']}")
        if not place:
            return refusal(
                422, "the body is not a JSON object. Send one, with Content-Type: application/json"
            )
        reason = str(first["msg"])
        if place[0] == "texts" and len(place) > 1:
            reason = "neither a text, nor a list of texts, nor an object of texts by field"
        return refusal(422, reason, printable(".".join(place)[:100]))

    @app.exception_handler(HTTPException)
    async def by_starlette(_: Request, error: HTTPException) -> Response:
        reason = "the body cannot be read: it is no UTF-8, or nested too deeply"
        return refusal(
            error.status_code,
            reason if error.status_code == 400 else error.detail,
            None,
            dict(error.headers or {}),
        )
