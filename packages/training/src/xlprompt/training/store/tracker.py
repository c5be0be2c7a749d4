"""Where a run is written down: a class of a few methods, and how a run ends in it.

`mlflow_tracker` is the one that writes.
"""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xlprompt.training.machine.signals import handled

_log = logging.getLogger(__name__)

EndState = Literal["FINISHED", "FAILED", "KILLED"]


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


@dataclass(frozen=True)
class RunPlace:
    """Where a run stands in the store.

    Attributes:
        run_id: Its id.
        experiment_id: Its experiment's.
        parent_run_id: Its parent's, if it has one.
        trained_run_id: Of an evaluation, that of the run whose model it scores, if the store has it.
    """

    run_id: str
    experiment_id: str
    parent_run_id: str | None = None
    trained_run_id: str | None = None


class Tracker:
    """What the training code asks of a tracking system, which does nothing here."""

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
        return False

    def place(self) -> RunPlace | None:
        """Where the current run stands; None where nothing is tracked."""

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

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""

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


class NullTracker(Tracker):
    """Tracks nothing, for calls that must leave no trace."""

    def resume(self, run_id: str) -> bool:
        """Pretend that the run is there."""
        return True


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
