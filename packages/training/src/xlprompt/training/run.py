"""One run from recipe to report: data, model, training, checkpoint, scores by language, all in MLflow.

This is where the parts meet, so that a reader can follow the way of the data in `train`. What can be known to
fail is checked before anything is downloaded, encoded or loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from xlprompt.data import STUDY_LANGUAGES, TASKS, Task
from xlprompt.data.batches import training_steps
from xlprompt.data.encoding import Encoded, encode
from xlprompt.data.sources import Source, open_source
from xlprompt.evaluation import (
    LanguageResult,
    TransferReport,
    bar_chart,
    language_result,
    main_metric,
    predict,
    save_predictions,
    score_table,
)
from xlprompt.evaluation.processes import Processes, launched_processes
from xlprompt.models import (
    Backbone,
    ParameterBudget,
    TaskModel,
    build_task_model,
    cache_dir,
    load_backbone,
    load_tokenizer,
    short_name,
)
from xlprompt.training.allocator import keep_freed_memory
from xlprompt.training.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    load_checkpoint,
    model_files,
    restore,
    save_checkpoint,
)
from xlprompt.training.cost import (
    CostEstimate,
    PeakRate,
    RunCost,
    Workload,
    device_peak_flops,
    estimate,
    folder_bytes,
    measured,
    training_flops,
)
from xlprompt.training.engines import EngineChoice, choose_engine, open_engine
from xlprompt.training.environment import Environment, peak_memory_bytes, read_environment
from xlprompt.training.interrupted import LATEST, find_interrupted, states_folder
from xlprompt.training.loop import FitResult, fit
from xlprompt.training.progress import ShowProgress, duration, training_progress
from xlprompt.training.recipe import (
    DataSettings,
    Recipe,
    fingerprint,
    flatten,
    recipe_from_dict,
    recipe_to_dict,
)
from xlprompt.training.tracker import (
    DatasetRecord,
    MlflowTracker,
    NullTracker,
    Tracker,
    find_model,
    true_end_state,
)
from xlprompt.training.training_state import Identity, TrainingStates


class RunError(RuntimeError):
    """A run that cannot be done as asked on this machine or with these data; the message says what to do."""


@dataclass(frozen=True)
class RunResult:
    """What a training run leaves behind.

    Attributes:
        run_id: The MLflow run.
        run_name: Its name, such as `prompt-gemma-3-270m-seed0`.
        checkpoint: Folder of the best checkpoint, inside the store.
        budget: Trainable and frozen parameters.
        fit: How training went.
        report: Test scores by language.
        estimate: What training was said to cost before it started.
        cost: What the run did cost.
    """

    run_id: str
    run_name: str
    checkpoint: Path
    budget: ParameterBudget
    fit: FitResult
    report: TransferReport
    estimate: CostEstimate
    cost: RunCost


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
    tags: Mapping[str, str] | None = None,
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
        tags: More tags of the MLflow run.
        show: Makes what receives the training loop's figures for the user's eyes.

    Returns:
        What the run leaves behind; None in processes other than the first.

    Raises:
        RunError: The source lacks a split or language that the recipe needs, or memory ran out.
        EngineError: There is no such engine, it is not for this method, or its file can't be used.
        CheckpointError: The training state is damaged or belongs to another recipe, data set or backbone.
        TrainingDiverged: See `xlprompt.training.loop.fit`.
        DataError, ModelError: See `xlprompt.data` and `xlprompt.models`.
    """
    started = time.perf_counter()
    choice = choose_engine(recipe.method, engine, deepspeed_config)
    target = choose_device(device)
    keep_freed_memory()
    with launched_processes(target) as processes:
        if not processes.is_first:
            console = Console(quiet=True)
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
            dict(tags or {}),
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
    tags: Mapping[str, str]
    show: ShowProgress

    def tracker(self) -> Tracker:
        """MLflow in the first process."""
        return MlflowTracker(self.store) if self.processes.is_first else NullTracker()


def _train(recipe: Recipe, target: torch.device, job: _Job) -> RunResult | None:
    task = TASKS[recipe.task]
    store, console, processes = job.store, job.console, job.processes
    source = open_data(recipe.data)
    _require_language(source, task, "train", recipe.data.train_language)
    _require_language(source, task, "validation", recipe.data.train_language)
    languages = languages_to_score(source, task, recipe.data)
    tracker = job.tracker()

    with processes.first_alone():
        setup = _Setup(recipe, task, source, load_tokenizer(recipe.model), target, processes)
        train_split = _load(setup, recipe.data.train_language, "train")
        development = _load(setup, recipe.data.train_language, "validation")
        model = _build(setup)
    budget = model.budget()
    environment = read_environment(repository_of=job.recipe_path, device=target)
    expected, peak_rate = _estimate(setup, job, model, budget, train_split, development)
    lengths = train_split.encoded.lengths
    flops_per_row = training_flops(model, lengths, len(lengths)) / len(lengths)
    console.print(_plan(setup, job, budget, train_split, development, languages, environment, expected))

    name = run_name(recipe)
    data = f"{train_split.fingerprint} {development.fingerprint}"
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
    if target.type == "cuda":
        torch.cuda.reset_peak_memory_stats(target)
    with (
        true_end_state(tracker),
        _out_of_memory_explained(),
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
                tags={**_tags(recipe, environment), "job": "train", **job.tags},
                parent_run_id=job.parent_run_id,
            )
            _log_inputs_and_setting(tracker, recipe, job.engine, environment, train_split, development)
            tracker.log_metrics(expected.to_metrics())
        if states is None and run_id is not None:
            states = TrainingStates(
                states_folder(store, task.name, name, run_id), replace(identity, run_id=run_id)
            )
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
            )
        console.print(
            f"Best development {metric} {result.best_score:.2f} at step {result.best_step} of "
            f"{result.steps}; {result.tokens_per_second:,.0f} tokens/s",
            highlight=False,
        )
        weights = engine.weights()
        stored = None
        checkpoint_bytes = 0
        if processes.is_first:
            with tempfile.TemporaryDirectory(dir=store) as folder:
                checkpoint = Path(folder) / name
                metadata = _metadata(setup, model.backbone, budget, result.best_step, result.best_score)
                save_checkpoint(
                    checkpoint, weights, metadata, model_files=model_files(model, setup.tokenizer)
                )
                checkpoint_bytes = folder_bytes(checkpoint)
                stored = tracker.log_model(
                    checkpoint,
                    name=name,
                    params={**flatten(recipe), "best_step": result.best_step},
                    step=result.best_step,
                )
        del weights
        report = _score_languages(
            setup,
            model,
            languages,
            "test",
            tracker,
            console,
            model_id=stored.model_id if stored else None,
            step=result.best_step,
        )
        cost = measured(
            train_seconds=result.seconds,
            total_seconds=time.perf_counter() - job.started,
            tokens_per_second=result.tokens_per_second,
            flops=int(flops_per_row * result.steps * recipe.schedule.batch_size),
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
    return RunResult(run_id, name, stored.directory, budget, result, report, expected, cost)


def _estimate(
    setup: _Setup,
    job: _Job,
    model: TaskModel,
    budget: ParameterBudget,
    train_split: _Split,
    development: _Split,
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
    )
    state = job.engine.memory(budget, recipe.precision, processes.size)
    with _out_of_memory_explained():
        expected = estimate(model, step.micro_batches, workload, state=state, device=setup.device)
    return expected, device_peak_flops(setup.device, recipe.precision)


def _states_to_go_on_from(recipe: Recipe, identity: Identity, job: _Job) -> TrainingStates | None:
    """The training states of the run that is to be resumed; the first process looks for them."""
    found = None
    if job.processes.is_first:
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


def evaluate(
    checkpoint: str | Path,
    *,
    store: Path,
    console: Console,
    source: str | None = None,
    languages: Sequence[str] | None = None,
    limit: int | None = None,
    split: str = "test",
    device: str | None = None,
) -> TransferReport:
    """Score a trained checkpoint by language and record it as an MLflow run of its own.

    Args:
        checkpoint: A checkpoint folder, or the id of the MLflow run that trained it.
        store: Folder of the MLflow store: where a run id is looked up, and where the scores go.
        console: Where progress and the score table go.
        source: `hub` or a folder, instead of the recipe's.
        languages: Languages instead of the recipe's choice.
        limit: At most this many examples of each language, instead of the recipe's limits.
        split: `test` or `validation`.
        device: As in `train`.

    Raises:
        CheckpointError, TrackingError: The checkpoint cannot be found or used.
        RunError: The source lacks the split or a language, or memory ran out.
    """
    folder = Path(checkpoint)
    model_id = None
    if not folder.exists() and folder.name == str(checkpoint):
        stored = find_model(store, str(checkpoint))
        folder, model_id = stored.directory, stored.model_id
    loaded = load_checkpoint(folder)
    recipe = _recipe_for_evaluation(loaded, source, languages, limit)
    task = TASKS[recipe.task]
    target = choose_device(device)
    keep_freed_memory()
    opened = open_data(recipe.data)
    chosen = languages_to_score(opened, task, recipe.data, split=split)
    tracker = MlflowTracker(store)

    setup = _Setup(recipe, task, opened, load_tokenizer(recipe.model), target, Processes(device=target))
    model = _build(setup)
    restore(loaded, model, backbone_fingerprint=model.backbone.fingerprint)
    with true_end_state(tracker), _out_of_memory_explained():
        tracker.start(
            experiment=task.name,
            run_name=f"evaluate-{run_name(recipe)}",
            params={**flatten(recipe), "split": split, "backbone_fingerprint": model.backbone.fingerprint},
            tags={**_tags(recipe, read_environment(repository_of=None, device=target)), "job": "evaluate"},
        )
        if model_id:
            tracker.use_model(model_id)
        return _score_languages(
            setup, model, chosen, split, tracker, console, model_id=model_id, step=loaded.metadata.step
        )


def run_name(recipe: Recipe) -> str:
    """The MLflow name of a recipe's run: `prompt-gemma-3-270m-seed0`."""
    return f"{recipe.method}-{short_name(recipe.model)}-seed{recipe.seed}"


def choose_device(name: str | None) -> torch.device:
    """The named device, or a GPU where there is one, else the CPU.

    Of the processes that a launcher has started on a machine, each takes the GPU of its own number.

    Raises:
        RunError: There is no such device here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        raise RunError(
            f"device '{name}' cannot be used here ({error}). Use cpu, or leave the choice open"
        ) from error
    return device


def open_data(settings: DataSettings) -> Source:
    """The source that a recipe names.

    Raises:
        RunError: It names none.
        DataError: There is no such source.
    """
    if settings.source is None:
        raise RunError(
            "no data: the recipe's data.source is null. Give a folder (DATA=<folder> with make, --data "
            "<folder> with xlprompt) or 'hub'"
        )
    return open_source(settings.source)


def languages_to_score(
    source: Source, task: Task, settings: DataSettings, *, split: str = "test"
) -> tuple[str, ...]:
    """The languages that will be scored.

    Raises:
        RunError: The source has no such split of the task, or lacks a language that the recipe names.
    """
    present = source.languages(task, split)
    if not present:
        raise RunError(
            f"{settings.source}: has no {split} set for {task.name} in any language. "
            "`xlprompt data check` lists what a folder holds"
        )
    if settings.languages is None:
        return present
    if settings.languages == "study":
        chosen = tuple(language for language in present if language in STUDY_LANGUAGES)
        if not chosen:
            raise RunError(
                f"{settings.source}: has no {split} set for {task.name} in any of the study's languages, "
                f"only {', '.join(present)}. Set data.languages to null to score these"
            )
        return chosen
    if missing := [language for language in settings.languages if language not in present]:
        raise RunError(
            f"{settings.source}: has no {split} set for {task.name} in {', '.join(missing)}; it has "
            f"{', '.join(present)}. Change data.languages, or set it to null to score all that is there"
        )
    return tuple(settings.languages)


@dataclass(frozen=True)
class _Setup:
    """What every part of a run works with."""

    recipe: Recipe
    task: Task
    source: Source
    tokenizer: PreTrainedTokenizerFast
    device: torch.device
    processes: Processes

    @property
    def pad_id(self) -> int:
        """Any id does: with a causal model and right padding no real token sees a pad."""
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0


@dataclass(frozen=True)
class _Split:
    """One language and split: its rows, their encoding, and what the tracker is told about them."""

    dataset: datasets.Dataset
    encoded: Encoded
    record: DatasetRecord
    fingerprint: str


def _require_language(source: Source, task: Task, split: str, language: str) -> None:
    present = source.languages(task, split)
    if language in present:
        return
    purpose = {"train": "to train on", "validation": "to choose the checkpoint by (a development set)"}[split]
    there = f"it has {', '.join(present)}" if present else "it has none in any language"
    raise RunError(
        f"{source.name}: has no {split} set for {task.name} in '{language}' {purpose}; {there}. "
        "Add the file, or change data.train_language"
    )


def _load(setup: _Setup, language: str, split: str) -> _Split:
    recipe, task, source = setup.recipe, setup.task, setup.source
    limit = recipe.data.limit
    if split == "validation" and recipe.data.development_limit is not None:
        limit = min(limit or recipe.data.development_limit, recipe.data.development_limit)
    dataset = source.load(task, language, split, limit=limit)
    content = source.fingerprint(task, language, split)
    if limit is not None:  # a subset is other data
        content = hashlib.sha256(f"{content} limit {limit}".encode()).hexdigest()
    encoded = encode(
        dataset, task, setup.tokenizer, recipe.encoding, language=language, cache_dir=cache_dir() / "encoded"
    )
    on_hub = recipe.data.source == "hub"
    record = DatasetRecord(
        name=f"{task.name}-{language}-{split}",
        digest=content[:12],
        location=source.name if on_hub else str(Path(str(recipe.data.source)).absolute()),
        on_hub=on_hub,
        examples=len(dataset),
        context=f"{split}-{language}" if split == "test" else split,
    )
    return _Split(dataset, encoded, record, content)


def _build(setup: _Setup) -> TaskModel:
    recipe, task = setup.recipe, setup.task
    backbone = load_backbone(
        recipe.model,
        dtype=recipe.precision,
        dropout=recipe.backbone_dropout,
        device=setup.device,
        gradient_checkpointing=recipe.gradient_checkpointing,
    )
    positions = getattr(backbone.config, "max_position_embeddings", None)
    has_prompt = recipe.method == "prompt"
    shift = recipe.prompt.slots if has_prompt and recipe.prompt.shift_positions else 0
    taken = recipe.encoding.max_length + shift
    if positions is not None and taken > positions:
        raise RunError(
            f"{recipe.model} has {positions} positions, and encoding.max_length with the prompt takes "
            f"{taken}. Lower encoding.max_length by {taken - positions}"
        )
    return build_task_model(
        backbone,
        setup.tokenizer,
        num_labels=len(task.labels),
        label_words=task.label_words,
        prompt=recipe.prompt if has_prompt else None,
        head=recipe.head,
        seed=recipe.seed,
        finetune=recipe.finetune if recipe.method == "finetune" else None,
    )


def _score_languages(
    setup: _Setup,
    model: TaskModel,
    languages: Sequence[str],
    split: str,
    tracker: Tracker,
    console: Console,
    *,
    model_id: str | None,
    step: int,
) -> TransferReport:
    """Score one loaded model language by language; print, draw and track what comes out."""
    recipe, task = setup.recipe, setup.task
    metric = main_metric(task)
    results: dict[str, LanguageResult] = {}
    records: dict[str, DatasetRecord] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, language in enumerate(languages, start=1):
            with setup.processes.first_alone():
                part = _load(setup, language, split)
            predictions = predict(
                model,
                part.encoded,
                token_budget=recipe.evaluation.token_budget,
                pad_id=setup.pad_id,
                device=setup.device,
                processes=setup.processes,
            )
            gold = part.encoded.gold()
            result = language_result(task, language, gold, predictions.labels)
            path = Path(folder) / f"{language}.{split}.jsonl.gz"
            save_predictions(
                path,
                task=task,
                language=language,
                split=split,
                ids=list(part.dataset["id"]),
                gold=gold,
                predicted=predictions.labels,
            )
            tracker.log_dataset(part.record)
            tracker.log_artifact(path, "predictions")
            results[language], records[language] = result, part.record
            console.print(
                f"  {split} {number}/{len(languages)}  {language:<3} {metric} "
                f"{result.scores[metric].value:5.1f}  {result.examples:,} examples  "
                f"{predictions.tokens_per_second:,.0f} tokens/s",
                highlight=False,
            )
        report = TransferReport(task.name, split, metric, recipe.data.train_language, results)
        table = score_table(report)
        console.print(table)
        if setup.processes.is_first:
            _log_report(tracker, report, table, Path(folder))
    metrics = report.metrics()
    for language, record in records.items():
        own = {key: metrics.pop(key) for key in list(metrics) if key.endswith(f"/{language}")}
        tracker.log_metrics(own, step=step, dataset=record, model_id=model_id)
    tracker.log_metrics(metrics, step=step, model_id=model_id)
    return report


def _log_report(tracker: Tracker, report: TransferReport, table: Table, folder: Path) -> None:
    text = io.StringIO()
    Console(file=text, width=110).print(table)
    tracker.log_artifact(_write(folder / "scores.txt", text.getvalue()))
    tracker.log_artifact(
        _write(folder / "report.json", json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    )
    tracker.log_artifact(bar_chart(report, folder / "scores.png"))


def _log_inputs_and_setting(
    tracker: Tracker,
    recipe: Recipe,
    engine: EngineChoice,
    environment: Environment,
    train_split: _Split,
    development: _Split,
) -> None:
    tracker.log_dataset(train_split.record)
    tracker.log_dataset(development.record)
    with tempfile.TemporaryDirectory() as folder:
        resolved = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)
        tracker.log_artifact(_write(Path(folder) / "recipe.yaml", resolved))
        described = json.dumps(environment.to_dict(), indent=2, ensure_ascii=False)
        tracker.log_artifact(_write(Path(folder) / "environment.json", described))
        if engine.config is not None:
            config = json.dumps(engine.config, indent=2)
            tracker.log_artifact(_write(Path(folder) / "deepspeed.json", config))


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _tags(recipe: Recipe, environment: Environment) -> dict[str, str]:
    tags = {
        "method": recipe.method,
        "task": recipe.task,
        "model": recipe.model,
        "recipe_fingerprint": fingerprint(recipe),
        "device": environment.device,
        "python": environment.python,
    }
    for package in ("torch", "transformers", "xlprompt-training"):
        if package in environment.packages:
            tags[f"version.{package}"] = environment.packages[package]
    if environment.git:
        tags["mlflow.source.git.commit"] = environment.git.commit
        tags["git_dirty"] = str(environment.git.dirty).lower()
    return tags


def _metadata(
    setup: _Setup, backbone: Backbone, budget: ParameterBudget, step: int, score: float
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


def _recipe_for_evaluation(
    checkpoint: Checkpoint, source: str | None, languages: Sequence[str] | None, limit: int | None
) -> Recipe:
    values: dict[str, Any] = dict(checkpoint.metadata.recipe)
    given = {"source": source, "languages": languages, "limit": limit, "development_limit": limit}
    values["data"] = values["data"] | {key: value for key, value in given.items() if value is not None}
    return recipe_from_dict(values, origin=str(checkpoint.directory))


def _plan(
    setup: _Setup,
    job: _Job,
    budget: ParameterBudget,
    train_split: _Split,
    development: _Split,
    languages: Sequence[str],
    environment: Environment,
    expected: CostEstimate,
) -> Table:
    """What is about to run and what it trains, shown before it starts."""
    recipe, schedule = setup.recipe, setup.recipe.schedule
    sequences = schedule.steps * schedule.batch_size
    epochs = sequences / len(train_split.encoded.dataset)
    table = Table.grid(padding=(0, 2))
    table.title = Text(f"{recipe.task} · {recipe.method} · {recipe.model} · seed {recipe.seed}")
    table.title_justify = "left"
    rows = {
        "trainable": f"{budget.trainable_params:,} of {budget.total_params:,} parameters "
        f"({budget.trainable_percent:.3f} %): {_parts(budget)}",
        "data": f"{setup.source.name}: {recipe.data.train_language}, "
        f"{train_split.record.examples:,} training and {development.record.examples:,} development examples",
        "test": f"{len(languages)} languages: {' '.join(languages)}",
        "training": f"{schedule.steps:,} steps of {schedule.batch_size} sequences ({epochs:.2g} epochs), "
        f"development score every {schedule.evaluate_every}",
        "device": f"{environment.device} ({environment.cpu}, {environment.cores} cores), {recipe.precision}",
        "engine": f"{job.engine}; {_processes(job.processes)}",
        "estimate": f"{duration(expected.train_seconds)} of training, "
        f"{duration(expected.development_seconds)} of development scores, "
        f"{expected.peak_memory_bytes / 2**30:.1f} GiB of memory",
        "store": str(job.store),
    }
    for title, text in rows.items():
        table.add_row(title, Text(text))  # a path may hold brackets, which rich would take for markup
    return table


def _processes(processes: Processes) -> str:
    return f"{processes.size} processes share each step" if processes.size > 1 else "one process"


def _parts(budget: ParameterBudget) -> str:
    parts = {"prompt": budget.prompt_params, "head": budget.head_params, "backbone": budget.finetuned_params}
    return ", ".join(f"{name} {number:,}" for name, number in parts.items() if number)


@contextlib.contextmanager
def _out_of_memory_explained() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the GPU's memory ran out ({str(error).splitlines()[0]}). Lower schedule.token_budget (if that "
            "was in training) or evaluation.token_budget: the result stays the same. Or set "
            "gradient_checkpointing"
        ) from error
