"""What a server counts, in the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

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
