"""The finished runs that a report can be made of: a store's own, and published ones that are taken in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from xlprompt.data import TASKS
from xlprompt.data.errors import DataError
from xlprompt.evaluation import TaskRuns, load_runs
from xlprompt.evaluation.comparison.counts import RunKey, join_runs
from xlprompt.evaluation.comparison.learning import LanguageCurves
from xlprompt.evaluation.comparison.verdicts import GranularityEffect
from xlprompt.studies.grid.asked_names import require_names
from xlprompt.studies.grid.ledger import CellRun, Ledger, open_ledger
from xlprompt.studies.grid.run_params import language_curves
from xlprompt.studies.reports.kept_sections import (
    WITH_RUNS_OF_THEIR_OWN,
    find_granularity,
    stored_sections,
)
from xlprompt.studies.reports.page import Section
from xlprompt.studies.reports.published_runs import Curve, PublishedRuns, read_published
from xlprompt.training.store.metric_names import CURVE


def open_runs(
    store: Path,
    published: Sequence[Path],
    remedy: str,
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
) -> RunSource:
    """The finished runs of a store and of files of published runs; with files there need be no store.

    Args:
        store: Folder of the MLflow store.
        published: The files.
        remedy: What to do where there is neither.
        tasks: Names that are asked for, which have to be tasks.
        methods: Names that are asked for, which have to be methods.

    Raises:
        StudyError: There is neither, and the message ends with `remedy`; or there is no such method.
        DataError: A file is not one of published runs, or is damaged; or there is no such task.
    """
    taken_in = [read_published(path) for path in published]
    source = RunSource(store, Ledger(store) if taken_in else open_ledger(store, remedy), taken_in)
    require_names(tasks, methods)
    return source


class RunSource:
    """A store and published runs, read as if they were one store.

    A run that is in several of them is taken from the first file that has its answers, else from the store.
    """

    def __init__(self, store: Path, ledger: Ledger, published: Sequence[PublishedRuns] = ()) -> None:
        """Take the store, its ledger, and what was read of published files."""
        self._store, self._ledger, self._published = store, ledger, tuple(published)
        self._taken_in: dict[str, tuple[int, CellRun]] = {}  # by id: which file it is taken from, and the run
        found = [(place, run) for place, each in enumerate(self._published) for run in each.runs]
        for place, run in found:
            if self._published[place].has_answers(run):
                self._taken_in.setdefault(run.run_id, (place, run))
        own = {run.run_id for run in ledger.finished_cells(list(TASKS))} if found else set()
        for place, run in found:
            if run.run_id not in own:
                self._taken_in.setdefault(run.run_id, (place, run))

    def finished_cells(self, tasks: Sequence[str]) -> list[CellRun]:
        """As of a ledger: newest first."""
        return self._with_taken_in(self._ledger.finished_cells(tasks), tasks)

    def training_runs(self, tasks: Sequence[str]) -> list[CellRun]:
        """As of a ledger: newest first, those of ablations and outside studies too."""
        return self._with_taken_in(self._ledger.training_runs(tasks), tasks)

    def _with_taken_in(self, runs: Sequence[CellRun], tasks: Sequence[str]) -> list[CellRun]:
        own = [run for run in runs if run.run_id not in self._taken_in]
        taken_in = [run for _, run in self._taken_in.values() if run.tags["task"] in tasks]
        return sorted([*own, *taken_in], key=lambda run: -run.started)

    def is_published(self, run: CellRun) -> bool:
        """Whether a run is taken from a file, which has some of its parameters alone."""
        return run.run_id in self._taken_in

    def finished_groups(self, tasks: Sequence[str]) -> set[str]:
        """As of a ledger: fingerprints of groups of which every seed that was asked for has finished."""
        return self._ledger.finished_groups(tasks).union(*(each.complete for each in self._published))

    def counts(self, runs: Mapping[RunKey, CellRun]) -> TaskRuns:
        """How runs of one task, which finished_cells gave, answered the test examples.

        Raises:
            DataError: They were not scored on the same examples, a file is damaged, or has no answers of one.
        """
        files: dict[RunKey, dict[str, Path]] = {}
        of_file: dict[int, list[tuple[str, int]]] = {}  # methods and seeds
        for key, run in runs.items():
            if run.run_id in self._taken_in:
                of_file.setdefault(self._taken_in[run.run_id][0], []).append(key[1:])
            else:
                files[key] = self._ledger.predictions(run.run_id)
        task = next(iter(runs))[0]
        parts = [load_runs(files)[task]] if files else []
        for place, keys in of_file.items():
            of_task = self._published[place].counts.get(task)
            if lacking := sorted(set(keys) - set(of_task.runs if of_task else ())):
                method, seed = lacking[0]
                problem = f"the published run {task}, {method}, seed {seed} is without its answers"
                raise DataError(problem, fix="Give a file of published runs that has them, too.")
            if of_task:
                parts.append(of_task.pick(keys))
        return join_runs(parts)

    def predictions(self, run: CellRun) -> dict[str, Path]:
        """Files of a run's test predictions by language; none of a published run, which has counts."""
        return {} if run.run_id in self._taken_in else self._ledger.predictions(run.run_id)

    def curve(self, run: CellRun, metric: str) -> Curve:
        """Steps and values of a metric; of a published run its development scores, which is all it has."""
        if run.run_id in self._taken_in:
            return self._published[self._taken_in[run.run_id][0]].curves[run.run_id]
        return self._ledger.history(run.run_id, metric)

    def has_language_curves(self, run: CellRun) -> bool:
        """Whether a run scored samples of every language as it trained."""
        if run.run_id in self._taken_in:
            return run.run_id in self._published[self._taken_in[run.run_id][0]].language_curves
        return any(name.startswith(CURVE) for name in run.metrics)

    def language_curves(self, run: CellRun, metric: str) -> LanguageCurves | None:
        """Scores of samples of every language by step; None where the run made none."""
        if run.run_id in self._taken_in:
            return self._published[self._taken_in[run.run_id][0]].language_curves.get(run.run_id)
        return language_curves(self._ledger, run, metric)

    def sections(self, model: str, shown: Collection[str]) -> dict[str, Section]:
        """Sections of other analyses by name; the store's before those of the files, first to last.

        Of a file some of whose runs others stand in for, sections that tell of its runs are left out.

        Args:
            model: The backbone.
            shown: Ids of the runs that the report is of.
        """
        sections: dict[str, Section] = {}
        for each in reversed(self._of_model(model)):
            is_whole = {run.run_id for run in each.runs} <= set(shown)
            sections |= {
                name: section
                for name, section in each.sections.items()
                if is_whole or name.startswith(WITH_RUNS_OF_THEIR_OWN)
            }
        return sections | stored_sections(self._store, model)

    def granularity(self, model: str) -> GranularityEffect | None:
        """What the fourth claim's verdict needs; the store's before the files'."""
        found = (find_granularity(self._store, model), *(each.granularity for each in self._of_model(model)))
        return next((each for each in found if each is not None), None)

    def _of_model(self, model: str) -> list[PublishedRuns]:
        return [each for each in self._published if each.model == model]
