"""Where a run is written down: a protocol of a few methods, and MLflow behind it.

The store is always an explicit sqlite database with its artifacts beside it, addressed through
`MlflowClient`: MLflow's global state (tracking URI, active run) is never touched, so one process can track
several runs. MLflow's usage reporting is switched off (`MLFLOW_DISABLE_TELEMETRY=true`) unless the user has
set that variable.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlparse

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

import mlflow  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
)
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID  # noqa: E402

EndState = Literal["FINISHED", "FAILED", "KILLED"]

# MLflow's own limits, below which nothing is lost silently.
_MAX_PARAM = 6000
_MAX_TAG = 5000
_MAX_BATCH = 100  # params in one request; metrics may be ten times as many

_FLUSH_SECONDS = 5.0
_FLUSH_METRICS = 500
_BUSY_SECONDS = 60  # how long a writer waits for another process; sqlite's default of 5 fails on slow disks


class TrackingError(RuntimeError):
    """The store or a run in it cannot be used; the message says what to do."""


@dataclass(frozen=True)
class DatasetRecord:
    """A data set as it is named in the store; the data themselves are not copied.

    Attributes:
        name: Such as `xnli-en-train`.
        digest: First digits of the data's fingerprint.
        location: Folder or hub id.
        on_hub: Whether `location` is a hub id.
        examples: Number of examples used.
        context: What the run used it for: `train`, `validation` or `test-<language>`.
    """

    name: str
    digest: str
    location: str
    on_hub: bool
    examples: int
    context: str


@dataclass(frozen=True)
class StoredModel:
    """A checkpoint inside the store: its id, and the local folder that holds its files."""

    model_id: str
    directory: Path


class Tracker(Protocol):
    """What the training code asks of a tracking system."""

    def start(
        self,
        *,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent_run_id: str | None = None,
    ) -> str | None:
        """Open a run with what is known before it begins; returns its id, or None if nothing is tracked."""

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        *,
        step: int = 0,
        dataset: DatasetRecord | None = None,
        model_id: str | None = None,
    ) -> None:
        """Log figures, tied to the data set and the model they were measured on where given."""

    def flush(self) -> None:
        """Send what is buffered."""

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """Log a data set as an input of the run."""

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts."""

    def log_model(
        self, directory: Path, *, name: str, params: Mapping[str, Any], step: int
    ) -> StoredModel | None:
        """Copy a checkpoint folder into the store as an output of the run."""

    def use_model(self, model_id: str) -> None:
        """Name a model of the store as an input of the run."""

    def end(self, state: EndState, error: str | None = None) -> None:
        """Close the run with its true end state."""


class NullTracker:
    """Tracks nothing: for tests and for calls that must leave no trace."""

    def start(
        self,
        *,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent_run_id: str | None = None,
    ) -> None:
        """Do nothing."""

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        *,
        step: int = 0,
        dataset: DatasetRecord | None = None,
        model_id: str | None = None,
    ) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Do nothing."""

    def log_model(
        self, directory: Path, *, name: str, params: Mapping[str, Any], step: int
    ) -> StoredModel | None:
        """Store nothing."""
        return None

    def use_model(self, model_id: str) -> None:
        """Do nothing."""

    def end(self, state: EndState, error: str | None = None) -> None:
        """Do nothing."""


class MlflowTracker:
    """Writes one run to the sqlite store of a folder.

    Metrics are buffered and sent in batches, since one by one they would cost several milliseconds each.
    """

    def __init__(self, mlruns: Path) -> None:
        """Open the store, creating it first where it does not exist."""
        self._mlruns = mlruns
        self._client = _client(mlruns)
        self._run_id: str | None = None
        self._experiment_id: str | None = None
        self._pending: list[Metric] = []
        self._logged: dict[str, int] = {}  # of a resumed run: the last step of each metric in the store
        self._flushed_at = time.monotonic()

    def start(
        self,
        *,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent_run_id: str | None = None,
    ) -> str:
        """Open a run; the experiment is created on first use, with its artifacts beside the database."""
        self._experiment_id = _experiment_id(self._client, experiment, self._mlruns)
        # In the same transaction as the run, so that a run killed at once can be found by its tags.
        given = {key: value[:_MAX_TAG] for key, value in tags.items()}
        if parent_run_id:
            given[MLFLOW_PARENT_RUN_ID] = parent_run_id
        run = self._client.create_run(self._experiment_id, run_name=run_name, tags=given)
        self._run_id = run.info.run_id
        param_list = [Param(key, _as_text(value)[:_MAX_PARAM]) for key, value in params.items()]
        for first in range(0, len(param_list), _MAX_BATCH):
            self._client.log_batch(self._run, params=param_list[first : first + _MAX_BATCH], synchronous=True)
        return self._run

    def resume(self, run_id: str) -> bool:
        """Go on in a run of the store that was interrupted; False where the store has no such run."""
        try:
            run = self._client.get_run(run_id)
        except mlflow.MlflowException:
            return False
        self._client.update_run(run_id, status="RUNNING")
        self._run_id, self._experiment_id = run_id, run.info.experiment_id
        # Steps done again since the last training state are in the curves already.
        for key in run.data.metrics:
            history = self._client.get_metric_history(run_id, key)
            self._logged[key] = max(metric.step for metric in history)
        return True

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        *,
        step: int = 0,
        dataset: DatasetRecord | None = None,
        model_id: str | None = None,
    ) -> None:
        """Buffer figures; they reach the store within some seconds, or at the next other call."""
        now = int(time.time() * 1000)
        for key, value in metrics.items():
            if step <= self._logged.get(key, -1):
                continue
            self._pending.append(
                Metric(
                    key,
                    float(value),
                    now,
                    step,
                    model_id=model_id,
                    dataset_name=dataset.name if dataset else None,
                    dataset_digest=dataset.digest if dataset else None,
                    run_id=self._run,
                )
            )
        if len(self._pending) >= _FLUSH_METRICS or time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
            self.flush()

    def log_dataset(self, dataset: DatasetRecord) -> None:
        """Log a data set as an input of the run."""
        entity = Dataset(
            name=dataset.name,
            digest=dataset.digest,
            # The two kinds of source that MLflow's UI can show as a link or a path.
            source_type="hugging_face" if dataset.on_hub else "local",
            source=json.dumps({"path" if dataset.on_hub else "uri": dataset.location}),
            profile=json.dumps({"num_rows": dataset.examples}),
        )
        tag = InputTag(MLFLOW_DATASET_CONTEXT, dataset.context)
        self._client.log_inputs(self._run, datasets=[DatasetInput(entity, [tag])])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts."""
        self.flush()
        self._client.log_artifact(self._run, str(path), folder)

    def log_model(self, directory: Path, *, name: str, params: Mapping[str, Any], step: int) -> StoredModel:
        """Copy a checkpoint folder into the store as a LoggedModel, whose status says if it is whole."""
        self.flush()
        model = self._client.create_logged_model(
            experiment_id=self._experiment_id,
            name=name,
            source_run_id=self._run,
            params={key: _as_text(value)[:_MAX_PARAM] for key, value in params.items()},
            model_type="xlprompt-checkpoint",
        )
        try:
            self._client.log_model_artifacts(model.model_id, str(directory))
        except BaseException:
            self._client.finalize_logged_model(model.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(self._run, [LoggedModelOutput(model.model_id, step)])
        return StoredModel(model.model_id, _local_path(model.artifact_location))

    def use_model(self, model_id: str) -> None:
        """Name a model of the store as an input of the run."""
        self._client.log_inputs(self._run, models=[LoggedModelInput(model_id)])

    def end(self, state: EndState, error: str | None = None) -> None:
        """Close the run with its true end state; an error's text becomes the tag `error`.

        Does nothing where no run was started, so that it can follow an error of any kind.
        """
        if self._run_id is None:
            return
        self.flush()
        if error:
            self._client.set_tag(self._run, "error", error[:_MAX_TAG])
        self._client.set_terminated(self._run, status=state)

    @property
    def _run(self) -> str:
        if self._run_id is None:
            raise TrackingError("no run was started: call start() first")
        return self._run_id

    def flush(self) -> None:
        """Send what is buffered to the store."""
        pending, self._pending = self._pending, []
        self._flushed_at = time.monotonic()
        if pending:
            self._client.log_batch(self._run, metrics=pending, synchronous=True)


def store_uri(mlruns: Path) -> str:
    """The tracking URI of a folder's store, as MLflow's own commands take it."""
    return f"sqlite:///{(mlruns.absolute() / 'mlflow.db').as_posix()}"


def open_client(mlruns: Path) -> mlflow.MlflowClient:
    """A client of the folder's store, for what goes beyond one run; the store is made where there is none."""
    return _client(mlruns)


def create_store(mlruns: Path) -> None:
    """Make the folder's store where there is none; of several processes one does, and the others wait."""
    _client(mlruns)


def find_model(mlruns: Path, run_id: str) -> StoredModel:
    """The checkpoint that a training run of the store has produced.

    Raises:
        TrackingError: There is no store, no such run, or the run produced no complete checkpoint.
    """
    if not (mlruns / "mlflow.db").is_file():
        raise TrackingError(
            f"{mlruns}: no MLflow store here (mlflow.db is missing). Give the folder of a run's store"
        )
    client = _client(mlruns)
    try:
        run = client.get_run(run_id)
    except mlflow.MlflowException as error:
        raise TrackingError(
            f"{mlruns}: no run '{run_id}' in this store. `xlprompt ui` lists the runs"
        ) from error
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise TrackingError(
            f"run {run_id} ({run.info.status}) has no checkpoint: it ended before training did. Train again"
        )
    model = client.get_logged_model(outputs[-1].model_id)
    return StoredModel(model.model_id, _local_path(model.artifact_location))


@contextmanager
def true_end_state(tracker: Tracker) -> Iterator[None]:
    """End the tracked run as FINISHED, FAILED (with the error's text) or KILLED, however the block is left.

    A SIGTERM, which batch systems send at the end of the granted time, is turned into `SystemExit` here, so
    that it is recorded like an interrupt from the keyboard.
    """
    with _sigterm_as_exit():
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as error:
            tracker.end("KILLED", error=f"{type(error).__name__}: {error}".rstrip(": "))
            raise
        except Exception as error:
            tracker.end("FAILED", error=f"{type(error).__name__}: {error}")
            raise
        tracker.end("FINISHED")


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)  # the shell's convention for a death by signal

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _client(mlruns: Path) -> mlflow.MlflowClient:
    """A client of the folder's store, whose schema is created or checked when the client is made."""
    mlruns.mkdir(parents=True, exist_ok=True)
    for noisy in ("mlflow.store.db.utils", "alembic"):  # a page of migration steps on first use
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with _store_lock(mlruns):
        return mlflow.MlflowClient(tracking_uri=f"{store_uri(mlruns)}?timeout={_BUSY_SECONDS}")


def _store_lock(mlruns: Path) -> FileLock:
    return FileLock(mlruns / ".lock", timeout=600)


def _experiment_id(client: mlflow.MlflowClient, name: str, mlruns: Path) -> str:
    with _store_lock(mlruns):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = (mlruns.absolute() / "artifacts").as_uri()
            return str(client.create_experiment(name, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the experiment '{name}' was deleted in this store. Restore it with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` "
            f"(MLFLOW_TRACKING_URI={store_uri(mlruns)}), or use another store"
        )
    return str(experiment.experiment_id)


def _local_path(uri: str) -> Path:
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else Path(uri)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
