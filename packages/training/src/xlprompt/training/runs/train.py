"""One run from recipe to report: data, model, training, checkpoint, scores by language, all in MLflow.

This is where the parts meet, so that a reader can follow the way of the data in `train`. What can be known to
fail is checked before anything is downloaded, encoded or loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from rich.console import Console
from safetensors import SafetensorError

from xlprompt.data import TASKS
from xlprompt.data.encoding.batches import training_steps
from xlprompt.evaluation import TransferReport, main_metric
from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.processes import Processes, launched_processes
from xlprompt.evaluation.terminal import open_console
from xlprompt.models import Backbone, ParameterBudget, TaskModel
from xlprompt.training.alignment.loss import AlignmentLoss, alignment_loss
from xlprompt.training.alignment.measure import measure_alignments
from xlprompt.training.errors import RunError
from xlprompt.training.fitting.choose_engine import EngineChoice, choose_engine, open_engine
from xlprompt.training.fitting.loop import FitResult, fit
from xlprompt.training.fitting.progress import ShowProgress, training_progress
from xlprompt.training.inputs.chosen_data import languages_to_score, open_training_data, read_test_sets
from xlprompt.training.inputs.preparation import Setup, Split, choose_device, out_of_memory_explained, prepare
from xlprompt.training.machine.allocator import keep_freed_memory
from xlprompt.training.machine.environment import Environment, peak_memory_bytes, read_environment
from xlprompt.training.recipes.recipe import Recipe, flatten, recipe_to_dict
from xlprompt.training.runs.cost import (
    CostEstimate,
    PeakRate,
    RunCost,
    Workload,
    device_peak_flops,
    estimate,
    folder_bytes,
    measured,
    training_flops,
    unlabelled_flops,
)
from xlprompt.training.runs.forgetting import forgetting_metrics, losses_by_language
from xlprompt.training.runs.overview import plan_table
from xlprompt.training.runs.scoring import Scores, score_languages
from xlprompt.training.store.checkpoint import CheckpointMetadata, model_files, save_checkpoint
from xlprompt.training.store.interrupted import LATEST, find_interrupted, remove_leftovers, states_folder
from xlprompt.training.store.labels import run_name, run_tags
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import NullTracker, StoredModel, Tracker, log_text, true_end_state
from xlprompt.training.store.training_state import Identity, TrainingStates


@dataclass(frozen=True)
class RunResult:
    """What a training run leaves behind.

    Attributes:
        run_id: The MLflow run.
        run_name: Its name, such as `prompt-gemma-3-270m-seed0`.
        checkpoint: Folder of the best checkpoint, inside the store.
        budget: Trainable and frozen parameters.
        fit: How training went.
        scores: Test scores by language.
        estimate: What training was said to cost before it started.
        cost: What the run did cost.
    """

    run_id: str
    run_name: str
    checkpoint: Path
    budget: ParameterBudget
    fit: FitResult
    scores: Scores
    estimate: CostEstimate
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
        show: Makes what receives the training loop's figures for the user's eyes.

    Returns:
        What the run leaves behind; None in processes other than the first.

    Raises:
        RunError: The source lacks a split or language that the recipe needs, or memory ran out.
        EngineError: There is no such engine, it is not for this method, or its file can't be used.
        CheckpointError: The training state is damaged or belongs to another recipe, data set or backbone.
        TrainingDiverged: See `xlprompt.training.fitting.loop.fit`.
        DataError, ModelError: See `xlprompt.data` and `xlprompt.models`.
    """
    started = time.perf_counter()
    choice = choose_engine(recipe.method, engine, deepspeed_config)
    target = choose_device(device)
    keep_freed_memory()
    with launched_processes(target) as processes:
        if not processes.is_first:
            console = open_console(quiet=True)
            logging.getLogger("xlprompt").setLevel(logging.ERROR)
        job = _Job(
            store,
            console,
            processes,
            choice,
            recipe_path,
            resume,
            resume_step,
            started,
            parent_run_id,
            tags,
            show,
        )
        return _train(recipe, target, job)


@dataclass(frozen=True)
class _Job:
    """Where and how a run takes place: nothing of it decides the result."""

    store: Path
    console: Console
    processes: Processes
    engine: EngineChoice
    recipe_path: Path | None
    resume: str | None
    resume_step: int | None
    started: float
    parent_run_id: str | None
    tags: Callable[[], Mapping[str, str]]
    show: ShowProgress

    def tracker(self) -> Tracker:
        """MLflow in the first process."""
        return MlflowTracker(self.store) if self.processes.is_first else NullTracker()


def _train(recipe: Recipe, target: torch.device, job: _Job) -> RunResult | None:
    task = TASKS[recipe.task]
    store, console, processes = job.store, job.console, job.processes
    source = open_training_data(recipe)
    languages = languages_to_score(source, task, recipe.data)
    read_test_sets(source, task, languages)
    tracker = job.tracker()

    prepared = prepare(recipe, source, target, processes)
    setup, model = prepared.setup, prepared.model
    train_split, development = prepared.train, prepared.development
    budget = model.budget()
    environment = read_environment(repository_of=job.recipe_path, device=target)
    aligned = alignment_loss(setup, languages)
    expected, peak_rate = _estimate(setup, job, model, budget, train_split, development, aligned)
    flops_per_step = _flops_per_step(recipe, model, train_split, aligned)
    show_table(
        console,
        plan_table(
            setup,
            job.engine,
            budget,
            train_split,
            development,
            languages,
            environment,
            expected,
            store,
            aligned_languages=aligned.languages if aligned else (),
        ),
    )

    name = run_name(recipe)
    data = f"{train_split.fingerprint} {development.fingerprint}"
    if aligned:
        data += f" {aligned.fingerprint}"
    identity = Identity(
        None, flatten(recipe), hashlib.sha256(data.encode()).hexdigest(), model.backbone.fingerprint
    )
    states = _states_to_go_on_from(recipe, identity, job)
    start = None
    if states is not None:
        start = states.load(job.resume_step)
        console.print(
            f"Going on from step {start.loop.step} of run {states.identity.run_id}", highlight=False
        )
    with out_of_memory_explained():
        losses_before = losses_by_language(setup, model, languages)
    if target.type == "cuda":
        torch.cuda.reset_peak_memory_stats(target)
    with (
        true_end_state(tracker),
        out_of_memory_explained(),
        open_engine(job.engine, model, recipe.optimizer, target, processes) as engine,
    ):
        run_id = states.identity.run_id if states else None
        if run_id is None or not tracker.resume(run_id):
            run_id = tracker.start(
                experiment=task.name,
                run_name=name,
                params={
                    **budget.to_dict(),
                    **flatten(recipe),
                    **job.engine.params(),
                    "processes": processes.size,
                    "backbone_fingerprint": model.backbone.fingerprint,
                    "data_fingerprint.train": train_split.fingerprint,
                    "data_fingerprint.validation": development.fingerprint,
                },
                tags={**run_tags(recipe, environment), "job": "train", **job.tags()},
                parent_run_id=job.parent_run_id,
            )
            _log_inputs_and_setting(tracker, recipe, job.engine, environment, train_split, development)
            for record in aligned.records() if aligned else ():
                tracker.log_dataset(record)
            tracker.log_metrics(expected.to_metrics())
        if run_id is not None:
            folder = states_folder(store, task.name, name, run_id)
            if states is None:
                states = TrainingStates(folder, identity)
            elif states.folder.name != folder.name:  # the store did not know the run, and has begun another
                states.folder = states.folder.rename(folder)
            states.identity = replace(identity, run_id=run_id)
        metric = main_metric(task)
        with job.show(console, steps=recipe.schedule.steps, metric=metric) as progress:
            result = fit(
                model,
                train_split.encoded,
                development.encoded,
                recipe,
                tracker=tracker,
                progress=progress,
                pad_id=setup.pad_id,
                device=target,
                engine=engine,
                processes=processes,
                states=states if processes.is_first else None,
                start=start,
                alignment=aligned,
                started=job.started,
            )
        console.print(
            f"Best development {metric} {result.best_score:.2f} at step {result.best_step} of "
            f"{result.steps}; {result.tokens_per_second:,.0f} tokens/s",
            highlight=False,
        )
        weights = engine.weights()
        stored = None
        checkpoint_bytes = 0
        if states is not None and processes.is_first:
            files = model_files(model, setup.tokenizer)
            metadata = _metadata(setup, model.backbone, budget, result.best_step, result.best_score)
            stored, checkpoint_bytes = _keep(tracker, states, recipe, weights, metadata, files)
        del weights
        alignment = recipe.evaluation.alignment
        scores = score_languages(
            setup,
            model,
            languages,
            "test",
            tracker,
            console,
            model_id=stored.model_id if stored else None,
            step=result.best_step,
            alignments=measure_alignments(
                setup, model, languages, console, [alignment], stored.directory if stored else None
            ),
            kinds=alignment.kinds,
        )
        losses_after = losses_by_language(setup, model, languages, engine=engine)
        forgetting = forgetting_metrics(losses_before, losses_after, recipe.data.train_languages)
        if forgetting:
            console.print(_forgetting_line(forgetting), highlight=False)
        tracker.log_metrics(forgetting, step=result.best_step, model_id=stored.model_id if stored else None)
        cost = measured(
            train_seconds=result.seconds,
            total_seconds=time.perf_counter() - job.started + (start.loop.total_seconds if start else 0.0),
            tokens_per_second=result.tokens_per_second,
            flops=int(flops_per_step * result.steps),
            peak=peak_rate,
            peak_memory_bytes=int(processes.largest(peak_memory_bytes(target))),
            checkpoint_bytes=checkpoint_bytes,
            devices=processes.size,
        )
        tracker.log_metrics(
            {"best/step": result.best_step, f"best/{metric}": result.best_score, **cost.to_metrics()},
            step=result.steps,
        )
    if stored is None or states is None or run_id is None:
        return None
    states.delete()  # after the store knows the run's end; until then it can be gone on with
    return RunResult(run_id, name, stored.directory, budget, result, scores, expected, cost)


def _keep(
    tracker: Tracker,
    states: TrainingStates,
    recipe: Recipe,
    weights: Mapping[str, torch.Tensor],
    metadata: CheckpointMetadata,
    files: Mapping[str, bytes],
) -> tuple[StoredModel | None, int]:
    """Put the best weights into the store as a checkpoint; returns that and its size in bytes."""
    # Among the training states, with which it goes away even if this process is killed.
    folder = states.folder / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    directory = folder / run_name(recipe)
    try:
        save_checkpoint(directory, weights, metadata, model_files=files)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{directory}: the checkpoint cannot be written ({error}). Make room on its disk, or make it "
            "writable, and go on with --resume (make: RESUME=1) from the last training state"
        ) from error
    params = {**flatten(recipe), "best_step": metadata.step}
    stored = tracker.log_model(directory, name=run_name(recipe), params=params, step=metadata.step)
    size = folder_bytes(directory)
    shutil.rmtree(folder, ignore_errors=True)
    return stored, size


def _estimate(
    setup: Setup,
    job: _Job,
    model: TaskModel,
    budget: ParameterBudget,
    train_split: Split,
    development: Split,
    aligned: AlignmentLoss | None,
) -> tuple[CostEstimate, PeakRate]:
    """What training will cost on this device, from one pass of its first step's first micro-batch."""
    recipe, schedule, processes = setup.recipe, setup.recipe.schedule, job.processes
    step = next(
        training_steps(
            train_split.encoded,
            batch_size=schedule.batch_size,
            token_budget=schedule.token_budget,
            seed=recipe.seed,
            pad_id=setup.pad_id,
            longest_first=True,
            processes=processes.size,
        )
    )
    workload = Workload(
        schedule.steps,
        -(-schedule.batch_size // processes.size),
        train_split.encoded.lengths,
        development.encoded.lengths,
        evaluations=-(-schedule.steps // schedule.evaluate_every),
        unlabelled=aligned.reads() if aligned else None,
    )
    state = job.engine.memory(budget, recipe.precision, processes.size)
    with out_of_memory_explained():
        expected = estimate(model, step.micro_batches, workload, state=state, device=setup.device)
    return expected, device_peak_flops(setup.device, recipe.precision)


def _flops_per_step(
    recipe: Recipe, model: TaskModel, train_split: Split, aligned: AlignmentLoss | None
) -> float:
    lengths = train_split.encoded.lengths
    flops = training_flops(model, lengths, len(lengths)) / len(lengths) * recipe.schedule.batch_size
    return flops + (unlabelled_flops(model, aligned.reads(), steps=1) if aligned else 0)


def _states_to_go_on_from(recipe: Recipe, identity: Identity, job: _Job) -> TrainingStates | None:
    """The training states of the run that is to be resumed; the first process looks for them."""
    found = None
    if job.processes.is_first:
        remove_leftovers(job.store)
        found = find_interrupted(job.store, recipe, job.resume or LATEST)
    told = json.loads(
        job.processes.tell(json.dumps([str(found.folder), found.identity.run_id] if found else None))
    )
    if told is None:
        if job.resume:
            job.console.print(
                "No interrupted run of this recipe is in the store: beginning anew", highlight=False
            )
        return None
    folder, run_id = told
    if not job.resume:
        job.console.print(
            f"Run {run_id} of this recipe has not finished; --resume (with make: RESUME=1) goes on with it. "
            "This one begins anew",
            highlight=False,
        )
        return None
    return TrainingStates(Path(folder), replace(identity, run_id=run_id))


def _log_inputs_and_setting(
    tracker: Tracker,
    recipe: Recipe,
    engine: EngineChoice,
    environment: Environment,
    train_split: Split,
    development: Split,
) -> None:
    tracker.log_dataset(train_split.record)
    tracker.log_dataset(development.record)
    resolved = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)
    log_text(tracker, "recipe.yaml", resolved)
    log_text(tracker, "environment.json", json.dumps(environment.to_dict(), indent=2, ensure_ascii=False))
    if engine.config is not None:
        log_text(tracker, "deepspeed.json", json.dumps(engine.config, indent=2))


def _metadata(
    setup: Setup, backbone: Backbone, budget: ParameterBudget, step: int, score: float
) -> CheckpointMetadata:
    return CheckpointMetadata(
        recipe=recipe_to_dict(setup.recipe),
        backbone=backbone.name,
        backbone_fingerprint=backbone.fingerprint,
        task=setup.task.name,
        labels=setup.task.labels,
        budget=budget.to_dict(),
        step=step,
        metric=main_metric(setup.task),
        score=score,
    )


def _forgetting_line(metrics: Mapping[str, float]) -> str:
    kind = "language_model/change/"
    changes = {key.removeprefix(kind): value for key, value in metrics.items() if key.startswith(kind)}
    mean = changes.pop("mean")
    changes.pop("mean_zero_shot", None)
    most = max(changes, key=changes.__getitem__)
    return (
        f"Language-model loss of the test texts: {mean:+.2f} nats a token by training, "
        f"most in {most} ({changes[most]:+.2f})"
    )
