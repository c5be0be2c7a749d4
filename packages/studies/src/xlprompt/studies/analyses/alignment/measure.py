"""What alignment changes, from what the store has: gains by language, curves of sweeps, the claims with it.

A run's predictions with and without alignment are compared on the same examples and seed by seed; no model
is needed. Nothing is trained or scored here: `xlprompt evaluate RUN --align ...` and sweep.py make
the predictions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlprompt.data import TASKS
from xlprompt.evaluation import TaskRuns, Verdict, compare, judge, load_runs, main_metric
from xlprompt.models import ALIGNMENT_KINDS, METHODS, absolute_name
from xlprompt.studies.analyses.alignment.findings import Curve, Gain, Swept, curve_of
from xlprompt.studies.analyses.alignment.section import alignment_section
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun, Ledger, largest_shares, open_ledger, train_languages_of
from xlprompt.studies.reports.kept_sections import find_granularity, log_section
from xlprompt.studies.reports.page import Section
from xlprompt.studies.reports.selection import BASELINE, METHOD, StudyRuns, find_fertility
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, score_name, swept_mean

SECTION = "alignment"

_ALIGNMENT_KEYS = ("evaluation.alignment.sentences", "evaluation.alignment.layer")
# What is swept, and the key of the recipe that the runs of one curve may therefore differ in.
_SWEPT_BY: Mapping[Swept, str] = {
    "sentences": "evaluation.alignment.sentences",
    "layer": "evaluation.alignment.layer",
}
# A recipe's values that make the trained model what it is; those of an evaluation may differ from the run's.
_RECIPE_KEYS = set(Recipe.model_fields) - {"task", "method", "model", "seed", "evaluation"}
KINDS = tuple(kind for kind in ALIGNMENT_KINDS if kind != "none")


@dataclass(frozen=True)
class AlignmentFindings:
    """What the store says about alignment.

    Attributes:
        gains: By model, method and kind.
        verdicts: By model and kind, `none` first: the claims judged with both methods aligned alike; only
            where there are runs of prompt tuning and of full fine-tuning.
        curves: By model, task, method and what was swept.
        notes: What was left out, in sentences.
    """

    gains: tuple[Gain, ...]
    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The backbones."""
        return tuple(dict.fromkeys(gain.model for gain in self.gains))

    def section(self, model: str) -> Section:
        """What there is to say of one model, as the report shows it."""
        return alignment_section(
            [gain for gain in self.gains if gain.model == model],
            {kind: verdicts for (name, kind), verdicts in self.verdicts.items() if name == model},
            [curve for curve in self.curves if curve.model == model],
            [note for note in self.notes if f" with {model}:" in note],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "gains": [
                {"model": gain.model, "method": gain.method, "kind": gain.kind, **gain.comparison.to_dict()}
                for gain in self.gains
            ],
            "verdicts": [
                {"model": model, "kind": kind, "verdicts": [verdict.to_dict() for verdict in verdicts]}
                for (model, kind), verdicts in self.verdicts.items()
            ],
            "curves": [curve.to_dict() for curve in self.curves],
            "notes": list(self.notes),
        }


def analyze_alignment(
    store: Path,
    *,
    tasks: Sequence[str] = (),
    model: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> AlignmentFindings:
    """Compare predictions with and without alignment; over all tasks, what came out is kept for the reports.

    Runs count, training runs and evaluations, that kept predictions with alignment. Where those of a task,
    model and method differ in settings, the settings with the most predictions (seeds, kinds, languages) do,
    the newest of equals, so that a quick look at one language hides nothing.

    Args:
        store: Folder of the MLflow store.
        tasks: Task names; none for all. A look at some of them leaves the reports' section as it is.
        model: Backbone; None for all. Each has a section of its own.
        say: Is told what is being worked on: dozens of runs take minutes.

    Raises:
        StudyError: There is no store, or no run with aligned predictions in it.
        DataError: Runs of a task were not scored on the same examples.
    """
    ledger = open_ledger(store, "Name the one that holds the runs")
    scored = [run for run in ledger.scored_runs(list(tasks) or list(TASKS)) if _is_of(run, model)]
    runs, notes = find_aligned(ledger, scored)
    if not runs:
        raise StudyError(
            f"{store}: no finished run kept predictions with alignment. Make them: make align, or xlprompt "
            "evaluate RUN_ID --align mean,mean_scale"
        )
    models = list(dict.fromkeys(key[1] for key in runs))
    gains = []
    verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    for name in models:
        of_model = {key: run for key, run in runs.items() if key[1] == name}
        for method in _in_order(key[2] for key in of_model):
            of_method = {key: run for key, run in of_model.items() if key[2] == method}
            say(f"What alignment gains {method} with {name}, of {len(of_method)} runs")
            gains += _gains(ledger, of_method, name, method)
        say(f"The claims with alignment, for {name}")
        verdicts |= _verdicts(ledger, of_model, name, store)
    say("Curves over sentences and layers")
    curves = find_curves(ledger, scored)
    findings = AlignmentFindings(tuple(gains), verdicts, curves, notes)
    if not tasks:
        for name in models:
            _keep(store, name, findings, sum(key[1] == name for key in runs))
    return findings


def _is_of(run: CellRun, model: str | None) -> bool:
    return model is None or run.tags["model"] in (model, absolute_name(model))


def _in_order(methods: Iterable[str]) -> list[str]:
    """Methods, each once, in the order of METHODS."""
    known: tuple[str, ...] = METHODS
    return sorted(set(methods), key=lambda name: (known.index(name) if name in known else len(known), name))


def _keep(store: Path, model: str, findings: AlignmentFindings, runs: int) -> None:
    """Keep a model's section for the reports on it, its zero-shot gains as metrics."""
    metrics = {}
    for gain in findings.gains:
        for task in gain.comparison.tasks if gain.model == model else ():
            if (row := gain.comparison.zero_shot(task)) is not None:
                metrics[f"alignment/gain/{gain.kind}/{task}/{gain.method}"] = row.estimate.value
    log_section(
        store,
        SECTION,
        model,
        findings.section(model),
        params={"runs": runs},
        metrics=metrics,
        findings=findings.to_dict(),
    )


Key = tuple[str, str, str, int]  # task, model, method, seed


def find_aligned(ledger: Ledger, scored: Sequence[CellRun]) -> tuple[dict[Key, CellRun], tuple[str, ...]]:
    """Those of the scored runs, newest first, that count, and what was left out."""
    groups: dict[tuple[str, str, str], dict[str, dict[int, tuple[int, CellRun]]]] = {}
    for run in scored:
        files = sum(len(ledger.predictions(run.run_id, kind)) for kind in KINDS)
        if not files:
            continue
        group = groups.setdefault(_cell(run), {}).setdefault(_settings(run), {})
        seed = int(run.params["seed"])
        if seed not in group or files > group[seed][0]:
            group[seed] = (files, run)
    found: dict[Key, CellRun] = {}
    for cell, of_cell in groups.items():
        fullest = max(of_cell.values(), key=lambda group: sum(files for files, _ in group.values()))
        found |= {(*cell, seed): run for seed, (_, run) in fullest.items()}
    notes = [
        f"{task} {method} with {name}: {len(of_cell) - 1} other settings with fewer predictions are left out."
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
    for run in scored:
        metric = main_metric(TASKS[run.tags["task"]])
        without = run.metrics.get(score_name(metric, MEAN_ZERO_SHOT))
        for swept, own in _SWEPT_BY.items():
            names = {kind: swept_mean(metric, kind, swept) for kind in KINDS}
            names = {kind: name for kind, name in names.items() if name in run.metrics}
            if not names or without is None:
                continue
            group = sweeps.setdefault((*_cell(run), swept), {}).setdefault(_settings(run, own), _Sweeps())
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
    order, methods = list(TASKS), _in_order(curve.method for curve in curves)
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


def _cell(run: CellRun) -> tuple[str, str, str]:
    return run.tags["task"], run.tags["model"], run.tags["method"]


def _settings(run: CellRun, without: str | None = None) -> str:
    """What runs must share to stand in one table, as text; but for the key `without`."""
    return json.dumps(
        {
            key: value
            for key, value in run.params.items()
            if key != without and (key in _ALIGNMENT_KEYS or key.partition(".")[0] in _RECIPE_KEYS)
        },
        sort_keys=True,
    )


def _kinds(ledger: Ledger, run: CellRun) -> list[str]:
    return [kind for kind in KINDS if ledger.predictions(run.run_id, kind)]


def _shared_kinds(ledger: Ledger, runs: Mapping[Key, CellRun]) -> list[str]:
    of_runs = [_kinds(ledger, run) for run in runs.values()]
    return [kind for kind in KINDS if all(kind in kinds for kinds in of_runs)]


def _gains(ledger: Ledger, runs: Mapping[Key, CellRun], model: str, method: str) -> list[Gain]:
    """One method's, by kind."""
    kinds = _shared_kinds(ledger, runs)
    counts = _counts(ledger, runs, kinds)
    trained, *more = train_languages_of(runs.values())
    return [
        Gain(
            model,
            method,
            kind,
            compare(
                {
                    task: of_task.only({name: name for name in (method, aligned)})
                    for task, of_task in counts.items()
                },
                method=aligned,
                baseline=method,
                train_language=trained,
                also_trained_on=more,
                seeds="paired",
            ),
        )
        for kind in kinds
        for aligned in (_name(method, kind),)
    ]


def _counts(ledger: Ledger, runs: Mapping[Key, CellRun], kinds: Sequence[str]) -> dict[str, TaskRuns]:
    """All predictions of the runs, with and without alignment, by task; each file is read once."""
    return load_runs(
        {
            (task, _name(method, kind), seed): ledger.predictions(run.run_id, kind)
            for (task, _, method, seed), run in runs.items()
            for kind in ("none", *kinds)
        }
    )


def _name(method: str, kind: str) -> str:
    return method if kind == "none" else f"{method}+{kind}"


def _verdicts(
    ledger: Ledger, runs: Mapping[Key, CellRun], model: str, store: Path
) -> dict[tuple[str, str], tuple[Verdict, ...]]:
    """The claims by kind, over the tasks that have runs of both methods."""
    methods = {task: {key[2] for key in runs if key[0] == task} for task, *_ in runs}
    both = {key: run for key, run in runs.items() if {METHOD, BASELINE} <= methods[key[0]]}
    both = {key: run for key, run in both.items() if key[2] in (METHOD, BASELINE)}
    if not both:
        return {}
    shares = largest_shares(run for (_, _, method, _), run in both.items() if method == METHOD)
    trained, *more = train_languages_of(both.values())
    study = StudyRuns(model, {(task, method, seed): run for (task, _, method, seed), run in both.items()}, ())
    fertility = find_fertility(study)
    granularity = find_granularity(store, model)
    verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    kinds = _shared_kinds(ledger, both)
    counts = _counts(ledger, both, kinds)
    for kind in ("none", *kinds):
        names = {_name(method, kind): method for method in (METHOD, BASELINE)}
        comparison = compare(
            {task: of_task.only(names) for task, of_task in counts.items()},
            method=METHOD,
            baseline=BASELINE,
            train_language=trained,
            also_trained_on=more,
        )
        verdicts[model, kind] = judge(
            comparison,
            trainable_percent=shares,
            fertility=fertility.by_language if fertility else None,
            granularity=granularity,
        )
    return verdicts
