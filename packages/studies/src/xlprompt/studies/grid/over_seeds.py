"""Metrics of a store's runs over seeds, under names for the tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xlprompt.training.store.metric_names import TEST

if TYPE_CHECKING:
    from xlprompt.evaluation.comparison.statistics import Spread


def summarize(runs: Sequence[Mapping[str, float]], prefix: str = TEST) -> dict[str, Spread]:
    """Summarize the metrics that all runs have and whose names begin with `prefix`."""
    if not runs:
        return {}
    from xlprompt.evaluation.comparison.statistics import spread

    shared = set.intersection(*({name for name in run if name.startswith(prefix)} for run in runs))
    return {name: spread([run[name] for run in runs]) for name in sorted(shared)}


def as_metrics(summaries: Mapping[str, Spread]) -> dict[str, float]:
    """Flat names for the tracker: the mean under the metric's own, and `/sd`, `/ci_low` and `/ci_high`."""
    flat: dict[str, float] = {}
    for name, summary in summaries.items():
        flat[name] = summary.mean
        for suffix, value in (
            ("sd", summary.deviation),
            ("ci_low", summary.low),
            ("ci_high", summary.high),
        ):
            if value is not None:
                flat[f"{name}/{suffix}"] = value
    return flat
