"""What alignment changes, from stored predictions: gains by language, and the verdicts on the claims with it.

A run's predictions with and without alignment are compared on the same examples and seed by seed; no model
is needed. Nothing is trained or scored here: `xlprompt evaluate RUN --align ...` makes the predictions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.data import TASKS
from xlprompt.evaluation import Comparison, Verdict, compare, judge, load_runs
from xlprompt.models import ALIGNMENT_KINDS, short_name
from xlprompt.training.cells import StudyError
from xlprompt.training.ledger import CellRun, Ledger, largest_shares, open_ledger, train_languages_of
from xlprompt.training.recipe import Recipe
from xlprompt.training.report_runs import BASELINE, METHOD
from xlprompt.training.report_sections import EXPERIMENT
from xlprompt.training.tracker import MlflowTracker, log_text, true_end_state

_ALIGNMENT_KEYS = ("evaluation.alignment.sentences", "evaluation.alignment.layer")
# A recipe's values that make the trained model what it is; those of an evaluation may differ from the run's.
_RECIPE_KEYS = set(Recipe.model_fields) - {"task", "method", "model", "seed", "evaluation"}
_KINDS = tuple(kind for kind in ALIGNMENT_KINDS if kind != "none")


@dataclass(frozen=True)
class Gain:
    """One method's predictions with a kind of alignment, compared with those without.

    Attributes:
        model: The backbone.
        method: Such as `prompt`.
        kind: The kind of alignment.
        comparison: Of `<method>+<kind>` with `<method>`, paired by seed.
    """

    model: str
    method: str
    kind: str
    comparison: Comparison


@dataclass(frozen=True)
class AlignmentFindings:
    """What the store says about alignment.

    Attributes:
        gains: By model, method and kind.
        verdicts: By model and kind, `none` first: the claims judged with both methods aligned alike; only
            where there are runs of prompt tuning and of full fine-tuning.
        notes: What was left out, in sentences.
    """

    gains: tuple[Gain, ...]
    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    notes: tuple[str, ...]

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
            "notes": list(self.notes),
        }


def analyze_alignment(
    store: Path, *, tasks: Sequence[str] = (), model: str | None = None
) -> AlignmentFindings:
    """Compare predictions with and without alignment, and keep what came out as a run of the store.

    Runs count, training runs and evaluations, that kept predictions with alignment. Where those of a task,
    model and method differ in settings, the settings with the most predictions (seeds, kinds, languages) do,
    the newest of equals, so that a quick look at one language hides nothing.

    Args:
        store: Folder of the MLflow store.
        tasks: Task names; none for all.
        model: Backbone; None for all.

    Raises:
        StudyError: There is no store, or no run with aligned predictions in it.
        DataError: Runs of a task were not scored on the same examples.
    """
    ledger = open_ledger(store, "Name the one that holds the runs")
    runs, notes = find_aligned(ledger, list(tasks) or list(TASKS), model)
    if not runs:
        raise StudyError(
            f"{store}: no finished run kept predictions with alignment. Make them: xlprompt evaluate RUN_ID "
            "--align mean,mean_scale"
        )
    models = list(dict.fromkeys(key[1] for key in runs))
    gains = []
    verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    for name in models:
        of_model = {key: run for key, run in runs.items() if key[1] == name}
        for method in dict.fromkeys(key[2] for key in of_model):
            of_method = {key: run for key, run in of_model.items() if key[2] == method}
            gains += [
                Gain(name, method, kind, _gain(ledger, of_method, method, kind))
                for kind in _shared_kinds(ledger, of_method)
            ]
        verdicts |= _verdicts(ledger, of_model, name)
    findings = AlignmentFindings(tuple(gains), verdicts, notes)
    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        tracker.start(
            experiment=EXPERIMENT,
            run_name=f"alignment-{'-'.join(short_name(name) for name in models)}",
            params={"runs": len(runs)},
            tags={"job": EXPERIMENT},
        )
        log_text(tracker, "alignment.json", json.dumps(findings.to_dict(), indent=2, ensure_ascii=False))
    return findings


Key = tuple[str, str, str, int]  # task, model, method, seed


def find_aligned(
    ledger: Ledger, tasks: Sequence[str], model: str | None
) -> tuple[dict[Key, CellRun], tuple[str, ...]]:
    """The runs that count, and what was left out."""
    groups: dict[tuple[str, str, str], dict[str, dict[int, tuple[int, CellRun]]]] = {}
    for run in ledger.scored_runs(tasks):  # newest first
        files = sum(len(ledger.predictions(run.run_id, kind)) for kind in _KINDS)
        if model not in (None, run.tags["model"]) or not files:
            continue
        cell = (run.tags["task"], run.tags["model"], run.tags["method"])
        settings = {
            key: value
            for key, value in run.params.items()
            if key in _ALIGNMENT_KEYS or key.partition(".")[0] in _RECIPE_KEYS
        }
        group = groups.setdefault(cell, {}).setdefault(json.dumps(settings, sort_keys=True), {})
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
    return dict(sorted(found.items())), tuple(notes)


def _kinds(ledger: Ledger, run: CellRun) -> list[str]:
    return [kind for kind in _KINDS if ledger.predictions(run.run_id, kind)]


def _shared_kinds(ledger: Ledger, runs: Mapping[Key, CellRun]) -> list[str]:
    of_runs = [_kinds(ledger, run) for run in runs.values()]
    return [kind for kind in _KINDS if all(kind in kinds for kinds in of_runs)]


def _gain(ledger: Ledger, runs: Mapping[Key, CellRun], method: str, kind: str) -> Comparison:
    files = {}
    for (task, _, _, seed), run in runs.items():
        files[task, method, seed] = ledger.predictions(run.run_id)
        files[task, f"{method}+{kind}", seed] = ledger.predictions(run.run_id, kind)
    trained, *more = train_languages_of(runs.values())
    return compare(
        load_runs(files),
        method=f"{method}+{kind}",
        baseline=method,
        train_language=trained,
        also_trained_on=more,
        seeds="paired",
    )


def _verdicts(
    ledger: Ledger, runs: Mapping[Key, CellRun], model: str
) -> dict[tuple[str, str], tuple[Verdict, ...]]:
    """The claims by kind, over the tasks that have runs of both methods."""
    methods = {task: {key[2] for key in runs if key[0] == task} for task, *_ in runs}
    both = {key: run for key, run in runs.items() if {METHOD, BASELINE} <= methods[key[0]]}
    both = {key: run for key, run in both.items() if key[2] in (METHOD, BASELINE)}
    if not both:
        return {}
    shares = largest_shares(run for (_, _, method, _), run in both.items() if method == METHOD)
    trained, *more = train_languages_of(both.values())
    verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    for kind in ("none", *_shared_kinds(ledger, both)):
        files = {
            (task, method, seed): ledger.predictions(run.run_id, kind)
            for (task, _, method, seed), run in both.items()
        }
        comparison = compare(
            load_runs(files),
            method=METHOD,
            baseline=BASELINE,
            train_language=trained,
            also_trained_on=more,
        )
        verdicts[model, kind] = judge(comparison, trainable_percent=shares)
    return verdicts
