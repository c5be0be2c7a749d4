"""Learning by language as a section of the report: tables, a figure for each task, and rows in brief."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.studies.analyses.learning.figures import learning_figure
from xlprompt.studies.analyses.learning.findings import (
    DEEPEST,
    FALLS,
    QUANTITIES,
    STEPS_TRAINED,
    STEPS_ZERO_SHOT,
    Contrast,
    Learning,
)
from xlprompt.studies.in_words import ruled
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, interval, number_text

BRIEF = "learning"


def learning_section(learned: Sequence[Learning], contrasts: Sequence[Contrast]) -> Section:
    """What the curves of one model say."""
    content: list[Table | Image] = [_overview(learned)]
    if contrasts:
        content.append(_contrasts(contrasts))
    for task in dict.fromkeys(each.task for each in learned):
        of_task = [each for each in learned if each.task == task]
        content.append(Image(f"{task}: score of the samples by step", learning_figure(of_task)))
        content.append(_languages(of_task))
    examples = max(each.examples for each in learned)
    note = (
        f"Scores of a fixed sample of at most {examples} test examples of each language, made while runs "
        "trained. No checkpoint was chosen by them. What a run is judged by are the whole test sets, scored "
        "once at the end. A language counts as learned at the first step with 90 % of its last score; chance "
        "is part of that score, so a figure is early where a task has few labels. A fall is noticeable where "
        "it is more than two standard errors of a difference between two independent samples of that size, "
        "and where the training language did not fall by more than one meanwhile."
    )
    return Section("Learning by language", tuple(content), note, _brief(learned))


def learning_answers(learned: Sequence[Learning], contrasts: Sequence[Contrast]) -> list[str]:
    """When each method has learned, and which one sooner in the languages not trained on."""
    said = []
    for each in learned:
        others = [row for row in each.languages if row.language not in each.trained]
        trained, zero_shot = (fmean(each.quantities[name]) for name in (STEPS_TRAINED, STEPS_ZERO_SHOT))
        said.append(
            f"{each.task} {each.method}: {language(each.trained[0]).name} has 90 % of its last score at step "
            f"{trained:,.0f}, the mean over other languages at step {zero_shot:,.0f}; of "
            f"{how_many(len(others) * len(each.seeds), 'pair')} of a run and another language, "
            f"{sum(row.lasting for row in others)} end noticeably below an earlier score."
        )
    for row in contrasts:
        if row.quantity == STEPS_ZERO_SHOT:
            steps, ends = row.difference, interval(row.difference.low, row.difference.high, "+z,.0f")
            ruling = ruled(steps, f"{row.baseline} is sooner", f"{row.method} is sooner")
            said.append(
                f"{row.task}, steps to 90 % of the zero-shot mean: {row.method} minus {row.baseline} is "
                f"{steps.value:+z,.0f} (95 % interval {ends}), {ruling}."
            )
    return said


def _overview(learned: Sequence[Learning]) -> Table:
    rows = []
    for each in learned:
        others = [row for row in each.languages if row.language not in each.trained]
        spreads = [row.over_seeds for row in others if row.over_seeds is not None]
        trained = next(row for row in each.languages if row.language == each.trained[0])
        rows.append(
            (
                each.task,
                each.method,
                str(len(each.seeds)),
                f"{each.steps[0]:,} to {each.steps[-1]:,}",
                _mean(each.quantities[STEPS_TRAINED]),
                _mean(each.quantities[STEPS_ZERO_SHOT]),
                _mean(each.quantities[FALLS], ".2f"),
                _mean(each.quantities[DEEPEST], ".1f"),
                str(sum(row.lasting for row in others)),
                f"{number_text(trained.over_seeds, '.1f')} / "
                + (f"{sum(spreads) / len(spreads):.1f}" if spreads else ABSENT),
            )
        )
    trained_on = language(learned[0].trained[0]).name
    return Table(
        "How fast and how steadily languages are learned",
        (
            "task",
            "method",
            "seeds",
            "steps scored",
            f"90 % in {trained_on} at",
            "90 % of the zero-shot mean at",
            "falls",
            "deepest",
            "lasting",
            "sd over seeds",
        ),
        tuple(rows),
        f"Means over seeds. Falls: noticeable ones a run and language, while {trained_on} did not fall. "
        "Deepest: points below the highest score before, where that is most, mean over languages; the noise "
        "of samples is in it. Lasting: pairs of a run and a language that end noticeably below an earlier "
        f"score. Sd: deviation over seeds in points, mean over steps, of {trained_on} and of one other "
        "language.",
    )


def _mean(values: Sequence[float], form: str = ",.0f") -> str:
    return f"{sum(values) / len(values):{form}}"


def _contrasts(contrasts: Sequence[Contrast]) -> Table:
    by_task: dict[str, dict[str, Contrast]] = {}
    for row in contrasts:
        by_task.setdefault(row.task, {})[row.quantity] = row
    rows = []
    for task, found in by_task.items():
        for name in QUANTITIES:
            difference = found[name].difference
            form = "+z,.0f" if name in (STEPS_TRAINED, STEPS_ZERO_SHOT) else "+z.2f"
            cells = (f"{difference.value:{form}}", interval(difference.low, difference.high, form))
            rows.append((task, name, *cells))
    first = contrasts[0]
    return Table(
        f"{first.method} minus {first.baseline}",
        ("task", "what", "difference", "95 % interval"),
        tuple(rows),
        "Intervals are Welch's over seeds, with the samples as they are. Steps are known no better than the "
        "points of the curves are apart, so that an interval without width only says that the seeds agree. "
        f"Nothing is corrected for the number of rows ({len(rows)}): some may leave out zero by chance.",
    )


def _languages(of_task: Sequence[Learning]) -> Table:
    codes = list(
        dict.fromkeys([*of_task[0].trained, *(row.language for each in of_task for row in each.languages)])
    )
    by_method = [{row.language: row for row in each.languages} for each in of_task]
    rows = []
    for code in codes:
        if not any(code in found for found in by_method):
            continue
        cells = [f"{language(code).name} {code}"]
        for found in by_method:
            row = found.get(code)
            cells += [_steps(row.steps), f"{row.falls:.1f} / {row.deepest.mean:.0f}"] if row else [ABSENT] * 2
        rows.append(tuple(cells))
    columns = [name for each in of_task for name in (f"{each.method}: 90 % at", f"{each.method}: falls")]
    return Table(
        f"{of_task[0].task}: by language",
        ("language", *columns),
        tuple(rows),
        "Step at which 90 % of the last score is reached, mean ± standard deviation over seeds; noticeable "
        "falls a run, and the deepest one in points.",
    )


def _steps(found: Spread) -> str:
    return f"{found.mean:,.0f}" + ("" if found.deviation is None else f" ± {found.deviation:,.0f}")


def _brief(learned: Sequence[Learning]) -> Table:
    rows = tuple(
        (
            f"{each.task} {each.method}",
            _mean(each.quantities[STEPS_TRAINED]),
            _mean(each.quantities[STEPS_ZERO_SHOT]),
            _mean(each.quantities[FALLS], ".2f"),
        )
        for each in learned
    )
    return Table(
        BRIEF,
        ("task and method", "90 % in the training language at", "90 % of the zero-shot mean at", "falls"),
        rows,
        "Steps, and noticeable falls a run and language, from fixed samples of the test sets; means over "
        "seeds.",
    )
