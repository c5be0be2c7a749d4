"""A run is opened once: its data, model, device, processes and tracker, for training and for what is trained.

What can be known to fail is checked before anything is downloaded, encoded or loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from xlprompt.evaluation import main_metric
from xlprompt.evaluation.processes import Processes, launched_processes
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import waiting
from xlprompt.models import ParameterBudget, TaskModel, load_tokenizer, parameter_budget
from xlprompt.training.alignment.loss import AlignmentLoss, alignment_loss
from xlprompt.training.alignment.moments import require_target_text
from xlprompt.training.fitting.choose_engine import EngineChoice, choose_engine, open_engine
from xlprompt.training.fitting.engine import Engine
from xlprompt.training.fitting.language_curve import LanguageCurve
from xlprompt.training.fitting.listeners import Curves, Listener
from xlprompt.training.fitting.loop import Examples, FitResult, fit
from xlprompt.training.fitting.progress import ShowProgress
from xlprompt.training.inputs.chosen_data import (
    languages_to_score,
    open_data,
    open_training_data,
    read_test_sets,
)
from xlprompt.training.inputs.curve_samples import CurveSample, curve_samples, curve_steps
from xlprompt.training.inputs.preparation import (
    Setup,
    Split,
    build_model,
    load_split,
    load_training_set,
    warn_of_absent_labels,
)
from xlprompt.training.machine.allocator import keep_few_products
from xlprompt.training.machine.environment import Environment, read_environment
from xlprompt.training.machine.out_of_memory import out_of_memory_explained
from xlprompt.training.machine.phases import Phase, Phases
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.runs.restored import open_device, restored_model
from xlprompt.training.store.checkpoint import Checkpoint
from xlprompt.training.store.metric_names import score_name
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import NullTracker, Tracker, true_end_state
from xlprompt.training.store.training_state import Snapshot


@dataclass(frozen=True)
class Run:
    """What a run works with from its beginning to its end.

    Attributes:
        setup: Recipe, task, source, tokenizer, device, processes, and what has been read and encoded.
        languages: Those that will be scored.
        model: The task model, on the device.
        tracker: MLflow in the first process, nothing in the others.
        console: Where the first process speaks; the others are silent.
        store: Folder of the MLflow store.
        environment: Versions, processor and git revision.
    """

    setup: Setup
    languages: tuple[str, ...]
    model: TaskModel
    tracker: Tracker
    console: Console
    store: Path
    environment: Environment

    @property
    def recipe(self) -> Recipe:
        """What to do."""
        return self.setup.recipe

    @property
    def metric(self) -> str:
        """The task's main metric."""
        return main_metric(self.setup.task)


@dataclass(frozen=True)
class TrainingRun(Run):
    """A run that trains: its examples and engine.

    Attributes:
        budget: Trainable and frozen parameters.
        engine: Which engine.
        train: What is trained on.
        development: What chooses the best state.
        alignment: What is added to the loss, or None.
        curve: What is scored of every language while the run trains; nothing where no curve is asked for.
    """

    budget: ParameterBudget
    engine: EngineChoice
    train: Split
    development: Split
    alignment: AlignmentLoss | None
    curve: tuple[CurveSample, ...] = ()

    @contextmanager
    def at_work(self) -> Iterator[Engine]:
        """The engine that has the model, and the tracked run's true end state, however the block is left."""
        device, settings = self.setup.device, self.recipe.optimizer
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with (
            true_end_state(self.tracker),
            out_of_memory_explained(),
            open_engine(self.engine, self.model, settings, device, self.setup.processes) as engine,
        ):
            yield engine

    def fit(
        self, engine: Engine, show: ShowProgress, listeners: Sequence[Listener], start: Snapshot | None = None
    ) -> FitResult:
        """Train, while the store, the user's eyes and those that are given listen; see `fit`."""
        setup, schedule = self.setup, self.recipe.schedule
        curves = Curves(self.tracker, score_name(self.metric, self.recipe.data.train_language, "validation"))
        with show(self.console, steps=schedule.steps, metric=self.metric) as progress:
            return fit(
                self.model,
                Examples(self.train.encoded, self.development.encoded, setup.pad_id, self.alignment),
                self.recipe,
                (curves, progress, *self._language_curve(), *listeners),
                device=setup.device,
                engine=engine,
                processes=setup.processes,
                start=start,
                phases=setup.phases,
            )

    def _language_curve(self) -> Iterator[LanguageCurve]:
        """What scores the languages' samples, in all processes alike; nothing where there are none."""
        if (every := self.recipe.evaluation.curve_every) is not None and self.curve:
            setup = self.setup
            yield LanguageCurve(
                self.model,
                self.curve,
                self.tracker,
                steps=curve_steps(self.recipe.schedule.steps, every),
                trained=self.recipe.data.train_languages,
                token_budget=self.recipe.evaluation.token_budget,
                pad_id=setup.pad_id,
                device=setup.device,
                processes=setup.processes,
                phases=setup.phases,
            )


@contextmanager
def open_training(
    recipe: Recipe,
    *,
    store: Path,
    console: Console,
    recipe_path: Path | None = None,
    device: str | None = None,
    engine: str | None = None,
    deepspeed_config: Path | None = None,
    reads_tests: bool = True,
    began: float | None = None,
) -> Iterator[TrainingRun]:
    """Open a run that trains, in every process that a launcher has started.

    The arguments are those of `train`. `reads_tests` says that the test sets' files are read as well: so a
    damaged one is met before training, and a curve over languages is scored where the recipe asks for one.
    The errors are those of `train`.
    """
    phases = Phases(began)
    choice, target = choose_engine(recipe.method, engine, deepspeed_config), open_device(device, trains=True)
    with launched_processes(target) as processes:
        if not processes.is_first:
            console = open_console(quiet=True)
            logging.getLogger("xlprompt").setLevel(logging.ERROR)
        with waiting(console, "Reading the data and loading the model"):
            with phases.of(Phase.DATA):
                task, source = task_of(recipe), open_training_data(recipe)
                languages = languages_to_score(source, task, recipe.data)
                if reads_tests:
                    read_test_sets(source, task, recipe.data, languages)
            tracker = MlflowTracker(store) if processes.is_first else NullTracker()
            with processes.first_alone():  # what the first of them caches, the others find
                # Refuses a backbone without a place for method or head before text is encoded, weights read.
                budget = parameter_budget(
                    recipe.model, num_labels=1, method=recipe.method_settings, head=recipe.head
                )
                keep_few_products(budget.total_params)
                with phases.of(Phase.MODEL):
                    tokenizer = load_tokenizer(recipe.model)
                setup = Setup(recipe, task, source, tokenizer, target, processes, phases)
                train = load_training_set(setup)
                development = load_split(setup, recipe.data.train_language, "validation")
                warn_of_absent_labels(setup, train, development)
                curve = curve_samples(setup, languages) if reads_tests else ()
                with phases.of(Phase.MODEL):
                    model = build_model(recipe, setup.tokenizer, target)
            if reads_tests:
                require_target_text(setup)
            environment = read_environment(repository_of=recipe_path, device=target)
            aligned = alignment_loss(setup, languages)
        opened = (setup, languages, model, tracker, console, store, environment)
        yield TrainingRun(*opened, model.budget(), choice, train, development, aligned, curve)


def open_trained(
    checkpoint: Checkpoint, recipe: Recipe, *, store: Path, console: Console, device: str | None, split: str
) -> Run:
    """Open a run that scores a checkpoint by a recipe, whose backbone is where it lies now.

    Raises:
        RunError, DataError, ModelError, CheckpointError: As in `evaluate`.
    """
    with waiting(console, "Reading the data and loading the model"):
        task, target, source = task_of(recipe), open_device(device), open_data(recipe)
        languages = languages_to_score(source, task, recipe.data, split=split)
        tracker = MlflowTracker(store)
        setup = Setup(recipe, task, source, load_tokenizer(recipe.model), target, Processes(device=target))
        model = restored_model(checkpoint, recipe, setup.tokenizer, target)
        environment = read_environment(repository_of=None, device=target)
    return Run(setup, languages, model, tracker, console, store, environment)
