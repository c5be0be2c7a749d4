"""How long a server that is away is waited for: seconds, until a process has work to lose, and then minutes.

A person who asks what runs there are wants to hear at once that the server does not answer. A run that has
begun waits as long as a restart or a move takes. MLflow itself would try for four minutes in both cases, and
not at all where an answer has begun and breaks off; such a call is made again here.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from xlprompt.training.store.shared.server import why_unreachable

if TYPE_CHECKING:
    import mlflow

_AT_START, _AT_WORK = 3.0, 300.0

# Of MLflow's settings: a second try, and most seconds that one request may take.
_HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}

# Calls that would leave something twice, or find nothing the second time, if only their answer was lost.
_ONCE = ("create_", "delete_")
_BETWEEN_TRIES = 1.0  # seconds

_at_work = threading.Event()
_hurried = ContextVar("hurried", default=False)


def begin_work() -> None:
    """Say that this process has work to lose from now on: a run of its own, or a share of a study."""
    _at_work.set()


def patience() -> float:
    """Seconds for which a server may be away before what needs it fails."""
    return _AT_WORK if _at_work.is_set() else _AT_START


@contextmanager
def in_haste() -> Iterator[None]:
    """Within it, MLflow gives a silent server up after seconds, not minutes, if the user has not said."""
    mine = {name: value for name, value in _HASTE.items() if name not in os.environ}
    os.environ.update(mine)
    before = _hurried.set(True)
    try:
        yield
    finally:
        _hurried.reset(before)
        for name in mine:
            os.environ.pop(name, None)


def patient_at_work(client: mlflow.MlflowClient, server: str) -> mlflow.MlflowClient:
    """A client of a server or shared database whose calls outlive its restart once there is work to lose.

    Until then its calls are in haste. From then on a call whose answer broke off is made again when the
    server answers, unless it creates or deletes something, or is made `in_haste`.
    """
    return cast("mlflow.MlflowClient", _Patient(client, server))


class _Patient:
    def __init__(self, client: Any, server: str) -> None:
        self._client, self._server = client, server

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*values: Any, **options: Any) -> Any:
            if not _at_work.is_set():
                with in_haste():
                    return found(*values, **options)
            until = time.monotonic() + _AT_WORK
            while True:
                try:
                    return found(*values, **options)
                except Exception as error:
                    if _hurried.get() or name.startswith(_ONCE) or not _broke_off(error):
                        raise
                    left = until - time.monotonic()
                    if left <= 0 or why_unreachable(self._server, left):
                        raise
                    time.sleep(_BETWEEN_TRIES)

        return call


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what is beneath it, as MLflow wraps what the network and the database say."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _broke_off(error: BaseException) -> bool:
    """Whether the connection to a server or database failed in the course of a call."""
    import requests
    import sqlalchemy

    return any(
        isinstance(each, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
        or (isinstance(each, sqlalchemy.exc.DBAPIError) and each.connection_invalidated)
        for each in causes(error)
    )
