"""What a server counts, in the text that Prometheus reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Figures:
    """Counters of one server."""

    def __init__(self, models: int, backbones: int, waiting: Callable[[], int]) -> None:
        """Begin at zero.

        Args:
            models: Models that are served.
            backbones: Backbones in memory.
            waiting: Tells how many requests wait.
        """
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory and processor time
        place: dict[str, Any] = {"namespace": "xlprompt", "registry": self._registry}
        self.requests = Counter(
            "requests", "Requests to /predict by task and status", ["task", "status"], **place
        )
        self.texts = Counter("texts", "Texts answered by task", ["task"], **place)
        self.seconds = Histogram("request_seconds", "From a request to its answer", buckets=_SECONDS, **place)
        self._batch_requests = Histogram(
            "batch_requests", "Requests answered together", buckets=_SIZES, **place
        )
        self._batch_texts = Histogram("batch_texts", "Texts answered together", buckets=_SIZES, **place)
        Gauge("models", "Models that are served", **place).set(models)
        Gauge("backbones", "Backbones in memory", **place).set(backbones)
        Gauge("waiting_requests", "Requests in the queue", **place).set_function(waiting)

    def batch(self, requests: int, texts: int) -> None:
        """Count a batch."""
        self._batch_requests.observe(requests)
        self._batch_texts.observe(texts)

    def text(self) -> bytes:
        """All figures now."""
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware that counts the requests to a path with their status, whoever answers them."""

    def __init__(self, app: ASGIApp, *, path: str, figures: Figures) -> None:
        """Stand in front of an application.

        Args:
            app: It. It may leave the task of a request in the request's state.
            path: Whose requests count.
            figures: Where.
        """
        self._app, self._path, self._figures = app, path, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and look at what is answered."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            task = scope.get("state", {}).get("task", "")
            self._figures.requests.labels(task, str(status)).inc()
            self._figures.seconds.observe(time.perf_counter() - start)
