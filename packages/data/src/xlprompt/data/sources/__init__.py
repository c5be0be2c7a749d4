"""Where examples come from: the bundled mini benchmark, the hub, or a folder of files.

Whatever the source, one schema comes out. This module picks the source: `mini`, `hub` or `folder`; `formats`
are the files that a folder may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from xlprompt.data.errors import DataError
from xlprompt.data.sources.folder import FolderSource
from xlprompt.data.sources.hub import HubSource
from xlprompt.data.sources.inventory import expanded
from xlprompt.data.sources.mini import BUNDLED, MiniSource
from xlprompt.data.tasks.task_type import Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["NAMED", "FolderSource", "HubSource", "MiniSource", "Source", "open_source"]


NAMED = (*BUNDLED, "hub")
"""What is a source and no folder."""


class Source(Protocol):
    """A place that examples are loaded from."""

    name: str

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the languages of a task and split, the study's first and in its order."""
        ...

    def load(
        self, task: Task, language: str, split: str, limit: int | None = None, *, labeled: bool = True
    ) -> Dataset:
        """Load a language and split, or a subset of `limit` rows that parallel files share.

        Where not `labeled`, rows without an answer count too, with one that means nothing.
        """
        ...

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return a hex digest that changes when the rows could change."""
        ...


def open_source(spec: str, own: Task | None = None) -> Source:
    """Open the source that a recipe or ``DATA=`` names.

    Args:
        spec: "mini", "mini-1", "hub" or a folder.
        own: The user's own task that the folder is known to be; None where that is to be found out.

    Returns:
        The source.

    Raises:
        DataError: The folder cannot be used.
    """
    if spec == "hub":
        return HubSource()
    if spec in BUNDLED:
        return MiniSource(spec)
    if not spec.strip():
        raise DataError("no source is named", fix="Give DATA=mini, DATA=hub or DATA=<folder>.")
    return FolderSource(expanded(spec), own)
