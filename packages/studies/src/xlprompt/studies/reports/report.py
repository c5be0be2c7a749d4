"""From the store to a study's report: finds the finished cells, compares them, and logs what was written.

Only finished children of studies' parents count. Where a task and method have several groups (the recipe was
changed in between), the one that ran last is taken, so that no mean mixes recipes; of those with all of their
seeds, where there are any.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data import TASKS
from xlprompt.data.errors import DataError
from xlprompt.evaluation import TaskRuns, compare, judge
from xlprompt.evaluation.other_methods import compare_others
from xlprompt.evaluation.run_facts import Fertility, RunFacts
from xlprompt.evaluation.study_report import write_study_report
from xlprompt.evaluation.study_summary import RUNS, DocumentError, publish
from xlprompt.evaluation.tokenization import TOKENS_PER_WORD
from xlprompt.models import METHODS, absolute_name, short_name
from xlprompt.training.cells import StudyError
from xlprompt.training.ledger import (
    GROUP_TAG,
    CellRun,
    Ledger,
    largest_shares,
    train_languages_of,
    trained_on,
)
from xlprompt.training.publication import refuse_loss
from xlprompt.training.published_runs import PublishedRuns, write_published
from xlprompt.training.run_source import RunSource, open_runs
from xlprompt.training.tracker import MlflowTracker, true_end_state

EXPERIMENT = "report"
METHOD, BASELINE, HEAD = "prompt", "finetune", "head"
OTHERS = tuple(name for name in METHODS if name not in (METHOD, BASELINE))  # each compared with these two

_PULLED = "alignment_loss.weight"
_BEFORE, _AFTER = "language_model/before/", "language_model/after/"


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
    """

    model: str
    models: tuple[str, ...]
    runs: Mapping[tuple[str, str, int], CellRun]
    older: frozenset[tuple[str, str]]
    trained: str
    trained_otherwise: tuple[str, ...]
    unfinished: frozenset[tuple[str, str]]


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
    if trained is None:
        trained = "en" if "en" in kinds else next(iter(kinds), "")
    of_model = [run for run in of_model if "+".join(trained_on(run)) == trained]
    newest: dict[tuple[str, str], str] = {}
    groups: dict[tuple[str, str], str] = {}
    complete = ledger.finished_groups(list(TASKS))
    for run in of_model:
        newest.setdefault(_cell(run), run.tags[GROUP_TAG])
        if run.tags[GROUP_TAG] in complete:
            groups.setdefault(_cell(run), run.tags[GROUP_TAG])
    groups = newest | groups
    runs: dict[tuple[str, str, int], CellRun] = {}
    older, newer = set(), set()
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
    return NewestRuns(chosen, tuple(models), ordered, frozenset(older), trained, otherwise, frozenset(newer))


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


def report_study(
    store: Path,
    out: Path,
    model: str | None = None,
    *,
    train_language: str | None = None,
    publish_in: Path | None = None,
    document: Path | None = None,
    replace: bool = False,
    published: Sequence[Path] = (),
) -> tuple[Path, Path]:
    """Write the report of a store's study and log it as artifacts of a run.

    Args:
        store: Folder of the MLflow store.
        out: Folder of the report.
        model: Backbone; needed only where the store has studies of several.
        train_language: Languages trained on; see find_runs.
        publish_in: Folder of a repository for the figure, the report in Markdown and the runs that it was
            made from; None for none of them.
        document: Its Markdown file that takes the summary, in the section named after `publish_in`.
        replace: Also where `publish_in` holds runs that would be lost.
        published: Files of published runs, which count as if they were the store's. With them there need be
            no store.

    Returns:
        Paths of the HTML page and the Markdown file.

    Raises:
        StudyError: There is no store, or no comparable runs in it.
        DataError: Runs of a task were not scored on the same examples, or a file of published runs is not
            one.
        DocumentError: The document has no place for the summary, or something cannot be written.
        PublicationError: `publish_in` holds runs that would be lost.
    """
    remedy = "Run a study first (make all-tasks), name another, or give published runs (--runs)"
    source = open_runs(store, published, remedy)
    study = find_runs(source, model, train_language)
    trained, *more = train_languages_of(study.runs.values())
    counts, left_out = _load(study, source)
    comparison = compare(
        counts, method=METHOD, baseline=BASELINE, train_language=trained, also_trained_on=more
    )
    with_head = {name: runs for name, runs in counts.items() if runs.of(HEAD)}
    heads = {}
    if with_head:
        heads = {
            method: compare(
                with_head, method=method, baseline=HEAD, train_language=trained, also_trained_on=more
            )
            for method in (METHOD, BASELINE)
        }
    others = compare_others(counts, OTHERS, (METHOD, BASELINE), train_language=trained, also_trained_on=more)
    facts = [
        _facts(
            key,
            run,
            counts[key[0]].metric,
            trained,
            source.curve(run, f"validation/{counts[key[0]].metric}/{trained}"),
        )
        for key, run in study.runs.items()
    ]
    shares = largest_shares(run for (_, method, _), run in study.runs.items() if method == METHOD)
    fertility = find_fertility(study)
    granularity = source.granularity(study.model)
    verdicts = judge(
        comparison,
        trainable_percent=shares,
        fertility=fertility.by_language if fertility else None,
        granularity=granularity,
    )
    sections = dict(sorted(source.sections(study.model).items()))
    groups = {run.tags[GROUP_TAG] for run in study.runs.values()}
    new = PublishedRuns(
        study.model,
        tuple(study.runs.values()),
        frozenset(groups & source.finished_groups(list(TASKS))),
        counts,
        {run.run_id: of_run.curve for run, of_run in zip(study.runs.values(), facts, strict=True)},
        sections,
        granularity,
    )
    if publish_in is not None and not replace:
        refuse_loss(publish_in, new)
    try:
        paths = write_study_report(
            out,
            comparison,
            verdicts,
            facts,
            heads=heads,
            others=others,
            fertility=fertility,
            more=list(sections.values()),
            notes=[*study.notes, *left_out],
        )
    except OSError as error:
        raise DocumentError(f"{out}: cannot be written ({error}). Name another folder with --out") from error
    if publish_in is not None and document is not None:
        publish(
            publish_in,
            document,
            comparison,
            verdicts,
            facts,
            paths[1],
            others=others,
            further=sections,
            write_more=lambda folder: write_published(folder / RUNS, new),
        )
    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        tracker.start(
            experiment=EXPERIMENT,
            run_name=f"report-{short_name(study.model)}",
            params={"model": study.model, "runs": len(study.runs)},
            tags={"job": EXPERIMENT, "model": study.model},
        )
        for path in paths:
            tracker.log_artifact(path)
    return paths


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
    best = max(by_task, key=lambda name: (len(by_task[name]), TASKS[name].kind == "tagging"))
    return Fertility(best, by_task[best])


def _load(study: StudyRuns, source: RunSource) -> tuple[dict[str, TaskRuns], list[str]]:
    """The runs' predictions by task, and a sentence for each task and method that does not fit the others.

    Of the two methods compared a misfit is an error; a further method is not worth the whole report.
    """
    counts: dict[str, TaskRuns] = {}
    left_out = []
    for task in dict.fromkeys(key[0] for key in study.runs):
        runs = {key: run for key, run in study.runs.items() if key[0] == task}
        try:
            counts[task] = source.counts(runs)
            continue
        except DataError:
            fitting = {key: run for key, run in runs.items() if key[1] in (METHOD, BASELINE)}
        counts[task] = source.counts(fitting)
        for method in dict.fromkeys(key[1] for key in runs if key not in fitting):
            joined = fitting | {key: run for key, run in runs.items() if key[1] == method}
            try:
                counts[task] = source.counts(joined)
                fitting = joined
            except DataError as error:
                left_out.append(f"The runs of {task} {method} are left out of its scores: {error}")
    return counts, left_out


def _facts(
    key: tuple[str, str, int],
    run: CellRun,
    metric: str,
    trained: str,
    curve: tuple[tuple[int, float], ...],
) -> RunFacts:
    def count(name: str) -> int | None:
        return int(run.params[name]) if name in run.params else None

    total, trained_of_it = count("total_params"), count("trainable_params")
    share = float(run.params["trainable_percent"]) if "trainable_percent" in run.params else None
    if total and trained_of_it is not None:
        share = 100 * trained_of_it / total  # the logged one is rounded, to nothing where a head alone trains
    before = {
        name.removeprefix(_BEFORE): value for name, value in run.metrics.items() if name.startswith(_BEFORE)
    }
    return RunFacts(
        *key,
        model=run.tags["model"],
        total_params=total,
        trainable_params=trained_of_it,
        trainable_percent=share,
        seconds=run.seconds,
        memory_mib=run.metrics.get("cost/peak_memory_mib"),
        device=run.tags.get("device"),
        trained_on=run.metrics.get(f"test/{metric}/{trained}"),
        zero_shot=run.metrics.get(f"test/{metric}/mean_zero_shot"),
        curve=curve,
        text_loss={
            code: (loss, run.metrics[_AFTER + code])
            for code, loss in before.items()
            if _AFTER + code in run.metrics
        },
    )
