"""What size changes as a section of the report: slopes, a figure, scores by size, costs, rows in brief."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.evaluation.scores.floors import floor_name
from xlprompt.studies.analyses.size.figures import size_figure
from xlprompt.studies.analyses.size.findings import ALL, SizeFindings, SizeSlope
from xlprompt.studies.grid.over_seeds import means
from xlprompt.studies.in_words import points
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, difference, interval, number_text

BRIEF = "size"
_FORM = "+z.2f"  # a slope is small beside a difference


def size_section(findings: SizeFindings) -> Section:
    """What comes of comparing methods along a family of models."""
    content: list[Table | Image] = [
        *([_slopes(findings)] if findings.slopes else []),
        Image("Difference of the zero-shot mean by parameters", size_figure(findings)),
        *(_scores(findings, task) for task in findings.metrics),
        _costs(findings),
    ]
    fewest = min(least for least, _ in findings.seeds.values())
    most = max(most for _, most in findings.seeds.values())
    note = (
        f"How {_listed(findings.methods)} compare with {findings.baseline} as the model grows: "
        f"{_listed([f'{name} ({count:,})' for name, count in findings.models.items()])}, the same recipe "
        f"with each, {fewest if fewest == most else f'{fewest} to {most}'} seeds. Each size was pretrained "
        "once, and intervals are for these very models: what another pretraining would change is in none of "
        "them. The rule was fixed before runs of other sizes were looked at."
    )
    return Section("Size of the model", tuple(content), note, _brief(findings))


def size_answers(findings: SizeFindings) -> list[str]:
    """Whether each method gains on the baseline with size: over all tasks, and in how many of them."""
    said = []
    for method in findings.methods:
        slopes = [row for row in findings.slopes if row.method == method]
        of_tasks = [row for row in slopes if row.task != ALL]
        if not of_tasks:
            said.append(
                f"{method}: no task has two sizes at which a method beats the {floor_name(findings.metrics)}."
            )
            continue
        last = slopes[-1]
        where = "Mean over tasks" if last.task == ALL else last.task
        rulings = [row.ruling for row in of_tasks]
        counts = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in ("gains", "loses", "undecided"))
        said.append(
            f"{where}: with each doubling of the model {method} minus {findings.baseline} changes by "
            f"{points(last.slope)}: {last.ruling}. By task: {counts}."
        )
    return said


def _slopes(findings: SizeFindings) -> Table:
    rows = [
        (
            row.method,
            _task(row),
            str(row.sizes),
            f"{row.slope.value:{_FORM}}",
            interval(row.slope.low, row.slope.high, _FORM),
            number_text(row.p_adjusted, ".2g"),
            ABSENT if row.without_one is None else interval(*row.without_one, _FORM),
            row.ruling,
        )
        for row in findings.slopes
    ]
    return Table(
        f"What doubling the model changes in the difference from {findings.baseline}",
        ("method", "task", "sizes", "slope", "95 % interval", "p", "without one size", "ruling"),
        tuple(rows),
        f"Slope of method minus {findings.baseline} in the zero-shot mean, in points for each doubling of "
        "the parameters: the least-squares line over log2 of them, uncertain over seeds and test examples. "
        f"Sizes count at which one of the two beats the {floor_name(findings.metrics)}. The interval is of "
        "one task alone, p is Holm's over a method's tasks, of their mean as it is. Without one size: least "
        "and largest slope where any one model is left out. Gains: p up to 0.05, and above 0 in all of "
        "these; loses: below. "
        "Anything else is undecided.",
    )


def _task(row: SizeSlope) -> str:
    return "mean over tasks" if row.task == ALL else row.task


def _scores(findings: SizeFindings, task: str) -> Table:
    minus = {(row.model, row.method): row for row in findings.differences if row.task == task}
    rows = []
    for score in findings.scores:
        if score.task == task:
            found = minus.get((score.model, score.method))
            cells = (ABSENT, ABSENT) if found is None else difference(found.difference)
            chance = " (chance)" if found is not None and not found.usable else ""
            texts = (_text(score.trained), score.zero_shot.text())
            rows.append((score.model, score.method, *texts, cells[0], cells[1] + chance))
    base = findings.baseline
    known = [score.zero_shot for score in findings.scores if score.task == task]
    return Table(
        f"{task} by size",
        ("model", "method", "trained on", "zero-shot mean", f"minus {base}", "95 % interval"),
        tuple(rows),
        f"{findings.metrics[task]} in percent, {means(known)}: in the language trained on, "
        f"and mean over the others. The difference from {base} is that of this mean, uncertain over seeds "
        f"and examples. Chance: neither of the two beats the {floor_name([task])}, and the size counts in no "
        "slope.",
    )


def _text(score: Spread | None) -> str:
    return ABSENT if score is None else score.text()


def _costs(findings: SizeFindings) -> Table:
    base = {row.model: row for row in findings.costs if row.method == findings.baseline}
    rows = []
    for row in findings.costs:
        seconds, memory = (each.seconds, each.memory_mib) if (each := base.get(row.model)) else (None, None)
        rows.append(
            (
                row.model,
                row.method,
                number_text(row.trained_percent, ".3g"),
                number_text(row.seconds, ",.0f"),
                _ratio(row.seconds, seconds),
                number_text(row.memory_mib, ",.0f"),
                _ratio(row.memory_mib, memory),
            )
        )
    return Table(
        "Cost by size",
        ("model", "method", "trained (%)", "training s", "ratio", "peak memory MiB", "ratio"),
        tuple(rows),
        f"Means over seeds and {_listed(findings.cost_tasks) or 'no task'}, as measured while the study ran; "
        f"ratios are to {findings.baseline}'s with the same model. What trains is in percent of the model's "
        "parameters, head included.",
    )


def _ratio(value: float | None, base: float | None) -> str:
    return ABSENT if value is None or not base else f"{value / base:.2f}"


def _brief(findings: SizeFindings) -> Table | None:
    if not findings.slopes:
        return None
    by_task: dict[str, dict[str, SizeSlope]] = {}
    for row in findings.slopes:
        by_task.setdefault(_task(row), {})[row.method] = row
    rows = tuple(
        (
            task,
            *(_in_brief(of_task[method]) if method in of_task else ABSENT for method in findings.methods),
        )
        for task, of_task in sorted(by_task.items(), key=lambda item: item[0] == "mean over tasks")
    )
    return Table(
        BRIEF,
        ("task", *(f"{method} minus {findings.baseline}, a doubling" for method in findings.methods)),
        rows,
        f"By how many points the difference of the zero-shot mean changes as the model doubles, from "
        f"{_listed(list(findings.models))}; 95 % interval over seeds and test examples, rulings with Holm "
        "over tasks.",
    )


def _in_brief(row: SizeSlope) -> str:
    return f"{row.slope.value:{_FORM}} {interval(row.slope.low, row.slope.high, _FORM)}, {row.ruling}"


def _listed(names: Sequence[str]) -> str:
    *first, last = names or ("",)
    return f"{', '.join(first)} and {last}" if first else last
