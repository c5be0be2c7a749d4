"""A difference in words: how large it is, its interval, and what follows from it."""

from __future__ import annotations

from xlprompt.evaluation.comparison.statistics import CONFIDENCE, Estimate


def points(estimate: Estimate) -> str:
    """A difference in points with its interval, where there is one."""
    if estimate.low is None or estimate.high is None:
        error = estimate.example_stderr
        known = "no interval" if error is None else f"standard error {error:.1f} over test examples alone"
        return f"{estimate.value:+z.1f} points (one seed: {known})"
    interval = f"{100 * CONFIDENCE:.0f} % interval {estimate.low:+z.1f} to {estimate.high:+z.1f}"
    return f"{estimate.value:+z.1f} points ({interval})"


def ruled(estimate: Estimate, above: str, below: str) -> str:
    """What an interval says: `above` or `below`, where all of it is above or below 0, else undecided."""
    if estimate.low is not None and estimate.low > 0:
        return above
    if estimate.high is not None and estimate.high < 0:
        return below
    return "undecided"


def compared(ours: str, theirs: str, estimate: Estimate) -> str:
    """A difference of two in words, such as `prompt minus finetune is +1.0 points (…), undecided`."""
    ruling = ruled(estimate, f"{ours} is better", f"{theirs} is better")
    return f"{ours} minus {theirs} is {points(estimate)}, {ruling}"
