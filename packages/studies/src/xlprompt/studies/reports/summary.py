"""A study's results in brief, as Markdown for a page: tables of scores and methods, and the verdicts.

All of it is also in the report (study_page.py), with intervals. A document that takes it marks the place by
two comments, and what stands between them is replaced as a whole. What other analyses came to in brief may
have places of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import in_study_order, language
from xlprompt.data.whole_files import replace_folder
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.other_methods import OtherMethods, method_results
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.verdicts import Verdict
from xlprompt.evaluation.scores.metrics import metric_title
from xlprompt.studies.reports.figures import heat_map
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.methods_section import SHARE_TITLE, share_figure
from xlprompt.studies.reports.page import Section, Table, inline, markdown_table
from xlprompt.studies.reports.publication.document import DocumentError, replace_sections
from xlprompt.studies.reports.published_runs import RUNS
from xlprompt.studies.reports.wording import difference, over_seeds, seeds_of
from xlprompt.training.fitting.progress import duration

_BOLD = (
    "Bold: better than the other method at 5 % after Holm's correction over the task's languages, uncertain "
    "over seeds and test examples. "
)
_FIGURE, _METHODS, _REPORT = "differences.svg", "methods.svg", "report.md"


def summary(findings: StudyFindings) -> str:
    """The tables, with a sentence on how to read each."""
    comparison, runs = findings.comparison, findings.runs
    parts = [
        _scores(comparison),
        f"Percent, {over_seeds(seeds_of(comparison))}; {_metrics(comparison)}. "
        f"{_BOLD if comparison.tests_languages else ''}"
        "Resources: by tokens of XGLM's pre-training data.",
        _methods(comparison, runs, findings.others),
        f"Gap: {language(comparison.train_language).name} minus the zero-shot mean. Minus: that mean less "
        "the other method's, with its 95 % interval over seeds and test examples. "
        f"Minutes of a run, scoring included, and peak memory depend on the machine{_machines(runs)}."
        f"{_time(runs)}",
        _verdicts(findings.verdicts),
    ]
    return "\n\n".join(parts) + "\n"


def briefs(sections: Iterable[Section]) -> dict[str, str]:
    """By kind a table with the rows of its sections, and a sentence on how to read it."""
    by_kind: dict[str, list[Table]] = {}
    for section in sections:
        if section.brief is not None:
            by_kind.setdefault(section.brief.title, []).append(section.brief)
    return {
        kind: f"{markdown_table(replace(first, rows=(*first.rows, *rows)))}\n\n{inline(first.note)}\n"
        for kind, (first, *others) in by_kind.items()
        for rows in [tuple(row for table in others for row in table.rows)]
    }


def publish(
    folder: Path,
    document: Path,
    findings: StudyFindings,
    report: Path,
    *,
    further: Mapping[str, Section] | None = None,
    write_more: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write a study's figures and whole report to a folder, and its summary into a document that links them.

    The folder is written beside its place and renamed, so that it never holds parts of two studies. Other
    files in it stay.

    Args:
        folder: Made where it does not exist; its name is that of the document's section.
        document: A Markdown file with a place for the section (see `replace_sections`). Where it has one for
            NAME-KIND too, that takes the table of what the sections of this kind come to.
        findings: What is said.
        report: The report in Markdown, which is copied.
        further: Its sections on other analyses, such as ablations, by name.
        write_more: Writes further files to the folder.

    Raises:
        DocumentError: The document has no place for the section, or something cannot be written. All is as
            it was then.
    """
    folder = folder.resolve()
    sections = further or {}
    pictures = _pictures(findings)
    told = findings.provenance.rows if findings.provenance else ()
    command = next((row[1] for row in told if row[0] == "command"), "")
    text = f"{summary(findings)}\n{_links(folder, document, pictures, sections.values(), command)}\n"
    places = {f"{folder.name}-{kind}": table for kind, table in briefs(sections.values()).items()}
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")

    def write_folder() -> None:
        if folder.exists():
            shutil.copytree(folder, new)
        else:
            new.mkdir(parents=True)
        (new / _METHODS).unlink(missing_ok=True)  # of an earlier report, perhaps of other methods
        for name, (_, picture) in pictures.items():
            (new / name).write_text(picture, encoding="utf-8")
        shutil.copyfile(report, new / _REPORT)
        write_more(new)
        replace_folder(new, folder)

    try:
        replace_sections(document, {folder.name: text, **places}, optional=set(places), at_once=write_folder)
    except OSError as error:
        raise DocumentError(f"{folder}: cannot be published there ({error})") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _pictures(findings: StudyFindings) -> dict[str, tuple[str, str]]:
    """By file name the title and the SVG of each figure."""
    comparison = findings.comparison
    title = f"{comparison.method} minus {comparison.baseline} by language"
    pictures = {_FIGURE: (title, heat_map(comparison))}
    results = method_results(comparison, findings.others, findings.runs)
    if findings.others and (figure := share_figure(results)):
        pictures[_METHODS] = (SHARE_TITLE, figure)
    return pictures


def _links(
    folder: Path,
    document: Path,
    pictures: Mapping[str, tuple[str, str]],
    sections: Iterable[Section],
    command: str,
) -> str:
    """The figures, and a sentence on what else there is in the folder, as seen from the document.

    The command makes the report anew; where it is not known it is told from where the folder stands.
    """
    where = Path(os.path.relpath(folder, document.resolve().parent)).as_posix()
    path = quote(where)
    from_root = "/".join(part for part in Path(where).parts if part != "..")  # where make is called
    titles: dict[str, list[str]] = {}  # what stands behind the colon, of titles that have one
    for section in sections:
        kind, _, what = section.title.partition(": ")
        titles.setdefault(inline(kind), []).append(inline(what))
    named = [f"{kind}: {', '.join(what)}" if what[0] else kind for kind, what in titles.items()]
    parts = "; ".join(("intervals, groups of languages, rules and costs", *named))
    command = command or f"make report RUNS={from_root}/{RUNS}"
    more = (
        f"[The whole report]({path}/{_REPORT}): {parts}. `{command}` "
        "makes it anew from what the runs answered, and takes in what the store has of the same model."
    )
    return "\n\n".join([*(f"![{title}]({path}/{name})" for name, (title, _) in pictures.items()), more])


def _metrics(comparison: Comparison) -> str:
    """What the scores are: the tasks of each metric, but for those of accuracy where there are others."""
    tasks: dict[str, list[str]] = {"accuracy": []}
    for name, task in comparison.tasks.items():
        tasks.setdefault(metric_title(name, task.metric), []).append(name)
    by_accuracy = tasks.pop("accuracy")
    others = [f"{title} for {', '.join(names)}" for title, names in tasks.items()]
    return ", ".join((["accuracy"] if by_accuracy else []) + others)


def _scores(comparison: Comparison) -> str:
    methods = (comparison.method, comparison.baseline)
    better = {
        (row.task, row.language): comparison.method if row.outcome == "win" else comparison.baseline
        for row in comparison.differences
        if row.is_significant
    }
    cells = {}
    for row in comparison.scores:
        text = row.spread.text()
        won = better.get((row.task, row.language)) == row.method
        cells[row.task, row.language, row.method] = f"**{text}**" if won else text
    columns = [f"{task} {method}" for task in comparison.tasks for method in methods]
    rows = []
    for code in in_study_order({row.language for row in comparison.scores}):
        values = [cells.get((task, code, method), "") for task in comparison.tasks for method in methods]
        rows.append((language(code).name, language(code).resource_level, *values))
    return markdown_table(Table("Scores", ("language", "resources", *columns), tuple(rows)), right=2)


def _methods(comparison: Comparison, runs: Sequence[RunFacts], others: OtherMethods) -> str:
    results = method_results(comparison, others, runs)
    alike = len({result.seeds for result in results}) == 1  # then the sentence above says which
    references = [comparison.baseline, *([comparison.method] if others else [])]
    counted = [] if alike else ["seeds"]
    differences = [f"minus {name}" for name in references]
    columns = [*counted, "trained", "zero-shot mean", "gap", *differences, "minutes", "GiB"]
    rows = []
    for result in results:
        of_cell = [run for run in runs if (run.task, run.method) == (result.task, result.method)]
        against = dict(others.get(result.method, {}))
        if result.method == comparison.method:
            against[comparison.baseline] = comparison
        rows.append(
            (
                result.task,
                result.method,
                *([] if alike else [str(len(result.seeds))]),
                "" if result.trainable_percent is None else f"{result.trainable_percent:.3g} %",
                "" if result.zero_shot is None else result.zero_shot.text(),
                "" if result.gap is None else result.gap.text(),
                *(_minus(against.get(name), result.task) for name in references),
                _average([run.seconds for run in of_cell], 60),
                _average([run.memory_mib for run in of_cell], 1024),
            )
        )
    return markdown_table(Table("Methods", ("task", "method", *columns), tuple(rows)), right=2)


def _minus(against: Comparison | None, task: str) -> str:
    group = None if against is None else against.zero_shot(task)
    if group is None:
        return ""
    points, ends = difference(group.estimate)
    return points if group.estimate.low is None else f"{points} {ends}"


def _time(runs: Sequence[RunFacts]) -> str:
    """What all runs took, in a sentence; none where one of them does not say."""
    seconds = [run.seconds for run in runs if run.seconds is not None]
    if not seconds or len(seconds) < len(runs):
        return ""
    return f" {how_many(len(runs), 'run')} took {duration(sum(seconds))} in all."


def _machines(runs: Sequence[RunFacts]) -> str:
    """Where runs were made on several kinds of device: which were made where."""
    devices: dict[str, set[str]] = {}
    for run in runs:
        if run.device is not None:
            devices.setdefault(f"{run.task} {run.method}", set()).add(inline(run.device))
    cells: dict[str, list[str]] = {}  # by the device or devices
    for cell, used in devices.items():
        cells.setdefault(" and ".join(sorted(used)), []).append(cell)
    if len(set().union(*devices.values())) < 2:
        return ""
    commonest, *others = sorted(cells, key=lambda used: -len(cells[used]))
    named = [f"{', '.join(cells[used])} on {used}" for used in others]
    return ": " + "; ".join([*named, f"{'the others' if others else 'all'} on {commonest}"])


def _average(values: Sequence[float | None], unit: float) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known) / unit:.1f}" if known else ""


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = tuple(
        (f"{number}. {each.claim}", f"**{each.verdict}**", str(each.evidence["reason"]))
        for number, each in enumerate(verdicts, 1)
    )
    return markdown_table(Table("Claims", ("claim of the paper", "verdict", "because"), rows))
