"""Where a run is written down: MLflow behind the class of `tracker`.

The store is a folder's sqlite database with its artifacts beside it, or the server that `server` finds,
addressed through `MlflowClient`: MLflow's global state (tracking URI, active run) is never touched, so one
process can track several runs. MLflow's usage reporting is switched off (`MLFLOW_DISABLE_TELEMETRY=true`)
unless the user has set that variable.

A store that cannot be written for a while (locked, read-only, its disk full, its server away) costs a
training run nothing: figures wait in memory and are sent later. Where the store itself is needed, to open or
close a run or to keep a model, it ends in a `TrackingError`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isnan
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
)
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from xlprompt.training.machine.process_identity import this_process
from xlprompt.training.store.database import (
    MAX_TAG,
    PROCESS_TAG,
    WAIT_TO_FINISH,
    WAIT_TO_START,
    connect,
    end_abandoned_runs,
    explained,
    find_experiment,
    find_run,
    is_at_work,
    outage,
    remedy,
    store_errors,
    store_lock,
    store_name,
    why_unusable,
)
from xlprompt.training.store.metric_names import HEADLINE
from xlprompt.training.store.shared.fetched import is_local, keep_model_copy, local_path
from xlprompt.training.store.shared.patience import begin_work, in_haste
from xlprompt.training.store.shown.origin import origin_tags
from xlprompt.training.store.stored_models import keep_one_model, remove_model
from xlprompt.training.store.tracker import (
    DatasetRecord,
    EndState,
    RunPlace,
    StoredModel,
    Tracker,
    TrackingError,
)
from xlprompt.training.store.unsent import every_second_point, leave_unsent, read_unsent

_log = logging.getLogger(__name__)

# MLflow's own limits, below which nothing is lost silently.
_MAX_PARAM = 6000
# Params or metrics in one request. MLflow takes a thousand metrics, but leaves out those that a model has
# only where they are a hundred at most: `findings/mlflow-logs-a-models-metrics-again-only-by-the-hundred.sh`.
_MAX_BATCH = 100

_FLUSH_SECONDS = 5.0
_FLUSH_METRICS = 500

_WAIT_WHEN_KILLED = 5.0  # batch systems follow SIGTERM by SIGKILL after some seconds
_WAIT_IN_TRAINING = 1.0  # training stands still meanwhile

# After a failed flush the next try is this many seconds away, then twice as many, up to the last: of a store
# that stays locked, training notices at most a second in every 15 and soon one in every 300.
_RETRY_SECONDS, _RETRY_AT_MOST = 15.0, 300.0
_MAX_PENDING = 100_000  # some 50 MB; a run logs four figures every ten steps or so

_HALF_AN_ARTIFACT = ".artifact.uploading."  # how MLflow calls a file until it is whole


class MlflowTracker(Tracker):
    """Writes one run to the store of a folder, or to the server in its place.

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
        self._client = connect(mlruns)
        self._run_id: str | None = None
        self._experiment_id: str | None = None
        self._parent_run_id: str | None = None
        self._trained_run_id: str | None = None
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
        with self._needed(WAIT_TO_START):
            self._experiment_id = find_experiment(self._client, experiment, self._mlruns)
            end_abandoned_runs(self._client, self._experiment_id, self._mlruns)
            # In the same transaction as the run, so that a run killed at once can be found by its tags.
            given = {key: value[:MAX_TAG] for key, value in (origin_tags() | dict(tags)).items()}
            given[PROCESS_TAG] = this_process()
            if parent_run_id:
                given[MLFLOW_PARENT_RUN_ID] = self._parent_run_id = parent_run_id
            run = self._client.create_run(self._experiment_id, run_name=run_name, tags=given)
            self._run_id = run.info.run_id
            param_list = [Param(key, _as_text(value)[:_MAX_PARAM]) for key, value in params.items()]
            for first in range(0, len(param_list), _MAX_BATCH):
                part = param_list[first : first + _MAX_BATCH]
                self._client.log_batch(self._run, params=part, synchronous=True)
        begin_work()
        return self._run

    def resume(self, run_id: str, *, shared: bool = False) -> bool:
        """Go on in a run of the store that was interrupted; False where the store has no such run.

        Args:
            run_id: The run.
            shared: Whether several processes may be at work on it, as on a search's.

        Raises:
            TrackingError: Another process of this machine is at work on it, or the store cannot be used.
        """
        with self._needed(WAIT_TO_START), store_lock(self._mlruns):
            run = find_run(self._client, run_id)
            if run is None:
                return False
            if not shared and is_at_work(run):
                raise TrackingError(
                    f"run {run_id}: another process is at work on it ({run.data.tags[PROCESS_TAG]}: machine, "
                    "process, time). Wait for it to end, or stop it, and call again"
                )
            self._client.set_tag(run_id, PROCESS_TAG, this_process())
            self._client.update_run(run_id, status="RUNNING")
            self._run_id, self._experiment_id = run_id, run.info.experiment_id
            self._parent_run_id = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
            self._error_of_before = "error" in run.data.tags
            # Steps done again since the last training state are in the curves already.
            for key in run.data.metrics:
                history = self._client.get_metric_history(run_id, key)
                if key in HEADLINE:  # NaN until it is known
                    history = [metric for metric in history if not isnan(metric.value)]
                if history:
                    self._logged[key] = max(history, key=lambda metric: metric.step)
            self._take_up_unsent()
            if is_local(run.info.artifact_uri):
                for half in local_path(run.info.artifact_uri).rglob(f"{_HALF_AN_ARTIFACT}*"):
                    half.unlink(missing_ok=True)
        begin_work()
        return True

    def place(self) -> RunPlace | None:
        """Where the current run stands."""
        return RunPlace(self._run, str(self._experiment_id), self._parent_run_id, self._trained_run_id)

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
        with self._needed(WAIT_TO_FINISH):
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
        with self._needed(WAIT_TO_FINISH):
            given = [DatasetInput(entity, [tag])]
            try:
                self._client.log_inputs(self._run, datasets=given)
            except mlflow.MlflowException as error:
                # Two runs that bring a new data set at once both insert it. The second time it is found.
                if not _is_there(error):
                    raise
                self._client.log_inputs(self._run, datasets=given)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts."""
        with self._needed(WAIT_TO_FINISH):
            self._send()
            self._client.log_artifact(self._run, str(path), folder)

    def log_model(self, directory: Path, *, name: str, params: Mapping[str, Any], step: int) -> StoredModel:
        """Copy a checkpoint folder into the store as a LoggedModel, the only one of its run.

        A copy that an earlier process of the run has completed is kept; one that it has not is removed.
        """
        with self._needed(WAIT_TO_FINISH):
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
                try:
                    self._client.log_outputs(self._run, [LoggedModelOutput(model.model_id, step)])
                except mlflow.MlflowException as error:
                    if not _is_there(error):  # as it is after an answer that broke off
                        raise
        return StoredModel(model.model_id, keep_model_copy(model, self._mlruns, directory))

    def use_model(self, model_id: str) -> None:
        """Name a model of the store as an input of the run."""
        with self._needed(WAIT_TO_FINISH):
            self._client.log_inputs(self._run, models=[LoggedModelInput(model_id)])
            self._trained_run_id = self._client.get_logged_model(model_id).source_run_id

    def end(self, state: EndState, error: str | None = None) -> None:
        """Close the run with its true end state; an error's text becomes the tag `error`.

        Does nothing where no run was started, so that it can follow an error of any kind.

        Raises:
            TrackingError: The store cannot be written. Figures that could not be sent are in a file by then.
        """
        if self._run_id is None:
            return
        wait = _WAIT_WHEN_KILLED if state == "KILLED" else WAIT_TO_FINISH
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
            leave_unsent(self._unsent_file, self._pending)
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
        reason = why_unusable(self._mlruns, _WAIT_IN_TRAINING)
        if reason is None:
            try:
                with store_errors(self._mlruns), in_haste():
                    self._send()
                return
            except TrackingError as error:
                reason = outage(error)
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
            batch = self._pending[:_MAX_BATCH]
            self._client.log_batch(self._run, metrics=batch, synchronous=True)
            del self._pending[: len(batch)]
            sent += len(batch)
        self._flushed_at = time.monotonic()
        if sent:
            self._unsent_file.unlink(missing_ok=True)
        if self._retry_in:
            _log.warning("%s: can be written again, nothing is lost", store_name(self._mlruns))
            self._retry_in = 0.0

    def _put_off(self, reason: str) -> None:
        """Keep what is buffered for later; warn at the beginning of an outage, not at each try."""
        if not self._retry_in:
            _log.warning(
                "%s: cannot be written (%s). Training goes on, and its figures are kept until it can. %s",
                store_name(self._mlruns),
                reason,
                remedy(reason),
            )
        self._retry_in = min(2 * self._retry_in or _RETRY_SECONDS, _RETRY_AT_MOST)
        self._retry_at = time.monotonic() + self._retry_in
        if len(self._pending) > _MAX_PENDING:
            self._pending = every_second_point(self._pending)
            _log.warning("Too many figures wait for the store: every second point of their curves is dropped")

    @contextmanager
    def _needed(self, wait: float) -> Iterator[None]:
        """Run calls that cannot be put off: wait for a locked store, and raise errors as TrackingError."""
        try:
            if reason := why_unusable(self._mlruns, wait):
                raise TrackingError(explained(self._mlruns, reason))
            with store_errors(self._mlruns):
                yield
        except TrackingError as error:
            self._gave_up = True
            if self._run_id is None:
                raise
            raise TrackingError(
                f"{error}. Training goes on where it was with --resume (make: RESUME=1): its state is intact"
            ) from error

    @property
    def _unsent_file(self) -> Path:
        return self._mlruns / f"unsent-{self._run}.json"

    def _take_up_unsent(self) -> None:
        """Buffer what an earlier process of this run could not send."""
        for metric in read_unsent(self._unsent_file):
            self._pending.append(metric)
            before = self._logged.get(metric.key)
            if before is None or before.step < metric.step:
                self._logged[metric.key] = metric


def _is_there(error: mlflow.MlflowException) -> bool:
    """Whether what was to be inserted is in the database already, in sqlite's words or PostgreSQL's."""
    return "UNIQUE constraint" in str(error) or "duplicate key" in str(error)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
