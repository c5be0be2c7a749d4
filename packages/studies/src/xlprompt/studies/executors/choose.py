"""Which executor runs a study's cells: processes of this machine, this very process, Ray or Slurm."""

from __future__ import annotations

from xlprompt.studies.executors.executor import Executor
from xlprompt.studies.executors.local import InProcessExecutor, LocalExecutor
from xlprompt.studies.executors.settings import ExecutorSettings


def make_executor(settings: ExecutorSettings, *, address: str | None = None) -> Executor:
    """The executor that the settings name.

    Raises:
        StudyError: Ray or Slurm is asked for and not installed.
    """
    if settings.kind == "ray":
        from xlprompt.studies.executors.ray_executor import RayExecutor

        return RayExecutor(settings, address=address)
    if settings.kind == "slurm":
        from xlprompt.studies.executors.slurm_executor import SlurmExecutor

        return SlurmExecutor(settings)
    if settings.workers == 0:
        return InProcessExecutor(settings)
    return LocalExecutor(settings)
