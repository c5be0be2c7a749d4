"""A study's report: one self-contained HTML page and a Markdown file with the same tables.

It puts the parts of tables.py and figures.py in order and computes no statistics of its own.
Where the runs come from is not its business: it is given comparisons and what is known of each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlprompt.data.languages import language
from xlprompt.data.whole_files import write_whole
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.failure_signs import failure_signs, text_losses
from xlprompt.evaluation.comparison.other_methods import sources
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.studies.reports import run_tables
from xlprompt.studies.reports import tables as study_tables
from xlprompt.studies.reports.answer.opening import opening
from xlprompt.studies.reports.figures import by_resources, cost_against_score, heat_map, learning_curves
from xlprompt.studies.reports.findings import StudyFindings
from xlprompt.studies.reports.methods_section import other_methods_section
from xlprompt.studies.reports.page import Folded, Image, Section, Table, html_page, markdown_page


def write_study_report(
    folder: str | Path,
    findings: StudyFindings,
    *,
    more: Sequence[Section] = (),
    title: str = "Prompt tuning and full fine-tuning across languages",
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md`.

    Args:
        folder: Where they go; made where it does not exist.
        findings: What they say.
        more: Sections of other analyses, such as ablations, which stand at the end.
        title: Of the page.

    Returns:
        Paths of the page and of the Markdown file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sections = [*_sections(findings), *map(Folded, more)]
    answer, notes = opening(findings), findings.notes
    page, text = folder / "report.html", folder / "report.md"
    write_whole(page, html_page(title, sections, notes, answer))
    write_whole(text, markdown_page(title, sections, notes, answer))
    return page, text


def tables(findings: StudyFindings) -> list[Table]:
    """All tables of the report, in its order; page.markdown_table writes one."""
    sections = [
        each.section if isinstance(each, Folded) else each for each in _sections(findings, figures=False)
    ]
    parts = [part for section in sections for part in section.content if isinstance(part, Table)]
    return [opening(findings, figures=False).claims, *parts]


def _sections(findings: StudyFindings, figures: bool = True) -> list[Section | Folded]:
    comparison, runs = findings.comparison, findings.runs
    overview: list[Table | Image] = []
    if figures:
        title = f"{comparison.method} minus {comparison.baseline} by language"
        overview.append(Image(title, heat_map(comparison)))
    overview.append(study_tables.tallies(comparison))
    overview += [findings.provenance] if findings.provenance else []
    sections: list[Section | Folded] = [Section("Language by language", tuple(overview))]
    for name in comparison.tasks:
        parts: list[Table | Image] = [study_tables.languages(comparison, name)]
        if figures:
            title = f"{name}: score by language, from most to fewest pre-training tokens"
            parts.insert(0, Image(title, by_resources(comparison, name)))
        sections.append(Section(name, tuple(parts)))
    signs, *baselines = _failures(findings)
    sections += [
        Section("Failure signs", (signs,)),
        Folded(Section("Against simple baselines", tuple(baselines))),
        Folded(
            Section(
                "Means over groups of languages",
                tuple(study_tables.groups(comparison, name) for name in comparison.tasks),
            )
        ),
    ]
    if beside := other_methods_section(comparison, findings.others, runs, figures=figures):
        sections.append(Folded(beside))
    if findings.fertility:
        table = study_tables.tokenization(comparison, findings.fertility)
        sections.append(Folded(Section("Tokenization", (table,))))
    learned = run_tables.learning(comparison, runs)
    if learned.rows:
        parts = [learned, *(_curves(comparison, runs) if figures else [])]
        sections.append(Folded(Section("Learning curves", tuple(parts))))
    if costs := run_tables.costs(comparison, runs):
        parts = [run_tables.cost_table(costs, language(comparison.train_language).name)]
        points = [(row.task, row.method, row.seconds, row.score) for row in costs if row.score is not None]
        if figures and points:
            parts.append(Image("Zero-shot mean against seconds of a run", cost_against_score(points)))
        sections.append(Folded(Section("Cost", tuple(parts))))
    sections.append(Folded(Section("What was run", (run_tables.setup(comparison, runs),))))
    return sections


def _failures(findings: StudyFindings) -> list[Table | Image]:
    comparison, runs, heads = findings.comparison, findings.runs, findings.heads
    parts: list[Table | Image] = [
        study_tables.failure_signs(failure_signs(comparison, runs, heads)),
        study_tables.majority(sources(comparison, findings.others)),
    ]
    if heads:
        parts.append(study_tables.head_only(heads))
    if losses := text_losses(runs):
        parts.append(study_tables.text_loss(losses))
    return parts


def _curves(comparison: Comparison, runs: Sequence[RunFacts]) -> list[Table | Image]:
    trained = language(comparison.train_language).name
    images: list[Table | Image] = []
    for name, task in comparison.tasks.items():
        if curves := run_tables.curves_of(name, comparison, runs):
            figure = learning_curves(curves, f"{task.metric} (%)")
            images.append(Image(f"{name}: {trained} development score by step", figure))
    return images
