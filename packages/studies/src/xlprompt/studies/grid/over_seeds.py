"""Metrics of a store's runs over seeds, under names for the tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING

from xlprompt.training.store.metric_names import HEADLINE, SCORE, TEST

if TYPE_CHECKING:
    from xlprompt.evaluation.comparison.statistics import Spread


def summarize(runs: Sequence[Mapping[str, float]], prefix: str = TEST) -> dict[str, Spread]:
    """Summarize the metrics that all runs have and whose names begin with `prefix`."""
    if not runs:
        return {}
    from xlprompt.evaluation.comparison.statistics import spread

    known = ({name for name in run if name.startswith(prefix) and not isnan(run[name])} for run in runs)
    shared = set.intersection(*known)
    return {name: spread([run[name] for run in runs]) for name in _shown(shared)}


def group_metrics(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What the tracker is told of a group: its runs' metrics over seeds and how many there are, in order."""
    summaries = summarize(runs, SCORE)  # first, as MLflow lists what is logged first at the top
    summaries |= summarize(runs) | summarize(runs, "test-")  # with alignment
    return as_metrics(summaries) | {"seeds": float(len(runs))} if summaries else {}


def means(summaries: Iterable[Spread | None]) -> str:
    """What the scores of a table are: `mean ± standard deviation over seeds`, or `of one seed`."""
    several = any(each is not None and each.seeds > 1 for each in summaries)
    return "mean ± standard deviation over seeds" if several else "of one seed"


def _shown(names: set[str]) -> list[str]:
    """The order in which MLflow lists them: the main figures as they are read, all else by name."""
    return [name for name in HEADLINE if name in names] + sorted(names - set(HEADLINE))


def as_metrics(summaries: Mapping[str, Spread]) -> dict[str, float]:
    """Flat names for the tracker: the mean under the metric's own, and `/sd`, `/ci_low` and `/ci_high`.

    The main figures of lists (`HEADLINE`) are rounded, as those of single runs are. All else is read by other
    computations, and is not.
    """
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
    return {name: round(value, 2) if name.startswith(SCORE) else value for name, value in flat.items()}
