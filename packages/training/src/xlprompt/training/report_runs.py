"""From the store to a study's report: finds the finished cells, compares them, and logs what was written.

Only finished children of studies' parents count. Where a task and method have several groups (the recipe was
changed in between), the one that ran last is taken, so that no mean mixes recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data import TASKS
from xlprompt.evaluation import compare, judge, load_runs
from xlprompt.evaluation.study_report import RunFacts, write_study_report
from xlprompt.evaluation.study_summary import publish
from xlprompt.models import short_name
from xlprompt.training.cells import StudyError
from xlprompt.training.ledger import GROUP_TAG, CellRun, Ledger
from xlprompt.training.tracker import MlflowTracker, true_end_state

EXPERIMENT = "report"
METHOD, BASELINE = "prompt", "finetune"


@dataclass(frozen=True)
class StudyRuns:
    """The runs that a report is about.

    Attributes:
        model: Their backbone.
        runs: By task, method and seed.
        notes: What was left out, in sentences.
    """

    model: str
    runs: Mapping[tuple[str, str, int], CellRun]
    notes: tuple[str, ...]


def find_runs(ledger: Ledger, model: str | None = None) -> StudyRuns:
    """Choose the finished runs of one model that can be compared.

    Raises:
        StudyError: There are none, or they are of several models and none was named.
    """
    found = [run for run in ledger.finished_cells(list(TASKS)) if run.tags["method"] in (METHOD, BASELINE)]
    models = list(dict.fromkeys(run.tags["model"] for run in found))
    if model is None and len(models) > 1:
        raise StudyError(
            f"the store has studies of several models. Name one with --model: {', '.join(models)}"
        )
    chosen = model if model is not None else next(iter(models), "")
    groups: dict[tuple[str, str], str] = {}
    runs: dict[tuple[str, str, int], CellRun] = {}
    older = set()
    for run in found:  # newest first
        if run.tags["model"] != chosen:
            continue
        cell = (run.tags["task"], run.tags["method"])
        group = groups.setdefault(cell, run.tags[GROUP_TAG])
        if run.tags[GROUP_TAG] == group:
            runs.setdefault((*cell, int(run.params["seed"])), run)
        else:
            older.add(cell)
    notes = [
        f"Older runs of {task} {method} with another recipe are left out." for task, method in sorted(older)
    ]
    both = [name for name in TASKS if (name, METHOD) in groups and (name, BASELINE) in groups]
    notes += [
        f"Task {name} is left out: it has no finished runs of both methods."
        for name in TASKS
        if name not in both and any(cell[0] == name for cell in groups)
    ]
    if not both:
        known = f" (models in the store: {', '.join(models)})" if models else ""
        raise StudyError(
            f"no task has finished runs of a study with both {METHOD} and {BASELINE}"
            f"{f' of {chosen}' if chosen else ''}"
            f"{known}. Run one: make all-tasks"
        )
    ordered = {key: runs[key] for name in both for key in sorted(runs) if key[0] == name}
    return StudyRuns(chosen, ordered, tuple(notes))


def report_study(
    store: Path,
    out: Path,
    model: str | None = None,
    *,
    publish_in: Path | None = None,
    document: Path | None = None,
) -> tuple[Path, Path]:
    """Write the report of a store's study and log it as artifacts of a run.

    Args:
        store: Folder of the MLflow store.
        out: Folder of the report.
        model: Backbone; needed only where the store has studies of several.
        publish_in: Folder of a repository for the figure and the report in Markdown; None for neither.
        document: Its Markdown file that takes the summary, in the section named after `publish_in`.

    Returns:
        Paths of the HTML page and the Markdown file.

    Raises:
        StudyError: There is no store, or no comparable runs in it.
        DataError: Runs of a task were not scored on the same examples.
        DocumentError: The document has no place for the summary.
    """
    if not (store / "mlflow.db").is_file():
        raise StudyError(
            f"{store}: there is no MLflow store. Run a study first (make all-tasks), or name another"
        )
    ledger = Ledger(store)
    study = find_runs(ledger, model)
    comparison = compare(
        load_runs({key: ledger.predictions(run.run_id) for key, run in study.runs.items()}),
        method=METHOD,
        baseline=BASELINE,
        train_language=_train_language(study),
    )
    facts = [_facts(key, run) for key, run in study.runs.items()]
    shares: dict[str, float] = {}
    for each in facts:
        if each.method == METHOD and each.trainable_percent is not None:
            shares[each.task] = max(shares.get(each.task, 0.0), each.trainable_percent)
    verdicts = judge(comparison, trainable_percent=shares)
    paths = write_study_report(out, comparison, verdicts, facts, notes=study.notes)
    if publish_in is not None and document is not None:
        publish(publish_in, document, comparison, verdicts, facts, paths[1])
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


def _train_language(study: StudyRuns) -> str:
    languages = {run.params["data.train_language"] for run in study.runs.values()}
    if len(languages) > 1:
        raise StudyError(f"the runs were trained on different languages: {', '.join(sorted(languages))}")
    return languages.pop()


def _facts(key: tuple[str, str, int], run: CellRun) -> RunFacts:
    def count(name: str) -> int | None:
        return int(run.params[name]) if name in run.params else None

    share = run.params.get("trainable_percent")
    return RunFacts(
        *key,
        model=run.tags["model"],
        total_params=count("total_params"),
        trainable_params=count("trainable_params"),
        trainable_percent=float(share) if share is not None else None,
        seconds=run.seconds,
        memory_mib=run.metrics.get("cost/peak_memory_mib"),
    )
