"""Which runs are of one family: alike in all but the model and the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import fmean

from xlprompt.data import TASKS
from xlprompt.evaluation import main_metric
from xlprompt.models import absolute_name, canonical_name, short_name
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun
from xlprompt.studies.reports.sources import RunSource
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, best_score, score_name
from xlprompt.training.store.training_state import FREE_KEYS

Runs = dict[str, dict[int, CellRun]]
"""By model and seed, of one task and method."""

_RATE = "optimizer.learning_rate"
_FREE = {"model", "seed", "best_step", "processes", "backbone_fingerprint", *FREE_KEYS}
# What is counted in a model.
_COUNTS = ("_params", "_params_no_embeddings", "trainable_percent", "trainable_percent_no_embeddings")
_DATA = ("data.", "data_fingerprint.")


def labels_of(models: Sequence[str]) -> dict[str, str]:
    """Models by name as they are shown: without the folders before it, where that tells them apart."""
    short = [short_name(name) for name in models]
    return {
        name: label if short.count(label) == 1 else name for name, label in zip(models, short, strict=True)
    }


@dataclass(eq=False)
class _Study:
    """The seeds of one task, method and model, as one study has run them."""

    task: str
    method: str
    model: str
    values: Mapping[str, str]
    published: bool
    complete: bool
    runs: dict[int, CellRun] = field(default_factory=dict)
    development: dict[int, float] = field(default_factory=dict)  # scores of the language trained on, by seed

    def has_data_of(self, other: _Study) -> bool:
        """Whether it can stand beside `other`: with the same data, as far as its parameters tell."""
        return self._is_like(other, of_data=True)

    def has_recipe_of(self, other: _Study) -> bool:
        """Whether all else but model and seed is as in `other`, likewise."""
        return self._is_like(other, of_data=False)

    def _is_like(self, other: _Study, *, of_data: bool) -> bool:
        if other.published and not self.published:
            return False  # a published run has some of its parameters alone, and would join what differs
        keys = self.values.keys() if self.published else self.values.keys() | other.values.keys()
        return all(
            self.values.get(key) == other.values.get(key) for key in keys if key.startswith(_DATA) == of_data
        )


def find_family(
    source: RunSource,
    models: Sequence[str],
    tasks: Sequence[str],
    methods: Sequence[str],
    baseline: str,
    *,
    best_rate: bool = False,
) -> dict[tuple[str, str], Runs]:
    """The finished runs, of studies or published, that can be compared along a family of models.

    Of a task, all methods have the same data. Of a task and method, all models have the same recipe: the one
    with most models, then with most runs, then the newest. Of a model the newest study counts all of whose
    seeds have finished, else the newest one.

    Args:
        source: The store, and published runs.
        models: Names, as recipes have them.
        tasks: Task names.
        methods: What is compared with the baseline.
        baseline: Method name.
        best_rate: Whether each model may have a learning rate of its own: the one whose runs have the best
            development score, mean over seeds.

    Returns:
        By task and method, for tasks in which a method and the baseline share two sizes; models as
        `labels_of` shows them.
    """
    studies = _studies(source, models, tasks, (*methods, baseline), best_rate)
    found: dict[tuple[str, str], Runs] = {}
    for task in tasks:
        of_task = [each for each in studies if each.task == task]
        by_data = [
            {
                method: _largest(
                    [each for each in of_task if each.method == method and each.has_data_of(one)]
                )
                for method in (*methods, baseline)
            }
            for one in of_task
        ]
        if by_data:
            chosen = max(by_data, key=lambda of_data: sum(map(len, of_data.values())))
            shared = [_sizes(chosen[method], chosen[baseline]) for method in methods]
            if max(shared, default=0) > 1:
                found |= {(task, method): runs for method, runs in chosen.items() if runs}
    return found


def _studies(
    source: RunSource, models: Sequence[str], tasks: Sequence[str], methods: Sequence[str], best_rate: bool
) -> list[_Study]:
    """The newest first."""
    names = {
        form: label
        for name, label in labels_of(models).items()
        for form in (name, absolute_name(name), canonical_name(name))
    }
    free = {*_FREE, _RATE} if best_rate else _FREE
    complete = source.finished_groups(tasks)
    studies: dict[str, _Study] = {}
    for run in source.training_runs(tasks):
        task, method, group = run.tags["task"], run.tags["method"], run.tags.get(GROUP_TAG)
        model = names.get(run.tags["model"])
        scored = score_name(main_metric(TASKS[task]), MEAN_ZERO_SHOT) in run.metrics
        if group and model and scored and method in methods and run.status == "FINISHED":
            values = {
                key: value
                for key, value in run.params.items()
                if key not in free and not key.endswith(_COUNTS)
            }
            study = _Study(task, method, model, values, source.is_published(run), group in complete)
            seed = int(run.params["seed"])
            if seed not in studies.setdefault(group, study).runs:
                studies[group].runs[seed] = run
                if best_rate:
                    studies[group].development[seed] = _development(source, run)
    return list(studies.values())


def _development(source: RunSource, run: CellRun) -> float:
    """The best development score; a published run has the curve of them."""
    metric = best_score(main_metric(TASKS[run.tags["task"]]))
    curve = source.curve(run, metric) if source.is_published(run) else ()
    return run.metrics.get(metric, max((score for _, score in curve), default=nan))


def _largest(studies: Sequence[_Study]) -> Runs:
    """Of one task, method and data: the recipe that has most models, one study of each."""
    families: list[Runs] = []
    for one in studies:
        by_model: dict[str, list[_Study]] = {}
        for each in studies:
            if each.has_recipe_of(one):
                by_model.setdefault(each.model, []).append(each)
        families.append({model: _one_of(of_model).runs for model, of_model in by_model.items()})
    return max(families, key=lambda runs: (len(runs), sum(map(len, runs.values()))), default={})


def _one_of(studies: Sequence[_Study]) -> _Study:
    """Of each rate the newest complete study, or else the newest; of these the best."""
    by_rate: dict[str, list[_Study]] = {}
    for each in studies:
        rate = next(iter(each.runs.values())).params.get(_RATE, "")
        by_rate.setdefault(rate, []).append(each)
    newest = [next((each for each in of_rate if each.complete), of_rate[0]) for of_rate in by_rate.values()]
    return newest[0] if len(newest) == 1 else max(newest, key=lambda each: fmean(each.development.values()))


def _sizes(ours: Runs, theirs: Mapping[str, dict[int, CellRun]]) -> int:
    """How many different sizes the models have that both have runs of."""
    runs = [next(iter(ours[model].values())) for model in ours if model in theirs]
    return len({run.params["total_params"] for run in runs})
