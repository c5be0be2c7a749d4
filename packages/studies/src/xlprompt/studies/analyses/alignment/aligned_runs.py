"""Which of the store's scored runs have something to say about alignment, and the curves of their sweeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xlprompt.data import TASKS
from xlprompt.data.how_many import how_many
from xlprompt.evaluation import main_metric
from xlprompt.evaluation.answers.predictions import load_predictions
from xlprompt.models import ALIGNMENT_KINDS, METHODS
from xlprompt.studies.analyses.alignment.findings import Curve, Swept, curve_of
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.labels import other_sections
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, score_name, swept_mean

SWEPT_KEYS = ("evaluation.alignment.sentences", "evaluation.alignment.layer")
# What is swept, and the key of the recipe that the runs of one curve may therefore differ in.
_SWEPT_BY: Mapping[Swept, str] = {
    "sentences": "evaluation.alignment.sentences",
    "layer": "evaluation.alignment.layer",
}
# A recipe's values that make the trained model what it is; those of an evaluation may differ from the run's.
_RECIPE_KEYS = set(Recipe.model_fields) - {"task", "method", "model", "seed", "evaluation"}
KINDS = tuple(kind for kind in ALIGNMENT_KINDS if kind != "none")


Key = tuple[str, str, str, int]  # task, model, method, seed


def find_aligned(ledger: Ledger, scored: Sequence[CellRun]) -> tuple[dict[Key, CellRun], tuple[str, ...]]:
    """Those of the scored runs, newest first, that count, and what was left out."""
    groups: dict[tuple[str, str, str], dict[str, dict[int, tuple[int, CellRun]]]] = {}
    counted = [(run, sum(len(ledger.predictions(run.run_id, kind)) for kind in KINDS)) for run in scored]
    aligned = [(run, files) for run, files in counted if files]
    settings = settings_of(ledger, [run for run, _ in aligned])
    for run, files in aligned:
        group = groups.setdefault(cell_of(run), {}).setdefault(settings[run.run_id], {})
        seed = int(run.params["seed"])
        if seed not in group or files > group[seed][0]:
            group[seed] = (files, run)
    found: dict[Key, CellRun] = {}
    for cell, of_cell in groups.items():
        fullest = max(of_cell.values(), key=lambda group: sum(files for files, _ in group.values()))
        found |= {(*cell, seed): run for seed, (_, run) in fullest.items()}
    notes = [
        f"{task} {method} with {name}: "
        f"{how_many(len(of_cell) - 1, 'other setting has', 'other settings have')} fewer predictions, and "
        f"{'is' if len(of_cell) == 2 else 'are'} left out."
        for (task, name, method), of_cell in sorted(groups.items())
        if len(of_cell) > 1
    ]
    order = list(TASKS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0]))), tuple(notes)


def find_curves(ledger: Ledger, scored: Sequence[CellRun]) -> tuple[Curve, ...]:
    """Sweeps over numbers of sentences and over layers, over the seeds of a task, model and method.

    Sweeps of one seed join where their other settings are the same. Of several settings those with the most
    means count, the newest of equals.

    Args:
        ledger: Of the store.
        scored: Runs, newest first.
    """
    sweeps: dict[tuple[str, str, str, Swept], dict[str, _Sweeps]] = {}
    settings = {swept: settings_of(ledger, scored, own) for swept, own in _SWEPT_BY.items()}
    for run in scored:
        metric = main_metric(TASKS[run.tags["task"]])
        without = run.metrics.get(score_name(metric, MEAN_ZERO_SHOT))
        for swept in _SWEPT_BY:
            names = {kind: swept_mean(metric, kind, swept) for kind in KINDS}
            names = {kind: name for kind, name in names.items() if name in run.metrics}
            if not names or without is None:
                continue
            of_cell = sweeps.setdefault((*cell_of(run), swept), {})
            group = of_cell.setdefault(settings[swept][run.run_id], _Sweeps())
            group.add(
                int(run.params["seed"]),
                without,
                {kind: dict(ledger.history(run.run_id, name)) for kind, name in names.items()},
            )
    curves = []
    for (task, model, method, swept), by_settings in sweeps.items():
        fullest = max(by_settings.values(), key=_Sweeps.size)
        metric = main_metric(TASKS[task])
        curve = curve_of(model, task, metric, method, swept, fullest.none, fullest.points)
        if curve is not None:
            curves.append(curve)
    order, methods = list(TASKS), in_order(curve.method for curve in curves)
    return tuple(
        sorted(
            curves, key=lambda c: (c.model, order.index(c.task), c.swept == "layer", methods.index(c.method))
        )
    )


@dataclass
class _Sweeps:
    """The sweeps of several seeds, with the same settings."""

    none: dict[int, float] = field(default_factory=dict)
    points: dict[int, dict[str, dict[int, float]]] = field(default_factory=dict)

    def add(self, seed: int, none: float, points: Mapping[str, Mapping[int, float]]) -> None:
        """Take a run's in, but for what a newer one has."""
        self.none.setdefault(seed, none)
        of_seed = self.points.setdefault(seed, {})
        for kind, of_kind in points.items():
            of_seed[kind] = {**of_kind, **of_seed.get(kind, {})}

    def size(self) -> int:
        """Number of means."""
        return sum(len(of_kind) for of_seed in self.points.values() for of_kind in of_seed.values())


def cell_of(run: CellRun) -> tuple[str, str, str]:
    """Task, model and method."""
    return run.tags["task"], run.tags["model"], run.tags["method"]


def settings_of(ledger: Ledger, runs: Sequence[CellRun], *without: str) -> dict[str, str]:
    """By run, what it must share with others of its cell to stand in one table; but for the keys `without`.

    Where the data lay is no part of it, as they may have moved: it is which examples were scored.
    """
    settings = {run.run_id: _settings(run, "data.source", *without) for run in runs}
    places: dict[tuple[object, str], set[str | None]] = {}
    for run in runs:
        places.setdefault((cell_of(run), settings[run.run_id]), set()).add(run.params.get("data.source"))
    for run in runs:
        if len(places[cell_of(run), settings[run.run_id]]) > 1:
            settings[run.run_id] += _examples(ledger, run)
    return settings


def _examples(ledger: Ledger, run: CellRun) -> str:
    """A digest of the examples that a run has answered; of one that kept none, where its data lay."""
    files = ledger.predictions(run.run_id)
    if not files:
        return run.params.get("data.source", "")
    first = load_predictions(files[min(files)])
    return hashlib.sha256(json.dumps([sorted(files), first.ids, first.gold]).encode()).hexdigest()


def _settings(run: CellRun, *without: str) -> str:
    # Earlier runs have the sections of all methods among their parameters, later ones their own alone.
    others = other_sections(run.tags["method"])
    return json.dumps(
        {
            key: value
            for key, value in run.params.items()
            if key not in without
            and not key.startswith(others)
            and (key in SWEPT_KEYS or key.partition(".")[0] in _RECIPE_KEYS)
        },
        sort_keys=True,
    )


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods, each once, in the order of METHODS."""
    known: tuple[str, ...] = METHODS
    return sorted(set(methods), key=lambda name: (known.index(name) if name in known else len(known), name))
