"""Which alignment to take, and whether a guard helps, laid out as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.studies.analyses.alignment.recommended.against import BOTH, OURS, PLAIN, Against
from xlprompt.studies.analyses.alignment.recommended.guard import GuardResult
from xlprompt.studies.analyses.alignment.recommended.rule import (
    MARGIN,
    TOLERANCE,
    Advice,
    HeldOut,
    Setting,
    SettingResult,
)
from xlprompt.studies.in_words import points
from xlprompt.studies.reports.page import Table
from xlprompt.studies.reports.selection import BASELINE, METHOD
from xlprompt.studies.reports.wording import ABSENT, interval

RULE = (
    f"The rule: settings that lose more than {TOLERANCE:g} point of zero-shot mean in a task and method are "
    f"out; of the others and of none, which gains 0, the cheapest within {MARGIN:g} points of the best mean "
    "over tasks is taken (the head before a layer, then fewer sentences)."
)


def advice_tables(
    advice: Advice | None, guards: Sequence[GuardResult] = (), against: Sequence[Against] = ()
) -> list[Table]:
    """Settings, what they gain where they were not chosen, fine-tuning beside them, and guards."""
    tables = []
    if advice is not None:
        tables.append(_settings(advice))
        if advice.by_task:
            tables.append(_by_task(advice))
        tables.append(_by_language(advice))
    if against:
        tables.append(_against(against))
    if guards:
        tables.append(_guards(guards))
    return tables


def advice_answers(advice: Advice | None, guards: Sequence[GuardResult]) -> list[str]:
    """The default with its bound, what the rule gains on tasks it has not seen, and whether a guard helps."""
    if advice is None:
        return []
    said = [_default(advice)]
    if advice.by_task:
        said.append(_unseen(advice.by_task))
    if guards:
        said.append(_guard(advice.default, guards))
    return said


def _default(advice: Advice) -> str:
    chosen = advice.chosen
    if chosen is None:
        return "The rule takes no alignment by default: no setting gains enough without harming a task."
    worst = chosen.worst
    return (
        f"Default by the rule: {chosen.setting.name}. It gains {chosen.mean:+.1f} points of zero-shot mean "
        f"over the tasks and changes the language trained on by {chosen.trained:.1f}. The worst language "
        f"({worst.task} {worst.method} {worst.worst_language}) gains {points(worst.worst)}; none loses more "
        f"than {chosen.bound:.1f} (95 % over the draw of the examples, all languages at once, these runs). "
        f"Languages that fall by more than noise: {chosen.falls}."
    )


def _unseen(held_out: Sequence[HeldOut]) -> str:
    parts = [
        f"{each.task} {each.method} {each.gain.value:+z.1f} by {_name(each.setting)}" for each in held_out
    ]
    return f"Chosen on the other tasks: {'; '.join(parts)}."


def _guard(default: Setting | None, guards: Sequence[GuardResult]) -> str:
    """Of the default's kind alone, as a guard of another kind would have to beat the default."""
    of_kind = [each for each in guards if default is None or each.kind == default.kind]
    better = [f"{each.sign} with {each.kind}" for each in of_kind if each.finding == "better"]
    if better:
        return f"Better than aligning always, on tasks that set no threshold: {', '.join(better)}."
    kind = "" if default is None else f" of {default.kind}"
    return f"No guard without labels is better than aligning always, of {len(of_kind)}{kind} that were tried."


def _name(setting: Setting | None) -> str:
    return "none" if setting is None else setting.name


def _gain(found: Estimate) -> str:
    if found.low is None or found.high is None:  # one seed
        error = "" if found.example_stderr is None else f" ± {found.example_stderr:.1f}"
        return f"{found.value:+z.1f}{error}"
    return f"{found.value:+z.1f} {interval(found.low, found.high, 'z.1f')}"


def _settings(advice: Advice) -> Table:
    cells = advice.settings[0].cells
    rows = tuple(_setting(each, each.setting == advice.default) for each in advice.settings)
    return Table(
        "Every setting that was scored in all tasks and methods",
        (
            "alignment",
            "sentences",
            "where",
            "mean",
            *(f"{cell.task} {cell.method}" for cell in cells),
            "worst language [95 %]",
            "fall",
            "bound",
        ),
        rows,
        "Points gained. Mean: over tasks. By task and method: of the zero-shot mean, with its 95 % interval "
        "over seeds and test examples; of one seed ± the standard error over examples. Worst language: the "
        "one that gains least, with the interval of it alone. Fall: languages of a task and method that are "
        "worse at 5 % after Holm's correction over its languages. Bound: no language of any task and method "
        "loses more, with a confidence of 95 % over the draw of the test examples, all languages at once; of "
        "these runs. The language trained on changes "
        f"by {max(each.trained for each in advice.settings):.1f} at most. {RULE}",
    )


def _setting(result: SettingResult, is_default: bool) -> tuple[str, ...]:
    setting, worst = result.setting, result.worst
    kind = f"{setting.kind} (default)" if is_default else setting.kind
    return (
        kind,
        str(setting.sentences),
        "head" if setting.layer is None else f"layer {setting.layer}",
        f"{result.mean:+z.1f}",
        *(_gain(cell.mean) for cell in result.cells),
        f"{_gain(worst.worst)} {worst.task} {worst.method} {worst.worst_language}",
        ABSENT if worst.worst.p_value is None else str(result.falls),
        f"{result.bound:.1f}",
    )


def _by_task(advice: Advice) -> Table:
    rows = tuple(
        (each.task, each.method, _name(each.setting), _gain(each.gain), f"{each.best:+z.1f}")
        for each in advice.by_task
    )
    return Table(
        "Chosen on the other tasks",
        ("task", "method", "setting", "gain [95 %]", "best there"),
        rows,
        "The setting that the rule chooses without this task, and what it gains on it. Best there: the "
        "largest gain of any setting, picked on the very scores that it is told of.",
    )


def _by_language(advice: Advice) -> Table:
    rows = tuple(
        (
            each.task,
            each.method,
            _name(each.setting),
            _gain(each.gain),
            f"{each.best:+z.1f}",
            "; ".join(f"{name}: {count}" for name, count in each.picks.items()),
        )
        for each in advice.by_language
    )
    return Table(
        "Chosen on the other languages of a task and method",
        ("task", "method", "setting", "gain [95 %]", "best there", "chosen for so many languages"),
        rows,
        "Setting: what the rule chooses on all of its languages. Gain: each language with the setting that "
        "the rule chooses on the others, mean over languages.",
        cards=True,
    )


def _against(against: Sequence[Against]) -> Table:
    rows = tuple(
        (each.task, *(_gain(each.differences[aligned]) for aligned in (PLAIN, OURS, BOTH)))
        for each in against
    )
    return Table(
        f"{METHOD} minus {BASELINE} by {against[0].setting.name}",
        ("task", f"{PLAIN} aligned", f"{OURS} aligned", f"{BOTH} aligned"),
        rows,
        "Points of zero-shot mean, with the 95 % interval over seeds and test examples.",
    )


def _guards(guards: Sequence[GuardResult]) -> Table:
    rows = tuple(
        (
            each.kind,
            each.sign,
            f"{each.rank:+.2f}",
            f"{each.always:+z.1f}",
            f"{each.guarded:+z.1f}",
            f"{each.difference:+z.1f} {interval(each.low, each.high, '+z.1f')}",
            f"{100 * each.kept:.0f} %",
            f"{100 * each.losses_always:.0f} % to {100 * each.losses:.0f} %",
            each.finding,
        )
        for each in guards
    )
    return Table(
        "Guards that need no labels",
        ("alignment", "sign", "rank", "always", "guarded", "difference", "aligned", "losing", "is"),
        rows,
        "A language is aligned where the sign is above a threshold that the other tasks set. Collapse "
        "before: how much more often the commonest answer is given than in the language trained on, without "
        "alignment. Less collapse: what alignment takes away of it. Surer answers: by how much it lowers the "
        "entropy. Far apart: distance of the language's mean from that of the language trained on. Answers "
        "change: share of them. Rank: Spearman's correlation with the gain. Always, guarded: mean gain, all "
        "tasks alike. The interval of their difference is a bootstrap over languages, Bonferroni's. "
        "Losing: share of the aligned languages of runs that lose, always and guarded.",
    )
