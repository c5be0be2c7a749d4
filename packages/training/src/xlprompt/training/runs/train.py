"""One run from recipe to report: data, model, training, checkpoint, scores by language, all in MLflow.

`train` is the way of the data. What it works with is opened in `opened`; how it begins in the store, or goes
on there, is in `begin`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from safetensors import SafetensorError

from xlprompt.evaluation import TransferReport
from xlprompt.evaluation.waiting import waiting
from xlprompt.models import ParameterBudget
from xlprompt.training.errors import RunError
from xlprompt.training.fitting.choose_engine import choose_engine
from xlprompt.training.fitting.engine import Engine
from xlprompt.training.fitting.listeners import KeptStates
from xlprompt.training.fitting.loop import FitResult
from xlprompt.training.fitting.progress import ShowProgress, training_progress
from xlprompt.training.machine.environment import peak_memory_bytes
from xlprompt.training.machine.phases import Phase
from xlprompt.training.recipes.recipe import Recipe, flatten, recipe_to_dict
from xlprompt.training.runs.begin import Start, begin, find_start
from xlprompt.training.runs.cost import RunCost, folder_bytes, measured
from xlprompt.training.runs.estimate import CostEstimate
from xlprompt.training.runs.forgetting import compare_losses, losses_by_language
from xlprompt.training.runs.opened import TrainingRun, open_training
from xlprompt.training.runs.overview import ToldCost, tell_cost
from xlprompt.training.runs.scoring import Scores, score_languages
from xlprompt.training.runs.untrained import score_untrained
from xlprompt.training.store.checkpoint import CheckpointMetadata, model_files, save_checkpoint
from xlprompt.training.store.labels import run_name
from xlprompt.training.store.metric_names import BEST_STEP, best_score
from xlprompt.training.store.pyfunc_files import MODEL_NAME, write_pyfunc_files
from xlprompt.training.store.training_state import TrainingStates

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a training run leaves behind.

    Attributes:
        run_id: The MLflow run.
        run_name: Its name, such as `xnli-prompt-gemma-3-270m-seed0`.
        checkpoint: Folder of the best checkpoint, inside the store; None where nothing trains.
        budget: Trainable and frozen parameters.
        fit: How training went; None where nothing trains.
        scores: Test scores by language.
        estimate: What training was said to cost before it started; None where nothing trains.
        cost: What the run did cost.
    """

    run_id: str
    run_name: str
    checkpoint: Path | None
    budget: ParameterBudget
    fit: FitResult | None
    scores: Scores
    estimate: CostEstimate | None
    cost: RunCost

    @property
    def report(self) -> TransferReport:
        """Test scores by language, without alignment."""
        return self.scores.report


def train(
    recipe: Recipe,
    *,
    store: Path,
    console: Console,
    recipe_path: Path | None = None,
    device: str | None = None,
    engine: str | None = None,
    deepspeed_config: Path | None = None,
    resume: str | None = None,
    resume_step: int | None = None,
    parent_run_id: str | None = None,
    tags: Callable[[], Mapping[str, str]] = dict,
    show: ShowProgress = training_progress,
    began: float | None = None,
) -> RunResult | None:
    """Train by a recipe, score the best state on every test language, and record it in MLflow.

    The training state is written at intervals and when SIGINT or SIGTERM comes, so that the run can be
    resumed, by this engine or another, with as many processes or others. Where a launcher has started several
    processes, each calls this function: they share every step and every evaluation, and the first of them
    writes and speaks for all.

    Args:
        recipe: What to do.
        store: Folder of the MLflow store, made where it does not exist; all processes must see it.
        console: Where progress and the score table go.
        recipe_path: The recipe's file; the git revision of its repository is recorded.
        device: `cpu` or `cuda[:n]`; None takes a GPU where there is one.
        engine: `torch` or `deepspeed`; None takes DeepSpeed for full fine-tuning and torch for all else.
        deepspeed_config: DeepSpeed's JSON file; None for ZeRO 1 without offloading.
        resume: Go on with an interrupted run, in the same MLflow run: its id, or `LATEST` for the newest
            one of this recipe (where there is none, training begins anew).
        resume_step: Go on from the training state of this step instead of the newest one.
        parent_run_id: The MLflow run that this one is shown under.
        tags: Gives more tags of the MLflow run, when it is begun.
        show: Makes what shows the training loop's figures to the user.
        began: When a process began that does nothing but this run, by `time.perf_counter`; None for now.

    Returns:
        What the run leaves behind; None in processes other than the first.

    Raises:
        RunError: The source lacks a split or language that the recipe needs, memory ran out, or a step to go
            on from is named where nothing trains.
        EngineError: There is no such engine, it is not for this method, or its file can't be used.
        CheckpointError: The training state is damaged or belongs to another recipe, data set or backbone.
        TrainingDiverged: See `xlprompt.training.fitting.loop.fit`.
        DataError, ModelError: See `xlprompt.data` and `xlprompt.models`.
    """
    if not recipe.method_settings.is_trained:
        if resume_step is not None:
            raise RunError(
                f"method '{recipe.method}' trains nothing, so it has no training state of step {resume_step} "
                "to go on from. Leave out --resume-step"
            )
        choose_engine(recipe.method, engine, deepspeed_config)  # refuses what would not be used
        done = score_untrained(
            recipe,
            store=store,
            console=console,
            recipe_path=recipe_path,
            device=device,
            parent_run_id=parent_run_id,
            tags=tags,
            began=began,
        )
        if done is None:
            return None
        return RunResult(done.run_id, run_name(recipe), None, done.budget, None, done.scores, None, done.cost)
    with open_training(
        recipe,
        store=store,
        console=console,
        recipe_path=recipe_path,
        device=device,
        engine=engine,
        deepspeed_config=deepspeed_config,
        began=began,
    ) as run:
        told = tell_cost(run)
        start = find_start(run, resume, resume_step)
        phase = run.setup.phases.of
        with phase(Phase.LOSSES_BEFORE):
            before = losses_by_language(run)
        with run.at_work() as trainer:
            with phase(Phase.STORING), waiting(console, "Beginning in the MLflow store"):
                states = begin(run, start, told.expected.to_metrics(), tags, parent_run_id)
            fitted = _fit(run, trainer, start, states, show)
            with _told_how_to_go_on(states):
                with phase(Phase.STORING), waiting(console, "Keeping the trained model"):
                    kept = _keep(run, trainer, states, fitted)
                with phase(Phase.TEST):
                    scores = _score(run, kept)
                with phase(Phase.LOSSES_AFTER):
                    compare_losses(run, before, trainer, model_id=kept.model_id)
                cost = _close(run, start, told, fitted, kept)
        if states is None or states.identity.run_id is None or kept.directory is None:
            return None
        states.delete()  # after the store knows the run's end; until then it can be gone on with
        run_id, name = states.identity.run_id, run_name(recipe)
        return RunResult(run_id, name, kept.directory, run.budget, fitted, scores, told.expected, cost)


@contextmanager
def _told_how_to_go_on(states: TrainingStates | None) -> Iterator[None]:
    """Tell whoever stops a run that has been trained that this need not be done again."""
    try:
        yield
    except KeyboardInterrupt:
        if states is not None:
            _log.warning("Stopped after training. --resume (with make: RESUME=1) scores what was trained")
        raise


@dataclass(frozen=True)
class _Kept:
    """The checkpoint in the store, and its size; nothing in processes other than the first."""

    model_id: str | None = None
    directory: Path | None = None
    bytes: int = 0


def _fit(
    run: TrainingRun, engine: Engine, start: Start, states: TrainingStates | None, show: ShowProgress
) -> FitResult:
    """Train from where the run begins, keeping training states."""
    result = run.fit(engine, show, [KeptStates(states)] if states else [], start.snapshot)
    run.console.print(
        f"Best development {run.metric} {result.best_score:.2f} at step {result.best_step} of "
        f"{result.steps}; {result.tokens_per_second:,.0f} tokens/s",
        highlight=False,
    )
    return result


def _keep(run: TrainingRun, engine: Engine, states: TrainingStates | None, fitted: FitResult) -> _Kept:
    """Put the best weights into the store as a checkpoint."""
    weights = engine.weights()
    if states is None:
        return _Kept()
    # Among the training states, with which it goes away even if this process is killed.
    folder = states.folder / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    directory, files = folder / run_name(run.recipe), model_files(run.model, run.setup.tokenizer)
    try:
        save_checkpoint(directory, weights, _metadata(run, fitted), model_files=files)
        size = folder_bytes(directory)
        write_pyfunc_files(directory, run.setup.task)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{directory}: the checkpoint cannot be written ({error}). Make room on its disk, or make it "
            "writable, and go on with --resume (make: RESUME=1) from the last training state"
        ) from error
    params = {**flatten(run.recipe), "best_step": fitted.best_step}
    stored = run.tracker.log_model(directory, name=MODEL_NAME, params=params, step=fitted.best_step)
    shutil.rmtree(folder, ignore_errors=True)
    return _Kept(stored.model_id, stored.directory, size) if stored else _Kept(bytes=size)


def _metadata(run: TrainingRun, fitted: FitResult) -> CheckpointMetadata:
    backbone, task = run.model.backbone, run.setup.task
    return CheckpointMetadata(
        recipe=recipe_to_dict(run.recipe),
        backbone=backbone.name,
        backbone_fingerprint=backbone.fingerprint,
        task=task.name,
        labels=task.labels,
        budget=run.budget.to_dict(),
        step=fitted.best_step,
        metric=run.metric,
        score=fitted.best_score,
    )


def _score(run: TrainingRun, kept: _Kept) -> Scores:
    """Score the best state on every test language."""
    return score_languages(
        run,
        "test",
        [run.recipe.evaluation.alignment],
        model_id=kept.model_id,
        checkpoint=kept.directory,
    )


def _close(run: TrainingRun, start: Start, told: ToldCost, fitted: FitResult, kept: _Kept) -> RunCost:
    """Log what was best and what the run took."""
    processes = run.setup.processes
    cost = measured(
        train_seconds=fitted.seconds,
        phases=run.setup.phases.seconds(start.seconds_before),
        tokens_per_second=fitted.tokens_per_second,
        flops=int(told.flops_per_step * fitted.steps) + told.flops_once,
        peak=told.peak,
        peak_memory_bytes=int(processes.largest(peak_memory_bytes(run.setup.device))),
        checkpoint_bytes=kept.bytes,
        devices=processes.size,
    )
    best = {BEST_STEP: fitted.best_step, best_score(run.metric): fitted.best_score}
    run.tracker.log_metrics({**best, **cost.to_metrics()})
    return cost
