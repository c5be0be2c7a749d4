"""The process that runs trials of a search: `python -m xlprompt.studies.search.worker`.

How it hears of its job and tells how it goes is said in `xlprompt.studies.executors.worker_process`. When it
is told to stop, or nobody waits for it any more, it ends after the training step it is in, and the trial is
given up.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlprompt.studies.executors.worker_process import Event, Report, serve, shown_as_events
from xlprompt.training.machine.signals import handled

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.studies.search.trials import Draw

SEARCH_TAG = "search"
TRIAL_JOB = "trial"


@dataclass(frozen=True)
class SearchJob:
    """A worker's share of a search, which is as many trials as it gets to.

    Attributes:
        name: Such as `worker 1`.
        study: The search's name in the database.
        method: The method's name in the search file.
        search: All of the search file's values.
        recipe: All of the shipped recipe's values.
        recipe_path: The recipe's file; the git revision of its repository is recorded.
        database: URL of the Optuna database. It may hold a password, so it is shown nowhere.
        store: Folder of the MLflow store.
        parent_run_id: The search's MLflow run.
        directory: What relative paths are relative to.
    """

    name: str
    study: str
    method: str
    search: dict[str, Any]
    recipe: dict[str, Any]
    recipe_path: str
    database: str = field(repr=False)
    store: str
    parent_run_id: str
    directory: str

    @property
    def module(self) -> str:
        """This one."""
        return "xlprompt.studies.search.worker"

    @property
    def threads(self) -> int:
        """CPU threads."""
        return int(self.search["executor"]["threads"])

    @property
    def log(self) -> Path:
        """Where the trials' own output goes."""
        return Path(self.store) / "search-logs" / f"{self.study}-{self.name.replace(' ', '-')}.log"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=True)

    def run(self, report: Report, console: Console) -> str:
        """Run trials until there are enough of them."""
        from xlprompt.studies.search.space import SearchFile
        from xlprompt.studies.search.trials import open_trials
        from xlprompt.training.recipes.recipe import recipe_from_dict

        recipe = recipe_from_dict(self.recipe, origin=self.name)
        search = SearchFile.model_validate(self.search)
        engine = search.executor.engine_of(recipe.method)
        trials = open_trials(self.database, self.study, search, self.method, recipe)
        with handled(_stop, signal.SIGTERM):  # also between trials
            while trials.run_next(lambda draw: _train(self, draw, engine, report, console)):
                gc.collect()  # models hold references to themselves, and the next one needs the memory
        return self.parent_run_id


def _train(job: SearchJob, draw: Draw, engine: str | None, report: Report, console: Console) -> float | None:
    """Run one trial; returns its best score, or None if it was pruned."""
    from xlprompt.studies.search.trial import train_trial
    from xlprompt.training.fitting.loop import TrainingDiverged
    from xlprompt.training.recipes.recipe import override

    def tell(event: Event) -> None:
        report({**event, "trial": draw.number})

    started = time.monotonic()
    tell({"event": "trial", "values": draw.values})
    console.print(f"Trial {draw.number}: {json.dumps(draw.values)}", highlight=False, markup=False)
    end: Mapping[str, Any] = {"state": "failed"}
    try:
        result = train_trial(
            override(job.recipe, draw.values, origin=f"trial {draw.number}"),
            store=Path(job.store),
            console=console,
            run_name=f"trial-{draw.number}",
            params={"trial": draw.number},
            tags={"job": TRIAL_JOB, SEARCH_TAG: job.study, "threads": str(job.threads)},
            parent_run_id=job.parent_run_id,
            on_score=draw.scored,
            on_start=draw.runs_as,
            recipe_path=Path(job.recipe_path),
            engine=engine,
            show=shown_as_events(tell),
        )
        assert draw.best is not None  # the last step is always scored
        end = {
            "state": "complete" if result else "pruned",
            "score": draw.best.value,
            "stderr": draw.best.stderr,
            "step": draw.step,
        }
        return result.best_score if result else None
    except TrainingDiverged:
        end = {"state": "diverged"}
        raise
    except (KeyboardInterrupt, SystemExit):
        end = {"state": "stopped"}
        raise
    finally:
        tell({"event": "trial ended", "seconds": time.monotonic() - started, **end})


def _stop(number: int) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Do the share on standard input."""
    return serve(lambda line: SearchJob(**json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
