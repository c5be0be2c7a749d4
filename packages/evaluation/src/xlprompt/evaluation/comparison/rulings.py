"""The rules of the verdicts as functions of figures alone.

verdicts.py applies them to a study and says in words what they are; decisive.py applies the same ones to
simulated studies. Nothing here knows tasks, languages or runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from xlprompt.evaluation.comparison.statistics import Estimate, holm

LEVEL = 0.05
"""An adjusted p-value up to here makes a win or a loss."""

MARGIN = 1.0
"""Percentage points below which a deficit still counts as "on par", and an advantage as none."""

Ruling = Literal["supported", "not supported", "undecided"]


def on_par_ruling(
    differences: Sequence[Estimate], skilled: Sequence[bool], margin: float
) -> tuple[Ruling, list[int], list[int]]:
    """Whether the method is on par with the baseline, or better, everywhere.

    Args:
        differences: Method minus baseline, one for each task and language.
        skilled: Whether one of the two beats what needs no model there.
        margin: Percentage points; see MARGIN.

    Returns:
        The ruling, the places of differences that are clearly below the margin, and of those shown not to be.
    """
    worse = _clearly_below(differences, -margin)
    on_par = [
        place
        for place, (each, sure) in enumerate(zip(differences, skilled, strict=True))
        if each.low is not None and each.low > -margin and sure
    ]
    if worse:
        return "not supported", worse, on_par
    return ("supported" if len(on_par) == len(differences) else "undecided"), worse, on_par


def _clearly_below(differences: Sequence[Estimate], bound: float) -> list[int]:
    """Places of those below a bound, two-sided at LEVEL with Holm, which is one-sided at half of it."""
    near = [each.p_near(bound) for each in differences]
    # What is not below the level by the smaller p-value is not by the larger one either, nor after Holm.
    close = [p is not None and p <= LEVEL for p in near]
    if not any(sure and each.value < bound for sure, each in zip(close, differences, strict=True)):
        return []
    known = [
        (place, each.p_far(bound) if sure else p)
        for place, (each, p, sure) in enumerate(zip(differences, near, close, strict=True))
        if p is not None
    ]
    adjusted = holm([p for _, p in known if p is not None])
    return [
        place
        for (place, _), p in zip(known, adjusted, strict=True)
        if p <= LEVEL and differences[place].value < bound
    ]


def low_resources_ruling(
    advantage: Estimate | None, rho: float | None, p_value: float | None, margin: float
) -> Ruling:
    """Whether low-resource languages gain more.

    Args:
        advantage: Mean difference over low-resource languages minus that over high-resource ones.
        rho: Rank correlation of the difference with pre-training tokens.
        p_value: Of that.
        margin: Percentage points; see MARGIN.
    """
    if advantage is None or advantage.low is None or advantage.high is None:
        return "undecided"
    if advantage.high < margin:
        return "not supported"
    falls = rho is not None and rho < 0 and (p_value or 0) <= LEVEL
    return "supported" if advantage.low > 0 and falls else "undecided"


def tokenization_ruling(
    third: Ruling, slope: Estimate | None, rho: float | None, p_value: float | None, margin: float
) -> Ruling:
    """Whether finer tokenization is the reason.

    Args:
        third: The ruling on low-resource languages.
        slope: By how much a finer cut raises the difference; None where that was not measured.
        rho: Partial rank correlation of the difference with subtokens a word; None where it decides nothing.
        p_value: Of that.
        margin: Percentage points; see MARGIN.
    """
    if third == "not supported":
        return "not supported"
    if slope is not None and slope.high is not None and slope.high < margin:
        return "not supported"
    sure = p_value is not None and p_value <= LEVEL
    if sure and (rho or 0) < 0:
        return "not supported"
    rises = sure and (rho or 0) > 0
    if third == "supported" and rises and slope is not None and (slope.low or 0) > 0:
        return "supported"
    return "undecided"
