"""The training loop: steps of an engine, and the best state by the development score.

The loop knows no recipe files, data sources or MLflow: it announces each step, score and state to its
listeners, and `xlprompt.training.runs.train` says who they are.
It may be killed at any moment: a signal ends it after the step it is in, and where training states are kept,
it goes on from the last one as if nothing had happened.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xlprompt.data.encoding.batches import TrainingStep, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation import main_metric, predict, score
from xlprompt.evaluation.answers.known_states import KnownStates
from xlprompt.evaluation.processes import Processes
from xlprompt.models import TaskModel
from xlprompt.training.fitting.engine import Engine, TorchEngine
from xlprompt.training.fitting.listeners import Development, Listener, Step, Window
from xlprompt.training.fitting.read_once import what_is_read_once
from xlprompt.training.machine.phases import Phase, Phases
from xlprompt.training.machine.signals import handled
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.training_state import (
    LoopState,
    Snapshot,
    random_state,
    restore_random_state,
)

if TYPE_CHECKING:
    from xlprompt.training.alignment.loss import AlignmentLoss

_SEEDS_APART = 1_000_003  # of the processes' generators

_MEANS_EVERY = 10  # steps; figures in between are averaged, so curves are smooth and the store stays small


class TrainingDiverged(RuntimeError):
    """The loss or its gradient is no longer a finite number; the message says where and what to try."""


@dataclass(frozen=True)
class FitResult:
    """How training went; the model holds the state of `best_step` afterwards.

    Attributes:
        best_step: Step whose state was kept, counted from 1.
        best_score: Its development score in percent.
        steps: Steps done, fewer than planned after early stopping.
        seconds: Training time without the evaluations, of interrupted attempts too.
        tokens_per_second: Real (not padding) tokens over that time.
        curve: Development score by step.
    """

    best_step: int
    best_score: float
    steps: int
    seconds: float
    tokens_per_second: float
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Examples:
    """What a model is trained on and chosen by.

    Attributes:
        train: Encoded training examples.
        development: Encoded examples that choose the best state.
        pad_id: Fills the right of shorter rows; its value has no influence.
        alignment: What is added to the loss, to pull the languages' states together; None for nothing.
    """

    train: Encoded
    development: Encoded
    pad_id: int
    alignment: AlignmentLoss | None = None


def fit(
    model: TaskModel,
    data: Examples,
    recipe: Recipe,
    listeners: Sequence[Listener] = (),
    *,
    device: torch.device,
    engine: Engine | None = None,
    processes: Processes | None = None,
    start: Snapshot | None = None,
    phases: Phases | None = None,
) -> FitResult:
    """Train a task model and leave it in its best state.

    On one kind of CPU the same seed gives the same numbers: data order, initialization and dropout all
    follow `recipe.seed`, whether training was interrupted or not.

    Args:
        model: On `device`.
        data: The examples.
        recipe: Of which the optimizer, the schedule, the seed and the evaluation's token budget are used.
        listeners: Hear of each step, development score and state, `schedule.checkpoint_every` steps apart and
            at a signal. Of several processes the first has those that write.
        device: Where the model is.
        engine: What trains the model; plain torch when None. With DeepSpeed, the model is its from then on.
        processes: Those that share each step; each of them calls this function.
        start: A training state to go on from.
        phases: The stopwatch of this attempt at the run; None for one that begins now.

    Raises:
        TrainingDiverged: The loss or the gradient's norm stopped being finite.
        KeyboardInterrupt: SIGINT came; the step was finished and the state saved.
        SystemExit: The same for SIGTERM.
    """
    processes = processes or Processes(device=device)
    engine = engine or TorchEngine(model, recipe.optimizer, device, processes)
    torch.manual_seed(recipe.seed + _SEEDS_APART * processes.rank)  # dropout; the data's order is the same
    run = _Fit(model, data, recipe, listeners, engine, device, processes, phases or Phases())
    if start is not None:
        run.go_back_to(start)
    model.train()
    run.read_what_is_read_once()
    with _signals_noted(patient=processes.size > 1) as noted:
        run.do_steps(noted)
    engine.load_weights(run.best_state)
    model.eval()
    assert run.best_score is not None  # the last step is always evaluated
    return FitResult(
        run.best_step, run.best_score, run.step, run.seconds, run.tokens / run.seconds, tuple(run.curve)
    )


class _Fit:
    """A training run in progress."""

    def __init__(
        self,
        model: TaskModel,
        data: Examples,
        recipe: Recipe,
        listeners: Sequence[Listener],
        engine: Engine,
        device: torch.device,
        processes: Processes,
        phases: Phases,
    ) -> None:
        self.model, self.data, self.recipe, self.listeners = model, data, recipe, listeners
        self.engine, self.device, self.processes, self.phases = engine, device, processes, phases
        self.seconds_before = 0.0
        self.metric = main_metric(data.development.task)
        self.gold = data.development.gold()
        self.step = self.tokens = self.without_gain = self.best_step = 0
        self.seconds = 0.0
        self.best_score: float | None = None
        self.best_state: dict[str, Tensor] = {}
        self.curve: list[tuple[int, float]] = []
        self.window = Window()
        self.development_states: KnownStates | None = None

    def read_what_is_read_once(self) -> None:
        """Read the sets whose states are kept; the time of the training set is the training's."""
        data = self.data
        once = what_is_read_once(self.model, self.recipe, data.train, data.development, data.alignment)
        if once.train and isinstance(self.engine, TorchEngine):
            started = time.perf_counter()
            with self.phases.of(Phase.TRAINING):
                self.engine.known_states = self._states_of(data.train)
            self.seconds += time.perf_counter() - started
        if once.development:
            with self.phases.of(Phase.DEVELOPMENT):
                self.development_states = self._states_of(data.development)

    def _states_of(self, encoded: Encoded) -> KnownStates:
        return KnownStates.read(
            self.model,
            encoded,
            token_budget=max(self.recipe.evaluation.token_budget, int(encoded.lengths.max())),
            pad_id=self.data.pad_id,
            device=self.device,
            processes=self.processes,
        )

    def go_back_to(self, start: Snapshot) -> None:
        """Take up a training state."""
        self.engine.load_state(start.engine)
        loop = start.loop
        self.step, self.tokens, self.seconds = loop.step, loop.tokens, loop.seconds
        self.best_step, self.best_score, self.best_state = loop.best_step, loop.best_score, dict(start.best)
        self.without_gain, self.curve = loop.without_gain, list(loop.curve)
        self.seconds_before = loop.total_seconds
        self.window = Window(**loop.window)  # type: ignore[arg-type]
        restore_random_state(start.random, self.device, self.processes)

    def is_over(self) -> bool:
        """Whether all steps are done, or the score has not risen for too long."""
        schedule = self.recipe.schedule
        stopped_early = schedule.patience is not None and self.without_gain >= schedule.patience
        return self.step >= schedule.steps or stopped_early

    def do_steps(self, noted: _Noted) -> None:
        """All steps that are left, until a signal is noted; it is obeyed when the state has been saved."""
        schedule, processes = self.recipe.schedule, self.processes
        steps = training_steps(
            self.data.train,
            batch_size=schedule.batch_size,
            token_budget=schedule.token_budget,
            seed=self.recipe.seed,
            pad_id=self.data.pad_id,
            start_step=self.step,
            longest_first=True,  # so that memory runs out in the first minute or never
            rank=processes.rank,
            processes=processes.size,
            share=self.model.trains_on_trees,
        )
        while not self.is_over():
            self.do_step(next(steps))
            # All processes stop after the same step, whichever of them was told to.
            if number := int(processes.largest(noted.number or 0)):
                self.save()
                for each in self.listeners:
                    each.stopped(self.step)
                _raise_signal(number)
            if self.step % schedule.checkpoint_every == 0 or self.is_over():
                self.save()

    def do_step(self, step: TrainingStep) -> None:
        """One step, of which this process has its share, and the development score when its turn has come."""
        schedule = self.recipe.schedule
        factor = rate_factor(self.step, schedule.steps, self.recipe.optimizer.warmup_share)
        rate = self.recipe.optimizer.learning_rate * factor
        started = time.perf_counter()
        self.step += 1
        penalty = None if self.data.alignment is None else self.data.alignment.of_step(self.step)
        with self.phases.of(Phase.TRAINING):
            figures = self.engine.step(step, factor, penalty)
            self.processes.add_up(figures[:1])
            apart = [] if penalty is None else [penalty.distance]
            loss, norm, *distance = torch.stack([*figures, *apart]).tolist()  # the step's one wait for a GPU
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingDiverged(_what_to_try(self.step, loss, norm, rate, self.recipe))
        elapsed = time.perf_counter() - started
        tokens = step.num_tokens
        self.seconds, self.tokens = self.seconds + elapsed, self.tokens + tokens
        self.window.add(loss, tokens, elapsed, sum(distance))
        means = None
        if self.step % _MEANS_EVERY == 0 or self.step in (1, schedule.steps):
            means, self.window = self.window.means(with_distance=bool(distance)), Window()
        for each in self.listeners:
            each.stepped(Step(self.step, loss, rate, tokens / elapsed, means))
        if self.step % schedule.evaluate_every == 0 or self.step == schedule.steps:
            try:
                with self.phases.of(Phase.DEVELOPMENT):
                    self.evaluate()
            except FloatingPointError as error:  # this step's update itself overflowed
                raise TrainingDiverged(_what_to_try(self.step, loss, norm, rate, self.recipe)) from error

    def evaluate(self) -> None:
        """Score the development set and keep the state if it is the best so far."""
        predictions = predict(
            self.model,
            self.data.development,
            token_budget=self.recipe.evaluation.token_budget,
            pad_id=self.data.pad_id,
            device=self.device,
            processes=self.processes,
            states=self.development_states,
        )
        language = self.recipe.data.train_language
        scores = score(self.data.development.task, self.gold, predictions.labels, language=language)
        result = scores[self.metric]
        self.curve.append((self.step, result.value))
        self.without_gain += 1
        if self.best_score is None or result.value > self.best_score:
            self.best_step, self.best_score, self.without_gain = self.step, result.value, 0
            self.best_state = self.engine.weights()
        for each in self.listeners:
            each.scored(Development(self.step, result, predictions.loss, self.best_score, self.best_step))

    def save(self) -> None:
        """Announce the training state, which all processes collect if the first has who keeps it."""
        if not self.processes.tell("yes" if any(each.keeps_states for each in self.listeners) else ""):
            return
        engine, random = self.engine.state(), random_state(self.device, self.processes)
        loop = LoopState(
            self.step,
            self.best_step,
            self.best_score,
            tuple(self.curve),
            self.without_gain,
            self.tokens,
            self.seconds,
            time.perf_counter() - self.phases.began + self.seconds_before,
            asdict(self.window),
        )
        with self.phases.of(Phase.STORING):
            for each in self.listeners:
                each.saved(Snapshot(loop, engine, random, self.best_state))


def rate_factor(done: int, steps: int, warmup_share: float) -> float:
    """Share of the peak rate for the step after `done` steps: a linear rise, then a linear fall to zero.

    The first step already moves (its share is 1/warm-up steps) and so does the last.
    """
    warmup = round(steps * warmup_share)
    if done < warmup:
        return (done + 1) / warmup
    return (steps - done) / max(1, steps - warmup)


def _what_to_try(step: int, loss: float, norm: float, rate: float, recipe: Recipe) -> str:
    remedies = [f"lower optimizer.learning_rate (now {recipe.optimizer.learning_rate:g}, here {rate:.2g})"]
    remedies.append(f"warm up longer (optimizer.warmup_share, now {recipe.optimizer.warmup_share:g})")
    if recipe.optimizer.clip_norm is None:
        remedies.append("clip the gradient (optimizer.clip_norm: 1.0)")
    if recipe.precision != "float32":
        remedies.append(f"compute in float32 (precision, now {recipe.precision})")
    return (
        f"training diverged at step {step} of {recipe.schedule.steps}: loss {loss:g}, gradient norm "
        f"{norm:g}. Try, one at a time: {'; '.join(remedies)}"
    )


def _raise_signal(number: int) -> None:
    """Do now what a signal asked for."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)  # the shell's convention for a death by signal


@dataclass
class _Noted:
    """The signal that came while a step was being done, if one did."""

    number: int | None = None


@contextmanager
def _signals_noted(*, patient: bool) -> Iterator[_Noted]:
    """Within it, the first SIGINT or SIGTERM waits for the end of a step; a second one acts at once.

    Args:
        patient: Let only a second one of the same kind act at once: a launcher that is interrupted from the
            keyboard passes a SIGTERM on to processes that have been interrupted themselves.
    """
    noted = _Noted()

    def note(number: int) -> None:
        if noted.number is None:
            noted.number = number
        elif noted.number == number or not patient:
            _raise_signal(number)

    with handled(note, signal.SIGINT, signal.SIGTERM):
        yield noted
