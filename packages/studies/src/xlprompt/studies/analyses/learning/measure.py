"""From runs' curves over languages to what they say of learning; nothing is trained or scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data import TASKS
from xlprompt.evaluation import main_metric
from xlprompt.evaluation.comparison.learning import LanguageCurves
from xlprompt.evaluation.comparison.statistics import without_infinity
from xlprompt.models import METHODS, absolute_name, short_name
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.analyses.learning.findings import Contrast, Learning, contrast, learning_of
from xlprompt.studies.analyses.learning.section import learning_answers, learning_section
from xlprompt.studies.analyses.learning.settings import Settings
from xlprompt.studies.analyses.of_models import outcome_of_models
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun
from xlprompt.studies.grid.run_params import trained_on
from xlprompt.studies.reports.page import Section
from xlprompt.studies.reports.selection import BASELINE, METHOD, told_of
from xlprompt.studies.reports.sources import RunSource, open_runs

SECTION = "learning"


@dataclass(frozen=True)
class LearningFindings:
    """What a store says about learning, of one model.

    Attributes:
        model: The backbone.
        learned: By task and method.
        contrasts: Prompt tuning minus full fine-tuning, where a task has both.
        trained_otherwise: What other runs with curves were trained on, which were left out.
    """

    model: str
    learned: tuple[Learning, ...]
    contrasts: tuple[Contrast, ...]
    trained_otherwise: tuple[str, ...] = ()

    @property
    def number_of_runs(self) -> int:
        """How many runs it rests on."""
        return sum(len(each.seeds) for each in self.learned)

    def answers(self) -> list[str]:
        """What it says, in sentences."""
        return learning_answers(self.learned, self.contrasts)

    def section(self) -> Section:
        """The same as the report shows it."""
        return learning_section(self.learned, self.contrasts)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        found: dict[str, Any] = without_infinity(asdict(self))
        return found


def measure(settings: Settings, *, store: Path, console: Console | None = None) -> Outcome:
    """Read the curves; over all tasks and methods, what they say is kept for the reports.

    Args:
        settings: What is asked.
        store: Folder of the MLflow store.
        console: Not used: it is done at once.

    Raises:
        StudyError: There is no store, or no finished run of a study that has curves.
        DataError: A file of published runs is damaged.
    """
    source = open_runs(store, settings.runs, Settings.remedy, tasks=settings.tasks, methods=settings.methods)
    runs = _with_curves(source, settings)
    models = list(dict.fromkeys(run.tags["model"] for run in runs))
    found = [
        _findings(source, model, [run for run in runs if run.tags["model"] == model], settings.train_language)
        for model in models
    ]
    learned = [each for each in found if each.learned]
    if not learned:
        trained = f" trained on {settings.train_language}" if settings.train_language else ""
        raise StudyError(
            f"{store}: no finished run of a study{trained} has two points of a curve over languages "
            f"(evaluation.curve_every). {Settings.remedy}"
        )
    notes = [
        f"Runs of {short_name(each.model)} trained on {', '.join(each.trained_otherwise)} are left out; name "
        "them with --train-language."
        for each in learned
        if each.trained_otherwise
    ]
    return outcome_of_models(SECTION, learned, store, keep=settings.are_all, notes=notes)


def _with_curves(source: RunSource, settings: Settings) -> list[CellRun]:
    """Finished and published runs, of ablations too, that have curves and are asked for; newest first."""
    names = (None, settings.model, settings.model and absolute_name(settings.model))
    return [
        run
        for run in source.training_runs(list(settings.tasks) or list(TASKS))
        if run.status == "FINISHED"
        and GROUP_TAG in run.tags
        and source.has_language_curves(run)
        and run.tags["method"] in (settings.methods or METHODS)
        and (settings.model is None or run.tags["model"] in names)
    ]


def _findings(
    source: RunSource, model: str, runs: Sequence[CellRun], train_language: str | None
) -> LearningFindings:
    """One model's: of each task and method the group that ran last, all trained on the same."""
    kinds = list(dict.fromkeys("+".join(trained_on(run)) for run in runs))
    told = train_language or told_of(kinds)
    runs = [run for run in runs if "+".join(trained_on(run)) == told]
    groups: dict[tuple[str, str], str] = {}
    chosen: dict[tuple[str, str], dict[int, CellRun]] = {}
    for run in runs:
        cell = run.tags["task"], run.tags["method"]
        if groups.setdefault(cell, run.tags[GROUP_TAG]) == run.tags[GROUP_TAG]:
            chosen.setdefault(cell, {}).setdefault(int(run.params["seed"]), run)
    learned: dict[tuple[str, str], Learning] = {}
    methods: tuple[str, ...] = METHODS
    for task, method in sorted(chosen, key=lambda cell: (list(TASKS).index(cell[0]), methods.index(cell[1]))):
        metric = main_metric(TASKS[task])
        curves: dict[int, LanguageCurves] = {}
        for seed, run in chosen[task, method].items():
            if (found := source.language_curves(run, metric)) is not None:
                curves[seed] = found
        trained = trained_on(next(iter(chosen[task, method].values())))
        if curves and (each := learning_of(task, method, metric, trained, curves)) is not None:
            learned[task, method] = each
    contrasts = [
        row
        for task in dict.fromkeys(task for task, _ in learned)
        if (task, METHOD) in learned and (task, BASELINE) in learned
        for row in contrast(learned[task, METHOD], learned[task, BASELINE])
    ]
    otherwise = tuple(kind for kind in kinds if kind != told)
    return LearningFindings(model, tuple(learned.values()), tuple(contrasts), otherwise)
