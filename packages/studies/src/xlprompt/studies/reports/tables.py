"""The tables of a study's report: what was compared and looked for, as text; the verdicts are in answer/.

It computes no statistics of its own; study_page.py puts the tables in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xlprompt.data.languages import in_study_order, language
from xlprompt.evaluation.comparison.compared import Comparison, Difference
from xlprompt.evaluation.comparison.failure_signs import Sign, TextLoss, fallen, training_language, zero_shot
from xlprompt.evaluation.comparison.run_facts import Fertility
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.evaluation.scores.floors import TRIVIAL_ANSWER, has_trivial
from xlprompt.studies.reports.page import Table
from xlprompt.studies.reports.wording import (
    ABSENT,
    difference,
    interval,
    number_text,
    over_seeds,
    tested_languages,
)

_FINDINGS = {"seen": "✗", "not seen": "✓", "undecided": "?", "not checked": "–"}


def failure_signs(signs: Sequence[Sign]) -> Table:
    """What would have been a failure, and whether it was one."""
    return Table(
        "Signs that a study of this kind can fail by",
        ("sign", "finding", "evidence", "rule"),
        tuple(
            (each.sign, f"{_FINDINGS[each.finding]} {each.finding}", each.evidence, each.rule)
            for each in signs
        ),
        "As with the claims, undecided is what the data cannot tell.",
        cards=True,
    )


def majority(comparisons: Mapping[str, Comparison]) -> Table:
    """How many languages stand above what needs no model, and which collapsed.

    Args:
        comparisons: By method, in the order in which they are shown: one that has its scores.
    """
    rows = []
    tasks = dict.fromkeys(task for each in comparisons.values() for task in each.tasks)
    for task, method in ((task, method) for task in tasks for method in comparisons):
        scores = [row for row in comparisons[method].scores if (row.task, row.method) == (task, method)]
        if not scores:
            continue
        sure = [row for row in scores if row.skilled]
        below = [row.language for row in scores if row.spread.mean <= row.floor]
        between = sum(not row.skilled and row.language not in below for row in scores)
        collapsed = [f"{row.language} {row.collapsed}/{row.spread.seeds}" for row in scores if row.collapsed]
        rows.append(
            (
                task,
                method,
                f"{len(sure)} of {len(scores)}",
                str(between),
                ", ".join(below) or "none",
                ", ".join(collapsed) or "none",
            )
        )
    note = (
        f" Where answers are parts of texts the baseline is {TRIVIAL_ANSWER}." if has_trivial(tasks) else ""
    )
    return Table(
        "Against always giving the commonest label",
        ("task", "method", "above", "unsure", "not above", "collapsed (seeds)"),
        tuple(rows),
        "Numbers of languages. Above: the score's 95 % interval over seeds and examples lies above the "
        "baseline. Unsure: the mean does, the interval does not. Collapsed: the predictions fell onto one "
        f"label, in so many of the seeds.{note}",
    )


def head_only(heads: Mapping[str, Comparison]) -> Table:
    """Each method against training the head alone."""
    rows = []
    cells = [(task, method) for method, each in heads.items() for task in each.tasks]
    for task, method in cells:
        against = heads[method]
        trained, others = training_language(against, task), zero_shot(against, task)
        lost = [row.language for row in fallen(against, task)]
        rows.append(
            (
                task,
                method,
                *(difference(trained.estimate) if trained else (ABSENT, ABSENT)),
                *(difference(others) if others else (ABSENT, ABSENT)),
                ", ".join(lost) or "none",
            )
        )
    names = {language(against.train_language).name for against in heads.values()}
    trained_on = " and ".join(sorted(names))
    return Table(
        "Gain over training the head alone",
        ("task", "method", trained_on, "95 % interval", "zero-shot", "95 % interval", "significantly below"),
        tuple(rows),
        "Points. Below: zero-shot languages in which the head alone is better, at 5 % after Holm.",
    )


def _deviation(change: Spread) -> str:
    return "" if change.deviation is None else f" ± {change.deviation:.3f}"


def text_loss(losses: Sequence[TextLoss]) -> Table:
    """Forgetting, as the change in the loss on held-out text."""
    rows = []
    for row in losses:
        ordered = in_study_order(set(row.by_language))  # of equal changes the first
        largest = sorted(ordered, key=lambda code: -abs(row.by_language[code]))[:3]
        rows.append(
            (
                row.task,
                row.method,
                str(row.change.seeds),
                str(len(row.by_language)),
                f"{row.before:.3f}",
                f"{row.change.mean:+z.3f}{_deviation(row.change)}",
                interval(row.change.low, row.change.high, "+z.3f"),
                ", ".join(f"{code} {row.by_language[code]:+z.3f}" for code in largest),
            )
        )
    return Table(
        "Language-model loss on the test sets' text",
        ("task", "method", "seeds", "languages", "before", "change", "95 % interval", "largest changes"),
        tuple(rows),
        "Nats a token, mean over languages, ± standard deviation over seeds where there are several. Above 0 "
        "the text is harder to predict now: with a prompt as long as it stands in front, with fine-tuned "
        "weights for good. The interval is over seeds, for these texts.",
    )


def tokenization(comparison: Comparison, fertility: Fertility) -> Table:
    """Tokens a word beside the differences, as the fourth claim sets them in relation."""
    differences = {(row.task, row.language): row.estimate.value for row in comparison.differences}
    codes = in_study_order(set(fertility.by_language))
    return Table(
        "Tokens a word",
        ("language", "resources", "tokens a word", *comparison.tasks),
        tuple(
            (
                _name(code),
                language(code).resource_level,
                f"{fertility.by_language[code]:.2f}",
                *(number_text(differences.get((task, code)), "+z.1f") for task in comparison.tasks),
            )
            for code in codes
        ),
        f"Of the backbone's tokenizer on the test sets of {fertility.task}; where a language is written "
        f"without spaces, a token may span words. The other columns are {comparison.method} minus "
        f"{comparison.baseline} in points, as in the tables by task.",
    )


def _name(code: str) -> str:
    return f"{language(code).name} ({code})"


def tallies(comparison: Comparison) -> Table:
    """Wins, ties and losses by task."""
    names = {row.task: row.correlation for row in comparison.correlations}
    return Table(
        f"{comparison.method} against {comparison.baseline}, by language",
        ("task", "wins", "ties", "losses", "ahead", "rho with tokens", "95 % interval", "p"),
        tuple(
            (
                row.task,
                *(tested_languages(row, each) for each in (row.wins, row.ties, row.losses)),
                str(row.ahead),
                number_text(names[row.task].rho, "+z.2f"),
                interval(names[row.task].low, names[row.task].high, "+z.2f"),
                number_text(names[row.task].p_value, ".2g"),
            )
            for row in comparison.tallies
        ),
        "A win or a loss is significant at 5 % after Holm's correction over the task's languages; a tie is "
        "no proof of equality. Ahead: higher mean, significant or not. Rho: rank correlation of the "
        "difference with pre-training tokens over zero-shot languages.",
    )


def languages(comparison: Comparison, task: str) -> Table:
    """One task's scores by language, the better method named where that is significant."""
    of_task = comparison.tasks[task]
    spreads = {(row.language, row.method): row.spread for row in comparison.scores if row.task == task}
    rows = []
    for row in comparison.differences:
        if row.task != task:
            continue
        rows.append(
            (
                _name(row.language),
                language(row.language).resource_level,
                spreads[row.language, comparison.method].text(),
                spreads[row.language, comparison.baseline].text(),
                *difference(row.estimate),
                number_text(row.p_adjusted, ".2g"),
                _better(comparison, row),
            )
        )
    tested = (
        "The better method is named only where it is significant after Holm. Intervals are those of one "
        "language alone."
    )
    untested = "With one seed of a method there are no intervals, and no language is tested."
    columns = (
        "language",
        "resources",
        comparison.method,
        comparison.baseline,
        "difference",
        "95 % interval",
        "p (Holm)",
        "better",
    )
    return Table(
        f"{task}: scores by language",
        columns,
        tuple(rows),
        f"Scores: {of_task.metric} in percent, {over_seeds([of_task.method_seeds, of_task.baseline_seeds])}; "
        f"difference in points. {tested if comparison.tests_languages else untested}",
    )


def _better(comparison: Comparison, row: Difference) -> str:
    if not row.is_significant:
        return ""
    return f"▲ {comparison.method}" if row.outcome == "win" else f"▼ {comparison.baseline}"


def groups(comparison: Comparison, task: str) -> Table:
    """One task's means over groups of languages."""
    return Table(
        f"{task}: means over groups of languages",
        (
            "grouping",
            "group",
            comparison.method,
            comparison.baseline,
            "difference",
            "95 % interval",
            "languages",
        ),
        tuple(
            (
                row.grouping,
                row.group,
                f"{row.method:.1f}",
                f"{row.baseline:.1f}",
                *difference(row.estimate),
                ", ".join(row.languages),
            )
            for row in comparison.groups
            if row.task == task
        ),
        "Each language counts once; intervals are not corrected for the number of groups.",
    )
