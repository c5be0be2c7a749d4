"""Which runs of a store a report is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from xlprompt.data import TASKS
from xlprompt.evaluation.comparison.run_facts import Fertility
from xlprompt.evaluation.scores.fertility import TOKENS_PER_WORD
from xlprompt.models import METHODS, absolute_name
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun, Ledger
from xlprompt.studies.grid.own_tasks import register_tagged
from xlprompt.studies.grid.run_params import trained_on
from xlprompt.studies.reports.sources import RunSource
from xlprompt.training.store.labels import TASK_DEFINITION_TAG

METHOD, BASELINE, HEAD = "prompt", "finetune", "head"
OTHERS = tuple(name for name in METHODS if name not in (METHOD, BASELINE))  # each compared with these two

_PULLED = "alignment_loss.weight"
_WEIGHTS = "backbone_fingerprint"
_LEARNED_FROM = ("data_fingerprint.train", "data_fingerprint.validation")


@dataclass(frozen=True)
class StudyRuns:
    """The runs that a report is about.

    Attributes:
        model: Their backbone.
        runs: By task, method and seed; those of the head-only baseline and of further methods where there
            are any.
        notes: What was left out, in sentences.
    """

    model: str
    runs: Mapping[tuple[str, str, int], CellRun]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class NewestRuns:
    """The finished runs of one model's newest studies.

    Attributes:
        model: Their backbone; empty where there is no run at all.
        models: All backbones that the store has studies of.
        runs: By task, method and seed.
        older: Tasks and methods of which runs with another recipe, data or code were left out.
        trained: What they were trained on, such as `en` or `en+de`; empty where there is no run at all.
        trained_otherwise: What other runs of the model were trained on, which were left out.
        unfinished: Those of which newer runs were left out, because not all of their seeds have finished.
        defined_otherwise: Own tasks of which runs were left out that are of another task of the same name.
        of_other_origin: Tasks and methods of which runs were left out that began from other weights under the
            model's name, or learned from other data, than the two methods that are compared.
    """

    model: str
    models: tuple[str, ...]
    runs: Mapping[tuple[str, str, int], CellRun]
    older: frozenset[tuple[str, str]]
    trained: str
    trained_otherwise: tuple[str, ...]
    unfinished: frozenset[tuple[str, str]]
    defined_otherwise: tuple[str, ...] = ()
    of_other_origin: frozenset[tuple[str, str]] = frozenset()


def newest_runs(
    ledger: Ledger | RunSource, model: str | None = None, trained: str | None = None
) -> NewestRuns:
    """Of each task and method the finished runs of the last group that is complete, or else of the last one.

    Args:
        ledger: The store, alone or with published runs.
        model: Backbone; needed only where there are studies of several.
        trained: Languages trained on, such as `de` or `en+de`; None for English alone, or, where nothing was
            trained on that, for those of the newest run.

    Raises:
        StudyError: They are of several models and none was named.
    """
    found = [run for run in ledger.finished_cells(list(TASKS)) if run.tags["method"] in METHODS]
    models = list(dict.fromkeys(run.tags["model"] for run in found))
    if model is None and len(models) > 1:
        raise StudyError(
            f"the store has studies of several models. Name one with --model: {', '.join(models)}"
        )
    chosen = next(iter(models), "")
    if model is not None:  # a folder's runs wear its name from the root on, those of older versions as given
        chosen = next((each for each in models if each in (model, absolute_name(model))), model)
    of_model = [run for run in found if run.tags["model"] == chosen]  # newest first
    kinds = list(dict.fromkeys("+".join(trained_on(run)) for run in of_model))
    trained = trained or told_of(kinds)
    of_model = [run for run in of_model if "+".join(trained_on(run)) == trained]
    of_model, others = _of_one_definition(of_model)
    of_model, outdated, elsewhere = _of_one_origin(of_model)
    newest: dict[tuple[str, str], str] = {}
    groups: dict[tuple[str, str], str] = {}
    complete = ledger.finished_groups(list(TASKS))
    for run in of_model:
        newest.setdefault(_cell(run), run.tags[GROUP_TAG])
        if run.tags[GROUP_TAG] in complete:
            groups.setdefault(_cell(run), run.tags[GROUP_TAG])
    groups = newest | groups
    runs: dict[tuple[str, str, int], CellRun] = {}
    older, newer = set(outdated), set()
    for run in of_model:
        cell = _cell(run)
        if run.tags[GROUP_TAG] == groups[cell]:
            runs.setdefault((*cell, int(run.params["seed"])), run)
        elif any(key[:2] == cell for key in runs):
            older.add(cell)
        else:
            newer.add(cell)
    methods: tuple[str, ...] = METHODS
    order = sorted(runs, key=lambda key: (methods.index(key[1]), key[2]))
    ordered = {key: runs[key] for name in TASKS for key in order if key[0] == name}
    otherwise = tuple(kind for kind in kinds if kind != trained)
    return NewestRuns(
        chosen,
        tuple(models),
        ordered,
        frozenset(older),
        trained,
        otherwise,
        frozenset(newer),
        others,
        frozenset(elsewhere),
    )


def told_of(kinds: Sequence[str]) -> str:
    """What the runs that are told of were trained on, where nobody says: English alone, or as the newest was.

    Args:
        kinds: What runs were trained on, such as `de` or `en+de`, newest first.
    """
    return "en" if "en" in kinds else next(iter(kinds), "")


def _of_one_definition(runs: list[CellRun]) -> tuple[list[CellRun], tuple[str, ...]]:
    """The runs of the newest of own tasks of one name, and the names of which there are others."""
    newest: dict[str, CellRun] = {}
    for run in runs:
        newest.setdefault(run.tags["task"], run)
    register_tagged(run.tags for run in newest.values())
    same = [run for run in runs if _definition(run) == _definition(newest[run.tags["task"]])]
    kept = {run.run_id for run in same}
    others = dict.fromkeys(run.tags["task"] for run in runs if run.run_id not in kept)
    return same, tuple(others)


def _of_one_origin(
    runs: list[CellRun],
) -> tuple[list[CellRun], set[tuple[str, str]], set[tuple[str, str]]]:
    """The runs that began from the same weights and, of each task, learned from the same data.

    Args:
        runs: Newest first.

    Returns:
        Them; the tasks and methods of which older ones than those were left out; and of which others were.
    """
    same = _alike(runs, _WEIGHTS)
    for key in _LEARNED_FROM:
        tasks = dict.fromkeys(run.tags["task"] for run in same)
        same = [
            run for task in tasks for run in _alike([each for each in same if each.tags["task"] == task], key)
        ]
    kept = {run.run_id for run in same}
    seen: set[tuple[str, str]] = set()
    older: set[tuple[str, str]] = set()
    others: set[tuple[str, str]] = set()
    for run in runs:
        if run.run_id in kept:
            seen.add(_cell(run))
        else:
            (older if _cell(run) in seen else others).add(_cell(run))
    return [run for run in runs if run.run_id in kept], older, others


def _alike(runs: list[CellRun], key: str) -> list[CellRun]:
    """Those with the newest value of a parameter that a task's both methods have, or else with the newest.

    What is not known, as of published runs of before, is taken for the same.
    """
    cells: dict[str, set[tuple[str, str]]] = {}
    for run in runs:
        if key in run.params:
            cells.setdefault(run.params[key], set()).add(_cell(run))
    both = (
        value
        for value, of_value in cells.items()
        if any({(task, METHOD), (task, BASELINE)} <= of_value for task, _ in of_value)
    )
    chosen = next(both, next(iter(cells), None))
    return [run for run in runs if run.params.get(key, chosen) == chosen]


def _definition(run: CellRun) -> str | None:
    return run.tags.get(TASK_DEFINITION_TAG)


def find_runs(ledger: Ledger | RunSource, model: str | None = None, trained: str | None = None) -> StudyRuns:
    """Choose the finished runs of one model that can be compared; arguments as in newest_runs.

    Raises:
        StudyError: There are none, or they are of several models and none was named.
    """
    newest = newest_runs(ledger, model, trained)
    cells = {(task, method) for task, method, _ in newest.runs}
    notes = []
    if "+" in newest.trained:
        notes.append(f"Trained on {newest.trained}: zero-shot figures leave all of these out.")
    pulled = {key[:2] for key, run in newest.runs.items() if float(run.params.get(_PULLED, 0))}
    if pulled:
        notes.append(
            f"Trained with an alignment loss ({_PULLED}), which reads unlabelled text of other languages: "
            f"{_names(pulled)}."
        )
    if newest.trained_otherwise:
        notes.append(
            f"This is on runs trained on {newest.trained}. Those trained on "
            f"{', '.join(newest.trained_otherwise)} are left out; name them with --train-language."
        )
    if newest.unfinished:
        notes.append(
            "Newer runs are left out, because not all of their seeds have finished: "
            f"{_names(newest.unfinished)}. The newest complete ones stand in their place; make all-tasks "
            "goes on with the others."
        )
    if newest.defined_otherwise:
        notes.append(
            f"Runs of another task of the same name are left out: {', '.join(newest.defined_otherwise)}. Its "
            "labels, fields or metrics are others; give one of the two another name."
        )
    if newest.of_other_origin:
        notes.append(
            "Runs are left out that began from other weights under the model's name, or learned from other "
            f"data, than those compared: {_names(newest.of_other_origin)}. Train both methods on the same."
        )
    if newest.older:
        notes.append(f"Older runs with another recipe, data or code are left out: {_names(newest.older)}.")
    both = [name for name in TASKS if {(name, METHOD), (name, BASELINE)} <= cells]
    notes += [
        f"Task {name} is left out: it has no finished runs of both methods."
        for name in TASKS
        if name not in both and any(cell[0] == name for cell in cells)
    ]
    if not both:
        known = f" (models in the store: {', '.join(newest.models)})" if newest.models else ""
        if newest.of_other_origin:
            known += (
                f" (left out, as they began from other weights under the model's name or learned from other "
                f"data: {_names(newest.of_other_origin)})"
            )
        if newest.trained_otherwise:
            others = ", ".join(newest.trained_otherwise)
            known += f" (trained on {newest.trained}; there are runs trained on {others})"
        raise StudyError(
            f"no task has finished runs of a study with both {METHOD} and {BASELINE}"
            f"{f' of {newest.model}' if newest.model else ''}"
            f"{known}. Run one: make all-tasks"
        )
    runs = {key: run for key, run in newest.runs.items() if key[0] in both}
    return StudyRuns(newest.model, runs, tuple(notes))


def _cell(run: CellRun) -> tuple[str, str]:
    return run.tags["task"], run.tags["method"]


def _names(cells: Collection[tuple[str, str]]) -> str:
    return ", ".join(f"{task} {method}" for task, method in sorted(cells))


def find_fertility(study: StudyRuns) -> Fertility | None:
    """Tokens a word by language, from the task that has them in most languages.

    Words are counted differently by tasks (annotated words in tagging, words between spaces in pairs), so
    that figures of two tasks do not mix. Among tasks with equally many languages tagging comes first.
    """
    by_task: dict[str, dict[str, float]] = {}
    for (task, _, _), run in study.runs.items():
        found = {
            name.removeprefix(TOKENS_PER_WORD): value
            for name, value in run.metrics.items()
            if name.startswith(TOKENS_PER_WORD)
        }
        if found:
            by_task[task] = found  # alike in all runs of a task: no weights have a part in it
    if not by_task:
        return None
    best = max(by_task, key=lambda name: (len(by_task[name]), TASKS[name].kind.by_word))
    return Fertility(best, by_task[best])
