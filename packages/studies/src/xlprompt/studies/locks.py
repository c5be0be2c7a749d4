"""Who works on a cell or a group of a study, so that no other process of this machine does as well.

They hold a lock in the store's folder, which the system takes back when their process dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xlprompt.studies.errors import StudyError


class StudyLocks:
    """The locks of the studies in one store."""

    def __init__(self, store: Path) -> None:
        """Make nothing yet.

        Args:
            store: Folder of the MLflow store.
        """
        self._store = store

    def of(self, kind: str, fingerprint: str) -> FileLock:
        """The lock of a `cell` or a `group`, which is not held yet."""
        folder = self._store / "study-locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{kind}-{fingerprint[:24]}.lock")

    @contextmanager
    def working_on_group(self, fingerprint: str, name: str) -> Iterator[None]:
        """Hold a group's lock.

        Args:
            fingerprint: The group's.
            name: What it is called in messages.

        Raises:
            StudyError: Another process holds it.
        """
        lock = self.of("group", fingerprint)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyError(
                f"{self._store}: another process is at work on {name} with these very values. Wait for "
                "it to end, or stop it, and call again"
            ) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def working_on_cell(self, fingerprint: str, *, timeout: float) -> Iterator[None]:
        """Hold a cell's lock, waiting for a process that is about to end.

        Raises:
            StudyError: Another process still held it after `timeout` seconds.
        """
        lock = self.of("cell", fingerprint)
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            raise StudyError(
                f"{self._store}: another process is at work on this cell and did not end within "
                f"{timeout:.0f} seconds. Wait for it or stop it, and call again"
            ) from None
        try:
            yield
        finally:
            lock.release()
