"""From the store to a study's report: finds the finished cells, compares them, and logs what was written.

Only finished children of studies' parents count. Where a task and method have several groups (the recipe was
changed in between), the one that ran last is taken, so that no mean mixes recipes; of those with all of their
seeds, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import NamedTuple

from xlprompt.data import TASKS
from xlprompt.data.errors import DataError
from xlprompt.data.tasks import own_definition
from xlprompt.evaluation import TaskRuns, compare, judge
from xlprompt.evaluation.comparison.decisive import what_decides
from xlprompt.evaluation.comparison.other_methods import compare_others
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.verdicts import GranularityEffect
from xlprompt.models import short_name
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun
from xlprompt.studies.grid.run_params import largest_shares, train_languages_of
from xlprompt.studies.reports.answer.opening import answer_lines
from xlprompt.studies.reports.answer.provenance import provenance, report_command
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.given import REMEDY
from xlprompt.studies.reports.mistakes.section import NAME as MISTAKES
from xlprompt.studies.reports.mistakes.section import mistakes_section
from xlprompt.studies.reports.publication.document import DocumentError
from xlprompt.studies.reports.publication.loss import refuse_loss
from xlprompt.studies.reports.published_runs import RUNS, PublishedRuns, write_published
from xlprompt.studies.reports.selection import (
    BASELINE,
    HEAD,
    METHOD,
    OTHERS,
    StudyRuns,
    find_fertility,
    find_runs,
)
from xlprompt.studies.reports.sources import RunSource, open_runs
from xlprompt.studies.reports.study_page import write_study_report
from xlprompt.studies.reports.summary import publish
from xlprompt.training.store.metric_names import (
    LOSS_AFTER,
    LOSS_BEFORE,
    MEAN_ZERO_SHOT,
    PEAK_MEMORY_MIB,
    score_name,
)
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import true_end_state

EXPERIMENT = "report"


class StudyReport(NamedTuple):
    """What was written, and its gist.

    Attributes:
        page: The HTML page.
        text: The Markdown file.
        answer: The headline and a line for each of the paper's claims.
    """

    page: Path
    text: Path
    answer: tuple[str, ...]


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
) -> StudyReport:
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
        Where it is and what it answers.

    Raises:
        StudyError: There is no store, or no comparable runs in it.
        DataError: Runs of a task were not scored on the same examples, or a file of published runs is not
            one.
        DocumentError: The document has no place for the summary, or something cannot be written.
        PublicationError: `publish_in` holds runs that would be lost.
    """
    source = open_runs(store, published, REMEDY)
    study = find_runs(source, model, train_language)
    counts, left_out = _load(study, source)
    granularity = source.granularity(study.model)
    found = _findings(study, counts, source, granularity, left_out)
    trained = found.comparison.train_language if publish_in else train_language
    command = report_command(study.model if publish_in else model, trained, published, publish_in)
    found = replace_fields(found, provenance=provenance(study.runs.values(), command))
    kept = source.sections(study.model, {run.run_id for run in study.runs.values()})
    if errs := mistakes_section(study.runs, source, (METHOD, BASELINE), found.comparison.train_language):
        kept[MISTAKES] = errs
    sections = dict(sorted(kept.items()))
    groups = {run.tags[GROUP_TAG] for run in study.runs.values()}
    new = PublishedRuns(
        study.model,
        tuple(study.runs.values()),
        frozenset(groups & source.finished_groups(list(TASKS))),
        counts,
        {run.run_id: of_run.curve for run, of_run in zip(study.runs.values(), found.runs, strict=True)},
        sections,
        granularity,
        {name: own for name in counts if (own := own_definition(name))},
        {
            run.run_id: of_run.language_curves
            for run, of_run in zip(study.runs.values(), found.runs, strict=True)
            if of_run.language_curves is not None
        },
    )
    if publish_in is not None and not replace:
        refuse_loss(publish_in, new)
    try:
        paths = write_study_report(out, found, more=list(sections.values()))
    except OSError as error:
        raise DocumentError(f"{out}: cannot be written ({error}). Name another folder with --out") from error
    if publish_in is not None and document is not None:
        publish(
            publish_in,
            document,
            found,
            paths[1],
            further=sections,
            write_more=lambda folder: write_published(folder / RUNS, new),
        )
    _log(store, study, paths)
    return StudyReport(*paths, answer_lines(found))


def _findings(
    study: StudyRuns,
    counts: Mapping[str, TaskRuns],
    source: RunSource,
    granularity: GranularityEffect | None,
    left_out: Sequence[str],
) -> StudyFindings:
    """The runs compared with each other and judged."""
    trained, *more = train_languages_of(study.runs.values())
    comparison = compare(
        counts, method=METHOD, baseline=BASELINE, train_language=trained, also_trained_on=more
    )
    with_head = {name: runs for name, runs in counts.items() if runs.of(HEAD)}
    heads = {
        method: compare(with_head, method=method, baseline=HEAD, train_language=trained, also_trained_on=more)
        for method in (METHOD, BASELINE)
        if with_head
    }
    fertility = find_fertility(study)
    shares = largest_shares(run for (_, method, _), run in study.runs.items() if method == METHOD)
    per_word = fertility.by_language if fertility else None
    verdicts = judge(comparison, trainable_percent=shares, fertility=per_word, granularity=granularity)
    needs = what_decides(comparison, verdicts, fertility=per_word, granularity=granularity)
    others = compare_others(counts, OTHERS, (METHOD, BASELINE), train_language=trained, also_trained_on=more)
    facts = [_facts(key, run, counts[key[0]].metric, trained, source) for key, run in study.runs.items()]
    notes = [*study.notes, *left_out]
    return StudyFindings(comparison, verdicts, facts, heads, others, fertility, notes, needs)


def _log(store: Path, study: StudyRuns, paths: Sequence[Path]) -> None:
    """Keep the report's files as artifacts of a run."""
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


def _facts(key: tuple[str, str, int], run: CellRun, metric: str, trained: str, source: RunSource) -> RunFacts:
    def count(name: str) -> int | None:
        return int(run.params[name]) if name in run.params else None

    before = {
        name.removeprefix(LOSS_BEFORE): value
        for name, value in run.metrics.items()
        if name.startswith(LOSS_BEFORE)
    }
    return RunFacts(
        *key,
        model=run.tags["model"],
        total_params=count("total_params"),
        trainable_params=count("trainable_params"),
        trainable_percent=share_of_run(run.params),
        seconds=run.seconds,
        memory_mib=run.metrics.get(PEAK_MEMORY_MIB),
        device=run.tags.get("device"),
        trained_on=run.metrics.get(score_name(metric, trained)),
        zero_shot=run.metrics.get(score_name(metric, MEAN_ZERO_SHOT)),
        curve=source.curve(run, score_name(metric, trained, "validation")),
        language_curves=source.language_curves(run, metric),
        text_loss={
            code: (loss, run.metrics[LOSS_AFTER + code])
            for code, loss in before.items()
            if LOSS_AFTER + code in run.metrics
        },
    )
