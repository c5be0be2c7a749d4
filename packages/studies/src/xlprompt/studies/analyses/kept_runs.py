"""What can be asked of an analysis that reads finished runs and makes none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xlprompt.studies.analyses.analysis import option, published_option
from xlprompt.studies.grid.ledger import require_store
from xlprompt.studies.reports.given import require_runs
from xlprompt.training.recipes.settings import Settings


class OfSomeRuns(Settings):
    """Which of a store's runs are looked at, whatever model they are of.

    Attributes:
        remedy: What to do where the store has none; each analysis says its own.
    """

    remedy: ClassVar[str]

    tasks: tuple[str, ...] = option(
        (),
        "Some of the tasks, such as xnli,ner; such a look leaves the report's section as it is.",
        names=("--tasks", "--task"),
    )
    methods: tuple[str, ...] = option((), "Some of the methods, such as prompt,finetune; likewise.")

    @property
    def are_all(self) -> bool:
        """Whether no task or method is left out, so that what comes out is kept for the report."""
        return not self.tasks and not self.methods

    def check(self, store: Path) -> None:
        """Refuse a store that is not there before anything large is imported."""
        require_store(store, self.remedy)


class OfPublishedRuns(OfSomeRuns):
    """Which runs of a store and of published files are looked at."""

    runs: tuple[Path, ...] = published_option()

    def check(self, store: Path) -> None:
        """Refuse a store that is not there, where no files are given, and files that are not there."""
        require_runs(store, self.runs, self.remedy)


class OfKeptRuns(OfSomeRuns):
    """Which of a store's runs are looked at, of one model or of each that it has."""

    model: str | None = option(None, "Backbone; default: all that the store has.")
