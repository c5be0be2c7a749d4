"""The finished runs that a report can be made of: a store's own, and published ones that are taken in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xlprompt.evaluation import TaskRuns, load_runs
from xlprompt.evaluation.report_page import Section
from xlprompt.evaluation.runs import join_runs
from xlprompt.evaluation.statistics import Estimate
from xlprompt.training.ledger import CellRun, Ledger
from xlprompt.training.published_runs import Curve, PublishedRuns
from xlprompt.training.report_sections import find_granularity, stored_sections

RunKey = tuple[str, str, int]
"""Task, method and seed."""


class RunSource:
    """A store and published runs, read as if they were one store.

    A run that is in several of them is taken from the store, or else from the first file that has it.
    """

    def __init__(self, store: Path, ledger: Ledger, published: Sequence[PublishedRuns] = ()) -> None:
        """Take the store, its ledger, and what was read of published files."""
        self._store, self._ledger, self._published = store, ledger, tuple(published)
        self._file_of: dict[str, PublishedRuns] = {}  # by run

    def finished_cells(self, tasks: Sequence[str]) -> list[CellRun]:
        """As of a ledger: newest first."""
        own = self._ledger.finished_cells(tasks)
        known = {run.run_id for run in own}
        self._file_of = {}
        taken = []
        for each in self._published:
            for run in each.runs:
                if run.tags["task"] in tasks and run.run_id not in known:
                    known.add(run.run_id)
                    self._file_of[run.run_id] = each
                    taken.append(run)
        return sorted([*own, *taken], key=lambda run: -run.started)

    def finished_groups(self, tasks: Sequence[str]) -> set[str]:
        """As of a ledger: fingerprints of groups of which every seed that was asked for has finished."""
        return self._ledger.finished_groups(tasks).union(*(each.complete for each in self._published))

    def counts(self, runs: Mapping[RunKey, CellRun]) -> dict[str, TaskRuns]:
        """How the runs, which finished_cells gave, answered the test examples, by task.

        Raises:
            DataError: Runs of a task were not scored on the same examples, or a file is damaged.
        """
        counts = {}
        for task in dict.fromkeys(key[0] for key in runs):
            parts = []
            own = {
                key: self._ledger.predictions(run.run_id)
                for key, run in runs.items()
                if key[0] == task and run.run_id not in self._file_of
            }
            if own:
                parts.append(load_runs(own)[task])
            for each in self._published:
                keys = [
                    key[1:]
                    for key, run in runs.items()
                    if key[0] == task and self._file_of.get(run.run_id) is each
                ]
                if keys and task in each.counts:
                    parts.append(each.counts[task].pick(keys))
            counts[task] = join_runs(parts)
        return counts

    def curve(self, run: CellRun, metric: str) -> Curve:
        """Steps and values of a metric; of a published run its development scores, which is all it has."""
        published = self._file_of.get(run.run_id)
        if published is not None:
            return published.curves[run.run_id]
        return self._ledger.history(run.run_id, metric)

    def sections(self, model: str) -> dict[str, Section]:
        """Sections of other analyses by name; the store's before those of the files, first to last."""
        sections: dict[str, Section] = {}
        for each in reversed(self._of_model(model)):
            sections |= each.sections
        return sections | stored_sections(self._store, model)

    def granularity(self, model: str) -> Estimate | None:
        """What the fourth claim's verdict needs; the store's before the files'."""
        found = (find_granularity(self._store, model), *(each.granularity for each in self._of_model(model)))
        return next((each for each in found if each is not None), None)

    def _of_model(self, model: str) -> list[PublishedRuns]:
        return [each for each in self._published if each.model == model]
