"""The training loop: steps of an engine, and the best state by the development score.

The loop knows no recipe files, data sources or MLflow; `xlprompt.training.runs.train` puts those around it.
It may be killed at any moment: a signal ends it after the step it is in, and where training states are kept,
it goes on from the last one as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor

from xlprompt.data.encoding.batches import TrainingStep, training_steps
from xlprompt.data.encoding.encode import Encoded
from xlprompt.evaluation import Score, main_metric, predict, score
from xlprompt.evaluation.processes import Processes
from xlprompt.models import TaskModel
from xlprompt.training.fitting.engine import Engine, TorchEngine
from xlprompt.training.fitting.progress import TrainingProgress
from xlprompt.training.machine.allocator import GIVE_BACK_EVERY, give_back_freed_memory
from xlprompt.training.machine.signals import handled
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.store.tracker import Tracker
from xlprompt.training.store.training_state import (
    LoopState,
    Snapshot,
    TrainingStates,
    random_state,
    restore_random_state,
)

if TYPE_CHECKING:
    from xlprompt.training.alignment.loss import AlignmentLoss

_log = logging.getLogger(__name__)

_SEEDS_APART = 1_000_003  # of the processes' generators

_LOG_EVERY = 10  # steps; figures in between are averaged, so curves are smooth and the store stays small


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


def fit(
    model: TaskModel,
    train: Encoded,
    development: Encoded,
    recipe: Recipe,
    *,
    tracker: Tracker,
    progress: TrainingProgress,
    pad_id: int,
    device: torch.device,
    engine: Engine | None = None,
    processes: Processes | None = None,
    states: TrainingStates | None = None,
    start: Snapshot | None = None,
    on_score: Callable[[int, Score], None] | None = None,
    alignment: AlignmentLoss | None = None,
    started: float | None = None,
) -> FitResult:
    """Train a task model and leave it in its best state.

    On one kind of CPU the same seed gives the same numbers: data order, initialization and dropout all
    follow `recipe.seed`, whether training was interrupted or not.

    Args:
        model: On `device`.
        train: Encoded training examples.
        development: Encoded examples that choose the best state.
        recipe: Of which the optimizer, the schedule, the seed and the evaluation's token budget are used.
        tracker: Receives `train/*` and `validation/*` by step.
        progress: Receives the same for the user's eyes.
        pad_id: Fills the right of shorter rows; its value has no influence.
        device: Where the model is.
        engine: What trains the model; plain torch when None. With DeepSpeed, the model is its from then on.
        processes: Those that share each step; each of them calls this function.
        states: Where training states are written, every `schedule.checkpoint_every` steps and at a signal;
            of process 0, None in the others.
        start: A training state to go on from.
        on_score: Gets the step and the development score after each evaluation; what it raises ends training.
        alignment: What is added to the loss, to pull the languages' states together; None for nothing.
        started: When this attempt at the run began, by `time.perf_counter`; None for now.

    Raises:
        TrainingDiverged: The loss or the gradient's norm stopped being finite.
        KeyboardInterrupt: SIGINT came; the step was finished and the state written.
        SystemExit: The same for SIGTERM.
    """
    processes = processes or Processes(device=device)
    engine = engine or TorchEngine(model, recipe.optimizer, device, processes)
    torch.manual_seed(recipe.seed + _SEEDS_APART * processes.rank)  # dropout; the data's order is the same
    run = _Fit(
        model,
        development,
        recipe,
        engine,
        tracker,
        progress,
        pad_id,
        device,
        processes,
        states,
        on_score,
        alignment,
        time.perf_counter() if started is None else started,
    )
    if start is not None:
        run.go_back_to(start)
    data = training_steps(
        train,
        batch_size=recipe.schedule.batch_size,
        token_budget=recipe.schedule.token_budget,
        seed=recipe.seed,
        pad_id=pad_id,
        start_step=run.step,
        longest_first=True,  # so that memory runs out in the first minute or never
        rank=processes.rank,
        processes=processes.size,
    )
    model.train()
    with _signals_noted(patient=processes.size > 1) as noted:
        while not run.is_over():
            run.do_step(next(data))
            if run.step % GIVE_BACK_EVERY == 0:
                give_back_freed_memory()
            # All processes stop after the same step, whichever of them was told to.
            if number := int(processes.largest(noted.number or 0)):
                run.save()
                if states is not None:
                    _log.warning(
                        "Stopped after step %d. --resume (with make: RESUME=1) goes on from there", run.step
                    )
                _raise_signal(number)
            if run.step % recipe.schedule.checkpoint_every == 0 or run.is_over():
                run.save()
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
        development: Encoded,
        recipe: Recipe,
        engine: Engine,
        tracker: Tracker,
        progress: TrainingProgress,
        pad_id: int,
        device: torch.device,
        processes: Processes,
        states: TrainingStates | None,
        on_score: Callable[[int, Score], None] | None,
        alignment: AlignmentLoss | None,
        started: float,
    ) -> None:
        self.model, self.development, self.recipe, self.engine = model, development, recipe, engine
        self.tracker, self.progress, self.states = tracker, progress, states
        self.pad_id, self.device, self.processes, self.on_score = pad_id, device, processes, on_score
        self.alignment, self.started = alignment, started
        self.metric = main_metric(development.task)
        self.gold = development.gold()
        self.step = self.tokens = self.without_gain = self.best_step = 0
        self.seconds = 0.0
        self.best_score: float | None = None
        self.best_state: dict[str, Tensor] = {}
        self.curve: list[tuple[int, float]] = []
        self.window = _Window()

    def go_back_to(self, start: Snapshot) -> None:
        """Take up a training state."""
        self.engine.load_state(start.engine)
        loop = start.loop
        self.step, self.tokens, self.seconds = loop.step, loop.tokens, loop.seconds
        self.best_step, self.best_score, self.best_state = loop.best_step, loop.best_score, dict(start.best)
        self.without_gain, self.curve = loop.without_gain, list(loop.curve)
        self.started -= loop.total_seconds  # as if earlier attempts had come right before this one
        self.window = _Window(**loop.window)  # type: ignore[arg-type]
        restore_random_state(start.random, self.device, self.processes)

    def is_over(self) -> bool:
        """Whether all steps are done, or the score has not risen for too long."""
        schedule = self.recipe.schedule
        stopped_early = schedule.patience is not None and self.without_gain >= schedule.patience
        return self.step >= schedule.steps or stopped_early

    def do_step(self, step: TrainingStep) -> None:
        """One step, of which this process has its share, and the development score when its turn has come."""
        schedule = self.recipe.schedule
        factor = rate_factor(self.step, schedule.steps, self.recipe.optimizer.warmup_share)
        rate = self.recipe.optimizer.learning_rate * factor
        started = time.perf_counter()
        self.step += 1
        penalty = None if self.alignment is None else self.alignment.of_step(self.step)
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
        self.progress.stepped(self.step, loss=loss, learning_rate=rate, tokens_per_second=tokens / elapsed)
        if self.step % _LOG_EVERY == 0 or self.step in (1, schedule.steps):
            means = self.window.means(with_distance=bool(distance))
            self.tracker.log_metrics({**means, "train/learning_rate": rate}, step=self.step)
            self.window = _Window()
        if self.step % schedule.evaluate_every == 0 or self.step == schedule.steps:
            try:
                self.evaluate()
            except FloatingPointError as error:  # this step's update itself overflowed
                raise TrainingDiverged(_what_to_try(self.step, loss, norm, rate, self.recipe)) from error

    def evaluate(self) -> None:
        """Score the development set and keep the state if it is the best so far."""
        predictions = predict(
            self.model,
            self.development,
            token_budget=self.recipe.evaluation.token_budget,
            pad_id=self.pad_id,
            device=self.device,
            processes=self.processes,
        )
        result = score(self.development.task, self.gold, predictions.labels)[self.metric]
        value = result.value
        self.curve.append((self.step, value))
        self.without_gain += 1
        if self.best_score is None or value > self.best_score:
            self.best_step, self.best_score, self.without_gain = self.step, value, 0
            self.best_state = self.engine.weights()
        name = f"validation/{self.metric}/{self.recipe.data.train_language}"
        self.tracker.log_metrics({name: value, "validation/loss": predictions.loss}, step=self.step)
        self.progress.evaluated(self.step, score=value, best_score=self.best_score, best_step=self.best_step)
        if self.on_score is not None:
            self.on_score(self.step, result)

    def save(self) -> None:
        """Write the training state; a disk that is full costs the state, not the run."""
        if not self.processes.tell("yes" if self.states else ""):
            return
        engine, random = self.engine.state(), random_state(self.device, self.processes)
        if self.states is None:
            return
        self.tracker.flush()  # so that the store's curves reach as far as the state
        loop = LoopState(
            self.step,
            self.best_step,
            self.best_score,
            tuple(self.curve),
            self.without_gain,
            self.tokens,
            self.seconds,
            time.perf_counter() - self.started,
            asdict(self.window),
        )
        try:
            if self.best_state:
                self.states.save_best(self.best_step, self.best_state)
            self.states.save(loop, engine, random)
        except (OSError, SafetensorError) as error:  # in which safetensors says that a disk is full
            _log.warning(
                "The training state of step %d could not be written (%s). Training goes on; make room, or "
                "it can be resumed only from the state before",
                self.step,
                error,
            )


def rate_factor(done: int, steps: int, warmup_share: float) -> float:
    """Share of the peak rate for the step after `done` steps: a linear rise, then a linear fall to zero.

    The first step already moves (its share is 1/warm-up steps) and so does the last.
    """
    warmup = round(steps * warmup_share)
    if done < warmup:
        return (done + 1) / warmup
    return (steps - done) / max(1, steps - warmup)


@dataclass
class _Window:
    """Sums over the steps since the last log line."""

    steps: int = 0
    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    distance: float = 0.0

    def add(self, loss: float, tokens: int, seconds: float, distance: float) -> None:
        self.steps += 1
        self.loss += loss
        self.tokens += tokens
        self.seconds += seconds
        self.distance += distance

    def means(self, *, with_distance: bool) -> dict[str, float]:
        means = {
            "train/loss": self.loss / self.steps,
            "train/tokens_per_second": self.tokens / self.seconds,
        }
        return means | ({"train/alignment_distance": self.distance / self.steps} if with_distance else {})


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
