"""The process that runs one cell of a study: `python -m xlprompt.studies.grid.worker`.

How it hears of its job and tells how it goes is said in `xlprompt.studies.executors.worker_process`. When it
is told to stop, or nobody waits for it any more, it writes its training state and ends.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlprompt.studies.executors.worker_process import Report, serve, shown_as_events

if TYPE_CHECKING:
    from rich.console import Console

# How long a cell waits for a process that was told to stop.
LOCK_SECONDS = 180.0

_log = logging.getLogger("xlprompt.studies.grid.worker")  # and not __main__


@dataclass(frozen=True)
class CellJob:
    """A cell, told in plain data so that any process on any machine can run it.

    Attributes:
        name: Such as `xnli-prompt seed 0`.
        task: The task's name.
        fingerprint: The cell's fingerprint.
        group: Its group's fingerprint.
        recipe: All of the recipe's values.
        recipe_path: The recipe's file; the git revision of its repository is recorded.
        store: Folder of the MLflow store, which every worker must see.
        parent_run_id: The run that stands for the group.
        threads: CPU threads.
        engine: `torch` or `deepspeed`; None for the method's own.
        directory: What relative paths are relative to.
    """

    name: str
    task: str
    fingerprint: str
    group: str
    recipe: dict[str, Any]
    recipe_path: str
    store: str
    parent_run_id: str
    threads: int
    engine: str | None
    directory: str

    @property
    def log(self) -> Path:
        """Where the run's own output goes."""
        return Path(self.store) / "study-logs" / f"{self.name.replace(' ', '-')}.log"

    @property
    def module(self) -> str:
        """This one."""
        return "xlprompt.studies.grid.worker"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=True)

    def run(self, report: Report, console: Console) -> str:
        """See `run_job`."""
        return run_job(self, report, console)


def run_job(job: CellJob, report: Report, console: Console) -> str:
    """Run a cell, or go on with it; returns the id of its finished MLflow run.

    If the cell has a finished run by now, nothing is done. A run that was interrupted goes on from its
    training state; where that is damaged or missing, the run is closed and a new one begun.
    """
    from xlprompt.studies.grid.ledger import CELL_TAG, GROUP_TAG, KILLED, Ledger
    from xlprompt.studies.grid.run_params import has_curve
    from xlprompt.training.errors import CheckpointError
    from xlprompt.training.recipes.recipe import recipe_from_dict
    from xlprompt.training.runs.train import train

    store = Path(job.store)
    recipe = recipe_from_dict(job.recipe, origin=job.name)
    ledger = Ledger(store)

    def attempt(resume: str | None) -> str:
        result = train(
            recipe,
            store=store,
            console=console,
            recipe_path=Path(job.recipe_path),
            engine=job.engine,
            resume=resume,
            parent_run_id=job.parent_run_id,
            tags=lambda: {
                **ledger.tags_of_child(job.parent_run_id),
                CELL_TAG: job.fingerprint,
                GROUP_TAG: job.group,
                "threads": str(job.threads),
            },
            show=shown_as_events(report),
        )
        assert result is not None  # a cell is one process, so it is the first
        return result.run_id

    with ledger.locks.working_on_cell(job.fingerprint, timeout=LOCK_SECONDS):
        all_runs = ledger.runs_of_cell(job.task, job.fingerprint)
        runs = [run for run in all_runs if has_curve(run, recipe)]
        finished = next((run for run in runs if run.status == "FINISHED"), None)
        if finished:
            return finished.run_id
        resumable = next((run for run in runs if run.step is not None), None)
        for run in all_runs:
            others = ledger.is_of_others(run.run_id)
            if run.status == "RUNNING" and run is not resumable and not others:
                ledger.end(run.run_id, "KILLED", KILLED)
        if resumable is None:
            return attempt(None)
        report({"event": "resumed", "step": resumable.step})
        try:
            return attempt(resumable.run_id)
        except CheckpointError as error:
            _log.warning("%s\nThis run begins anew.", error)
            ledger.end(resumable.run_id, "KILLED", str(error))
            for folder in (store / "training-states").glob(f"*-{resumable.run_id}"):
                shutil.rmtree(folder, ignore_errors=True)
            return attempt(None)


def main() -> int:
    """Run the cell on standard input."""
    return serve(lambda line: CellJob(**json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
