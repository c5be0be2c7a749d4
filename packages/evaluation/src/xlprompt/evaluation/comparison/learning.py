"""How fast and how steadily a run learns each language, from scores of small samples while it trains.

The samples are the same rows at every step, and nothing is chosen by them. Numbers in, numbers out: which
runs there are, and what is compared over their seeds, is an analysis' business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

REACHED = 0.9
"""Share of the final score at which a language counts as learned."""

_STANDARD_ERRORS = 2.0  # of a fall
_UNSURE = 0.5  # of these: what the training language may fall by and still count as not having fallen


@dataclass(frozen=True)
class LanguageCurves:
    """One run's scores by language and step.

    Attributes:
        steps: Rising.
        scores: Language codes to scores in percent, one a step.
        examples: Test examples of a language's sample; of the smallest, where they differ.
    """

    steps: tuple[int, ...]
    scores: Mapping[str, tuple[float, ...]]
    examples: int

    def __post_init__(self) -> None:
        """Refuse what no run can have scored.

        Raises:
            ValueError: A language has not one score in percent for each step, or there is no step.
        """
        if not self.steps or self.examples < 1:
            raise ValueError("curves over languages have no step or no example")
        for code, scores in self.scores.items():
            if len(scores) != len(self.steps) or not all(0 <= score <= 100 for score in scores):
                raise ValueError(f"the curve of '{code}' has not one score in percent for each step")

    def mean(self, without: Collection[str] = ()) -> tuple[float, ...]:
        """The mean over languages at each step; nothing where none is left."""
        chosen = [of_language for code, of_language in self.scores.items() if code not in without]
        return tuple(sum(each) / len(each) for each in zip(*chosen, strict=True))


def curves_of(histories: Mapping[str, Sequence[tuple[int, float]]], examples: int) -> LanguageCurves | None:
    """The curves at the steps that all languages have; None where there is no such step.

    Args:
        histories: Language codes to steps and scores.
        examples: See `LanguageCurves`.
    """
    by_step = {code: dict(points) for code, points in histories.items()}
    steps = tuple(sorted(set.intersection(*map(set, by_step.values())))) if by_step else ()
    if not steps:
        return None
    return LanguageCurves(
        steps, {code: tuple(each[step] for step in steps) for code, each in by_step.items()}, examples
    )


def steps_to(steps: Sequence[int], scores: Sequence[float], share: float = REACHED) -> int:
    """The first step at which a score is at least that share of the last one.

    It is the step of the first point where learning is faster than points are apart, and that of the last
    point at the latest.
    """
    return next(step for step, score in zip(steps, scores, strict=True) if score >= share * scores[-1])


def noticeable(score: float, examples: int) -> float:
    """Points by which a score of a sample must have fallen to count: two standard errors of a difference.

    The error is that of two independent samples of right and wrong answers. A sample's rows are the same at
    both steps, which makes the true one smaller, so the rule errs on the side of no fall.
    """
    share = min(max(score / 100, 0.0), 1.0)
    return 100 * _STANDARD_ERRORS * sqrt(2 * share * (1 - share) / examples)


@dataclass(frozen=True)
class Falls:
    """How a language falls while the training language does not, in one run.

    The training language may fall by half of what is noticeable, which is noise more often than not.

    Attributes:
        number: Pairs of neighboring points between which it falls noticeably.
        deepest: Points that it is below its highest earlier score, where that is most; 0 where it never is.
        lasting: The same at the last step.
        is_lasting: Whether that is noticeable.
    """

    number: int
    deepest: float
    lasting: float
    is_lasting: bool


def falls_of(curves: LanguageCurves, language: str, trained: str) -> Falls:
    """The falls of a language, between pairs of points between which the training language does not fall.

    Args:
        curves: With both languages.
        language: The language that may fall.
        trained: The training language.
    """
    ours, theirs = curves.scores[language], curves.scores[trained]
    allowed = [score - _UNSURE * noticeable(score, curves.examples) for score in theirs]
    number, deepest, lasting, is_lasting = 0, 0.0, 0.0, False
    for later in range(1, len(ours)):
        fallen = [
            (ours[earlier] - ours[later], earlier)
            for earlier in range(later)
            if theirs[later] >= allowed[earlier]
        ]
        if not fallen:
            continue
        points, earlier = max(fallen)
        deepest = max(deepest, points)
        before, after = ours[later - 1], ours[later]
        if theirs[later] >= allowed[later - 1] and before - after > noticeable(before, curves.examples):
            number += 1
        if later == len(ours) - 1:
            lasting = max(0.0, points)
            is_lasting = points > noticeable(ours[earlier], curves.examples)
    return Falls(number, deepest, lasting, is_lasting)
