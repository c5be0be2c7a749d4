"""What a study costs beside its cells' training and scoring: cells of two steps, forked and begun anew.

Overhead is the wall-clock time of the study, by its workers, less what its cells spent in training steps,
scores and losses (`cost/seconds/*` in their runs): processes, imports, opening, storing, summing up.
"""

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from xlprompt.studies import run_study
from xlprompt.studies.executors.fork_server import ForkServer, begun_from_nothing
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training.machine.phases import Phase
from xlprompt.training.store.metric_names import PHASE_SECONDS

MINI = Path(__file__).resolve().parents[1] / "mini"
WORK = (Phase.LOSSES_BEFORE, Phase.TRAINING, Phase.DEVELOPMENT, Phase.TEST, Phase.LOSSES_AFTER)
FORKED, FRESH = "forked", "fresh processes"
VARIANTS = (FORKED, FRESH)


@dataclass(frozen=True)
class StudyTime:
    """What a study took.

    Attributes:
        cells: How many it has.
        wall_seconds: Of all of it.
        cpu_seconds: Of all its processes.
        work_seconds: What its cells spent in training and scoring.
        workers: How many of them ran at a time.
    """

    cells: int
    wall_seconds: float
    cpu_seconds: float
    work_seconds: float
    workers: int

    @property
    def wall_overhead(self) -> float:
        """Seconds a cell takes, beside its work, of one worker's time."""
        return (self.wall_seconds * self.workers - self.work_seconds) / self.cells

    @property
    def cpu_overhead(self) -> float:
        """CPU seconds a cell takes beside its work, which has one thread."""
        return (self.cpu_seconds - self.work_seconds) / self.cells


def measure(variant: str, cells: int, workers: int) -> StudyTime:
    """Run a study of trivial cells; in a process of its own, whose children's time is then the study's."""
    if variant == FRESH:
        ForkServer.start = lambda self, job, log, environment: begun_from_nothing(job, log, environment)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w", encoding="utf-8") as log:
        folder = Path(name)
        recipe = {
            "extends": str(MINI / "xnli-prompt.yaml"),
            "schedule": {"steps": 2, "evaluate_every": 2},
            "data": {"limit": 8, "languages": ["en", "de"]},
        }
        grid = {
            "tasks": ["xnli"],
            "methods": ["prompt"],
            "seeds": cells,
            "recipe": "{task}-{method}.yaml",
            "executor": {"threads": 1, "gpus": 0, "workers": workers},
        }
        (folder / "xnli-prompt.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        (folder / "study.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
        started, used = time.perf_counter(), _cpu_seconds()
        done = run_study(folder / "study.yaml", store=folder / "mlruns", console=Console(file=log))
        wall, cpu = time.perf_counter() - started, _cpu_seconds() - used
        if not done.finished:
            raise RuntimeError(f"cells failed: {done.failures}")
        runs = Ledger(folder / "mlruns").training_runs(["xnli"])
        work = sum(run.metrics.get(PHASE_SECONDS + phase, 0.0) for run in runs for phase in WORK)
    return StudyTime(len(runs), wall, cpu, work, min(workers, cells))


def _cpu_seconds() -> float:
    """User and system time of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
