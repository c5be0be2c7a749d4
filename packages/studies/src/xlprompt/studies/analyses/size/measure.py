"""From runs with models of one family to what size changes; nothing is trained or scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data import TASKS
from xlprompt.evaluation import TaskRuns
from xlprompt.evaluation.comparison.counts import RunKey, join_runs
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import waiting
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.models.pretrained.known import NANO, NANO_SIZES
from xlprompt.studies.analyses.analysis import Outcome, in_part
from xlprompt.studies.analyses.size.costs import RunCost
from xlprompt.studies.analyses.size.family import Runs, find_family, labels_of
from xlprompt.studies.analyses.size.findings import compare_sizes
from xlprompt.studies.analyses.size.scored import method_with
from xlprompt.studies.analyses.size.section import size_answers, size_section
from xlprompt.studies.analyses.size.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.grid.run_params import trained_on
from xlprompt.studies.reports.kept_sections import log_section, part_notes
from xlprompt.studies.reports.selection import BASELINE, METHOD
from xlprompt.studies.reports.sources import RunSource, open_runs
from xlprompt.training.store.metric_names import PEAK_MEMORY_MIB, TRAIN_SECONDS

SECTION = "size"
FAMILY = (NANO, *NANO_SIZES)
COMPARED = (METHOD, "lora")


def measure(settings: Settings, *, store: Path, console: Console | None = None) -> Outcome:
    """Compare methods along a family of models; over all tasks and methods, that is kept for the reports.

    Args:
        settings: What is asked.
        store: Folder of the MLflow store.
        console: Where progress goes; None for nowhere.

    Raises:
        StudyError: There is no store, or no task has a method and full fine-tuning with models of two sizes.
        DataError: Runs were not scored on the same examples, or a file of predictions or published runs is
            damaged.
    """
    source = open_runs(store, settings.runs, Settings.remedy, tasks=settings.tasks, methods=settings.methods)
    asked = settings.models or FAMILY
    compared = tuple(name for name in settings.methods or COMPARED if name != BASELINE)
    if not compared:
        raise StudyError(f"methods: name one to compare with {BASELINE}, such as {','.join(COMPARED)}")
    found = find_family(
        source,
        asked,
        list(settings.tasks) or list(TASKS),
        compared,
        BASELINE,
        best_rate=settings.best_rate,
    )
    if not found:
        raise StudyError(
            f"{store}: no task has finished runs of studies by {BASELINE} and {' or '.join(compared)} that "
            f"differ in model and seed alone, with two sizes of {', '.join(asked)}. {Settings.remedy}"
        )
    with waiting(console or open_console(quiet=True), "Comparing the sizes"):
        tags: dict[str, str] = {}
        parameters: dict[str, int] = {}
        for of_models in found.values():
            for model, of_seeds in of_models.items():
                first = next(iter(of_seeds.values()))
                parameters[model], tags[model] = int(first.params["total_params"]), first.tags["model"]
        counts = {task: _counts(source, task, found) for task in dict.fromkeys(task for task, _ in found)}
        findings = compare_sizes(
            counts,
            parameters,
            compared,
            baseline=BASELINE,
            trained={
                task: trained_on(next(iter(next(iter(of_models.values())).values())))
                for (task, _), of_models in found.items()
            },
            costs=[
                _cost(task, method, model, run)
                for (task, method), of_models in found.items()
                for model, of_seeds in of_models.items()
                for run in of_seeds.values()
            ],
        )
        section = size_section(findings)
        if settings.best_rate:
            section = replace(section, title=f"{section.title}, each at its best learning rate")
    part = _part(settings)
    missing = _missing(found, asked, (*compared, BASELINE))
    run_id = ""
    if settings.are_all:
        params = {
            "runs": sum(len(of_task.runs) for of_task in counts.values()),
            "models": ", ".join(findings.models),
        }
        name = f"{SECTION}-best-rate" if settings.best_rate else SECTION
        for tag in tags.values():
            run_id = log_section(
                store, name, tag, section, params=params, findings=findings.to_dict(), part=part
            )
    left_out = f"Left out, with no such runs in the store: {'; '.join(missing)}. {Settings.remedy}"
    values: dict[str, Any] = {**findings.to_dict(), "missing": missing}
    return Outcome(
        findings,
        values,
        [section],
        run_id,
        notes=[*([left_out] if missing else []), *(part_notes(part) if settings.are_all else [])],
        answers=size_answers(findings),
    )


def _part(settings: Settings) -> str:
    """Which of the bundled family alone were asked for; empty for all of them, and of other families."""
    models = list(labels_of(settings.models).values())
    return in_part({"models": models} if set(models) < set(FAMILY) else {})


def _counts(source: RunSource, task: str, found: Mapping[tuple[str, str], Runs]) -> TaskRuns:
    """How the runs of one task answered, methods named by `method_with`."""
    by_model: dict[str, dict[RunKey, CellRun]] = {}
    for (name, method), of_models in found.items():
        for model, of_seeds in of_models.items() if name == task else ():
            by_model.setdefault(model, {}).update(
                {(task, method, seed): run for seed, run in of_seeds.items()}
            )
    return join_runs(
        [
            source.counts(runs).only({method: method_with(method, model) for _, method, _ in runs})
            for model, runs in by_model.items()
        ]
    )


def _cost(task: str, method: str, model: str, run: CellRun) -> RunCost:
    return RunCost(
        task,
        method,
        model,
        run.metrics.get(TRAIN_SECONDS),
        run.metrics.get(PEAK_MEMORY_MIB),
        share_of_run(run.params),
    )


def _missing(
    found: Mapping[tuple[str, str], Runs], models: Sequence[str], methods: Sequence[str]
) -> list[str]:
    """What was asked for and is in no comparison: models, and tasks and methods of the others."""
    said = []
    there = {model for of_models in found.values() for model in of_models}
    for model in labels_of(models).values():
        lacking = [
            f"{task} {method}"
            for task in dict.fromkeys(task for task, _ in found)
            for method in methods
            if model not in found.get((task, method), {})
        ]
        if lacking:
            said.append(f"{model} ({', '.join(lacking)})" if model in there else model)
    return said
