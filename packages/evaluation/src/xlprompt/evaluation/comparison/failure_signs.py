"""The signs by which the study could have failed, each looked for by a rule that is stated with its finding.

They are: no gain over what needs no model, none over the head-only baseline, forgetting of what the
backbone could do, and languages that fall while English rises: against the head-only baseline and, where
runs have scored all languages while they trained, in training. As with the claims (verdicts.py), "seen" and
"not seen" both need evidence, and what the data cannot tell is "undecided". No statistics of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.compared import LEVEL, Comparison, Difference, MethodScore
from xlprompt.evaluation.comparison.learning import LanguageCurves, falls_of, noticeable
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.statistics import Estimate, Spread, spread
from xlprompt.evaluation.comparison.verdicts import MARGIN
from xlprompt.evaluation.scores.floors import TRIVIAL_ANSWER, floor_name, has_trivial

FORGETTING_MARGIN = 0.01
"""Nats a token, one percent in perplexity, below which text is as easy to predict as before."""

LARGE_FALL = 15.0
"""Points; samples that could hide such a fall of a language cannot show that there is none."""

_Case = TypeVar("_Case")

Finding = Literal["seen", "not seen", "undecided", "not checked"]


@dataclass(frozen=True)
class Sign:
    """One failure sign looked for.

    Attributes:
        sign: What would be a failure.
        finding: The outcome of the rule; "not checked" where its data are not in the store.
        evidence: Where it was seen, or what is missing.
        rule: The rule in words, with its numbers.
    """

    sign: str
    finding: Finding
    evidence: str
    rule: str


@dataclass(frozen=True)
class TextLoss:
    """How a method changed the backbone's loss on held-out text, in nats a token.

    Attributes:
        task: Task name.
        method: Method name.
        before: Mean over languages with the untouched backbone.
        change: Mean over languages of after minus before, over seeds; above 0 is forgetting.
        by_language: Language codes to the change, mean over seeds.
    """

    task: str
    method: str
    before: float
    change: Spread
    by_language: Mapping[str, float]


def text_losses(runs: Sequence[RunFacts]) -> list[TextLoss]:
    """Summarize the runs that have measured it, by task and method in the order of the runs.

    Only languages that all runs of a task and method have count.
    """
    cells: dict[tuple[str, str], list[RunFacts]] = {}
    for run in runs:
        if run.text_loss:
            cells.setdefault((run.task, run.method), []).append(run)
    rows = []
    for (task, method), of_cell in cells.items():
        codes = [code for code in of_cell[0].text_loss if all(code in run.text_loss for run in of_cell)]
        if not codes:
            continue
        losses = np.array(
            [[run.text_loss[code] for code in codes] for run in of_cell]
        )  # [runs, languages, 2]
        changes = losses[..., 1] - losses[..., 0]  # [runs, languages]
        by_language = dict(zip(codes, changes.mean(axis=0).tolist(), strict=True))
        before = float(losses[..., 0].mean())
        rows.append(TextLoss(task, method, before, spread(changes.mean(axis=1)), by_language))
    return rows


def failure_signs(
    comparison: Comparison, runs: Sequence[RunFacts], heads: Mapping[str, Comparison] | None = None
) -> tuple[Sign, ...]:
    """Look for the four failure signs, and for a fifth where runs have curves over languages.

    Args:
        comparison: The study's two methods.
        runs: What is known of their runs.
        heads: By method, its comparison with the head-only baseline, over the tasks that have such runs.
    """
    known = heads or {}
    trained = language(comparison.train_language).name
    return (
        _floor(comparison.scores),
        _head_only(known, trained),
        _forgetting(text_losses(runs)),
        _falling(known, trained),
        *_falling_in_training(comparison, runs),
    )


def fallen(against_head: Comparison, task: str) -> list[Difference]:
    """The languages of a task in which a method is significantly worse than the head alone."""
    return [
        row
        for row in against_head.differences
        if (row.task, row.outcome) == (task, "loss") and row.language not in against_head.trained_languages
    ]


def training_language(against_head: Comparison, task: str) -> Difference | None:
    """The task's difference in the language trained on; None where it was not scored."""
    code = against_head.train_language
    return next((row for row in against_head.differences if (row.task, row.language) == (task, code)), None)


def zero_shot(against_head: Comparison, task: str) -> Estimate | None:
    """The task's mean difference over the other languages; None where there is none."""
    group = against_head.zero_shot(task)
    return None if group is None else group.estimate


def _floor(scores: Sequence[MethodScore]) -> Sign:
    tasks = {row.task for row in scores}
    rule = (
        "Seen: in some task and language a method's mean score is not above that of always giving the "
        "language's commonest label, or a seed's predictions collapsed (one label takes two thirds of what "
        "belongs to the others, or accuracy is more than two standard errors below that baseline). Not "
        "seen: every 95 % interval lies above the baseline. Else undecided. In entity F1 the baseline is 0, "
        "so that only a score of 0 or a collapse can show."
    )
    if has_trivial(tasks):
        rule += f" Where answers are parts of texts it is the trivial baseline: {TRIVIAL_ANSWER}."
    below = [row for row in scores if row.spread.mean <= row.floor]
    collapsed = [row for row in scores if row.collapsed]
    unsure = [row for row in scores if not row.skilled]
    finding: Finding = "undecided"
    if below or collapsed:
        finding = "seen"
        evidence = (
            f"of {len(scores)} scores, {len(below)} not above the baseline{_of(below)}; collapsed: "
            f"{len(collapsed)}{_of(collapsed)}"
        )
    elif not unsure:
        finding, evidence = "not seen", f"all {len(scores)} scores are shown to be above the baseline"
    else:
        evidence = f"all {len(scores)} scores are above the baseline, {len(unsure)} of them not "
        evidence += f"significantly{_of(unsure)}"
    return Sign(f"No gain over the {floor_name(tasks)}", finding, evidence, rule)


def _of(rows: Sequence[MethodScore]) -> str:
    """How many of the rows are of which task and method."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[f"{row.task} {row.method}"] = counts.get(f"{row.task} {row.method}", 0) + 1
    return f" ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else ""


_NO_HEADS = (
    "there are no runs in which the head alone is trained; make all-tasks METHODS=head SEEDS=3 runs them"
)


def _head_only(heads: Mapping[str, Comparison], trained: str) -> Sign:
    rule = (
        f"Method minus head-only (backbone frozen, no prompt), in {trained} and in the mean over "
        "zero-shot languages. Not seen: all 95 % intervals lie above 0. Seen: one does not, and lies below "
        f"{MARGIN:g} point. Else undecided."
    )
    gains: dict[str, Estimate] = {}
    for method, against in heads.items():
        for task in against.tasks:
            row, others = training_language(against, task), zero_shot(against, task)
            if row:
                gains[f"{task} {method} in {trained}"] = row.estimate
            if others:
                gains[f"{task} {method} zero-shot"] = others
    evidence, finding = _ruled(
        gains,
        bad=lambda gain: (
            gain.low is not None and gain.high is not None and gain.low <= 0 and gain.high < MARGIN
        ),
        good=lambda gain: gain.low is not None and gain.low > 0,
        words=("no gain", "a gain"),
        absent=_NO_HEADS,
    )
    return Sign("No gain over the head-only baseline", finding, evidence, rule)


def _forgetting(losses: Sequence[TextLoss]) -> Sign:
    rule = (
        "Change in the language-model loss on the test sets' text, from the backbone alone to what was "
        "trained of it, mean over languages, with a 95 % t-interval over seeds. Seen: for some task and "
        f"method the interval lies above {FORGETTING_MARGIN:g} nats a token. Not seen: all lie below that. "
        "Else undecided. A prompt stands in front of the text for this; taken off, nothing is forgotten."
    )
    evidence, finding = _ruled(
        {f"{row.task} {row.method}": row.change for row in losses},
        bad=lambda change: change.low is not None and change.low > FORGETTING_MARGIN,
        good=lambda change: change.high is not None and change.high < FORGETTING_MARGIN,
        words=("forgetting", "none"),
        absent="the runs have no metrics language_model/before/… and language_model/after/…; runs of this "
        "version log them",
    )
    return Sign("Forgetting", finding, evidence, rule)


def _falling(heads: Mapping[str, Comparison], trained: str) -> Sign:
    rule = (
        "Scores of all languages at the end cannot show a fall during training, which is looked for where "
        "runs have a curve over languages (evaluation.curve_every). What they can show is a fall against the "
        "head-only baseline, which leaves the backbone as it was. Seen: in some task "
        f"a method is significantly above it in {trained} and significantly below it in another language "
        f"(both at {LEVEL:g}, Holm over the task's languages). Not seen: significantly above in {trained}, "
        f"and in all other languages the 95 % interval lies above -{MARGIN:g} point. Else undecided."
    )
    cells = {
        f"{task} {method}": (against, task) for method, against in heads.items() for task in against.tasks
    }

    def risen(cell: tuple[Comparison, str]) -> bool:
        row = training_language(*cell)
        return row is not None and row.outcome == "win"

    def holds(cell: tuple[Comparison, str]) -> bool:
        against, task = cell
        rows = [row for row in against.differences if row.task == task]
        return risen(cell) and all(
            row.estimate.low is not None and row.estimate.low > -MARGIN for row in rows
        )

    evidence, finding = _ruled(
        cells,
        bad=lambda cell: risen(cell) and bool(fallen(*cell)),
        good=holds,
        words=("languages fall", "none falls"),
        absent=_NO_HEADS,
    )
    return Sign(f"Languages fall while {trained} rises", finding, evidence, rule)


def _falling_in_training(comparison: Comparison, runs: Sequence[RunFacts]) -> Iterator[Sign]:
    """The sign that curves over languages allow to look for; nothing where no run has one."""
    code = comparison.train_language
    trained = language(code).name
    cells: dict[tuple[str, str], list[LanguageCurves]] = {}
    for run in runs:
        if (curves := run.language_curves) is not None and code in curves.scores and len(curves.steps) > 1:
            cells.setdefault((run.task, run.method), []).append(curves)
    if not cells:
        return
    lasting = {
        f"{task} {method}": _lasting_falls(of_cell, comparison.trained_languages, code)
        for (task, method), of_cell in cells.items()
    }
    fewest = min(curves.examples for of_cell in cells.values() for curves in of_cell)
    shows_large = noticeable(50, fewest) <= LARGE_FALL
    evidence, finding = _ruled(
        lasting,
        bad=lambda shares: any(falls >= 2 and 2 * falls > seeds for falls, seeds in shares.values()),
        good=lambda shares: shows_large and all(seeds > 1 and not falls for falls, seeds in shares.values()),
        words=("languages fall", "none falls"),
        absent="",
    )
    seen = [
        f"{name} {other} ({falls} of {how_many(seeds, 'seed')})"
        for name, shares in lasting.items()
        for other, (falls, seeds) in shares.items()
        if falls >= 2 and 2 * falls > seeds
    ]
    rule = (
        "From the curves over languages: in a run a language has fallen if its last score is below its "
        "highest at any earlier step, by more than two standard errors of a difference between two "
        f"independent samples of that size, and {trained} has not fallen by more than one since. Seen: in "
        "some task a method has a language that has fallen in at least two seeds and in most of them. Not "
        "seen: there are two seeds or more, no language has fallen in any, and samples are large enough to "
        f"show a fall of {LARGE_FALL:g} points from any score (here {noticeable(50, fewest):.0f}, with "
        f"{fewest} examples); smaller ones may have been there. Else undecided. Nothing is "
        "corrected for the number of languages. The standard error is on the large side, as a sample's rows "
        "are the same at all steps. No checkpoint was chosen by these scores."
    )
    more = f"; {', '.join(seen)}" if seen else ""
    yield Sign(f"Languages fall during training while {trained} rises", finding, evidence + more, rule)


def _lasting_falls(
    curves: Sequence[LanguageCurves], trained: Sequence[str], code: str
) -> dict[str, tuple[int, int]]:
    """By language, in how many of how many runs it has fallen at the end."""
    counts: dict[str, tuple[int, int]] = {}
    for each in curves:
        for other in each.scores:
            if other not in trained:
                falls, seeds = counts.get(other, (0, 0))
                counts[other] = (falls + falls_of(each, other, code).is_lasting, seeds + 1)
    return counts


def _ruled(
    cases: Mapping[str, _Case],
    *,
    bad: Callable[[_Case], bool],
    good: Callable[[_Case], bool],
    words: tuple[str, str],
    absent: str,
) -> tuple[str, Finding]:
    """Seen where any case is bad, not seen where all are good; the evidence names the cases."""
    if not cases:
        return absent, "not checked"
    seen = [name for name, case in cases.items() if bad(case)]
    clear = [name for name, case in cases.items() if good(case)]
    unsure = [name for name in cases if name not in seen and name not in clear]
    parts = ((words[0], seen), (words[1], clear), ("undecided", unsure))
    evidence = "; ".join(f"{title}: {', '.join(names)}" for title, names in parts if names)
    return evidence, "seen" if seen else "not seen" if not unsure else "undecided"
