"""How long a server that is away is waited for: seconds, until a process has work to lose, and then minutes.

A person who asks what runs there are wants to hear at once that the server does not answer. A run that has
begun waits as long as a restart or a move takes. MLflow itself would try for four minutes in both cases.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import mlflow

_AT_START, _AT_WORK = 3.0, 300.0

# Of MLflow's settings: a second try, and most seconds that one request may take.
_HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}

_at_work = threading.Event()


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
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


def hasty_until_at_work(client: mlflow.MlflowClient) -> mlflow.MlflowClient:
    """A client whose calls are in haste as long as this process has no work to lose."""
    return cast("mlflow.MlflowClient", _Hasty(client))


class _Hasty:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*values: Any, **options: Any) -> Any:
            with nullcontext() if _at_work.is_set() else in_haste():
                return found(*values, **options)

        return call
