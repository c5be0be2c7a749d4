"""What alignment changes, from what the store has: gains by language, curves of sweeps, the claims with it.

A run's predictions with and without alignment are compared on the same examples and seed by seed; no model
is needed. Nothing is trained or scored here: `xlprompt evaluate RUN --align ...` and sweep.py make
the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from xlprompt.data import TASKS
from xlprompt.data.how_many import how_many
from xlprompt.evaluation import TaskRuns, Verdict, compare, judge, load_runs
from xlprompt.evaluation.terminal import open_console
from xlprompt.models import absolute_name
from xlprompt.studies.analyses.alignment.aligned_runs import KINDS, Key, find_aligned, find_curves, in_order
from xlprompt.studies.analyses.alignment.findings import Curve, Gain
from xlprompt.studies.analyses.alignment.gain_table import gain_tables
from xlprompt.studies.analyses.alignment.recommended.recommend import Recommended, recommend
from xlprompt.studies.analyses.alignment.section import alignment_answers, alignment_section
from xlprompt.studies.analyses.alignment.settings import Settings
from xlprompt.studies.analyses.alignment.sweep import AlignmentSweep, SweepResult, sweep_alignment
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import TRAINED_BY_TAG, CellRun, Ledger, open_ledger
from xlprompt.studies.grid.run_params import largest_shares, train_languages_of
from xlprompt.studies.reports.kept_sections import find_granularity, log_section
from xlprompt.studies.reports.page import Section
from xlprompt.studies.reports.selection import BASELINE, METHOD, StudyRuns, find_fertility

SECTION = "alignment"


@dataclass(frozen=True)
class AlignmentFindings:
    """What the store says about alignment.

    Attributes:
        gains: By model, method and kind.
        verdicts: By model and kind, `none` first: the claims judged with both methods aligned alike; only
            where there are runs of prompt tuning and of full fine-tuning.
        curves: By model, task, method and what was swept.
        recommended: By model, which setting to take, and whether a guard without labels helps.
        notes: What was left out, in sentences.
    """

    gains: tuple[Gain, ...]
    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    curves: tuple[Curve, ...]
    recommended: Mapping[str, Recommended]
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
            self.recommended[model].tables(),
        )

    def answers(self) -> list[str]:
        """What to take with each model, and what each kind changes by method, in sentences."""
        said = [sentence for model in self.models for sentence in self.recommended[model].answers()]
        return [*said, *alignment_answers(self.gains)]

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
            "recommended": {model: found.to_dict() for model, found in self.recommended.items()},
            "notes": list(self.notes),
        }


def measure(settings: Settings, *, store: Path, console: Console) -> Outcome:
    """Compare, and with `sweep` first make the scorings that the store has not.

    Args:
        settings: What is asked.
        store: Folder of the MLflow store.
        console: Where progress goes.

    Raises:
        RecipeError: There is no such kind of alignment.
        StudyError: As of analyze_alignment and sweep_alignment; or what belongs to `sweep` was asked without.
        DataError: Runs of a task were not scored on the same examples, or the data of a run are not there.
    """
    asked = {name: value for name, value in settings if value not in (None, ())}
    model, exit_code = settings.model, 0
    if settings.sweep:
        result = _sweep(settings, asked, store, console)
        model, exit_code = result.model, 1 if result.failures else 0
        if result.stopped_by is not None:
            console.print("Interrupted. The same command goes on.", style="red", highlight=False)
            return Outcome(None, None, [], exit_code=128 + result.stopped_by)
    else:
        settings.require_nothing_to_score()
    # What has been scored belongs into the report, whichever tasks it was.
    tasks = () if settings.sweep else settings.tasks
    with open_console(stderr=True).status("Looking for aligned predictions") as status:
        found = analyze_alignment(store, tasks=tasks, model=model, say=lambda text: status.update(Text(text)))
    sections = [found.section(name) for name in found.models]
    return Outcome(
        found,
        found.to_dict(),
        sections,
        tables=gain_tables(found.gains),
        exit_code=exit_code,
        answers=found.answers(),
    )


def _sweep(settings: Settings, asked: Mapping[str, Any], store: Path, console: Console) -> SweepResult:
    names = {"align": "kinds", "align_sentences": "sentences", "align_layer": "layers"}
    given = {
        names.get(name, name): value
        for name, value in asked.items()
        if name not in ("sweep", "device", "workers")
    }
    result = sweep_alignment(
        AlignmentSweep(**given),
        store=store,
        console=console,
        device=settings.device,
        workers=settings.workers or 1,
    )
    for name, error in result.failures.items():
        console.print(f"{name} failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    return result


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
    ledger = open_ledger(store, "Name the one that holds the runs", tasks=tasks)
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
        for method in in_order(key[2] for key in of_model):
            of_method = {key: run for key, run in of_model.items() if key[2] == method}
            say(f"What alignment gains {method} with {name}, of {how_many(len(of_method), 'run')}")
            gains += _gains(ledger, of_method, name, method)
        say(f"The claims with alignment, for {name}")
        verdicts |= _verdicts(ledger, of_model, name, store)
    say("Curves over sentences and layers")
    curves = find_curves(ledger, scored)
    recommended = recommend(ledger, scored, runs, gains, say)
    findings = AlignmentFindings(tuple(gains), verdicts, curves, recommended, notes)
    if not tasks:
        for name in models:
            _keep(store, name, findings, sum(key[1] == name for key in runs))
    return findings


def _is_of(run: CellRun, model: str | None) -> bool:
    return model is None or run.tags["model"] in (model, absolute_name(model))


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


def _kinds(ledger: Ledger, run: CellRun) -> list[str]:
    return [kind for kind in KINDS if ledger.predictions(run.run_id, kind)]


def _shared_kinds(ledger: Ledger, runs: Mapping[Key, CellRun]) -> dict[str, list[str]]:
    """By kind the tasks of which all runs have it; `none` first, which all have."""
    of_tasks: dict[str, set[str]] = {}
    for (task, *_), run in runs.items():
        kinds = set(_kinds(ledger, run))
        of_tasks[task] = of_tasks.get(task, kinds) & kinds
    there = {kind: [task for task, kinds in of_tasks.items() if kind in kinds] for kind in KINDS}
    return {"none": list(of_tasks), **{kind: tasks for kind, tasks in there.items() if tasks}}


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
                {task: counts[task].only({name: name for name in (method, aligned)}) for task in kinds[kind]},
                method=aligned,
                baseline=method,
                train_language=trained,
                also_trained_on=more,
                seeds="paired",
            ),
        )
        for kind in kinds
        if kind != "none"
        for aligned in (_name(method, kind),)
    ]


def _counts(
    ledger: Ledger, runs: Mapping[Key, CellRun], kinds: Mapping[str, Sequence[str]]
) -> dict[str, TaskRuns]:
    """All predictions of the runs, with and without alignment, by task; each file is read once."""
    return load_runs(
        {
            (task, _name(method, kind), seed): ledger.predictions(run.run_id, kind)
            for (task, _, method, seed), run in runs.items()
            for kind, tasks in kinds.items()
            if task in tasks
        }
    )


def _name(method: str, kind: str) -> str:
    return method if kind == "none" else f"{method}+{kind}"


def training_of(ledger: Ledger, runs: Mapping[Key, CellRun]) -> dict[Key, CellRun]:
    """The runs that trained what others scored again, as they know what was trained; else the run itself."""
    trained = {run.run_id: run for run in ledger.training_runs(list(TASKS))}
    return {key: trained.get(run.tags.get(TRAINED_BY_TAG, ""), run) for key, run in runs.items()}


def _verdicts(
    ledger: Ledger, runs: Mapping[Key, CellRun], model: str, store: Path
) -> dict[tuple[str, str], tuple[Verdict, ...]]:
    """The claims by kind, over the tasks that have runs of both methods."""
    methods = {task: {key[2] for key in runs if key[0] == task} for task, *_ in runs}
    both = {key: run for key, run in runs.items() if {METHOD, BASELINE} <= methods[key[0]]}
    both = {key: run for key, run in both.items() if key[2] in (METHOD, BASELINE)}
    if not both:
        return {}
    trained_by = training_of(ledger, both)
    shares = largest_shares(run for (_, _, method, _), run in trained_by.items() if method == METHOD)
    trained, *more = train_languages_of(both.values())
    runs_by_seed = {(task, method, seed): run for (task, _, method, seed), run in trained_by.items()}
    study = StudyRuns(model, runs_by_seed, ())
    fertility = find_fertility(study)
    granularity = find_granularity(store, model)
    verdicts: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    of_tasks = _shared_kinds(ledger, both)
    every = of_tasks["none"]
    kinds = {kind: tasks for kind, tasks in of_tasks.items() if tasks == every}  # a claim is on all tasks
    counts = _counts(ledger, both, kinds)
    for kind, tasks in kinds.items():
        names = {_name(method, kind): method for method in (METHOD, BASELINE)}
        comparison = compare(
            {task: counts[task].only(names) for task in tasks},
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
