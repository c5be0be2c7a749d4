"""What Slurm knows of jobs, by its own commands: squeue, scancel, sinfo.

Slurm's accounting, which submitit asks, is absent on many small clusters; the controller itself always
answers, and remembers a job that has ended for some minutes (`MinJobAge`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_SECONDS = 60.0  # that a busy controller may take to answer

# States of a job that may still do something; all others are ends (`man squeue`, "JOB STATE CODES").
_ACTIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_HOLD"),
    *("REQUEUE_FED", "RESIZING", "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
}

# Reasons to wait that no waiting ends: the job asks for what its partition never has.
_HOPELESS = {"PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints"}


class SlurmError(RuntimeError):
    """Slurm does not answer, or refuses; the message is its own."""


@dataclass(frozen=True)
class JobState:
    """A job as the controller sees it.

    Attributes:
        word: Slurm's word, such as `RUNNING`, `CANCELLED` or `TIMEOUT`.
        reason: Why it waits, or ended.
    """

    word: str
    reason: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.word in _ACTIVE

    @property
    def is_pending(self) -> bool:
        """Whether it has not been begun."""
        return self.word in ("PENDING", "CONFIGURING")

    @property
    def is_hopeless(self) -> bool:
        """Whether it waits for what does not come."""
        return self.word == "PENDING" and self.reason in _HOPELESS


# Of a job that the controller does not remember.
FORGOTTEN = JobState("UNKNOWN", "the controller has forgotten it")


def states() -> dict[str, JobState]:
    """This user's jobs by number, those that have just ended too.

    Raises:
        SlurmError: The controller does not answer.
    """
    lines = _ask("squeue", "--me", "--noheader", "--states=all", "--format=%i|%T|%r").splitlines()
    parts = [line.strip().split("|", 2) for line in lines if line.count("|") >= 2]
    return {number: JobState(word, reason) for number, word, reason in parts}


def named(names: Sequence[str]) -> dict[str, str]:
    """Names, of these, by number of this user's jobs that wait or run under them.

    Raises:
        SlurmError: The controller does not answer.
    """
    wanted = set(names)
    lines = _ask("squeue", "--me", "--noheader", "--format=%i|%j").splitlines()
    pairs = [line.strip().partition("|") for line in lines]
    return {number: name for number, _, name in pairs if name in wanted}


def cancel(numbers: Sequence[str], *, signal: str | None = None) -> None:
    """End jobs, or send a signal to the steps of those that run; jobs that have ended are passed over."""
    if numbers:
        how = ["--state=RUNNING", f"--signal={signal}"] if signal else []
        _ask("scancel", "--quiet", *how, *numbers)


def has_gpus(partition: str | None) -> bool:
    """Whether a partition (None: all of them) has nodes with GPUs."""
    of = [f"--partition={partition}"] if partition else []
    return "gpu" in _ask("sinfo", "--noheader", "--format=%G", *of)


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise SlurmError(f"{command[0]}: {said or f'exit code {done.returncode}'}")
    return done.stdout
