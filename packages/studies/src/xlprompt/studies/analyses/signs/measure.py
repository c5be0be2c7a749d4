"""From a store's runs of several learning rates to what picks the best; nothing is trained or scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from xlprompt.data import TASKS
from xlprompt.evaluation import load_predictions, main_metric
from xlprompt.evaluation.terminal import open_console
from xlprompt.models import METHODS, absolute_name
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.analyses.of_models import outcome_of_models
from xlprompt.studies.analyses.signs.findings import (
    AGREEMENT,
    COLLAPSE,
    CONFIDENCE,
    ENGLISH,
    INFORMATION,
    KAPPA,
    Family,
    SignResult,
    judge_signs,
)
from xlprompt.studies.analyses.signs.label_free import agreement, beyond_chance, collapse, diversity, shares
from xlprompt.studies.analyses.signs.section import signs_answers, signs_section
from xlprompt.studies.analyses.signs.settings import Settings
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun, Ledger, open_ledger
from xlprompt.studies.grid.run_params import trained_on
from xlprompt.studies.reports.page import Section
from xlprompt.training.store.metric_names import ENTROPY, MEAN_ZERO_SHOT, best_score, score_name
from xlprompt.training.store.training_state import FREE_KEYS

SECTION = "signs"
_RATE = "optimizer.learning_rate"
# What runs of one family may differ in; where they ran and what is logged beside them decides no score.
_FREE = {_RATE, "seed", "best_step", "processes", *FREE_KEYS}


@dataclass(frozen=True)
class SignFindings:
    """What a store says about signs, of one model."""

    model: str
    families: tuple[Family, ...]
    results: tuple[SignResult, ...]

    @property
    def number_of_runs(self) -> int:
        """How many runs it rests on."""
        return sum(each.zero_shot.size for each in self.families)

    def answers(self) -> list[str]:
        """What it says, in sentences."""
        return signs_answers(self.results)

    def section(self) -> Section:
        """The same as the report shows it."""
        return signs_section(self.families, self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "model": self.model,
            "signs": [asdict(each) for each in self.results],
            "families": [
                {
                    "task": each.task,
                    "method": each.method,
                    "metric": each.metric,
                    "rates": list(each.rates),
                    "seeds": list(each.seeds),
                    "zero_shot": each.zero_shot.tolist(),
                    "picked": {sign: list(each.picks(sign)) for sign in each.signs},
                }
                for each in self.families
            ],
        }


def measure(settings: Settings, *, store: Path, console: Console | None = None) -> Outcome:
    """Read predictions and judge the signs; over all tasks and methods, that is kept for the reports.

    Args:
        settings: What is asked.
        store: Folder of the MLflow store.
        console: Not used: a terminal sees progress on standard error.

    Raises:
        StudyError: There is no store, or no two rates of one task and method in it.
        DataError: A file of predictions is damaged.
    """
    ledger = open_ledger(store, Settings.remedy, tasks=settings.tasks, methods=settings.methods)
    found: list[SignFindings] = []
    with open_console(stderr=True).status("Looking for learning rates") as status:
        for model, cells in _cells(ledger, settings).items():
            families = []
            for (task, method), runs in cells.items():
                status.update(Text(f"Reading the predictions of {task} {method} with {model}"))
                families.append(_family(ledger, task, method, runs))
            if families:
                found.append(SignFindings(model, tuple(families), tuple(judge_signs(families))))
    if not found:
        raise StudyError(
            f"{store}: no task and method has finished runs of two learning rates with a seed in common that "
            f"differ in nothing else. {Settings.remedy}"
        )
    return outcome_of_models(SECTION, found, store, keep=settings.are_all)


_Runs = dict[float, dict[int, CellRun]]
"""By rate and seed; all rates have the same seeds."""


def _cells(ledger: Ledger, settings: Settings) -> dict[str, dict[tuple[str, str], _Runs]]:
    """By model, and by task and method: the runs that differ in rate and seed alone, the most there are."""
    names = {settings.model, settings.model and absolute_name(settings.model)}
    alike: dict[tuple[Any, ...], _Runs] = {}
    for run in ledger.training_runs(list(settings.tasks) or list(TASKS)):  # newest first
        task, method, model = (run.tags[key] for key in ("task", "method", "model"))
        metric = score_name(main_metric(TASKS[task]), MEAN_ZERO_SHOT)
        asked = method in (settings.methods or METHODS) and (settings.model is None or model in names)
        if run.status == "FINISHED" and asked and metric in run.metrics and _RATE in run.params:
            rest = tuple(sorted((key, value) for key, value in run.params.items() if key not in _FREE))
            of_rest = alike.setdefault((model, task, method, rest), {})
            of_rest.setdefault(float(run.params[_RATE]), {}).setdefault(int(run.params["seed"]), run)
    chosen: dict[str, dict[tuple[str, str], _Runs]] = {}
    methods: tuple[str, ...] = METHODS
    for (model, task, method, _), runs in sorted(
        alike.items(), key=lambda item: (list(TASKS).index(item[0][1]), methods.index(item[0][2]))
    ):
        seeds = set.intersection(*map(set, runs.values()))
        most = max(len(of_rate) for of_rate in runs.values())
        if not seeds or (
            len(seeds) == 1 and most > 1
        ):  # a rate that was tried with one seed costs all others
            runs = {rate: of_rate for rate, of_rate in runs.items() if len(of_rate) == most}
            seeds = set.intersection(*map(set, runs.values()))
        if len(runs) < 2 or not seeds:
            continue
        found = {rate: {seed: runs[rate][seed] for seed in sorted(seeds)} for rate in sorted(runs)}
        before = chosen.setdefault(model, {}).get((task, method), {})
        if _number(found) > _number(before):
            chosen[model][task, method] = found
    return chosen


def _number(runs: _Runs) -> int:
    return sum(len(of_rate) for of_rate in runs.values())


def _family(ledger: Ledger, task: str, method: str, runs: _Runs) -> Family:
    """What a task's and method's runs say; a sign that one of them lacks is left out."""
    metric, of_task = main_metric(TASKS[task]), TASKS[task]
    rates, seeds = tuple(runs), tuple(next(iter(runs.values())))
    table = [[runs[rate][seed] for seed in seeds] for rate in rates]
    trained = trained_on(table[0][0])
    answers = [[_answers(ledger, run) for run in of_rate] for of_rate in table]
    everywhere = set.intersection(*(set(each) for of_rate in answers for each in of_rate))
    targets = [code for code in answers[0][0] if code in everywhere and code not in trained]
    entropies = [_figures(table, f"{ENTROPY}{code}") for code in targets]
    entropy = np.mean(entropies, axis=0) if targets else np.full((len(rates), len(seeds)), np.nan)
    by_run = {ENGLISH: _figures(table, best_score(metric)), CONFIDENCE: -entropy}
    by_pair: dict[str, np.ndarray] = {}
    if targets:
        by_pair[AGREEMENT] = _of_pairs(answers, targets, agreement)
    if targets and of_task.kind.labeled and trained[0] in everywhere:
        labels = len(of_task.labels)
        gold = load_predictions(ledger.predictions(table[0][0].run_id)[trained[0]]).gold
        prior = shares(np.array(list(chain.from_iterable(gold))), labels)
        by_run[COLLAPSE] = -_of_answers(answers, targets, lambda flat: collapse(flat, prior))
        by_run[INFORMATION] = _of_answers(answers, targets, lambda flat: diversity(flat, labels)) - entropy
        by_pair[KAPPA] = _of_pairs(answers, targets, lambda one, other: beyond_chance(one, other, labels))
    known = {sign: values for sign, values in by_run.items() if np.isfinite(values).all()}
    zero_shot = _figures(table, score_name(metric, MEAN_ZERO_SHOT))
    return Family(task, method, metric, rates, seeds, zero_shot, known, by_pair)


def _answers(ledger: Ledger, run: CellRun) -> dict[str, np.ndarray]:
    """A run's test predictions by language, flat: label indices, or texts."""
    return {
        code: np.array(list(chain.from_iterable(load_predictions(path).predicted)))
        for code, path in ledger.predictions(run.run_id).items()
    }


def _figures(table: Sequence[Sequence[CellRun]], name: str) -> np.ndarray:
    """A metric of the runs, `[rates, seeds]`; not a number where one lacks it."""
    return np.array([[run.metrics.get(name, np.nan) for run in of_rate] for of_rate in table])


def _of_answers(
    answers: Sequence[Sequence[Mapping[str, np.ndarray]]],
    targets: Sequence[str],
    figure: Callable[[np.ndarray], float],
) -> np.ndarray:
    """A figure of each run's predictions, mean over languages, `[rates, seeds]`."""
    return np.array(
        [[np.mean([figure(run[code]) for code in targets]) for run in of_rate] for of_rate in answers]
    )


def _of_pairs(
    answers: Sequence[Sequence[Mapping[str, np.ndarray]]],
    targets: Sequence[str],
    figure: Callable[[np.ndarray, np.ndarray], float],
) -> np.ndarray:
    """A figure of each two seeds of a rate, mean over languages, `[rates, seeds, seeds]`."""
    seeds = len(answers[0])
    found = np.zeros((len(answers), seeds, seeds))
    for rate, of_rate in enumerate(answers):
        for one, other in combinations(range(seeds), 2):
            mean = np.mean([figure(of_rate[one][code], of_rate[other][code]) for code in targets])
            found[rate, one, other] = found[rate, other, one] = mean
    return found
