"""What findings.py found, laid out: tables and figures for a terminal, a file or the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.evaluation.scores.floors import floor_name
from xlprompt.evaluation.style import COLORS, MARKERS, WIDTH, legend_above, letters, plain, svg_text
from xlprompt.studies.analyses.granularity.findings import (
    ALL,
    LEAST_FINER,
    GranularityFindings,
    ShareScore,
    Slope,
)
from xlprompt.studies.in_words import points, ruled
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, difference, number_text


def granularity_section(
    findings: GranularityFindings,
    tokens: Mapping[tuple[str, str], float],
    *,
    title: str,
    notes: Sequence[str],
) -> Section:
    """A sweep's tables and figures.

    Args:
        findings: From granularity.compare_shares.
        tokens: By task and language, tokens at the largest share for one at the smallest.
        title: What was cut, and where.
        notes: Sentences on how.
    """
    tasks = list(findings.seeds)
    content: list[Table | Image] = [
        _pooled(findings),
        Image("Difference by share of words cut", _figure(findings)),
    ]
    for name in tasks:
        content += [_slopes(findings, tokens, name), _by_share(findings, name)]
    return Section(title, tuple(content), " ".join(notes))


def _pooled(findings: GranularityFindings) -> Table:
    rows = [
        ("all tasks" if row.task == ALL else row.task, *_cells(row))
        for row in findings.slopes
        if row.language == ALL or _alone(findings, row)
    ]
    sure = findings.pooled
    rows.append(
        (
            "those that say something",
            ABSENT,
            ABSENT,
            ABSENT if sure is None else _interval(sure),
            _p_value(sure),
        )
    )
    reach = ""
    if findings.shares[-1] < 1:
        reach = f"; the largest is {findings.shares[-1]:g}, and from there on they are extrapolated"
    none = "none; smaller shares would leave some"
    if all(row.skilled is None for row in findings.scores):
        none = "none that one seed could show"
    kept = "; ".join(f"{task}: {', '.join(codes)}" for task, codes in findings.usable.items() if codes)
    return Table(
        "Points gained by cutting every word more finely",
        ("task", findings.method, findings.baseline, "difference", "p"),
        tuple(rows),
        "Slopes of least-squares lines over the shares of words cut, mean over languages, in points from "
        f"none to all{reach}; in brackets 95 % intervals over seeds and examples. Difference: "
        f"{findings.method} minus {findings.baseline}. That finer cuts favor {findings.method} needs it "
        f"above 0. Where both fall to the {floor_name(findings.seeds)} their difference is gone whatever the "
        "cause, and "
        "the slope is that loss; where the cutter finds little to cut (fewer than "
        f"{100 * (LEAST_FINER - 1):.0f} % more tokens) it says nothing. So the last row, which the verdict "
        "on the fourth claim rests on, has only the languages that were cut and in which one of the two "
        f"beats the baseline at every share: {kept or none}.",
    )


def _slopes(findings: GranularityFindings, tokens: Mapping[tuple[str, str], float], task: str) -> Table:
    return Table(
        f"{task}: points gained by language",
        ("language", "tokens", findings.method, findings.baseline, "difference", "p"),
        tuple(
            (_name(row.language), _times(tokens.get((task, row.language))), *_cells(row))
            for row in findings.slopes
            if row.task == task and row.language != ALL
        ),
        f"Tokens: at share {findings.shares[-1]:g}, for one at {findings.shares[0]:g}. Intervals are those "
        "of one language alone.",
    )


def _by_share(findings: GranularityFindings, task: str) -> Table:
    rows: dict[str, list[ShareScore]] = {}
    for score in findings.scores:
        if score.task == task:
            rows.setdefault(score.language, []).append(score)
    return Table(
        f"{task}: {findings.method}/{findings.baseline} by share of words cut",
        ("language", *(f"{share:g}" for share in findings.shares)),
        tuple((_name(code), *map(_both, of_language)) for code, of_language in rows.items()),
        f"Mean scores over seeds, in percent. !: neither is shown to beat the {floor_name([task])}."
        if any(score.skilled is False for of_language in rows.values() for score in of_language)
        else "Mean scores over seeds, in percent.",
    )


def _figure(findings: GranularityFindings) -> str:
    """The mean difference over languages by share, a line for each task."""
    with letters():
        figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        axes = figure.add_subplot()
        tasks = list(findings.seeds)
        for number, task in enumerate(tasks):
            of_task = [row for row in findings.scores if row.task == task]
            pooled = [row for row in of_task if row.language == ALL] or of_task
            style = number % len(COLORS)
            ends = [(row.difference.low, row.difference.high, row.difference.value) for row in pooled]
            known = all(low is not None and high is not None for low, high, _ in ends)
            errors = [
                [value - (low or 0) for low, _, value in ends],
                [(high or 0) - value for _, high, value in ends],
            ]
            axes.errorbar(
                # Beside each other, where tasks are alike.
                [row.share + 0.012 * (number - (len(tasks) - 1) / 2) for row in pooled],
                [row.difference.value for row in pooled],
                yerr=errors if known else None,
                color=COLORS[style],
                marker=MARKERS[style],
                markersize=4,
                linewidth=1.0,
                elinewidth=0.8,
                label=task,
            )
        axes.axhline(0, color="#999999", linewidth=0.6, zorder=0)
        axes.set_xticks(list(findings.shares), [f"{share:g}" for share in findings.shares])
        axes.set_xlabel("share of words cut more finely")
        axes.set_ylabel(f"{findings.method} minus {findings.baseline}, points")
        plain(axes, "y")
        legend_above(figure, axes, columns=4)
        return svg_text(figure)


def _alone(findings: GranularityFindings, row: Slope) -> bool:
    """Whether the row's language is its task's only one."""
    return sum(other.task == row.task for other in findings.slopes) == 1


def _cells(row: Slope) -> tuple[str, str, str, str]:
    return (
        f"{row.method.value:+z.1f}",
        f"{row.baseline.value:+z.1f}",
        _interval(row.difference),
        _p_value(row.difference),
    )


def _p_value(found: Estimate | None) -> str:
    return number_text(None if found is None else found.p_value, ".2g")


def _interval(found: Estimate) -> str:
    points, ends = difference(found)
    return points if ends == ABSENT else f"{points} {ends}"


def _both(score: ShareScore) -> str:
    return f"{score.method:.1f}/{score.baseline:.1f}{' !' if score.skilled is False else ''}"


def _name(code: str) -> str:
    return "mean" if code == ALL else f"{language(code).name} ({code})"


def _times(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"x {ratio:.2f}"


def granularity_answer(findings: GranularityFindings) -> str:
    """What cutting text more finely does to the difference between the methods, in a sentence."""
    ours, theirs, pooled = findings.method, findings.baseline, findings.pooled
    if pooled is None:
        return (
            f"Undecided: in no language that was cut more finely does {ours} or {theirs} beat the "
            f"{floor_name(findings.seeds)} at every share."
        )
    ruling = ruled(pooled, f"a finer cut favors {ours}", f"a finer cut favors {theirs}")
    return f"Cutting every word changes {ours} minus {theirs} by {points(pooled)}, {ruling}."
