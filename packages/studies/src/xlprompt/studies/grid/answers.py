"""What a study has found, in sentences: each method against the reference, with interval and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xlprompt.data.errors import DataError
from xlprompt.evaluation import TaskRuns, load_runs
from xlprompt.evaluation.comparison.compare import compare
from xlprompt.evaluation.comparison.counts import RunKey
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.studies.grid.study_table import GroupResult
from xlprompt.studies.in_words import compared

REFERENCE = "finetune"
"""The method that others are compared with, where a study has it; else the first one is."""


def study_answers(
    results: Sequence[GroupResult], runs: Mapping[RunKey, CellRun], ledger: Ledger
) -> tuple[str, ...]:
    """What a study's finished runs say of its methods, a sentence for each difference in a task.

    Args:
        results: The study's groups, without variants.
        runs: Its finished runs by task, method and seed.
        ledger: What has their answers.

    Returns:
        By task, the zero-shot mean of each method minus that of the reference; nothing of a single method.
    """
    said: list[str] = []
    for task in dict.fromkeys(result.group.task for result in results):
        of_task = {key: run for key, run in runs.items() if key[0] == task}
        methods = list(dict.fromkeys(key[1] for key in of_task))
        if len(methods) < 2:
            continue
        trained = next(result for result in results if result.group.task == task).group.cells[0].recipe.data
        try:
            counts = load_runs({key: ledger.predictions(run.run_id) for key, run in of_task.items()})[task]
        except DataError as error:
            said.append(f"{task}: not compared. {error}")
            continue
        said += task_answers(counts, methods, trained.train_language, trained.also_train_on)
    return tuple(said)


def task_answers(counts: TaskRuns, methods: Sequence[str], trained: str, more: Sequence[str]) -> list[str]:
    """Each method's zero-shot mean minus that of the reference, a sentence each.

    Args:
        counts: How the runs of one task answered.
        methods: Those that have runs, at least two.
        trained: The language trained on.
        more: Further ones.
    """
    reference = REFERENCE if REFERENCE in methods else methods[0]
    said = []
    for method in methods:
        if method == reference:
            continue
        comparison = compare(
            {counts.task: counts},
            method=method,
            baseline=reference,
            train_language=trained,
            also_trained_on=more,
        )
        if group := comparison.zero_shot(counts.task):
            said.append(f"{counts.task}, zero-shot mean: {compared(method, reference, group.estimate)}.")
    return said
