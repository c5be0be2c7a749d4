"""The training runs of a store with what they came to, as a table's rows; nothing is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from xlprompt.data import TASKS
from xlprompt.models import KNOWN_MODELS, METHODS, absolute_name, short_name
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.models.pretrained.known import BUILT_HERE
from xlprompt.training.store.database import open_reader, our_experiments, store_errors, store_exists
from xlprompt.training.store.find import name_of
from xlprompt.training.store.labels import PARENT_TAG, VARIANT_TAG
from xlprompt.training.store.metric_names import (
    BEST_STEP,
    MEAN_ZERO_SHOT,
    SCORE_TRAINED_ON,
    SCORE_ZERO_SHOT,
    best_score,
    score_name,
)
from xlprompt.training.store.reading.reader import Reader
from xlprompt.training.store.tracker import TrackingError

_PAGE = 200  # runs in one answer of the store


@dataclass(frozen=True)
class ListedRun:
    """A training run of the store.

    Attributes:
        run: Its id.
        name: Such as `xnli-prompt-xglm-nano-seed0`.
        state: MLflow's word: RUNNING, FINISHED, FAILED or KILLED.
        task: What it was trained for.
        method: What was trained.
        variant: How the ablation that it belongs to calls it; empty for other runs.
        model: The backbone's name.
        seed: Its seed.
        trained_on: The language trained on.
        metric: What `score` and `zero_shot` are in percent of; None before it has been scored.
        score: Test score of the language trained on; None where there is none.
        zero_shot: Mean test score of the others; None where there is none.
        trainable_percent: Trained parameters in percent of the backbone's.
        started: When it began, in UTC.
    """

    run: str
    name: str
    state: str
    task: str
    method: str
    variant: str
    model: str
    seed: int
    trained_on: str
    metric: str | None
    score: float | None
    zero_shot: float | None
    trainable_percent: float | None
    started: datetime

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {**asdict(self), "started": self.started.isoformat(timespec="seconds")}


def list_runs(
    store: Path,
    *,
    task: str | None = None,
    method: str | None = None,
    model: str | None = None,
    limit: int | None = None,
) -> list[ListedRun]:
    """The training runs of a store, newest first.

    Args:
        store: Folder of the MLflow store.
        task: Only of this task.
        method: Only of this method.
        model: Only of this backbone, by its short or its whole name.
        limit: At most so many; None for all.

    Raises:
        TrackingError: There is no store, or it cannot be read; or a name is neither known nor of a run in it.
    """
    if not store_exists(store):
        raise TrackingError(
            f"{store}: no MLflow store here (mlflow.db is missing). Name another with --mlruns"
        )
    client = open_reader(store)
    found: list[ListedRun] = []
    parents: list[str] = []
    # MLflow's filters have no way to write a quote, and no task or method has one.
    wanted = {"job": "train", "task": task, "method": method}
    tags = {key: value.replace("'", "") for key, value in wanted.items() if value}
    condition = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
    with store_errors(store):
        experiments = list(our_experiments(client, store).values())
        for run in _pages(client, experiments, condition, min(limit or _PAGE, _PAGE)):
            tags = run.data.tags
            if model is None or tags.get("model") in (model, absolute_name(model)) or _short(run) == model:
                found.append(_listed(run))
                parents.append(tags.get(PARENT_TAG, ""))
            if len(found) == limit:
                break
        variants = _variants(client, experiments) if any(parents) else {}
    asked = {"task": task, "method": method, "model": model and short_name(model)}
    if not found and any(asked.values()):
        _require_names(list_runs(store), {kind: name for kind, name in asked.items() if name})
    return [
        replace(run, variant=run.variant or variants.get(parent, ""))
        for run, parent in zip(found, parents, strict=True)
    ]


def _require_names(runs: Sequence[ListedRun], asked: Mapping[str, str]) -> None:
    """Refuse a task, method or model that is neither known nor of a run: it is misspelled."""
    known = {"task": TASKS, "method": METHODS, "model": map(short_name, (*KNOWN_MODELS, *BUILT_HERE))}
    for kind, name in asked.items():
        there = list(dict.fromkeys(getattr(run, kind) for run in runs))
        names = sorted({*there, *known[kind]})
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise TrackingError(
                f"no {kind} is called '{name}'. {hint}Runs are of: {', '.join(there) or 'none'}"
            )


def _variants(client: Reader, experiments: list[str]) -> dict[str, str]:
    """How ablations call the runs that stand for their variants, by id: once they alone knew."""
    found = _pages(client, experiments, f"tags.{VARIANT_TAG} LIKE '_%' and tags.job = 'study'", _PAGE)
    return {run.info.run_id: run.data.tags[VARIANT_TAG] for run in found}


def _pages(client: Reader, experiments: list[str], condition: str, size: int) -> Iterator[Any]:
    """Runs of the experiments, newest first, page by page."""
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments,
            condition,
            max_results=size,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _listed(run: Any) -> ListedRun:
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    trained = params.get("data.train_language", "en")
    metric = _metric(metrics, trained)
    return ListedRun(
        run=run.info.run_id,
        name=name_of(run),
        state=run.info.status,
        task=tags.get("task", ""),
        method=tags.get("method", ""),
        variant=tags.get(VARIANT_TAG, ""),
        model=_short(run),
        seed=int(params.get("seed", 0)),
        trained_on=trained,
        metric=metric,
        score=None if metric is None else metrics.get(score_name(metric, trained)),
        zero_shot=None if metric is None else metrics.get(score_name(metric, MEAN_ZERO_SHOT)),
        trainable_percent=share_of_run(params),
        started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
    )


def _metric(metrics: Mapping[str, float], trained: str) -> str | None:
    """Which metric chose the checkpoint; of a run that chose none, which one its main figures are of."""
    start = best_score("")
    for name in metrics:
        if name.startswith(start) and name != BEST_STEP:
            return name.removeprefix(start)
    for figure, what in ((SCORE_TRAINED_ON, trained), (SCORE_ZERO_SHOT, MEAN_ZERO_SHOT)):
        for name, value in metrics.items():
            metric = name.partition("/")[2].partition("/")[0]
            if name == score_name(metric, what) and round(value, 2) == metrics.get(figure):
                return metric
    return None


def _short(run: Any) -> str:
    return short_name(run.data.tags.get("model", ""))
