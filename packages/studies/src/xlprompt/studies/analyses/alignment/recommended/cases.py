"""What aligned runs say without labels, language by language: the cases that guards are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from xlprompt.data import TASKS
from xlprompt.data.tasks.task_type import Task
from xlprompt.evaluation import load_predictions
from xlprompt.studies.analyses.alignment.aligned_runs import Key
from xlprompt.studies.analyses.alignment.findings import Gain
from xlprompt.studies.analyses.alignment.recommended.guard import (
    CHANGED,
    COLLAPSE,
    FAR,
    LESS_COLLAPSE,
    SURER,
    Case,
)
from xlprompt.studies.analyses.signs.label_free import agreement, collapse, shares
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.training.store.metric_names import ALIGNED_ENTROPY, ALIGNMENT_DISTANCE, ENTROPY


def find_cases(ledger: Ledger, runs: Mapping[Key, CellRun], gains: Sequence[Gain]) -> list[Case]:
    """One for each run, kind and language that was not trained on.

    Args:
        ledger: Of the store.
        runs: Of one model, with predictions without alignment and with every kind of the gains.
        gains: Of the same runs.
    """
    cases = []
    for (task, model, method, seed), run in runs.items():
        plain = _answers(ledger.predictions(run.run_id))
        for gain in gains:
            if (gain.model, gain.method) != (model, method) or task not in gain.comparison.tasks:
                continue
            points = _points(gain, task, seed)
            aligned = _answers(ledger.predictions(run.run_id, gain.kind))
            prior = _prior(ledger, run, TASKS[task], gain.comparison.train_language)
            cases += [
                Case(
                    task,
                    method,
                    gain.kind,
                    code,
                    seed,
                    gained,
                    _signs(run, gain.kind, code, plain[code], aligned[code], prior),
                )
                for code, gained in points.items()
            ]
    return cases


def _points(gain: Gain, task: str, seed: int) -> dict[str, float]:
    """What one run gains by language, of those not trained on."""
    found = gain.comparison.tasks[task]
    place = found.method_seeds.index(seed)
    return {
        code: float(gained[place])
        for code, gained in found.by_seed().items()
        if code not in gain.comparison.trained_languages
    }


def _answers(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Test predictions by language, flat: label indices, or texts."""
    return {
        code: np.array(list(chain.from_iterable(load_predictions(path).predicted)))
        for code, path in files.items()
    }


def _prior(ledger: Ledger, run: CellRun, task: Task, trained: str) -> np.ndarray | None:
    """Shares of the labels in the language trained on, whose labels are known; None where there are none."""
    path = ledger.predictions(run.run_id).get(trained)
    if path is None or not task.kind.labeled:
        return None
    gold = np.array(list(chain.from_iterable(load_predictions(path).gold)))
    return shares(gold, len(task.labels))


def _signs(
    run: CellRun, kind: str, code: str, plain: np.ndarray, aligned: np.ndarray, prior: np.ndarray | None
) -> dict[str, float]:
    found = {CHANGED: 1 - agreement(plain, aligned)}
    if prior is not None:
        before = collapse(plain, prior)
        found |= {COLLAPSE: before, LESS_COLLAPSE: before - collapse(aligned, prior)}
    names = (f"{ENTROPY}{code}", f"{ALIGNED_ENTROPY}{kind}/{code}")
    if all(name in run.metrics for name in names):
        found[SURER] = run.metrics[names[0]] - run.metrics[names[1]]
    if (distance := run.metrics.get(f"{ALIGNMENT_DISTANCE}{code}")) is not None:
        found[FAR] = distance
    return found
