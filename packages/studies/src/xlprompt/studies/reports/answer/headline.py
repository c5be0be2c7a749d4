"""A study's answer in one sentence, made from its figures and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.studies.reports.wording import seed_numbers, seeds_of

_NAMES = {"prompt": ("prompts", True), "finetune": ("fine-tuning", False)}  # in a sentence; whether plural
_LISTED = 3  # tasks with a figure each; of more the smallest and the largest


def headline(comparison: Comparison) -> str:
    """Which of the two methods transfers better, on which tasks and by how much.

    A method is ahead on a task where the 95 % interval of the difference of zero-shot means leaves out zero.
    """
    method, baseline = comparison.method, comparison.baseline
    outside = _outside(comparison)
    by_task = {
        name: group.estimate for name in comparison.tasks if (group := comparison.zero_shot(name)) is not None
    }
    if not by_task:
        return f"Nothing was scored {outside}: there is no transfer to compare."
    ahead = {name: each for name, each in by_task.items() if each.low is not None and each.low > 0}
    behind = {name: each for name, each in by_task.items() if each.high is not None and each.high < 0}
    single = {name: each for name, each in by_task.items() if each.low is None}
    unsure = [name for name in by_task if name not in {*ahead, *behind, *single}]
    parts: list[str] = []
    for winner, loser, won in ((baseline, method, behind), (method, baseline, ahead)):
        if won:
            verb = "are" if _plural(winner) else "is"
            whom = f" of {_name(loser)} {outside}," if not parts else ""
            parts.append(f"{_name(winner)} {verb} ahead{whom} {_by(won, len(by_task))}")
    if single:
        points = [f"{each.value:+z.1f} on {name}" for name, each in single.items()]
        less = f"{_name(method)} minus {_name(baseline)} {outside}"
        parts.append(f"one seed a method says nothing of others: {less} is, in points, {_and(points)}")
    if unsure and parts:
        parts.append(f"on {_and(unsure)} nothing tells them apart")
    elif unsure:
        parts.append(f"nothing tells {_name(method)} and {_name(baseline)} apart {outside} on {_and(unsure)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def lead(comparison: Comparison, runs: Sequence[RunFacts]) -> str:
    """What was compared, in a line."""
    codes = {row.language for row in comparison.differences}
    models = ", ".join(dict.fromkeys(run.model for run in runs))
    trained = " and ".join(language(code).name for code in comparison.trained_languages)
    parts = [
        *([models] if models else []),
        f"trained on {trained}, scored in {how_many(len(codes), 'language')}",
        f"seeds: {seed_numbers(seeds_of(comparison))}",
        *([how_many(len(runs), "run")] if runs else []),
    ]
    return " · ".join(parts)


def _outside(comparison: Comparison) -> str:
    return f"outside {_and([language(code).name for code in comparison.trained_languages])}"


def _name(method: str) -> str:
    return _NAMES.get(method, (method, False))[0]


def _plural(method: str) -> bool:
    return _NAMES.get(method, (method, False))[1]


def _by(won: dict[str, Estimate], tasks: int) -> str:
    """By how many points on which tasks."""
    points = {name: f"{abs(each.value):.1f}" for name, each in won.items()}
    if len(won) > _LISTED:
        order = sorted(won, key=lambda name: abs(won[name].value))
        ends = f"{points[order[0]]} ({order[0]}) to {points[order[-1]]} points ({order[-1]})"
        return f"on {'all' if len(won) == tasks else f'{len(won)} of'} {tasks} tasks, by {ends}"
    first, *others = [f"{points[name]}{' points' if not at else ''} on {name}" for at, name in enumerate(won)]
    return f"by {_and([first, *others])}"


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
