"""A tracking server, or a database that a team shares, which `MLFLOW_TRACKING_URI` names.

Without that variable the store is a database in the folder that `--mlruns` names. With it, runs and their
files go to the server, and that folder keeps what is this machine's: training states, locks, logs, and
copies of files that were fetched from the server.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from xlprompt.training.store.sqlite_uri import sqlite_uri
from xlprompt.training.store.tracker import TrackingError

VARIABLE = "MLFLOW_TRACKING_URI"

# What names of experiments begin with on a server, which has other people's beside them.
PREFIX = "xlprompt/"

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ANSWER_SECONDS = 10.0  # that a busy server may take
_SAY_AFTER = 5.0
_POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


def tracking_server(mlruns: Path) -> str | None:
    """The address of the server or database that runs go to; None where the folder's own store is meant.

    Raises:
        TrackingError: The variable names neither.
    """
    uri = os.environ.get(VARIABLE, "").strip().rstrip("/")
    if not uri or _is_file(uri, mlruns / "mlflow.db"):
        return None
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in ("http", "https", *_DATABASES):
        raise TrackingError(
            f"{VARIABLE}={uri}: is no address of a server or database. Give one such as "
            "http://127.0.0.1:5000 or postgresql://user@host/mlflow, or unset it for the folder's own store"
        )
    return uri


def _is_file(uri: str, database: Path) -> bool:
    """Whether an address is of a sqlite database's file, however that is written.

    MLflow's `set_tracking_uri` puts into the variable what it is given, such as `sqlite:///mlruns/mlflow.db`.
    """
    if uri == sqlite_uri(database):
        return True
    if not uri.startswith("sqlite"):
        return False
    import sqlalchemy

    try:
        named = sqlalchemy.make_url(uri).database
    except sqlalchemy.exc.ArgumentError:
        return False
    return bool(named) and Path(str(named)).resolve() == database.resolve()


def is_http(uri: str) -> bool:
    """Whether an address is a server's, and not a database's."""
    return uri.startswith(("http://", "https://"))


def experiment_name(name: str, mlruns: Path) -> str:
    """What the store calls an experiment: a server `xlprompt/pos`, a folder's own store `pos`."""
    return f"{PREFIX}{name}" if tracking_server(mlruns) else name


def is_of_others(mlruns: Path, run_id: str) -> bool:
    """Whether a run that goes on is a server's and nothing of it is in this folder.

    Then it may be at work on another machine, which locks and numbers of processes here say nothing about.
    """
    return bool(tracking_server(mlruns)) and not any((mlruns / "training-states").glob(f"*-{run_id}"))


def without_password(uri: str) -> str:
    """An address as it may be shown."""
    if not is_http(uri):
        import sqlalchemy

        return sqlalchemy.make_url(uri).render_as_string(hide_password=True)
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def why_unreachable(uri: str, wait: float) -> str | None:
    """Why a server or database does not answer, asked for `wait` seconds; None where it does."""
    began = time.monotonic()
    said = False
    while (reason := _no_answer(uri)) is not None:
        waited = time.monotonic() - began
        if waited >= wait:
            return f"it does not answer: {reason}"
        if not said and waited >= _SAY_AFTER:
            said = True
            _log.warning("%s does not answer; waiting up to %.0f s", without_password(uri), wait)
        time.sleep(min(_POLL_SECONDS, wait - waited))
    return None


def _no_answer(uri: str) -> str | None:
    if is_http(uri):
        import requests

        try:
            code = requests.get(f"{uri}/health", timeout=_ANSWER_SECONDS).status_code
        except requests.Timeout:
            return f"nothing came within {_ANSWER_SECONDS:g} s"
        except requests.RequestException as error:
            # The cause, without urllib3's HTTPConnectionPool(…): Max retries exceeded with url: /health (…
            return _first_words(error).rpartition(": ")[2].rstrip("\"')")
        return None if code < 500 else f"it answers {code}"  # refused, of whatever kind, is answered
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    try:
        engine.connect().close()
    except sqlalchemy.exc.DBAPIError as error:
        return _first_words(error.orig or error)
    return None


def _first_words(error: BaseException) -> str:
    return str(error).partition("\n")[0]
