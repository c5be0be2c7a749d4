"""The outcome of a study in one table: task by method, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from xlprompt.data.languages import language
from xlprompt.evaluation import main_metric
from xlprompt.evaluation.comparison.statistics import Spread, spread
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.studies.grid.cells import Group
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.grid.over_seeds import means, summarize
from xlprompt.training.recipes.recipe import task_of
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, TRANSFER_GAP, score_name

_ABSENT = "–"


@dataclass(frozen=True)
class GroupResult:
    """What came of a group.

    Attributes:
        group: The task, method and variant.
        parent_run_id: Its MLflow run.
        seeds: Seeds that have finished.
        metric: The metric that the task is judged by.
        trained_on: Score of the training language over seeds, or None where it was not scored.
        zero_shot: Mean over the other languages, over seeds, or None where there are none.
        gap: The first minus the second.
        trainable_percent: What trains, in percent of the backbone, or None where no run has finished.
        seconds: What a run took.
        summaries: Every test metric over seeds.
    """

    group: Group
    parent_run_id: str | None
    seeds: tuple[int, ...]
    metric: str
    trained_on: Spread | None
    zero_shot: Spread | None
    gap: Spread | None
    trainable_percent: float | None
    seconds: Spread | None
    summaries: Mapping[str, Spread]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible data."""
        return {
            "task": self.group.task,
            "method": self.group.method,
            "variant": self.group.variant,
            "model": self.group.model,
            "group_fingerprint": self.group.fingerprint,
            "parent_run_id": self.parent_run_id,
            "seeds": list(self.seeds),
            "metric": self.metric,
            "trainable_percent": self.trainable_percent,
            "metrics": {name: vars(summary) for name, summary in self.summaries.items()},
            "seconds": vars(self.seconds) if self.seconds else None,
        }


def group_result(group: Group, parent_run_id: str | None, runs: Mapping[int, CellRun]) -> GroupResult:
    """Summarize the finished runs of a group, by seed."""
    metric = main_metric(task_of(group.cells[0].recipe))
    summaries = summarize([run.metrics for run in runs.values()])
    trained = group.cells[0].recipe.data.train_language
    seconds = [run.seconds for run in runs.values() if run.seconds is not None]
    shares = [share_of_run(run.params) for run in runs.values()]
    return GroupResult(
        group,
        parent_run_id,
        tuple(sorted(runs)),
        metric,
        summaries.get(score_name(metric, trained)),
        summaries.get(score_name(metric, MEAN_ZERO_SHOT)),
        summaries.get(score_name(metric, TRANSFER_GAP)),
        shares[0] if shares else None,
        spread(seconds) if seconds else None,
        summaries,
    )


def study_table(results: Sequence[GroupResult]) -> Table:
    """By task, method and variant: what trains, English, zero-shot mean, gap (over seeds), minutes."""
    trained = {result.group.cells[0].recipe.data.train_language for result in results}
    title = language(trained.pop()).name if len(trained) == 1 else "trained on"
    has_variants = any(result.group.variant for result in results)
    scores = means(each for result in results for each in (result.trained_on, result.zero_shot))
    table = Table(
        title="Study",
        caption=f"Percent, {scores}. Zero-shot: mean over languages not trained on. Share: what trains, in "
        "percent of the backbone. Min: minutes of one run.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,  # so that it fits 80 columns
    )
    table.add_column("task", no_wrap=True)
    table.add_column("method", no_wrap=True)
    if has_variants:
        table.add_column("variant", no_wrap=True)
    for header in ("share", "seeds", title, "zero-shot", "gap", "min"):
        table.add_column(header, justify="right", no_wrap=True)
    before = None
    for result in results:
        if before not in (None, result.group.task):
            table.add_section()
        metric = "" if result.metric == "accuracy" else f" {result.metric.upper()}"
        table.add_row(
            f"{result.group.task}{metric}" if result.group.task != before else "",
            result.group.method,
            *((Text(result.group.variant),) if has_variants else ()),
            _ABSENT if result.trainable_percent is None else f"{result.trainable_percent:.3g}",
            f"{len(result.seeds)}/{len(result.group.cells)}",
            _spread(result.trained_on),
            _spread(result.zero_shot),
            _spread(result.gap),
            _ABSENT if result.seconds is None else f"{result.seconds.mean / 60:.1f}",
        )
        before = result.group.task
    return table


def _spread(summary: Spread | None) -> str:
    if summary is None:
        return _ABSENT
    deviation = _ABSENT if summary.deviation is None else f"{summary.deviation:.1f}"
    return f"{summary.mean:.1f} ± {deviation}"
