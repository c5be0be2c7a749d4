"""A run begins in the store, or goes on where an interrupted one of the same recipe was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

from xlprompt.training.recipes.recipe import flatten
from xlprompt.training.runs.opened import TrainingRun
from xlprompt.training.store.interrupted import LATEST, find_interrupted, remove_leftovers, states_folder
from xlprompt.training.store.labels import run_name, run_params, run_tags
from xlprompt.training.store.metric_names import CURVE_ROWS, HEADLINE
from xlprompt.training.store.recipe_file import log_recipe
from xlprompt.training.store.tracker import log_text
from xlprompt.training.store.training_state import Identity, Snapshot, TrainingStates


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        identity: What its training states belong to.
        states: Those of the run that is gone on with, or None.
        snapshot: The one of them to go on from, or None.
    """

    identity: Identity
    states: TrainingStates | None = None
    snapshot: Snapshot | None = None

    @property
    def seconds_before(self) -> float:
        """What earlier attempts took."""
        return self.snapshot.loop.total_seconds if self.snapshot else 0.0


def find_start(run: TrainingRun, resume: str | None, resume_step: int | None) -> Start:
    """Where to begin: at a training state of the run that is to be resumed, or anew.

    Raises:
        CheckpointError: The state is damaged or belongs to another recipe, data set or backbone.
    """
    parts = [run.train.fingerprint, run.development.fingerprint]
    parts += [run.alignment.fingerprint] if run.alignment else []
    data = hashlib.sha256(" ".join(parts).encode()).hexdigest()
    identity = Identity(None, flatten(run.recipe), data, run.model.backbone.fingerprint)
    states = _states_to_go_on_from(run, identity, resume)
    if states is None:
        return Start(identity)
    snapshot = states.load(resume_step)
    run.console.print(
        f"Going on from step {snapshot.loop.step} of run {states.identity.run_id}", highlight=False
    )
    return Start(identity, states, snapshot)


def begin(
    run: TrainingRun,
    start: Start,
    expected: Mapping[str, float],
    tags: Callable[[], Mapping[str, str]],
    parent_run_id: str | None,
) -> TrainingStates | None:
    """Open the run in the store, or the one that is gone on with; returns where its states go.

    Args:
        run: The run.
        start: From `find_start`.
        expected: The cost that was told, as metrics.
        tags: Gives more tags.
        parent_run_id: The MLflow run that this one is shown under.

    Returns:
        None in processes other than the first.
    """
    tracker, recipe, task = run.tracker, run.recipe, run.setup.task
    run_id = start.states.identity.run_id if start.states else None
    if run_id is None or not tracker.resume(run_id):
        run_id = tracker.start(
            experiment=task.name,
            run_name=run_name(recipe),
            params={
                **run.budget.to_dict(),
                **run_params(recipe),
                **run.engine.params(),
                "processes": run.setup.processes.size,
                "backbone_fingerprint": run.model.backbone.fingerprint,
                "data_fingerprint.train": run.train.fingerprint,
                "data_fingerprint.validation": run.development.fingerprint,
            },
            tags={**run_tags(recipe, run.environment), "job": "train", **tags()},
            parent_run_id=parent_run_id,
        )
        _log_inputs_and_setting(run)
        # MLflow lists metrics as they were first logged, so the scores to come take the first places.
        tracker.log_metrics(dict.fromkeys(HEADLINE, nan) | dict(expected) | _curve_rows(run))
    if run_id is None or not run.setup.processes.is_first:
        return None
    folder = states_folder(run.store, run_name(recipe), run_id)
    states = start.states or TrainingStates(folder, start.identity)
    if states.folder.name != folder.name:  # the store did not know the run, and has begun another
        states.folder = states.folder.rename(folder)
    states.identity = replace(start.identity, run_id=run_id)
    return states


def _curve_rows(run: TrainingRun) -> dict[str, float]:
    """How many rows the smallest of the languages' samples has; nothing of a run without a curve."""
    rows = [sample.encoded.num_examples for sample in run.curve]
    return {CURVE_ROWS: min(rows)} if rows else {}


def _states_to_go_on_from(run: TrainingRun, identity: Identity, resume: str | None) -> TrainingStates | None:
    """The training states of the run that is to be resumed; the first process looks for them."""
    processes, found = run.setup.processes, None
    if processes.is_first:
        remove_leftovers(run.store)
        found = find_interrupted(run.store, run.recipe, resume or LATEST)
    told = json.loads(
        processes.tell(json.dumps([str(found.folder), found.identity.run_id] if found else None))
    )
    if told is None:
        if resume:
            run.console.print(
                "No interrupted run of this recipe is in the store: beginning anew", highlight=False
            )
        return None
    folder, run_id = told
    if not resume:
        run.console.print(
            f"Run {run_id} of this recipe has not finished; --resume (with make: RESUME=1) goes on with it. "
            "This one begins anew",
            highlight=False,
        )
        return None
    return TrainingStates(Path(folder), replace(identity, run_id=run_id))


def _log_inputs_and_setting(run: TrainingRun) -> None:
    tracker = run.tracker
    tracker.log_dataset(run.train.record)
    tracker.log_dataset(run.development.record)
    log_recipe(tracker, run.recipe)
    environment = json.dumps(run.environment.to_dict(), indent=2, ensure_ascii=False)
    log_text(tracker, "environment.json", environment)
    if run.engine.config is not None:
        log_text(tracker, "deepspeed.json", json.dumps(run.engine.config, indent=2))
    for record in run.alignment.records() if run.alignment else ():
        tracker.log_dataset(record)
