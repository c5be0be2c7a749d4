"""What the MLflow store knows about the cells of a study, and the runs that stand for whole groups.

A cell's run carries the cell's and the group's fingerprint as tags, and is a child of the group's run. A run
that is called RUNNING and whose lock is free was killed, and is given its true state here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import Timeout

from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.asked_names import require_names
from xlprompt.studies.grid.cells import Cell, Group
from xlprompt.studies.grid.over_seeds import group_metrics
from xlprompt.studies.grid.own_tasks import learn_own_tasks
from xlprompt.studies.locks import StudyLocks
from xlprompt.training.machine.process_identity import this_process
from xlprompt.training.store.database import (
    MAX_TAG,
    PROCESS_TAG,
    open_client,
    open_reader,
    store_exists,
)
from xlprompt.training.store.interrupted import remove_leftovers
from xlprompt.training.store.labels import NOTE_TAG, PARENT_TAG, VARIANT_TAG, run_params
from xlprompt.training.store.metric_names import TOTAL_SECONDS, predictions_folder
from xlprompt.training.store.reading.reader import Reader
from xlprompt.training.store.shared.fetched import is_local, local_path, run_folder
from xlprompt.training.store.shared.server import experiment_name, is_of_others, tracking_server
from xlprompt.training.store.tracker import EndState
from xlprompt.training.store.training_state import saved_steps

CELL_TAG = "cell_fingerprint"
GROUP_TAG = "group_fingerprint"
RUN_TAG = "run_fingerprint"  # of a run that no study has begun: the fingerprint of the cell that it is
SUPERSEDED_TAG = "superseded_cell"
TRAINED_BY_TAG = "trained_by"  # of a run that scores another's model again: the id of that
PARENT_JOB = "study"
KILLED = "the process was killed before it could say so"

_SHARE = "trainable_percent"  # a parameter that a run has when its model is there
_PAGE = 500  # runs in one answer of the store


@dataclass(frozen=True)
class CellRun:
    """A training run as the store has it.

    Attributes:
        run_id: Its id.
        status: MLflow's word: RUNNING, FINISHED, FAILED or KILLED.
        started: Milliseconds since 1970.
        params: As logged, all of them text.
        tags: As logged.
        metrics: The latest value of each metric.
        step: Step of its newest training state, or None where there is none to go on from.
    """

    run_id: str
    status: str
    started: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    step: int | None

    @property
    def seconds(self) -> float | None:
        """What it took, all attempts together; None before it has finished."""
        return self.metrics.get(TOTAL_SECONDS)


def open_ledger(
    store: Path, remedy: str, *, tasks: Sequence[str] = (), methods: Sequence[str] = ()
) -> Ledger:
    """The ledger of a store that must be there already, for what only reads.

    Args:
        store: Folder of the MLflow store.
        remedy: What to do where there is none.
        tasks: Names that are asked for, which have to be tasks, the store's own among them.
        methods: Names that are asked for, which have to be methods.

    Raises:
        StudyError: There is no store, and the message ends with `remedy`; or there is no such method.
        DataError: There is no such task.
    """
    require_store(store, remedy)
    ledger = Ledger(store, writing=False)
    require_names(tasks, methods)
    return ledger


def require_store(store: Path, remedy: str) -> None:
    """Refuse a store that is not there; the error is `open_ledger`'s."""
    if not store_exists(store):
        raise StudyError(f"{store}: there is no MLflow store. {remedy}")


class Ledger:
    """Reads and writes the runs of studies in one store."""

    def __init__(self, store: Path, *, writing: bool = True) -> None:
        """Open the store, which is made where there is none.

        Args:
            store: Its folder.
            writing: False opens one that must be there, and what writes is opened when it is needed.
        """
        self._store = store
        self.locks = StudyLocks(store)
        if writing:
            _ = self._client  # which makes the store where there is none
        # Of a folder's own store sqlite itself reads: MLflow takes ten times as long for a thousand runs.
        of_server = writing and tracking_server(store)
        self._reader: Reader = self._client if of_server else open_reader(store)
        self._artifacts: dict[str, Path] = {}  # by run; they never move, and asking the store takes time
        learn_own_tasks(self._reader, store)

    @cached_property
    def _client(self) -> Any:
        """MLflow's client, which writes."""
        return open_client(self._store)

    def training_runs(self, tasks: Sequence[str]) -> list[CellRun]:
        """The training runs of these tasks, newest first, those outside studies too."""
        return [self._cell_run(run) for run in self._search(tasks, "tags.job = 'train'")]

    def runs_of_cell(self, task: str, fingerprint: str) -> list[CellRun]:
        """The runs of one cell, newest first."""
        found = self._search([task], f"tags.{CELL_TAG} = '{fingerprint}'")
        return [self._cell_run(run) for run in found]

    def runs_like(self, task: str, fingerprint: str) -> list[CellRun]:
        """The runs of one cell, and those outside studies that equal it."""
        alone = self._search([task], f"tags.{RUN_TAG} = '{fingerprint}'")
        runs = {
            run.run_id: run for run in (*self.runs_of_cell(task, fingerprint), *map(self._cell_run, alone))
        }
        return list(runs.values())

    def runs_of_group(self, group: Group) -> list[CellRun]:
        """The finished runs of a group, one a seed, whether this study asks for the seed or not."""
        found = self._search([group.task], f"tags.{GROUP_TAG} = '{group.fingerprint}' and tags.job = 'train'")
        finished: dict[str, CellRun] = {}
        for run in map(self._cell_run, found):
            if run.status == "FINISHED" and CELL_TAG in run.tags:
                finished.setdefault(run.tags[CELL_TAG], run)
        return list(finished.values())

    def finished_cells(self, tasks: Sequence[str]) -> list[CellRun]:
        """The finished children of studies' parents, newest first; without those of mere ablations."""
        ablations = {run.info.run_id for run in self._search(tasks, f"tags.{VARIANT_TAG} LIKE '_%'")}
        found = self._search(tasks, "tags.job = 'train' and attributes.status = 'FINISHED'")
        runs = [self._cell_run(run) for run in found]
        return [
            run
            for run in runs
            if GROUP_TAG in run.tags
            and VARIANT_TAG not in run.tags  # as runs of earlier versions, whose parents alone have it
            and run.tags.get(PARENT_TAG, "") not in ablations | {""}
        ]

    def finished_groups(self, tasks: Sequence[str]) -> set[str]:
        """Fingerprints of the groups of which every seed that was asked for has finished."""
        condition = f"attributes.status = 'FINISHED' and tags.job = '{PARENT_JOB}'"
        return {run.data.tags[GROUP_TAG] for run in self._search(tasks, condition)}

    def predictions(
        self, run_id: str, kind: str = "none", sentences: int | None = None, layer: int | None = None
    ) -> dict[str, Path]:
        """Files of a run's test predictions by language; none where it kept none.

        Args:
            run_id: The run.
            kind: With which kind of alignment; see `KeptPredictions` for this and the others.
            sentences: Of how many sentences.
            layer: At which decoder layer.
        """
        folder = self.artifacts(run_id) / predictions_folder(kind, sentences, layer)
        return {path.name.split(".")[0]: path for path in sorted(folder.glob("*.test.jsonl.gz"))}

    def scored_runs(self, tasks: Sequence[str]) -> list[CellRun]:
        """Finished training runs and evaluations of these tasks, newest first."""
        found = self._search(tasks, "attributes.status = 'FINISHED'")
        runs = [self._cell_run(run) for run in found]
        return [run for run in runs if run.tags.get("job") in ("train", "evaluate")]

    def history(self, run_id: str, metric: str) -> tuple[tuple[int, float], ...]:
        """Steps and values of a run's metric by step; of a step that was done twice, the last value."""
        points = self._reader.get_metric_history(run_id, metric)
        by_step = {point.step: point.value for point in sorted(points, key=lambda point: point.timestamp)}
        return tuple(sorted(by_step.items()))

    def get(self, run_id: str) -> CellRun:
        """One run."""
        return self._cell_run(self._reader.get_run(run_id))

    def finished_runs(self, experiment: str, tag: str, value: str) -> list[CellRun]:
        """The finished runs of an experiment whose tag has this value, newest first."""
        condition = f"attributes.status = 'FINISHED' and tags.{tag} = '{value}'"
        return [self._cell_run(run) for run in self._search([experiment], condition)]

    def artifacts(self, run_id: str) -> Path:
        """Folder of a run's artifacts."""
        if run_id not in self._artifacts:
            run = self._reader.get_run(run_id)
            self._artifacts[run_id] = run_folder(self._reader, run, self._store)
        return self._artifacts[run_id]

    def end_abandoned(self, tasks: Sequence[str]) -> int:
        """Give the runs of studies that a dead process left RUNNING their true state; returns how many."""
        remove_leftovers(self._store)
        ended = 0
        for tag, kind in ((CELL_TAG, "cell"), (GROUP_TAG, "group")):
            for run in self._search(tasks, f"attributes.status = 'RUNNING' and tags.{tag} LIKE '_%'"):
                if kind == "group" and run.data.tags.get("job") != PARENT_JOB:
                    continue
                if self.is_of_others(run.info.run_id):
                    continue
                lock = self.locks.of(kind, run.data.tags[tag])
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue  # somebody is at work on it
                try:
                    # It may have ended between the search and here.
                    if self._client.get_run(run.info.run_id).info.status == "RUNNING":
                        self.end(run.info.run_id, "KILLED", KILLED)
                        ended += 1
                finally:
                    lock.release()
        return ended

    def is_of_others(self, run_id: str) -> bool:
        """Whether a run that goes on may be of a machine that shares the server and not these locks."""
        return is_of_others(self._store, run_id)

    def end(self, run_id: str, state: EndState, error: str | None = None) -> None:
        """Close a run that another process has left open."""
        if error:
            self._client.set_tag(run_id, "error", error[:MAX_TAG])
        self._client.set_terminated(run_id, status=state)

    def supersede(self, cell: Cell) -> None:
        """Take the runs of a cell out of the study: they stay in the store, as runs of their own."""
        for run in self.runs_like(cell.task, cell.fingerprint):
            self._client.set_tag(run.run_id, SUPERSEDED_TAG, cell.fingerprint)
            for tag in (CELL_TAG, GROUP_TAG, PARENT_TAG, VARIANT_TAG):
                if tag in run.tags:
                    self._client.delete_tag(run.run_id, tag)

    def take_in(self, run: CellRun, cell: Cell, group: Group) -> None:
        """Make a finished run from outside the studies, which equals a cell, that cell."""
        parent = self.open_parent(group)  # which is ended again with the run among its aggregates
        self._make_children([run.run_id], parent)
        self._client.set_tag(run.run_id, GROUP_TAG, group.fingerprint)
        self._client.set_tag(run.run_id, CELL_TAG, cell.fingerprint)  # last: a run that has it counts as in

    def parent(self, group: Group) -> tuple[str, str] | None:
        """Id and status of the run that stands for a group."""
        found = self._search(
            [group.task], f"tags.{GROUP_TAG} = '{group.fingerprint}' and tags.job = '{PARENT_JOB}'"
        )
        return (found[0].info.run_id, found[0].info.status) if found else None

    def open_parent(self, group: Group) -> str:
        """The run that stands for a group, RUNNING; made where there is none."""
        known = self.parent(group)
        if known:
            # Or its first call's process, which has ended, would have the next run's start end it.
            self._client.set_tag(known[0], PROCESS_TAG, this_process())
            self._client.update_run(known[0], status="RUNNING")
            return known[0]
        from xlprompt.training.store.mlflow_tracker import MlflowTracker

        recipe = group.cells[0].recipe
        parent = MlflowTracker(self._store).start(
            experiment=group.task,
            run_name="-".join(part for part in (group.method, group.model_name, group.variant) if part),
            params={key: value for key, value in run_params(recipe).items() if key != "seed"},
            tags={
                "job": PARENT_JOB,
                "task": group.task,
                "method": recipe.method,
                "model": group.model,
                GROUP_TAG: group.fingerprint,
                **({VARIANT_TAG: group.variant} if group.variant else {}),
            },
        )
        condition = f"tags.{GROUP_TAG} = '{group.fingerprint}' and tags.job = 'train'"
        if orphans := self._search([group.task], condition):  # their own parent was deleted
            self._make_children([run.info.run_id for run in orphans], parent)
        return parent

    def _make_children(self, run_ids: Sequence[str], parent: str) -> None:
        tags = self.tags_of_child(parent)
        for run_id in run_ids:
            for tag, value in tags.items():
                self._client.set_tag(run_id, tag, value)

    def tags_of_child(self, parent: str) -> dict[str, str]:
        """By which MLflow shows a run under a group's, and which variant it is of."""
        variant = self._reader.get_run(parent).data.tags.get(VARIANT_TAG)
        return {PARENT_TAG: parent, **({VARIANT_TAG: variant} if variant else {})}

    def adopt(self, group: Group) -> None:
        """Make a group that an ablation has run, and that a study now asks for as it is, one of studies."""
        if group.variant:
            return
        own = f"tags.{GROUP_TAG} = '{group.fingerprint}' and tags.{VARIANT_TAG} LIKE '_%'"
        for run in self._search([group.task], own):
            self._client.delete_tag(run.info.run_id, VARIANT_TAG)
            if run.data.tags.get("job") == PARENT_JOB:
                self._client.update_run(run.info.run_id, name=f"{group.method}-{group.model_name}")

    def close_parent(self, group: Group, state: EndState, error: str | None = None) -> None:
        """End a group's run with the aggregates over the seeds that have finished."""
        known = self.parent(group)
        if known is None:
            return
        run_id, _ = known
        runs = self.runs_of_group(group)
        if figures := group_metrics([run.metrics for run in runs]):
            now = int(time.time() * 1000)
            from mlflow.entities import Metric

            # Without a step, as MLflow draws what has one as a line, unless an earlier version gave it one.
            before = self._reader.get_metric_history(run_id, "seeds")
            step = len(runs) if any(point.step for point in before) else 0
            metrics = [Metric(name, value, now, step) for name, value in figures.items()]
            for first in range(0, len(metrics), _PAGE):
                self._client.log_batch(run_id, metrics=metrics[first : first + _PAGE], synchronous=True)
        shares = [run.params[_SHARE] for run in runs if _SHARE in run.params]  # they differ in the seed alone
        if shares and _SHARE not in self._client.get_run(run_id).data.params:
            self._client.log_param(run_id, _SHARE, shares[0])
        if state == "FINISHED":
            self.remove_tag(run_id, "error")  # what an earlier attempt ended by
        self.end(run_id, state, error)

    def describe(self, run_id: str, note: str, figure: Path | None) -> None:
        """Give a run its description in Markdown, and a figure among its artifacts."""
        self._client.set_tag(run_id, NOTE_TAG, note[:MAX_TAG])
        if figure is not None:
            self._client.log_artifact(run_id, str(figure))

    def remove_tag(self, run_id: str, tag: str) -> None:
        """Take a tag away from a run that may have it."""
        if tag in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, tag)

    def _search(self, tasks: Sequence[str], condition: str) -> list[Any]:
        """Runs of the tasks' experiments, newest first; none where an experiment does not exist yet."""
        experiments = [
            self._reader.get_experiment_by_name(experiment_name(task, self._store))
            for task in dict.fromkeys(tasks)
        ]
        ids = [each.experiment_id for each in experiments if each and each.lifecycle_stage == "active"]
        found: list[Any] = []
        token: str | None = None
        while ids:
            page = self._reader.search_runs(
                ids, condition, max_results=_PAGE, order_by=["attributes.start_time DESC"], page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                break
        return found

    def _cell_run(self, run: Any) -> CellRun:
        if is_local(run.info.artifact_uri):
            self._artifacts[run.info.run_id] = local_path(run.info.artifact_uri)
        steps = []
        if run.info.status != "FINISHED":  # which leaves nothing to go on from
            folder = next((self._store / "training-states").glob(f"*-{run.info.run_id}"), None)
            steps = saved_steps(folder) if folder else []
        return CellRun(
            run_id=run.info.run_id,
            status=run.info.status,
            started=run.info.start_time,
            params=dict(run.data.params),
            tags=dict(run.data.tags),
            metrics=dict(run.data.metrics),
            step=steps[-1] if steps else None,
        )
