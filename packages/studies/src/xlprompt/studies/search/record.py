"""The MLflow run that stands for a search: its trials are shown under it, and it holds what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock
from mlflow.entities import Run

from xlprompt.studies.search.worker import SEARCH_TAG
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.database import PROCESS_TAG, open_client
from xlprompt.training.store.labels import run_name, run_params
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.shared.server import experiment_name
from xlprompt.training.store.tracker import EndState

SEARCH_JOB = "search"


class SearchRun:
    """The run of one search in one store; several processes may be at work on it at a time."""

    def __init__(self, store: Path, study: str, task: str) -> None:
        """Open the store, which is made where there is none.

        Args:
            store: Its folder.
            study: The search's name.
            task: The experiment that it is in.
        """
        self._client = open_client(store)
        self._tracker = MlflowTracker(store)
        self._store, self._study, self._task = store, study, task

    @property
    def run_id(self) -> str | None:
        """Its id, where it is there."""
        run = self._find()
        return run.info.run_id if run else None

    @property
    def is_finished(self) -> bool:
        """Whether it was ended with all that came of the search."""
        run = self._find()
        return run is not None and run.info.status == "FINISHED"

    def open(self, recipe: Recipe, space: Mapping[str, str]) -> str:
        """Have it RUNNING, made where it is not there; returns its id.

        Args:
            recipe: The recipe that the search begins with.
            space: What is searched, for people to read.
        """
        with FileLock(self._store / ".search.lock"):  # so that two processes do not make two
            known = self.run_id
            if known and self._tracker.resume(known, shared=True):
                return known
            return self._tracker.start(
                experiment=self._task,
                run_name=f"search-{run_name(recipe)}",
                params={**run_params(recipe), **{f"search.{key}": text for key, text in space.items()}},
                tags={
                    "job": SEARCH_JOB,
                    "task": recipe.task,
                    "method": recipe.method,
                    "model": recipe.model,
                    SEARCH_TAG: self._study,
                },
            )

    def record(self, figures: Mapping[str, float], files: Sequence[Path], *, step: int) -> None:
        """Log figures, and files in place of those with the same names."""
        self._tracker.log_metrics(figures, step=step)
        for file in files:
            self._tracker.log_artifact(file)

    def close(self, state: EndState, error: str | None = None) -> None:
        """End it."""
        self._tracker.end(state, error)

    def leave_to_others(self) -> None:
        """Stop working on it while other processes do: it stays RUNNING, and this one's end means nothing."""
        self._tracker.flush()
        run = self._find()
        if run is not None and PROCESS_TAG in run.data.tags:
            self._client.delete_tag(run.info.run_id, PROCESS_TAG)

    def _find(self) -> Run | None:
        experiment = self._client.get_experiment_by_name(experiment_name(self._task, self._store))
        if experiment is None:
            return None
        condition = f"tags.{SEARCH_TAG} = '{self._study}' and tags.job = '{SEARCH_JOB}'"
        found = self._client.search_runs([experiment.experiment_id], condition, max_results=1)
        return found[0] if found else None
