"""Does something that needs no labels tell where alignment hurts? Numbers without text.

A guard aligns a language where a sign is at least a threshold, and leaves it as it is elsewhere. Which signs
are tried, and that more of each speaks for aligning, was fixed before any score was looked at. The threshold
is learned on the other tasks, and its gain told on the one that is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xlprompt.evaluation.comparison.statistics import without_infinity

COLLAPSE = "collapse before"
LESS_COLLAPSE = "less collapse"
SURER = "surer answers"
FAR = "far apart"
CHANGED = "answers change"
SIGNS = (COLLAPSE, LESS_COLLAPSE, SURER, FAR, CHANGED)

DRAWS = 2_000
_SEED = 20_231_107
_LEVEL = 0.05


@dataclass(frozen=True)
class Case:
    """One language of one run, with one kind of alignment.

    Attributes:
        task: Task name.
        method: Method name.
        kind: Kind of alignment.
        language: Language code, none that was trained on.
        seed: The run's.
        gain: Points that alignment gains.
        signs: By name, as far as the run has them.
    """

    task: str
    method: str
    kind: str
    language: str
    seed: int
    gain: float
    signs: Mapping[str, float]


@dataclass(frozen=True)
class GuardResult:
    """What a guard is worth on tasks that had no part in its threshold.

    Attributes:
        kind: Kind of alignment.
        sign: One of `SIGNS`.
        rank: Spearman's correlation of sign and gain over the languages and runs of a task and method, mean
            over these.
        always: Mean gain of aligning every language, tasks alike.
        guarded: The same with the guard.
        difference: The guard's less that of aligning always.
        low: Lower end of its interval, by a bootstrap over languages within tasks; Bonferroni's for all
            kinds and signs.
        high: Its upper end.
        kept: Share of the cases that are aligned.
        losses: Share of the aligned cases that lose.
        losses_always: Share of all cases that lose.
        finding: "better", "worse" or "undecided" than aligning always.
    """

    kind: str
    sign: str
    rank: float
    always: float
    guarded: float
    difference: float
    low: float
    high: float
    kept: float
    losses: float
    losses_always: float
    finding: str

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        content: dict[str, Any] = without_infinity(asdict(self))
        return content


def judge_guards(cases: Sequence[Case], *, draws: int = DRAWS) -> list[GuardResult]:
    """Try every sign that all cases of a kind have; nothing where there are fewer than two tasks.

    Args:
        cases: Of one model.
        draws: Of the bootstrap.
    """
    if len({case.task for case in cases}) < 2:
        return []
    tried = []
    for kind in dict.fromkeys(case.kind for case in cases):
        of_kind = [case for case in cases if case.kind == kind]
        tried += [(kind, sign) for sign in SIGNS if all(sign in case.signs for case in of_kind)]
    level = _LEVEL / max(1, len(tried))
    return [
        _judge([case for case in cases if case.kind == kind], kind, sign, level, draws)
        for kind, sign in tried
    ]


def threshold(gains: np.ndarray, signs: np.ndarray, tasks: Sequence[str]) -> float:
    """The threshold with the largest mean gain, tasks alike; the lowest of equals, which aligns more.

    Args:
        gains: `[cases]`.
        signs: `[cases]`.
        tasks: Of each case.
    """
    counts = {task: tasks.count(task) for task in set(tasks)}
    order = np.argsort(signs, kind="stable")
    weighted = np.array([gains[place] / counts[tasks[place]] for place in order])
    # Behind each place: what all cases from there on gain together; the last stands for aligning none.
    remaining = np.concatenate((np.cumsum(weighted[::-1])[::-1], [0.0]))
    ordered = signs[order]
    starts = [0, *(place for place in range(1, len(order)) if ordered[place] > ordered[place - 1])]
    places = [*starts, len(order)]
    best = max(places, key=lambda place: (round(float(remaining[place]), 9), -place))
    return -np.inf if best == 0 else np.inf if best == len(order) else float(ordered[best])


def _judge(cases: Sequence[Case], kind: str, sign: str, level: float, draws: int) -> GuardResult:
    gains = np.array([case.gain for case in cases])
    signs = np.array([case.signs[sign] for case in cases])
    tasks = [case.task for case in cases]
    names = list(dict.fromkeys(tasks))
    kept = np.zeros(len(cases), dtype=bool)
    for name in names:
        others = np.array([task != name for task in tasks])
        limit = threshold(gains[others], signs[others], [task for task in tasks if task != name])
        kept |= ~others & (signs >= limit)
    differences = np.where(kept, 0.0, -gains)
    by_task = [_by_language(cases, differences, name) for name in names]
    drawn = _draw(by_task, draws)
    low, high = (float(end) for end in np.quantile(drawn, [level / 2, 1 - level / 2]))
    difference = float(np.mean([of_task.mean() for of_task in by_task]))
    always = float(np.mean([_by_language(cases, gains, name).mean() for name in names]))
    losing = gains < -1e-9
    return GuardResult(
        kind,
        sign,
        _rank(cases, gains, signs),
        always,
        always + difference,
        difference,
        low,
        high,
        float(kept.mean()),
        float(losing[kept].mean()) if kept.any() else 0.0,
        float(losing.mean()),
        "better" if low > 0 else "worse" if high < 0 else "undecided",
    )


def _by_language(cases: Sequence[Case], values: np.ndarray, task: str) -> np.ndarray:
    """Means over a task's methods and seeds, `[languages]`."""
    by_language: dict[str, list[float]] = {}
    for case, value in zip(cases, values, strict=True):
        if case.task == task:
            by_language.setdefault(case.language, []).append(float(value))
    return np.array([np.mean(found) for found in by_language.values()])


def _draw(by_task: Sequence[np.ndarray], draws: int) -> np.ndarray:
    """Means over tasks of languages that are drawn anew, `[draws]`."""
    rng = np.random.default_rng(_SEED)
    means = [
        of_task[rng.integers(len(of_task), size=(draws, len(of_task)))].mean(axis=1) for of_task in by_task
    ]
    found: np.ndarray = np.mean(means, axis=0)
    return found


def _rank(cases: Sequence[Case], gains: np.ndarray, signs: np.ndarray) -> float:
    from scipy.stats import spearmanr

    found = []
    for cell in dict.fromkeys((case.task, case.method) for case in cases):
        own = np.array([(case.task, case.method) == cell for case in cases])
        if np.ptp(signs[own]) > 0 and np.ptp(gains[own]) > 0:
            found.append(float(spearmanr(signs[own], gains[own]).statistic))
    return float(np.mean(found)) if found else 0.0
