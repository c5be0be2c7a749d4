"""Where a run is written down: a protocol of a few methods, and MLflow behind it.

The store is always an explicit sqlite database with its artifacts beside it, addressed through
`MlflowClient`: MLflow's global state (tracking URI, active run) is never touched, so one process can track
several runs. MLflow's usage reporting is switched off (`MLFLOW_DISABLE_TELEMETRY=true`) unless the user has
set that variable.

A store that cannot be written for a while (locked by another program, read-only, its disk full) costs a
training run nothing: figures wait in memory and are sent later. Where the store itself is needed, to open or
close a run or to keep a model, it ends in a `TrackingError`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
# A pooled connection that once met a read-only database stays read-only when the database no longer is. A new
# one for each call costs 2 ms, once in some seconds. What is set for another store's pool does not fit it.
for _name in [name for name in os.environ if name.startswith("MLFLOW_SQLALCHEMYSTORE_")]:
    del os.environ[_name]
os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"

import mlflow  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
)
from mlflow.store.db.utils import _get_latest_schema_revision  # noqa: E402
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID  # noqa: E402

from xlprompt.evaluation.whole_files import write_whole  # noqa: E402
from xlprompt.training.new_database import holds_nothing, make_database  # noqa: E402
from xlprompt.training.process_identity import is_gone, is_there, this_process  # noqa: E402
from xlprompt.training.signals import handled  # noqa: E402
from xlprompt.training.sqlite_uri import sqlite_uri  # noqa: E402
from xlprompt.training.stored_models import keep_one_model, local_path, output_model, remove_model  # noqa: E402

_log = logging.getLogger(__name__)

EndState = Literal["FINISHED", "FAILED", "KILLED"]

# MLflow's own limits, below which nothing is lost silently.
_MAX_PARAM = 6000
MAX_TAG = 5000
_MAX_BATCH = 100  # params in one request; metrics may be ten times as many

_MAX_METRICS = 1000  # in one request

_FLUSH_SECONDS = 5.0
_FLUSH_METRICS = 500

# How long to wait for a store that another program has locked. MLflow's sessions wait 20 s, whatever the
# connection says (`PRAGMA busy_timeout` in mlflow/store/db/utils.py), so the waiting is done before them.
_WAIT_TO_START = 10.0  # long enough for the writes of other runs on a slow disk, short enough for a person
_WAIT_TO_FINISH = 60.0  # hours of work hang on it
_WAIT_WHEN_KILLED = 5.0  # batch systems follow SIGTERM by SIGKILL after some seconds
_WAIT_IN_TRAINING = 1.0  # training stands still meanwhile

# After a failed flush the next try is this many seconds away, then twice as many, up to the last: of a store
# that stays locked, training notices at most a second in every 15 and soon one in every 300.
_RETRY_SECONDS, _RETRY_AT_MOST = 15.0, 300.0
_MAX_PENDING = 100_000  # some 50 MB; a run logs four figures every ten steps or so

_HALF_AN_ARTIFACT = ".artifact.uploading."  # how MLflow calls a file until it is whole

PROCESS_TAG = "process"  # tag: which process works on a run


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

    def resume(self, run_id: str) -> bool:
        """Go on in a run that was interrupted; False where there is no such run."""

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
        """Send what is buffered, as far as the store can be written now."""

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

    def resume(self, run_id: str) -> bool:
        """Pretend that the run is there."""
        return True

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
    While the store cannot be written they stay buffered, in order, and are tried again at growing intervals.
    A batch that was written in part and is sent again is not logged twice: MLflow drops figures whose name,
    step, time and value it has. Should the run end before they could be sent, they are left in a file beside
    the store, from which `resume` takes them.
    """

    def __init__(self, mlruns: Path) -> None:
        """Open the store, creating it first where it does not exist.

        Raises:
            TrackingError: It cannot be made or written.
        """
        self._mlruns = mlruns
        self._client = _client(mlruns)
        self._run_id: str | None = None
        self._experiment_id: str | None = None
        self._pending: list[Metric] = []
        self._logged: dict[str, Metric] = {}  # of a resumed run: the last point of each metric in the store
        self._error_of_before = False  # whether the run that was resumed says what it was interrupted by
        self._flushed_at = time.monotonic()
        self._retry_in = 0.0  # seconds between tries while the store cannot be written; 0 while it can
        self._retry_at = 0.0
        self._gave_up = False

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
        with self._needed(_WAIT_TO_START):
            self._experiment_id = _experiment_id(self._client, experiment, self._mlruns)
            _end_abandoned_runs(self._client, self._experiment_id)
            # In the same transaction as the run, so that a run killed at once can be found by its tags.
            given = {key: value[:MAX_TAG] for key, value in tags.items()}
            given[PROCESS_TAG] = this_process()
            if parent_run_id:
                given[MLFLOW_PARENT_RUN_ID] = parent_run_id
            run = self._client.create_run(self._experiment_id, run_name=run_name, tags=given)
            self._run_id = run.info.run_id
            param_list = [Param(key, _as_text(value)[:_MAX_PARAM]) for key, value in params.items()]
            for first in range(0, len(param_list), _MAX_BATCH):
                part = param_list[first : first + _MAX_BATCH]
                self._client.log_batch(self._run, params=part, synchronous=True)
        return self._run

    def resume(self, run_id: str) -> bool:
        """Go on in a run of the store that was interrupted; False where the store has no such run.

        Raises:
            TrackingError: Another process of this machine is at work on it, or the store cannot be used.
        """
        with self._needed(_WAIT_TO_START), _store_lock(self._mlruns):
            run = find_run(self._client, run_id)
            if run is None:
                return False
            if is_at_work(run):
                raise TrackingError(
                    f"run {run_id}: another process is at work on it ({run.data.tags[PROCESS_TAG]}: machine, "
                    "process, time). Wait for it to end, or stop it, and call again"
                )
            self._client.set_tag(run_id, PROCESS_TAG, this_process())
            self._client.update_run(run_id, status="RUNNING")
            self._run_id, self._experiment_id = run_id, run.info.experiment_id
            self._error_of_before = "error" in run.data.tags
            # Steps done again since the last training state are in the curves already.
            for key in run.data.metrics:
                history = self._client.get_metric_history(run_id, key)
                self._logged[key] = max(history, key=lambda metric: metric.step)
            self._take_up_unsent()
            for half in local_path(run.info.artifact_uri).rglob(f"{_HALF_AN_ARTIFACT}*"):
                half.unlink(missing_ok=True)
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
            time_of_it = now
            if (before := self._logged.get(key)) and step <= before.step:
                if model_id is None or step < before.step:
                    continue
                # MLflow writes the run's figures and then the model's. It drops the first, which it has, and
                # takes the second if an earlier process was killed in between.
                value, time_of_it = before.value, before.timestamp
            self._pending.append(
                Metric(
                    key,
                    float(value),
                    time_of_it,
                    step,
                    model_id=model_id,
                    dataset_name=dataset.name if dataset else None,
                    dataset_digest=dataset.digest if dataset else None,
                    run_id=self._run,
                )
            )
        if len(self._pending) >= _FLUSH_METRICS or time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
            self.flush()

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""
        with self._needed(_WAIT_TO_FINISH):
            self._client.set_tag(self._run, key, value[:MAX_TAG])

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
        with self._needed(_WAIT_TO_FINISH):
            self._client.log_inputs(self._run, datasets=[DatasetInput(entity, [tag])])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts."""
        with self._needed(_WAIT_TO_FINISH):
            self._send()
            self._client.log_artifact(self._run, str(path), folder)

    def log_model(self, directory: Path, *, name: str, params: Mapping[str, Any], step: int) -> StoredModel:
        """Copy a checkpoint folder into the store as a LoggedModel, the only one of its run.

        A copy that an earlier process of the run has completed is kept; one that it has not is removed.
        """
        with self._needed(_WAIT_TO_FINISH):
            self._send()
            model = keep_one_model(self._client, self._experiment_id, self._run, like=directory)
            if model is None:
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
                    with suppress(mlflow.MlflowException):  # what went wrong first is what has to be told
                        remove_model(self._client, model)
                    raise
                self._client.finalize_logged_model(model.model_id, "READY")
            outputs = self._client.get_run(self._run).outputs.model_outputs
            if model.model_id not in [output.model_id for output in outputs]:
                self._client.log_outputs(self._run, [LoggedModelOutput(model.model_id, step)])
        return StoredModel(model.model_id, local_path(model.artifact_location))

    def use_model(self, model_id: str) -> None:
        """Name a model of the store as an input of the run."""
        with self._needed(_WAIT_TO_FINISH):
            self._client.log_inputs(self._run, models=[LoggedModelInput(model_id)])

    def end(self, state: EndState, error: str | None = None) -> None:
        """Close the run with its true end state; an error's text becomes the tag `error`.

        Does nothing where no run was started, so that it can follow an error of any kind.

        Raises:
            TrackingError: The store cannot be written. Figures that could not be sent are in a file by then.
        """
        if self._run_id is None:
            return
        wait = _WAIT_WHEN_KILLED if state == "KILLED" else _WAIT_TO_FINISH
        if self._gave_up:
            wait = 0.0  # this end follows a long wait in vain
        try:
            with self._needed(wait):
                self._send()
                if error:
                    self._client.set_tag(self._run, "error", error[:MAX_TAG])
                elif self._error_of_before:
                    self._client.delete_tag(self._run, "error")
                    self._error_of_before = False
                self._client.set_terminated(self._run, status=state)
        except TrackingError:
            self._leave_unsent()
            raise

    def flush(self) -> None:
        """Send what is buffered to the store, or keep it where the store cannot be written.

        A second is waited for another program that has the store locked. After a failure the calls of the
        next seconds to minutes do nothing.

        Raises:
            TrackingError: The store can be written but refuses, for instance because the run was deleted.
        """
        if not self._pending or (self._retry_in and time.monotonic() < self._retry_at):
            return
        reason = _why_unusable(self._mlruns, _WAIT_IN_TRAINING)
        if reason is None:
            try:
                with _store_errors(self._mlruns):
                    self._send()
                return
            except TrackingError as error:
                reason = _outage(error)
                if reason is None:  # the store works, and refuses: the run was deleted, say
                    raise
        self._put_off(reason)

    @property
    def _run(self) -> str:
        if self._run_id is None:
            raise TrackingError("no run was started: call start() first")
        return self._run_id

    def _send(self) -> None:
        """Send everything that is buffered; what was not sent when an error comes stays buffered."""
        sent = 0
        while self._pending:
            batch = self._pending[:_MAX_METRICS]
            self._client.log_batch(self._run, metrics=batch, synchronous=True)
            del self._pending[: len(batch)]
            sent += len(batch)
        self._flushed_at = time.monotonic()
        if sent:
            self._unsent_file.unlink(missing_ok=True)
        if self._retry_in:
            _log.warning("%s: can be written again, nothing is lost", _database(self._mlruns))
            self._retry_in = 0.0

    def _put_off(self, reason: str) -> None:
        """Keep what is buffered for later; warn at the beginning of an outage, not at each try."""
        if not self._retry_in:
            _log.warning(
                "%s: cannot be written (%s). Training goes on, and its figures are kept until it can. %s",
                _database(self._mlruns),
                reason,
                _remedy(reason),
            )
        self._retry_in = min(2 * self._retry_in or _RETRY_SECONDS, _RETRY_AT_MOST)
        self._retry_at = time.monotonic() + self._retry_in
        if len(self._pending) > _MAX_PENDING:
            self._pending = _every_second_point(self._pending)
            _log.warning("Too many figures wait for the store: every second point of their curves is dropped")

    @contextmanager
    def _needed(self, wait: float) -> Iterator[None]:
        """Run calls that cannot be put off: wait for a locked store, and raise errors as TrackingError."""
        try:
            if reason := _why_unusable(self._mlruns, wait):
                raise TrackingError(_explained(self._mlruns, reason))
            with _store_errors(self._mlruns):
                yield
        except TrackingError:
            self._gave_up = True
            raise

    @property
    def _unsent_file(self) -> Path:
        return self._mlruns / f"unsent-{self._run}.json"

    def _leave_unsent(self) -> None:
        """Write what could not be sent to a file, for `resume`."""
        if not self._pending:
            return
        text = json.dumps([metric.to_dictionary() for metric in self._pending])
        try:
            write_whole(self._unsent_file, text)
        except OSError as error:
            _log.warning("The run's last %d figures are lost (%s)", len(self._pending), error)
            return
        _log.warning(
            "The run's last %d figures are in %s; they are sent when the run is resumed",
            len(self._pending),
            self._unsent_file,
        )

    def _take_up_unsent(self) -> None:
        """Buffer what an earlier process of this run could not send."""
        if not self._unsent_file.is_file():
            return
        for entry in json.loads(self._unsent_file.read_text(encoding="utf-8")):
            metric = Metric.from_dictionary(entry)
            self._pending.append(metric)
            before = self._logged.get(metric.key)
            if before is None or before.step < metric.step:
                self._logged[metric.key] = metric


def store_uri(mlruns: Path) -> str:
    """The tracking URI of a folder's store, as MLflow's own commands take it."""
    return sqlite_uri(_database(mlruns))


def open_client(mlruns: Path) -> mlflow.MlflowClient:
    """A client of the folder's store, for what goes beyond one run; the store is made where there is none."""
    return _client(mlruns)


def create_store(mlruns: Path) -> None:
    """Make the folder's store where there is none; of several processes one does, and the others wait.

    Raises:
        TrackingError: It cannot be made or read.
    """
    _client(mlruns, writing=False)


def store_problem(mlruns: Path) -> tuple[str, str] | None:
    """Why a folder's store cannot be used and what to do, or None where it can; nothing is written.

    Where there is no store yet, the question is whether one can be made.
    """
    database = _database(mlruns)
    if not os.path.lexists(database):
        place = next(each for each in (mlruns, *mlruns.absolute().parents) if os.path.lexists(each))
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return None
        return (
            f"none can be made in {place}",
            "Make it a folder that can be written, or name another with --mlruns",
        )
    reason = _why_unusable(mlruns, _WAIT_IN_TRAINING) or _other_schema(database)
    if reason is None and not os.access(mlruns, os.W_OK):
        reason = "its folder is read-only"  # where sqlite puts its journal
    return None if reason is None else (f"{database} cannot be used ({reason})", _remedy(reason))


def _other_schema(database: Path) -> str | None:
    """What is wrong with a database's tables, by MLflow's own mark; an empty one is filled at first use."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,):
                return None
            versions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
            connection.execute("SELECT status, lifecycle_stage FROM runs LIMIT 1")
        except sqlite3.Error as error:
            return f"it is no MLflow store: {error}"
    head = _get_latest_schema_revision()
    return None if versions == [head] else f"its schema is {', '.join(versions)}, and this MLflow's is {head}"


def find_model(mlruns: Path, run_id: str) -> StoredModel:
    """The checkpoint that a training run of the store has produced.

    Raises:
        TrackingError: There is no store, no such run, or the run produced no complete checkpoint.
    """
    if not _database(mlruns).is_file():
        raise TrackingError(
            f"{mlruns}: no MLflow store here (mlflow.db is missing). Give the folder of a run's store"
        )
    client = _client(mlruns, writing=False)
    with _store_errors(mlruns):
        run = find_run(client, run_id)
        if run is None:
            raise TrackingError(f"{mlruns}: no run '{run_id}' in this store. `xlprompt ui` lists the runs")
        model = output_model(client, run)
        if model is None:
            raise TrackingError(
                f"run {run_id} ({run.info.status}) has no checkpoint: it ended before training did. Train "
                "again"
            )
    return StoredModel(model.model_id, local_path(model.artifact_location))


def log_text(tracker: Tracker, name: str, text: str) -> None:
    """Record a text as an artifact of the current run, at the top of its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        tracker.log_artifact(path)


@contextmanager
def true_end_state(tracker: Tracker) -> Iterator[None]:
    """End the tracked run as FINISHED, FAILED (with the error's text) or KILLED, however the block is left.

    A SIGTERM, which batch systems send at the end of the granted time, is turned into `SystemExit` here, so
    that it is recorded like an interrupt from the keyboard.

    Raises:
        TrackingError: The block was completed, but the store cannot take the end of the run. Where the block
            was left by an error, that error is raised, and that its record is missing is only a warning.
    """
    with handled(_exit, signal.SIGTERM):
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as error:
            _end_after(tracker, "KILLED", f"{type(error).__name__}: {error}".rstrip(": "))
            raise
        except Exception as error:
            _end_after(tracker, "FAILED", f"{type(error).__name__}: {error}")
            raise
        tracker.end("FINISHED")


def _end_after(tracker: Tracker, state: EndState, error: str) -> None:
    try:
        tracker.end(state, error=error)
    except TrackingError as unrecorded:
        _log.warning(
            "The run stays RUNNING in the store: its end (%s) could not be written. %s", state, unrecorded
        )


def _exit(number: int) -> None:
    raise SystemExit(128 + number)  # the shell's convention for a death by signal


def _client(mlruns: Path, *, writing: bool = True) -> mlflow.MlflowClient:
    """A client of the folder's store, whose schema is created or checked when the client is made."""
    # The one writes a page of migration steps on first use; the other the whole traceback of errors that are
    # raised anyway, and of those that are survived.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with _store_errors(mlruns):
        mlruns.mkdir(parents=True, exist_ok=True)
        may_create = writing or os.access(mlruns, os.W_OK)
        with _store_lock(mlruns) if may_create else nullcontext():
            if not _database(mlruns).exists():
                make_database(_database(mlruns))
            # Before MLflow, whose tries at a store that is locked take minutes.
            elif reason := _why_unusable(mlruns, _WAIT_TO_START, writing=writing):
                raise TrackingError(_explained(mlruns, reason))
            return _opened(mlruns, may_create)


def _opened(mlruns: Path, may_create: bool) -> mlflow.MlflowClient:
    """A client of a store; one whose making was interrupted and that holds nothing yet is made anew."""
    uri = f"{store_uri(mlruns)}?timeout={_WAIT_TO_FINISH:.0f}"
    try:
        return mlflow.MlflowClient(tracking_uri=uri)
    except Exception:
        if not may_create or not holds_nothing(_database(mlruns)):
            raise
        make_database(_database(mlruns))
        return mlflow.MlflowClient(tracking_uri=uri)


def _database(mlruns: Path) -> Path:
    return mlruns / "mlflow.db"


def _why_unusable(mlruns: Path, wait: float, *, writing: bool = True) -> str | None:
    """Why the store's database cannot be written (or read) now, in sqlite's words; None where it can.

    Nothing is written, so a full disk is not noticed.

    Args:
        mlruns: The store's folder.
        wait: Seconds to wait for another program to release its lock.
        writing: False asks for reading only.
    """
    if not _database(mlruns).exists():
        return "no such file"
    database = _database(mlruns).absolute().as_uri() + ("?mode=rw" if writing else "?mode=ro")
    until = time.monotonic() + wait
    while True:
        # Python cannot be interrupted while sqlite waits, so it does in short spells.
        spell = min(1.0, max(0.0, until - time.monotonic()))
        try:
            with closing(
                sqlite3.connect(database, uri=True, timeout=spell, isolation_level=None)
            ) as connection:
                # Exclusive, as a commit needs it: a reader that does not finish is as much in the way.
                connection.execute("BEGIN EXCLUSIVE" if writing else "BEGIN")
                connection.execute("SELECT COUNT(*) FROM sqlite_master")
                connection.execute("ROLLBACK")
            return None
        except sqlite3.Error as error:
            locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() >= until:
                return str(error)


@contextmanager
def _store_errors(mlruns: Path) -> Iterator[None]:
    """Raise what the store has against a call as a TrackingError; errors of other kinds are left alone."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        reason = _outage(error) or _refusal(error)
        if reason is None:
            raise
        raise TrackingError(_explained(mlruns, reason)) from error


def _outage(error: BaseException | None) -> str | None:
    """What sqlite or the file system reports, beneath MLflow's and SQLAlchemy's wrapping, if it is theirs."""
    while error is not None:
        if isinstance(error, sqlite3.Error | OSError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _refusal(error: Exception) -> str | None:
    """MLflow's objection to a call, such as that the run was deleted."""
    return str(error).partition("\n")[0] if isinstance(error, mlflow.MlflowException) else None


def _explained(mlruns: Path, reason: str) -> str:
    return (
        f"{_database(mlruns)}: the MLflow store cannot be used ({reason}). {_remedy(reason)}, then run the "
        "command again. Training goes on where it was with --resume (make: RESUME=1): its state is intact"
    )


def _remedy(reason: str) -> str:
    words = reason.lower()
    if "locked" in words:
        return "Close the program that has it open (a database browser, a backup, a stopped run)"
    if "no such file" in words:
        return "Bring its folder back (was it moved, or its disk taken away?)"
    if any(sign in words for sign in ("readonly", "read-only", "permission", "unable to open")):
        return "Make the file and its folder writable"
    if "full" in words or "no space" in words:
        return "Make room on its disk"
    if "schema" in words:
        return "Back it up and upgrade it (`mlflow db upgrade`), or name another store with --mlruns"
    if "deleted" in words:
        return "Restore the run (`mlflow runs restore`)"
    return "Repair it, or name another store with --mlruns"


def is_at_work(run: Run) -> bool:
    """Whether another process of this machine works on a run."""
    process = run.data.tags.get(PROCESS_TAG, "")
    return run.info.status == "RUNNING" and process != this_process() and is_there(process)


def _end_abandoned_runs(client: mlflow.MlflowClient, experiment_id: str) -> None:
    """End runs whose process on this machine is gone: who is killed by SIGKILL cannot do so himself."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        if is_gone(run.data.tags.get(PROCESS_TAG, "")):
            keep_one_model(client, experiment_id, run.info.run_id)
            client.set_tag(run.info.run_id, "error", "its process ended without a word")
            client.set_terminated(run.info.run_id, status="KILLED")


def _every_second_point(metrics: list[Metric]) -> list[Metric]:
    """Halve each curve, keeping its last point; a figure that was logged once is kept."""
    kept: list[Metric] = []
    seen: Counter[str] = Counter()
    for metric in reversed(metrics):
        if seen[metric.key] % 2 == 0:
            kept.append(metric)
        seen[metric.key] += 1
    return kept[::-1]


def find_run(client: mlflow.MlflowClient, run_id: str) -> Run | None:
    """A run of the store; None where it has none of this id."""
    try:
        return client.get_run(run_id)
    except mlflow.MlflowException as error:
        if _outage(error):
            raise
        return None  # no such run, or no id at all


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


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
